"""`coord restore`: data folders for a new ensemble, made of a backup."""

import random
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from coord.cli.arguments import argument
from coord.cli.looking_back import EPILOG, PLACES, Look, place, run_look
from coord.cli.options import Parser, parsed
from coord.cli.up import SERVERS_MAX, UpError, claim
from coord.past.backup_file import BackupSource
from coord.past.errors import PastError
from coord.past.restore import Restored, Target, check_empty, restore
from coord.past.source import Source
from coord.server.parsers import Unacceptable, server_ids
from coord.shell.backup_values import RestoreMade
from coord.shell.errors import UsageError
from coord.shell.values import Hex, Moment

DESCRIPTION = """\
Make a server's data folder of a backup, for a new ensemble. The backup is read to its end and checked first.

  coord restore today.backup --data /var/lib/coord --id 2     on the machine of server 2, and so on each machine
  coord restore today.backup --data coord-data --id 1,2,3     here, a folder for each server, for coord up
  coord restore today.backup --data old --at "yesterday 22:17"

Restore on every server before the first one starts: servers that begin with nothing could agree on that without those
that have the backup. The same file and zxid give the same ensemble on each machine (of an age or a moment the first
restore says the zxid: give the others that); --name makes another one of them.

The tree comes back with its versions, times and zxids. Sessions do not, nor their ephemeral znodes: their clients open
new ones. The new ensemble's zxids are above all that the old one gave, so that fencing tokens stay in order.
"""


def main(arguments: Sequence[str]) -> int:
    made = Parser(
        prog="coord restore",
        usage="coord restore FILE --data DIR [--at PLACE] [--id N[,N...]] [--name NAME] [--json]",
        description=DESCRIPTION,
        epilog=f"{PLACES}\n{EPILOG}",
    )
    add = made.add_argument
    add("file", metavar="FILE", type=Path, help="that coord backup has made")
    add("--data", metavar="DIR", type=Path, required=True, help="the folder to make: empty, or not there yet")
    add(
        "--at",
        metavar="PLACE",
        type=argument(place),
        help="a zxid, an age or a moment (default: the backup's end)",
    )
    add(
        "--id",
        metavar="N",
        type=argument(server_numbers),
        default=[1],
        help="of the server (default 1); of several: DIR/server-N for each",
    )
    add(
        "--name",
        metavar="NAME",
        default="",
        help="where a second ensemble is made of one backup, any other name for it",
    )
    add("--json", action="store_true", help="a line of JSON for the result, and for errors")
    return run_look("restore", parsed(made, arguments), make, opened)


@asynccontextmanager
async def opened(look: Look) -> AsyncIterator[Source]:
    yield BackupSource(look.options.file)


async def make(look: Look, source: Source) -> None:
    options = look.options
    assert isinstance(source, BackupSource)
    ids = options.id
    folders = [options.data / f"server-{each}" for each in ids] if len(ids) > 1 else [options.data]
    if len(ids) > 1:
        check_empty(options.data)
    targets = [Target(server, folder) for server, folder in zip(ids, folders, strict=True)]
    restored = await restore(
        source, targets, random.SystemRandom(), place=options.at, name=options.name, progress=look.progress
    )
    look.progress.end()
    await look.show([_shown(targets, restored, _then(options.data, ids))])


def server_numbers(text: str) -> list[int]:
    """Ids with commas between them, ascending. Raises UsageError."""
    try:
        ids = sorted(server_ids(text))
    except Unacceptable as error:
        raise UsageError(f"{text!r} is wrong: it {error}") from None
    if not ids:
        raise UsageError("it names no server; give a number such as 1, or several such as 1,2,3")
    return ids


def _then(data: Path, ids: list[int]) -> list[str]:
    """The commands that start what was restored."""
    folder = shlex.quote(str(data))
    if len(ids) == 1:
        return [f"coord serve --id {ids[0]} --data {folder}"]
    if ids != list(range(1, len(ids) + 1)) or len(ids) > SERVERS_MAX:
        return [f"coord serve --id {each} --data {shlex.quote(str(data / f'server-{each}'))}" for each in ids]
    try:
        claim(data, len(ids))
    except UpError as error:
        raise PastError(str(error)) from None
    return [f"coord up --servers {len(ids)} --data {folder}"]


def _shown(targets: list[Target], restored: Restored, then: list[str]) -> RestoreMade:
    return RestoreMade(
        [str(each.folder) for each in targets],
        Hex(restored.place),
        Moment(restored.time_ms),
        Hex(restored.zxid),
        Hex(restored.digest),
        Hex(restored.cluster),
        restored.znodes,
        restored.sessions_ended,
        restored.ephemerals_removed,
        then,
    )
