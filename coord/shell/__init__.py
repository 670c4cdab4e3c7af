"""The admin shell and the operator's view of an ensemble. Read README.md beside this."""
