"""How long the disk takes: the durations of the syncs that a write waited for."""

from collections import deque

from coord.model.histogram import Histogram
from coord.model.message import message

RECENT = 512
"""How many syncs the percentile looks back on: a few seconds under load, an hour when idle."""


@message
class SyncStatistics:
    """Syncs since the start; `recent_p99_ms` over the last 512."""

    count: int
    total_ms: float
    max_ms: float
    recent_p99_ms: float


class SyncTimes:
    """Gathers durations. Written by one thread, read by any."""

    __slots__ = ("_max_s", "_recent", "all")

    def __init__(self) -> None:
        self.all = Histogram()
        self._max_s = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def note(self, seconds: float) -> None:
        self.all.note(seconds)
        if seconds > self._max_s:
            self._max_s = seconds
        self._recent.append(seconds)

    def statistics(self) -> SyncStatistics:
        recent = sorted(self._recent.copy())
        p99_s = recent[len(recent) * 99 // 100] if recent else 0.0
        return SyncStatistics(self.all.count, self.all.total_s * 1e3, self._max_s * 1e3, p99_s * 1e3)
