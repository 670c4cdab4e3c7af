"""How many tasks of the event loop are still to run before it looks at the sockets again.

Nothing but speed hangs on the number: who finds it 0 knows that waiting for the next turn would gather nothing more.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

RECOUNT_EVERY = 1024
"""After so many turns without a pause the loop itself is asked, which is slow: others may have held tasks back."""


class Turn(trio.abc.Instrument):
    """Counts while it is `watched`."""

    __slots__ = ("_counted", "tasks_ready")

    def __init__(self) -> None:
        self.tasks_ready = RECOUNT_EVERY  # until it is known
        self._counted = 0  # so many turns yet in which the number is believed

    @contextmanager
    def watched(self) -> Iterator[None]:
        trio.lowlevel.add_instrument(self)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(self)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.tasks_ready += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.tasks_ready -= 1

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:  # the loop waits only when nobody is ready
            self.tasks_ready = 0
            self._counted = RECOUNT_EVERY
        elif self._counted:
            self._counted -= 1
        else:
            self.tasks_ready = trio.lowlevel.current_statistics().tasks_runnable
            self._counted = RECOUNT_EVERY
