"""Of those who wait for the same thing to come, a few watch for it, and the others stand in line behind them.

Without this everything that comes would wake all who wait, and all but one in vain. Those who watch are the first in
the line of the first few sessions, one of each: when a program dies with all who waited in it, others are awake.

The line is `<path>-waiting`, beside the znode that it is for, with a place for each that waits.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import coord
from recipes.lock import acquire
from recipes.place import Entry, Places

SESSIONS_AWAKE = 3
"""Of so many sessions one each watches: if these die at once, what comes waits until the first of them has ended."""


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

    `kind`: for what it waits, such as "get" and "put", each of which has a line of its own. What the block returns is
    returned though the task was cancelled meanwhile.
    """
    place = await acquire(Places(client, f"{path}-waiting", (kind,)), kind, "", None, blocker=few)
    try:
        yield
    finally:
        await place.leave(felt=False)
