"""A right for a stated time, by the servers' clock. It outlives a lost session, and needs nothing to end.

The lease is a znode with a time to live, `lease.seconds` from its creation or last renewal, by the times which the
leader of the servers gives to writes. Whoever is next has the servers tell the time by a write of its own, waits for
what is left, and takes the lease over; it need not wait until the servers have swept the old one away. The holder
counts the same seconds from the moment *before* it asked, on a clock that does not jump and goes on while the computer
sleeps: so it ends for the holder first. The clocks of the servers need to agree as far as `margin` says.

- One body at a time, as far as that holds. A guarded write is refused as soon as another has the lease.
- The body is cancelled, and the block ends with LockLost, `margin` seconds before the lease ends.
- `lease.token` grows from holder to holder. Leaving the block gives the lease back; a holder that dies has it until its
  time is over.

How it is laid out: `<path>/holder` has the holder's name, an id and the milliseconds as three lines of its data,
`<path>/queue` is the line of those who wait.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

import coord
from recipes.errors import LockLost, MisuseError
from recipes.holding import USES, Held, body, proved_s
from recipes.inside import Reusable, check_contender, check_path, check_timeout
from recipes.place import Place, PlaceGone, Places, acquire, contender, insist, too_late, unique_id, wait_gone
from recipes.shielded import shielded

LOOK_S_MAX = 1.0
"""The clock is looked at again after so long: who sleeps does not notice that the computer has slept."""

SECONDS_MAX = 1_000_000_000
"""Of what is given a time to live: above 30 years."""

CLOCK_S = 0.001
"""The servers' times are whole milliseconds: a lease that ends within one of them has not ended before the next."""

MARGIN_OF_LEASE = 0.1
"""Without another wish a lease ends for its holder so much of its time earlier."""


class HeldLease(Held):
    """A lease that is held until `remaining` is 0."""

    def __init__(
        self, client: coord.Client, path: str, token: int, value: bytes, seconds: float, begun: float, early: float
    ) -> None:
        super().__init__(client, path, token, contender(value), 0.0)
        self.seconds = seconds
        self._value = value
        self._early = early
        self._until = begun + seconds - early

    @property
    def remaining(self) -> float:
        """Seconds until it ends, less the margin."""
        return 0.0 if self.lost else proved_s(self._until - self._client.session.now)

    async def renew(self) -> None:
        """The same seconds again, from now on. Raises LockLost if it had ended."""
        self.check()
        begun = self._client.session.now
        try:
            async with self._client.transaction(guard=self) as txn:
                txn.set(self.path, self._value)
        except (coord.NoNodeError, coord.BadVersionError) as error:
            raise LockLost(f"the lease {self.path} had ended before it was renewed: {error}") from error
        self._until = begun + self.seconds - self._early

    async def _wait_deadline(self) -> str:
        while remaining := self.remaining:  # noqa: ASYNC110  only the clock tells
            await anyio.sleep(min(remaining, LOOK_S_MAX))
        return self._unproved()

    async def _wait_session(self) -> str:
        await anyio.sleep_forever()
        raise AssertionError("nobody sleeps for ever and wakes up")

    def _unproved(self) -> str:
        return f"the lease {self.path} of {self.seconds:g} s has ended, less its margin"

    async def _wait_deleted(self) -> str:
        try:
            return await super()._wait_deleted()
        except coord.CoordError:  # without a session nobody can tell; the lease goes on until its time is over
            await anyio.sleep_forever()
            raise


class Lease(Reusable[HeldLease]):
    """`async with Lease(client, "/leases/report", 30) as lease: ...`

    `seconds`: for how long. `margin`: so much earlier it ends for the holder; how far apart the servers' clocks may be,
    and the time its body needs to stop. `timeout`: seconds to wait at most, then TimeoutError. One object is one
    contender at a time.
    """

    USE = ("lease", "contender")

    def __init__(
        self,
        client: coord.Client,
        path: str,
        seconds: float,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
    ) -> None:
        if not (isinstance(seconds, int | float) and 0.001 <= seconds <= SECONDS_MAX):
            raise MisuseError(
                f"the lease {path} is for a number of seconds from 0.001 to {SECONDS_MAX:,}, not {seconds!r:.40}"
            )
        self.margin = seconds * MARGIN_OF_LEASE if margin is None else margin
        if not (isinstance(self.margin, int | float) and 0 <= self.margin < seconds):
            raise MisuseError(f"the lease {path} of {seconds!r} s needs a margin from 0 to less, not {self.margin!r}")
        self.client = client
        self.path = check_path(path)
        self.seconds = seconds
        self.name = check_contender(path, name)
        self._holder = f"{path}/holder"
        self._places = Places(client, f"{path}/queue", ("lock",))
        self._timeout = check_timeout(path, timeout)
        self._ends = 0, 0.0
        """Of the lease that is waited for: the zxid of its last renewal, and when it ends by the session's clock."""

    def __repr__(self) -> str:
        return f"<Lease {self.path} of {self.seconds:g} s{', in use' if self._block else ''}>"

    async def holder(self) -> str | None:
        """The name of who has it; None if nobody has.

        One whose time is over is told until another has taken it, or the servers have swept it away.
        """
        with suppress(coord.NoNodeError):
            return contender((await self.client.get(self._holder, linearizable=True))[0])
        return None

    @asynccontextmanager
    async def _hold(self) -> AsyncIterator[HeldLease]:
        value = f"{self.name}\n{unique_id(self.client)}\n{math.ceil(self.seconds * 1000)}".encode()
        with USES.use(self.client, self.path, "a lease"):
            try:
                begun = await self._enter(value)
                token = await self._token(value)
                held = HeldLease(self.client, self._holder, token, value, self.seconds, begun, self.margin)
                held.check()
                async with body(held):
                    yield held
            finally:
                await shielded(lambda: insist(self.client, lambda: self._give_back(value)))

    async def _token(self, value: bytes) -> int:
        """Of the znode that was made with this value; it may have been deleted since, and another have made one."""
        with suppress(coord.NoNodeError):
            found, stat = await self.client.get(self._holder)
            if found == value:
                return stat.czxid
        raise LockLost(f"the lease {self._holder} was deleted by somebody else, or had ended, before its body began")

    async def _enter(self, value: bytes) -> float:
        """When the request was begun that got it."""
        with anyio.move_on_after(self._timeout):
            while True:
                place = await acquire(self._places, "lock", self.name)
                try:
                    while (begun := await self._take(value, place)) is None:
                        pass
                except PlaceGone:
                    continue
                finally:
                    await place.leave()
                return begun
        raise too_late(self.path, self._timeout)

    async def _take(self, value: bytes, place: Place) -> float | None:
        """Get it if nobody has it, or its time is over; else wait until that may be so, which gives None."""
        begun = self.client.session.now
        with suppress(coord.NodeExistsError):
            await shielded(lambda: self.client.create(self._holder, value, ttl=self.seconds, parents=True))
            return begun
        with suppress(coord.NoNodeError):
            before, seen = await self.client.get(self._holder)
            if (left_s := await self._left_s(before, seen, place)) > 0:
                with anyio.move_on_after(left_s):
                    await wait_gone(self.client, self._holder, seen, [coord.EventKind.CHANGED])
                return None
            begun = self.client.session.now
            if await shielded(lambda: self._take_over(value, seen)):
                return begun
        return None

    async def _left_s(self, before: bytes, seen: coord.Stat, place: Place) -> float:
        """For how long a holder still has it.

        The servers' clock says how old it is when it is first seen. From then on the session's is looked at, so that it
        does no harm if the servers' is set meanwhile.
        """
        if self._ends[0] != seen.mzxid:
            left_s = await self._ask_left_s(before, seen, place)
            self._ends = seen.mzxid, self.client.session.now + left_s
        return self._ends[1] - self.client.session.now

    async def _ask_left_s(self, before: bytes, seen: coord.Stat, place: Place) -> float:
        try:
            milliseconds = int(before.split(b"\n")[2])
        except (IndexError, ValueError):
            return math.inf  # no lease of ours: it is waited for
        try:
            async with self.client.transaction(guard=place) as txn:  # another may have got its name meanwhile
                txn.set(place.path, place.value)
        except (coord.NoNodeError, coord.BadVersionError) as error:
            raise PlaceGone(f"{place.path} was deleted while it waited") from error
        told = txn.results[0]
        assert isinstance(told, coord.Stat)
        return (seen.mtime + milliseconds - told.mtime) / 1000 + CLOCK_S

    async def _take_over(self, value: bytes, seen: coord.Stat) -> bool:
        """False if it was renewed or given back meanwhile."""
        try:
            async with self.client.transaction() as txn:
                txn.check(self._holder, created=seen.czxid)
                txn.delete(self._holder, version=seen.version)
                txn.create(self._holder, value, ttl=self.seconds)
        except (coord.NoNodeError, coord.BadVersionError):
            return False
        return True

    async def _give_back(self, value: bytes) -> None:
        with suppress(coord.NoNodeError, coord.BadVersionError):
            async with self.client.transaction() as txn:
                txn.check(self._holder, value=value)
                txn.delete(self._holder)
