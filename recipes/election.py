"""One of many leads; when it ends, is cut off or hands over, another does.

- One body at a time, in simulated and in real time, and it is cancelled before the servers could let another lead.
- `term.token` grows from term to term; `client.transaction(guard=term)` is refused once the term is over.
- Of those who stand when a term ends, the one that was named by its leader comes first, then those of the highest
  priority, then those who have stood for longest. Who leads is not disturbed by anybody's priority.
- Everybody else can follow `election.leader`.

How it is laid out: `<path>/candidate.<priority>-<number>` for each that stands, `<path>/leader` for the one that leads,
with its name. A candidate watches the one before it and its own place (naming a successor sets the data of that
place); the first one watches the leader. Whoever makes `leader` leads, in one transaction with leaving its place and
with writing the data of `<path>` as they are: its version counts the terms.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import coord
from recipes.errors import LockLost, MisuseError
from recipes.holding import Held, body, check_margin
from recipes.inside import check_contender
from recipes.place import COORD, GONE, KAZOO, Entry, Place, PlaceGone, Places, acquire, contender, insist, wait_any
from recipes.shielded import shielded

T = TypeVar("T")

CHANGED = (coord.EventKind.CHANGED,)

PRIORITY_MAX = 1_000_000_000
"""It stands in the name of a znode."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, as others see it."""

    name: str
    token: int


class Term(Held):
    """This program leads, while it is in `async with term`."""

    def __init__(self, election: "Election", path: str, token: int) -> None:
        super().__init__(election.client, path, token, election.name, election.margin)
        self.entered = False
        self._election = election
        self._body: AbstractAsyncContextManager[None] | None = None

    async def hand_over(self, name: str) -> None:
        """Name who leads next: the candidate of this name that has stood for longest. Then leave the block.

        Raises MisuseError if nobody of this name stands, LockLost if the term is over: then nobody was named.
        """
        await self._election._call(name, self)

    async def __aenter__(self) -> "Term":
        if self.entered:
            raise MisuseError(f"this term at {self._election.path} was entered before; the loop gives another")
        self.entered = True
        self._body = body(self)
        try:
            self.check()
            await self._body.__aenter__()
        except BaseException:
            await self._election._resign()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._body is not None, "a block that is left was entered"
        by_own_check = isinstance(error, LockLost) and not self.remaining
        try:
            return await self._body.__aexit__(kind, error, traceback) or by_own_check
        except LockLost as lost:
            if lost.__cause__ is not None and not by_own_check:
                raise
            return True  # the loop goes on, and stands again
        finally:
            await self._election._resign()


class Election:
    """`async for term in election: async with term: ...`, or `await election.run(serve)`.

    The loop stands for election and gives a term each time it is won. The inner block leads: when the term is lost it
    is cancelled, and the loop goes on; its end gives the leadership up. To stand no more, break out of the loop.
    `name`: shown to others. `priority`: the greater, the sooner. `margin` and `confirm`: as of `Lock`; what hinders an
    unconfirmed end of a term is raised when this object stands again. `layout="kazoo"`: share it with
    `kazoo.recipe.election.Election`, which knows neither priorities nor successors.
    """

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        name: str = "",
        priority: int = 0,
        margin: float | None = None,
        confirm: bool = True,
        layout: str = COORD,
    ) -> None:
        if type(priority) is not int or not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
            shown = "more" if type(priority) is int else repr(priority)
            raise MisuseError(
                f"election {path}: a priority is an int of at most {PRIORITY_MAX:,}, the greater first; not {shown}"
            )
        if priority and layout == KAZOO:
            raise MisuseError(f"election {path}: kazoo's layout has no priorities; use coord's")
        self.client = client
        self.path = path
        self.name = check_contender(path, name)
        self.margin = check_margin(client, path, margin)
        self._confirm = confirm
        self._kind = "lock" if layout == KAZOO else f"candidate.{priority}"
        self._places = Places(client, path, ("lock",) if layout == KAZOO else (r"candidate\.-?\d+",), layout)
        self._seat = f"{path}/leader"
        self._term: Term | None = None
        self._standing = False

    def __repr__(self) -> str:
        return f"<Election {self.path}{', ' + repr(self._term) if self._term else ''}>"

    @property
    def leader(self) -> "Leaders":
        """`await election.leader`: who leads now, or None; `async for leader in election.leader` follows."""
        return Leaders(self.client, self._places, self._seat)

    async def candidates(self) -> list[str]:
        """The names of those who stand, the next one first."""
        names = []
        for entry in sorted(await self._places.entries(), key=rank):
            with suppress(coord.NoNodeError):
                names.append(contender((await self.client.get(f"{self.path}/{entry.name}"))[0]))
        return names

    def __aiter__(self) -> "Election":
        return self

    async def __anext__(self) -> Term:
        """Stand until elected."""
        term = self._term
        if term is not None:
            if not term.entered:
                await self._resign()
                raise MisuseError(f"{term} was not entered: lead inside `async with term`, which ends when it is lost")
            raise MisuseError(f"{self.path} is led by this object; leave `async with term` before")
        if self._standing:
            raise MisuseError(f"this election object of {self.path} is in use: make another one for each candidate")
        self._standing = True
        try:
            while True:
                self._term = term = await self._stand()
                if term.remaining:
                    return term
                await self._resign()  # told so late that it cannot be proved any more: it was lost, so stand again
        finally:
            self._standing = False

    async def run(self, serve: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Stand until elected, then call `serve(term, *args)`; what it gives. When the term is lost, stand again."""
        async for term in self:
            async with term:
                return await serve(term, *args)
        raise AssertionError("the loop of an election does not end by itself")

    # ---- standing

    async def _stand(self) -> Term:
        if self._places.layout == KAZOO:
            place = await acquire(self._places, self._kind, self.name)
            return Term(self, place.path, place.token)
        while True:
            place = await self._places.take(self._kind, self.name)
            try:
                while not (token := await self._try_first(place)):
                    pass
                return Term(self, self._seat, token)
            except PlaceGone:
                continue
            except BaseException:
                await self._leave_seat(place)
                raise
            finally:
                await place.leave()

    async def _try_first(self, place: Place) -> int:
        """Look around once: sit down and get the token, or wait until it is worth looking again, which gives 0.

        Nobody sits down who has not read the line after the last term had ended: its leader may have named another.
        So the line is read after the empty seat, and no term has begun between.
        """
        async with self.client.pipeline(keep_errors=True) as pipe:
            root, seat = pipe.get(self.path), pipe.stat(self._seat)
        order = sorted(await self._places.entries(), key=rank)
        number = next((at for at, entry in enumerate(order) if place.is_own(entry)), None)
        if number is None:
            raise PlaceGone(f"{place.path} was deleted while it waited")
        own = (place.path, order[number].stat, CHANGED)
        if number:
            before = order[number - 1]
            await wait_any(self.client, [own, (f"{self.path}/{before.name}", before.stat, ())])
        elif seat.error is None:
            await wait_any(self.client, [own, (self._seat, seat.result(), ())])
        elif isinstance(seat.error, coord.NoNodeError):
            return await shielded(partial(self._sit_down, place, *root.result()))
        else:
            seat.result()  # raises why it may not be read
        return 0

    async def _sit_down(self, place: Place, data: bytes, seen: coord.Stat) -> int:
        """The token; 0 if a term has begun since the election's znode was seen so. Each term raises its version."""
        try:
            async with self.client.transaction(guard=place) as txn:
                txn.set(self.path, data, version=seen.version)
                txn.create(self._seat, place.value, ephemeral=True)
                txn.delete(place.path)
        except coord.NodeExistsError:
            return 0
        except (coord.NoNodeError, coord.BadVersionError) as error:
            if error.step is None:
                raise PlaceGone(f"{place.path} was deleted while it waited") from error
            return 0
        place.left = True
        changed = txn.results[0]
        assert isinstance(changed, coord.Stat)
        return changed.mzxid  # which is the zxid that made the seat

    async def _leave_seat(self, place: Place) -> None:
        """If the seat was taken by this place, whether its candidate knows or not, free it. Not to be cancelled."""

        async def leave() -> None:
            with suppress(coord.NoNodeError, coord.BadVersionError):
                async with self.client.transaction() as txn:
                    txn.check(self._seat, value=place.value)
                    txn.delete(self._seat)

        await shielded(lambda: insist(self.client, leave))

    async def _resign(self) -> None:
        """Give up the seat. Not to be cancelled."""
        term, self._term = self._term, None
        if term is None:
            return

        def release() -> coord.Transaction:
            txn = self.client.transaction(guard=term)
            txn.delete(term.path)
            return txn

        async def leave() -> None:
            with suppress(*GONE):
                await release().commit()

        if self._confirm:
            await shielded(lambda: insist(self.client, leave))
        else:
            self._places.send_release(release())

    async def _call(self, name: str, term: Term) -> None:
        """Put the candidate of this name that has stood for longest before all others."""
        if self._places.layout == KAZOO:
            raise MisuseError(f"election {self.path}: kazoo's layout has no successors; use coord's")
        for entry in await self._places.entries():
            path = f"{self.path}/{entry.name}"
            with suppress(coord.NoNodeError):
                value, _ = await self.client.get(path)
                if contender(value) == name and await self._name(path, value, entry.stat.czxid, term):
                    return
        raise MisuseError(f"nobody called {name!r} stands for election at {self.path}")

    async def _name(self, path: str, value: bytes, token: int, term: Term) -> bool:
        """Mark a candidate as the successor; False if it stands no more."""
        try:
            async with self.client.transaction(guard=term) as txn:
                txn.check(path, created=token)
                txn.set(path, value)
        except (coord.NoNodeError, coord.BadVersionError) as error:
            if error.step is None:
                raise LockLost(f"{term.path} is held no more, so nobody was named: {error}") from error
            return False
        return True


def rank(entry: Entry) -> tuple[bool, int, int]:
    """Who was named comes first, the one that was named last before all; then priorities; then the order of places."""
    if entry.stat.version:
        return False, -entry.stat.mzxid, 0
    return True, -int(entry.kind.partition(".")[2] or 0), entry.stat.czxid


class Leaders:
    """Who leads, for those who look on: `await` it, or iterate over it with `async for`."""

    def __init__(self, client: coord.Client, places: Places, seat: str) -> None:
        self._client = client
        self._places = places
        self._seat = seat

    def __repr__(self) -> str:
        return f"<Leaders of {self._places.path}>"

    def __await__(self) -> Generator[Any, None, Leader | None]:
        return self._now().__await__()

    def __aiter__(self) -> "Following":
        """Who leads, and whenever it is somebody else, or nobody. A term that ends before it is seen is not told."""
        return Following(self)

    async def wait_other(self, told: Sequence[Leader | None]) -> Leader | None:
        """Who leads, once it is nobody of these."""
        while True:
            with suppress(coord.WatchWindowLostError):
                async with self._client.watch(self._where(), kinds=KINDS) as events:
                    while (leader := await self._now()) in told:
                        await anext(events)
                    return leader

    def _where(self) -> str:
        return self._places.path if self._places.layout == KAZOO else self._seat

    async def _now(self) -> Leader | None:
        if self._places.layout != KAZOO:
            return await self._read(self._seat)
        for entry in await self._places.entries():
            if (leader := await self._read(f"{self._places.path}/{entry.name}")) is not None:
                return leader
        return None

    async def _read(self, path: str) -> Leader | None:
        try:
            value, stat = await self._client.get(path)
        except coord.NoNodeError:
            return None
        return Leader(contender(value), stat.czxid)


class Following:
    """The iterator. Between two steps it watches nothing, so a loop may be left without more ado."""

    def __init__(self, leaders: Leaders) -> None:
        self._leaders = leaders
        self._told: tuple[Leader | None, ...] = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Leader | None:
        leader = await self._leaders.wait_other(self._told)
        self._told = (leader,)
        return leader


KINDS = (coord.EventKind.CREATED, coord.EventKind.DELETED, coord.EventKind.CHILDREN)
