"""How a command is asked to stop: SIGTERM or SIGINT, once; asking again does not make it less careful."""

import signal
from collections.abc import Awaitable, Callable

import trio


async def until_stopped(work: Callable[[], Awaitable[None]], heard: Callable[[str], None]) -> None:
    """Do `work` until it ends or a signal comes, which cancels it; `heard` is told the name of each signal.

    Listens on while the work stops, because Ctrl-C on `coord up` reaches its servers twice: from the terminal
    and from `coord up`. A second signal must not turn a clean stop into a crash.
    """

    async def listen(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                heard(signal.Signals(number).name)
                working.cancel()

    async with trio.open_nursery() as nursery:
        working = trio.CancelScope()
        await nursery.start(listen)
        with working:
            await work()
        nursery.cancel_scope.cancel()
