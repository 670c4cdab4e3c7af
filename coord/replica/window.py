"""The last changes of the tree by zxid, so that a watch can be told what it missed. Volatile, and bounded.

It is filled as entries are applied, the log's replay at a start included. What happened before it begins nobody can be
told here any more.
"""

from collections import deque
from collections.abc import Sequence

from coord.model.replies import Change, Effect

CHANGE_COSTS_BYTES = 250
"""What one change takes in memory beside its path, about."""


class Window:
    """All changes after `start`, in order."""

    __slots__ = ("_bytes", "_bytes_max", "_changes", "start")

    def __init__(self, start: int, bytes_max: int) -> None:
        self.start = start  # the zxid after which nothing is missing
        self._bytes = 0
        self._bytes_max = bytes_max
        self._changes: deque[tuple[int, Change]] = deque()

    def add(self, zxid: int, effects: Sequence[Effect]) -> None:
        """What the entry at `zxid` did. Of one entry all changes go together, sooner or later."""
        for effect in effects:
            if type(effect) is Change:
                self._changes.append((zxid, effect))
                self._bytes += CHANGE_COSTS_BYTES + len(effect.path)
        while self._bytes > self._bytes_max:
            self.start, oldest = self._changes.popleft()
            self._bytes -= CHANGE_COSTS_BYTES + len(oldest.path)

    def after(self, zxid: int) -> list[tuple[int, Change]] | None:
        """The changes after `zxid`, in order; None if the window does not reach back so far."""
        if zxid < self.start:
            return None
        found: list[tuple[int, Change]] = []
        for each in reversed(self._changes):  # so it costs what was missed, not what is there
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

    def __len__(self) -> int:
        return len(self._changes)
