"""`python -m tools.readme` writes the tables of settings and of exit statuses into README.md.

The code is where they are kept; a test fails when README.md says something else.
"""

from pathlib import Path

from coord.cli.options import exit_codes_table, settings_table

README = Path(__file__).resolve().parent.parent / "README.md"
TABLES = {"settings": settings_table, "exit-statuses": exit_codes_table}
"""What stands between <!-- name --> and <!-- /name -->."""


def filled(text: str) -> str:
    """README's text with every table as the code has it now."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        assert text.count(start) == text.count(end) == 1, f"README.md needs {start.strip()} and {end.strip()} once each"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = before + start + table() + end + after
    return text


def main() -> None:
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
