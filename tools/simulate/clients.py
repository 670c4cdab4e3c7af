"""Clients of a simulated ensemble: they write numbered data, read, sync, watch, reconnect, and believe nothing.

Each reply is held against the committed history: a write was applied once and where the reply says so, a read shows
what was there at the reply's zxid, zxids never go back in a session (I12-I15, I18), and an event comes before
anything that shows its change (I19, I20).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from struct import Struct
from zlib import crc32

from coord.codec import jute
from coord.codec import opcodes as op
from coord.codec.jute import Call
from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    TTL_SEQUENTIAL,
    CloseSession,
    Connect,
    Create,
    GetData,
    Ping,
    Request,
    SetData,
    Sync,
)
from coord.replica.pipeline import Pipeline
from tools.simulate.ghost import Violation
from tools.simulate.servers import SimulatedServer
from tools.simulate.stage import Stage

REPLY = Struct("!iiqi")  # length, xid, zxid, error
SESSION = Struct("!iiiqi")  # length, protocol version, timeout, session, password's length
EVENT = Struct("!iii")  # kind, state, path's length
STAT = Struct("!qqqqiiiqiiq")
EVENT_XID, PING_XID = -1, -2
PATIENCE_S = 4.0
"""So long a client waits for an answer before it tries another server."""
CALM_S = 2.0
"""So long after the last fault everything may still have to settle."""
SKELETON = ("/log", "/eph", "/box", "/kv", "/kv/0", "/kv/1", "/kv/2")
BAD_VERSION, NODE_EXISTS, NO_NODE, SESSION_EXPIRED, SESSION_MOVED = -103, -110, -101, -112, -118


@dataclass(slots=True)
class Sent:
    """A request on its way."""

    call: Call
    sent_s: float
    committed: int  # everything up to here was committed when it was sent


@dataclass(slots=True)
class Watch:
    """Armed by a read at `zxid`; fires at the first change after it."""

    path: str
    zxid: int


@dataclass(slots=True, eq=False)
class ClientConnection:
    """One connection of a client: what is in flight, in both directions."""

    client: "SimulatedClient"
    server: SimulatedServer
    number: int
    pipeline: Pipeline
    life: int
    open: bool = True  # for the client
    arrival_up_s: float = 0.0
    arrival_down_s: float = 0.0
    greeted: bool = False
    next_xid: int = 1
    sent: "deque[Sent]" = field(default_factory=deque)
    pings: int = 0
    watches: list[Watch] = field(default_factory=list)
    connected_s: float = 0.0
    heard_s: float = 0.0
    wrong_password: bool = False

    # ---- the server's side

    def deliver(self, frames: bytes) -> None:
        stage = self.client.stage
        self.arrival_down_s = max(self.arrival_down_s, stage.now + stage.rng.uniform(0.0001, 0.005))
        stage.at(self.arrival_down_s - stage.now, partial(self.client.frames_came, self, frames))
        if self.pipeline.stalled and self.server.replica is not None:
            self.server.replica.clients.resume(self.pipeline)
            self.server.feed()

    def hang_up(self) -> None:
        """The server ends it, after what it has delivered."""
        stage = self.client.stage
        self.arrival_down_s = max(self.arrival_down_s, stage.now + stage.rng.uniform(0.0001, 0.005))
        stage.at(self.arrival_down_s - stage.now, lambda: self.client.lost(self))

    def break_off(self) -> None:
        """The server has crashed; what it sent last may be lost."""
        stage = self.client.stage
        delay_s = stage.rng.choice((0.0, 0.01))
        stage.at(delay_s, lambda: self.client.lost(self))

    def submit(self, calls: list[Call]) -> None:
        """Of the client, on its way to the server."""
        stage, server = self.client.stage, self.server
        self.arrival_up_s = max(self.arrival_up_s, stage.now + stage.rng.uniform(0.0001, 0.005))

        def arrive() -> None:
            if server.life == self.life and server.replica is not None:
                server.input(self._submitted, calls)

        stage.at(self.arrival_up_s - stage.now, arrive)

    def _submitted(self, calls: list[Call]) -> None:
        replica = self.server.replica
        assert replica is not None
        if self.server.clients.get(self.number) is self:
            if (
                replica.participant.leads and self.pipeline.session
            ):  # else it waits to be let in, and counts for nothing
                self.server.heard(self.pipeline.session)
            replica.submit(self.pipeline, calls)

    def close(self) -> None:
        """By the client; the server notices a little later."""
        self.open = False
        stage, server = self.client.stage, self.server

        def gone() -> None:
            if server.life == self.life and server.replica is not None:
                server.input(self._detached)

        stage.at(max(self.arrival_up_s - stage.now, 0.0) + 0.001, gone)

    def _detached(self) -> None:
        replica = self.server.replica
        assert replica is not None
        if self.server.clients.pop(self.number, None) is not None and not self.pipeline.gone:
            replica.detach(self.pipeline)


class SimulatedClient:
    """One session after the other, each over many connections."""

    def __init__(
        self, stage: Stage, servers: dict[int, SimulatedServer], number: int, connections: Iterator[int]
    ) -> None:
        """`connections` numbers the connections of all clients."""
        self.stage = stage
        self.servers = servers
        self.number = number
        self._connections = connections
        self.idle = False  # starts nothing new
        self.connection: ClientConnection | None = None
        self.session = 0
        self.password = b""
        self.timeout_ms = 0
        self.seen = 0  # highest zxid of any reply in this session
        self.closing = False
        self.silent_until_s = 0.0
        self.known_versions: dict[str, int] = {}
        self._writes = 0

    def __repr__(self) -> str:
        waiting = [sent.call for sent in self.connection.sent] if self.connection else []
        where = f"at server {self.connection.server.number}" if self.connection else "nowhere"
        return f"client {self.number} {where}, session {self.session:#x}, waiting for {waiting}"

    @property
    def outstanding(self) -> bool:
        """Something is unanswered, or there is no session."""
        return self.connection is None or not self.connection.greeted or bool(self.connection.sent)

    # ---- acting

    def act(self) -> None:
        stage, rng = self.stage, self.stage.rng
        stage.at(rng.uniform(0.005, 0.12), self.act)
        connection = self.connection
        if connection is None:
            if stage.now >= self.silent_until_s:
                self._connect()
            return
        waiting_since = connection.sent[0].sent_s if connection.sent else connection.connected_s
        if (connection.sent or not connection.greeted) and stage.now - waiting_since > PATIENCE_S:
            if stage.calm_since_s is not None and waiting_since > stage.calm_since_s + CALM_S:
                raise Violation(f"L3: {self} has waited for {PATIENCE_S} s though nothing is wrong any more")
            self._give_up(connection)
        elif stage.calm_since_s is None and rng.random() < 0.01:
            self._give_up(connection)
            if rng.random() < 0.5:
                self.silent_until_s = stage.now + rng.uniform(0, 3)  # long enough to expire
        elif connection.greeted and not self.closing:
            self._ask(connection)

    def _connect(self) -> None:
        stage, rng = self.stage, self.stage.rng
        alive = [server for server in self.servers.values() if server.replica is not None and not server.paused]
        if not alive:
            return
        server = rng.choice(alive)
        number = next(self._connections)
        replica = server.replica
        assert replica is not None
        pipeline = replica.attach(number, jute, (("ip", "127.0.0.1"),), f"client {self.number}")
        connection = ClientConnection(self, server, number, pipeline, server.life, connected_s=stage.now)
        self.connection = server.clients[number] = connection
        timeout_ms = rng.choice((800, 1500, 2500))
        connection.wrong_password = bool(self.session) and rng.random() < 0.05
        password = b"wrong".ljust(16) if connection.wrong_password else self.password
        connect = Connect(self.seen, timeout_ms, self.session, password, False)
        if replica.participant.leads and replica.admits and self.session and not connection.wrong_password:
            server.heard(self.session)
        server.input(replica.clients.open, pipeline, connect)
        if rng.random() < 0.3 and not self.idle and not connection.wrong_password:
            self._ask(connection)  # before the session is open

    def _ask(self, connection: ClientConnection) -> None:
        stage, rng = self.stage, self.stage.rng
        requests: list[tuple[int, Request]] = []
        if not self.idle and len(connection.sent) < 30:
            if connection.next_xid == 1:
                requests += [(op.CREATE, Create(path, None, OPEN_ACL)) for path in SKELETON]
            for _ in range(rng.choice((0, 1, 1, 2, 5))):
                requests.append(self._draw())
        calls = []
        for opcode, request in requests:
            if self.closing:
                break
            calls.append(Call(connection.next_xid, opcode, request))
            connection.sent.append(Sent(calls[-1], stage.now, stage.ghost.last))
            connection.next_xid += 1
            self.closing = isinstance(request, CloseSession)
        if rng.random() < 0.5:
            calls.append(Call(PING_XID, op.PING, Ping()))
        if calls:
            connection.submit(calls)

    def _draw(self) -> tuple[int, Request]:
        rng = self.stage.rng
        self._writes += 1
        data = f"c{self.number}:{self._writes}".encode()
        key = f"/kv/{rng.randrange(3)}"
        draw = rng.random()
        if draw < 0.25:
            return op.CREATE_2, Create("/log/n-", data, OPEN_ACL, PERSISTENT_SEQUENTIAL)
        if draw < 0.35:
            return op.CREATE, Create("/eph/n-", data, OPEN_ACL, EPHEMERAL_SEQUENTIAL)
        if draw < 0.55:
            version = self.known_versions.get(key, -1) if rng.random() < 0.7 else -1
            return op.SET_DATA, SetData(key, data, version)
        if draw < 0.85:
            return op.GET_DATA, GetData(key, watch=rng.random() < 0.3)
        if draw < 0.93:
            return op.SYNC, Sync(key)
        if draw < 0.96:
            return op.CREATE_TTL, Create("/box/n-", data, OPEN_ACL, TTL_SEQUENTIAL, ttl_ms=300)
        if draw < 0.99:
            path = f"/box/{self.number}-{self._writes}"
            return op.CREATE_CONTAINER, Create(path, data, OPEN_ACL, CONTAINER)
        return op.CLOSE_SESSION, CloseSession()

    def _give_up(self, connection: ClientConnection) -> None:
        connection.close()
        self._forget(connection)

    def lost(self, connection: ClientConnection) -> None:
        """The connection has ended, by the server or its death."""
        if connection.open:
            connection.open = False
            self._forget(connection)

    def _forget(self, connection: ClientConnection) -> None:
        if self.connection is connection:
            self.connection = None
            if self.closing:
                self._end_session()  # it may or may not be closed; nobody will ask

    def _end_session(self) -> None:
        self.session, self.password, self.seen, self.closing = 0, b"", 0, False

    # ---- hearing

    def frames_came(self, connection: ClientConnection, frames: bytes) -> None:
        self.stage.trace = crc32(frames, self.stage.trace)
        at = 0
        while at < len(frames) and connection.open:
            end = at + 4 + int.from_bytes(frames[at : at + 4], "big")
            if not connection.greeted:
                self._greeted(connection, frames[at:end])
            else:
                self._replied(connection, frames[at:end])
            at = end

    def _greeted(self, connection: ClientConnection, frame: bytes) -> None:
        _, _, timeout_ms, session, length = SESSION.unpack_from(frame)
        ghost = self.stage.ghost
        if session == 0:
            self.stage.situations["a session was refused"] += 1
            if not connection.wrong_password:
                if self.session not in ghost.sessions_ended:
                    raise Violation(f"I17: {self} is refused, but its session has not ended")
                self._end_session()
            return  # the hang-up follows
        if connection.wrong_password and session == self.session:
            raise Violation(f"{self} got its session with a wrong password")
        if self.session and session != self.session:
            raise Violation(f"{self} asked for its session and got {session:#x}")
        if not self.session and session not in ghost.sessions_opened:
            raise Violation(f"I12: {self} got the session {session:#x}, which nobody opened")
        self.session, self.timeout_ms = session, timeout_ms
        self.password = frame[SESSION.size : SESSION.size + length]
        connection.greeted = True

    def _replied(self, connection: ClientConnection, frame: bytes) -> None:
        _, xid, zxid, error = REPLY.unpack_from(frame)
        body = frame[REPLY.size :]
        connection.heard_s = self.stage.now
        if xid == EVENT_XID:
            self._event(connection, zxid, body)
            return
        if zxid < self.seen:
            raise Violation(f"I15: {self} has seen {self.seen:#x} and got a reply at {zxid:#x}")
        self.seen = zxid
        self._check_watches(connection, zxid)
        if xid == PING_XID:
            return
        if not connection.sent or connection.sent[0].call.xid != xid:
            raise Violation(f"I13: {self} got the reply {xid} out of turn")
        sent = connection.sent.popleft()
        request = sent.call.request
        if isinstance(request, Create | SetData):
            self._written(sent, zxid, error, body)
        elif isinstance(request, GetData):
            self._read(connection, request, zxid, error, body)
        elif isinstance(request, Sync):
            self.stage.situations["a sync was answered"] += 1
            if zxid < sent.committed:
                raise Violation(f"I14: a sync of {self} shows {zxid:#x}, but {sent.committed:#x} was committed before")
        elif isinstance(request, CloseSession) and error not in (0, SESSION_EXPIRED):
            raise Violation(f"closing the session of {self} answered {error}")

    def _written(self, sent: Sent, zxid: int, error: int, body: bytes) -> None:
        request = sent.call.request
        assert isinstance(request, Create | SetData)
        if not request.data:
            return
        applied = self.stage.ghost.writes.get(request.data)
        if applied is None:
            raise Violation(f"I12: {self} got an answer to {request}, which is not in the committed history")
        if applied.zxid > zxid or applied.code != error:
            raise Violation(f"I18: the reply to {request} says {zxid:#x}, {error}; the history says {applied}")
        self.stage.situations["a write was acknowledged"] += 1
        if isinstance(request, Create) and not error:
            size = int.from_bytes(body[:4], "big")
            if body[4 : 4 + size].decode() != applied.path:
                raise Violation(f"I18: the reply to {request} says {body[4 : 4 + size]!r}, the history {applied.path}")

    def _read(self, connection: ClientConnection, request: GetData, zxid: int, error: int, body: bytes) -> None:
        version = self.stage.ghost.version_at(request.path, zxid)
        if error:
            if error != NO_NODE or version is not None:
                raise Violation(f"I15: {self} read {request.path} at {zxid:#x}: error {error}, but there is {version}")
            return
        length = int.from_bytes(body[:4], "big", signed=True)
        data = body[4 : 4 + length] if length >= 0 else None
        stat = STAT.unpack_from(body, 4 + max(length, 0))
        if version is None or (version.zxid, version.data) != (stat[1], data):
            raise Violation(f"I15: {self} read {request.path} at {zxid:#x}: {data!r} of {stat[1]:#x}, not {version}")
        self.known_versions[request.path] = stat[4]
        if request.watch and not any(watch.path == request.path for watch in connection.watches):
            connection.watches.append(Watch(request.path, zxid))

    def _event(self, connection: ClientConnection, zxid: int, body: bytes) -> None:
        _, _, length = EVENT.unpack_from(body)
        path = body[EVENT.size : EVENT.size + length].decode()
        watch = next((watch for watch in connection.watches if watch.path == path), None)
        if watch is None:
            raise Violation(f"I21: {self} got an event of {path} at {zxid:#x}, which it does not watch")
        first = self.stage.ghost.first_change_after(path, watch.zxid)
        if first is None or first.zxid != zxid:
            raise Violation(f"I20: {self} watches {path} since {watch.zxid:#x}, got {zxid:#x}, not {first}")
        connection.watches.remove(watch)
        self.stage.situations["a watch fired"] += 1

    def _check_watches(self, connection: ClientConnection, zxid: int) -> None:
        """I19: no reply shows a state whose event has not come."""
        for watch in connection.watches:
            first = self.stage.ghost.first_change_after(watch.path, watch.zxid)
            if first is not None and first.zxid <= zxid:
                raise Violation(
                    f"I19: {self} got a reply at {zxid:#x} before the event of {watch.path}, {first.zxid:#x}"
                )
