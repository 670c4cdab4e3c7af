"""Where what commands give is written.

To a terminal with colours and, at the prompt, a screenful at a time; to anything else as plain lines; or as JSON, a
line a value.
"""

import io
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio
from rich.console import Console

from coord.shell.plain import as_json
from coord.shell.text import render
from coord.shell.values import Value

PIPE_COLUMNS = 200
"""Of a table that does not go to a terminal."""


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
        self._lines = 0
        self._terminal = terminal
        self.console = Console(
            file=self._buffer, force_terminal=terminal, color_system="auto" if terminal else None,
            width=None if terminal else PIPE_COLUMNS, highlight=False, markup=False, emoji=False,
        )  # fmt: skip

    def begin(self) -> None:
        """A new command: a new screen."""
        self._lines = 0

    async def show(self, shown: Sequence[Any], before: bytes = b"") -> bool:
        """Write these values, behind these bytes; False if the reader has seen enough. Raises ReaderGone."""
        if before:
            await self._write(before)
        for each in shown:
            if isinstance(each, Value) and each.raw and not self._json:
                await self._flush()
                await self._write(each.value)
                continue
            self._put(each)
            if self._go_on is not None and not await self._page():
                return False
        await self._flush()
        return True

    def _put(self, value: Any) -> None:
        if self._json:
            self._buffer.write(as_json(value) + "\n")
        else:
            self.console.print(render(value, self.console), soft_wrap=True)

    async def _page(self) -> bool:
        """Does the reader want what does not fit on this screen?"""
        assert self._go_on is not None
        height = max(2, self.console.size.height - 2)
        if self._lines + self._buffer.getvalue().count("\n") < height:
            return True
        await self._flush()
        self._lines = 0
        return await self._go_on()

    async def _flush(self) -> None:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        if text:
            self._lines += text.count("\n")
            await self._write(text.encode("utf-8", "surrogateescape"))


def standard_output(json: bool, go_on: Callable[[], Awaitable[bool]] | None = None) -> Output:
    """In a thread: a pager that is not read must not stop the session."""

    def write(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def write_in_thread(data: bytes) -> None:
        try:
            await trio.to_thread.run_sync(write, data, abandon_on_cancel=True)
        except BrokenPipeError:
            raise ReaderGone from None

    return Output(write_in_thread, terminal=sys.stdout.isatty(), json=json, go_on=go_on)


def let_go() -> None:
    """At the end: if nobody reads any more, Python must not fail over what it still holds."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
