"""A lock whose holder is told when it is lost, and that the servers themselves check.

- One body at a time, in the order in which the places were taken.
- The body is cancelled, and the block ends with LockLost, before the servers could give the lock to another.
- `held.token` grows with each holder; `client.transaction(guard=held)` is refused once the holder is not it any more.
- Leaving the block, in whatever way, leaves no znode.

Lock-delay (as in Chubby): a holder that asks for one leaves a mark beside its place, which a clean release takes away
in the same step. Whoever finds the mark of a holder that went without a release waits out its delay before it goes in.
An attempt does not wait: it leaves the counting to the servers, as the mark's time to live.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import anyio

import coord
from recipes.errors import LockLost, MisuseError
from recipes.holding import USES, Held, body, check_margin
from recipes.inside import Reusable, check_contender, check_timeout
from recipes.place import COORD, GONE, Place, PlaceGone, Places, acquire, insist, too_late, wait_gone
from recipes.shielded import shielded

MARK = "delay"
"""The name of the mark; it sorts before all places, so that it is seen with the first of them."""

DELAY_S_MAX = 1_000_000_000
"""The servers may have to count it."""

COUNTED = b" from here"
"""Ends the data of a mark that has a time to live: its delay is counted by the servers."""


class Lock(Reusable[Held]):
    """`async with Lock(client, "/locks/db") as held: ...`

    `name`: shown to others by `contenders()`. `timeout`: seconds to wait at most, then TimeoutError is raised.
    `margin`: so many seconds before the session could end the body is cancelled; a tenth of its timeout unless said.
    `delay`: seconds for which the lock stays closed after a holder that went without a release. `layout="kazoo"`: share
    the lock with `kazoo.recipe.lock.Lock`.

    `confirm=False`: the end of the block does not wait until the servers have done the release. It is on its way, is
    done once, and before anything that this client asks for later; if the session ends first, that ends the hold. For
    about a round trip others may still find the lock held, and an error of the release (such as NoAuthError) is
    raised when this object is used next.

    One object is one contender: it is used by one task at a time, and may be used again after that.
    """

    USE = ("lock", "contender")

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
        delay: float = 0.0,
        confirm: bool = True,
        layout: str = COORD,
    ) -> None:
        if not (isinstance(delay, int | float) and 0 <= delay <= DELAY_S_MAX):
            raise MisuseError(
                f"lock {path}: a delay is a number of seconds from 0 to {DELAY_S_MAX:,}, not {delay!r:.40}"
            )
        if delay and layout != COORD:
            raise MisuseError(f"lock {path}: a process that uses kazoo would not wait for a delay; use coord's layout")
        self.client = client
        self.path = path
        self.name = check_contender(path, name)
        self._places = Places(client, path, ("lock",), layout)
        self._timeout = check_timeout(path, timeout)
        self._margin = check_margin(client, path, margin)
        self._delay = delay
        self._confirm = confirm

    def __repr__(self) -> str:
        return f"<Lock {self.path}{' in use' if self._block else ''}>"

    async def contenders(self) -> list[str]:
        """The names of the holder and of those who wait, in order."""
        return await self._places.contenders()

    def attempt(self) -> AbstractAsyncContextManager[Held | None]:
        """`async with lock.attempt() as held`: without waiting. `held` is None if somebody else holds the lock."""
        return self._try()

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[Held]:
        with USES.use(self.client, self.path, "a lock"):
            place = await self._enter()
            try:
                async with self._body(place) as held:
                    yield held
            finally:
                await place.leave(confirm=self._confirm)

    @asynccontextmanager
    async def _try(self) -> AsyncIterator[Held | None]:
        with USES.use(self.client, self.path, "a lock"):
            place = await try_acquire(self._places, "lock", self.name)
            if place is None:
                yield None
                return
            try:
                if MARK in place.others:  # closed for a while
                    await self._let_delay_end(place)
                    await place.leave()
                    yield None
                    return
                async with self._body(place) as held:
                    yield held
            finally:
                await place.leave(confirm=self._confirm)

    async def _enter(self) -> Place:
        """A place whose turn has come, and the delay before it is over."""
        with anyio.move_on_after(self._timeout):
            place = await acquire(self._places, "lock", self.name)
            try:
                await self._wait_delay(place)
            except BaseException:
                await place.leave()
                raise
            return place
        raise too_late(self.path, self._timeout)

    @asynccontextmanager
    async def _body(self, place: Place) -> AsyncIterator[Held]:
        try:
            if self._delay:
                await self._make_mark(place)
            held = Held(self.client, place.path, place.token, self.name, self._margin)
            held.check()
            async with body(held):
                yield held
        finally:
            if self._delay:
                await self._leave_with_mark(place)

    # ---- lock-delay

    async def _make_mark(self, place: Place) -> None:
        try:
            async with self.client.transaction(guard=place) as txn:
                txn.create(f"{self.path}/{MARK}", f"{self._delay:g}".encode())
        except (coord.NoNodeError, coord.BadVersionError) as error:
            raise LockLost(f"{place.path} is held no more: {error}") from error

    async def _wait_delay(self, place: Place) -> None:
        """If the holder before went without a release, wait out what it wanted."""
        if MARK in place.others:
            mark = f"{self.path}/{MARK}"
            with suppress(coord.NoNodeError, coord.BadVersionError):
                value, stat = await self.client.get(mark)
                with anyio.move_on_after(self._seconds(value)):
                    await wait_gone(self.client, mark, stat)
                async with self.client.transaction(guard=place) as txn:
                    txn.delete(mark)

    async def _let_delay_end(self, place: Place) -> None:
        """Nobody may come who waits it out: from now on the servers count, and take the mark away at its end."""
        mark = f"{self.path}/{MARK}"
        with suppress(coord.NoNodeError, coord.BadVersionError):
            value, stat = await self.client.get(mark)
            if not value.endswith(COUNTED):
                async with self.client.transaction(guard=place) as txn:
                    txn.check(mark, created=stat.czxid)
                    txn.delete(mark)
                    txn.create(mark, value + COUNTED, ttl=max(self._seconds(value), 0.001))

    def _seconds(self, value: bytes) -> float:
        with suppress(ValueError):
            seconds = float(value.removesuffix(COUNTED))
            if 0 <= seconds <= DELAY_S_MAX:
                return seconds
        raise MisuseError(
            f"{self.path}/{MARK} holds {value!r:.40}, and not for how many seconds the lock stays closed; delete it"
        )

    async def _leave_with_mark(self, place: Place) -> None:
        def release() -> coord.Transaction:
            txn = self.client.transaction(guard=place)
            txn.delete(place.path)
            txn.delete(f"{self.path}/{MARK}")
            return txn

        async def leave() -> None:
            with suppress(*GONE):
                await release().commit()
                place.left = True

        if self._confirm:
            await shielded(lambda: insist(self.client, leave))
        else:
            with suppress(coord.SessionLostError, coord.ClientClosedError):
                release().send()  # the place is left once more behind it: should the mark be gone, that counts


async def try_acquire(places: Places, kind: str, name: str) -> Place | None:
    """A place whose turn is now, None if that would take waiting. No place is left behind."""
    place = await places.take(kind, name)
    try:
        free = await place.before() is None
    except PlaceGone:
        return None
    except BaseException:
        await place.leave()
        raise
    if free:
        return place
    await place.leave()
    return None
