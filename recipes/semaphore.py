"""A lock that so many may hold at once, and that number may be changed while it is in use.

- Never more bodies at once than the capacity; after it was lowered, as soon as the holders that are too many have left.
- Fair: in the order in which they asked. One contender, the first in the line, watches the holders; the others watch
  the one before them.
- Loss, tokens, guards and what is left behind: as with `Lock`. Each holder has a znode and a token of its own.

How it is laid out: `<path>/holders` has the capacity as its data and a znode for each holder, `<path>/queue` is the
line of those who wait. Whoever is first in the line, and nobody else, may add a holder; in one transaction it does so,
leaves the line, and makes sure that the capacity is still what it has read.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio

import coord
from recipes.errors import MisuseError
from recipes.holding import USES, Held, body, check_margin, token_of
from recipes.inside import Reusable, check_contender, check_path, check_timeout
from recipes.place import COORD, KAZOO, Place, PlaceGone, Places, acquire, contender, delete, too_late, unique_id
from recipes.shielded import shielded

CAPACITY_MAX = 1_000_000_000
"""More than znodes have children."""

KINDS = (coord.EventKind.CHILDREN, coord.EventKind.CHANGED, coord.EventKind.DELETED)


class Semaphore(Reusable[Held]):
    """`async with Semaphore(client, "/limits/db", 5) as held: ...`

    `capacity`: how many may hold it, if nobody has said so before; afterwards what was said by `set_capacity`. The
    other options, `confirm=False` among them, are those of `Lock`. `layout="kazoo"`: share it with
    `kazoo.recipe.lock.Semaphore`, which does not notice a changed capacity. One object is one contender at a time.
    """

    USE = ("semaphore", "contender")

    def __init__(
        self,
        client: coord.Client,
        path: str,
        capacity: int = 1,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
        confirm: bool = True,
        layout: str = COORD,
    ) -> None:
        _check_capacity(path, capacity)
        self.client = client
        self.path = check_path(path)
        self.name = check_contender(path, name)
        self._first_capacity = capacity
        self._holders = path if layout == KAZOO else f"{path}/holders"
        queue = f"{path}-__lock__" if layout == KAZOO else f"{path}/queue"
        self._places = Places(client, queue, ("lock",), layout)
        self._timeout = check_timeout(path, timeout)
        self._margin = check_margin(client, path, margin)
        self._confirm = confirm

    def __repr__(self) -> str:
        return f"<Semaphore {self.path}{' in use' if self._block else ''}>"

    async def capacity(self) -> int:
        """How many may hold it."""
        capacity, _ = await self._read()
        return capacity

    async def set_capacity(self, capacity: int, *, below_holders: bool = False) -> None:
        """Let so many hold it from now on. More are let in at once.

        With `below_holders` there may be more holders now: nobody is let in until enough of them have left.
        """
        _check_capacity(self.path, capacity)
        while True:
            before, stat = await self._read()
            if not below_holders:
                await self._count_below(capacity)
            if await shielded(partial(self._change, before, stat.version, capacity, below_holders)):
                return

    async def _change(self, before: int, version: int, capacity: int, below_holders: bool) -> bool:
        """False if somebody else has changed it since. Not to be cancelled: it may have to be changed back."""
        try:
            changed = await self.client.set(self._holders, b"%d" % capacity, version=version)
        except (coord.BadVersionError, coord.NoNodeError):
            return False
        try:
            if not below_holders:
                await self._count_below(capacity)  # who came in before this is seen now, and nobody does after it
        except MisuseError:
            with suppress(coord.BadVersionError, coord.NoNodeError):
                await self.client.set(self._holders, b"%d" % before, version=changed.version)
            raise
        return True

    async def _count_below(self, capacity: int) -> None:
        """Raises MisuseError if more hold it than that."""
        holders = len(await self.client.children(self._holders, linearizable=True))
        if capacity < holders:
            raise MisuseError(
                f"{self.path} is held by {holders}, which is more than {capacity}; say below_holders=True to let them "
                "finish and nobody else in until enough have left"
            )

    async def holders(self) -> list[str]:
        """The names of those who hold it, in no particular order."""
        names = []
        with suppress(coord.NoNodeError):
            for child in await self.client.children(self._holders):
                with suppress(coord.NoNodeError):
                    names.append(contender((await self.client.get(f"{self._holders}/{child}"))[0]))
        return names

    async def contenders(self) -> list[str]:
        """The names of those who wait, in order."""
        return await self._places.contenders()

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[Held]:
        with USES.use(self.client, self.path, "a semaphore"):
            path = f"{self._holders}/{unique_id(self.client)}"
            try:
                await self._enter(path)
                token = await token_of(self.client, path)
            except BaseException:
                await delete(self.client, path)
                raise
            try:
                held = Held(self.client, path, token, self.name, self._margin)
                held.check()
                async with body(held):
                    yield held
            finally:
                await self._leave(path)

    async def _leave(self, path: str) -> None:
        if self._confirm:
            await delete(self.client, path)
        else:
            txn = self.client.transaction()
            txn.delete(path)  # nobody else had this name, or will have it
            self._places.send_release(txn)

    async def _enter(self, path: str) -> None:
        with anyio.move_on_after(self._timeout):
            while True:
                place = await acquire(self._places, "lock", self.name)
                try:
                    while not await self._wait_room(place, path):
                        pass
                except PlaceGone:
                    continue
                finally:
                    await place.leave()
                return
        raise too_late(self.path, self._timeout)

    async def _wait_room(self, place: Place, path: str) -> bool:
        """As the first of the line: until there is room, and in. False if something has to be read anew."""
        try:
            async with self.client.watch(self._holders, kinds=KINDS) as events:
                while True:
                    capacity, stat = await self._read()
                    go_in = partial(self._go_in, place, path, stat.version)
                    if stat.children_count < capacity and await shielded(go_in):
                        return True
                    if stat.children_count >= capacity:
                        await anext(events)
        except coord.WatchWindowLostError:
            return False

    async def _go_in(self, place: Place, path: str, version: int) -> bool:
        try:
            async with self.client.transaction(guard=place) as txn:
                txn.check(self._holders, version=version)
                txn.create(path, self.name.encode(), ephemeral=True)
                txn.delete(place.path)
        except coord.BadVersionError:
            return False  # another capacity
        except coord.NoNodeError as error:
            if error.step is None:
                raise PlaceGone(f"{place.path} was deleted while it waited") from error
            return False
        place.left = True
        return True

    async def _read(self) -> tuple[int, coord.Stat]:
        """The capacity, and the Stat of where it is."""
        while True:
            try:
                value, stat = await self.client.get(self._holders)
            except coord.NoNodeError:
                with suppress(coord.NodeExistsError):
                    await self.client.create(self._holders, b"%d" % self._first_capacity, parents=True)
                continue
            if not value:  # kazoo makes it first and says how many a moment later
                return self._first_capacity, stat
            try:
                return int(value), stat
            except ValueError:
                raise MisuseError(f"the data of {self._holders} is {value!r:.40}, and not a capacity") from None


def _check_capacity(path: str, capacity: int) -> None:
    if type(capacity) is not int or not 1 <= capacity <= CAPACITY_MAX:
        shown = repr(capacity) if type(capacity) is not int or capacity < 1 else "more"
        raise MisuseError(f"the capacity of {path} is a number from 1 to {CAPACITY_MAX:,}, not {shown}")
