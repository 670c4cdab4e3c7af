"""Where what commands give is written.

To a terminal with colours and, at the prompt, a screenful at a time; to anything else as plain lines; or as JSON, a
line a value.
"""

import io
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TextIO

import trio
from rich.console import Console
from rich.text import Text

from coord.shell.errors import ShellError
from coord.shell.plain import as_json
from coord.shell.printable import as_text, harmless
from coord.shell.rows import rows_of
from coord.shell.text import render
from coord.shell.values import Bytes, Told, Value

PIPE_COLUMNS = 200
"""Of a table that does not go to a terminal."""


FLUSHED_VALUES = 100
"""Of a long list so many are written together: soon enough to be read, few enough trips to a thread."""


class ReaderGone(Exception):
    """Whoever read what is written has gone away, as `head` does: there is nothing more to do."""


class Output:
    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        *,
        terminal: bool,
        json: bool = False,
        go_on: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`go_on` asks after each screenful whether there shall be more; None: it is not asked."""
        self._write = write
        self._json = json
        self._go_on = go_on if terminal and not json else None
        self._buffer = io.StringIO()
        self._rows = 0  # on this screen
        self._terminal = terminal
        self.console = Console(
            file=self._buffer, force_terminal=terminal, color_system="auto" if terminal else None,
            width=None if terminal else PIPE_COLUMNS, highlight=False, markup=False, emoji=False,
        )  # fmt: skip

    def begin(self) -> None:
        """A new command: a new screen."""
        self._rows = 0

    async def show(self, shown: Sequence[Any], before: bytes = b"") -> bool:
        """Write these values, behind these bytes; False if the reader has seen enough. Raises ReaderGone."""
        if before:
            await self._write(before)
        for number, each in enumerate(shown, 1):
            exactly = self._exactly(each)
            if exactly is not None:
                await self._flush(paged=False)
                await self._write(exactly)
                continue
            self._put(each)
            live = isinstance(each, Told)  # who waits for changes is not asked for more of them
            if number % FLUSHED_VALUES == 0 and not await self._flush(paged=not live):
                return False
        return await self._flush(paged=not (shown and isinstance(shown[-1], Told)))

    async def say(self, line: str) -> None:
        """What is no value: for people only."""
        if not self._json:
            await self._write(_encoded(harmless(line) + "\n"))

    def _exactly(self, value: Any) -> bytes | None:
        """The bytes of what is to be written as it is."""
        if isinstance(value, Bytes):
            return value.data
        return value.value if isinstance(value, Value) and value.raw and not self._json else None

    def _put(self, value: Any) -> None:
        if self._json:
            self._buffer.write(as_json(value) + "\n")
            return
        if isinstance(value, Value) and not self._terminal and (text := as_text(value.value)) is not None:
            self._buffer.write(text.removesuffix("\n") + "\n")  # as it is: what is shown to people loses some letters
            return
        shown = render(value, self.console)
        if isinstance(shown, Text) and self._terminal:
            shown.plain = harmless(shown.plain)
        if isinstance(shown, Text) and not (
            self._terminal and (shown.spans or shown.style)
        ):  # a tenth of the time that the console takes
            self._buffer.write(shown.plain + "\n")
        else:
            self.console.print(shown, soft_wrap=True)

    async def _flush(self, *, paged: bool) -> bool:
        """Write what has gathered: all of it, or at the prompt a screenful at a time, as long as more is wanted."""
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        if not text:
            return True
        if not paged or self._go_on is None:
            await self._write(_encoded(text))
            return True
        width, height = self.console.size
        screen: list[str] = []
        for line in text.removesuffix("\n").split("\n"):
            for number, row in enumerate(rows_of(line, width)):
                if self._rows >= max(1, height - 2):
                    await self._write(_encoded("".join(screen) + "\n" * (number > 0)))  # also within a long line
                    screen, self._rows = [], 0
                    if not await self._go_on():
                        return False
                screen.append(row)
                self._rows += 1
            screen.append("\n")
        await self._write(_encoded("".join(screen)))
        return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is one; a stream that was closed before we came is None."""
    return stream is not None and stream.isatty()


def standard_output(json: bool, go_on: Callable[[], Awaitable[bool]] | None = None) -> Output:
    """In a thread: a pager that is not read must not stop the session."""

    def write(data: bytes) -> None:
        """Past sys.stdout: a thread that waits in there when the process is to end makes Python abort it."""
        left = memoryview(data)
        while left and sys.stdout is not None:
            left = left[os.write(sys.stdout.fileno(), left) :]

    async def write_in_thread(data: bytes) -> None:
        try:
            await trio.to_thread.run_sync(write, data, abandon_on_cancel=True)
        except BrokenPipeError:
            raise ReaderGone from None
        except OSError as error:
            raise ShellError(f"standard output cannot be written: {error.strerror}") from None

    return Output(write_in_thread, terminal=is_terminal(sys.stdout), json=json, go_on=go_on)


def let_go() -> None:
    """At the end: if nobody reads any more, Python must not fail over what it still holds."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
