"""A lock whose holder is told when it is lost, and that the servers themselves check.

- One body at a time, in the order in which the places were taken.
- The body is cancelled, and the block ends with LockLost, before the servers could give the lock to another.
- `held.token` grows with each holder; `client.transaction(guard=held)` is refused once the holder is not it any more.
- Leaving the block, in whatever way, leaves no znode.

Lock-delay (as in Chubby): a holder that asks for one leaves a mark beside its place, which a clean release takes away
in the same step. Whoever finds the mark of a holder that went without a release waits out its delay before it goes in.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType

import anyio

import coord
from recipes.errors import MisuseError
from recipes.holding import USES, Held, body
from recipes.place import COORD, Blocker, Place, PlaceGone, Places, delete, insist, predecessor

MARK = "delay"
"""The name of the mark; it sorts before all places, so that it is seen with the first of them."""


class Lock:
    """`async with Lock(client, "/locks/db") as held: ...`

    `name`: shown to others by `contenders()`. `timeout`: seconds to wait at most, then TimeoutError is raised.
    `margin`: so many seconds before the session could end the body is cancelled; a tenth of its timeout unless said.
    `delay`: seconds for which the lock stays closed after a holder that went without a release. `layout="kazoo"`: share
    the lock with `kazoo.recipe.lock.Lock`.

    One object is one contender: it is used by one task at a time, and may be used again after that.
    """

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
        delay: float = 0.0,
        layout: str = COORD,
    ) -> None:
        if delay and layout != COORD:
            raise MisuseError(f"lock {path}: a process that uses kazoo would not wait for a delay; use coord's layout")
        self.client = client
        self.path = path
        self.name = name
        self._places = Places(client, path, ("lock",), layout)
        self._timeout = timeout
        self._margin = margin
        self._delay = delay
        self._block: AbstractAsyncContextManager[Held | None] | None = None

    def __repr__(self) -> str:
        return f"<Lock {self.path}{' in use' if self._block else ''}>"

    async def contenders(self) -> list[str]:
        """The names of the holder and of those who wait, in order."""
        return await self._places.contenders()

    def attempt(self) -> AbstractAsyncContextManager[Held | None]:
        """`async with lock.attempt() as held`: without waiting. `held` is None if somebody else holds the lock."""
        return self._hold(waits=False)

    async def __aenter__(self) -> Held:
        if self._block is not None:
            raise MisuseError(f"this lock object of {self.path} is in use: make another one for each contender")
        block = self._block = self._hold(waits=True)
        try:
            held = await block.__aenter__()
        except BaseException:
            self._block = None
            raise
        assert held is not None, "whoever waits gets the lock"
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        block, self._block = self._block, None
        assert block is not None, "a block that is left was entered"
        return await block.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _hold(self, waits: bool) -> AsyncIterator[Held | None]:
        with USES.use(self.client, self.path, "a lock"):
            place = await acquire(self._places, "lock", self.name, self._timeout if waits else 0, waits=waits)
            if place is None:
                yield None
                return
            try:
                await self._wait_delay(place, waits)
                held = Held(self.client, place.path, place.token, self.name, self._margin)
                held.check()
                async with body(held.wait_lost):
                    yield held
            finally:
                await self._release(place)

    # ---- lock-delay

    async def _wait_delay(self, place: Place, waits: bool) -> None:
        mark = f"{self.path}/{MARK}"
        if MARK in place.others:
            with suppress(coord.NoNodeError):
                value, _ = await self.client.get(mark)
                await anyio.sleep(float(value))
            if not self._delay:
                await delete(self.client, mark)
        if self._delay:
            value = f"{self._delay:g}".encode()
            try:
                await self.client.create(mark, value)
            except coord.NodeExistsError:
                await self.client.set(mark, value)

    async def _release(self, place: Place) -> None:
        if not self._delay:
            await place.leave()
            return

        async def release() -> None:
            try:
                async with self.client.transaction(guard=place) as txn:
                    txn.delete(place.path)
                    txn.delete(f"{self.path}/{MARK}")
            except (coord.NoNodeError, coord.BadVersionError):
                await place.leave()

        with anyio.CancelScope(shield=True):
            await insist(self.client, release)


async def acquire(
    places: Places, kind: str, name: str, timeout_s: float | None, *, waits: bool = True, blocker: Blocker = predecessor
) -> Place | None:
    """A place whose turn has come; None if that would take waiting and it is not wanted. No place is left behind.

    Raises TimeoutError.
    """
    while True:
        place = await places.take(kind, name)
        try:
            if not waits:
                if await place.is_free(blocker):
                    return place
            else:
                await _wait(place, timeout_s, blocker)
                return place
        except PlaceGone:
            continue
        except BaseException:
            await place.leave()
            raise
        await place.leave()
        return None


async def _wait(place: Place, timeout_s: float | None, blocker: Blocker) -> None:
    with anyio.move_on_after(timeout_s) as scope:
        await place.wait_turn(blocker)
    if scope.cancelled_caught:
        raise TimeoutError(f"{place.path} was not the first within {timeout_s:g} s")
