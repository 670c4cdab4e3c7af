"""A whole ensemble in one thread: real replicas, real frames, a simulated network, simulated disks, and faults.

Everything follows from the seed: one `random.Random`, one heap of events, no clock. A connection delivers in order or
breaks; what was in flight when it broke may be lost. A server that crashes keeps a prefix of its disk's steps. After
every event the servers it touched are held against the committed history (ghost.py).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from zlib import crc32

from coord.codec.peer import PROTOCOL_VERSION, Decoder, Hello, encode
from coord.model.entries import Batch
from coord.paxos.durable import StreamRequest
from coord.paxos.effects import Ballot
from coord.paxos.history import History
from coord.paxos.messages import (
    Accepted,
    Canvass,
    Established,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
)
from coord.paxos.messages import History as HistoryMessage
from coord.paxos.participant import PaxosSettings
from coord.paxos.proposer import Limits
from coord.replica.ready import Ready
from coord.replica.replica import PeerIdentity, Replica, ReplicaSettings
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from tools.simulate.clients import ClientConnection, SimulatedClient
from tools.simulate.disk import Durable, SimulatedDisk, Snapshot
from tools.simulate.ghost import Ghost, Violation

TICK_S = 0.05
QUICK_S = (0.0, 0.002)
EVENTS_SHOWN = 40
EVENTS_MAX = 100_000
"""A run has some 8,000 events."""


@dataclass(slots=True)
class Plan:
    """What a seed draws for its run."""

    voters: int
    observers: int
    clients: int
    faults_s: float  # how long faults go on
    fault_every_s: float
    limits: Limits
    history_bytes_max: int
    snapshot_after_bytes: int
    delay_s: float
    latency_s: tuple[float, float]  # of a sync

    @classmethod
    def draw(cls, rng: Random) -> "Plan":
        tiny = rng.random() < 0.5
        return cls(
            voters=rng.choice((1, 3, 3, 3, 3, 5, 5, 7)),
            observers=rng.choice((0, 0, 0, 1)),
            clients=rng.randint(1, 4),
            faults_s=rng.uniform(3, 9),
            fault_every_s=rng.choice((0.06, 0.15, 0.4, 1.0)),
            limits=Limits(
                batch_bytes_max=rng.choice((1, 200, 1 << 20)),
                uncommitted_bytes_max=rng.choice((200, 1 << 20)),
                memory_diff_bytes_max=rng.choice((0, 300, 3000)) if tiny else 1 << 20,
                counter_max=rng.choice((160, 300)) if rng.random() < 0.3 else (1 << 40) - 1,
            ),
            history_bytes_max=rng.choice((0, 400, 2000)) if tiny else 1 << 20,
            snapshot_after_bytes=rng.choice((500, 3000)) if tiny else rng.choice((3000, 1 << 20)),
            delay_s=rng.choice((0.001, 0.01, 0.06)),
            latency_s=rng.choice((QUICK_S, (0.0, 0.02), (0.01, 0.1))),
        )


class Link:
    """One connection between two servers. Each direction is in order; after a loss nothing more comes that way."""

    __slots__ = ("arrival_s", "broken", "deaf", "decoders", "left", "lives", "stubborn")

    def __init__(self, lives: dict[int, int]) -> None:
        self.lives = lives  # of the two servers, when it was made
        self.broken = False
        self.stubborn = False  # broken, but what is in flight still arrives
        self.left: set[int] = set()  # who has noticed that it is broken
        self.deaf: set[int] = set()  # who no longer hears anything through it
        self.arrival_s = dict.fromkeys(lives, 0.0)
        self.decoders = {server: Decoder() for server in lives}


@dataclass(slots=True)
class Stream:
    """A stream request being carried out."""

    request: StreamRequest
    link: Link
    position: int
    chunks: "deque[tuple[int, bytes]]" = field(default_factory=deque)
    snapshot: int = 0


class SimulatedServer:
    """One server's process and its disk."""

    def __init__(self, world: "World", number: int, voters: frozenset[int], priority: int) -> None:
        self.world = world
        self.number = number
        self.voters = voters
        self.priority = priority
        self.identity = world.rng.getrandbits(63) | 1
        self.disk = SimulatedDisk(Ballot(number, self.identity), world.ghost.situations)
        self.life = 0
        self.replica: Replica | None = None
        self.paused = False
        self.backlog: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self.links: dict[int, Link] = {}
        self.clients: dict[int, ClientConnection] = {}
        self.latency_s = world.plan.latency_s
        self.wall_skew_ms = 0
        self._offset_s = 0.0
        self._pumping = False
        self._taking: list[Callable[[], None]] | None = None  # who waits for the snapshot under way
        self._commit_seen = 0
        self._applied_seen = 0
        self._promised_seen = 0

    def __repr__(self) -> str:
        return f"server {self.number}: {self.replica if self.replica else 'down'}{' (paused)' if self.paused else ''}"

    @property
    def now(self) -> float:
        return self.world.now + self._offset_s

    @property
    def wall_ms(self) -> int:
        return max(0, 1_000_000 + int(self.world.now * 1000) + self.wall_skew_ms)

    # ---- life and death

    def start(self) -> None:
        """As coord.server.serve does it: the state of the newest snapshot, and the log."""
        assert self.replica is None
        world, disk, plan = self.world, self.disk, self.world.plan
        self.life += 1
        self._offset_s = world.rng.uniform(0, 1000)
        machine = Machine()
        if disk.snapshot is not None:
            restoring = Restoring()
            for chunk in disk.snapshot.chunks:
                restoring.add(chunk)
            machine = restoring.finish()
        floor = disk.snapshot_zxid
        batches = [batch for batch in disk.batches if batch.last > floor]
        committed = max([floor, *(batch.digest_zxid for batch in batches)])
        history = make_history(disk, floor, batches, committed)
        paxos = PaxosSettings(
            server=self.number, voters=self.voters, cluster_if_new=world.rng.getrandbits(63) | 1,
            priority=self.priority, limits=plan.limits,
        )  # fmt: skip
        settings = ReplicaSettings(
            paxos=paxos, incarnation=world.rng.getrandbits(63) | 1, identity=self.identity, description="",
            session_timeout_min_ms=500, history_bytes_max=plan.history_bytes_max,
            apply_entries_max=world.rng.choice((1, 20_000)), reap_interval_s=0.5, container_never_used_s=0.5,
        )  # fmt: skip
        self._commit_seen = self._applied_seen = floor
        self._promised_seen = disk.ballot.promised
        self.replica = Replica(settings, disk.ballot, history, machine, world.rng.getrandbits, self.now)
        self._pumping = False
        self._taking = None
        self.backlog = []
        self.at(world.rng.uniform(0, TICK_S), self.tick)
        self.feed()

    def crash(self) -> None:
        if self.replica is None:
            return
        self.world.say("crash", self.number)
        self.replica = None
        self.paused = False
        self.backlog = []
        self.disk.crash(self.world.rng)
        for (lower, higher), link in self.world.links.items():
            if self.number in (lower, higher):
                self.world.break_link(lower, higher, link)
        self.links.clear()
        for connection in list(self.clients.values()):
            connection.break_off()
        self.clients.clear()

    # ---- inputs

    def at(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None:
        """Call this later, unless this life has ended by then."""
        life = self.life

        def then() -> None:
            if self.life == life and self.replica is not None:
                self.input(function, *arguments)

        self.world.at(delay_s, then)

    def input(self, function: Callable[..., None], *arguments: object) -> None:
        """Something happens at this server; a paused one learns of it when it goes on."""
        if self.replica is None:
            return
        if self.paused:
            if function != self.tick or not any(waiting == self.tick for waiting, _ in self.backlog):
                self.backlog.append((function, arguments))
            return
        function(*arguments)
        if function != self.pump:
            self.feed()
        self.check()

    def resume(self) -> None:
        if self.replica is None or not self.paused:
            return
        self.paused = False
        self.world.say("resume", self.number)
        backlog, self.backlog = self.backlog, []
        self.world.rng.random()
        for function, arguments in backlog:
            self.input(function, *arguments)

    def feed(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.at(self.world.rng.choice((0.0, 0.0001, 0.001)), self.pump)

    def tick(self) -> None:
        assert self.replica is not None
        self.replica.tick(self.now, self.wall_ms)
        self.at(TICK_S, self.tick)
        disk = self.disk
        if disk.bytes_since_snapshot > self.world.plan.snapshot_after_bytes and self._taking is None:
            self.take_snapshot(_nothing)

    def pump(self) -> None:
        replica = self.replica
        assert replica is not None
        while (ready := replica.take(self.now, self.wall_ms)) is not None:
            self.check()
            self._perform(ready)
            if ready.last:
                break
        self._pumping = False

    # ---- output, in the order in which coord.server.driver does it

    def _perform(self, ready: Ready) -> None:
        world, situations = self.world, self.world.ghost.situations
        for peer, message in ready.send_now:
            kind = type(message)
            if isinstance(message, Canvass):
                self._check_canvass(message)
            elif kind is HistoryMessage:
                situations["history was sent from memory"] += 1
            elif kind is Refusal:
                situations["a promise was refused"] += 1
            elif kind is NeedSnapshot:
                situations["a snapshot was asked for"] += 1
            self.send(peer, message)
        if ready.serial:
            self._store(ready)
        for request in ready.stream:
            self._stream(request)
        for peer, why in ready.break_peers:
            world.say("break", self.number, peer, why)
            situations["messages did not fit together"] += 1
            if peer in self.links:
                link = self.links[peer]
                self.link_down(peer, link)
                world.break_link(self.number, peer, link)
        for connection, frames in ready.deliver:
            client = self.clients.get(connection)
            if client is not None:
                client.deliver(frames)
        for connection, why in ready.hang_up:
            client = self.clients.pop(connection, None)
            if client is not None:
                situations["hung up: " + SITUATION_OF.get(why[:18], "other")] += 1
                client.hang_up()
        for note in ready.notes:
            world.say("note", self.number, note)
            for start, situation in NOTED.items():
                if start in note:
                    situations[situation] += 1

    def _store(self, ready: Ready) -> None:
        later = [(self.links[peer], peer, message) for peer, message in ready.send_when_durable if peer in self.links]
        serial, life = ready.serial, self.life

        def told() -> None:
            assert self.replica is not None
            for link, peer, message in later:
                self._send_through(link, peer, message)
            self.replica.durable(serial, self.now)

        def when_durable(durable: Durable) -> None:
            for _, peer, message in later:
                check_honest(self.number, peer, message, durable)
            if self.life == life:
                self.input(told)

        self.disk.waiting.append((ready.steps, when_durable))
        self._flush()

    def _flush(self) -> None:
        disk = self.disk
        if disk.flushing or not disk.waiting:
            return
        disk.begin_flush()
        life = self.life

        def flushed() -> None:
            if self.life == life and self.replica is not None:
                for then, durable in disk.end_flush():
                    then(durable)
                self._flush()

        self.world.at(self.world.rng.uniform(*self.latency_s), flushed)

    def send(self, peer: int, message: Message) -> None:
        link = self.links.get(peer)
        if link is not None:
            self._send_through(link, peer, message)

    def _send_through(self, link: Link, peer: int, message: Message) -> None:
        self.world.send(self.number, peer, link, encode(message), message)

    # ---- peers

    def hello(self) -> bytes:
        voters, servers = tuple(sorted(self.voters)), tuple(self.world.servers)
        return encode(Hello(PROTOCOL_VERSION, 0, self.number, self.identity, voters, servers, ""))

    def frame_came(self, peer: int, link: Link, frame: bytes) -> None:
        replica = self.replica
        assert replica is not None
        if self.number in link.left:
            return
        for message in link.decoders[self.number].feed(frame):
            self.world.say("receive", self.number, peer, message)
            if isinstance(message, Hello):
                former = self.links.get(peer)
                if former is not None:  # it is closed, even should this be the older one
                    self.link_down(peer, former)
                    self.world.break_link(self.number, peer, former)
                self.links[peer] = link
                replica.connected(peer, PeerIdentity(message.identity, message.description), self.now)
            elif self.links.get(peer) is link:
                if isinstance(message, Prepare) and replica.participant.leads:
                    self.world.ghost.situations["a leader was superseded"] += 1
                replica.receive(peer, message, self.now)  # type: ignore[arg-type]

    def link_down(self, peer: int, link: Link) -> None:
        link.left.add(self.number)
        if self.links.get(peer) is link:
            del self.links[peer]
            assert self.replica is not None
            self.world.say("link down", self.number, peer)
            self.replica.disconnected(peer, self.now)

    # ---- streams and snapshots

    def _stream(self, request: StreamRequest) -> None:
        link = self.links.get(request.peer)
        if link is None:
            return
        self.world.say("stream", self.number, request)
        stream = Stream(request, link, request.after)
        if request.snapshot:
            self._send_snapshot(stream)
        else:
            self.at(self.world.rng.uniform(0, 0.01), self._stream_on, stream)

    def _stream_on(self, stream: Stream) -> None:
        replica, request, link = self.replica, stream.request, stream.link
        assert replica is not None
        if self.links.get(request.peer) is not link:
            return
        if stream.chunks:
            index, data = stream.chunks.popleft()
            final = not stream.chunks
            message = SnapshotChunk(request.epoch, stream.snapshot, index, final, data)
            self._send_through(link, request.peer, message)
            if final:
                stream.position = stream.snapshot
            self.at(self.world.rng.uniform(0, 0.01), self._stream_on, stream)
            return
        batches = self.disk.read_batches(stream.position, self.world.rng.randint(1, 5))
        if batches is None:
            self._send_snapshot(stream)
            return
        for batch in batches:
            self._send_through(link, request.peer, HistoryMessage(request.epoch, batch))
            self.world.ghost.situations["history was streamed from disk"] += 1
            stream.position = batch.last
        if not batches or stream.position >= replica.participant.log.floor:
            replica.streamed(request.peer, request.epoch, stream.position, self.now)
        else:
            self.at(self.world.rng.uniform(0, 0.01), self._stream_on, stream)

    def _send_snapshot(self, stream: Stream) -> None:
        disk = self.disk
        if disk.snapshot is None or disk.snapshot.zxid < disk.base:
            self.take_snapshot(lambda: self._send_snapshot(stream))
            return
        stream.snapshot = disk.snapshot.zxid
        stream.chunks = deque(enumerate(disk.snapshot.chunks))
        self._stream_on(stream)

    def take_snapshot(self, then: Callable[[], None]) -> None:
        """Walk the machine while it goes on changing; several who want a snapshot get the same."""
        replica, disk = self.replica, self.disk
        assert replica is not None
        if self._taking is not None:
            self._taking.append(then)
            return
        machine = replica.machine
        if machine.zxid <= disk.snapshot_zxid:
            self.at(0.05, then)
            return
        taking = self._taking = [then]
        walk, zxid, lineage, chunks = machine.begin_walk(), machine.zxid, disk.lineage, list[bytes]()
        keep_log = self.world.rng.random() < 0.5

        def done() -> None:
            self._taking = None
            for each in taking:
                each()

        def go_on() -> None:
            assert self.replica is not None
            if self.replica.machine is not machine or disk.lineage != lineage:
                walk.cancel()
                done()
            elif (chunk := walk.next_chunk(self.world.rng.randint(1, 40))) is not None:
                chunks.append(chunk)
                self.at(self.world.rng.uniform(0, 0.02), go_on)
            elif disk.last < zxid:
                self.at(0.01, go_on)  # applied, but not yet durable here
            else:
                disk.publish(Snapshot(zxid, chunks), keep_log)
                self.world.ghost.situations["a snapshot was taken"] += 1
                done()

        go_on()

    # ---- invariants

    def _check_canvass(self, said: Canvass) -> None:
        disk = self.disk
        if said.accepted > disk.ballot.accepted or said.last > disk.last:
            raise Violation(f"I7: server {self.number} says {said}, its disk has {disk.ballot}, {disk.last:#x}")

    def check(self) -> None:
        """All that must hold after every event."""
        replica, ghost = self.replica, self.world.ghost
        if replica is None:
            return
        participant, machine = replica.participant, replica.machine
        log = participant.log
        if participant.ballot.promised < self._promised_seen:
            raise Violation(f"I1: server {self.number} went back from promise {self._promised_seen}")
        self._promised_seen = participant.ballot.promised
        if not machine.zxid <= log.commit <= log.last:
            raise Violation(f"I6: server {self.number}: applied {machine.zxid:#x}, {log!r}")
        if log.commit != self._commit_seen:
            if log.commit < self._commit_seen:
                raise Violation(f"I6: the commit of server {self.number} went back from {self._commit_seen:#x}")
            self._check_commit()
        if machine.zxid != self._applied_seen:
            if machine.zxid < self._applied_seen:
                raise Violation(f"I9: the state of server {self.number} went back from {self._applied_seen:#x}")
            ghost.check_digest(self.number, machine.zxid, machine.digest)
            self._applied_seen = machine.zxid
        if participant.leads and participant.epoch not in ghost.leaders:
            ghost.check_leader(participant.epoch, self.number, self.life)
            self._check_new_leader()
        elif participant.leads:
            ghost.check_leader(participant.epoch, self.number, self.life)

    def _check_commit(self) -> None:
        assert self.replica is not None
        log, ghost = self.replica.participant.log, self.world.ghost
        batches = log.after(self._commit_seen, log.commit)
        for batch in batches or ():
            if ghost.compare(self.number, batch):
                self.world.check_quorum_holds(batch)
                ghost.extend(batch)
        if log.commit not in ghost.crcs:
            raise Violation(f"I8: server {self.number} commits up to {log.commit:#x}, which is nobody's")
        self._commit_seen = log.commit

    def _check_new_leader(self) -> None:
        """I9: what was committed before an epoch is in its history; I3: a quorum has durably accepted the epoch."""
        assert self.replica is not None
        participant, ghost = self.replica.participant, self.world.ghost
        log = participant.log
        batches = log.after(log.floor)
        assert batches is not None
        positions = {batch.last: batch for batch in batches}
        if log.last < ghost.last or (log.floor < ghost.last and ghost.last not in positions):
            raise Violation(f"I9: server {self.number} leads epoch {participant.epoch}, its log lacks {ghost.last:#x}")
        for last, batch in positions.items():
            if last <= ghost.last and ghost.compare(self.number, batch):
                raise Violation(f"I9: server {self.number} leads with a batch {last:#x} that is not the committed one")
        self.world.check_quorum_accepted(participant.epoch)


class World:
    """The ensemble, its clients, its network, and what happens to them."""

    def __init__(self, seed: int, *, plan: Plan | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.now = 0.0
        self.ghost = Ghost()
        self.plan = plan or Plan.draw(self.rng)
        self.calm = False
        self.trace = 0  # of all frames that arrived: equal seeds have equal traces
        self.said: deque[tuple[object, ...]] = deque(maxlen=EVENTS_SHOWN)
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self.links: dict[tuple[int, int], Link] = {}  # by (lower, higher)
        self.blocked: set[tuple[int, int]] = set()  # (from, to): silently lost
        numbers = range(1, self.plan.voters + self.plan.observers + 1)
        self.voters = frozenset(range(1, self.plan.voters + 1))
        self.servers = {
            number: SimulatedServer(self, number, self.voters, self.rng.choice((0, 0, 0, 1))) for number in numbers
        }
        self.connections = count(1)
        self.clients = [SimulatedClient(self, number) for number in range(1, self.plan.clients + 1)]

    # ---- running

    def run(self) -> None:
        """The whole story: start, faults, calm, and everybody agrees."""
        for server in self.servers.values():
            self.at(self.rng.uniform(0, 0.2), server.start)
        for lower in self.servers:
            for higher in self.servers:
                if lower < higher:
                    self.at(self.rng.uniform(0, 0.3), partial(self._dial, lower, higher))
        for client in self.clients:
            self.at(self.rng.uniform(0, 0.5), client.act)
        self.at(self.rng.uniform(0.3, 1.5), self._fault)
        self._run_until(self.plan.faults_s)
        self._heal()
        # Twice the longest session, a few elections, and some rounds for what is behind.
        self._run_until(self.now + 3.0)
        for client in self.clients:
            client.idle = True
        deadline = self.now + 12.0
        while self.now < deadline and self._not_converged():
            self._run_until(self.now + 0.2)
        reason = self._not_converged()
        if reason:
            raise Violation(f"L1: {deadline - self.plan.faults_s:.0f} s after the faults: {reason}")

    def _run_until(self, until: float) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, event = heappop(heap)
            self.events += 1
            event()
            if self.events > EVENTS_MAX:
                raise Violation(f"L3: {EVENTS_MAX} events after {self.now:.1f} s: something goes round in circles")
        self.now = until

    def at(self, delay_s: float, function: Callable[[], None]) -> None:
        heappush(self._heap, (self.now + delay_s, next(self._numbers), function))

    def say(self, *what: object) -> None:
        """Remembered for the report of a failure only."""
        self.said.append((round(self.now, 4), *what))

    def _not_converged(self) -> str:
        """Why the ensemble is not one, empty if it is."""
        replicas = [server.replica for server in self.servers.values()]
        leaders = [replica.server for replica in replicas if replica and replica.participant.leads]
        if len(leaders) != 1:
            return f"there are {len(leaders)} leaders: {list(self.servers.values())}"
        for replica in replicas:
            if replica is None or not replica.participant.serving or replica.participant.leader != leaders[0]:
                return f"not everybody follows server {leaders[0]}: {list(self.servers.values())}"
            if replica.machine.zxid != self.ghost.last:
                return f"not everybody has applied {self.ghost.last:#x}: {list(self.servers.values())}"
        for client in self.clients:
            if client.outstanding:
                return f"{client} still waits"
        return ""

    # ---- network

    def send(self, source: int, target: int, link: Link, frame: bytes, message: object = None) -> None:
        if link.broken or target in link.deaf:
            return
        if (source, target) in self.blocked:
            link.deaf.add(target)
            return
        arrival = max(link.arrival_s[target], self.now + self.rng.uniform(0.0001, self.plan.delay_s))
        link.arrival_s[target] = arrival
        self.at(arrival - self.now, lambda: self._arrive(source, target, link, frame))

    def _arrive(self, source: int, target: int, link: Link, frame: bytes) -> None:
        server = self.servers[target]
        if server.life != link.lives[target] or server.replica is None or (link.broken and not link.stubborn):
            return
        self.trace = crc32(frame, self.trace)
        server.input(server.frame_came, source, link, frame)

    def _dial(self, lower: int, higher: int) -> None:
        self.at(self.rng.uniform(0.02, 0.3), partial(self._dial, lower, higher))
        one, other = self.servers[lower], self.servers[higher]
        link = self.links.get((lower, higher))
        if link is not None and not link.broken:
            return
        if link is not None and other.links.get(lower) is link:
            return  # the dialer has not noticed yet
        if one.replica is None or other.replica is None or other.paused:
            return
        if (lower, higher) in self.blocked or (higher, lower) in self.blocked:
            return
        link = self.links[lower, higher] = Link({lower: one.life, higher: other.life})
        self.send(lower, higher, link, one.hello())
        self.send(higher, lower, link, other.hello())

    def break_link(self, one: int, other: int, link: Link) -> None:
        """The connection ends; each side notices in its own time."""
        if link.broken:
            return
        link.broken = True
        link.stubborn = self.rng.random() < 0.5
        for server, peer in ((self.servers[one], other), (self.servers[other], one)):
            if server.life == link.lives[server.number]:
                server.at(self.rng.uniform(0, 0.1), server.link_down, peer, link)

    # ---- what must hold of all disks together

    def check_quorum_holds(self, batch: Batch) -> None:
        """What is committed first: a quorum of the voters' disks has it."""
        holders = [number for number in self.voters if self.servers[number].disk.holds(batch)]
        if len(holders) * 2 <= len(self.voters):
            raise Violation(f"I3: the batch {batch!r} is committed, but durable on the servers {holders} only")

    def check_quorum_accepted(self, epoch: int) -> None:
        holders = [number for number in self.voters if self.servers[number].disk.ballot.accepted >= epoch]
        if len(holders) * 2 <= len(self.voters):
            raise Violation(f"I3: epoch {epoch} is established, but accepted on the disks of {holders} only")

    # ---- faults

    def _fault(self) -> None:
        if self.calm:
            return
        self.at(self.rng.expovariate(1 / self.plan.fault_every_s), self._fault)
        fault = self.rng.choice(FAULTS)
        self.say("fault", fault.__name__)
        fault(self)

    def _any_server(self) -> SimulatedServer:
        if self.rng.random() < 0.4:  # the leader is the most interesting one
            for server in self.servers.values():
                if server.replica is not None and server.replica.participant.leads:
                    return server
        return self.servers[self.rng.choice(sorted(self.servers))]

    def restart_later(self, server: SimulatedServer, within_s: float = 1.0) -> None:
        life = server.life

        def start() -> None:
            if server.replica is None and server.life == life:
                self.say("start", server.number)
                server.start()

        self.at(self.rng.uniform(0, within_s), start)

    def unblock(self) -> None:
        """The network is whole again; connections that lost something break."""
        self.blocked.clear()
        for (lower, higher), link in self.links.items():
            if link.deaf:
                self.break_link(lower, higher, link)

    def _heal(self) -> None:
        self.say("heal")
        self.calm = True
        self.unblock()
        for server in self.servers.values():
            server.latency_s = QUICK_S
            if server.replica is None:
                server.start()
            server.resume()


# ---- faults: one function each, drawn by the seed


def crash_one(world: World) -> None:
    server = world._any_server()
    if server.replica is not None:
        server.crash()
        world.restart_later(server)


def crash_several(world: World) -> None:
    for server in world.servers.values():
        if world.rng.random() < 0.6 and server.replica is not None:
            server.crash()
            world.restart_later(server)


def break_a_link(world: World) -> None:
    if world.links:
        pair = world.rng.choice(sorted(world.links))
        world.break_link(*pair, world.links[pair])


def cut_one_way(world: World) -> None:
    """What one server says does not reach another, who is not told."""
    source, target = world._any_server().number, world._any_server().number
    if source != target:
        world.blocked.add((source, target))
        if world.rng.random() < 0.5:
            world.at(world.rng.uniform(0.1, 2.0), world.unblock)


def partition(world: World) -> None:
    """Two groups that do not hear each other; connections between them break, at once or when it is over."""
    inside = {number for number in world.servers if world.rng.random() < 0.5}
    at_once = world.rng.random() < 0.5
    for (lower, higher), link in world.links.items():
        if (lower in inside) != (higher in inside) and at_once:
            world.break_link(lower, higher, link)
    world.blocked |= {(a, b) for a in world.servers for b in world.servers if (a in inside) != (b in inside)}
    world.at(world.rng.uniform(0.1, 3.0), world.unblock)


def heal_network(world: World) -> None:
    world.unblock()


def pause(world: World) -> None:
    server = world._any_server()
    if server.replica is not None and not server.paused:
        server.paused = True
        life = server.life
        world.at(world.rng.choice((0.1, 0.8, 2.0)), lambda: server.resume() if server.life == life else None)


def slow_disk(world: World) -> None:
    world._any_server().latency_s = world.rng.choice((QUICK_S, (0.0, 0.05), (0.1, 0.6)))


def jump_wall(world: World) -> None:
    """Wall clocks jump, by an hour at most and in both directions."""
    world._any_server().wall_skew_ms = world.rng.choice((0, 3_600_000, -900_000, 400))


FAULTS: list[Callable[[World], None]] = [
    crash_one, crash_one, crash_several, break_a_link, break_a_link, cut_one_way, partition, heal_network, pause, pause,
    slow_disk, jump_wall,
]  # fmt: skip


# ---- helpers


def check_honest(server: int, peer: int, message: object, durable: Durable) -> None:
    """I3, I7: what leaves only when it is durable is then true of the disk."""
    ballot, last = durable.ballot, durable.last
    if isinstance(message, Prepare):
        honest = (ballot.promised, ballot.promised_to) == (message.epoch, server) or ballot.promised > message.epoch
    elif isinstance(message, Promise):
        honest = (ballot.promised, ballot.promised_to) == (message.epoch, peer)
        honest = honest and (ballot.accepted, last) == (message.accepted, message.last)
        honest = honest or ballot.promised > message.epoch  # said late, and true when it was asked
    elif isinstance(message, Established):
        honest = ballot.accepted == message.epoch and last >= message.last
    elif isinstance(message, Accepted):
        honest = ballot.accepted == message.epoch and last >= message.zxid
    else:
        raise Violation(f"{message} need not wait for the disk")
    if not honest:
        raise Violation(f"I3: server {server} sends {message}, its disk has {ballot}, {last:#x}")


def make_history(disk: SimulatedDisk, floor: int, batches: list[Batch], committed: int) -> History:
    return History(floor, batches, disk.ends(), committed, disk.base)


def _nothing() -> None:
    pass


NOTED = {
    "is used up": "the counter rolled over",
    "requests again": "requests were forwarded again",
    "no quorum has answered": "a leader stepped down",
    "has a newer history": "a proposer withdrew",
    "follows server": "a leader heard of a later one",
    "preparing one above it": "a higher epoch was prepared after a refusal",
    "was silent for too long": "a leader was given up for its silence",
    "from the leader's snapshot": "a state was replaced by a snapshot",
}
"""What a note tells, by words in it."""

SITUATION_OF = {
    "the client has see": "the client is ahead of the server",
    "no leader has been": "no leader was found",
    "the session 0x": "its session expired or moved",
    "this server took a": "the server took a snapshot",
    "the client has rec": "the client has reconnected",
    "the client has clo": "the client closed its session",
}
"""Why a client is hung up on, by how the sentence begins."""
