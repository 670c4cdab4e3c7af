"""A network in memory: hosts by name, streams that behave as sockets do, cut, slowed and healed on demand.

What a `MemoryNetwork` promises: bytes arrive in order, after the delay that was drawn for them (none, unless one was
asked for); a sender sees a full buffer (`BUFFER_BYTES`) as a socket's; where the way is cut nothing arrives and nobody
connects, and nobody is told, as with a pulled plug; what was on its way arrives when it is healed. Everything that
is sent is noted in the trace.
"""

import heapq
import itertools
import random
from collections.abc import Iterable

import trio

from coord.testing.trace import Trace

BUFFER_BYTES = 256 << 10
"""What one direction of a stream holds before its sender has to wait."""

RECEIVE_BYTES_MAX = 256 << 10
BACKLOG = 1024
FIRST_PORT = 40_000


class MemoryNetwork:
    """All hosts and what lies between them."""

    def __init__(
        self,
        rng: random.Random | None = None,
        delay_s: tuple[float, float] = (0.0, 0.0),
        trace: Trace | None = None,
    ) -> None:
        """Each piece that is sent takes a time between the two of `delay_s`; with any, `run` must be running."""
        self._rng = rng or random.Random(0)
        self._delay_s = delay_s
        self._delays_s: dict[tuple[str, str], tuple[float, float]] = {}  # of links that have one of their own
        self._trace = trace or Trace()
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._streams: dict[MemoryStream, None] = {}  # in the order in which they were opened
        self._cuts: set[tuple[str, str]] = set()  # (from, to), only ever asked for membership
        self._isolated: set[str] = set()
        self._changed = trio.lowlevel.ParkingLot()  # something was healed
        self._ports = itertools.count(FIRST_PORT)
        self._numbers = itertools.count(1)
        self._courier = _Courier()

    async def run(self) -> None:
        """Carry what takes time. A task of whoever owns the network."""
        await self._courier.run()

    def host(self, name: str) -> "MemoryHost":
        """The network as the host of this name sees it."""
        return MemoryHost(self, name)

    # ---- faults

    def passes(self, source: str, target: str) -> bool:
        """Whether what `source` sends arrives at `target`."""
        if source in self._isolated or target in self._isolated:
            return source == target
        return (source, target) not in self._cuts

    def cut(self, one: str, *others: str, one_way: bool = False) -> None:
        """Let nothing pass between `one` and the others until they are healed; one way: nothing from `one` to them."""
        for other in others:
            self._cuts.add((one, other))
            if not one_way:
                self._cuts.add((other, one))

    def isolate(self, name: str) -> None:
        """Cut a host off from all others, those too that come later."""
        self._isolated.add(name)

    def slow(self, one: str, other: str, delay_s: tuple[float, float]) -> None:
        """From now on what these two send each other takes a time between the two given."""
        self._delays_s[one, other] = self._delays_s[other, one] = delay_s

    def heal(self) -> None:
        """Undo all cuts, isolations and slow links."""
        self._cuts.clear()
        self._isolated.clear()
        self._delays_s.clear()
        self._wake_all()

    def rejoin(self, name: str) -> None:
        """Undo what cuts off this one host."""
        self._isolated.discard(name)
        self._cuts = {cut for cut in self._cuts if name not in cut}
        self._wake_all()

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

    def _wake_all(self) -> None:
        self._changed.unpark_all()
        for stream in self._streams:
            stream.wake()

    def _draw_delay_s(self, source: str, target: str) -> float:
        low, high = self._delays_s.get((source, target), self._delay_s) if self._delays_s else self._delay_s
        return self._rng.uniform(low, high) if high else 0.0

    def _listen(self, host: str, port: int) -> "MemoryListener":
        if (host, port) in self._listeners:
            raise OSError(98, "Address already in use")
        listener = self._listeners[host, port] = MemoryListener(self, (host, port))
        return listener

    async def _connect(self, local: str, host: str, port: int) -> "MemoryStream":
        await trio.lowlevel.checkpoint()
        delay_s = self._draw_delay_s(local, host) + self._draw_delay_s(host, local)
        if delay_s:
            await trio.sleep(delay_s)
        while not (self.passes(local, host) and self.passes(host, local)):
            await self._changed.park()
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(111, "Connection refused")
        out, back = _Way(local, host, next(self._numbers)), _Way(host, local, next(self._numbers))
        mine = MemoryStream(self, (host, port), out, back)
        theirs = MemoryStream(self, (local, next(self._ports)), back, out)
        mine._twin, theirs._twin = theirs, mine
        listener.offer(theirs)
        self._streams[mine] = self._streams[theirs] = None
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
    """A `Listener` (coord.net.network)."""

    def __init__(self, network: MemoryNetwork, address: tuple[str, int]) -> None:
        self._network = network
        self.address = address
        self._sender, self._receiver = trio.open_memory_channel["MemoryStream"](BACKLOG)

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

    __slots__ = (
        "arrives_s",
        "data",
        "ended",
        "number",
        "readers",
        "source",
        "target",
        "under_way",
        "unread",
        "writers",
    )

    def __init__(self, source: str, target: str, number: int) -> None:
        self.source = source
        self.target = target
        self.number = number
        self.data = bytearray()  # has arrived
        self.under_way = 0  # bytes that have not
        self.arrives_s = 0.0  # when the last of these will
        self.ended = False  # its sender has closed
        self.unread = False  # its receiver has closed
        self.readers = trio.lowlevel.ParkingLot()
        self.writers = trio.lowlevel.ParkingLot()

    def arrive(self, data: bytes) -> None:
        self.under_way -= len(data)
        self.data += data
        self.readers.unpark_all()


class _Courier:
    """Carries what takes time, each piece at its own."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, _Way, bytes]] = []
        self._numbers = itertools.count()
        self._pause = trio.CancelScope()

    def carry(self, way: _Way, data: bytes, delay_s: float) -> None:
        # Never before what was sent earlier on the same way.
        way.arrives_s = max(way.arrives_s, trio.current_time() + delay_s)
        way.under_way += len(data)
        heapq.heappush(self._waiting, (way.arrives_s, next(self._numbers), way, data))
        if way.arrives_s < self._pause.deadline:
            self._pause.deadline = way.arrives_s

    async def run(self) -> None:
        waiting = self._waiting
        while True:
            now = trio.current_time()
            while waiting and waiting[0][0] <= now:
                _, _, way, data = heapq.heappop(waiting)
                way.arrive(data)
            with trio.CancelScope(deadline=waiting[0][0] if waiting else float("inf")) as self._pause:
                await trio.sleep_forever()


class MemoryStream:
    """One end of a connection: a `Stream` (coord.net.network)."""

    def __init__(self, network: MemoryNetwork, remote: tuple[str, int], outgoing: _Way, incoming: _Way) -> None:
        self._network = network
        self._out = outgoing
        self._in = incoming
        self._twin = self  # the other end, as soon as there is one
        self._closed = False
        self._reset = False
        self.local = outgoing.source
        self.remote = remote

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        way = self._in
        while True:
            if self._reset:
                raise ConnectionResetError(104, "Connection reset by peer")
            if self._closed:
                return b""
            if (data := self.receive_now()) is not None:
                return data
            if self._network.passes(way.source, way.target) and way.ended and not way.under_way:
                return b""
            await way.readers.park()
            if self._closed and not self._reset:
                raise trio.ClosedResourceError("closed by another task")

    def receive_now(self) -> bytes | None:
        way = self._in
        if self._reset or self._closed or not way.data or not self._network.passes(way.source, way.target):
            return None
        data = bytes(way.data[:RECEIVE_BYTES_MAX])
        del way.data[:RECEIVE_BYTES_MAX]
        if way.writers:
            way.writers.unpark_all()
        return data

    def send_now(self, data: bytes | memoryview) -> int:
        if self._reset:
            raise ConnectionResetError(104, "Connection reset by peer")
        if self._closed:
            raise OSError(9, "Bad file descriptor")
        way = self._out
        if way.unread:
            raise BrokenPipeError(32, "Broken pipe")
        taken = bytes(data[: max(0, BUFFER_BYTES - len(way.data) - way.under_way)])
        if taken:
            network = self._network
            network._trace.sent(way.number, taken)
            delay_s = network._draw_delay_s(way.source, way.target)
            if delay_s or way.under_way:
                network._courier.carry(way, taken, delay_s)
            else:
                way.data += taken
                way.readers.unpark_all()
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

    def fileno(self) -> int:
        return -1

    def keep_alive(self) -> None:
        pass

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._network._streams.pop(self, None)
            self._out.ended = self._in.unread = True
            self.wake()

    def reset(self) -> None:
        """Both sides see an error."""
        self._reset = self._twin._reset = True
        self.close()

    def wake(self) -> None:
        for way in (self._in, self._out):
            way.readers.unpark_all()
            way.writers.unpark_all()
