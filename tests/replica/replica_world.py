"""Replicas joined by lists, their disks instant, and clients that are seen frame by frame."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random
from struct import Struct

from coord.codec import jute
from coord.codec import opcodes as op
from coord.codec.jute import Call
from coord.model.acl import OPEN_ACL, Identity
from coord.model.message import message
from coord.model.requests import (
    AddWatch,
    Authenticate,
    CheckWatches,
    CloseSession,
    Connect,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Ping,
    RemoveWatches,
    Request,
    SetData,
    SetWatches,
    Sync,
    WhoAmI,
)
from coord.paxos.effects import Ballot
from coord.paxos.history import History
from coord.paxos.messages import Message
from coord.paxos.participant import PaxosSettings
from coord.replica.pipeline import Pipeline
from coord.replica.ready import Ready
from coord.replica.replica import PeerIdentity, Replica, ReplicaSettings
from coord.state.machine import Machine

REPLY = Struct("!iiqi")
SESSION = Struct("!iiiqi")
EVENT = Struct("!iii")
OPCODES: dict[type, int] = {
    Create: op.CREATE,
    Delete: op.DELETE,
    SetData: op.SET_DATA,
    GetData: op.GET_DATA,
    Exists: op.EXISTS,
    GetChildren: op.GET_CHILDREN,
    Sync: op.SYNC,
    Ping: op.PING,
    Authenticate: op.AUTH,
    AddWatch: op.ADD_WATCH,
    CheckWatches: op.CHECK_WATCHES,
    RemoveWatches: op.REMOVE_WATCHES,
    SetWatches: op.SET_WATCHES_2,
    CloseSession: op.CLOSE_SESSION,
    WhoAmI: op.WHO_AM_I,
}


@message
class Opened:
    session: int
    password: bytes
    timeout_ms: int


@message
class Answer:
    xid: int
    zxid: int
    error: int
    body: bytes

    @property
    def data(self) -> bytes:
        """What a GetData answered."""
        return self.body[4 : 4 + int.from_bytes(self.body[:4], "big")]


@message
class Heard:
    """An event."""

    kind: int
    path: str
    zxid: int


class Client:
    """One connection."""

    def __init__(self, world: "World", server: int, identities: tuple[Identity, ...] = (("ip", "10.0.0.1"),)) -> None:
        self.world = world
        self.server = server
        self.number = next(world.numbers)
        self.frames: list[Opened | Answer | Heard] = []
        self.hung_up = ""
        self.pipeline: Pipeline = world.replicas[server].attach(self.number, jute, identities, "10.0.0.1:1")
        self.next_xid = 1
        self.greeted = False
        world.clients[server, self.number] = self

    def connect(self, *, session: int = 0, password: bytes = b"", seen: int = 0, timeout_ms: int = 4000) -> "Client":
        replica = self.world.replicas[self.server]
        replica.clients.open(self.pipeline, Connect(seen, timeout_ms, session, password, False))
        return self

    def send(self, *requests: Request) -> None:
        """One chunk of requests; nothing is done about it until the world goes on."""
        calls = []
        for request in requests:
            calls.append(Call(self.next_xid, OPCODES[type(request)], request))
            self.next_xid += 1
        self.world.replicas[self.server].submit(self.pipeline, calls)

    def do(self, *requests: Request) -> list[Answer]:
        """Send, let the world settle, and give the new answers."""
        before = len(self.answers)
        self.send(*requests)
        self.world.settle()
        return self.answers[before:]

    @property
    def opened(self) -> Opened:
        return next(frame for frame in self.frames if isinstance(frame, Opened))

    @property
    def answers(self) -> list[Answer]:
        return [frame for frame in self.frames if isinstance(frame, Answer)]

    @property
    def events(self) -> list[Heard]:
        return [frame for frame in self.frames if isinstance(frame, Heard)]

    def heard(self) -> list[tuple[int, str]]:
        """The events so far, as (kind, path), and forget them."""
        events = [(event.kind, event.path) for event in self.events]
        self.frames = [frame for frame in self.frames if not isinstance(frame, Heard)]
        return events

    def deliver(self, frames: bytes) -> None:
        at = 0
        while at < len(frames):
            end = at + 4 + int.from_bytes(frames[at : at + 4], "big")
            self.frames.append(self._frame(frames[at:end]))
            at = end

    def _frame(self, frame: bytes) -> Opened | Answer | Heard:
        if not self.greeted:
            self.greeted = True
            _, _, timeout_ms, session, length = SESSION.unpack_from(frame)
            return Opened(session, frame[SESSION.size : SESSION.size + length], timeout_ms)
        _, xid, zxid, error = REPLY.unpack_from(frame)
        body = frame[REPLY.size :]
        if xid != -1:
            return Answer(xid, zxid, error, body)
        kind, _, length = EVENT.unpack_from(body)
        return Heard(kind, body[EVENT.size : EVENT.size + length].decode(), zxid)


class World:
    """So many servers, all voters, all connected, the last one leading."""

    def __init__(self, servers: int = 1, **settings: float) -> None:
        rng = Random(1)
        self.draw: Callable[[int], int] = rng.getrandbits
        self.now = 100.0
        self.wall_ms = 1_000_000
        self.clients: dict[tuple[int, int], Client] = {}
        self.numbers = iter(range(1, 1 << 30))
        self.replicas: dict[int, Replica] = {}
        self.wires: dict[tuple[int, int], deque[Message]] = {}
        self.held: set[int] = set()  # servers whose disk does not answer
        self.clogged: set[tuple[int, int]] = set()  # (from, to): what is said arrives later
        self.waiting: dict[int, deque[tuple[int, list[tuple[int, Message]]]]] = {}
        self.notes: list[str] = []
        for server in range(1, servers + 1):
            paxos = PaxosSettings(server, frozenset(range(1, servers + 1)), 77)
            of_server = ReplicaSettings(paxos, 500 + server, 900 + server, "", **settings)  # type: ignore[arg-type]
            self.replicas[server] = Replica(
                of_server, Ballot(server, 900 + server), History(0, [], [], 0), Machine(), self.draw, self.now
            )
            self.waiting[server] = deque()
        for one in self.replicas:
            for other in range(one + 1, servers + 1):
                self.join(one, other)
        self.settle()
        self.pass_time(0.3)

    @property
    def leader(self) -> Replica:
        return next(replica for replica in self.replicas.values() if replica.participant.leads)

    def client(self, server: int = 1, **connect: object) -> Client:
        """Connected, its session open."""
        client = Client(self, server).connect(**connect)  # type: ignore[arg-type]
        self.settle()
        return client

    def join(self, one: int, other: int) -> None:
        self.wires[one, other], self.wires[other, one] = deque(), deque()
        self.replicas[one].connected(other, PeerIdentity(900 + other, ""), self.now)
        self.replicas[other].connected(one, PeerIdentity(900 + one, ""), self.now)

    def cut(self, one: int, other: int) -> None:
        del self.wires[one, other], self.wires[other, one]
        self.replicas[one].disconnected(other, self.now)
        self.replicas[other].disconnected(one, self.now)

    def restart(self, server: int) -> None:
        """Its process ends and another one begins with what is durable; nobody is connected to it."""
        for one, other in list(self.wires):
            if one == server:
                self.cut(one, other)
        settings, participant = self.replicas[server].settings, self.replicas[server].participant
        batches = participant.log.after(0, participant.log.durable)
        assert batches is not None
        ends = sorted({batch.epoch: batch.last for batch in batches}.items())
        self.replicas[server] = Replica(
            replace(settings, incarnation=settings.incarnation + 1000), participant._durable.saved,
            History(0, batches, ends, 0), Machine(), self.draw, self.now,
        )  # fmt: skip
        self.waiting[server].clear()
        self.clients = {key: client for key, client in self.clients.items() if key[0] != server}

    def pass_time(self, seconds: float, step_s: float = 0.05) -> None:
        """Everybody's clock goes on, in ticks."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now += step_s
            self.wall_ms += int(step_s * 1000)
            for replica in self.replicas.values():
                replica.tick(self.now, self.wall_ms)
            self.settle()

    def settle(self) -> None:
        """Until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for server in self.replicas:
                moved |= self.pump(server)
                moved |= server not in self.held and self.sync(server)
            for wire in list(self.wires):
                moved |= self.deliver(*wire)

    def pump(self, server: int) -> bool:
        moved = False
        while (ready := self.replicas[server].take(self.now, self.wall_ms)) is not None:
            moved = True
            self._perform(server, ready)
            if ready.last:
                assert self.replicas[server].take(self.now, self.wall_ms) is None, "there was more to be done"
                break
        return moved

    def sync(self, server: int) -> bool:
        moved = False
        while self.waiting[server]:
            moved = True
            serial, messages = self.waiting[server].popleft()
            for peer, each in messages:
                self._post(server, peer, each)
            self.replicas[server].durable(serial, self.now)
        return moved

    def deliver(self, source: int, target: int) -> bool:
        wire = self.wires.get((source, target), deque())
        if (source, target) in self.clogged:
            return False
        moved = bool(wire)
        while wire:
            self.replicas[target].receive(source, wire.popleft(), self.now)
        return moved

    def _perform(self, server: int, ready: Ready) -> None:
        for peer, each in ready.send_now:
            self._post(server, peer, each)
        if ready.serial:
            self.waiting[server].append((ready.serial, ready.send_when_durable))
        for number, frames in ready.deliver:
            client = self.clients.get((server, number))
            if client is not None:
                client.deliver(frames)
        for number, why in ready.hang_up:
            self.clients.pop((server, number)).hung_up = why
        self.notes += ready.notes

    def _post(self, source: int, target: int, each: Message) -> None:
        if (source, target) in self.wires:
            self.wires[source, target].append(each)


def create(path: str, data: bytes = b"", kind: int = 0) -> Create:
    return Create(path, data, OPEN_ACL, kind)
