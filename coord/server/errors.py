"""What ends a server beside its disk: one class a reason, each with its exit status in coord.cli.exit_codes."""


class ServeError(Exception):
    """The server cannot go on; the text is one sentence for its operator."""


class AddressUnavailable(ServeError):
    """An address to listen on is taken, or is not this machine's."""


class RefusedByEnsemble(ServeError):
    """Every other server that could be reached refuses this one: it is not who it claims to be."""
