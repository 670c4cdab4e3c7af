"""Whole servers in one process, on a virtual clock, with a network and disks in memory, and faults on demand.

These are the servers that `coord serve` runs, from the disk to the port: only the doors are others. All chance comes
from the seed (Trio's scheduler included), so that a run can be repeated: the same program with the same seed sends
the same bytes at the same times, and `trace` says whether it did.

Time is virtual: it stands still while anything can be done, and jumps as soon as everyone waits. `coord.testing.run`
and the fixtures `virtual_clock` and `autojump_clock` (pytest-trio's own, which is slower) run a test on such a clock.
"""

import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import trio
import trio.testing

from coord.client import client as coord_client
from coord.client.connecting import connect
from coord.model.message import message
from coord.replica.replica import Replica
from coord.server.config import Config
from coord.server.parsers import Address
from coord.server.serve import serve
from coord.storage.memory import MemoryDisk
from coord.testing.client import Client, ConnectionLost
from coord.testing.clock import VirtualClock
from coord.testing.dialing import MemoryDialer
from coord.testing.network import MemoryHost, MemoryNetwork
from coord.testing.scheduling import Freezer, deterministic_scheduling
from coord.testing.trace import Trace

CLIENT_PORT, PEER_PORT = 2181, 3181

DELAY_S = (0.000_1, 0.001)
"""How long what is sent takes to arrive, unless the test says otherwise: a network within a data centre."""

EPOCH_MS = 1_800_000_000_000
"""Unix time at the beginning of every ensemble, so that znodes are stamped alike in each run."""

LOOK_EVERY_S = 0.01
WAIT_S = 60.0
"""Virtual seconds in which what is waited for has to happen."""

_log = logging.getLogger("coord.testing")

Place: TypeAlias = "int | Client | coord_client.Client"
"""Something with a place in the network: a server by its number, or a client."""


@message
class ServerView:
    """What one server shows at one moment."""

    server: int
    role: str  # looking, preparing, leading, following ...
    epoch: int
    zxid: int  # of the last write it has applied
    digest: int  # of its state: at one zxid the same on all servers
    sessions: int
    frozen: bool


class Ensemble:
    """Servers 1 .. n on hosts s1 .. sn, their disks, and what ended them. Made by `ensemble`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        servers: int,
        seed: int,
        settings: dict[str, Any],
        delay_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.trace = Trace()
        self.rng = random.Random(seed)
        """Chance that belongs to the run. Draw from it and the run stays repeatable."""
        self.network = MemoryNetwork(random.Random(self.rng.getrandbits(64)), delay_s, self.trace)
        self.servers = range(1, servers + 1)
        self.disks = {server: MemoryDisk() for server in self.servers}
        self.replicas: dict[int, Replica] = {}  # of those that run
        self.failures: dict[int, BaseException] = {}  # of those that ended by themselves
        self._nursery = nursery
        self._settings = settings
        self._began_s = trio.current_time()
        self._freezer = Freezer()
        self._processes: dict[int, _Process] = {}
        self._clients = 0
        self._hosts: dict[coord_client.Client, str] = {}  # of coord's own clients
        nursery.start_soon(self.network.run)

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self.servers)}, {len(self.replicas)} run, leader {self.leader()}>"

    def config(self, server: int, **changes: Any) -> Config:
        """The settings of a server, with the ensemble's own and these changes."""
        ensemble = {each: Address(_host(each), PEER_PORT) for each in self.servers} if len(self.servers) > 1 else {}
        settings: dict[str, Any] = {
            "id": server,
            "data": Path("nowhere"),
            "client": Address(_host(server), CLIENT_PORT),
            "ensemble": ensemble,
        }
        return Config(**(settings | self._settings | changes))

    # ---- starting and ending servers

    async def start(self, server: int, **changes: Any) -> None:
        """Start a server that does not run, on the disk that it has left. Returns when its ports are open.

        Raises what keeps it from starting.
        """
        await self.start_as(server, self.config(server, **changes), self.disks[server], _host(server))

    async def start_as(self, name: int, config: Config, disk: MemoryDisk, host: str) -> None:
        """Run a server under a name of the test's own, for one that is not who it should be."""
        assert name not in self.replicas, f"server {name} runs already"
        if (process := self._processes.get(name)) is not None:
            await process.ended.wait()
        self.failures.pop(name, None)
        self._note(f"start {name}")
        self.replicas[name] = await self._nursery.start(self._run, name, config, disk, self.network.host(host))
        self._processes[name].started = True

    async def start_all(self) -> None:
        """Start all servers, and wait until they serve."""
        for server in self.servers:
            await self.start(server)
        await self.wait_leader()

    def crash(self, server: int, *, lose_all: bool = False) -> None:
        """Power off. Of what was not synced a random part survives, or nothing; all its connections break."""
        self._note(f"crash {server}")
        # In this order: what its tasks still do while they are cancelled must reach neither disk nor network.
        self.disks[server].crash(None if lose_all else self.rng)
        self._end(server)

    def stop(self, server: int) -> None:
        """Stop a server as SIGTERM does: its disk keeps all that was written."""
        self._note(f"stop {server}")
        self._end(server)

    async def restart(self, server: int, **changes: Any) -> None:
        """Start a server again, on the disk that it has left; one that runs is stopped before."""
        if server in self.replicas:
            self.stop(server)
        await self.start(server, **changes)

    def freeze(self, server: int) -> None:
        """Stop a server as SIGSTOP does: it does nothing, its connections stay, and it does not know of it."""
        self._note(f"freeze {server}")
        self._freezer.freeze(self._process(server).root)

    def thaw(self, server: int) -> None:
        """Let a frozen server go on, where it was."""
        self._note(f"thaw {server}")
        self._freezer.thaw(self._process(server).root)

    # ---- the network between them

    def partition(self, *groups: Iterable[Place]) -> None:
        """Let nothing pass between these groups of servers and clients. Who is in none of them still reaches all."""
        groups_of_hosts = [[self.host_of(place) for place in group] for group in groups]
        self._note(f"partition {groups_of_hosts}")
        for index, group in enumerate(groups_of_hosts):
            others = [host for other in groups_of_hosts[index + 1 :] for host in other]
            for host in group:
                self.network.cut(host, *others)

    def cut(self, source: Place, *targets: Place, one_way: bool = False) -> None:
        """Cut the links between one and others; one way: only what `source` sends is held back."""
        hosts = [self.host_of(each) for each in targets]
        self._note(f"cut {self.host_of(source)} {hosts} {one_way}")
        self.network.cut(self.host_of(source), *hosts, one_way=one_way)

    def isolate(self, place: Place) -> None:
        """Cut one server or client off from everything."""
        self._note(f"isolate {self.host_of(place)}")
        self.network.isolate(self.host_of(place))

    def slow(self, one: Place, other: Place, delay_s: tuple[float, float]) -> None:
        """Let what these two send each other take a time between the two given."""
        self._note(f"slow {self.host_of(one)} {self.host_of(other)} {delay_s}")
        self.network.slow(self.host_of(one), self.host_of(other), delay_s)

    def heal(self) -> None:
        """Undo everything that was done to the network. What was held back arrives."""
        self._note("heal")
        self.network.heal()

    # ---- time

    async def advance(self, seconds: float) -> None:
        """Let so much virtual time pass."""
        await trio.sleep(seconds)

    async def wait(self, condition: Callable[[], bool], limit_s: float = WAIT_S) -> float:
        """Until the condition holds, looked at each 10 ms of virtual time; the time then."""
        with trio.fail_after(limit_s):
            while not condition():  # noqa: ASYNC110  it is on plain state, and the clock is virtual
                await trio.sleep(LOOK_EVERY_S)
        return trio.current_time()

    # ---- looking

    def server(self, server: int) -> ServerView:
        """What a running server shows now."""
        replica = self.replicas.get(server)
        assert replica is not None, f"server {server} does not run; those that do: {sorted(self.replicas)}"
        participant, machine = replica.participant, replica.machine
        return ServerView(
            server=server,
            role=participant.role,
            epoch=participant.epoch,
            zxid=machine.zxid,
            digest=machine.digest,
            sessions=len(machine.sessions),
            frozen=self._freezer.is_frozen(self._process(server).root),
        )

    def leader(self) -> int | None:
        """The server that leads; of several that believe so, the one with the latest epoch."""
        leading = [server for server, replica in self.replicas.items() if replica.participant.leads]
        return max(leading, key=lambda server: self.replicas[server].participant.epoch, default=None)

    def followers(self) -> list[int]:
        """The servers that run and do not lead."""
        leader = self.leader()
        return [server for server in self.replicas if server != leader]

    async def wait_leader(self, servers: Iterable[int] | None = None) -> int:
        """Until one of these servers (all that run) leads and the rest of them serve under it; its number."""
        asked = None if servers is None else list(servers)

        def served() -> bool:
            among = list(self.replicas) if asked is None else asked
            leaders = [each for each in among if self.replicas[each].participant.leads]
            return len(leaders) == 1 and all(
                self.replicas[each].participant.serving
                and self.replicas[each].participant.leader == leaders[0]
                and self.replicas[each].machine.zxid > 0
                for each in among
            )

        await self.wait(served)
        among = list(self.replicas) if asked is None else asked
        return next(each for each in among if self.replicas[each].participant.leads)

    async def wait_converged(self) -> None:
        """Until all servers that run stand at one zxid; then their states must be the same."""
        await self.wait(lambda: len({each.machine.zxid for each in self.replicas.values()}) == 1)
        digests = {server: each.machine.digest for server, each in self.replicas.items()}
        assert len(set(digests.values())) == 1, f"the servers' states differ at one zxid: {digests}"

    # ---- clients

    @asynccontextmanager
    async def client(
        self, servers: Iterable[int] | None = None, *, session_timeout: float = 10.0, **options: Any
    ) -> AsyncIterator[coord_client.Client]:
        """coord's own client, on a host of its own, with the addresses of these servers (all); as `coord.connect`.

        Its chance is the ensemble's. `options` are those of `coord.connect`.
        """
        self._clients += 1
        host = self.network.host(f"c{self._clients}")
        addresses = [f"{_host(each)}:{CLIENT_PORT}" for each in (self.servers if servers is None else servers)]
        rng = random.Random(self.rng.getrandbits(64))
        async with connect(
            addresses, session_timeout=session_timeout, dialer=MemoryDialer(host), rng=rng, **options
        ) as client:
            self._hosts[client] = host.name
            try:
                yield client
            finally:
                del self._hosts[client]

    def host_of(self, place: Place) -> str:
        """The name of its host in the network."""
        if isinstance(place, coord_client.Client):
            return self._hosts[place]
        return place.host if isinstance(place, Client) else _host(place)

    async def connect(self, server: int | None = None, *, session_timeout_s: float = 10.0) -> Client:
        """A client with a session of its own on a host of its own; without a server, on a random one that runs.

        Raises ConnectionLost if the server does not run or hangs up. While the way to it is cut this waits.
        """
        if server is None:
            server = self.rng.choice(sorted(self.replicas))
        self._clients += 1
        host = self.network.host(f"c{self._clients}")
        try:
            stream = await host.connect(_host(server), CLIENT_PORT)
        except OSError as error:
            raise ConnectionLost(f"server {server} was not reached: {error.strerror}") from error
        client: Client = await self._nursery.start(Client.serve, stream, host.name, session_timeout_s)
        return client

    async def expire_session(self, client: Client | coord_client.Client) -> None:
        """Cut a client off until all servers have ended its session, ephemeral znodes and all; then let it come back.

        Its timeout passes meanwhile, for everyone.
        """
        host = self.host_of(client)
        session = client.session if isinstance(client, Client) else client.session.id
        timeout_s = client.session_timeout_s if isinstance(client, Client) else client.session.timeout
        self._note(f"expire {host}")
        self.network.isolate(host)
        try:
            await self.wait(
                lambda: all(session not in each.machine.sessions for each in self.replicas.values()),
                WAIT_S + 2 * timeout_s,
            )
        finally:
            self.network.rejoin(host)

    # ---- helpers

    def _process(self, server: int) -> "_Process":
        assert server in self.replicas, f"server {server} does not run; those that do: {sorted(self.replicas)}"
        return self._processes[server]

    def _note(self, sentence: str) -> None:
        self.trace.note(sentence)
        _log.debug("%.3f s: %s", trio.current_time() - self._began_s, sentence)

    def _wall_ms(self) -> int:
        return EPOCH_MS + round((trio.current_time() - self._began_s) * 1000)

    def _end(self, server: int) -> None:
        process = self._process(server)
        process.ending = True
        self.network.break_host(process.host)
        self._freezer.thaw(process.root)
        process.scope.cancel()
        self.replicas.pop(server, None)

    def _thaw_all(self) -> None:
        for process in self._processes.values():
            self._freezer.thaw(process.root)

    async def _run(
        self, name: int, config: Config, disk: MemoryDisk, host: MemoryHost, task_status: trio.TaskStatus[Replica]
    ) -> None:
        process = self._processes[name] = _Process(host.name)
        rng = random.Random(self.rng.getrandbits(64))
        try:
            with process.scope:
                await serve(config, disk, host, rng, wall_ms=self._wall_ms, own_process=False, task_status=task_status)
        except BaseException as error:
            others, rest = _split(error)
            if not process.started:
                raise
            if rest is not None and not process.ending:
                self.failures[name] = rest
                _log.warning("server %d has ended: %r", name, rest)
            if others is not None:
                raise others from None
        finally:
            if not process.ending:
                self.replicas.pop(name, None)
                self.network.break_host(host.name)
            process.ended.set()


class _Process:
    """One life of a server."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.root = trio.lowlevel.current_task()
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.started = False  # its ports are open
        self.ending = False  # it was asked to


def _host(server: int) -> str:
    return f"s{server}"


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """(cancellations, the rest) of what ended a server."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return (error, None) if isinstance(error, trio.Cancelled) else (None, error)


@asynccontextmanager
async def ensemble(
    servers: int = 3,
    *,
    seed: int = 1,
    start: bool = True,
    delay_s: tuple[float, float] = DELAY_S,
    real_time: bool = False,
    **settings: Any,
) -> AsyncIterator[Ensemble]:
    """An ensemble that serves; it ends with the block. `settings` are fields of `coord.server.config.Config`.

    At the end no server may have ended by itself; a test that expects it takes it out of `failures`. In real time, for
    tests that are about the processor's own, nothing can be repeated exactly.
    """
    assert real_time or isinstance(trio.lowlevel.current_clock(), VirtualClock | trio.testing.MockClock), (
        "an ensemble in memory needs a virtual clock: run this with coord.testing.run, "
        "or let the test ask for the fixture `virtual_clock`"
    )
    with deterministic_scheduling(seed):
        async with trio.open_nursery() as nursery:
            made = Ensemble(nursery, servers, seed, settings, delay_s)
            try:
                if start:
                    await made.start_all()
                yield made
                for server, failure in made.failures.items():
                    raise AssertionError(f"server {server} has ended by itself: {failure!r}") from failure
            finally:
                made._thaw_all()
                nursery.cancel_scope.cancel()
