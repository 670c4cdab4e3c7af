"""One line, from its text to what it shows; and scripts, which end at the first line that fails."""

import inspect
import io
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import trio

from coord.model.errors import CoordError, NoAuthError, SessionLostError
from coord.shell.errors import ShellError
from coord.shell.grammar import Commands, split
from coord.shell.output import Output
from coord.shell.state import Shell
from coord.shell.table import COMMANDS

LEAVING = frozenset(("exit", "quit", "close"))


async def run_line(shell: Shell, line: str, output: Output) -> bool:
    """Do what the line says; False if it says to leave. Raises ShellError and CoordError."""
    words = split(line)
    if not words or words[0].startswith("#"):
        return True
    if words[0] in LEAVING:
        return False
    await run_words(shell, words, output)
    return True


async def run_words(shell: Shell, words: list[str], output: Output, commands: Commands = COMMANDS) -> None:
    """Do the command that these words are. Raises ShellError and CoordError."""
    found, rest = commands.find(words)
    arguments = found.parse(rest)
    if found.changes and shell.read_only:
        raise ShellError(f"{found.name} changes something, and this shell was started with --read-only")
    output.begin()
    made: Any = found.function(shell, **arguments)
    if inspect.isasyncgenfunction(found.function):
        async with aclosing(made) as batches:
            async for batch in batches:
                if not await output.show(batch):
                    break
    else:
        value = await made
        if value is not None:
            await output.show(value if isinstance(value, list) else [value])


async def run_script(
    shell: Shell, lines: AsyncIterator[tuple[str, str]], output: Output, json: bool
) -> Exception | None:
    """Lines with the names of where they stand; the error that ended them, after it was told."""
    async for where, line in lines:
        try:
            if not await run_line(shell, line, output):
                break
        except (ShellError, CoordError) as error:
            tell(error, where, json)
            return error
    return None


def tell(error: Exception, where: str, json_wanted: bool, who: str = "coord shell") -> None:
    """On standard error, in one line."""
    if json_wanted:
        text = json.dumps(
            {"error": type(error).__name__, "message": sentence(error), "where": where}, ensure_ascii=False
        )
    else:
        text = f"{who}: {where}: {sentence(error)}" if where else f"{who}: {sentence(error)}"
    print(text, file=sys.stderr, flush=True)


def sentence(error: Exception) -> str:
    """What went wrong, and where it is known what to do about it."""
    said = str(error) or type(error).__name__
    hint = next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
    return said + hint


HINTS: tuple[tuple[type[Exception], str], ...] = (
    (NoAuthError, "; see acl get, and authenticate with auth"),
    (SessionLostError, "; what was being written may have been done: look before it is done again"),
)


async def given_commands(commands: Iterable[str]) -> AsyncIterator[tuple[str, str]]:
    for each in commands:
        yield (each.split()[0] if each.lower().lstrip().startswith(("auth", "addauth")) else each), each


async def standard_input() -> AsyncIterator[tuple[str, str]]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # as Python takes its arguments
    number = 0
    while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        number += 1
        yield f"line {number}", line
