"""How durations are distributed: a count for each of a few ranges, so that noting one costs no memory and little time.

The ranges are the same everywhere, from a tenth of a millisecond to 15 seconds, six to a power of ten: a percentile
read from them is wrong by at most half of itself.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

BOUNDS_S = (
    0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03,
    0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0,
)  # fmt: skip
"""The upper ends of the ranges, which include them; what is longer than all of them has a range of its own."""


class Histogram:
    """`counts[i]` durations were longer than BOUNDS_S[i - 1] and at most BOUNDS_S[i]. They only ever grow."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def note(self, seconds: float, times: int = 1) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += times
        self.total_s += seconds * times

    @property
    def count(self) -> int:
        return sum(self.counts)

    def count_above(self, bound_s: float) -> int:
        """How many were longer than this one of BOUNDS_S."""
        return sum(self.counts[BOUNDS_S.index(bound_s) + 1 :])

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} durations, {self.total_s:.3f} s in all>"


def summed(histograms: Iterable[Histogram]) -> list[int]:
    """The counts of several together."""
    columns = [histogram.counts for histogram in histograms]
    return [sum(column) for column in zip(*columns, strict=True)] if columns else [0] * (len(BOUNDS_S) + 1)


def percentile_s(counts: Sequence[int], fraction: float) -> float:
    """What `fraction` of these did not exceed, as if each range were evenly filled; 0 if there are none."""
    wanted = sum(counts) * fraction
    if not wanted:
        return 0.0
    low = 0.0
    for count, high in zip(counts, BOUNDS_S, strict=False):
        if count >= wanted:
            return low + (high - low) * wanted / count
        wanted -= count
        low = high
    return low  # or more: beyond the last bound nobody knows


class Lately:
    """Of counts that only grow, what was added in the last half to whole `span_s`."""

    __slots__ = ("_former", "_latest", "_span_s", "_turn_s")

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._turn_s = 0.0
        self._former: Sequence[int] = ()
        self._latest: Sequence[int] = ()

    def is_due(self, now: float) -> bool:
        """Whether `turn` wants the counts."""
        return now >= self._turn_s

    def turn(self, now: float, counts: Sequence[int]) -> None:
        """What was added before the last turn but one is not of late any more."""
        self._turn_s = now + self._span_s / 2
        self._former, self._latest = self._latest, tuple(counts)

    def added(self, counts: Sequence[int]) -> list[int]:
        """The counts less what they were then."""
        former = self._former or (0,) * len(counts)
        return [new - old for new, old in zip(counts, former, strict=True)]
