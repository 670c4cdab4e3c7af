"""Files of this machine that commands read and write; - is standard input or output."""

import os
import secrets
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import trio

from coord.shell.errors import ShellError
from coord.shell.state import Shell

STANDARD = "-"
PART_BYTES = 1 << 16


async def read_file(shell: Shell, name: str) -> bytes:
    """What the file holds, or for - all of standard input. Raises ShellError."""
    if name == STANDARD and shell.input_taken:
        raise ShellError("standard input is where this shell's commands come from: give a file, or the commands by -c")
    try:
        if name == STANDARD:
            return b"".join([part async for part in standard_input()])
        return await trio.to_thread.run_sync(_read, name, abandon_on_cancel=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ShellError(f"{name} cannot be read: {_reason(error)}") from None


def _read(name: str) -> bytes:
    return Path(name).expanduser().read_bytes()


async def standard_input() -> AsyncGenerator[bytes, None]:
    """What comes there, as it comes. Raises ShellError.

    Past sys.stdin: a thread that waits in there when the process is to end makes Python abort it.
    """
    if sys.stdin is None:
        return
    try:
        while part := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), PART_BYTES, abandon_on_cancel=True):
            yield part
    except OSError as error:
        raise ShellError(f"standard input cannot be read: {_reason(error)}") from None


async def write_file(name: str, data: bytes) -> None:
    """Whole or not at all: until it is written the file is what it was before. Raises ShellError."""
    try:
        await trio.to_thread.run_sync(_write, name, data)
    except (OSError, ValueError, RuntimeError) as error:
        raise ShellError(f"{name} cannot be written: {_reason(error)}") from None


def _write(name: str, data: bytes) -> None:
    path = Path(name).expanduser().resolve()
    if path.exists() and not path.is_file():  # a device, a pipe
        path.write_bytes(data)
        return
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
