"""One server's whole brain: clients' requests, peers' messages, finished disk steps and time go in; `take()` comes out.

Here the broadcast, the state machine, the pipelines of the clients and the watches meet. Rules of this file:
a batch is applied by every server in the same way, and only when it is committed; events of a change are queued before
anything that shows it; a reply is encoded before the next entry is applied, since it may show a live znode.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coord.codec.batch import encode_batch
from coord.codec.calls import Call
from coord.codec.entries import decode_runs, encode_run
from coord.codec.errors import CodecError
from coord.codec.native import encode_event_of, event_tail
from coord.model.acl import Identity
from coord.model.entries import Batch, Run, epoch_of
from coord.model.histogram import Histogram
from coord.model.message import message
from coord.model.replies import Change, Effect, Event, SessionEnded, SessionMoved
from coord.model.requests import CloseSession, ReapNode, RegisterServer, Write
from coord.paxos.effects import Append, Ballot
from coord.paxos.history import History
from coord.paxos.messages import Forward, Message, SnapshotChunk
from coord.paxos.participant import Participant
from coord.replica.clients import Clients
from coord.replica.figures import Sizes
from coord.replica.forwards import Forwards
from coord.replica.liveness import Liveness
from coord.replica.native_watches import NativeWatches
from coord.replica.pipeline import ClientCodec, Pipeline
from coord.replica.ready import Ready
from coord.replica.settings import ReplicaSettings
from coord.replica.watches import Watches
from coord.replica.window import Window
from coord.state.machine import Machine
from coord.state.snapshot import Restoring, SnapshotError

DIGESTS_KEPT = 256
"""Digests of the last so many batches, to compare with what the leader says of a position already passed."""


LEADERS_OWN = encode_run(Run(0, 0, 0, 0, 0, (), ()))[:6]
"""How a run begins that a leader proposed by itself: an array whose first five numbers are 0."""


class StateDiverged(Exception):
    """This server's state differs from its leader's at the same zxid: a defect, or rot in memory. It must not go on."""


@message
class PeerIdentity:
    """Who a connected peer says it is."""

    identity: int
    description: str


@dataclass(slots=True)
class _Duties:
    """What only a leader does; made anew with each leadership."""

    liveness: Liveness = field(default_factory=Liveness)
    registered: set[int] = field(default_factory=set)  # servers proposed to be remembered
    reaped_s: float = 0.0
    reaping: int = 0  # znodes to be reaped, proposed and not applied yet


class Replica:
    """See the module. `draw` gives random integers of so many bits: chance enters here and nowhere below."""

    def __init__(
        self,
        settings: ReplicaSettings,
        ballot: Ballot,
        history: History,
        machine: Machine,
        draw: Callable[[int], int],
        now: float,
        remains: Iterable[Batch] = (),
    ) -> None:
        """`remains`: what can still be read behind the end of a damaged log."""
        self.settings = settings
        self.server = settings.paxos.server
        self.machine = machine
        self.watches = Watches()
        self.native_watches = NativeWatches()
        self.window = Window(machine.zxid, settings.watch_window_bytes)
        self.forwards = Forwards()
        self.participant = Participant(settings.paxos, ballot, history, now, remains)
        self.clients = Clients(self, draw)
        self.participant.touched_here = self._take_touched
        self.participant.attended_here = self.clients.attended
        self.participant.strangers_here = self._strangers
        self.leaderless = Histogram()  # for how long this server had no leader, each time until it had one
        self.now = now
        self.wall_ms = 0
        self.serving_since_s = now
        self.digests: OrderedDict[int, int] = OrderedDict()  # of the latest batches, for comparison and for `hash`
        self.proposals = Sizes()  # of the batches this server proposed, in bytes
        self._effects: list[Effect] = []
        self._restoring: Restoring | None = None
        self._servers_logged: dict[int, tuple[int, str]] = {}  # by what the log says, applied or not
        self._servers_looked_to = 0  # so far the log was looked through for them
        self._servers_known = -1  # how many the machine remembered when strangers were last looked for
        self._service = 0  # the participant's, as it was when forwards were last looked through
        self._initial_zxid = 0  # where the history ended when this server began to serve under the present leader
        self._duties: _Duties | None = None
        self._peers: dict[int, PeerIdentity] = {}
        self._ticked_s = now
        self._notes: list[str] = []
        self._find_strangers()

    # ---- inputs: clients

    def attach(self, connection: int, codec: ClientCodec, identities: tuple[Identity, ...], address: str) -> Pipeline:
        """A client has connected; it has said nothing yet."""
        return self.clients.attach(connection, codec, identities, address)

    def detach(self, pipeline: Pipeline) -> None:
        """Its connection is gone. The session lives on until its timeout."""
        self.clients.detach(pipeline)

    def submit(self, pipeline: Pipeline, calls: Sequence[Call]) -> None:
        """Requests of one client, in order."""
        self.clients.submit(pipeline, calls)

    # ---- inputs: peers, disk, time

    def connected(self, peer: int, who: PeerIdentity, now: float) -> None:
        self.now = now
        self._peers[peer] = who
        self._find_strangers()
        self.participant.connected(peer, now)

    def disconnected(self, peer: int, now: float) -> None:
        self.now = now
        self._peers.pop(peer, None)
        self.participant.disconnected(peer, now)

    def receive(self, peer: int, message: Message, now: float) -> None:
        self.now = now
        if type(message) is SnapshotChunk:
            self._receive_chunk(peer, message)
        elif type(message) is Forward and (wrong := _wrong_with(peer, message)):
            self.participant.broken.append((peer, wrong))
        else:
            if type(message) is Forward and self._duties is not None:
                self._duties.liveness.hear_writers(message.read, self.machine.sessions, now)
            self.participant.receive(peer, message, now)

    def durable(self, serial: int, now: float) -> None:
        self.now = now
        self.participant.durable(serial, now)

    def streamed(self, peer: int, epoch: int, position: int, now: float) -> None:
        self.now = now
        self.participant.streamed(peer, epoch, position, now)

    def tick(self, now: float, wall_ms: int) -> None:
        """Time has passed: heartbeats, timeouts, expiry. `wall_ms` is Unix time, for timestamps only."""
        pause_s = now - self._ticked_s
        self._ticked_s = self.now = now
        self.wall_ms = wall_ms
        self.participant.tick(now)
        self.clients.latencies.tick(now)
        if len(self.machine.servers) != self._servers_known:
            self._find_strangers()
        if self.participant.leads:
            self._lead(pause_s)
        else:
            self._duties = None
        if self.participant.serving:
            self.serving_since_s = now
        else:
            self.clients.let_go(now - self.serving_since_s)

    def was_stopped(self, now: float) -> None:
        """To be told before `tick` when this process did not run for a while: nobody is to be blamed for it."""
        self.participant.was_stopped(now)

    # ---- output

    def take(self, now: float, wall_ms: int) -> Ready | None:
        """What is to be done now; call again until there is nothing.

        What others wait for (batches, acknowledgements) comes first; only when there is none of that are committed
        entries applied here and clients answered.
        """
        self.now = now
        self.wall_ms = wall_ms
        participant, clients = self.participant, self.clients
        if participant.service != self._service:
            self._begin_service()
        if participant.serving and (self.forwards.unsent or clients.syncs.want_barrier):
            self._forward()
        if participant.wants_to_propose:
            machine = self.machine
            time_ms = max(wall_ms, participant.log.time_ms, machine.time_ms)
            participant.propose(time_ms, machine.zxid, machine.digest, now)
        ready = Ready()
        output = participant.take()
        if output is not None:
            ready.of_protocol(output)
            for step in output.steps:
                if type(step) is Append and not step.batch.encoded:
                    self.proposals.note(len(encode_batch(step.batch)))
        if participant.broken:
            ready.break_peers, participant.broken = participant.broken, []
        others_wait = output is not None or bool(ready.break_peers)
        if not others_wait:
            self._apply_committed()
        unapplied = self.machine.zxid < participant.log.commit
        if not others_wait or not (ready.serial or unapplied):
            self._let_go_on()
        clients.collect(ready)
        if self._notes or participant.notes:
            ready.notes = self._take_notes()
        ready.last = not (ready.serial or unapplied or self.forwards.unsent or clients.syncs.want_barrier)
        if others_wait or unapplied or ready.deliver or ready.hang_up or ready.notes:
            return ready
        return None

    def _let_go_on(self) -> None:
        """Those clients who waited for what has come meanwhile."""
        clients = self.clients
        if clients.lobby and self.admits:
            clients.open_lobby()
        for ticket, zxid in self.participant.take_barriers():
            clients.barrier_passed(ticket, zxid)
        clients.release_syncs()

    @property
    def admits(self) -> bool:
        """Whether this server serves, and shows all that the last leader had committed: clients may come in."""
        return self.participant.serving and self.machine.zxid >= self._initial_zxid

    def unready(self, now: float) -> str:
        """Why no write could be committed through this server at this moment, as far as it knows; empty if it could."""
        missing = self._initial_zxid - self.machine.zxid
        return self.participant.unready(now) or (
            f"this server has still to apply {missing} entries that were committed before it began to serve"
            if missing > 0
            else ""
        )

    def _forward(self) -> None:
        for count, runs in self.forwards.take_unsent():
            self._propose(count, runs)
        self.clients.ask_barriers()

    def _begin_service(self) -> None:
        """A leader is established (again): what the new history lacks of ours is forwarded anew, in order."""
        self._service = self.participant.service
        self._initial_zxid = self.participant.log.commit
        self._duties = None
        self.leaderless.note(self.now - self.serving_since_s)
        applied = self._last_applied_of_mine()
        for lost in self.forwards.lost_upto(applied):
            if lost.pipeline is not None:
                self.clients.skipped(lost.pipeline)
        again = self.forwards.resubmit_after(self._last_logged_of_mine(applied))
        if again:
            self._notes.append(f"forwarding {again} requests again to the new leader")
        self.clients.begin_service()

    def _last_applied_of_mine(self) -> int:
        incarnation, sequence = self.machine.origins.get(self.server, (0, 0))
        return sequence if incarnation == self.settings.incarnation else 0

    def _last_logged_of_mine(self, applied: int) -> int:
        """The last sequence number of ours that is in the history, applied or not."""
        last = applied
        if not self.forwards:
            return last  # after a start the log may be long, but nothing in it is this process's
        for batch in self.participant.log.after(self.machine.zxid) or ():
            for run in decode_runs(batch.body):
                if run.origin == self.server and run.incarnation == self.settings.incarnation:
                    last = max(last, run.sequence + len(run.requests) - 1)
        return last

    # ---- applying

    def _apply_committed(self) -> None:
        log, machine = self.participant.log, self.machine
        if machine.zxid >= log.commit:
            return
        batches = log.after(machine.zxid, log.commit)
        assert batches is not None, f"what follows {machine.zxid:#x} is not in memory, but was not applied"
        budget = self.settings.apply_entries_max
        for batch in batches:
            self._apply(batch)
            budget -= batch.count
            if budget <= 0:
                break
        log.trim(machine.zxid, self.settings.history_bytes_max)

    def _apply(self, batch: Batch) -> None:
        """Apply one committed batch: entry by entry the state machine, the watches, the reply if it is ours."""
        self._check_digest(batch)
        machine, effects, clients = self.machine, self._effects, self.clients
        apply, time_ms, zxid = machine.apply, batch.time_ms, batch.first
        data_watches, child_watches = self.watches.tables
        native_watches, window = self.native_watches.by_path, self.window
        zxids, changes = window.latest.zxids, window.latest.changes
        me, incarnation = self.server, self.settings.incarnation
        answered = clients.latencies.answered
        runs, batch.read = batch.read or decode_runs(batch.body), ()
        for run in runs:
            mine = run.origin == me and run.incarnation == incarnation
            if not machine.admit(run):
                for _ in run.requests:
                    machine.skip(zxid, time_ms)
                    zxid += 1
                continue
            pipeline = None
            if mine:
                forwarded = self.forwards.applied(run.sequence)
                pipeline = forwarded.pipeline
                if pipeline is not None and not pipeline.gone:
                    requests = run.requests
                    kinds = (type(requests[0]),) if len(requests) == 1 else tuple(map(type, requests))
                    answered.append((forwarded.since_s, kinds))
            number = run.number
            for request in run.requests:
                if number:
                    reply = apply(zxid, time_ms, run, request, effects, number)
                    number += 1
                else:
                    reply = apply(zxid, time_ms, run, request, effects)
                if effects:
                    if len(effects) == 1 and type(effects[0]) is Change:
                        zxids.append(zxid)
                        changes += effects  # type: ignore[arg-type]
                    else:
                        window.add(zxid, effects)
                    if data_watches or child_watches or native_watches or type(effects[-1]) is not Change:
                        self._tell(effects, zxid)
                    effects.clear()
                if pipeline is not None:
                    clients.answer_write(pipeline, request, reply)
                zxid += 1
            if not run.origin and self._duties is not None and type(run.requests[0]) is ReapNode:
                self._duties.reaping -= 1
        assert zxid == batch.last + 1, f"a batch of {batch.count} entries held {zxid - batch.first}"
        commit = self.participant.log.commit
        if epoch_of(commit) == batch.epoch and window.is_outrun_by(commit - batch.last):
            window.restart(batch.last)
        else:
            window.settle()
        self.digests[machine.zxid] = machine.digest
        if len(self.digests) > DIGESTS_KEPT:
            self.digests.popitem(last=False)
        if machine.notices:
            self._notes += machine.notices
            machine.notices.clear()

    def _check_digest(self, batch: Batch) -> None:
        machine, zxid = self.machine, batch.digest_zxid
        mine = machine.digest if zxid == machine.zxid else self.digests.get(zxid)
        if mine is not None and mine != batch.digest:
            raise StateDiverged(
                f"at zxid {zxid:#x} this server's state has the digest {mine:016x}, its leader's {batch.digest:016x}: "
                "stop it, move its data folder away and let it copy the state anew, and report this with both folders"
            )

    def _tell(self, effects: Sequence[Effect], zxid: int) -> None:
        """Queue the events of one entry, before anything that shows its state."""
        for effect in effects:
            kind = type(effect)
            if kind is Change:
                self._fire(effect, zxid)  # type: ignore[arg-type]
            else:
                _ON_SESSION[kind](self, effect)

    def _fire(self, change: Change, zxid: int) -> None:
        may_read, deliver = self.machine.may_read, self.clients.deliver_event
        event = Event(-1, "", zxid)
        for watcher, kind, path, acl in self.watches.fire(change):
            assert isinstance(watcher, Pipeline)
            if may_read(watcher.identities, acl):
                if kind != event.kind:  # a change has one event of a kind, whoever watches
                    event = Event(kind, path, zxid)
                deliver(watcher, event)
        if self.native_watches.by_path:
            tails: dict[int, bytes] = {}  # by kind, which tells whether it is of the znode or of its parent
            for watch, kind, path, acl in self.native_watches.fire(change):
                pipeline = watch.watcher
                assert isinstance(pipeline, Pipeline)
                if may_read(pipeline.identities, acl):
                    tail = tails.get(kind)
                    if tail is None:
                        tail = tails[kind] = event_tail(zxid, kind, path, change.cause)
                    self.clients.deliver_native(pipeline, encode_event_of(watch.id, tail))

    def _on_session_ended(self, ended: SessionEnded) -> None:
        if self._duties is not None:
            self._duties.liveness.forget(ended.session)
        if ended.expired:
            self.clients.session_expired(ended.session)

    def _on_session_moved(self, moved: SessionMoved) -> None:
        if self._duties is not None:
            session = self.machine.sessions.get(moved.session)
            if session is not None:
                self._duties.liveness.track(moved.session, session.timeout_ms, self.now)
        if moved.owner != self.server:
            self.clients.session_moved(moved.session, moved.owner)

    # ---- a snapshot in the place of the log

    def _receive_chunk(self, peer: int, chunk: SnapshotChunk) -> None:
        """Take a part of a snapshot; nothing of the old state is given up before the new one is whole and verified."""
        participant = self.participant
        if participant.leads or (participant.leader, participant.epoch) != (peer, chunk.epoch):
            return
        if chunk.index == 0:
            self._restoring = Restoring()
        machine = None
        try:
            if self._restoring is not None:
                self._restoring.add(chunk.data)
            if self._restoring is not None and chunk.final:
                machine, self._restoring = self._restoring.finish(), None
                if machine.zxid != chunk.zxid:
                    raise SnapshotError(f"it is of {machine.zxid:#x}, not of {chunk.zxid:#x}")
        except SnapshotError as error:
            self._restoring = None
            participant.broken.append((peer, f"the snapshot it sends is not usable: {error}"))
            return
        participant.receive(peer, chunk, self.now)  # which may find that it does not fit
        if machine is not None and participant.log.floor == participant.log.last == machine.zxid:
            self._replace_machine(machine)

    def _replace_machine(self, machine: Machine) -> None:
        self.machine = machine
        self.digests.clear()
        self.window.restart(machine.zxid)
        self._find_strangers()
        self.clients.state_replaced()
        self._notes.append(f"took the state at {machine.zxid:#x} from the leader's snapshot")

    # ---- a leader's duties

    def _lead(self, pause_s: float) -> None:
        machine, now = self.machine, self.now
        duties = self._duties
        if duties is None:
            if machine.zxid < self._initial_zxid:
                return  # sessions are tracked when the initial history has been applied
            duties = self._duties = _Duties(reaped_s=now)
            for session in machine.sessions.values():
                duties.liveness.track(session.id, session.timeout_ms, now)
        if pause_s > self.settings.paxos.leader_timeout_s / 2:
            duties.liveness.restart(now)
        duties.liveness.hear(self.participant.take_touched(), now)
        duties.liveness.hear(self._take_touched(), now)
        if machine.zxid >= self.participant.log.commit:  # else some may have ended, or go on, by what is not applied
            for identifier in duties.liveness.overdue(now):
                if identifier in machine.sessions:
                    self._propose_own(CloseSession(identifier, expired=True))
        # What is still under way is due as well: where writes go slowly there would be more and more of it.
        if now - duties.reaped_s >= self.settings.reap_interval_s and duties.reaping <= 0:
            duties.reaped_s = now
            never_used_ms = int(self.settings.container_never_used_s * 1000)
            for reap in machine.reapable(self.wall_ms, never_used_ms, self.settings.reaped_at_once_max):
                duties.reaping += 1
                self._propose_own(reap)
        self._register(duties)

    def _register(self, duties: _Duties) -> None:
        """Have the ensemble remember who runs under which id, once."""
        mine = PeerIdentity(self.settings.identity, self.settings.description)
        for server, who in ((self.server, mine), *self._peers.items()):
            if server not in self.machine.servers and server not in duties.registered:
                duties.registered.add(server)
                self._propose_own(RegisterServer(server, who.identity, who.description))

    def expiring(self) -> list[tuple[float, list[int]]] | None:
        """When which sessions expire, by the clock of `now`; None unless this server leads."""
        return None if self._duties is None else self._duties.liveness.expiring()

    def _propose_own(self, request: Write) -> None:
        """A write of the leader itself. Bound to its epoch: should that end first, it is forgotten (T31)."""
        self._propose(1, encode_run(Run(0, 0, 0, 0, 0, (), (request,))))

    def _propose(self, count: int, runs: bytes) -> None:
        """Through the leader. If that is this server it applies what is read here, as it does what others forward."""
        participant = self.participant
        forwarded = participant.forward(count, runs, decode_runs(runs) if participant.leads else ())
        assert forwarded, "a server that serves has a leader"

    def _find_strangers(self) -> None:
        self._servers_known = len(self.machine.servers)
        self.participant.set_strangers(self._strangers())

    def _strangers(self) -> frozenset[int]:
        """Peers that run under another server's id: a replaced data folder, whose promises are lost (I12)."""
        known = self._logged_servers() | self.machine.servers
        strangers = frozenset(
            peer for peer, who in self._peers.items() if peer in known and known[peer][0] != who.identity
        )
        if self.server in known and known[self.server][0] != self.settings.identity:
            strangers |= {self.server}
        return strangers

    def _logged_servers(self) -> dict[int, tuple[int, str]]:
        """Who the log knows beyond what is applied: before there is a leader nobody can tell what is committed.

        Each batch is looked at once. One that is cut off later may leave a name behind, which costs a vote and no more.
        """
        log, here = self.participant.log, self.machine.zxid
        batches = log.after(max(here, self._servers_looked_to))
        for batch in (log.after(here) or ()) if batches is None else batches:  # if that was cut off, all of it
            body = batch.body
            if LEADERS_OWN not in body:
                continue  # a log may be long: nearly all of it is passed over without being decoded
            for run in decode_runs(body):
                for request in run.requests if not run.session else ():
                    if type(request) is RegisterServer:
                        self._servers_logged[request.server] = request.identity, request.description
        self._servers_looked_to = log.last
        return self._servers_logged

    def _take_touched(self) -> tuple[int, ...]:
        return self.clients.take_touched()

    def note(self, sentence: str) -> None:
        self._notes.append(sentence)

    def _take_notes(self) -> list[str]:
        notes, self._notes = self._notes + self.participant.notes, []
        self.participant.notes = []
        return notes

    def __repr__(self) -> str:
        return f"<Replica {self.server}, {self.participant!r}, applied {self.machine.zxid:#x}>"


def _wrong_with(peer: int, forward: Forward) -> str:
    """Why these runs cannot be proposed; empty if they can. In the log they would end every server, at each start."""
    try:
        forward.read = decode_runs(forward.runs)
    except CodecError as error:
        return f"the requests it forwards cannot be read: {error}"
    entries = sum([len(run.requests) for run in forward.read])
    if not entries:
        return "it forwards nothing"  # a batch of nothing could not be read again
    if {run.origin for run in forward.read} != {peer}:
        return "it forwards requests of other servers' clients"
    return "" if entries == forward.count else f"it forwards {entries} requests, and says they are {forward.count}"


_ON_SESSION: dict[type, Callable[[Replica, Any], None]] = {
    SessionEnded: Replica._on_session_ended,
    SessionMoved: Replica._on_session_moved,
}
