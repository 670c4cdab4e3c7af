"""`coord COMMAND ...`: finds the command and hands over; a command's module is imported only when it is asked for."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import NoReturn

from coord.cli.exit_codes import ExitCode
from coord.version import __version__

COMMANDS = MappingProxyType(
    {
        "serve": "run one server of an ensemble, or a single one",
        "up": "run an ensemble on this machine, to try it out",
        "shell": "look at znodes and change them: a prompt, or a script",
        "status": "the servers of an ensemble, and what is wrong with them",
        "history": "every change of a znode: when, by whom, from which version to which",
        "at": "the tree as it was at a zxid or a moment",
        "diff": "what differs between two zxids or moments",
        "log": "what stands in a server's log, and whether it is whole",
        "snapshot": "what is in stored snapshots, and whether they are whole",
        "backup": "a copy of all that an ensemble keeps, in one file",
        "restore": "data folders for a new ensemble, made of a backup",
    }
)
"""What each command is for; its code is main(arguments) -> exit status in the module of its name."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.WRONG_SETTINGS, f"{self.prog}: {message}; {self.prog} --help tells more\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (those of the process if None) name, and return its exit status."""
    lines = "\n".join(f"  {name:<10}{purpose}" for name, purpose in COMMANDS.items())
    parser = Parser(
        prog="coord",
        usage="coord [--version] [--help] COMMAND ...",
        description="A coordination service that ZooKeeper's clients can use.",
        epilog=f"commands:\n{lines}\n\ncoord COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"coord {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    if chosen.command not in COMMANDS:
        parser.error(refusal(chosen.command))
    try:
        command = importlib.import_module(f"coord.cli.{chosen.command}")
        status: int = command.main(chosen.arguments)
    except KeyboardInterrupt:  # so early that the command did not listen for signals yet
        return 0
    return status


def refusal(word: str | None) -> str:
    """What is wrong with a command line that begins with this word, which is none of the commands."""
    if word is None:
        return f"give a command: {listed('or')}"
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"{word!r} is not a command, " + (f"is {near[0]} meant" if near else f"there are {listed('and')}")


def listed(word: str) -> str:
    *first, last = COMMANDS
    return f"{', '.join(first)} {word} {last}"
