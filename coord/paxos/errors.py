"""What a peer can do wrong."""


class BrokenOrder(Exception):
    """A peer's messages do not fit together: the connection must be broken and begun anew."""
