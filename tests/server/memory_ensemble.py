"""An ensemble in memory for tests of the server itself: `coord.testing` with raw clients.

The clients know nothing of coord's codec: they speak ZooKeeper's protocol with the records of tools/wire, say exactly
what they are told to, and show what came back.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from coord.testing.ensemble import CLIENT_PORT as CLIENT_PORT
from coord.testing.ensemble import PEER_PORT as PEER_PORT
from coord.testing.ensemble import Ensemble, ensemble
from coord.testing.network import MemoryStream
from tools.wire import jute
from tools.wire.client import Event, HungUpError, Reply, SessionRefusedError
from tools.wire.jute import Op, Reader


class MemoryClient:
    """One connection to a server and its session."""

    def __init__(self, stream: MemoryStream, host: str) -> None:
        self.stream = stream
        self.host = host  # where it calls from
        self.session = self.timeout_ms = 0
        self.password = jute.NO_PASSWORD
        self.events: list[Event] = []
        self.seen_zxid = 0
        self._received = bytearray()
        self._xid = 0

    async def open(self, timeout_ms: int = 10_000, session: int = 0, password: bytes = jute.NO_PASSWORD) -> None:
        await self.stream.send_all(jute.connect_request(timeout_ms, session, password))
        answer = Reader(await self.receive_frame())
        answer.int32()
        self.timeout_ms, self.session, self.password = answer.int32(), answer.int64(), answer.buffer() or b""
        if self.timeout_ms <= 0:
            raise SessionRefusedError("the session is not known to the server")

    async def receive_frame(self) -> bytes:
        size = int.from_bytes(await self._exactly(4), "big", signed=True)
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                data = await self.stream.receive()
            except OSError as error:
                raise HungUpError(str(error)) from error
            if not data:
                raise HungUpError("the server closed the connection")
            self._received += data
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def send(self, op: int, body: bytes = b"", xid: int | None = None) -> None:
        if xid is None:
            self._xid += 1
            xid = self._xid
        await self.stream.send_all(jute.request(xid, op, body))

    async def receive(self) -> Reply:
        """The next reply; events before it are kept in `events`."""
        while True:
            payload = await self.receive_frame()
            xid, zxid, error = jute.REPLY_HEADER.unpack_from(payload)
            body = payload[jute.REPLY_HEADER.size :]
            if xid != jute.NOTIFICATION_XID:
                self.seen_zxid = max(self.seen_zxid, zxid)
                return Reply(xid, zxid, error, body)
            reader = Reader(body)
            self.events.append(Event(reader.int32(), reader.int32(), reader.string(), zxid))

    async def call(self, op: int, body: bytes = b"", xid: int | None = None) -> Reply:
        await self.send(op, body, xid)
        return await self.receive()

    async def create(self, path: str, data: bytes = b"", flags: int = 0) -> str:
        return (await self.call(Op.CREATE, jute.create(path, data, flags=flags))).as_only(Reader.string)

    async def set(self, path: str, data: bytes) -> None:
        (await self.call(Op.SET_DATA, jute.set_data(path, data))).as_only(Reader.stat)

    async def get(self, path: str) -> bytes | None:
        return (await self.call(Op.GET_DATA, jute.path_and_watch(path))).reader().buffer()

    async def exists(self, path: str) -> bool:
        return (await self.call(Op.EXISTS, jute.path_and_watch(path))).error == 0

    async def sync(self) -> None:
        (await self.call(Op.SYNC, jute.string("/"))).reader()

    async def ping(self) -> None:
        (await self.call(Op.PING, xid=jute.PING_XID)).reader()

    async def wait_hung_up(self) -> float:
        """Until the server hangs up; the time at which it did."""
        try:
            while True:
                await self.receive_frame()
        except HungUpError:
            return trio.current_time()


class MemoryEnsemble:
    """An ensemble whose clients are raw; all else is the Ensemble's own."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self._clients = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ensemble, name)

    def crash(self, server: int, *, lose_all: bool = True) -> None:
        """Power off: of what was not synced nothing is left, unless a random part is asked for."""
        self._ensemble.crash(server, lose_all=lose_all)

    def cut_off(self, server: int, *, clients: bool = False) -> None:
        """Between this server and the others (and the clients) nothing arrives any more."""
        others = [f"s{each}" for each in self.servers if each != server]
        self.network.cut(f"s{server}", *others)
        if clients:
            self.network.cut(f"s{server}", *(f"c{number}" for number in range(1, self._clients + 1)))

    async def dial(self, server: int, host: str | None = None) -> MemoryClient:
        """A bare connection from a host of its own, or from the one named."""
        self._clients += 1
        name = host or f"c{self._clients}"
        return MemoryClient(await self.network.host(name).connect(f"s{server}", CLIENT_PORT), name)

    async def client(self, server: int, timeout_ms: int = 10_000) -> MemoryClient:
        """A connection with a session."""
        client = await self.dial(server)
        await client.open(timeout_ms)
        return client


def causes(error: BaseException) -> list[BaseException]:
    """What a group of errors holds, however deep."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for part in error.exceptions for cause in causes(part)]
    return [error]


@asynccontextmanager
async def memory_ensemble(
    servers: int = 3, *, seed: int = 1, start: bool = True, **settings: Any
) -> AsyncIterator[MemoryEnsemble]:
    """An ensemble that serves, whose network takes no time."""
    async with ensemble(servers, seed=seed, start=start, delay_s=(0.0, 0.0), **settings) as made:
        yield MemoryEnsemble(made)
        made.failures.clear()  # these tests look for themselves; many are about servers that are refused
