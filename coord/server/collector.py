"""Python's cyclic garbage collector: kept short, and its pauses measured. Nothing else runs while it does."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from coord.model.histogram import Histogram


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


def keep_short() -> None:
    """What was loaded stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
