"""Python's cyclic garbage collector: kept short, and its pauses measured. Nothing else runs while it does.

A run looks at all objects of its generation, so with a million znodes one takes hundreds of milliseconds. But coord
makes no cycles where clients come and go (a test keeps it so); what a run could find dies young or never. So each
object is looked at twice, soon after it was made, and then no more.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from coord.model.histogram import Histogram

YOUNG_OBJECTS = 10_000
"""So many more objects than went, and the first generation is looked at: a millisecond or two."""

YOUNG_RUNS = 4
"""After so many of those the survivors are looked at once more."""

NEVER = 1 << 30


class CollectorPauses:
    """How long each run of the collector took, by generation."""

    __slots__ = ("_began_s", "by_generation")

    def __init__(self) -> None:
        self.by_generation = tuple(Histogram() for _ in gc.get_threshold())
        self._began_s = 0.0

    def _run(self, phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = perf_counter()
        else:
            self.by_generation[information["generation"]].note(perf_counter() - self._began_s)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """While this lasts every run of the collector is noted."""
        gc.callbacks.append(self._run)
        try:
            yield
        finally:
            gc.callbacks.remove(self._run)


@contextmanager
def kept_short() -> Iterator[None]:
    """While this lasts no run looks at more than YOUNG_OBJECTS * YOUNG_RUNS objects, nor at any for the third time.

    Of 300,000 znodes made one after the other the longest run took 3 ms; with thresholds of 50,000 and 20, 22 ms, and
    60 to 90 ms each time the second generation was looked at, on a busy machine. All runs together take as long.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_RUNS, NEVER)
    gc.callbacks.append(_let_survivors_be)
    try:
        yield
    finally:
        gc.callbacks.remove(_let_survivors_be)
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _let_survivors_be(phase: str, information: dict[str, int]) -> None:
    """After a run of the second generation the first and second are empty: only its survivors are in the third."""
    if phase == "stop" and information["generation"] == 1:
        gc.freeze()
