"""`python -m coord` is `coord`."""

from coord.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
