"""Time that costs nothing: it stands still while anything can be done, and jumps when everyone waits.

As `trio.testing.MockClock(autojump_threshold=0)` does, in half the turns of Trio's loop: Trio asks how long it may
sleep only when no task is ready, so this clock jumps in the very question, and the deadline is met in the same turn.
"""

import math

import trio
from trio._core import _run as trio_run


class VirtualClock(trio.abc.Clock):
    """Begins at 0."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now_s:.3f} s>"

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline == math.inf or trio_run.GLOBAL_RUN_CONTEXT.runner.waiting_for_idle:
            return deadline - self._now_s  # nothing to jump to, or `wait_all_tasks_blocked` goes first
        self._now_s = max(self._now_s, deadline)
        return 0.0
