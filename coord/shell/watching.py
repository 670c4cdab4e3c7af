"""Commands that wait for changes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Annotated

from coord.client.events import EventKind
from coord.shell.errors import UsageError
from coord.shell.grammar import HERE, Count, Path, command
from coord.shell.state import Shell
from coord.shell.units import wall_ms
from coord.shell.values import Moment, Told


@command(aliases=("addWatch",))
async def watch(
    shell: Shell,
    path: Path = HERE,
    *,
    recursive: Annotated[bool, "R"] = False,
    depth: Annotated[Count | None, "d"] = None,
    count: Annotated[Count | None, "n"] = None,
    since: str | None = None,
    mode: Annotated[str | None, "m"] = None,
) -> AsyncIterator[list[Told]]:
    """What happens to a znode, as it happens, a line an event: time heard, zxid, what, path, and why it was deleted.

    It goes on until Ctrl-C. Nothing is missed, also while another server has to be found.

    Options:
        recursive: all that is below it too
        depth: with --recursive: so many levels down
        count: end after so many events
        since: begin at this zxid, such as 0x10000000006, if the servers remember so much
        mode: as in zkCli: PERSISTENT, or PERSISTENT_RECURSIVE, which is --recursive

    Examples:
        watch -R /app
        watch -n 1 /app/config
    """
    if mode is not None and mode not in ("PERSISTENT", "PERSISTENT_RECURSIVE"):
        raise UsageError(f"watch: the mode {mode!r} is not known; there are PERSISTENT and PERSISTENT_RECURSIVE")
    recursive = recursive or mode == "PERSISTENT_RECURSIVE" or depth is not None
    first = None if since is None else _zxid(since)
    told = 0
    async with shell.client.watch(shell.path(path), recursive=recursive, depth=depth, since=first) as events:
        while count is None or told < count:
            event = await anext(events)
            told += 1
            yield [Told(Moment(wall_ms()), event)]


@asynccontextmanager
async def next_change(
    shell: Shell, path: str, kinds: Iterable[EventKind], wanted: bool
) -> AsyncIterator[Callable[[], Awaitable[Told]] | None]:
    """For -w: armed before what is read, so that nothing falls between; waits for one event of these kinds."""
    if not wanted:
        yield None
        return
    async with shell.client.watch(path, kinds=kinds) as events:

        async def changed() -> Told:
            event = await anext(events)
            return Told(Moment(wall_ms()), event)

        yield changed


def _zxid(text: str) -> int:
    if re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,19}", text) is None or int(text, 0) >= 1 << 63:
        raise UsageError(f"{text!r} is no zxid; write it as stat shows it, 0x10000000006")
    return int(text, 0)
