"""`coord history`: every change of a znode that is kept, with its author."""

from collections.abc import Sequence
from contextlib import aclosing

from coord.cli.arguments import argument
from coord.cli.looking_back import Look, at_or_below, make_parser, place, run_look, znode_path
from coord.cli.options import parsed
from coord.past.errors import PastError
from coord.past.history import Standing, history
from coord.past.source import Source
from coord.shell.past_values import change_shown, standing_shown

DESCRIPTION = """\
Every change of a znode that is kept, the oldest first: when, what, from which version to which, which session did it,
from which address, as whom.

  coord history /app/config                     who changed it, and when
  coord history -v --since yesterday /app/config   with the values
  coord history -R --since 2h --until 1h /app   of all that is below it too
"""


def main(arguments: Sequence[str]) -> int:
    made = make_parser("history", "[--data DIR] [-R] [-v] [--since PLACE] [--until PLACE] [--json] PATH", DESCRIPTION)
    add = made.add_argument
    add("path", metavar="PATH", type=argument(znode_path), help="of the znode; it need not be there any more")
    add("-R", "--recursive", action="store_true", help="all that is below it too")
    add("-v", "--values", action="store_true", help="with the values")
    add("--since", metavar="PLACE", type=argument(place), help="only what came after it")
    add("--until", metavar="PLACE", type=argument(place), help="only what came before it, or with it")
    return run_look("history", parsed(made, arguments), show)


async def show(look: Look, source: Source) -> None:
    options = look.options
    path: str = options.path
    found = history(
        source,
        at_or_below(path) if options.recursive else lambda each: each == path,
        since=options.since,
        until=options.until,
        standing=() if options.recursive else (path,),
        progress=look.progress,
    )
    anything = False
    async with aclosing(found):
        async for some in found:
            anything = True
            await look.show(
                [
                    standing_shown(each, options.values)
                    if isinstance(each, Standing)
                    else change_shown(each, options.values)
                    for each in some
                ]
            )
    if not anything:
        overview = await source.overview()
        raise PastError(
            f"nothing happened to {path} in what was looked through; {source.name} ends with zxid {overview.last:#x}"
        )
