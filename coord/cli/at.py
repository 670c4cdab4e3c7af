"""`coord at`: the tree as it was, with the reading commands of the shell."""

import argparse
from collections.abc import Sequence

from coord.cli.arguments import argument
from coord.cli.looking_back import Look, make_parser, place, run_look
from coord.cli.options import parsed
from coord.past.looking import state_at
from coord.past.source import Source
from coord.shell.errors import UsageError
from coord.shell.grammar import split
from coord.shell.past_client import PAST_COMMANDS, past_shell, refuse_waiting
from coord.shell.run import run_words

DESCRIPTION = """\
The tree as it was at a zxid or a moment, by a command of coord shell: ls, get, stat, tree, find, du, count, acl get,
quota get. Nothing is changed.

  coord at 0x10000000036 get /app/config
  coord at 15m tree /app
  coord at yesterday ls -l /app                 as the day began, in UTC
"""


def main(arguments: Sequence[str]) -> int:
    made = make_parser("at", "[--data DIR] [--json] PLACE COMMAND ...", DESCRIPTION)
    made.add_argument("place", metavar="PLACE", type=argument(place), help="a zxid, an age or a moment")
    made.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="of the shell, with its options")
    return run_look("at", parsed(made, arguments), show)


async def show(look: Look, source: Source) -> None:
    options = look.options
    words = options.words
    if len(words) == 1:
        words = split(words[0])  # "ls -l /", as it is given to coord shell -c
    if not words:
        raise UsageError(f"say what to look at: {', '.join(each for each in PAST_COMMANDS.by_name if each.islower())}")
    refuse_waiting(words)  # before what may take long
    machine = await state_at(source, options.place, look.progress)
    look.progress.end()
    await run_words(past_shell(machine), words, look.output, PAST_COMMANDS)
