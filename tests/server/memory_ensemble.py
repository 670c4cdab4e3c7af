"""Whole servers in one process: `serve` on a network and disks in memory, under a virtual clock; and raw clients.

Nothing here knows coord's codec: clients speak ZooKeeper's protocol with the records of tools/wire.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from memory_network import MemoryHost, MemoryNetwork, MemoryStream

from coord.replica.replica import Replica
from coord.server.config import Address, Config
from coord.server.serve import serve
from coord.storage.memory import MemoryDisk
from tools.wire import jute
from tools.wire.client import Event, HungUpError, Reply, SessionRefusedError
from tools.wire.jute import Op, Reader

CLIENT_PORT, PEER_PORT = 2181, 3181


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
    """Servers 1 .. n on hosts s1 .. sn, their disks, and what ended them."""

    def __init__(self, nursery: trio.Nursery, servers: int, seed: int, settings: dict[str, Any]) -> None:
        self.network = MemoryNetwork()
        self.servers = range(1, servers + 1)
        self.disks = {server: MemoryDisk() for server in self.servers}
        self.replicas: dict[int, Replica] = {}  # of those that run
        self.failures: dict[int, BaseException] = {}  # of those that ended by themselves
        self._nursery = nursery
        self._rng = random.Random(seed)
        self._settings = settings
        self._scopes: dict[int, trio.CancelScope] = {}
        self._clients = 0

    def config(self, server: int, **changes: Any) -> Config:
        ensemble = {each: Address(f"s{each}", PEER_PORT) for each in self.servers} if len(self.servers) > 1 else {}
        settings: dict[str, Any] = {
            "id": server,
            "data": Path("nowhere"),
            "client": Address(f"s{server}", CLIENT_PORT),
            "ensemble": ensemble,
        }
        return Config(**(settings | self._settings | changes))

    async def start(self, server: int, **changes: Any) -> None:
        await self.start_as(server, self.config(server, **changes), self.disks[server], f"s{server}")

    async def start_as(self, name: int, config: Config, disk: MemoryDisk, host: str) -> None:
        """Run a server under a name of the test's own, for one that is not who it should be."""
        self.failures.pop(name, None)
        self.replicas[name] = await self._nursery.start(self._run, name, config, disk, self.network.host(host))

    async def _run(
        self, name: int, config: Config, disk: MemoryDisk, host: MemoryHost, task_status: trio.TaskStatus[Replica]
    ) -> None:
        rng = random.Random(self._rng.getrandbits(64))
        with trio.CancelScope() as self._scopes[name]:
            try:
                await serve(config, disk, host, rng, task_status=task_status)
            except BaseException as error:
                others, rest = _split(error)
                if rest is None:
                    raise
                self.failures[name] = rest
                if others is not None:
                    raise others from None
        self.replicas.pop(name, None)
        self.network.break_host(host.name)

    async def start_all(self) -> None:
        for server in self.servers:
            await self.start(server)
        await self.wait_leader()

    def crash(self, server: int, chance: random.Random | None = None) -> None:
        """Power off: of what was not synced nothing is left, or what chance leaves; connections break."""
        self.disks[server].crash(chance)
        self.network.break_host(f"s{server}")
        self._scopes[server].cancel()

    async def crashed(self, server: int, chance: random.Random | None = None) -> None:
        self.crash(server, chance)
        await self.wait(lambda: server not in self.replicas)
        self.disks[server].close()

    def cut_off(self, server: int, *, clients: bool = False) -> None:
        """Between this server and the others (and the clients) nothing arrives any more."""
        others = [f"s{each}" for each in self.servers if each != server]
        self.network.cut(f"s{server}", *others)
        if clients:
            self.network.cut(f"s{server}", *(f"c{number}" for number in range(1, self._clients + 1)))

    # ---- looking

    def leader(self) -> int | None:
        for server, replica in self.replicas.items():
            if replica.participant.leads:
                return server
        return None

    def followers(self) -> list[int]:
        leader = self.leader()
        return [server for server in self.replicas if server != leader]

    async def wait(self, condition: Callable[[], bool], limit_s: float = 60.0) -> float:
        """Until the condition holds, looked at each 10 ms of virtual time; the time then."""
        with trio.fail_after(limit_s):
            while not condition():  # noqa: ASYNC110  it is on plain state, and the clock is virtual
                await trio.sleep(0.01)
        return trio.current_time()

    async def wait_leader(self, servers: list[int] | None = None) -> int:
        """Until one of these (all) leads and the rest of them serve under it."""

        def served() -> bool:
            among = list(self.replicas) if servers is None else servers
            leaders = [each for each in among if self.replicas[each].participant.leads]
            return len(leaders) == 1 and all(
                self.replicas[each].participant.serving
                and self.replicas[each].participant.leader == leaders[0]
                and self.replicas[each].machine.zxid > 0
                for each in among
            )

        await self.wait(served)
        among = list(self.replicas) if servers is None else servers
        return next(each for each in among if self.replicas[each].participant.leads)

    async def wait_equal(self) -> None:
        """Until all that run stand at one zxid; then their states must be the same."""
        await self.wait(lambda: len({each.machine.zxid for each in self.replicas.values()}) == 1)
        assert len({each.machine.digest for each in self.replicas.values()}) == 1

    # ---- clients

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


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """(cancellations, the rest) of what ended a server."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


def causes(error: BaseException) -> list[BaseException]:
    """What a group of errors holds, however deep."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for part in error.exceptions for cause in causes(part)]
    return [error]


@asynccontextmanager
async def memory_ensemble(
    servers: int = 3, *, seed: int = 1, start: bool = True, **settings: Any
) -> AsyncIterator[MemoryEnsemble]:
    """An ensemble that serves; its servers end with the block, and none may have ended before without being asked."""
    async with trio.open_nursery() as nursery:
        ensemble = MemoryEnsemble(nursery, servers, seed, settings)
        if start:
            await ensemble.start_all()
        try:
            yield ensemble
        finally:
            nursery.cancel_scope.cancel()
