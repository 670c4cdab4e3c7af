"""Queues whose items are gone when they are taken: nobody gets an item that another has got.

An item is one znode below the path, named by its priority and its number; its data are the value. For work that must
be done even if the one who took it dies, use TaskQueue.
"""

import anyio.lowlevel

import coord
from recipes.inside import check_path
from recipes.items import Items, QueueEmpty, wait_event
from recipes.shielded import shielded
from recipes.waiting import among_few


class Queue:
    """`await queue.put(b"...")` and, anywhere else, `await queue.get()`: first in, first out.

    What `put` has returned for is in the queue, once. An item is taken by one `get`, in one step; a `get` that is
    cancelled takes none, or returns it all the same, and its task feels the cancellation where it waits next. One that
    raises SessionLostError or CallTimeoutError may have taken an item that nobody gets to see: that is what TaskQueue
    is for.

    `limit`: no more items than so many; `put` waits until there is room. All who put must name the same.
    """

    def __init__(self, client: coord.Client, path: str, *, limit: int | None = None) -> None:
        self.client = client
        self.path = check_path(path)
        self.limit = limit
        self._items = Items(client, path, limit)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    async def put(self, value: bytes) -> str:
        """Add an item to the end; its name."""
        return await self._items.put(value, 0, wait=True)

    async def put_nowait(self, value: bytes) -> str:
        """Add an item, or raise QueueFull."""
        return await self._items.put(value, 0, wait=False)

    async def get(self) -> bytes:
        """Take the first item; wait for one if there is none."""
        value = await self._take_first()
        if value is not None:
            return value
        async with among_few(self.client, self.path, "get"):
            while True:
                async with self.client.watch(
                    self.path, recursive=True, depth=1, kinds=[coord.EventKind.CREATED]
                ) as creations:
                    value = await self._take_first()
                    if value is not None:
                        return value
                    await wait_event(creations)

    async def get_nowait(self) -> bytes:
        """Take the first item, or raise QueueEmpty."""
        value = await self._take_first()
        if value is None:
            raise QueueEmpty(f"there is no item in {self.path}")
        return value

    async def peek(self) -> bytes | None:
        """The first item as it is now; it stays where it is."""
        page = await self._items.page(data=True)
        return next((each.data or b"" for each in page.children if each.stat is not None), None)

    async def count(self) -> int:
        """How many items there are, as this client's server knows it."""
        return await self._items.count()

    async def _take_first(self) -> bytes | None:
        """The first item that nobody takes before; None if there is none."""
        after, more = "", True
        while more:
            page = await self._items.page(after, data=False)
            for child in page.children:
                after = child.name
                if child.stat is not None:
                    value = await self._take(f"{self.path}/{child.name}", child.stat)
                    if value is not None:
                        return value
            more = page.more
        return None

    async def _take(self, path: str, stat: coord.Stat) -> bytes | None:
        try:
            value, _ = await self.client.get(path)
        except coord.NoNodeError:
            return None
        await anyio.lowlevel.checkpoint_if_cancelled()

        async def take() -> bytes | None:
            try:
                async with self.client.transaction() as txn:
                    txn.check(path, created=stat.czxid)
                    txn.delete(path)
            except (coord.NoNodeError, coord.BadVersionError):
                return None  # somebody was faster
            return value

        return await shielded(take)  # what is taken is returned, cancelled or not


class PriorityQueue(Queue):
    """A queue from which the smallest priority is taken first, and of one priority the oldest item."""

    async def put(self, value: bytes, priority: int = 0) -> str:
        """Add an item; its name. `priority` is from 0, which is taken first, to 99,999."""
        return await self._items.put(value, priority, wait=True)

    async def put_nowait(self, value: bytes, priority: int = 0) -> str:
        """Add an item, or raise QueueFull."""
        return await self._items.put(value, priority, wait=False)
