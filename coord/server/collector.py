"""Python's cyclic garbage collector: never run but when there is little to look at, and its pauses measured.

A run looks at all objects of its generations, each of which lies anywhere in memory: with 10,000 of them it takes 20 to
90 ms on a machine that is busy, and nothing else runs meanwhile. But coord makes no cycles where clients come and go
(a test keeps it so), so there is hardly anything to find. So the collector is off; in a quiet second what is new is
looked at, and what came into being in a busy second is let be for good, which costs nothing.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import trio

from coord.model.histogram import Histogram

TIDY_EVERY_S = 1.0

QUIET_REQUESTS_MAX = 2_000
"""In a second with at most so many requests and entries few objects come into being: a run takes milliseconds."""

QUIET_OBJECTS_MAX = 50_000
"""With more new objects than that it was no quiet second, whatever came: a snapshot is being read. A run over 200,000
new znodes takes 40 ms."""


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
    """While this lasts nothing is looked at but by `tidy`, and what is there now not even by that."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


async def run_tidying(requests: Callable[[], int]) -> None:
    """`requests` counts all that has come to this server, ever."""
    before = requests()
    while True:
        await trio.sleep(TIDY_EVERY_S)
        now = requests()
        tidy(now - before)
        before = now


def tidy(requests: int) -> None:
    """After a second with so many requests."""
    if requests > QUIET_REQUESTS_MAX or gc.get_count()[0] > QUIET_OBJECTS_MAX:
        gc.freeze()
    else:
        gc.collect(1)
