"""The command line: `coord serve`, `coord up`."""
