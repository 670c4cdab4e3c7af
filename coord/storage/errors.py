"""What can go wrong with a data folder. No client gets to see it: it ends the process, with an exit code of its own."""


class StorageRefused(Exception):
    """The data folder cannot be used as it is. Found at start, with nothing in it changed; the operator decides."""


class StorageFailure(Exception):
    """The disk failed while it was used. What is on it is known only after a new start has read it again.

    A failed fsync is never repeated: the kernel may have dropped the data and would report success (T21).
    """


class Damaged(Exception):
    """What was read is not what was written. Stays inside this package: loading turns it into StorageRefused."""


class OtherVersion(Damaged):
    """Whole, but in a format that this version of coord does not know."""
