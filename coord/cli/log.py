"""`coord log`: what stands in a server's log, and whether it is what was written."""

from collections.abc import Sequence
from contextlib import aclosing

from coord.cli.arguments import argument
from coord.cli.looking_back import Look, add_source, make_parser, place, run_look
from coord.cli.options import parsed
from coord.past.dump import dump_log
from coord.past.source import Source
from coord.past.verify import verify_log
from coord.shell.past_requests import entry_shown
from coord.shell.past_values import checked_shown

DESCRIPTION = """\
What stands in a server's log, entry by entry; and whether all of it is what was written.

  coord log dump --since 15m                    every write, who made it, and what came of it
  coord log verify                              checksums, order, and the digests of the states it leads to
"""


def main(arguments: Sequence[str]) -> int:
    made = make_parser("log", "dump|verify [--data DIR] [--json]", DESCRIPTION)
    commands = made.add_subparsers(dest="command", metavar="dump|verify", required=True)
    dump = commands.add_parser("dump", help="every entry, also of writes that failed")
    dump.add_argument("--since", metavar="PLACE", type=argument(place), help="only what came after it")
    dump.add_argument("--until", metavar="PLACE", type=argument(place), help="only what came before it, or with it")
    dump.add_argument("-v", "--values", action="store_true", help="with the values that were written")
    verify = commands.add_parser("verify", help="read and replay all of it")
    for each in (dump, verify):
        add_source(each)
    options = parsed(made, arguments)
    return run_look(f"log {options.command}", options, {"dump": show, "verify": check}[options.command])


async def show(look: Look, source: Source) -> None:
    options = look.options
    found = dump_log(
        source,
        since=options.since,
        until=options.until,
        progress=look.progress,
    )
    async with aclosing(found):
        async for some in found:
            await look.show([entry_shown(entry, outcome, options.values) for entry, outcome in some])


async def check(look: Look, source: Source) -> None:
    checked = await verify_log(source, look.progress)
    await look.show([checked_shown(checked)])
