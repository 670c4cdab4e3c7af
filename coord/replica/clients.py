"""The clients of one server: handshakes, requests in order, answers, and who is hung up.

Nothing here decides anything for the ensemble: writes become runs and are forwarded, reads are answered from the
local state, watches are this server's own.
"""

import hmac
from collections.abc import Callable, Sequence

from coord.codec import jute
from coord.codec import opcodes as op
from coord.codec.calls import Call
from coord.codec.entries import encode_run
from coord.model.acl import Identity
from coord.model.entries import Run
from coord.model.errors import SessionExpiredError, SessionMovedError
from coord.model.handshake import (
    BEHIND,
    BUSY,
    CLOSED,
    FEATURES,
    MALFORMED,
    MOVED,
    NO_LEADER,
    SESSION_UNKNOWN,
    SKIPPED,
    VERSION,
    Greeting,
    Welcome,
)
from coord.model.replies import Event, Failed, Reply, SessionOpened, Synced
from coord.model.requests import (
    AtLeast,
    AttachSession,
    CloseSession,
    Connect,
    CreateSession,
    Ping,
    Refused,
    Sync,
    Write,
)
from coord.replica import limits, native, plain
from coord.replica.answers import DONE
from coord.replica.brain import CLIENT_WRITES, Brain
from coord.replica.latencies import Latencies
from coord.replica.limits import EVENTS_BYTES_MAX, RUN_BYTES_MAX
from coord.replica.pipeline import Answered, ClientCodec, Due, Pipeline
from coord.replica.ready import Ready
from coord.replica.syncs import Syncs

PASSWORD_BYTES = 16
AHEAD_S = 0.2
"""A client that has seen more than this server has got waits for so long before it is sent elsewhere: four times what a
leader may hold back from a server without clients (paxos/thrift.py), however rare its heartbeats are.
"""


class Clients:
    """All connections of one server, and the sessions they serve."""

    __slots__ = (
        "_by_session", "_dirty", "_draw", "_event", "_event_frame", "_hang_ups", "_touched", "brain",
        "latencies", "lobby", "pipelines", "received", "sent", "syncs",
    )  # fmt: skip

    def __init__(self, brain: Brain, draw: Callable[[int], int]) -> None:
        self.brain = brain
        self._draw = draw
        self.latencies = Latencies()
        self.received = 0  # requests
        self.sent = 0  # frames: replies and events
        self.pipelines: dict[int, Pipeline] = {}  # by connection
        self._by_session: dict[int, Pipeline] = {}
        self.lobby: dict[Pipeline, None] = {}  # have said who they are; wait for a leader, or for what they have seen
        self._dirty: dict[Pipeline, None] = {}  # have something to be delivered
        self._hang_ups: list[tuple[int, str]] = []
        self._event: Event | None = None  # the last that somebody was told of
        self._event_frame = b""
        self._touched: dict[int, None] = {}  # sessions heard since the leader was last told
        self.syncs = Syncs()

    # ---- coming and going

    def attach(self, connection: int, codec: ClientCodec, identities: tuple[Identity, ...], address: str) -> Pipeline:
        pipeline = Pipeline(connection, codec, identities, address)
        self.pipelines[connection] = pipeline
        return pipeline

    def detach(self, pipeline: Pipeline) -> None:
        pipeline.gone = True
        pipeline.waiting.clear()
        pipeline.waiting_since_s.clear()
        pipeline.early.clear()
        pipeline.out.clear()
        self.pipelines.pop(pipeline.connection, None)
        self._dirty.pop(pipeline, None)
        self.lobby.pop(pipeline, None)
        if self._by_session.get(pipeline.session) is pipeline:
            del self._by_session[pipeline.session]
        self.brain.watches.forget(pipeline)
        self.brain.native_watches.forget(pipeline)
        self.syncs.forget(pipeline)

    def hang_up(self, pipeline: Pipeline, why: str, code: int) -> None:
        """End the connection after what is queued for it has been delivered, and it is told why if it can be told."""
        if pipeline.gone:
            return
        pipeline.gone = True
        codec = pipeline.codec
        if pipeline.session:
            last_words = codec.encode_goodbye(code, why)
        else:
            last_words = b"" if pipeline.connect is None else codec.encode_refusal(pipeline.connect, code, why)
        if last_words:
            pipeline.out.append(last_words)
        self._hang_ups.append((pipeline.connection, why))
        self._dirty[pipeline] = None

    def open(self, pipeline: Pipeline, connect: Connect | Greeting) -> None:
        """The handshake: open a session or go on with one, by a write of this server's own."""
        brain, settings = self.brain, self.brain.settings
        if pipeline.connect is None:
            pipeline.connect, pipeline.greeted_s = connect, brain.now
        if type(connect) is Greeting:
            refusal = native.judge(brain, pipeline, connect)
            if refusal is not None:
                self.hang_up(pipeline, refusal.reason, refusal.code)
                return
            pipeline.acked = connect.acked
        pipeline.timeout_ms = min(
            max(connect.timeout_ms, settings.session_timeout_min_ms), settings.session_timeout_max_ms
        )
        session = brain.machine.sessions.get(connect.session)
        if session is not None and hmac.compare_digest(session.password, connect.password):
            self._touched[session.id] = None  # at once: to be let in may take long
        if not brain.admits:
            # A handshake is a write. Those of clients who give up meanwhile must not become sessions nobody has.
            self.lobby[pipeline] = None
        elif connect.seen_zxid > brain.machine.zxid:
            self._wait_for_what_was_seen(pipeline, connect.seen_zxid)
        elif connect.session == 0:
            self._open_new(pipeline)
        else:
            self._go_on(pipeline, connect)

    def _wait_for_what_was_seen(self, pipeline: Pipeline, seen: int) -> None:
        """Until this server, be it the leader, has heard that it is committed; if it has not got it, for a moment."""
        brain = self.brain
        if seen <= brain.participant.log.last or brain.now - pipeline.greeted_s < AHEAD_S:
            self.lobby[pipeline] = None
            return
        here = brain.machine.zxid
        self.hang_up(pipeline, f"the client has seen zxid {seen:#x}, this server stands at {here:#x}", BEHIND)

    def _open_new(self, pipeline: Pipeline) -> None:
        # The server's id in the highest byte keeps servers from drawing the same number; 0 is never drawn.
        session = (self.brain.server & 127) << 56 | self._draw(55) << 1 | 1
        password = self._draw(8 * PASSWORD_BYTES).to_bytes(PASSWORD_BYTES, "big")
        self.forward(pipeline, 0, (CreateSession(session, password, pipeline.timeout_ms),))

    def _go_on(self, pipeline: Pipeline, connect: Connect | Greeting) -> None:
        session = self.brain.machine.sessions.get(connect.session)
        if session is not None and not hmac.compare_digest(session.password, connect.password):
            self.hang_up(pipeline, "the session's password is wrong", SESSION_UNKNOWN)  # the session lives on
            return
        former = self._by_session.get(connect.session)
        if former is not None:
            self.hang_up(former, "the client has reconnected", MOVED)
        self.forward(pipeline, 0, (AttachSession(connect.session, connect.password, pipeline.timeout_ms),))

    def _opened(self, pipeline: Pipeline, request: CreateSession | AttachSession, reply: Reply) -> None:
        if isinstance(reply, SessionOpened):
            self._welcome(pipeline, reply)
        elif isinstance(request, CreateSession):
            self._open_new(pipeline)  # the number was taken: draw again
        else:
            why = "the session is not known: it has ended, or its password is wrong"
            self.hang_up(pipeline, why, SESSION_UNKNOWN)

    def _welcome(self, pipeline: Pipeline, opened: SessionOpened) -> None:
        brain, connect = self.brain, pipeline.connect
        assert connect is not None, "who gets a session has asked for one"
        if pipeline.acked > opened.applied:
            why = f"the client acknowledges write {pipeline.acked}, and its session's last one is {opened.applied}"
            self.hang_up(pipeline, why, MALFORMED)
            return
        former = self._by_session.get(opened.session)
        if former is not None:
            self.hang_up(former, "the client has reconnected", MOVED)
        pipeline.session, pipeline.timeout_ms = opened.session, opened.timeout_ms
        pipeline.number_max = opened.applied
        self._by_session[opened.session] = pipeline
        welcome = Welcome(
            VERSION,
            brain.participant.ballot.cluster,
            FEATURES,
            brain.server,
            opened.session,
            opened.password,
            opened.timeout_ms,
            brain.machine.zxid,
            opened.applied,
            brain.settings.frame_bytes_max,
        )
        pipeline.out.append(pipeline.codec.encode_welcome(welcome, connect))
        self._dirty[pipeline] = None
        early, pipeline.early = pipeline.early, []
        self.submit(pipeline, early)

    def let_go(self, unserved_s: float) -> None:
        """No leader for this long: clients whose session would be a third gone may try their luck elsewhere.

        Who has no session yet, and can be told why, need not wait so long.
        """
        why = f"no leader has been found for {unserved_s:.1f} s"
        for pipeline in list(self.pipelines.values()):
            if pipeline.timeout_ms and unserved_s * 1000 > pipeline.timeout_ms / 3:
                self.hang_up(pipeline, why, NO_LEADER)
        if unserved_s > self.brain.settings.paxos.leader_timeout_s:
            for pipeline in self.lobby:
                if type(pipeline.connect) is Greeting:
                    self.hang_up(pipeline, why, NO_LEADER)

    def session_expired(self, session: int) -> None:
        pipeline = self._by_session.get(session)
        if pipeline is not None:
            self.hang_up(pipeline, f"the session 0x{session:x} has expired", SESSION_UNKNOWN)

    def session_moved(self, session: int, owner: int) -> None:
        pipeline = self._by_session.get(session)
        if pipeline is not None:
            self.hang_up(pipeline, f"the session 0x{session:x} has moved to server {owner}", MOVED)

    def state_replaced(self) -> None:
        """The state jumped: nobody can be told what happened in between, but reconnecting clients can find out."""
        for pipeline in list(self.pipelines.values()):
            if pipeline.session:
                self.hang_up(pipeline, "this server took a snapshot and skipped events", SKIPPED)

    def skipped(self, pipeline: Pipeline) -> None:
        """Its writes were applied without this server seeing their replies."""
        self.hang_up(pipeline, "its requests were applied while this server took a snapshot", SKIPPED)

    def touch(self, pipeline: Pipeline) -> None:
        """The client counts as heard: it waits for this server, which does not read from it just now."""
        if pipeline.session and not pipeline.gone:
            self._touched[pipeline.session] = None

    def attended(self) -> bool:
        """Whether any client is connected here."""
        return bool(self.pipelines)

    def take_touched(self) -> tuple[int, ...]:
        touched, self._touched = tuple(self._touched), {}
        return touched

    # ---- requests in

    def submit(self, pipeline: Pipeline, calls: Sequence[Call]) -> None:
        if pipeline.gone or pipeline.ending or not calls:
            return
        if not pipeline.session:
            pipeline.early += calls
            return
        self._touched[pipeline.session] = None
        self._dirty[pipeline] = None
        counters = pipeline.counters
        counters.received += len(calls)
        self.received += len(calls)
        counters.last_xid, counters.last_opcode = calls[-1].xid, calls[-1].opcode
        if pipeline.codec is jute:
            plain.submit(self, pipeline, calls)
        else:
            native.submit(self, pipeline, calls)

    def answer_ping(self, pipeline: Pipeline) -> bytes | None:
        """The answer to a PING of ZooKeeper's that came alone: what `submit` and `take_answers` make of it, with a
        quarter of the calls. None where there is more to be thought of, and they have to do it.
        """
        if pipeline.out or not pipeline.session or pipeline.gone or pipeline.ending:
            return None
        self._touched[pipeline.session] = None
        counters, zxid = pipeline.counters, self.brain.machine.zxid
        counters.received += 1
        counters.sent += 1
        counters.last_xid, counters.last_opcode, counters.last_zxid = jute.PING_XID, op.PING, zxid
        self.received += 1
        self.sent += 1
        self.latencies.pings += 1
        return jute.encode_pong(zxid)

    def forward(self, pipeline: Pipeline, session: int, requests: tuple[Write, ...], number: int = 0) -> None:
        """Writes of one client on their way to the leader; `number` is that of the first, where they have numbers."""
        brain = self.brain
        forwards = brain.forwards
        identities = pipeline.identities if session else ()
        run = Run(
            brain.server,
            brain.settings.incarnation,
            forwards.next_sequence,
            session,
            number,
            identities,
            requests,
            pipeline.acked if number else 0,
        )
        encoded = encode_run(run)
        if len(encoded) > RUN_BYTES_MAX and len(requests) > 1:
            middle = len(requests) // 2
            self.forward(pipeline, session, requests[:middle], number)
            self.forward(pipeline, session, requests[middle:], number and number + middle)
        else:
            forwards.add(len(requests), encoded, pipeline, brain.now)

    # ---- answers out

    def answer_write(self, pipeline: Pipeline, request: Write, reply: Reply) -> None:
        """A write of this pipeline was applied: the earliest it waits for."""
        if pipeline.gone:
            return
        if not pipeline.session:
            assert isinstance(request, CreateSession | AttachSession)
            self._opened(pipeline, request, reply)
            return
        waiting, zxid = pipeline.waiting, self.brain.machine.zxid
        ends = ""
        if type(request) is CloseSession:
            ends = "the client has closed its session"
        elif type(reply) is Failed and isinstance(reply.error, SessionMovedError | SessionExpiredError):
            ends = str(reply.error)
            if pipeline.codec is not jute:
                # Not an answer to the write: it has not used up its number, and may be done for the client elsewhere.
                self.hang_up(pipeline, ends, MOVED if type(reply.error) is SessionMovedError else SESSION_UNKNOWN)
                return
        head = waiting[0]
        if type(head) is Call and type(head.request) in CLIENT_WRITES:
            waiting.popleft()
            pipeline.out.append(pipeline.codec.encode_reply(head, zxid, reply))
            if ends:
                self.hang_up(pipeline, ends, CLOSED)
            elif waiting:
                self._answer_waiting(pipeline)
        else:
            self._answer_ahead(pipeline, reply, ends)
        self._dirty[pipeline] = None

    def _answer_ahead(self, pipeline: Pipeline, reply: Reply, ends: str) -> None:
        """A sync is at the head and not through yet: keep the reply in the place of its call."""
        for place, item in enumerate(pipeline.waiting):
            if type(item) is Call and type(item.request) in CLIENT_WRITES:
                frame = pipeline.codec.encode_reply(item, self.brain.machine.zxid, reply)
                pipeline.waiting[place] = Answered(frame, ends)
                return
        raise AssertionError(f"connection {pipeline.connection} got a reply to a write it does not wait for")

    def _answer_read(self, pipeline: Pipeline, call: Call) -> None:
        """Answer what this server can answer by itself. One that asks for much gets no further ones for a while."""
        kind = type(call.request)
        ends = native.NATIVE_ANSWERS[kind](self.brain, pipeline, call)
        if pipeline.out_bytes > limits.OUT_BYTES_MAX:
            pipeline.stalled = True
        if ends:
            self.hang_up(pipeline, ends, MALFORMED if kind is Refused else BUSY)

    def _answer_waiting(self, pipeline: Pipeline) -> None:
        """Answer what is at the head, up to the next write or sync that is not through."""
        waiting, since_s = pipeline.waiting, pipeline.waiting_since_s
        while waiting and not pipeline.gone and not pipeline.stalled:
            head = waiting[0]
            if type(head) is Answered:
                # Encoded when it was applied; what was sent since (a ping's answer, the sync's) may show a later zxid.
                pipeline.out.append(pipeline.codec.restamp(head.frame, self.brain.machine.zxid))
                if head.ends:
                    self.hang_up(pipeline, head.ends, CLOSED)
            elif type(head) is Due:
                self.latencies.answered.append((since_s.popleft(), (type(head.call.request),)))
                if head.call.xid or pipeline.codec is jute:  # else nobody wants to be told
                    pipeline.out.append(pipeline.codec.encode_reply(head.call, self.brain.machine.zxid, head.reply))
            else:
                assert type(head) is Call
                if type(head.request) in _HOLDING:
                    return
                self.latencies.answered.append((since_s.popleft(), (type(head.request),)))
                self._answer_read(pipeline, head)
            waiting.popleft()

    def resume(self, pipeline: Pipeline) -> None:
        """What was delivered has left: go on with the reads that were held back for it."""
        pipeline.stalled = False
        self._answer_waiting(pipeline)
        self._dirty[pipeline] = None

    def deliver_event(self, pipeline: Pipeline, event: Event) -> None:
        """It is encoded once for all who are told of it one after the other."""
        if event is not self._event:
            self._event, self._event_frame = event, jute.encode_event(event)
        if not pipeline.gone:
            pipeline.out.append(self._event_frame)
            self._dirty[pipeline] = None

    def deliver_native(self, pipeline: Pipeline, message: bytes) -> None:
        """An event of coord's own protocol. Those of one zxid are delivered together, or none of them."""
        if pipeline.gone:
            return
        pipeline.out.append(message)
        pipeline.event_bytes += len(message)
        self._dirty[pipeline] = None
        if pipeline.event_bytes > EVENTS_BYTES_MAX:
            pipeline.out.clear()
            why = f"its watches make more than {EVENTS_BYTES_MAX >> 20} MiB of events at once; watch less"
            self.hang_up(pipeline, why, BUSY)

    def collect(self, ready: Ready) -> None:
        """Move what is to be delivered into `ready`, one piece of bytes a connection."""
        if self._dirty:
            ready.deliver = [(pipeline.connection, self._pack(pipeline)) for pipeline in self._dirty if pipeline.out]
            self._dirty.clear()
        if self.latencies.answered:
            ready.answered = self.latencies.take_answered()
        if self._hang_ups:
            ready.hang_up, self._hang_ups = self._hang_ups, []
            for connection, _ in ready.hang_up:
                pipeline_gone = self.pipelines.get(connection)
                if pipeline_gone is not None:
                    self.detach(pipeline_gone)

    def take_answers(self, pipeline: Pipeline) -> bytes | None:
        """All that is to be delivered to one client that has just asked; None if anything else is to be done as well.

        Reads that waited for nobody need no more than this, and the pump is spared.
        """
        brain, syncs = self.brain, self.syncs
        if brain.forwards.unsent or syncs.want_barrier or self._hang_ups or pipeline.gone:
            return None
        if syncs.is_due(brain.machine.zxid):
            return None
        self._dirty.pop(pipeline, None)
        return self._pack(pipeline) if pipeline.out else b""

    def _pack(self, pipeline: Pipeline) -> bytes:
        """One piece of bytes of all that waits to be delivered to it."""
        out = pipeline.out
        pipeline.counters.sent += len(out)
        pipeline.counters.last_zxid = self.brain.machine.zxid
        self.sent += len(out)
        frames = pipeline.codec.pack(out)
        out.clear()
        pipeline.out_bytes = pipeline.event_bytes = 0
        return frames

    # ---- syncs

    def ask_barriers(self) -> None:
        if not self.syncs.want_barrier:
            return
        for pipeline in self.syncs.to_ask:  # that are answered only when the leader has heard of their sessions
            self.touch(pipeline)
        self.syncs.ask(self.brain.participant.ask_barrier)

    def barrier_passed(self, ticket: int, zxid: int) -> None:
        self.syncs.passed(ticket, zxid)

    def release_syncs(self) -> None:
        """Answer those that waited for no more than what this server has come to."""
        for pipeline, call in self.syncs.reached(self.brain.machine.zxid):
            self._release(pipeline, call)

    def _release(self, pipeline: Pipeline, call: Call) -> None:
        request = call.request
        for place, item in enumerate(pipeline.waiting):
            if item is call:
                pipeline.waiting[place] = Due(call, Synced(request.path) if isinstance(request, Sync) else DONE)
                break
        self._dirty[pipeline] = None
        self._answer_waiting(pipeline)

    def begin_service(self) -> None:
        """There is a leader (again): ask it what the last one was asked."""
        self.syncs.ask_again()

    def open_lobby(self) -> None:
        """Let in who waited."""
        lobby, self.lobby = self.lobby, {}
        for pipeline in lobby:
            if not pipeline.gone:
                assert pipeline.connect is not None, "who is in the lobby has said who he is"
                self.open(pipeline, pipeline.connect)


_HOLDING = CLIENT_WRITES | {Sync, Ping, AtLeast}
"""What those behind it wait for."""
