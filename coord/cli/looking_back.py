"""What the commands about the past share: where they look, moments as people write them, and how they end."""

import argparse
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from coord.cli.exit_codes import ExitCode
from coord.cli.options import Parser
from coord.cli.progress import Bar
from coord.cli.shell import INTERRUPTED, TERMINATED
from coord.cli.signals import until_stopped
from coord.cli.sources import add_where, open_where
from coord.model.errors import CoordError
from coord.model.paths import check_path
from coord.past.changes import Wanted, everything
from coord.past.errors import PastError
from coord.past.looking import Place
from coord.past.source import Source
from coord.shell.errors import ShellError, UsageError
from coord.shell.output import ReaderGone, let_go, standard_output
from coord.shell.run import tell
from coord.shell.state import under
from coord.shell.units import age_s, wall_ms

PLACES = """\
A place in the past is a zxid (0x10000000036), an age (90s, 15m, 2h, 3d), or a moment in UTC (2026-11-26T22:17:01Z,
2026-11-26, 22:17, today, yesterday, "yesterday 22:17").
"""
EPILOG = (
    "exit status: 0 all was done; 2 the command line was not understood; 8 it cannot be shown, or is damaged; "
    "130 Ctrl-C.\n"
)


def make_parser(name: str, usage: str, description: str) -> Parser:
    made = Parser(
        prog=f"coord {name}",
        usage=f"coord {name} {usage}",
        description=description,
        epilog=f"{PLACES}\n{EPILOG}",
    )
    add_source(made)
    made.set_defaults(json=False)
    return made


def add_source(to: argparse.ArgumentParser) -> None:
    """The options that say where to look, and how to show it; a command and its second word may both have them."""
    add_where(to)
    to.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="a line of JSON for each value, and for errors"
    )


@asynccontextmanager
async def open_source(look: "Look") -> AsyncIterator[Source]:
    """Where the options say that the past is. Raises PastError."""
    yield await open_where(look.options, look.progress.note)


class Look:
    """One command at work: its source, and where it shows what it finds. `status` is how the process ends."""

    def __init__(self, who: str, options: argparse.Namespace, work: "Work", opening: "Opening") -> None:
        self.options = options
        self.status: int = ExitCode.STOPPED
        self.progress = Bar(who, json=options.json)
        self._who = who
        self._work = work
        self._opening = opening
        self.output = standard_output(options.json)

    async def show(self, values: Sequence[Any]) -> None:
        self.progress.hide()
        await self.output.show(values)

    def heard(self, name: str) -> None:
        self.status = INTERRUPTED if name == "SIGINT" else TERMINATED

    def failed(self, error: Exception) -> None:
        """Say it, and go on: the command ends with it all the same."""
        self.progress.end()
        tell(error, "", self.options.json, self._who)
        self.status = ExitCode.WRONG_SETTINGS if isinstance(error, UsageError) else ExitCode.COMMAND_FAILED

    async def run(self) -> None:
        try:
            async with self._opening(self) as source:
                await self._work(self, source)
        except ReaderGone:
            pass
        except (PastError, ShellError, CoordError) as error:
            self.failed(error)
        except MemoryError:
            self.failed(PastError("there is not memory enough here: a state takes as much as a server that holds it"))
        finally:
            self.progress.end()


Work = Callable[[Look, Source], Awaitable[None]]
Opening = Callable[[Look], AbstractAsyncContextManager[Source]]


def run_look(name: str, options: argparse.Namespace, work: Work, opening: Opening = open_source) -> int:
    """Do the work, and give the exit status."""
    look = Look(f"coord {name}", options, work, opening)
    trio.run(until_stopped, look.run, look.heard)
    let_go()
    return look.status


# ---- what people write


def place(text: str) -> Place:
    """A zxid, an age or a moment. Raises UsageError."""
    if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text):
        return Place(int(text, 16))
    if re.fullmatch(r"[0-9]{1,19}", text):
        return Place(int(text))
    if re.fullmatch(r"[0-9.]+ ?[smhd]( ago)?", text):
        return Place(None, round(wall_ms() - age_s(text.removesuffix(" ago")) * 1000))
    if text == "now":
        return Place(None, round(wall_ms()))
    try:
        moment = datetime.fromisoformat(_with_its_day(text))
    except ValueError:
        raise UsageError(
            f"{text!r} is no place in the past; write a zxid such as 0x10000000036, an age such as 15m or 3d, or a "
            "moment such as 2026-11-26T22:17:01Z"
        ) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return Place(None, round(moment.timestamp() * 1000))


def _with_its_day(text: str) -> str:
    """`yesterday 9:05` as 2026-11-25T09:05; what names its day itself stays."""
    today = datetime.fromtimestamp(wall_ms() / 1000, UTC).date()
    found = re.fullmatch(r"(today|yesterday)?(?:(?:^| )([0-9]{1,2})(:[0-9]{2}\S*))?", text)
    if not text or found is None:
        return text
    day = today - timedelta(days=found[1] == "yesterday")
    return f"{day}T{found[2] or '0':0>2}{found[3] or ':00'}"


def znode_path(text: str) -> str:
    """An absolute path. Raises UsageError."""
    path = text.rstrip("/") or "/"
    try:
        check_path(path)
    except CoordError as error:
        raise UsageError(str(error)) from None
    return path


def at_or_below(top: str) -> Wanted:
    return everything if top == "/" else lambda path: under(path, top)
