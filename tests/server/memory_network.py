"""A network in memory: hosts by name, streams that behave as sockets do, cut and healed on demand.

What a `MemoryNetwork` promises: bytes arrive in order and at once; a sender sees a full buffer (`BUFFER_BYTES`) as a
socket's; between hosts that are cut off nothing arrives and nobody connects, and nobody is told, as with a pulled
plug; what was on its way arrives when they are healed.
"""

import itertools
from collections.abc import Iterable

import trio

BUFFER_BYTES = 256 << 10
"""What one direction of a stream holds before its sender has to wait."""

RECEIVE_BYTES_MAX = 256 << 10


class MemoryNetwork:
    """All hosts and what lies between them."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._streams: list[MemoryStream] = []
        self._cut: set[frozenset[str]] = set()
        self._changed = trio.lowlevel.ParkingLot()  # hosts were healed
        self._ports = itertools.count(40_000)

    def host(self, name: str) -> "MemoryHost":
        """The network as the host of this name sees it."""
        return MemoryHost(self, name)

    def are_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._cut

    def cut(self, one: str, *others: str) -> None:
        """Let nothing pass between `one` and the others until they are healed."""
        self._cut.update(frozenset((one, other)) for other in others)

    def heal(self) -> None:
        self._cut.clear()
        self._changed.unpark_all()
        for stream in self._streams:
            stream.wake()

    def break_host(self, name: str) -> None:
        """The host's process is gone: all its connections are reset, its ports are closed."""
        for stream in list(self._streams):
            if stream.local == name:
                stream.reset()
        for address in [address for address in self._listeners if address[0] == name]:
            self._listeners[address].close()

    def break_between(self, one: str, other: str) -> None:
        """Reset the connections between two hosts."""
        for stream in list(self._streams):
            if {stream.local, stream.remote[0]} == {one, other}:
                stream.reset()

    def open_streams(self, name: str) -> int:
        """How many connections the host has open: what would be its file descriptors."""
        return sum(stream.local == name for stream in self._streams)

    # ---- what hosts do

    def _listen(self, host: str, port: int) -> "MemoryListener":
        if (host, port) in self._listeners:
            raise OSError(98, "Address already in use")
        listener = self._listeners[host, port] = MemoryListener(self, (host, port))
        return listener

    async def _connect(self, local: str, host: str, port: int) -> "MemoryStream":
        await trio.lowlevel.checkpoint()
        while self.are_cut(local, host):
            await self._changed.park()
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(111, "Connection refused")
        here, there = _Way(), _Way()
        mine = MemoryStream(self, local, (host, port), here, there)
        theirs = MemoryStream(self, host, (local, next(self._ports)), there, here)
        self._streams += (mine, theirs)
        listener.offer(theirs)
        return mine


class MemoryHost:
    """A `Network` (coord.net.network) for one host."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self._network = network
        self.name = name

    async def listen(self, host: str, port: int) -> "Iterable[MemoryListener]":
        assert host == self.name, f"{self.name} listens on {host}, which is another host"
        return [self._network._listen(host, port)]

    async def connect(self, host: str, port: int) -> "MemoryStream":
        return await self._network._connect(self.name, host, port)


class MemoryListener:
    def __init__(self, network: MemoryNetwork, address: tuple[str, int]) -> None:
        self._network = network
        self.address = address
        self._sender, self._receiver = trio.open_memory_channel["MemoryStream"](1024)

    def offer(self, stream: "MemoryStream") -> None:
        try:
            self._sender.send_nowait(stream)
        except trio.WouldBlock:
            raise ConnectionRefusedError(111, "the backlog is full") from None

    async def accept(self) -> "MemoryStream":
        return await self._receiver.receive()

    def close(self) -> None:
        self._network._listeners.pop(self.address, None)
        self._sender.close()


class _Way:
    """One direction of a connection."""

    __slots__ = ("data", "ended", "readers", "unread", "writers")

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False  # its sender has closed
        self.unread = False  # its receiver has closed
        self.readers = trio.lowlevel.ParkingLot()
        self.writers = trio.lowlevel.ParkingLot()


class MemoryStream:
    """One end of a connection: a `Stream` (coord.net.network)."""

    def __init__(
        self, network: MemoryNetwork, local: str, remote: tuple[str, int], outgoing: _Way, incoming: _Way
    ) -> None:
        self._network = network
        self._out = outgoing
        self._in = incoming
        self._closed = False
        self._reset = False
        self.local = local
        self.remote = remote
        self.bytes_sent = 0

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        way = self._in
        while True:
            if self._reset:
                raise ConnectionResetError(104, "Connection reset by peer")
            if self._closed:
                return b""
            if not self._network.are_cut(self.local, self.remote[0]):
                if way.data:
                    data = bytes(way.data[:RECEIVE_BYTES_MAX])
                    del way.data[:RECEIVE_BYTES_MAX]
                    way.writers.unpark_all()
                    return data
                if way.ended:
                    return b""
            await way.readers.park()
            if self._closed and not self._reset:
                raise trio.ClosedResourceError("closed by another task")

    def send_now(self, data: bytes | memoryview) -> int:
        if self._reset:
            raise ConnectionResetError(104, "Connection reset by peer")
        if self._closed:
            raise OSError(9, "Bad file descriptor")
        if self._out.unread:
            raise BrokenPipeError(32, "Broken pipe")
        taken = bytes(data[: max(0, BUFFER_BYTES - len(self._out.data))])
        self._out.data += taken
        self.bytes_sent += len(taken)
        if taken:
            self._out.readers.unpark_all()
        return len(taken)

    async def send_all(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        await trio.lowlevel.checkpoint()
        while rest:
            sent = self.send_now(rest)
            rest = rest[sent:]
            if rest:
                await self._out.writers.park()
                if self._closed and not self._reset:
                    raise trio.ClosedResourceError("closed by another task")

    def keep_alive(self) -> None:
        pass

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._network._streams.remove(self)
            self._out.ended = self._in.unread = True
            self.wake()

    def reset(self) -> None:
        """Both sides see an error."""
        self._reset = True
        for stream in self._network._streams:
            if stream._in is self._out:
                stream._reset = True
        self.close()

    def wake(self) -> None:
        for way in (self._in, self._out):
            way.readers.unpark_all()
            way.writers.unpark_all()
