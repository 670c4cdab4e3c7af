"""Clients of coord's own protocol in a simulated ensemble: they number writes, and send again what was not answered.

While a session lives each of its writes is done exactly once, wherever the connection broke (I18): the onlooker notices
one that is done twice, this client one that was answered with something else than what was done, or is missing. It has
one watch that survives its connections, and hears of every change once and in order, or that the past is lost (I20).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from coord.codec import native
from coord.codec.calls import Call
from coord.codec.native_rows import ROW_OF
from coord.model.acl import OPEN_ACL
from coord.model.errors import WatchWindowLostError
from coord.model.handshake import BEHIND, NO_LEADER, SESSION_UNKNOWN, SKIPPED, Greeting, Refusal, Welcome
from coord.model.replies import DATA_CHANGED, NODE_CREATED, NODE_DELETED, WatchEvent
from coord.model.requests import Acknowledge, CloseSession, Create, GetData, Ping, Request, SetData, Sync, Watch
from tools.simulate.clients import NO_NODE, SKELETON, ClientConnection, Sent, SimulatedClient
from tools.simulate.ghost import Violation
from tools.simulate.servers import SimulatedServer
from tools.simulate.stage import Stage

WATCH_ID = 7
ROOT = "/kv"
WINDOW = 30
"""Requests that may be unanswered."""


@dataclass(slots=True)
class Wanted:
    """A request that was not answered yet, on whatever connection it was sent."""

    request: Request
    number: int  # 0: no write


class NumberedClient(SimulatedClient):
    """See the module. What it wants of the servers it wants until its session ends."""

    def __init__(
        self, stage: Stage, servers: dict[int, SimulatedServer], number: int, connections: Iterator[int]
    ) -> None:
        super().__init__(stage, servers, number, connections)
        self._start_session()

    def _start_session(self) -> None:
        self.wanted: deque[Wanted] = deque()
        self.number_sent = 0  # of the last write
        self.answered = 0  # the number of the last write whose reply has come
        self.armed = 0  # changes up to this zxid have been heard of, or need not be; 0: there is no watch yet
        self.heard: dict[str, int] = {}  # path: zxid of its last event

    # ---- acting

    def _connect(self) -> None:
        stage, rng = self.stage, self.stage.rng
        alive = [server for server in self.servers.values() if server.replica is not None and not server.paused]
        if not alive:
            return
        server = rng.choice(alive)
        replica = server.replica
        assert replica is not None
        number = next(self._connections)
        pipeline = replica.attach(number, native, (("ip", "127.0.0.1"),), f"client {self.number}")
        connection = ClientConnection(self, server, number, pipeline, server.life, connected_s=stage.now)
        self.connection = server.clients[number] = connection
        connection.wrong_password = bool(self.session) and rng.random() < 0.05
        password = b"wrong".ljust(16) if connection.wrong_password else self.password
        acked = self.answered if self.session else 0
        greeting = Greeting(1, 1, 0, 0, self.session, password, self.seen, rng.choice((800, 1500, 2500)), acked, (), "")
        if replica.participant.leads and replica.admits and self.session and not connection.wrong_password:
            server.heard(self.session)
        server.input(replica.clients.open, pipeline, greeting)

    def _ask(self, connection: ClientConnection) -> None:
        rng = self.stage.rng
        wanted: list[Wanted] = []
        if not self.idle and len(self.wanted) < WINDOW:
            requests: list[Request] = []
            if not self.number_sent:
                requests += [Create(path, None, OPEN_ACL) for path in SKELETON]
            for _ in range(rng.choice((0, 1, 1, 2, 5))):
                _, request = self._draw()
                requests.append(GetData(request.path) if isinstance(request, GetData) else request)
            for request in requests:
                if self.closing:
                    break
                self.closing = isinstance(request, CloseSession)
                numbered = type(request) in native.WRITE_CLASSES
                self.number_sent += numbered
                wanted.append(Wanted(request, self.number_sent if numbered else 0))
        self.wanted += wanted
        self._send(connection, wanted, with_ping=rng.random() < 0.5)

    def _send(self, connection: ClientConnection, wanted: list[Wanted], with_ping: bool = False) -> None:
        stage = self.stage
        messages = [native.encode_request(0, Acknowledge(self.answered))] if self.answered else []
        if with_ping:
            messages.append(native.encode_request(0, Ping()))
        for each in wanted:
            request, id = each.request, connection.next_xid
            connection.next_xid += 1
            messages.append(native.encode_request(id, request, each.number))
            call = Call(id, ROW_OF[type(request)], request, (), each.number)
            connection.sent.append(Sent(call, stage.now, stage.ghost.last))
        if wanted or with_ping:
            calls, _ = native.decode_calls(native.encode_frame(messages), 1 << 20)
            connection.submit(calls)

    def _end_session(self) -> None:
        super()._end_session()
        self._start_session()

    # ---- hearing

    def frames_came(self, connection: ClientConnection, frames: bytes) -> None:
        self.stage.trace = crc32(frames, self.stage.trace)
        payloads, _ = native.split_frames(frames, native.SERVER_FRAME_BYTES_MAX)
        for payload in payloads:
            newest = self.seen
            for message in native.decode_server_message(payload):
                if not connection.open:
                    return
                if isinstance(message, Welcome):
                    self._welcomed(connection, message)
                    newest = self.seen
                elif isinstance(message, Refusal):
                    self._refused(connection, message)
                elif isinstance(message, WatchEvent):
                    self._heard(message)
                    newest = max(newest, message.zxid)
                elif isinstance(message, native.Answer):
                    self._answered(connection, message)
                    newest = max(newest, message.zxid)
            if connection.greeted:
                self.seen = newest

    def _refused(self, connection: ClientConnection, refusal: Refusal) -> None:
        if connection.wrong_password or refusal.code in (BEHIND, NO_LEADER, SKIPPED):
            return
        if refusal.code != SESSION_UNKNOWN:
            raise Violation(f"{self} is refused: {refusal}")
        self.stage.situations["a session was refused"] += 1
        if self.session not in self.stage.ghost.sessions_ended:
            raise Violation(f"I17: {self} is refused, but its session has not ended")
        self._end_session()

    def _welcomed(self, connection: ClientConnection, welcome: Welcome) -> None:
        if connection.wrong_password:
            raise Violation(f"{self} got its session with a wrong password")
        if self.session and welcome.session != self.session:
            raise Violation(f"{self} asked for its session and got {welcome.session:#x}")
        if welcome.session not in self.stage.ghost.sessions_opened:
            raise Violation(f"I12: {self} got the session {welcome.session:#x}, which nobody opened")
        if not self.answered <= welcome.applied <= self.number_sent:
            raise Violation(f"I18: {self} has sent {self.number_sent} writes, got {self.answered} replies: {welcome}")
        if not self.session:
            self._end_session()  # what was wanted of the last one
        self.session, self.timeout_ms, self.password = welcome.session, welcome.timeout_ms, welcome.password
        connection.greeted = True
        if len(self.wanted):
            self.stage.situations["a numbered client sent again what was not answered"] += 1
        self.wanted = deque(each for each in self.wanted if not isinstance(each.request, Watch))
        self.wanted.appendleft(Wanted(Watch(WATCH_ID, ROOT, True, 14, -1, self.seen if self.armed else 0), 0))
        self._send(connection, list(self.wanted))

    def _heard(self, event: WatchEvent) -> None:
        first = self.stage.ghost.first_change_after(event.path, max(self.armed, self.heard.get(event.path, 0)))
        if event.watch_id != WATCH_ID or not event.path.startswith(ROOT):
            raise Violation(f"I21: {self} got {event}, which it does not watch")
        if event.kind not in (NODE_CREATED, NODE_DELETED, DATA_CHANGED):
            raise Violation(f"I21: {self} got {event}, whose kind it did not ask for")
        if not self.armed or first is None or (first.zxid, first.kind) != (event.zxid, event.kind):
            raise Violation(f"I20: {self} got {event}; the next change of it was {first}")
        self.heard[event.path] = event.zxid
        self.stage.situations["a watch of a numbered client fired"] += 1

    def _missed_nothing(self, zxid: int) -> None:
        """I19, I20: whoever is shown the state of `zxid` has heard of all changes up to it."""
        for path in SKELETON:
            if self.armed and path.startswith(ROOT):
                first = self.stage.ghost.first_change_after(path, max(self.armed, self.heard.get(path, 0)))
                if first is not None and first.zxid <= zxid:
                    raise Violation(f"I20: {self} got a reply at {zxid:#x} before the event of {path}, {first.zxid:#x}")

    def _answered(self, connection: ClientConnection, answer: native.Answer) -> None:
        connection.heard_s = self.stage.now
        if not connection.sent or connection.sent[0].call.xid != answer.id:
            raise Violation(f"I13: {self} got the reply {answer} out of turn")
        sent, wanted = connection.sent.popleft(), self.wanted.popleft()
        request = sent.call.request
        if isinstance(request, Watch):
            self._armed_at(connection, request, answer)
            return
        self._missed_nothing(answer.zxid)
        if not wanted.number and answer.zxid < self.seen:
            raise Violation(f"I15: {self} has seen {self.seen:#x} and got a reply at {answer.zxid:#x}")
        if wanted.number:
            self.answered = wanted.number
        if isinstance(request, Create | SetData):
            self._was_written(request, answer)
        elif isinstance(request, GetData):
            self._was_read(request, answer)
        elif isinstance(request, Sync) and answer.zxid < sent.committed:
            raise Violation(f"I14: a sync of {self} shows {answer.zxid:#x}, {sent.committed:#x} was committed before")

    def _armed_at(self, connection: ClientConnection, request: Watch, answer: native.Answer) -> None:
        if not answer.code:
            self.armed = self.armed or answer.zxid
            self._missed_nothing(answer.zxid)
            return
        if answer.code != WatchWindowLostError.code:
            raise Violation(f"I20: {self} cannot watch: {answer}")
        self.stage.situations["the past was lost to a watch"] += 1
        self.armed, self.heard = 0, {}
        again = Wanted(Watch(WATCH_ID, ROOT, True, 14), 0)
        self.wanted.append(again)
        self._send(connection, [again])

    def _was_written(self, request: Create | SetData, answer: native.Answer) -> None:
        if not request.data:
            return
        applied = self.stage.ghost.writes.get(request.data)
        if applied is None:
            raise Violation(f"I12: {self} got an answer to {request}, which is not in the committed history")
        if (applied.zxid, applied.code) != (answer.zxid, answer.code):
            raise Violation(f"I18: the reply to {request} is {answer}; the history says {applied}")
        if isinstance(request, Create) and not answer.code and answer.fields[0] != applied.path:
            raise Violation(f"I18: the reply to {request} is {answer}; the history says {applied}")
        self.stage.situations["a numbered write was acknowledged"] += 1

    def _was_read(self, request: GetData, answer: native.Answer) -> None:
        version = self.stage.ghost.version_at(request.path, answer.zxid)
        if answer.code:
            if answer.code != NO_NODE or version is not None:
                raise Violation(f"I15: {self} read {request.path}: {answer}, but there is {version}")
            return
        data, stat = answer.fields
        if version is None or (version.zxid, version.data) != (stat[1], data):
            raise Violation(f"I15: {self} read {request.path}: {answer}, not {version}")
        self.known_versions[request.path] = stat[4]
