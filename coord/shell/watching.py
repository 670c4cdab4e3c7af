"""Commands that wait for changes."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Annotated

from coord.client.events import EventKind
from coord.shell.errors import UsageError
from coord.shell.grammar import HERE, Count, Path, command
from coord.shell.state import Shell
from coord.shell.units import wall_ms
from coord.shell.values import Moment, Told


@command()
async def watch(
    shell: Shell,
    path: Path = HERE,
    *,
    recursive: Annotated[bool, "R"] = False,
    depth: Annotated[Count | None, "d"] = None,
    count: Annotated[Count | None, "n"] = None,
    since: str | None = None,
) -> AsyncGenerator[list[Told], None]:
    """What happens to a znode, as it happens, a line an event: time heard, zxid, what, path, and why it was deleted.

    It goes on until Ctrl-C. Nothing is missed, also while another server has to be found.

    Options:
        recursive: all that is below it too
        depth: with --recursive: so many levels down
        count: end after so many events
        since: begin at this zxid, such as 0x10000000006, if the servers remember so much

    Examples:
        watch -R /app
        watch -n 1 /app/config
    """
    recursive = recursive or depth is not None
    first = None if since is None else _zxid(since)
    told = 0
    async with shell.client.watch(shell.path(path), recursive=recursive, depth=depth, since=first) as events:
        while count is None or told < count:
            event = await anext(events)
            told += 1
            yield [Told(Moment(wall_ms()), event)]


MODES = ("PERSISTENT_RECURSIVE", "PERSISTENT")


@command(name="addWatch")
async def add_watch(shell: Shell, path: Path, *, mode: Annotated[str, "m"] = MODES[0]) -> AsyncIterator[list[Told]]:
    """As watch, under the name that zkCli has for it, and recursive as there.

    Options:
        mode: PERSISTENT_RECURSIVE, or PERSISTENT for the znode alone

    Examples:
        addWatch /app
    """
    if mode not in MODES:
        raise UsageError(f"addWatch: the mode {mode!r} is not known; there are {' and '.join(MODES)}")
    async with aclosing(watch(shell, path, recursive=mode == MODES[0])) as told:
        async for each in told:
            yield each


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
