"""The clients of one server: handshakes, requests in order, answers, and who is hung up.

Nothing here decides anything for the ensemble: writes become runs and are forwarded, reads are answered from the
local state, watches are this server's own.
"""

import hmac
from collections.abc import Callable, Sequence
from typing import Protocol

from coord.codec.calls import Call
from coord.codec.entries import encode_run
from coord.model.acl import Identity
from coord.model.entries import Run
from coord.model.errors import (
    AuthFailedError,
    SessionExpiredError,
    SessionMovedError,
)
from coord.model.replies import (
    Event,
    Failed,
    Reply,
    SessionOpened,
    Synced,
)
from coord.model.requests import (
    AttachSession,
    Authenticate,
    CheckVersion,
    CloseSession,
    Connect,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    Multi,
    Ping,
    SetAcl,
    SetData,
    Sync,
    Write,
)
from coord.paxos.participant import Participant
from coord.replica.answers import ANSWERS, DONE
from coord.replica.auth import authenticate, joined
from coord.replica.figures import Sizes
from coord.replica.forwards import Forwards
from coord.replica.limits import RUN_BYTES_MAX
from coord.replica.pipeline import Answered, ClientCodec, Pipeline
from coord.replica.ready import Ready
from coord.replica.settings import ReplicaSettings
from coord.replica.watches import Watches
from coord.state.machine import Machine

PASSWORD_BYTES = 16
OUT_BYTES_MAX = 1 << 20
"""With so much on its way to a client its further reads are held back until it has taken that."""


class Brain(Protocol):
    """What the clients' side needs of the replica it belongs to."""

    settings: ReplicaSettings
    server: int
    machine: Machine
    watches: Watches
    forwards: Forwards
    participant: Participant
    now: float

    @property
    def admits(self) -> bool:
        """Whether clients may come in."""

    def note(self, sentence: str) -> None: ...


class Clients:
    """All connections of one server, and the sessions they serve."""

    __slots__ = (
        "_asked", "_brain", "_by_session", "_dirty", "_draw", "_hang_ups", "_lobby", "_passed", "_ticket", "_to_ask",
        "_touched", "latency_s", "pipelines", "received", "sent",
    )  # fmt: skip

    def __init__(self, brain: Brain, draw: Callable[[int], int]) -> None:
        self._brain = brain
        self._draw = draw
        self.latency_s = Sizes()  # of writes that found their pipeline empty: one in many is timed
        self.received = 0  # requests
        self.sent = 0  # frames: replies and events
        self.pipelines: dict[int, Pipeline] = {}  # by connection
        self._by_session: dict[int, Pipeline] = {}
        self._lobby: dict[Pipeline, None] = {}  # have said who they are while there is no leader
        self._dirty: dict[Pipeline, None] = {}  # have something to be delivered
        self._hang_ups: list[tuple[int, str]] = []
        self._touched: dict[int, None] = {}  # sessions heard since the leader was last told
        self._ticket = 0
        self._to_ask: list[tuple[Pipeline, Call]] = []  # syncs no barrier has been asked for yet
        self._asked: dict[int, list[tuple[Pipeline, Call]]] = {}  # by ticket
        self._passed: list[tuple[int, list[tuple[Pipeline, Call]]]] = []  # (zxid to be reached, syncs)

    # ---- coming and going

    def attach(self, connection: int, codec: ClientCodec, identities: tuple[Identity, ...], address: str) -> Pipeline:
        pipeline = Pipeline(connection, codec, identities, address)
        self.pipelines[connection] = pipeline
        return pipeline

    def detach(self, pipeline: Pipeline) -> None:
        pipeline.gone = True
        pipeline.waiting.clear()
        pipeline.early.clear()
        pipeline.out.clear()
        self.pipelines.pop(pipeline.connection, None)
        self._dirty.pop(pipeline, None)
        self._lobby.pop(pipeline, None)
        if self._by_session.get(pipeline.session) is pipeline:
            del self._by_session[pipeline.session]
        self._brain.watches.forget(pipeline)

    def hang_up(self, pipeline: Pipeline, why: str) -> None:
        """End the connection after what is queued for it has been delivered."""
        if pipeline.gone:
            return
        pipeline.gone = True
        self._hang_ups.append((pipeline.connection, why))
        self._dirty[pipeline] = None

    def open(self, pipeline: Pipeline, connect: Connect) -> None:
        """The handshake: open a session or go on with one, by a write of this server's own."""
        brain, settings = self._brain, self._brain.settings
        pipeline.connect = connect
        pipeline.timeout_ms = min(
            max(connect.timeout_ms, settings.session_timeout_min_ms), settings.session_timeout_max_ms
        )
        if not brain.admits:
            # A handshake is a write. Those of clients who give up meanwhile must not become sessions nobody has.
            self._lobby[pipeline] = None
        elif connect.seen_zxid > brain.machine.zxid:
            seen, here = connect.seen_zxid, brain.machine.zxid
            self.hang_up(pipeline, f"the client has seen zxid {seen:#x}, this server stands at {here:#x}")
        elif connect.session == 0:
            self._open_new(pipeline)
        else:
            self._go_on(pipeline, connect)

    def _open_new(self, pipeline: Pipeline) -> None:
        # The server's id in the highest byte keeps servers from drawing the same number; 0 is never drawn.
        session = (self._brain.server & 127) << 56 | self._draw(55) << 1 | 1
        password = self._draw(8 * PASSWORD_BYTES).to_bytes(PASSWORD_BYTES, "big")
        self._forward(pipeline, 0, (CreateSession(session, password, pipeline.timeout_ms),))

    def _go_on(self, pipeline: Pipeline, connect: Connect) -> None:
        session = self._brain.machine.sessions.get(connect.session)
        if session is not None and not hmac.compare_digest(session.password, connect.password):
            self._refuse_session(pipeline, "the session's password is wrong")
            return
        former = self._by_session.get(connect.session)
        if former is not None:
            self.hang_up(former, "the client has reconnected")
        self._forward(pipeline, 0, (AttachSession(connect.session, connect.password, pipeline.timeout_ms),))

    def _refuse_session(self, pipeline: Pipeline, why: str) -> None:
        assert pipeline.connect is not None
        pipeline.out.append(pipeline.codec.encode_session(None, pipeline.connect))
        self.hang_up(pipeline, why)

    def _opened(self, pipeline: Pipeline, request: CreateSession | AttachSession, reply: Reply) -> None:
        connect = pipeline.connect
        assert connect is not None
        if isinstance(reply, SessionOpened):
            former = self._by_session.get(reply.session)
            if former is not None:
                self.hang_up(former, "the client has reconnected")
            pipeline.session, pipeline.timeout_ms = reply.session, reply.timeout_ms
            self._by_session[reply.session] = pipeline
            pipeline.out.append(pipeline.codec.encode_session(reply, connect))
            self._dirty[pipeline] = None
            early, pipeline.early = pipeline.early, []
            self.submit(pipeline, early)
        elif isinstance(request, CreateSession):
            self._open_new(pipeline)  # the number was taken: draw again
        else:
            self._refuse_session(pipeline, "the session is not known: it has ended, or its password is wrong")

    def let_go(self, unserved_s: float) -> None:
        """No leader for this long: clients whose session would be a third gone may try their luck elsewhere."""
        for pipeline in list(self.pipelines.values()):
            if pipeline.timeout_ms and unserved_s * 1000 > pipeline.timeout_ms / 3:
                self.hang_up(pipeline, f"no leader has been found for {unserved_s:.1f} s")

    def session_expired(self, session: int) -> None:
        pipeline = self._by_session.get(session)
        if pipeline is not None:
            self.hang_up(pipeline, f"the session 0x{session:x} has expired")

    def session_moved(self, session: int, owner: int) -> None:
        pipeline = self._by_session.get(session)
        if pipeline is not None:
            self.hang_up(pipeline, f"the session 0x{session:x} has moved to server {owner}")

    def state_replaced(self) -> None:
        """The state jumped: nobody can be told what happened in between, but reconnecting clients can find out."""
        for pipeline in list(self.pipelines.values()):
            if pipeline.session:
                self.hang_up(pipeline, "this server took a snapshot and skipped events")

    def touch(self, pipeline: Pipeline) -> None:
        """The client counts as heard: it waits for this server, which does not read from it just now."""
        if pipeline.session and not pipeline.gone:
            self._touched[pipeline.session] = None

    def take_touched(self) -> tuple[int, ...]:
        touched, self._touched = tuple(self._touched), {}
        return touched

    # ---- requests in

    def submit(self, pipeline: Pipeline, calls: Sequence[Call]) -> None:
        if pipeline.gone:
            return
        if not calls:
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
        brain, waiting = self._brain, pipeline.waiting
        writes: list[Write] = []
        for call in calls:
            request = call.request
            kind = type(request)
            if kind in CLIENT_WRITES:
                if not waiting:
                    pipeline.timed, pipeline.timed_s = call, self._brain.now
                writes.append(request)  # type: ignore[arg-type]
                waiting.append(call)
            elif kind is Authenticate:
                # Not queued behind requests; what stands before it is sent under the identities of before.
                if writes:
                    self._forward(pipeline, pipeline.session, tuple(writes))
                    writes = []
                self._authenticate(pipeline, call)
                if pipeline.gone:  # it failed: nothing that follows is done any more
                    break
            elif kind is Ping:
                pipeline.out.append(pipeline.codec.encode_reply(call, self._brain.machine.zxid, DONE))
            elif kind is Sync:
                waiting.append(call)
                self._to_ask.append((pipeline, call))
            elif waiting or pipeline.stalled:
                waiting.append(call)
            else:
                ends = ANSWERS[kind](brain, pipeline, call)
                if pipeline.out_bytes > OUT_BYTES_MAX:
                    pipeline.stalled = True
                if ends:
                    self.hang_up(pipeline, ends)
                    break
        if writes:
            self._forward(pipeline, pipeline.session, tuple(writes))

    def _forward(self, pipeline: Pipeline, session: int, requests: tuple[Write, ...]) -> None:
        brain = self._brain
        forwards = brain.forwards
        identities = pipeline.identities if session else ()
        run = Run(brain.server, brain.settings.incarnation, forwards.next_sequence, session, 0, identities, requests)
        encoded = encode_run(run)
        if len(encoded) > RUN_BYTES_MAX and len(requests) > 1:
            middle = len(requests) // 2
            self._forward(pipeline, session, requests[:middle])
            self._forward(pipeline, session, requests[middle:])
        else:
            forwards.add(len(requests), encoded, pipeline)

    def _authenticate(self, pipeline: Pipeline, call: Call) -> None:
        request = call.request
        assert isinstance(request, Authenticate)
        try:
            granted = authenticate(request, pipeline.identities, self._brain.settings.super_digest)
            pipeline.identities = joined(pipeline.identities, granted)
        except AuthFailedError as error:
            pipeline.out.append(pipeline.codec.encode_reply(call, 0, Failed(error)))
            self.hang_up(pipeline, str(error))
            return
        pipeline.out.append(pipeline.codec.encode_reply(call, 0, DONE))

    # ---- answers out

    def answer_write(self, pipeline: Pipeline, request: Write, reply: Reply) -> None:
        """A write of this pipeline was applied: the earliest it waits for."""
        if pipeline.gone:
            return
        if not pipeline.session:
            assert isinstance(request, CreateSession | AttachSession)
            self._opened(pipeline, request, reply)
            return
        waiting, zxid = pipeline.waiting, self._brain.machine.zxid
        ends = ""
        if type(request) is CloseSession:
            ends = "the client has closed its session"
        elif type(reply) is Failed and isinstance(reply.error, SessionMovedError | SessionExpiredError):
            ends = str(reply.error)
        head = waiting[0]
        if type(head) is Call and type(head.request) in CLIENT_WRITES:
            waiting.popleft()
            pipeline.out.append(pipeline.codec.encode_reply(head, zxid, reply))
            if head is pipeline.timed:
                pipeline.timed = None
                self.latency_s.note(self._brain.now - pipeline.timed_s)
            if ends:
                self.hang_up(pipeline, ends)
            elif waiting:
                self._answer_waiting(pipeline)
        else:
            self._answer_ahead(pipeline, reply, ends)
        self._dirty[pipeline] = None

    def _answer_ahead(self, pipeline: Pipeline, reply: Reply, ends: str) -> None:
        """A sync is at the head and not through yet: keep the reply in the place of its call."""
        for place, item in enumerate(pipeline.waiting):
            if type(item) is Call and type(item.request) in CLIENT_WRITES:
                frame = pipeline.codec.encode_reply(item, self._brain.machine.zxid, reply)
                pipeline.waiting[place] = Answered(frame, ends)
                return
        raise AssertionError(f"connection {pipeline.connection} got a reply to a write it does not wait for")

    def _answer_waiting(self, pipeline: Pipeline) -> None:
        """Answer what is at the head, up to the next write or sync that is not through."""
        waiting = pipeline.waiting
        while waiting and not pipeline.gone and not pipeline.stalled:
            head = waiting[0]
            if type(head) is Answered:
                # Encoded when it was applied; what was sent since (a ping's answer, the sync's) may show a later zxid.
                pipeline.out.append(pipeline.codec.restamp(head.frame, self._brain.machine.zxid))
                if head.ends:
                    self.hang_up(pipeline, head.ends)
            else:
                assert type(head) is Call
                kind = type(head.request)
                if kind in CLIENT_WRITES or kind is Sync:
                    return
                ends = ANSWERS[kind](self._brain, pipeline, head)
                if ends:
                    self.hang_up(pipeline, ends)
                pipeline.stalled = pipeline.out_bytes > OUT_BYTES_MAX
            waiting.popleft()

    def resume(self, pipeline: Pipeline) -> None:
        """What was delivered has left: go on with the reads that were held back for it."""
        pipeline.stalled = False
        self._answer_waiting(pipeline)
        self._dirty[pipeline] = None

    def deliver_event(self, pipeline: Pipeline, event: Event) -> None:
        if not pipeline.gone:
            pipeline.out.append(pipeline.codec.encode_event(event))
            self._dirty[pipeline] = None

    def collect(self, ready: Ready) -> None:
        """Move what is to be delivered into `ready`, one piece of bytes a connection."""
        here = self._brain.machine.zxid
        for pipeline in self._dirty:
            if pipeline.out:
                pipeline.counters.sent += len(pipeline.out)
                pipeline.counters.last_zxid = here
                self.sent += len(pipeline.out)
                ready.deliver.append((pipeline.connection, b"".join(pipeline.out)))
                pipeline.out.clear()
                pipeline.out_bytes = 0
        self._dirty.clear()
        if self._hang_ups:
            ready.hang_up, self._hang_ups = self._hang_ups, []
            for connection, _ in ready.hang_up:
                pipeline_gone = self.pipelines.get(connection)
                if pipeline_gone is not None:
                    self.detach(pipeline_gone)

    # ---- syncs

    @property
    def want_barrier(self) -> bool:
        """Whether a sync has come that no barrier was asked for yet."""
        return bool(self._to_ask)

    def ask_barriers(self) -> None:
        """Ask once for all syncs that came since the last time."""
        if self._to_ask:
            self._ticket += 1
            self._asked[self._ticket], self._to_ask = self._to_ask, []
            self._brain.participant.ask_barrier(self._ticket)

    def barrier_passed(self, ticket: int, zxid: int) -> None:
        syncs = self._asked.pop(ticket, None)
        if syncs is not None:
            self._passed.append((zxid, syncs))

    def release_syncs(self) -> None:
        """Answer the syncs whose zxid this server has reached."""
        if not self._passed:
            return
        here = self._brain.machine.zxid
        later: list[tuple[int, list[tuple[Pipeline, Call]]]] = []
        for zxid, syncs in self._passed:
            if zxid > here:
                later.append((zxid, syncs))
                continue
            for pipeline, call in syncs:
                if not pipeline.gone:
                    self._release(pipeline, call)
        self._passed = later

    def _release(self, pipeline: Pipeline, call: Call) -> None:
        request = call.request
        assert isinstance(request, Sync)
        frame = pipeline.codec.encode_reply(call, self._brain.machine.zxid, Synced(request.path))
        for place, item in enumerate(pipeline.waiting):
            if item is call:
                pipeline.waiting[place] = Answered(frame)
                break
        self._dirty[pipeline] = None
        self._answer_waiting(pipeline)

    def begin_service(self) -> None:
        """There is a leader (again): ask it what the last one was asked."""
        for syncs in self._asked.values():
            self._to_ask += syncs
        self._asked.clear()

    def open_lobby(self) -> None:
        """Let in who waited."""
        if not self._lobby:
            return
        lobby, self._lobby = self._lobby, {}
        for pipeline in lobby:
            if not pipeline.gone:
                assert pipeline.connect is not None, "who is in the lobby has said who he is"
                self.open(pipeline, pipeline.connect)


CLIENT_WRITES: frozenset[type] = frozenset(
    {Create, Delete, SetData, SetAcl, CheckVersion, Multi, DeleteContainer, CloseSession}
)
