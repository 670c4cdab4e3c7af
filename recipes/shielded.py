"""What is done to its end though its task is cancelled, on Trio and on asyncio.

AnyIO's shield keeps out cancel scopes. On asyncio there is also `task.cancel()`, which `asyncio.timeout` and
`asyncio.wait_for` use, and which no scope keeps out: there the work has a task of its own, and is waited for.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import sniffio

T = TypeVar("T")


async def shielded(act: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `act()` gives. A cancellation that came meanwhile is felt where the task waits next.

    A task that ends before it waits again keeps its result, as on Trio: what was taken in it is not lost.
    """
    with anyio.CancelScope(shield=True):
        if sniffio.current_async_library() != "asyncio":
            return await act()
        task = asyncio.current_task()
        assert task is not None, "there is a task where something is awaited"
        requests_before = task.cancelling()
        requests = 0
        work = asyncio.ensure_future(act())
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                requests = requests or min(task.cancelling(), requests_before + 1)
    if requests and task is not None:
        # Not now: asyncio would cancel a task that only returns, and drop what it returns.
        asyncio.get_running_loop().call_soon(_cancel_again, task, requests)
    return work.result()


def _cancel_again(task: asyncio.Task[Any], requests: int) -> None:
    """Raise the cancellation that was caught, unless it was taken back, as by the end of an `asyncio.timeout`.

    It was counted when it came, and is not counted twice.
    """
    if not task.done() and task.cancelling() >= requests:
        task.uncancel()
        task.cancel()
