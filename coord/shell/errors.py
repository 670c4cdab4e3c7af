"""What a command says instead of doing its work: one sentence each."""


class ShellError(Exception):
    """The command was understood, and cannot be done."""


class UsageError(ShellError):
    """The command was not understood: the text says what is wrong with it."""
