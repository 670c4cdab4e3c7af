"""The one error of this floor."""


class CodecError(ValueError):
    """These bytes do not say anything: damaged, hostile, or written by another version. Nothing was decoded."""
