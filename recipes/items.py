"""Items below one znode, in order of priority and then of arrival: what the queues are made of."""

from collections.abc import Callable
from contextlib import suppress

import coord
from recipes.errors import RecipeError
from recipes.waiting import among_few

PRIORITY_MAX = 99_999
AT_ONCE = 16
"""Items of which one look takes the names: so many can be taken by others before a look is in vain."""


class QueueFull(RecipeError):
    """The queue holds as many items as it may. Nothing was put into it."""


class QueueEmpty(RecipeError):
    """There is no item to be had."""


class Items:
    """The items below `path`; with a `limit` never more than so many."""

    def __init__(self, client: coord.Client, path: str, limit: int | None) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ValueError(f"the limit of a queue is 1 or more items, or None for none, not {limit!r}")
        self.client = client
        self.path = path
        self.limit = limit

    async def put(self, value: bytes, priority: int, *, wait: bool) -> str:
        """Add an item; its name. With a limit `wait` says what to do when it is reached; without, QueueFull is raised.

        The limit is kept by a version: who adds an item raises that of the parent, and a look at it that is older is
        refused.
        """
        if type(priority) is not int or not 0 <= priority <= PRIORITY_MAX:
            raise ValueError(f"a priority is an int from 0, the first to be taken, to {PRIORITY_MAX}; not {priority!r}")
        stem = f"{self.path}/{priority:05d}-"
        if self.limit is None:
            return _name(await self.client.create(stem, value, sequential=True, parents=True))
        return _name(str((await self.add(lambda txn: txn.create(stem, value, sequential=True), wait=wait))[0]))

    async def add(self, fill: Callable[[coord.Transaction], None], *, wait: bool) -> list[str | coord.Stat | None]:
        """Commit a transaction that adds one item, once there is room; the results of what `fill` put into it.

        It may be filled more than once, to be tried again. What fails in it is raised.
        """
        done = await self._try_add(fill)
        if done is not None:
            return done
        if not wait:
            raise QueueFull(f"{self.path} is full: its limit is {self.limit} items")
        async with among_few(self.client, self.path, "put"):
            while True:  # whoever finds that another was faster keeps its place
                await self._wait_space()
                done = await self._try_add(fill)
                if done is not None:
                    return done

    async def _try_add(self, fill: Callable[[coord.Transaction], None]) -> list[str | coord.Stat | None] | None:
        """None if there is no room."""
        while True:
            stat = await self.client.exists(self.path)
            if stat is None:
                await self.ensure()
                continue
            if self.limit is not None and stat.children_count >= self.limit:
                return None
            txn = self.client.transaction()
            txn.set(self.path, b"", version=stat.version if self.limit is not None else -1)
            fill(txn)
            try:
                return (await txn.commit())[1:]
            except (coord.BadVersionError, coord.NoNodeError) as error:
                if error.step != 0:
                    raise

    async def ensure(self) -> None:
        with suppress(coord.NodeExistsError):
            await self.client.create(self.path, parents=True)

    async def _wait_space(self) -> None:
        async with self.client.watch(self.path, recursive=True, depth=1, kinds=[coord.EventKind.DELETED]) as deletions:
            stat = await self.client.exists(self.path)
            if stat is not None and self.limit is not None and stat.children_count >= self.limit:
                await wait_event(deletions)

    async def page(self, after: str = "", *, data: bool) -> coord.Page:
        """The next items after that name; those which this client may not read are without Stat."""
        try:
            return await self.client.children_page(self.path, after, AT_ONCE, data=data)
        except coord.NoNodeError:
            await self.ensure()
            return await self.client.children_page(self.path, after, AT_ONCE, data=data)

    async def count(self) -> int:
        stat = await self.client.exists(self.path)
        return stat.children_count if stat is not None else 0


async def wait_event(watch: coord.Watch, is_news: Callable[[coord.Event], bool] = lambda event: True) -> None:
    """Until there is news. What the servers do not remember may have been some."""
    with suppress(coord.WatchWindowLostError):
        async for event in watch:
            if is_news(event):
                return


def _name(path: str) -> str:
    return path.rpartition("/")[2]
