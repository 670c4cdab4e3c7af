"""What can go wrong with a look into the past. The text is one sentence for whoever looks."""


class PastError(Exception):
    """It cannot be shown: nothing is there, it is not kept any more, or it cannot be read. Nothing was changed."""


class PastDamaged(PastError):
    """What is there was written whole once and is not what was written; the text names the place."""


class CannotWrite(PastError):
    """What was to be made cannot be written, as on a full disk. The same would happen again."""


class NobodyThere(PastError):
    """No server answers at an address."""
