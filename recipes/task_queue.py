"""A queue of work: an item is there until somebody who has done it says so.

    <path>/items/<priority>-<number>   the item; its version is the number of times that it was taken
    <path>/taken/<the same name>       ephemeral, of the worker that has it
    <path>/failed/<the same name>      an item that was taken too often

Taking makes the ephemeral znode and raises the item's version in one transaction. Acknowledging deletes both, if the
ephemeral one is still this worker's. When a worker's session ends its ephemeral goes, and the item can be taken again.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio.lowlevel

import coord
from recipes.claim import release
from recipes.errors import LockLost, MisuseError
from recipes.holding import Held, body, check_margin
from recipes.inside import check_name, check_path
from recipes.items import Items, wait_event
from recipes.place import insist
from recipes.shielded import shielded
from recipes.waiting import among_few


class Task(Held):
    """An item that this worker has. A guard: `client.transaction(guard=task)` is done only while it has it."""

    def __init__(
        self, queue: "TaskQueue", name: str, value: bytes, tries: int, token: int, margin: float | None
    ) -> None:
        super().__init__(queue.client, f"{queue.path}/taken/{name}", token, name, margin)
        self.value = value
        self.tries = tries
        """How often it has been taken, this time included: above 1 somebody may have begun with it."""
        self.settled = False
        """It was acknowledged or put back."""
        self.item = f"{queue.path}/items/{name}"
        self._transaction: coord.Transaction | None = None

    async def acknowledge(self) -> None:
        """It is done: it never comes back. Leaving the block without an error does it too.

        Raises LockLost if this worker had lost it; then somebody else does it again. Not stopped by a cancellation.
        """
        self._need()
        await shielded(self._acknowledge)
        self.settled = True

    async def _acknowledge(self) -> None:
        timed_out = False
        while True:
            txn = self._client.transaction()
            self._add_steps(txn)
            try:
                await txn.commit()
                return
            except coord.CallTimeoutError:
                timed_out = True
            except (coord.NoNodeError, coord.BadVersionError):
                if timed_out and not await self._client.exists(self.item, linearizable=True):
                    return  # it was done, and the answer came too late
                raise LockLost(
                    f"{self.item} was lost before it was acknowledged: its znode {self.path} is not the one "
                    "that this worker made; somebody else will do it again"
                ) from None

    def acknowledge_with(self, transaction: coord.Transaction) -> None:
        """Add the acknowledgement to a transaction of one's own: what it writes is written once, with it."""
        self._need()
        self._add_steps(transaction)
        self._transaction = transaction

    async def put_back(self) -> None:
        """Let somebody else have it, now. Leaving the block with an error does it too."""
        self._need()
        await release(self._client, self.path, self.token)
        self.settled = True

    def _need(self) -> None:
        if self.settled:
            raise MisuseError(f"{self.item} was acknowledged or put back before: a task is settled once")

    def _add_steps(self, txn: coord.Transaction) -> None:
        txn.check(self.path, created=self.token)
        txn.delete(self.item)
        txn.delete(self.path)

    async def _settle(self) -> None:
        """The block was left without an error."""
        if self.settled:
            return
        if self._transaction is not None and self._transaction.committed:
            self.settled = await shielded(lambda: self._client.exists(self.item, linearizable=True)) is None
            if self.settled:
                return
        await self.acknowledge()


class TaskQueue:
    """`await tasks.put(b"...")`, and in each worker `async with tasks.take() as task: ...`.

    An item that was put is done until it has been acknowledged: by leaving the block without an error. With an error,
    or when the worker dies, it comes back; after `tries` times it is set aside (`failed`). Never two workers have an
    item at the same time: the body is cancelled, and LockLost raised, before the servers could give it to another.
    What was acknowledged is never given to anybody again.

    `limit`: no more items than so many, those that are taken included; `put` waits until there is room.
    """

    def __init__(self, client: coord.Client, path: str, *, tries: int = 5, limit: int | None = None) -> None:
        if type(tries) is not int or tries < 1:
            raise ValueError(f"an item is tried once or more often, not {tries!r} times")
        self.client = client
        self.path = check_path(path)
        self.tries = tries
        self.limit = limit
        self._items = Items(client, f"{path}/items", limit)

    def __repr__(self) -> str:
        return f"<TaskQueue {self.path}>"

    async def put(self, value: bytes, priority: int = 0) -> str:
        """Add an item; its name. `priority` is from 0, which is taken first, to 99,999."""
        return await self._items.put(value, priority, wait=True)

    async def put_nowait(self, value: bytes, priority: int = 0) -> str:
        """Add an item, or raise QueueFull."""
        return await self._items.put(value, priority, wait=False)

    @asynccontextmanager
    async def take(self, *, margin: float | None = None) -> AsyncIterator[Task]:
        """Have an item within the block; wait for one if there is none.

        `margin`: seconds before the session's deadline at which the body is cancelled.
        """
        task = await self._wait_task(check_margin(self.client, self.path, margin))
        try:
            task.check()
            async with body(task):
                yield task
            await task._settle()
        finally:
            if not task.settled:
                await release(self.client, task.path, task.token)

    async def count(self) -> int:
        """How many items there are, those that are taken included."""
        return await self._items.count()

    async def failed(self) -> dict[str, bytes]:
        """The items that were set aside, by name."""
        found = {}
        with suppress(coord.NoNodeError):
            async for child in self.client.each_child(f"{self.path}/failed", data=True):
                if child.stat is not None:
                    found[child.name] = child.data or b""
        return found

    async def retry(self, name: str) -> None:
        """Put an item that was set aside back into the queue, as if it had never been tried.

        As `put` it waits until there is room. If another item has its name by now it gets a new one.
        """
        failed = f"{self.path}/failed/{check_name(name, 'the name of an item')}"
        path, sequential = f"{self.path}/items/{name}", False
        while True:
            try:
                value, stat = await self.client.get(failed)
                await self._items.add(partial(_move, failed, stat.czxid, path, value, sequential), wait=True)
                return
            except (coord.NoNodeError, coord.BadVersionError):
                raise MisuseError(f"there is no {failed}: failed() tells which items were set aside") from None
            except coord.NodeExistsError:
                path, sequential = f"{self.path}/items/{name.partition('-')[0]}-", True

    # ---- taking

    async def _wait_task(self, margin: float | None) -> Task:
        task = await self._find(margin)
        if task is not None:
            return task
        async with among_few(self.client, self._items.path, "take"):
            while True:
                async with self.client.watch(
                    self.path, recursive=True, depth=2, kinds=[coord.EventKind.CREATED, coord.EventKind.DELETED]
                ) as events:
                    task = await self._find(margin)
                    if task is not None:
                        return task
                    await wait_event(events, self._news())

    def _news(self) -> Callable[[coord.Event], bool]:
        """Tells whether an event says that an item has come, or is taken by nobody any more and still there."""
        done = ""  # the item that was deleted last: its acknowledgement deletes it first, and then what has taken it

        def is_news(event: coord.Event) -> bool:
            nonlocal done
            kind, _, name = event.path.removeprefix(f"{self.path}/").partition("/")
            if event.kind is coord.EventKind.CREATED:
                return kind == "items" and bool(name)
            if kind == "items":
                done = name
            return kind == "taken" and bool(name) and name != done

        return is_news

    async def _find(self, margin: float | None) -> Task | None:
        """Take the first item that nobody has; None if there is none."""
        after, more = "", True
        while more:
            page = await self._items.page(after, data=False)
            try:
                taken = set(await self.client.children(f"{self.path}/taken"))
            except coord.NoNodeError:
                taken = set()
            for child in page.children:
                after = child.name
                if child.stat is not None and child.name not in taken:
                    task = await self._take(child.name, child.stat, margin)
                    if task is not None:
                        return task
            more = page.more
        return None

    async def _take(self, name: str, seen: coord.Stat, margin: float | None) -> Task | None:
        item, taken = f"{self.path}/items/{name}", f"{self.path}/taken/{name}"
        try:
            value, stat = await self.client.get(item)
        except coord.NoNodeError:
            return None
        if stat.czxid != seen.czxid:
            return None
        if stat.version >= self.tries:
            await self._set_aside(name, value, stat)
            return None
        await anyio.lowlevel.checkpoint_if_cancelled()
        seen_zxid = self.client.session.seen_zxid

        async def take() -> Task | None:
            try:
                async with self.client.transaction() as txn:
                    txn.set(item, value, version=stat.version)
                    txn.create(taken, ephemeral=True, parents=True)
            except (coord.NoNodeError, coord.BadVersionError, coord.NodeExistsError):
                return None  # somebody was faster
            except coord.CallTimeoutError:
                await insist(self.client, lambda: self._give_back(taken, seen_zxid))
                raise
            changed = txn.results[0]
            assert isinstance(changed, coord.Stat)
            return Task(self, name, value, changed.version, changed.mzxid, margin)

        return await shielded(take)

    async def _give_back(self, taken: str, seen_zxid: int) -> None:
        """Taking came to nothing within `call_timeout`, and may have been done all the same.

        What this client had been told of before is another task of it, which has the item.
        """
        stat = await self.client.exists(taken, linearizable=True)
        if stat is not None and stat.ephemeral_owner == self.client.session.id and stat.czxid > seen_zxid:
            await release(self.client, taken, stat.czxid)

    async def _set_aside(self, name: str, value: bytes, stat: coord.Stat) -> None:
        """Names come again when somebody has deleted all items: an earlier one may lie there under this name."""
        for failed in (name, f"{name}-{stat.czxid:x}"):
            with suppress(coord.NoNodeError, coord.BadVersionError, coord.NodeExistsError):
                async with self.client.transaction() as txn:
                    txn.check(f"{self.path}/taken/{name}", exists=False)
                    txn.delete(f"{self.path}/items/{name}", version=stat.version)
                    txn.create(f"{self.path}/failed/{failed}", value, parents=True)
                return


def _move(source: str, token: int, target: str, value: bytes, sequential: bool, txn: coord.Transaction) -> None:
    txn.check(source, created=token)
    txn.delete(source)
    txn.create(target, value, sequential=sequential)
