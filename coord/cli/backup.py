"""`coord backup`: a copy of all that an ensemble keeps, in one file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from coord.cli.looking_back import EPILOG, Look, run_look
from coord.cli.options import Parser, parsed
from coord.cli.sources import ADDRESSES, add_auth, auth_of, open_server
from coord.past.backup import back_up
from coord.past.folder import FolderSource
from coord.past.source import Source
from coord.shell.backup_values import BackupMade
from coord.shell.errors import UsageError
from coord.shell.units import wall_ms
from coord.shell.values import Hex, Moment

DESCRIPTION = """\
Write a backup of a running ensemble: its state at one zxid, and how it came to that, as far back as the server keeps
its log. Every write that was acknowledged before this begins is in it, if all servers are named and answer. No client
waits for it.

  coord backup today.backup 10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181
  coord backup today.backup --auth digest:root:secret 10.0.0.1:2181
  coord backup today.backup --data /var/lib/coord       of a server that does not run

The file holds every value, whatever its ACL, and is readable by you only. It gets its name when it is whole; one that
is there already is left alone. coord restore makes a new ensemble of it; coord history, at and diff read it with
--backup.

A server tells its past to its superuser (--auth), to a client on a unix: address that is the user who runs it, and with
--inspect anyone to all.
"""


def main(arguments: Sequence[str]) -> int:
    made = Parser(
        prog="coord backup",
        usage="coord backup FILE [ADDRESSES | --data DIR] [--newest] [--auth SCHEME:CREDENTIALS] [--json]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = made.add_argument
    add("file", metavar="FILE", type=Path, help="to write; it must not exist")
    add("addresses", metavar="ADDRESSES", nargs="?", help=f"host:port,... (default {ADDRESSES})")
    add("--data", metavar="DIR", help="a server's data folder instead")
    add("--newest", action="store_true", help="without the past: smaller, but it can be restored at few zxids only")
    add_auth(made)
    add("--json", action="store_true", help="a line of JSON for the result, and for errors")
    return run_look("backup", parsed(made, arguments, intermixed=True), make, opened)


@asynccontextmanager
async def opened(look: Look) -> AsyncIterator[Source]:
    options = look.options
    if options.data is not None:
        if options.addresses is not None:
            raise UsageError("--data and ADDRESSES name two places to back up; give one of them")
        yield FolderSource(options.data)
    else:
        yield await open_server(
            options.addresses or ADDRESSES, auth_of(getattr(options, "auth", [])), look.progress.note
        )


async def make(look: Look, source: Source) -> None:
    options = look.options
    made = await back_up(source, options.file, int(wall_ms()), history=not options.newest, progress=look.progress)
    look.progress.end()
    time = Moment(made.time_ms) if made.time_ms else None
    shown = BackupMade(str(options.file), made.source, Hex(made.start), Hex(made.last), time, made.size_bytes)
    await look.show([shown])
