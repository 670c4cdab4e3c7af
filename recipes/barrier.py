"""A barrier that is closed or open, and one at which so many wait for each other, before and after.

`Barrier` is closed while its znode is there. `DoubleBarrier`: nobody's body begins before `count` members were there
at the same moment, and no block ends before all of these have ended theirs or died.

How a double barrier is laid out: `<path>/member-<id>` for each who is there, and `<path>/ready`, made in one
transaction that makes sure that everybody whom it lists is there. It says who belongs to this round; whoever comes
later waits for the next one, which begins when the last of this round has gone and `ready` with it. If all of a round
have died, whoever comes next takes its `ready` away.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import anyio

import coord
from recipes.errors import MemberDied, MisuseError
from recipes.holding import USES, Held, body, check_margin, token_of
from recipes.inside import Reusable, check_contender, check_timeout
from recipes.place import COORD, KAZOO, Places, contender, delete, insist, unique_id, wait_gone
from recipes.shielded import shielded

READY_KINDS = (coord.EventKind.CREATED, coord.EventKind.DELETED)


class Barrier:
    """`await barrier.close()`, `await barrier.open()`, and `await barrier.wait()` until it is open.

    It is closed by anybody and for everybody, and stays so until somebody opens it. kazoo's Barrier is the same.
    """

    def __init__(self, client: coord.Client, path: str, *, layout: str = COORD) -> None:
        Places(client, path, (), layout)  # it checks both
        self.client = client
        self.path = path

    def __repr__(self) -> str:
        return f"<Barrier {self.path}>"

    async def close(self) -> bool:
        """False if it was closed already."""
        try:
            await self.client.create(self.path, parents=True)
        except coord.NodeExistsError:
            return False
        return True

    async def open(self) -> bool:
        """False if it was open already."""
        try:
            await self.client.delete(self.path)
        except coord.NoNodeError:
            return False
        return True

    async def is_closed(self) -> bool:
        """As of now, not as of some time ago."""
        return await self.client.exists(self.path, linearizable=True) is not None

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  as the other recipes
        """Until it is open, or was for a moment. Raises TimeoutError."""
        with anyio.move_on_after(check_timeout(self.path, timeout)):
            if await self.is_closed():
                await wait_gone(self.client, self.path)
            return
        raise TimeoutError(f"the barrier {self.path} was closed for {timeout:g} s")


class Party(Held):
    """One round of a double barrier, for one member."""

    members: dict[str, str]
    """Who is in this round: znode and name."""


class DoubleBarrier(Reusable[Party]):
    """`async with DoubleBarrier(client, "/phase", 3) as party: ...`

    Entering the block waits for `count` members, leaving it until all of them have left theirs. `timeout`: seconds for
    each of the two, then TimeoutError. If a member's session ended before it left, the others' blocks raise MemberDied
    once all are gone. A member whose own session is lost has its body cancelled, with LockLost. A block that is left
    with an error or cancelled does not wait for the others.

    `layout="kazoo"`: together with `kazoo.recipe.barrier.DoubleBarrier`; then deaths are not told from leaving.
    """

    USE = ("barrier", "member")

    def __init__(
        self,
        client: coord.Client,
        path: str,
        count: int,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
        layout: str = COORD,
    ) -> None:
        if type(count) is not int or count < 1:
            raise MisuseError(f"at {path} meets a number of members from 1, not {count!r}")
        self._places = Places(client, path, (), layout)
        self.client = client
        self.path = path
        self.count = count
        self.name = check_contender(path, name)
        self._timeout = check_timeout(path, timeout)
        self._margin = check_margin(client, path, margin)
        self._ready = f"{path}/ready"

    def __repr__(self) -> str:
        return f"<DoubleBarrier {self.path} of {self.count}{', in use' if self._block else ''}>"

    def _hold(self) -> AbstractAsyncContextManager[Party]:
        return self._kazoo_round() if self._places.layout == KAZOO else self._round()

    # ---- coord's layout

    @asynccontextmanager
    async def _round(self) -> AsyncIterator[Party]:
        own = f"member-{unique_id(self.client)}"
        path = f"{self.path}/{own}"
        members: dict[str, str] = {}
        ready = 0
        with USES.use(self.client, self.path, "a barrier"):
            try:
                with anyio.move_on_after(self._timeout):
                    await shielded(lambda: self._come(path))
                    while own not in members:
                        members, ready = await self._look(own)
                if own not in members:
                    raise TimeoutError(f"fewer than {self.count} came to {self.path} within {self._timeout:g} s")
                party = await self._party(path)
                party.members = members
                async with self._departures(ready) as departures:
                    async with body(party):
                        yield party
                    await delete(self.client, path)
                    await self._wait_others(members, ready, own, departures)
            except BaseException:
                await delete(self.client, path)
                await shielded(lambda: insist(self.client, lambda: self._clear_round_of(own)))
                raise

    async def _party(self, path: str) -> Party:
        party = Party(self.client, path, await token_of(self.client, path), self.name, self._margin)
        party.check()
        return party

    async def _come(self, path: str) -> None:
        while True:
            try:
                await self.client.create(path, self.name.encode(), ephemeral=True)
                return
            except coord.NoNodeError:
                await self._places.ensure()

    async def _look(self, own: str) -> tuple[dict[str, str], int]:
        """Who belongs to the present round, and its zxid, once it is this member's round. Else wait a while."""
        with suppress(coord.WatchWindowLostError):
            async with self.client.watch(self._ready, kinds=READY_KINDS) as events:
                try:
                    value, stat = await self.client.get(self._ready)
                except coord.NoNodeError:
                    here = await self._members()
                    if own in here and len(here) >= self.count and await self._begin(here):
                        return {}, 0
                    if own in here and len(here) < self.count:
                        await anext(events)
                    elif own not in here:
                        raise MisuseError(f"{self.path}/{own} was deleted by somebody else while it waited") from None
                    return {}, 0
                members = self._listed(value)
                if own in members:
                    return members, stat.czxid
                await self._wait_round_over(members, stat.czxid)
        return {}, 0

    async def _members(self) -> dict[str, str]:
        found = {}
        with suppress(coord.NoNodeError):
            async for child in self.client.each_child(self.path, data=True):
                if child.name.startswith("member-"):
                    found[child.name] = contender(child.data or b"").replace("\t", " ")
        return found

    async def _begin(self, members: dict[str, str]) -> bool:
        """Let the round begin, if all of these are still there."""
        listed = "\n".join(f"{znode}\t{name}" for znode, name in sorted(members.items()))
        try:
            async with self.client.transaction() as txn:
                for each in members:
                    txn.check(f"{self.path}/{each}", exists=True)
                txn.create(self._ready, listed.encode())
        except (coord.NoNodeError, coord.NodeExistsError):
            return False
        return True

    async def _wait_round_over(self, members: dict[str, str], ready: int) -> None:
        """Until one of these is gone; when all are, clear away what they have left."""
        here = await self._members()
        left = sorted(set(members) & set(here))
        if left:
            await wait_gone(self.client, f"{self.path}/{left[-1]}")
        else:
            await self._clear(members, ready)

    @asynccontextmanager
    async def _departures(self, ready: int) -> AsyncIterator[coord.Watch | None]:
        """Tells how each of a round went, from its beginning on. It is armed then: a round may be longer than the
        servers' memory. None if that is short indeed."""
        kinds = [coord.EventKind.DELETED]
        watch = self.client.watch(self.path, recursive=True, depth=1, kinds=kinds, since=ready)
        try:
            await watch.__aenter__()
        except coord.WatchWindowLostError:
            yield None
            return
        try:
            yield watch
        finally:
            await watch.__aexit__(None, None, None)

    async def _wait_others(self, members: dict[str, str], ready: int, own: str, departures: coord.Watch | None) -> None:
        died: list[str] = []
        waited = set(members) - {own}
        with anyio.move_on_after(self._timeout) as scope:
            try:
                if departures is None:
                    raise coord.WatchWindowLostError(f"how the members of {self.path} went is not remembered")
                await self._watch_others(waited, departures, members, died)
            except coord.WatchWindowLostError:
                while waited & set(await self._members()):
                    await self._wait_round_over(members, ready)
            await self._clear(members, ready)
        if scope.cancelled_caught:
            names = ", ".join(sorted(members[each] or each for each in waited))
            raise TimeoutError(f"{names} did not leave {self.path} within {self._timeout:g} s")
        if died:
            raise MemberDied(f"{', '.join(died)} died inside the barrier {self.path}", died)

    async def _watch_others(
        self, waited: set[str], departures: coord.Watch, members: dict[str, str], died: list[str]
    ) -> None:
        """Until all are gone, and how each of them went."""
        while waited:
            event = await anext(departures)
            znode = event.path.rpartition("/")[2]
            if znode in waited:
                waited.discard(znode)
                if event.cause is coord.Cause.SESSION_EXPIRED:
                    died.append(members[znode] or znode)

    async def _clear(self, members: dict[str, str], ready: int) -> None:
        """Take `ready` away if nobody of its round is there."""
        if not ready:
            return

        async def clear() -> None:
            with suppress(coord.NoNodeError, coord.BadVersionError):
                if not set(members) & set(await self._members()):
                    async with self.client.transaction() as txn:
                        txn.check(self._ready, created=ready)
                        txn.delete(self._ready)

        await insist(self.client, clear)

    async def _clear_round_of(self, own: str) -> None:
        """As `_clear`, for a member that may have begun a round without having come to know it."""
        with suppress(coord.NoNodeError, MisuseError):
            value, stat = await self.client.get(self._ready)
            members = self._listed(value)
            if own in members:
                await self._clear(members, stat.czxid)

    def _listed(self, ready: bytes) -> dict[str, str]:
        """Who belongs to a round: znode and name."""
        lines = [line.partition("\t") for line in ready.decode(errors="replace").split("\n")]
        if not all(tab for _, tab, _ in lines):
            raise MisuseError(
                f"{self._ready} holds {ready!r:.40}, and not who belongs to a round: a process with kazoo's layout "
                "is at work there, or has left it behind; use layout='kazoo' everywhere, or delete it"
            )
        return {znode: name for znode, _, name in lines}

    # ---- kazoo's layout: its own way, step by step

    @asynccontextmanager
    async def _kazoo_round(self) -> AsyncIterator[Party]:
        path = f"{self.path}/{unique_id(self.client)}"
        with USES.use(self.client, self.path, "a barrier"):
            try:
                with anyio.move_on_after(self._timeout) as scope:
                    await self._kazoo_enter(path)
                if scope.cancelled_caught:
                    raise TimeoutError(f"fewer than {self.count} came to {self.path} within {self._timeout:g} s")
                party = await self._party(path)
                party.members = {}
                async with body(party):
                    yield party
                with anyio.move_on_after(self._timeout) as scope:
                    await self._kazoo_leave(path)
                if scope.cancelled_caught:
                    raise TimeoutError(f"not everybody left {self.path} within {self._timeout:g} s")
            finally:
                await delete(self.client, path)

    async def _kazoo_enter(self, path: str) -> None:
        while True:
            with suppress(coord.WatchWindowLostError):
                async with self.client.watch(self._ready, kinds=[coord.EventKind.CREATED]) as events:
                    with suppress(coord.NodeExistsError):
                        await shielded(lambda: self._come(path))
                    if len(await self.client.children(self.path)) >= self.count:
                        with suppress(coord.NodeExistsError):
                            await self.client.create(self._ready)
                    elif await self.client.exists(self._ready) is None:
                        await anext(events)
                    return

    async def _kazoo_leave(self, path: str) -> None:
        own = path.rpartition("/")[2]
        with suppress(coord.NoNodeError):
            await self.client.delete(self._ready)
        while names := sorted(await self.client.children(self.path)):
            if names == [own]:
                await delete(self.client, path)
                return
            if names[0] == own:
                await wait_gone(self.client, f"{self.path}/{names[-1]}")
            else:
                await delete(self.client, path)
                await wait_gone(self.client, f"{self.path}/{names[0]}")
