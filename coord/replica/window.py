"""The last changes of the tree by zxid, so that a watch can be told what it missed. Volatile, and bounded.

It is filled as entries are applied, the log's replay at a start included. What happened before it begins nobody can be
told here any more.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from coord.model.replies import Change, Effect

CHANGE_COSTS_BYTES = 250
"""What one change takes in memory beside its path, about."""

PARTS = 64
"""The oldest are let go about a 64th of the window at a time."""


@dataclass(slots=True)
class _Part:
    """Changes one after the other: those of whole batches."""

    changes: list[tuple[int, Change]]
    bytes: int


class Window:
    """All changes after `start`, in order.

    Those of the batch that is being applied are put into `latest`, and settle with its end: to measure each change as
    it comes costs a set a tenth of its time.
    """

    __slots__ = ("_bytes", "_bytes_max", "_parts", "latest", "start")

    def __init__(self, start: int, bytes_max: int) -> None:
        self.start = start  # the zxid after which nothing is missing
        self.latest: list[tuple[int, Change]] = []  # (zxid of the entry, what it did)
        self._bytes = 0
        self._bytes_max = bytes_max
        self._parts: deque[_Part] = deque()  # none of them empty

    def is_outrun_by(self, entries: int) -> bool:
        """Whether nothing of what is applied now would be left after so many entries to come."""
        return entries * CHANGE_COSTS_BYTES > self._bytes_max

    def add(self, zxid: int, effects: Sequence[Effect]) -> None:
        """What the entry at `zxid` did: changes, and what befell a session stands behind them."""
        if type(effects[-1]) is not Change:
            effects = [effect for effect in effects if type(effect) is Change]
        self.latest += zip(repeat(zxid), effects)  # type: ignore[arg-type]

    def settle(self) -> None:
        """The batch has been applied: let the oldest changes go, if there are too many."""
        latest, parts = self.latest, self._parts
        if not latest:
            return
        size = CHANGE_COSTS_BYTES * len(latest) + sum([len(change.path) for _, change in latest])
        self._bytes += size
        if parts and parts[-1].bytes * PARTS < self._bytes_max:
            parts[-1].changes += latest
            parts[-1].bytes += size
        else:
            parts.append(_Part(latest[:], size))
        latest.clear()
        while self._bytes > self._bytes_max:
            oldest = parts.popleft()
            self._bytes -= oldest.bytes
            self.start = oldest.changes[-1][0]

    def after(self, zxid: int) -> list[tuple[int, Change]] | None:
        """The changes after `zxid`, in order; None if the window does not reach back so far."""
        if zxid < self.start:
            return None
        found: list[tuple[int, Change]] = []
        lists = chain([self.latest], [part.changes for part in reversed(self._parts)])
        for each in chain.from_iterable(map(reversed, lists)):  # so it costs what was missed, not all
            if each[0] <= zxid:
                break
            found.append(each)
        found.reverse()
        return found

    def restart(self, start: int) -> None:
        """The state has jumped to `start`."""
        self.start = start
        self._bytes = 0
        self._parts.clear()
        self.latest.clear()

    def __len__(self) -> int:
        return sum(len(part.changes) for part in self._parts) + len(self.latest)
