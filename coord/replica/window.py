"""The last changes of the tree by zxid, so that a watch can be told what it missed. Volatile, and bounded.

It is filled as entries are applied, the log's replay at a start included. What happened before it begins nobody can be
told here any more.
"""

from collections import deque
from collections.abc import Sequence
from itertools import chain

from coord.model.replies import Change, Effect

CHANGE_COSTS_BYTES = 250
"""What one change takes in memory beside its path, about."""


class Window:
    """All changes after `start`, in order.

    Those of the batch that is being applied are put into `latest`, and settle with its end: to measure each change as
    it comes costs a set a tenth of its time.
    """

    __slots__ = ("_bytes", "_bytes_max", "_changes", "latest", "start")

    def __init__(self, start: int, bytes_max: int) -> None:
        self.start = start  # the zxid after which nothing is missing
        self.latest: list[tuple[int, Change]] = []  # (zxid of the entry, what it did)
        self._bytes = 0
        self._bytes_max = bytes_max
        self._changes: deque[tuple[int, Change]] = deque()

    def is_outrun_by(self, entries: int) -> bool:
        """Whether nothing of what is applied now would be left after so many entries to come."""
        return entries * CHANGE_COSTS_BYTES > self._bytes_max

    def add(self, zxid: int, effects: Sequence[Effect]) -> None:
        """What the entry at `zxid` did. Of one entry all changes go together, sooner or later."""
        self.latest += [(zxid, effect) for effect in effects if type(effect) is Change]

    def settle(self) -> None:
        """The batch has been applied: let the oldest changes go, if there are too many."""
        latest, changes, bytes_max = self.latest, self._changes, self._bytes_max
        changes += latest
        size = self._bytes + CHANGE_COSTS_BYTES * len(latest) + sum([len(change.path) for _, change in latest])
        latest.clear()
        while size > bytes_max:
            self.start, oldest = changes.popleft()
            size -= CHANGE_COSTS_BYTES + len(oldest.path)
        self._bytes = size

    def after(self, zxid: int) -> list[tuple[int, Change]] | None:
        """The changes after `zxid`, in order; None if the window does not reach back so far."""
        if zxid < self.start:
            return None
        found: list[tuple[int, Change]] = []
        for each in chain(reversed(self.latest), reversed(self._changes)):  # so it costs what was missed, not all
            if each[0] <= zxid:
                break
            found.append(each)
        found.reverse()
        return found

    def restart(self, start: int) -> None:
        """The state has jumped to `start`."""
        self.start = start
        self._bytes = 0
        self._changes.clear()
        self.latest.clear()

    def __len__(self) -> int:
        return len(self._changes) + len(self.latest)
