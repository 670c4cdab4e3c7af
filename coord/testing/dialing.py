"""The in-memory network as coord's own client dials it."""

from coord.client.addresses import Address, TcpAddress
from coord.client.dialing import ByteStream
from coord.testing.network import MemoryHost, MemoryStream


class MemoryDialer:
    """A `Dialer` (coord.client.dialing) for one host."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host

    async def resolve(self, address: Address) -> list[Address]:
        return [address]

    async def connect(self, address: Address) -> ByteStream:
        assert isinstance(address, TcpAddress), f"there are no sockets in memory such as {address}"
        return _Stream(await self._host.connect(address.host, address.port))


class _Stream:
    __slots__ = ("_stream",)

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        return await self._stream.receive()

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    def send_now(self, data: bytes) -> int:
        try:
            return self._stream.send_now(data)
        except OSError:
            return 0

    async def close(self) -> None:
        self._stream.close()
