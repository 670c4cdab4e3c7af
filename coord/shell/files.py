"""Files of this machine that commands read and write; - is standard input or output."""

import os
import secrets
import sys
from pathlib import Path

import trio

from coord.shell.errors import ShellError
from coord.shell.state import Shell

STANDARD = "-"


async def read_file(shell: Shell, name: str) -> bytes:
    """What the file holds, or for - all of standard input. Raises ShellError."""
    if name == STANDARD and shell.input_taken:
        raise ShellError("standard input is where this shell's commands come from: give a file, or the commands by -c")
    try:
        return await trio.to_thread.run_sync(_read, name, abandon_on_cancel=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ShellError(f"{name} cannot be read: {_reason(error)}") from None


def _read(name: str) -> bytes:
    if name != STANDARD:
        return Path(name).expanduser().read_bytes()
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


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
