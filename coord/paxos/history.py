"""The log as the protocol sees it: where it ends, where its epochs end, and its latest batches in memory.

Two logs that hold the same zxid are equal up to it: an epoch has one leader, and it hands out each zxid once.
So the ends of the epochs tell where two logs part (`common_point`). Batches are never split.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from coord.model.entries import Batch, epoch_of


def common_point(mine: Iterable[tuple[int, int]], theirs: Iterable[tuple[int, int]]) -> int:
    """The highest zxid that both logs have, 0 if there is none.

    Both arguments are (epoch, last zxid in that epoch). Within an epoch every log holds a prefix of what that
    epoch's leader proposed, so the shorter of two prefixes is the common one (Zab, DSN'11, section IV-C).
    """
    their_ends = dict(theirs)
    return max((min(end, their_ends[epoch]) for epoch, end in mine if epoch in their_ends), default=0)


class History:
    """One server's log: what is in it, what of it is durable, what is committed.

    Invariants: commit <= last, durable <= last; every batch after `floor` up to `last` is in memory, and
    `floor` <= applied, so that whatever is still to be applied is here.
    """

    __slots__ = ("_batches", "_bytes", "_ends", "_lasts", "commit", "durable", "floor", "last", "start", "time_ms")

    def __init__(
        self, floor: int, batches: Sequence[Batch], ends: Iterable[tuple[int, int]], commit: int, start: int = 0
    ) -> None:
        """`floor`: zxid of the snapshot the server starts from; `batches` follow it; all of this is durable.

        `ends` are of the log after `start`, and of `start` itself unless it is 0; what ended before is not known.
        """
        self.start = start
        self.floor = floor
        self.last = floor
        self._ends: dict[int, int] = dict(ends)
        self._batches: list[Batch] = []
        self._lasts: list[int] = []
        self._bytes = 0
        self.time_ms = 0  # of the latest batch seen: the leader's clock, which must not go back
        if floor:
            self._ends[epoch_of(floor)] = max(floor, self._ends.get(epoch_of(floor), 0))
        for batch in batches:
            self.append(batch)
        self.durable = self.last
        self.commit = commit
        assert floor <= commit <= self.last, f"commit {commit:#x} is outside of the log {floor:#x}..{self.last:#x}"

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """(epoch, last zxid in it), ascending."""
        return tuple(sorted(self._ends.items()))

    def append(self, batch: Batch) -> None:
        assert batch.previous == self.last < batch.first, (
            f"a batch after {batch.previous:#x} does not follow the log's end {self.last:#x}"
        )
        self.last = batch.last
        self._ends[batch.epoch] = batch.last
        self._batches.append(batch)
        self._lasts.append(batch.last)
        self._bytes += batch.memory_bytes
        self.time_ms = max(self.time_ms, batch.time_ms)

    def has_end(self, zxid: int) -> bool:
        """Whether a batch in memory, or what is below memory, ends exactly at `zxid`."""
        if zxid == self.floor:
            return True
        index = bisect_left(self._lasts, zxid)
        return index < len(self._lasts) and self._lasts[index] == zxid

    def truncate(self, to: int) -> None:
        """Forget every batch after `to`. What is committed is never forgotten."""
        assert to >= self.commit, f"asked to cut the log at {to:#x}, below the committed {self.commit:#x}"
        assert self.has_end(to), f"no batch ends at {to:#x}"
        keep = bisect_right(self._lasts, to)
        self._bytes -= sum(batch.memory_bytes for batch in self._batches[keep:])
        del self._batches[keep:], self._lasts[keep:]
        self.last = to
        self.durable = min(self.durable, to)
        self._ends = {epoch: min(end, to) for epoch, end in self._ends.items() if epoch <= epoch_of(to)}

    def reset(self, zxid: int) -> None:
        """Start anew after a snapshot at `zxid`."""
        assert zxid >= self.commit, f"a snapshot at {zxid:#x} is older than the committed {self.commit:#x}"
        self._batches.clear()
        self._lasts.clear()
        self._bytes = 0
        self.floor = self.last = self.commit = self.start = zxid
        self.durable = min(self.durable, zxid)
        # The ends before it are forgotten with the log: they were this server's, perhaps not those of the history.
        self._ends = {epoch_of(zxid): zxid}

    def after(self, zxid: int, upto: int | None = None) -> list[Batch] | None:
        """The batches after `zxid` (a batch's end), None if memory does not reach back so far."""
        if not self.has_end(zxid):
            return None
        start = bisect_right(self._lasts, zxid)
        stop = len(self._lasts) if upto is None else bisect_right(self._lasts, upto)
        return self._batches[start:stop]

    def first_after(self, zxid: int) -> Batch | None:
        """The oldest batch in memory that goes beyond `zxid`, None if nothing does."""
        index = bisect_right(self._lasts, zxid)
        return self._batches[index] if index < len(self._batches) else None

    def trim(self, applied: int, bytes_max: int) -> None:
        """Let the oldest applied batches go while more than `bytes_max` are in memory; they stay on disk."""
        if self._bytes <= bytes_max:
            return
        # Cut down to three quarters at once: a list is not made to lose its head batch by batch.
        target, count = bytes_max * 3 // 4, 0
        safe = min(applied, self.durable, self.commit)
        while self._bytes > target and count < len(self._lasts) and self._lasts[count] <= safe:
            self._bytes -= self._batches[count].memory_bytes
            count += 1
        if count:
            self.floor = self._lasts[count - 1]
            del self._batches[:count], self._lasts[:count]

    def __repr__(self) -> str:
        return f"<History to {self.last:#x}, durable {self.durable:#x}, committed {self.commit:#x}>"
