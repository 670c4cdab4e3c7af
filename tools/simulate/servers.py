"""One server of a simulated ensemble: the real replica, fed and pumped as coord.server.driver does it.

Its clock runs at a rate of its own and its wall clock stands anywhere. It dies when its disk fails, as a real process
does, and starts again later from what the disk reads back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from coord.codec.entries import decode_runs
from coord.codec.peer import PROTOCOL_VERSION, Hello, encode
from coord.model.requests import AttachSession
from coord.paxos.durable import FetchRequest
from coord.paxos.effects import InstallSnapshot, TruncateLog
from coord.paxos.history import History
from coord.paxos.messages import (
    AskBarrier,
    Barrier,
    Canvass,
    Fetched,
    Forward,
    HeartbeatReply,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
)
from coord.paxos.messages import History as HistoryMessage
from coord.paxos.participant import FOLLOWING, PaxosSettings
from coord.replica.ready import Ready
from coord.replica.replica import PeerIdentity, Replica
from coord.replica.settings import ReplicaSettings
from coord.server.driver import STOPPED_AGAIN_S, STOPPED_S
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from coord.storage.errors import StorageFailure
from coord.storage.memory import PowerCut
from tools.simulate.disks import OPERATIONS_AHEAD, ServerDisk
from tools.simulate.ghost import Violation
from tools.simulate.honesty import check_barrier, check_said_now, check_said_when_durable
from tools.simulate.kept import Durable, Kept
from tools.simulate.network import Link, Network
from tools.simulate.situations import HUNG_UP, NOTED
from tools.simulate.spares import Spares
from tools.simulate.stage import Stage
from tools.simulate.streams import Streams

TICK_S = 0.05
CHANGES_HISTORY = (TruncateLog, InstallSnapshot)
LOOKED_AT_EVERY = 3
"""At one in so many positions the whole state is looked at when a snapshot is taken: a look takes as long as a walk."""
IMAGE_EVERY = 60
"""After one in so many writes the disk's image is cut and read back."""


class ClientEnd(Protocol):
    """A client's connection, as its server knows it."""

    def deliver(self, frames: bytes) -> None: ...
    def hang_up(self) -> None: ...
    def break_off(self) -> None: ...


@dataclass(slots=True)
class Seen:
    """What the invariants remember of one life of a server."""

    commit: int = 0
    applied: int = 0
    machine: Machine | None = None  # whose whole state was looked at when it came
    promised: int = 0
    leading: int = 0  # the epoch in which it was last seen leading
    leading_since_s: float = 0.0  # on its own clock
    broadcast: int = 0  # the last epoch of which it was seen to send a batch
    heard_s: dict[int, float] = field(default_factory=dict)  # by session, while it leads
    receiving: bool = False  # a snapshot has begun to come
    overdue: dict[int, None] = field(default_factory=dict)  # sessions that were silent for their timeout
    spares: Spares = field(default_factory=Spares)


class SimulatedServer:
    """One server's process, its disk, its clocks."""

    def __init__(
        self,
        stage: Stage,
        network: Network,
        number: int,
        voters: frozenset[int],
        ensemble: tuple[int, ...],
        check: "Callable[[SimulatedServer, Ready | None], None]",
    ) -> None:
        self.stage = stage
        self.network = network
        self.number = number
        self.voters = voters
        self.ensemble = ensemble
        self.priority = stage.rng.choice((0, 0, 0, 1))
        self.disk = ServerDisk(number, stage.rng.getrandbits(63) | 1, stage.plan.store, stage.situations)
        self.life = 0
        self.replica: Replica | None = None
        self.paused = False
        self.stops_s = 0.0  # it stops for so long before the next thing it does about an output, wherever that is
        self.interrupts_a_snapshot = False  # the next one that it sends breaks off
        self.dies_changing_history = False  # the next time that its log is to be cut, or replaced
        self.former: Kept | None = None  # what its disk held before it was replaced: its vote must never count again
        self.seen = Seen()
        self.asked: dict[int, int] = {}  # what was committed when it asked for a barrier, by ticket
        self.links: dict[int, Link] = {}
        self.clients: dict[int, ClientEnd] = {}
        self.latency_s = stage.plan.latency_s
        self.wall_skew_ms = 0
        self.rate = self.usual_rate = 1.0 + stage.rng.uniform(-stage.plan.drift, stage.plan.drift)
        self._check = check
        self._offset_s = 0.0
        self._backlog: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self._pumping = False
        self._streams = Streams(self)
        self._taking: list[Callable[[], None]] | None = None  # who waits for the snapshot under way
        self._ticked_s = 0.0
        self._excused_until_s = 0.0
        self._writes = 0

    def __repr__(self) -> str:
        return f"server {self.number}: {self.replica if self.replica else 'down'}{' (paused)' if self.paused else ''}"

    @property
    def up(self) -> bool:
        return self.replica is not None

    @property
    def now(self) -> float:
        """Its monotonic clock."""
        return self.stage.now * self.rate + self._offset_s

    def drift(self, rate: float) -> None:
        """From now on its monotonic clock runs at this rate."""
        self._offset_s += self.stage.now * (self.rate - rate)
        self.rate = rate

    @property
    def wall_ms(self) -> int:
        return max(0, 1_000_000 + int(self.stage.now * 1000) + self.wall_skew_ms)

    @property
    def vouched(self) -> Kept:
        """What counts in a quorum: of a server whose disk was replaced that which it said before."""
        return self.former if self.former is not None else self.disk.kept

    # ---- life and death

    def start(self) -> None:
        """As coord.server.serve does it: the state of the newest snapshot, and the log."""
        if self.replica is not None:
            return
        stage, plan, disk = self.stage, self.stage.plan, self.disk
        rng = stage.rng
        try:
            again = rng.random() < 0.05 and not stage.calm
            store = disk.open(rng.randint(0, OPERATIONS_AHEAD) if again else -1)
        except (PowerCut, StorageFailure) as error:
            stage.situations["a start was cut short"] += 1
            stage.say("start failed", self.number, repr(error))
            disk.die(rng, power_cut=isinstance(error, PowerCut))
            stage.at(rng.uniform(0.05, 0.5), self.start)
            return
        self.life += 1
        self._offset_s = rng.uniform(0, 1000)
        recovered, machine = store.recovered, Machine()
        if recovered.snapshot_zxid:
            restoring = Restoring()
            for chunk in store.snapshot_chunks(recovered.snapshot_zxid):
                restoring.add(chunk)
            machine = restoring.finish()
        floor, batches = recovered.snapshot_zxid, recovered.batches
        committed = max([floor, *(batch.digest_zxid for batch in batches)])
        history = History(floor, batches, recovered.ends, committed, recovered.log_start)
        paxos = PaxosSettings(
            server=self.number, voters=self.voters, cluster_if_new=rng.getrandbits(63) | 1, priority=self.priority,
            limits=plan.limits,
        )  # fmt: skip
        settings = ReplicaSettings(
            paxos=paxos, incarnation=rng.getrandbits(63) | 1, identity=store.ballot.identity, description="",
            session_timeout_min_ms=500, history_bytes_max=plan.history_bytes_max,
            apply_entries_max=rng.choice((1, 20_000)), reap_interval_s=0.5, container_never_used_s=0.5,
        )  # fmt: skip
        self.seen = Seen(commit=floor, applied=floor, promised=store.ballot.promised)
        remains = recovered.damage.later if recovered.damage is not None else ()
        self.replica = Replica(settings, store.ballot, history, machine, rng.getrandbits, self.now, remains)
        self._pumping = False
        self._taking = None
        self._backlog = []
        self._ticked_s = self.now
        self._excused_until_s = 0.0
        self.at(rng.uniform(0, TICK_S), self.tick)
        self.feed()

    def die(self, *, power_cut: bool) -> None:
        """The process ends here and now; someone else starts it again."""
        if self.replica is None:
            return
        self.stage.say("power cut" if power_cut else "killed", self.number)
        self.replica = None
        self.paused = False
        self.stops_s = 0.0
        self._backlog = []
        self.disk.die(self.stage.rng, power_cut=power_cut)
        self.network.break_links_of(self.number)
        self.links.clear()
        for connection in list(self.clients.values()):
            connection.break_off()
        self.clients.clear()

    def start_later(self, within_s: float, after_s: float = 0.0) -> None:
        life = self.life

        def start() -> None:
            if self.life == life:
                self.start()

        self.stage.at(self.stage.rng.uniform(after_s, within_s), start)

    def _disk_failed(self, failure: StorageFailure) -> None:
        """Any failure of the disk is the process's end (T21)."""
        self.stage.situations["a server stopped because its disk failed"] += 1
        self.stage.say("disk failed", self.number, str(failure))
        self.die(power_cut=self.stage.rng.random() < 0.5)
        self.start_later(0.8)

    # ---- inputs

    def at(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Call this later, unless this life has ended by then."""
        self.stage.at(delay_s, partial(self._then, self.life, function, *arguments))

    def _then(self, life: int, function: Callable[..., None], *arguments: object) -> None:
        if self.life == life and self.replica is not None:
            self.input(function, *arguments)

    def input(self, function: Callable[..., None], *arguments: object) -> None:
        """Something happens at this server; a paused one learns of it when it goes on."""
        if self.replica is None:
            return
        if self.paused:
            if function != self.tick or not any(waiting == self.tick for waiting, _ in self._backlog):
                self._backlog.append((function, arguments))
            return
        try:
            function(*arguments)
        except StorageFailure as failure:  # what was to be read has rotted
            self._disk_failed(failure)
        if self.replica is None:
            return
        if function != self.pump:
            self.feed()
        self._check(self, None)

    def pause(self, seconds: float) -> None:
        """It does not run for a while, and finds all that arrived meanwhile."""
        self.paused = True
        life = self.life
        self.stage.say("pause", self.number)
        self.stage.at(seconds, lambda: self.resume() if self.life == life else None)

    def resume(self) -> None:
        if self.replica is None or not self.paused:
            return
        self.paused = False
        self.stage.say("resume", self.number)
        backlog, self._backlog = self._backlog, []
        for function, arguments in backlog:
            self.input(function, *arguments)

    def feed(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.at(self.stage.rng.choice((0.0, 0.0001, 0.001)), self.pump)

    def tick(self) -> None:
        replica, now = self.replica, self.now
        assert replica is not None
        if now - self._ticked_s - TICK_S > STOPPED_S and now > self._excused_until_s:
            self.stage.situations["a server found that it had not run"] += 1
            replica.was_stopped(now)
            self._excused_until_s = now + STOPPED_AGAIN_S
        if replica.participant.leads:
            self._note_overdue(replica, now)
        self._ticked_s = now
        self.seen.spares.ticks += 1
        replica.tick(now, self.wall_ms)
        self.at(TICK_S / self.rate, self.tick)
        store = self.disk.store
        assert store is not None
        if store.bytes_since_snapshot > self.stage.plan.snapshot_after_bytes and self._taking is None:
            self.take_snapshot(_nothing)

    def heard(self, session: int) -> None:
        """For I17: word of a session has reached this server."""
        self.seen.heard_s[session] = self.now

    def _hear_writers(self, message: Forward, replica: Replica) -> None:
        """For I17: a follower may answer these before their leader knows that they are committed."""
        for run in decode_runs(message.runs):
            self.heard(run.session)
            for request in run.requests:
                if isinstance(request, AttachSession):
                    session = replica.machine.sessions.get(request.session)
                    if session is not None and session.password == request.password:
                        self.heard(session.id)

    def _note_overdue(self, replica: Replica, now: float) -> None:
        """For I17: who was silent for the whole of its timeout may be expired from this tick on, and nobody else.

        A session seen for the first time was not there at the last tick.
        """
        seen = self.seen
        for session in replica.machine.sessions.values():
            heard_s = max(seen.heard_s.setdefault(session.id, self._ticked_s), seen.leading_since_s)
            if now - heard_s >= session.timeout_ms / 1000:
                seen.overdue[session.id] = None

    # ---- output, in the order in which coord.server.driver does it

    def pump(self) -> None:
        replica = self.replica
        assert replica is not None
        while (ready := replica.take(self.now, self.wall_ms)) is not None:
            self._check(self, ready)
            if self.stops_s and (ready.send_now or ready.deliver):
                self._stop_within(ready)
                return
            self._perform(ready)
            if ready.last:
                if replica.take(self.now, self.wall_ms) is not None:
                    raise Violation(f"L4: server {self.number} had more to do than it said, and nobody would wake it")
                break
        self._pumping = False

    def probe(self) -> None:
        """Ask for a barrier, for nobody."""
        assert self.replica is not None
        self.replica.clients.syncs.probe(lambda: None)

    def _stop_within(self, ready: Ready) -> None:
        """Stand still between two lines of what the driver does: what was decided is done when much has changed."""
        self.stage.situations["a server stopped between deciding and telling"] += 1
        seconds, self.stops_s = self.stops_s, 0.0
        rest = self._perform
        if ready.deliver:
            self._tell_peers(ready)
            rest = self._tell_clients
        self.pause(seconds)
        self._backlog += [(rest, (ready,)), (self.pump, ())]

    def _perform(self, ready: Ready) -> None:
        self._tell_peers(ready)
        self._tell_clients(ready)

    def _tell_peers(self, ready: Ready) -> None:
        stage, situations = self.stage, self.stage.situations
        for peer, message in ready.send_now:
            kind = type(message)
            if isinstance(message, Canvass):
                check_said_now(self.number, message, self.disk.kept.durable())
            elif kind is HistoryMessage:
                situations["history was sent from memory"] += 1
            elif kind is Refusal:
                situations["a promise was refused"] += 1
            elif kind is NeedSnapshot:
                situations["a snapshot was asked for"] += 1
            elif isinstance(message, AskBarrier):
                self.asked[message.ticket] = stage.ghost.last
            self.send(peer, message)
        if ready.serial:
            self._store(ready)
        for request in ready.stream:
            self._streams.start(request)
        for fetch in ready.fetches:
            self.at(stage.rng.uniform(0, 0.01), self._fetch, fetch)
        for peer, why in ready.break_peers:
            stage.say("break", self.number, peer, why)
            situations["messages did not fit together"] += 1
            if peer in self.links:
                link = self.links[peer]
                self.link_down(peer, link)
                self.network.break_link(self.number, peer, link)

    def _tell_clients(self, ready: Ready) -> None:
        stage, situations = self.stage, self.stage.situations
        for connection, frames in ready.deliver:
            client = self.clients.get(connection)
            if client is not None:
                client.deliver(frames)
        for connection, why in ready.hang_up:
            client = self.clients.pop(connection, None)
            if client is not None:
                situations["hung up: " + HUNG_UP.get(why[:18], "other")] += 1
                client.hang_up()
        for note in ready.notes:
            stage.say("note", self.number, note)
            for start, situation in NOTED.items():
                if start in note:
                    situations[situation] += 1

    def _store(self, ready: Ready) -> None:
        later = [(self.links[peer], peer, message) for peer, message in ready.send_when_durable if peer in self.links]
        serial, life = ready.serial, self.life

        def told() -> None:
            assert self.replica is not None
            for link, peer, message in later:
                self.send_through(link, peer, message)
            log, committed = self.replica.participant.log, self.replica.participant.log.commit
            self.replica.durable(serial, self.now)
            if self.replica.participant.role == FOLLOWING and log.commit > committed:
                self.stage.situations["a follower committed by itself"] += 1

        def when_durable(durable: Durable) -> None:
            for _, peer, message in later:
                check_said_when_durable(self.number, peer, message, durable)
                if isinstance(message, Promise) and message.suspect:
                    self.stage.situations["a promise told of entries that cannot be shown"] += 1
            if self.life == life:
                self.input(told)

        if self.disk.submit(ready.steps, when_durable):
            self._flush()
        if self.dies_changing_history and any(isinstance(step, CHANGES_HISTORY) for step in ready.steps):
            self.dies_changing_history = False
            self.at(0.0, self._die_here)

    def _die_here(self) -> None:
        self.die(power_cut=True)
        self.start_later(0.5)

    def _flush(self) -> None:
        life = self.life

        def flushed() -> None:
            if self.life != life or self.replica is None:
                return
            self._writes += 1
            if self._writes % IMAGE_EVERY == 0:
                self.disk.check_image(self.stage.rng)
            try:
                done = self.disk.end_flush()
            except StorageFailure as failure:
                self._disk_failed(failure)
                return
            for then, durable in done:
                then(durable)
            if self.disk.begin_flush():
                self._flush()

        self.stage.at(self.stage.rng.uniform(*self.latency_s), flushed)

    def send(self, peer: int, message: Message) -> None:
        link = self.links.get(peer)
        if link is not None:
            self.send_through(link, peer, message)

    def send_through(self, link: Link, peer: int, message: Message) -> None:
        self.network.send(self.number, peer, link, encode(message))

    # ---- peers

    def hello(self) -> bytes:
        assert self.replica is not None
        participant = self.replica.participant
        owns = participant.log.last or participant.ballot.suspect
        return encode(
            Hello(
                protocol_version=PROTOCOL_VERSION,
                cluster=participant.ballot.cluster if owns else 0,
                server=self.number,
                identity=self.disk.identity,
                voters=tuple(sorted(self.voters)),
                servers=self.ensemble,
                description="",
            )
        )

    def frame_came(self, peer: int, link: Link, frame: bytes) -> None:
        replica = self.replica
        assert replica is not None
        if self.number in link.left:
            return
        for message in link.decoders[self.number].feed(frame):
            self.stage.say("receive", self.number, peer, message)
            if isinstance(message, Hello):
                self._greeted(peer, link, message)
            elif self.links.get(peer) is link:
                if isinstance(message, Prepare) and replica.participant.leads:
                    self.stage.situations["a leader was superseded"] += 1
                elif isinstance(message, HeartbeatReply):
                    for session in message.touched:
                        self.heard(session)
                elif isinstance(message, Forward) and replica.participant.leads:
                    self._hear_writers(message, replica)
                elif isinstance(message, SnapshotChunk):
                    self._note_chunk(message)
                elif isinstance(message, Barrier):
                    check_barrier(self.number, message, replica.participant.epoch, self.asked)
                replica.receive(peer, message, self.now)  # type: ignore[arg-type]

    def _note_chunk(self, message: SnapshotChunk) -> None:
        seen = self.seen
        if message.index == 0 and seen.receiving:
            self.stage.situations["a snapshot began in the middle of another"] += 1
        seen.receiving = not message.final

    def _greeted(self, peer: int, link: Link, hello: Hello) -> None:
        assert self.replica is not None
        participant = self.replica.participant
        mine = participant.ballot.cluster if participant.log.last else 0
        if hello.cluster and mine and hello.cluster != mine:
            raise Violation(f"I8: servers {peer} and {self.number} are of two ensembles, each with a history")
        former = self.links.get(peer)
        if former is not None:  # it is closed, even should this be the older one
            self.link_down(peer, former)
            self.network.break_link(self.number, peer, former)
        self.links[peer] = link
        self.replica.connected(peer, PeerIdentity(hello.identity, hello.description), self.now)

    def link_down(self, peer: int, link: Link) -> None:
        link.left.add(self.number)
        if self.links.get(peer) is link:
            del self.links[peer]
            assert self.replica is not None
            self.stage.say("link down", self.number, peer)
            self.replica.disconnected(peer, self.now)

    def _fetch(self, request: FetchRequest) -> None:
        """Another server has lost something."""
        store = self.disk.store
        assert store is not None
        for batch in reversed(store.read_back(request.upto, request.above, self.stage.rng.randint(1, 2000))):
            self.send(request.peer, Fetched(batch))
            self.stage.situations["a lost batch was given back"] += 1

    # ---- snapshots, as coord.server.snapshots takes them

    def take_snapshot(self, then: Callable[[], None]) -> None:
        """Walk the machine while it goes on changing; several who want a snapshot get the same."""
        replica, disk, stage = self.replica, self.disk, self.stage
        assert replica is not None
        assert disk.store is not None
        if self._taking is not None:
            self._taking.append(then)
            return
        machine = replica.machine
        if machine.zxid <= disk.kept.snapshot_zxid:
            self.at(0.05, then)
            return
        if machine.zxid % LOOKED_AT_EVERY == 0:
            stage.ghost.check_state(self.number, machine)
        taking = self._taking = [then]
        walk = machine.begin_walk()

        def go_on() -> None:
            assert self.replica is not None
            assert disk.taking is not None
            try:
                if self.replica.machine is not machine:
                    stage.situations["a snapshot was abandoned for the leader's"] += 1
                    walk.cancel()
                    disk.taking.abandon()
                elif (chunk := walk.next_chunk(stage.rng.randint(1, 40))) is not None:
                    disk.taking.write(chunk)
                    self.at(stage.rng.uniform(0, stage.plan.walk_s), go_on)
                    return
                elif not disk.written:
                    disk.written = True
                    self.at(stage.rng.uniform(0, 0.01), go_on)
                    return
                else:
                    disk.taking.finish()
                    disk.look()
                    stage.situations["a snapshot was taken"] += 1
            except StorageFailure as failure:
                self._disk_failed(failure)
                return
            self._taking = disk.taking = None
            disk.written = False
            for each in taking:
                self.at(0.01, each)

        try:
            disk.written = False
            disk.taking = disk.store.begin_snapshot(machine.zxid)
        except StorageFailure as failure:
            self._disk_failed(failure)
            return
        self.at(0.0, go_on)


def _nothing() -> None:
    pass
