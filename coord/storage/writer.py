"""The one place that decides whether a write to the disk is done at once or in a thread.

A thread for every sync costs a write a third of its speed or more where the disk answers in a millisecond (the two
threads fight for the interpreter, too); without one, a slow disk stops the event loop. So the disk is measured: while
it is quick, a small write into an idle store is performed inline, in `submit` itself. As soon as one stalls, or the
average grows, everything goes through one worker thread, a batch at a time, and what arrives meanwhile is the next
batch, with one sync for all of it. From the thread the disk cannot be trusted, since a thread waits for the interpreter
as well; so after a while one write is performed inline as a probe: if it is quick the writer stays inline, else the
next probe comes after twice as many. But a write that stalls in the thread would have stalled inline, too: no probe
follows it. Nor is anything performed inline while it is known that the disk has much else to do (`disk_busy`).

Promises: what is submitted is performed in the order in which it was submitted, and each `then` is called in that
order, on the event loop, after its steps are durable. After a StorageFailure nothing more is performed or called.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Protocol, TypeVar

import trio

from coord.paxos.effects import Append, SaveBallot, Step
from coord.storage.errors import StorageFailure

T = TypeVar("T")

_PROBE_AFTER_MIN, _PROBE_AFTER_MAX = 16, 4096
"""So many performs in the thread before the next probe: the least after good times, doubled by each failed one."""
_GOOD_TIMES = 256
"""So many inline performs without a stall, and the disk is trusted again: the next probe comes soon."""
_STALL_FACTOR = 4
"""One inline perform of so many times the limit is a stall."""
_WEIGHT = 1 / 8
"""Of the latest perform in the average."""


class Performer(Protocol):
    """What of the store the writer needs."""

    @property
    def instant(self) -> bool: ...

    def perform(self, steps: Sequence[Step]) -> None: ...


class Writer:
    """Performs steps on a store; `run` must be running as a task before the first `submit`."""

    def __init__(self, store: Performer, *, inline_max_s: float = 0.002, inline_bytes_max: int = 256 << 10) -> None:
        """Inline while a perform takes less than `inline_max_s` on average and appends at most `inline_bytes_max`."""
        self._store = store
        self._inline_max_s = inline_max_s
        self._inline_bytes_max = inline_bytes_max
        self._inline = True
        self._average_s = 0.0  # of inline performs
        self._thread_took_s = 0.0  # the last perform in the thread
        self._others = 0  # who write much beside the steps just now
        self._since_change = 0  # performs since the writer went inline, or left it
        self._probe_after = _PROBE_AFTER_MIN
        self._waiting: list[tuple[Sequence[Step], Callable[[], None]]] = []
        self._busy = False  # steps are being performed, or their callbacks called
        self._filled = trio.Event()
        self._failure: StorageFailure | None = None

    def __repr__(self) -> str:
        way = "inline" if self._inline else "thread"
        return f"<Writer {way}, {self._average_s * 1e3:.2f} ms on average, {len(self._waiting)} waiting>"

    @property
    def inline(self) -> bool:
        """Small writes are performed at once just now."""
        return self._inline

    @property
    def waiting(self) -> int:
        """Submits that are gathered while the disk is busy."""
        return len(self._waiting)

    @contextmanager
    def disk_busy(self) -> Iterator[None]:
        """While this lasts much else is written to the disk: syncs will take their time, and nobody waits inline."""
        self._others += 1
        try:
            yield
        finally:
            self._others -= 1

    def submit(self, steps: Sequence[Step], then: Callable[[], None]) -> None:
        """Perform `steps` after all that was submitted before, then call `then`, perhaps both before this returns."""
        if self._failure is not None:
            raise StorageFailure(f"the disk is not used any more: {self._failure}") from self._failure
        self._waiting.append((steps, then))
        if not self._busy:
            self._go_on()

    async def run(self) -> None:
        """Perform in a thread what is not performed inline. Ends by a StorageFailure or by cancellation.

        A cancellation waits for the thread: no write is ever left half done behind the back of a stopped server.
        """
        while True:
            await self._filled.wait()
            self._filled = trio.Event()
            gathered, self._waiting = self._waiting, []
            steps = [step for some, _ in gathered for step in some]
            with trio.CancelScope(shield=True):
                self._thread_took_s = await trio.to_thread.run_sync(self._perform, steps)
            self._since_change += 1
            self._call(gathered)
            self._busy = False
            self._go_on()

    async def aside(self, function: Callable[[], T]) -> T:
        """Call what reads the disk or writes a snapshot, beside the steps: in a thread, unless the disk is memory."""
        if self._store.instant:
            await trio.lowlevel.checkpoint()
            return function()
        return await trio.to_thread.run_sync(function)

    # ---- helpers

    def _go_on(self) -> None:
        """Perform what waits, or wake the task that does; not while something is in flight."""
        while self._waiting:
            self._busy = True
            if not self._small():
                self._filled.set()  # the task goes on from here, and stays busy until it has called back
                return
            gathered, self._waiting = self._waiting, []
            took_s = self._perform([step for some, _ in gathered for step in some])
            self._learn(took_s)
            self._call(gathered)  # may submit more, which then waits here
            self._busy = False

    def _small(self) -> bool:
        if self._store.instant:
            return True
        if self._others:
            return False
        if not self._inline and (
            self._since_change < self._probe_after or self._thread_took_s > self._inline_max_s * _STALL_FACTOR
        ):
            return False
        size = 0
        for steps, _ in self._waiting:
            for step in steps:
                if step.__class__ is Append:
                    size += len(step.batch.encoded)
                elif step.__class__ is not SaveBallot:
                    return False
        return size <= self._inline_bytes_max

    def _perform(self, steps: Sequence[Step]) -> float:
        """Perform, and say how long it took. In whichever thread."""
        started = perf_counter()
        try:
            self._store.perform(steps)
        except StorageFailure as failure:
            self._failure = failure
            raise
        return perf_counter() - started

    def _learn(self, took_s: float) -> None:
        """An inline perform, perhaps a probe, took so long."""
        if self._store.instant:
            return
        if not self._inline:
            if took_s > self._inline_max_s:
                self._probe_after = min(2 * self._probe_after, _PROBE_AFTER_MAX)
                self._since_change = 0
                return
            self._inline, self._since_change = True, 0
            self._average_s = took_s  # the slow times are over: they must not send us back at once
        self._since_change += 1
        if self._since_change == _GOOD_TIMES:
            self._probe_after = _PROBE_AFTER_MIN
        self._average_s += (took_s - self._average_s) * _WEIGHT
        if took_s > self._inline_max_s * _STALL_FACTOR or self._average_s > self._inline_max_s:
            self._inline, self._since_change = False, 0

    def _call(self, gathered: list[tuple[Sequence[Step], Callable[[], None]]]) -> None:
        for _, then in gathered:
            then()
