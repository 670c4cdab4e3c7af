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


async def shielded(act: Callable[[], Coroutine[Any, Any, T]], *, felt: bool = True) -> T:
    """What `act()` gives. A cancellation that came meanwhile is felt at the next await after it.

    Without `felt` one of asyncio's own is not: a task that ends with it pending would lose what it returns.
    """
    with anyio.CancelScope(shield=True):
        if sniffio.current_async_library() != "asyncio":
            return await act()
        work = asyncio.ensure_future(act())
        cancelled = False
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
    if cancelled and felt:
        _cancel_again()
    return work.result()


def _cancel_again() -> None:
    """Let the cancellation that was caught be raised later, and be counted once."""
    task = asyncio.current_task()
    assert task is not None, "there is a task where something is awaited"
    task.uncancel()
    task.cancel()
