"""One line, from its text to what it shows; and scripts, which end at the first line that fails."""

import codecs
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from typing import Any

import trio

from coord.model.errors import ConnectError, CoordError, NoAuthError, SessionLostError
from coord.shell import files
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import Commands, commands_of, is_comment, open_quote, split
from coord.shell.output import Output
from coord.shell.plain import json_line
from coord.shell.printable import harmless
from coord.shell.state import Shell
from coord.shell.table import COMMANDS, LEAVING
from coord.shell.values import Again

SECRETS = ("auth", "addauth")
"""Commands whose words are neither repeated nor kept."""

WHERE_LETTERS = 120
SENTENCE_LETTERS = 2000
"""More of a command, and of what is said of it, is left out: a value of a megabyte may stand in it."""


async def run_line(shell: Shell, line: str, output: Output) -> bool:
    """Do what the line says; False if it says to leave. Raises ShellError and CoordError."""
    if is_comment(line) or not (words := split(line)):
        return True
    if words[0].lower() in LEAVING:
        return False
    if not is_secret(line) and words[0].lower() != "redo":  # what that does again is kept instead
        shell.lines.append(line.strip())
    await run_words(shell, words, output)
    return True


def is_secret(line: str) -> bool:
    return line.split()[:1] != [] and line.split()[0].lower() in SECRETS


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
        if isinstance(value, Again):
            await output.say(value.line)
            await run_line(shell, value.line, output)
        elif value is not None:
            await output.show(value if isinstance(value, list) else [value])


async def run_script(
    shell: Shell, lines: AsyncIterator[tuple[str, str]], output: Output, json: bool
) -> Exception | None:
    """Lines with the names of where they stand; the error that ended them, after it was told."""
    current = ("", "")
    try:
        async for current in lines:
            if not await run_line(shell, current[1], output):
                break
    except (ShellError, CoordError) as error:
        tell(error, current[0], json)
        return error
    except trio.Cancelled:
        if changes(current[1]):
            tell(ShellError(INTERRUPTED), current[0], json)
        raise
    return None


INTERRUPTED = "interrupted; what was being written may have been done, or a part of it: look before it is done again"


def changes(line: str) -> bool:
    """Whether this line is a command that changes something."""
    try:
        words = split(line)
        return bool(words) and COMMANDS.find(words)[0].changes
    except UsageError:
        return False


def tell(error: Exception, where: str, json_wanted: bool, who: str = "coord shell") -> None:
    """On standard error, in one line."""
    if json_wanted:
        text = json_line({"error": type(error).__name__, "message": sentence(error), "where": where})
    else:
        text = f"{who}: {where}: {sentence(error)}" if where else f"{who}: {sentence(error)}"
    say(text)


def say(text: str) -> None:
    """A line on standard error; if nobody can be told the exit status still tells."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        print(harmless(text.replace("\n", " ")), file=sys.stderr, flush=True)


def sentence(error: Exception) -> str:
    """What went wrong, and where it is known what to do about it."""
    said = str(error) or type(error).__name__
    hint = next((hint for kind, hint in HINTS if isinstance(error, kind)), "")
    return shortened(said, SENTENCE_LETTERS) + hint


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 20]} ... {text[-10:]}"


HINTS: tuple[tuple[type[Exception], str], ...] = (
    (NoAuthError, "; see acl get, and authenticate with auth"),
    (ConnectError, "; coord status with the same addresses tells more"),
    (SessionLostError, "; what was being written may have been done: look before it is done again"),
)


async def given_commands(commands: Iterable[str]) -> AsyncIterator[tuple[str, str]]:
    for given in commands:
        for each in commands_of(given):
            yield (each.split()[0] if is_secret(each) else shortened(each, WHERE_LETTERS)), each


async def standard_input() -> AsyncIterator[tuple[str, str]]:
    """A command a line; one whose quote is still open goes on in the next. Raises ShellError."""
    number, began = 0, 1
    pending: list[str] = []
    quote = ""
    async with aclosing(_lines()) as lines:
        async for line in lines:
            number += 1
            if not pending:
                began = number
                if is_comment(line):
                    continue
            quote = open_quote(line, quote)
            pending.append(line)
            if not quote:
                yield f"line {began}", "".join(pending)
                pending = []
    if pending:
        yield f"line {began}", "".join(pending)


async def _lines() -> AsyncGenerator[str, None]:
    """Of standard input, with their ends."""
    rest: list[bytes] = []
    first = True
    async with aclosing(files.standard_input()) as parts:
        async for part in parts:
            *whole, last = part.split(b"\n")
            for each in whole:
                line = b"".join([*rest, each, b"\n"])
                yield _text(line.removeprefix(codecs.BOM_UTF8) if first else line)
                rest, first = [], False
            rest.append(last)
    if any(rest):
        yield _text(b"".join(rest))


def _text(line: bytes) -> str:
    """As Python takes its arguments."""
    return line.decode("utf-8", "surrogateescape")
