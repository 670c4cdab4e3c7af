"""The way to a server: a stream of bytes from an address. A test gives a dialer of its own."""

import socket
from typing import Protocol

import anyio
import anyio.abc

from coord.client.addresses import Address, TcpAddress, UnixAddress

RECEIVE_BYTES_MAX = 256 << 10


class ByteStream(Protocol):
    """A connection. Any failure of it is an OSError or reads as its end."""

    async def receive(self) -> bytes:
        """At least one byte, or none at the end."""

    async def send(self, data: bytes) -> None: ...

    def send_now(self, data: bytes) -> int:
        """Send what can be sent without waiting, while nobody is in `send`; how many bytes that were, perhaps none."""

    async def close(self) -> None: ...


class Dialer(Protocol):
    async def resolve(self, address: Address) -> list[Address]:
        """Where the address leads now: a name may stand for several machines, and for others tomorrow."""

    async def connect(self, address: Address) -> ByteStream:
        """A connection to what `resolve` gave. OSError if there is none."""


class AnyioStream:
    """An AnyIO stream, with its errors translated."""

    __slots__ = ("_second", "_socket", "_stream")

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        self._second: socket.socket | None = None  # asyncio's own cannot send: another one of the same connection
        if not isinstance(raw, socket.socket):
            raw = self._second = socket.socket(fileno=socket.dup(raw.fileno()))
            raw.setblocking(False)
        self._socket = raw

    async def receive(self) -> bytes:
        try:
            return await self._stream.receive(RECEIVE_BYTES_MAX)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise _broken(error) from error

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise _broken(error) from error

    def send_now(self, data: bytes) -> int:
        try:
            return self._socket.send(data)
        except OSError:  # full, or broken: `send` will find out
            return 0

    async def close(self) -> None:
        if self._second is not None:
            self._second.close()
        await anyio.aclose_forcefully(self._stream)


class AnyioDialer:
    """TCP and Unix sockets of this machine."""

    async def resolve(self, address: Address) -> list[Address]:
        if isinstance(address, UnixAddress):
            return [address]
        try:
            found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{address.host!r} cannot be the name of a host") from error
        return list({name[:2]: TcpAddress(str(name[0]), int(name[1])) for *_, name in found}.values())

    async def connect(self, address: Address) -> ByteStream:
        if isinstance(address, UnixAddress):
            return AnyioStream(await anyio.connect_unix(address.path))
        try:
            stream = await anyio.connect_tcp(address.host, address.port)
        except OSError as error:  # AnyIO's own says only that all attempts have failed
            raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return AnyioStream(stream)


def _broken(error: Exception) -> OSError:
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else ConnectionResetError("the connection broke")
