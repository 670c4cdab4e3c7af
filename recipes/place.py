"""A place in a queue of sequential ephemeral znodes: what lock, semaphore, election and read/write lock are made of.

What is promised here:

- **Order.** Places are in the order in which the servers made them: by the zxid that created them, `Stat.czxid`, which
  is also the fencing token.
- **No herd.** Who waits watches one other place. A znode that goes wakes those who wait for it, and nobody else.
- **No orphan.** A place that was taken is left, however the wait for it ends: cancelled, timed out, failed. Taking and
  leaving are shielded from cancellation. While no server can be reached that takes as long as the session's
  timeout at most; then the session is lost, and the place with it. coord does each write exactly once, so a
  connection lost in between neither makes a second place nor hides the first.

The data of a place is its contender's name and, on a second line, an id that nobody else has. kazoo's layout has the
id in the znode's name, and the name alone as its data.
"""

import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
import anyio.lowlevel

import coord
from recipes.inside import check_path
from recipes.shielded import shielded

COORD, KAZOO = "coord", "kazoo"
LAYOUTS = (COORD, KAZOO)

DIGITS = 10
"""Of a sequence number. One that is longer does not sort by name any more."""

NEAR = 16
"""So many places are looked at with taking one: in a shorter line the one right before is among them. In a longer one
it is looked for among so many numbers."""

HEAD = 2
"""Znodes that show whether a place is the first now: a mark beside the places, and a place."""

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One who stands in a queue, as it was read."""

    name: str  # of the znode
    kind: str
    stat: coord.Stat


Blocker = Callable[[Sequence[Entry], Entry], Entry | None]
"""Whom the second waits for; None if it need not wait. The first are those who came before it, in order."""


def predecessor(ahead: Sequence[Entry], own: Entry) -> Entry | None:
    """Everybody waits for whoever came just before."""
    return ahead[-1] if ahead else None


Look = Callable[["Place"], Awaitable[Entry | None]]
"""Reads for whom a place waits; None if its turn has come. Raises PlaceGone if there is no such place."""


GONE = (coord.NoNodeError, coord.BadVersionError)
"""A place that is to be left is there no more, or another one is of that name."""


class PlaceGone(Exception):
    """The place was deleted by somebody else while it waited."""


class Places:
    """The queue below one path. `kinds`: the kinds of places in it, as regular expressions."""

    def __init__(self, client: coord.Client, path: str, kinds: Sequence[str], layout: str = COORD) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout is one of {', '.join(map(repr, LAYOUTS))}, not {layout!r}")
        self.client = client
        self.path = check_path(path)
        self.layout = layout
        self.sorts_by_name = layout == COORD and len(kinds) == 1 and kinds[0].isalpha()
        found = "|".join(kinds)
        self._pattern = re.compile(rf"__({found})__(-?\d+)$" if layout == KAZOO else rf"^({found})-(\d+)$")
        self.releases: list[coord.SentTransaction] = []
        """Of what was given back without waiting for the servers."""

    def __repr__(self) -> str:
        return f"<Places {self.path}, {self.layout}'s layout>"

    # ---- who is there

    async def entries(self) -> list[Entry]:
        """All places, in order."""
        entries, _ = await self.look()
        return entries

    async def look(self) -> tuple[list[Entry], list[str]]:
        """All places in order, and the names of the other znodes."""
        try:
            found = [child async for child in self.client.each_child(self.path)]
        except coord.NoNodeError:
            return [], []
        entries, others = [], []
        for child in found:
            if (entry := self.entry(child)) is None:
                others.append(child.name)
            else:
                entries.append(entry)
        entries.sort(key=lambda each: each.stat.czxid)
        return entries, others

    async def contenders(self, *kinds: str) -> list[str]:
        """The names of those who are there, in order."""
        entries = await self.entries()
        names = []
        for entry in entries:
            if not kinds or entry.kind in kinds:
                with suppress(coord.NoNodeError):
                    value, _ = await self.client.get(f"{self.path}/{entry.name}")
                    names.append(contender(value))
        return names

    # ---- a place of one's own

    async def take(self, kind: str, name: str) -> "Place":
        """Stand in the line. Whoever takes a place leaves it: `await place.leave()`.

        Raises why what was given back before, without waiting, could not be.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        id = unique_id(self.client)
        if self.layout == KAZOO:
            stem, value = f"{self.path}/{id}__{kind}__", name.encode()
        else:
            stem, value = f"{self.path}/{kind}-", f"{name}\n{id}".encode()

        async def make() -> Place:
            try:
                return await self._make(stem, value, kind)
            except coord.CallTimeoutError:
                await self._clear(stem, value)
                raise

        place = await shielded(make)
        place.value = value
        if self.releases and (failure := self._failed_release()) is not None:
            await place.leave()
            raise failure
        return place

    def send_release(self, txn: coord.Transaction) -> None:
        """Give back what was got by a place, and do not wait for it. The end of the session has done it, too."""
        with suppress(coord.SessionLostError, coord.ClientClosedError):
            self.releases.append(txn.send())

    def _failed_release(self) -> coord.CoordError | None:
        """Of those that are answered, as all are that were sent before the place which was taken just now."""
        releases, self.releases = self.releases, [each for each in self.releases if not each.done]
        errors = [release.error for release in releases]
        return next((error for error in errors if error and not isinstance(error, GONE)), None)

    async def _make(self, stem: str, value: bytes, kind: str) -> "Place":
        """Make it, and look at the head of the line in the same round trip, if names tell who comes first."""
        while True:
            head = None
            async with self.client.pipeline(keep_errors=True) as pipe:
                made = pipe.create(stem, value, ephemeral=True, sequential=True)
                if self.sorts_by_name:
                    head = pipe.children_page(self.path, limit=NEAR)
            try:
                place = Place(self, made.result(), kind)
            except coord.NoNodeError:
                await self.ensure()
                continue
            if head is not None and head.error is None:
                place.note_head(head.result())
            return place

    async def ensure(self) -> None:
        """Make the znode below which the places are. It goes when nobody has used it for a while."""
        with suppress(coord.NodeExistsError):
            await self.client.create(self.path, container=self.layout == COORD, parents=True)

    async def _clear(self, stem: str, value: bytes) -> None:
        """A call came to nothing within `call_timeout`: find out whether it made a place, and take that back."""
        prefix = self.path + "/"

        async def clear() -> None:
            for path in await self.client.ephemerals(prefix):
                if path.startswith(stem):
                    with suppress(coord.NoNodeError):
                        if (await self.client.get(path))[0] == value:
                            await self.client.delete(path)

        await insist(self.client, clear)

    def entry(self, child: coord.Child) -> Entry | None:
        """A child of the path as a place; None if it is another znode."""
        match = self._pattern.search(child.name)
        if match is None:
            return None
        if child.stat is None:
            raise coord.NoAuthError(
                f"{self.path}/{child.name} may not be read by this client, so it cannot tell who comes first"
            )
        return Entry(child.name, match[1], child.stat)


class Place:
    """One place that was taken."""

    def __init__(self, places: Places, path: str, kind: str) -> None:
        self.places = places
        self.client = places.client
        self.path = path
        self.name = path.rpartition("/")[2]
        self.kind = kind
        self.token = 0
        """The zxid that made it; known as soon as the line was looked at."""
        self.value = b""
        self.left = False
        self.others: list[str] = []
        """Znodes beside the places, as they were when its turn came."""
        self._first = False
        self._before: Entry | None = None  # right before it, as the head of the line has just shown
        self._waited = False
        self._read_zxid = 0  # what is known of the line was read here in the log, or later
        self.sorts = places.sorts_by_name and len(self.name) == len(kind) + 1 + DIGITS

    def __repr__(self) -> str:
        return f"<Place {self.path}>"

    def note_head(self, page: coord.Page) -> None:
        """The first children by name: who is right before it, or that nobody is, if that can be seen from them.

        With one kind of places their names are in their order, as long as all of their numbers have ten digits.
        """
        if not self.sorts:
            return
        others, before = [], None
        for child in page.children:
            entry = self.places.entry(child)
            if entry is None:
                others.append(child.name)
            elif self.is_own(entry):
                self.others, self._first, self._before = others, before is None, before
                return
            else:
                before = entry

    def is_own(self, entry: Entry) -> bool:
        """Whether it is this place. Names come again when a whole line was deleted and made anew; tokens do not."""
        stat = entry.stat
        if entry.name != self.name or stat.ephemeral_owner != self.client.session.id:
            return False
        if self.token and self.token != stat.czxid:
            return False
        self.token = stat.czxid
        return True

    async def wait_turn(self, look: Look, kinds: Sequence[coord.EventKind] = ()) -> None:
        """Until it has to wait for nobody. Raises PlaceGone if somebody has deleted it.

        `kinds`: what of the one who is waited for makes this one look again, beside its end.
        """
        while (ahead := await look(self)) is not None:
            path = f"{self.places.path}/{ahead.name}"
            await wait_gone(self.client, path, ahead.stat, kinds, read_zxid=max(self._read_zxid, self.token))
            self._before, self._waited = None, True

    def about_to_read(self) -> None:
        """To be told before the line is read: what happens from here on is told by whatever is watched."""
        self._read_zxid = self.client.session.seen_zxid

    async def before(self) -> Entry | None:
        """Who is right before it: read from the head of the line, from near itself, or from the whole line."""
        if self.sorts:
            if self._waited:
                self._waited = False
                self.about_to_read()
                with suppress(coord.NoNodeError):  # the whole line was deleted, which is found out next
                    self.note_head(await self.client.children_page(self.places.path, limit=HEAD))
            if self._first or self._before is not None:
                return self._before
            if (near := await self.near()) is not None:
                return near
        return await self.among_all(predecessor)

    async def among_all(self, blocker: Blocker) -> Entry | None:
        """For whom it waits, from the whole line."""
        self.about_to_read()
        entries, others = await self.places.look()
        for number, entry in enumerate(entries):
            if self.is_own(entry):
                self.others = others
                return blocker(entries[:number], entry)
        raise PlaceGone(f"{self.path} was deleted while it waited")

    async def near(self) -> Entry | None:
        """The place right before it, if its number is not far below; so a long line need not be read."""
        number = int(self.name[-DIGITS:])
        after = f"{self.kind}-{number - NEAR:0{DIGITS}d}" if number > NEAR else f"{self.kind}-"
        self.about_to_read()
        try:
            page = await self.client.children_page(self.places.path, after, NEAR)
        except coord.NoNodeError:
            return None
        before: Entry | None = None
        for child in page.children:
            entry = self.places.entry(child)
            if child.name >= self.name:
                return before if entry is not None and self.is_own(entry) else None
            before = entry or before
        return None

    async def leave(self, *, confirm: bool = True) -> None:
        """Make room for the next. Not stopped by a cancellation; returns when the place is gone, or the session.

        Without `confirm` it returns at once: the place goes after all that this client has asked for before, or with
        the session; an error is raised when one is taken next.
        """
        if self.left:
            return
        if confirm:
            await shielded(lambda: insist(self.client, self._delete))
        else:
            self.places.send_release(self._release())
        self.left = True

    async def _delete(self) -> None:
        with suppress(*GONE):
            await self._release().commit()

    def _release(self) -> coord.Transaction:
        """This place, and no other that got its name after somebody had deleted the whole line: numbers begin anew."""
        txn = self.client.transaction()
        if self.token:
            txn.check(self.path, created=self.token)
        else:
            txn.check(self.path, value=self.value)
        txn.delete(self.path)
        return txn


async def acquire(
    places: Places,
    kind: str,
    name: str,
    timeout_s: float | None = None,
    *,
    look: Look | None = None,
    kinds: Sequence[coord.EventKind] = (),
) -> Place:
    """A place whose turn has come. However this ends otherwise, no place is left behind. Raises TimeoutError.

    `look`: whom it waits for, if not whoever came just before. `kinds`: as those of `Place.wait_turn`. A place that
    somebody deletes while it waits is taken anew.
    """
    with anyio.move_on_after(timeout_s):
        while True:
            place = await places.take(kind, name)
            try:
                await place.wait_turn(look or Place.before, kinds)
            except PlaceGone:
                continue
            except BaseException:
                await place.leave()
                raise
            return place
    raise too_late(places.path, timeout_s)


# ---- helpers that other recipes use too


def unique_id(client: coord.Client) -> str:
    """One that no other contender has, or had: session, place in the log, count. It depends on no chance.

    A session that was saved may be gone on with by a process that counts from 1 again: it has seen more of the log.
    """
    return f"{client.session.id:x}-{client.session.seen_zxid:x}-{next(_ids)}"


def too_late(path: str, timeout_s: float | None) -> TimeoutError:
    """Who waits does not know which of these it was."""
    return TimeoutError(
        f"{path} was not got within {timeout_s} s: it was held by others, closed after one, or the servers took longer"
    )


def contender(value: bytes) -> str:
    """The name in the data of a place."""
    return value.partition(b"\n")[0].decode(errors="replace")


async def wait_gone(
    client: coord.Client,
    path: str,
    seen: coord.Stat | None = None,
    kinds: Sequence[coord.EventKind] = (),
    *,
    token: int = 0,
    read_zxid: int = 0,
) -> coord.Event | None:
    """Until there is no such znode; the event that told of its end, None if that was before.

    `seen`, or `token` alone, says which znode is meant, should there be another at the same path later. With `kinds`
    also until such an event, or until the znode's data is not what it was in `seen`. `read_zxid`: a place in the log
    at which `seen` was read, or an earlier one: then the servers tell what was missed, and it is not read again.
    """
    created = seen.czxid if seen else token
    while True:
        try:
            async with client.watch(path, kinds=[coord.EventKind.DELETED, *kinds], since=read_zxid) as events:
                stat = seen if read_zxid else await client.exists(path)
                if stat is None or (created and stat.czxid != created):
                    return None
                if kinds and seen is not None and stat.mzxid != seen.mzxid:
                    return None
                async for event in events:
                    if event.zxid > stat.mzxid:
                        return event
        except (coord.WatchWindowLostError, coord.CallTimeoutError):
            read_zxid = 0  # nothing is known of what was missed: look again


async def wait_any(client: coord.Client, watched: Sequence[tuple[str, coord.Stat, Sequence[coord.EventKind]]]) -> None:
    """Until the first of several `wait_gone(client, path, stat, kinds)` ends."""
    failures: list[coord.CoordError] = []
    async with anyio.create_task_group() as tasks:

        async def until(path: str, stat: coord.Stat, kinds: Sequence[coord.EventKind]) -> None:
            try:
                await wait_gone(client, path, stat, kinds)
            except coord.CoordError as error:
                failures.append(error)
            tasks.cancel_scope.cancel()

        for each in watched:
            tasks.start_soon(until, *each)
    if failures:
        raise failures[0]


async def delete(client: coord.Client, path: str) -> None:
    """Delete a znode of this session's. Not stopped by a cancellation; returns when it is gone, or the session."""

    async def once() -> None:
        try:
            await client.delete(path)
        except coord.NoNodeError:
            return
        except coord.NoAuthError:
            if await client.exists(path):
                raise

    await shielded(lambda: insist(client, once))


async def insist(client: coord.Client, act: Callable[[], Awaitable[None]]) -> None:
    """Do what can be done again until it is done or the session has ended, which ends all that it held."""
    while True:
        try:
            await act()
            return
        except coord.CallTimeoutError:
            continue
        except coord.CoordError:
            if client.session.state is coord.SessionState.LOST:
                return
            raise
