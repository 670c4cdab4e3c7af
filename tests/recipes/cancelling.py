"""Cancels a piece of code at each of its checkpoints in turn.

`at_each_checkpoint(scenario)` runs `scenario()` again and again. In the first run the first checkpoint that its task
comes to inside `with cancellable:` is cancelled, in the second run the second, and so on, until a run gets through
without having been cancelled. It needs Trio: the cancelled checkpoint is counted by an instrument.

    async def scenario(cancellable):
        async with ensemble.client() as client:
            with cancellable:
                async with Lock(client, "/lock"):
                    await trio.sleep(0.1)
            assert await client.children("/lock") == []

    runs = await at_each_checkpoint(scenario)
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import trio


class Cancellable(trio.abc.Instrument):
    """A `with` block that is cancelled when its task has been put aside for the n-th time since it was entered.

    `strike`: what is done then in place of that.
    """

    def __init__(self, after: int, strike: Callable[[], object] | None = None) -> None:
        self.after = after
        self.strike = strike
        self.seen = 0
        self.fired = False
        self._task: trio.lowlevel.Task | None = None
        self._scope = trio.CancelScope()

    def __enter__(self) -> Self:
        self._task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(self)
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        trio.lowlevel.remove_instrument(self)
        return self._scope.__exit__(kind, error, traceback)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """The task has just been put aside: it stands at a checkpoint."""
        if task is self._task and not self.fired:
            self.seen += 1
            if self.seen == self.after:
                self.fired = True
                (self.strike or self._scope.cancel)()


async def at_each_checkpoint(
    scenario: Callable[[Cancellable], Awaitable[None]], runs_max: int = 500, *, step: int = 1
) -> int:
    """Runs the scenario until it is not reached by its cancellation; at which checkpoint that was.

    `step`: each second, third ... of them alone, where a run takes long.
    """
    for after in range(1, runs_max + 1, step):
        cancellable = Cancellable(after)
        try:
            await scenario(cancellable)
        except BaseException as error:
            error.add_note(f"cancelled at checkpoint {after}, which was reached: {cancellable.fired}")
            raise
        if not cancellable.fired:
            return after
    raise AssertionError(f"after {runs_max} runs there were still checkpoints; make the scenario shorter")
