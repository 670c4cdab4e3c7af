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
from recipes.place import Entry, Place, PlaceGone, Places, acquire

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
async def among_few(client: coord.Client, path: str, kind: str) -> AsyncIterator[None]:
    """Waits until it is this one's turn to watch, and lets the next one do so at the end of the block.

    `kind`: for what it waits, such as "get" and "put", each of which has a line of its own.
    """
    place = await acquire(Line(client, f"{path}-waiting/{kind}", (kind,)), kind, "", look=_ahead)
    try:
        yield
    finally:
        await place.leave()


async def _ahead(place: Place) -> Entry | None:
    """For whom it waits, from the head of the line where that is enough."""
    if place.sorts:
        line = place.places
        place.about_to_read()
        try:
            page = await line.client.children_page(line.path, limit=HEAD)
        except coord.NoNodeError as error:
            raise PlaceGone(f"{place.path} was deleted while it waited") from error
        head = [entry for child in page.children if (entry := line.entry(child)) is not None]
        for number, entry in enumerate(head):
            if place.is_own(entry):
                return few(head[:number], entry)
        if len({entry.stat.ephemeral_owner for entry in head}) >= SESSIONS_AWAKE:
            near = await place.near()
            if near is not None:
                return near
        own = await _before_of_own_session(place)
        if own is not None:
            return own
    return await place.among_all(few)


async def _before_of_own_session(place: Place) -> Entry | None:
    line = place.places
    place.about_to_read()
    own = [name_of(path) for path in await line.client.ephemerals(f"{line.path}/")]
    before = max((name for name in own if name < place.name), default=None) if place.name in own else None
    if before is not None:
        stat = await line.client.exists(f"{line.path}/{before}")
        if stat is not None:
            return Entry(before, place.kind, stat)
    return None
