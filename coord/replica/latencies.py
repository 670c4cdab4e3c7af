"""How long requests take, by what they ask: from their arrival until their answers were handed to the network.

Nothing is done for a single request but to put its kind on a list that is made for many: the requests of one client
that came together and were answered together are one entry, which is looked at once, when the driver has sent what the
turn gave. Latencies lie in plain arrays; whoever shows them (mntr, the HTTP admin) reads those.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from coord.model.histogram import BOUNDS_S, Histogram, Lately, percentile_s, summed
from coord.model.requests import AtLeast, Ping, Sync, Write
from coord.replica.figures import Sizes

WRITES = frozenset(get_args(Write))
"""The opening of sessions is among them."""
ROUNDS = frozenset((Sync, Ping, AtLeast))
"""They wait for the ensemble by their nature: they are counted, but no percentile of reads is spoilt by them."""

LATELY_S = 60.0
"""Percentiles are of the last half to whole minute."""

Answered = tuple[float, Sequence[type]]
"""When some requests came, and their kinds."""


class Latencies:
    """Of the requests that one server's clients asked."""

    __slots__ = ("_lately_read", "_lately_written", "answered", "by_kind", "pings", "summary_s")

    def __init__(self) -> None:
        self.by_kind: dict[type, Histogram] = {}
        self.summary_s = Sizes()  # of all; four-letter words show it, and may reset it
        self.answered: list[Answered] = []  # in this turn: they leave with it
        self.pings = 0  # answered as soon as they were read, and not counted yet: the next tick does it
        self._lately_read, self._lately_written = Lately(LATELY_S), Lately(LATELY_S)

    def take_answered(self) -> list[Answered]:
        """Those whose answers are to be delivered now."""
        answered, self.answered = self.answered, []
        return answered

    def delivered(self, answered: Iterable[Answered], now: float) -> None:
        """Their answers have left."""
        by_kind, total_count, total_s, least_s, greatest_s = self.by_kind, 0, 0.0, math.inf, 0.0
        for since_s, kinds in answered:
            seconds, count, kind = now - since_s, len(kinds), kinds[0]
            total_count += count
            total_s += seconds * count
            if seconds > greatest_s:
                greatest_s = seconds
            if seconds < least_s:
                least_s = seconds
            if count == 1 or kinds.count(kind) == count:  # nearly always: no function is called for it
                histogram = by_kind.get(kind) or self._of(kind)
                histogram.counts[bisect_left(BOUNDS_S, seconds)] += count
                histogram.total_s += seconds * count
            else:
                for kind, times in Counter(kinds).items():
                    self._of(kind).note(seconds, times)
        if total_count:
            self.summary_s.gather(total_count, total_s, least_s, greatest_s)

    def _of(self, kind: type) -> Histogram:
        histogram = self.by_kind.get(kind)
        if histogram is None:
            histogram = self.by_kind[kind] = Histogram()
        return histogram

    # ---- percentiles

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.pings:
            self._of(Ping).note(0.0, self.pings)
            self.summary_s.gather(self.pings, 0.0, 0.0, 0.0)
            self.pings = 0
        if self._lately_read.is_due(now):
            self._lately_read.turn(now, self._read())
            self._lately_written.turn(now, self._written())

    def read_lately_s(self, fraction: float) -> float:
        """Of late, so many of those that read took no longer; 0 if there were none."""
        return percentile_s(self._lately_read.added(self._read()), fraction)

    def written_lately_s(self, fraction: float) -> float:
        """The same of writes, the opening of sessions included."""
        return percentile_s(self._lately_written.added(self._written()), fraction)

    def _read(self) -> list[int]:
        return summed(each for kind, each in self.by_kind.items() if kind not in WRITES and kind not in ROUNDS)

    def _written(self) -> list[int]:
        return summed(each for kind, each in self.by_kind.items() if kind in WRITES)
