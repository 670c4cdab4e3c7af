"""Files of this machine that commands read and write."""

import sys
from pathlib import Path

import trio

from coord.shell.errors import ShellError


def local(name: str) -> trio.Path:
    return trio.Path(Path(name).expanduser())


async def read_file(name: str) -> bytes:
    """What the file holds, or for - all of standard input. Raises ShellError."""
    if name == "-":
        return await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
    try:
        return await local(name).read_bytes()
    except OSError as error:
        raise ShellError(f"{name} cannot be read: {error.strerror}") from None


async def write_file(name: str, data: bytes) -> None:
    """Raises ShellError."""
    try:
        await local(name).write_bytes(data)
    except OSError as error:
        raise ShellError(f"{name} cannot be written: {error.strerror}") from None
