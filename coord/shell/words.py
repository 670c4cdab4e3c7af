"""Four-letter words, asked: one connection a question, within a time limit."""

import os
import socket

import trio

from coord.client.addresses import Address, UnixAddress

ANSWER_BYTES_MAX = 16 << 20


class Unreachable(Exception):
    """The server gave no answer; the text says why in a few words."""


async def ask(address: Address, word: str, limit_s: float) -> str:
    """The answer to `word`. Raises Unreachable."""
    with trio.move_on_after(limit_s):
        try:
            return await _ask(address, word)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable(_reason(error)) from error
    raise Unreachable(f"no answer within {limit_s:g} s")


async def _ask(address: Address, word: str) -> str:
    if isinstance(address, UnixAddress):
        stream: trio.SocketStream = await trio.open_unix_socket(address.path)
    else:
        stream = await trio.open_tcp_stream(address.host, address.port)
    parts = []
    count = 0
    async with stream:
        await stream.send_all(word.encode())
        async for part in stream:
            parts.append(part)
            count += len(part)
            if count > ANSWER_BYTES_MAX:
                break
    return b"".join(parts).decode("utf-8", "replace")


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, BaseExceptionGroup):  # one error a machine behind the name
        error = error.exceptions[0]
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()  # its own text repeats the address
    return str(error) or type(error).__name__


def pairs(text: str) -> dict[str, str]:
    """The answer to mntr: keys without zk_, and values."""
    found = (line.partition("\t") for line in text.splitlines())
    return {key.removeprefix("zk_"): value for key, tab, value in found if tab}


def settings(text: str) -> dict[str, str]:
    """The answer to conf."""
    found = (line.partition("=") for line in text.splitlines())
    return {key: value for key, sign, value in found if sign}
