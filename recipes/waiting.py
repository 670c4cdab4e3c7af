"""Of those who wait for the same thing to come, a few watch for it, and the others stand in line behind them.

Without this everything that comes would wake all who wait, and all but one in vain. Those who watch are the first in
the line of the first few sessions, one of each: when a program dies with all who waited in it, others are awake.

The line is `<path>-waiting`, beside the znode that it is for, with a place for each that waits; it goes by itself some
time after the last of them. Of a long line only the head is read: whoever is behind it waits for the one before, if in
the head there are sessions enough, or else for the one before of its own session.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import coord
from recipes.claim import ensure_container
from recipes.inside import name_of, parent_of
from recipes.place import Entry, Place, PlaceGone, Places, wait_gone

SESSIONS_AWAKE = 3
"""Of so many sessions one each watches: if these die at once, what comes waits until the first of them has ended."""

HEAD = 32
"""Places of a line that are read at once."""


class Line(Places):
    """The places of those who wait for one thing."""

    async def ensure(self) -> None:
        """Both znodes above the places: nobody has named them, so neither may stay behind."""
        while True:
            try:
                with suppress(coord.NodeExistsError):
                    await self.client.create(self.path, container=True)
                return
            except coord.NoNodeError:  # also if it has gone between these two
                await ensure_container(self.client, parent_of(self.path))


def few(ahead: Sequence[Entry], own: Entry) -> Entry | None:
    """Who is first of its session, and of one of the first sessions, need not wait in line; the others wait for one."""
    first: dict[int, Entry] = {}  # of each session ahead, in order
    before = None
    for entry in ahead:
        first.setdefault(entry.stat.ephemeral_owner, entry)
        if entry.stat.ephemeral_owner == own.stat.ephemeral_owner:
            before = entry
    if before is not None:
        return before
    return list(first.values())[-SESSIONS_AWAKE] if len(first) >= SESSIONS_AWAKE else None


@asynccontextmanager
async def among_few(client: coord.Client, path: str, kind: str, *, felt: bool = True) -> AsyncIterator[None]:
    """Waits until it is this one's turn to watch, and lets the next one do so at the end of the block.

    `kind`: for what it waits, such as "get" and "put", each of which has a line of its own. `felt`: as that of
    `shielded`, for the end of a block that returns what must not be lost.
    """
    place = await _stand(Line(client, f"{path}-waiting/{kind}", (kind,)), kind)
    try:
        yield
    except BaseException:
        await place.leave()
        raise
    await place.leave(felt=felt)


async def _stand(line: Line, kind: str) -> Place:
    while True:
        place = await line.take(kind, "")
        try:
            while (ahead := await _ahead(line, place)) is not None:
                await wait_gone(line.client, f"{line.path}/{ahead[0]}", ahead[1])
        except PlaceGone:
            continue
        except BaseException:
            await place.leave()
            raise
        return place


async def _ahead(line: Line, place: Place) -> tuple[str, coord.Stat | None] | None:
    """For whom it waits: the name, and the Stat if that was read."""
    if place.sorts:
        try:
            page = await line.client.children_page(line.path, limit=HEAD)
        except coord.NoNodeError as error:
            raise PlaceGone(f"{place.path} was deleted while it waited") from error
        head = [entry for child in page.children if (entry := line.entry(child)) is not None]
        if any(place.is_own(entry) for entry in head):
            return _of(place, head)
        if len({entry.stat.ephemeral_owner for entry in head}) >= SESSIONS_AWAKE:
            near = await place.near()
            if near is not None:
                return near.name, near.stat
        own = [name_of(path) for path in await line.client.ephemerals(f"{line.path}/")]
        if place.name in own and (before := [name for name in own if name < place.name]):
            return max(before), None
    return _of(place, await line.entries())


def _of(place: Place, entries: Sequence[Entry]) -> tuple[str, coord.Stat | None] | None:
    for number, entry in enumerate(entries):
        if place.is_own(entry):
            waited = few(entries[:number], entry)
            return None if waited is None else (waited.name, waited.stat)
    raise PlaceGone(f"{place.path} was deleted while it waited")
