"""`coord diff`: what is not the same at two places of the past."""

from collections.abc import Sequence

from coord.cli.arguments import argument
from coord.cli.looking_back import Look, at_or_below, make_parser, place, run_look, znode_path
from coord.cli.options import parsed
from coord.past.differences import differences
from coord.past.source import Source
from coord.shell.past_values import difference_shown

DESCRIPTION = """\
What is not the same at two places of the past: znodes created, deleted, or with another value or ACL.

  coord diff 0x10000000036 0x10000000a12
  coord diff -v 2h 1h /app                      below /app, with the values
  coord diff yesterday today
"""


def main(arguments: Sequence[str]) -> int:
    made = make_parser("diff", "[--data DIR] [-v] [--json] PLACE PLACE [PATH]", DESCRIPTION)
    add = made.add_argument
    add("first", metavar="PLACE", type=argument(place), help="the earlier one")
    add("second", metavar="PLACE", type=argument(place), help="the later one")
    add(
        "path", metavar="PATH", type=argument(znode_path), nargs="?", default="/", help="only this and what is below it"
    )
    add("-v", "--values", action="store_true", help="with the values")
    return run_look("diff", parsed(made, arguments), show)


async def show(look: Look, source: Source) -> None:
    options = look.options
    found = await differences(source, options.first, options.second, at_or_below(options.path), look.progress)
    await look.show([difference_shown(each, options.values) for each in found])
