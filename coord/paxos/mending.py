"""What a server whose log was damaged still has of it, and what it has to ask the others for (PAR, FAST'18, section 3).

It is found from behind: the batch that ended with a certain zxid is the same on every server that has it, for an epoch
has one leader, which hands out each zxid once; and each batch names the one before it. So what was lost comes back
exactly as it was, whoever gives it, and nothing else can take its place.
"""

from collections.abc import Iterable

from coord.model.entries import Batch


class Mending:
    """Gathers the batches between the readable log's end and `upto`, the last zxid that was here."""

    __slots__ = ("_at", "_pieces", "upto")

    def __init__(self, upto: int, pieces: Iterable[Batch]) -> None:
        self.upto = self._at = upto  # down to `_at` nothing is missing: it is not looked at again and again
        self._pieces = {batch.last: batch for batch in pieces}  # by their last zxid

    def __repr__(self) -> str:
        return f"<Mending up to {self.upto:#x}, {len(self._pieces)} batches>"

    def missing(self, after: int) -> int:
        """The last zxid of the latest batch that is missing above `after`, the log's end; 0 if none is."""
        while self._at > after:
            batch = self._pieces.get(self._at)
            if batch is None:
                return self._at
            self._at = batch.previous
        return 0

    def add(self, batch: Batch, after: int) -> bool:
        """Take a batch from another server; whether it was the one that is missing."""
        if batch.last != self.missing(after):
            return False
        self._pieces[batch.last] = batch
        return True

    def batches(self, after: int) -> list[Batch] | None:
        """All that stood after `after`, in order; None if something is missing, or does not lead there."""
        found: list[Batch] = []
        at = self.upto
        while at > after:
            batch = self._pieces.get(at)
            if batch is None:
                return None
            found.append(batch)
            at = batch.previous
        return found[::-1] if at == after else None

    def back_from(self, upto: int, above: int, bytes_max: int) -> list[Batch]:
        """What is here of the batches that end with `upto`, for another server that lacks them; the latest first."""
        found: list[Batch] = []
        size = 0
        batch = self._pieces.get(upto)
        while batch is not None and batch.last > above and (not found or size + len(batch.encoded) <= bytes_max):
            found.append(batch)
            size += len(batch.encoded)
            batch = self._pieces.get(batch.previous)
        return found
