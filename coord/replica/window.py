"""The last changes of the tree by zxid, so that a watch can be told what it missed. Volatile, and bounded.

It is filled as entries are applied, the log's replay at a start included. What happened before it begins nobody can be
told here any more.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from coord.model.replies import Change, Effect

CHANGE_COSTS_BYTES = 250
"""What one change takes in memory beside its path, about."""

PARTS = 64
"""The oldest are let go about a 64th of the window at a time."""


@dataclass(slots=True)
class _Part:
    """Changes one after the other, of whole batches: in two lists, since a pair of each would have to be made first."""

    zxids: list[int] = field(default_factory=list)  # of the entries that made them
    changes: list[Change] = field(default_factory=list)
    bytes: int = 0


class Window:
    """All changes after `start`, in order.

    Those of the batch that is being applied are put into `latest`, and settle with its end: to measure each change as
    it comes costs a set a tenth of its time.
    """

    __slots__ = ("_bytes", "_bytes_max", "_parts", "latest", "start")

    def __init__(self, start: int, bytes_max: int) -> None:
        self.start = start  # the zxid after which nothing is missing
        self.latest = _Part()
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
        self.latest.zxids += [zxid] * len(effects)
        self.latest.changes += effects  # type: ignore[arg-type]

    def settle(self) -> None:
        """The batch has been applied: let the oldest changes go, if there are too many."""
        latest, parts = self.latest, self._parts
        if not latest.changes:
            return
        size = CHANGE_COSTS_BYTES * len(latest.changes) + sum([len(change.path) for change in latest.changes])
        if not parts or parts[-1].bytes * PARTS >= self._bytes_max:
            parts.append(_Part())
        last = parts[-1]
        last.zxids += latest.zxids
        last.changes += latest.changes
        last.bytes += size
        latest.zxids.clear()
        latest.changes.clear()
        self._bytes += size
        while self._bytes > self._bytes_max:
            oldest = parts.popleft()
            self._bytes -= oldest.bytes
            self.start = oldest.zxids[-1]

    def after(self, zxid: int) -> list[tuple[int, Change]] | None:
        """The changes after `zxid`, in order; None if the window does not reach back so far."""
        if zxid < self.start:
            return None
        found: list[tuple[int, Change]] = []
        for part in chain([self.latest], reversed(self._parts)):  # so it costs what was missed, not all
            begin = bisect_right(part.zxids, zxid)
            found += zip(reversed(part.zxids[begin:]), reversed(part.changes[begin:]), strict=True)
            if begin:
                break
        found.reverse()
        return found

    def restart(self, start: int) -> None:
        """The state has jumped to `start`."""
        self.start = start
        self.latest = _Part()
        self._bytes = 0
        self._parts.clear()

    def __len__(self) -> int:
        return sum([len(part.changes) for part in (*self._parts, self.latest)])
