"""Where a story takes place: its chance, its time, and what is to happen next. Everything follows from the seed."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random

from tools.simulate.ghost import Ghost, Violation
from tools.simulate.plan import Plan

EVENTS_SHOWN = 40
EVENTS_MAX = 100_000
"""A run has some 8,000 events."""


class Stage:
    """One heap of events, one source of chance, and the onlooker (`ghost`) who knows what was committed."""

    __slots__ = (
        "_heap",
        "_numbers",
        "calm_since_s",
        "events",
        "ghost",
        "now",
        "plan",
        "rng",
        "said",
        "situations",
        "trace",
    )

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.rng = Random(seed)
        self.plan = plan or Plan.draw(self.rng)
        self.now = 0.0
        self.calm_since_s: float | None = None  # since then there are no faults any more
        self.ghost = Ghost()
        self.situations = self.ghost.situations
        self.events = 0
        self.trace = 0  # a hash over all frames that arrived: equal seeds have equal traces
        self.said: deque[tuple[object, ...]] = deque(maxlen=EVENTS_SHOWN)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    @property
    def calm(self) -> bool:
        return self.calm_since_s is not None

    def at(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call this later. What is due at one time happens in the order in which it was asked for."""
        self.at_time(self.now + delay_s, function)

    def at_time(self, when_s: float, function: Callable[[], None]) -> None:
        """Call this then; two moments that are the same stay so, which a difference and a sum would not grant."""
        heappush(self._heap, (when_s, next(self._numbers), function))

    def run_until(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, event = heappop(heap)
            self.events += 1
            event()
            if self.events > EVENTS_MAX:
                raise Violation(f"L3: {EVENTS_MAX} events after {self.now:.1f} s: something goes round in circles")
        self.now = until

    def say(self, *what: object) -> None:
        """Remembered for the report of a failure only."""
        self.said.append((round(self.now, 4), *what))
