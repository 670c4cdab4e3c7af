"""What may happen to an ensemble: one function each. A new one only has to be added to the table at the end.

A seed draws which of them it has, when each happens, and to whom. None may do what the protocol cannot survive: that
a quorum keeps its disks is the one thing that is taken for granted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, permutations

from tools.simulate.network import Network
from tools.simulate.plan import QUICK_S
from tools.simulate.servers import SimulatedServer
from tools.simulate.stage import Stage


@dataclass(slots=True)
class Ensemble:
    """What faults happen to."""

    stage: Stage
    network: Network
    servers: dict[int, SimulatedServer]

    def any_server(self) -> SimulatedServer:
        """The leader is the most interesting one."""
        leader = self.leader()
        if leader is not None and self.stage.rng.random() < 0.4:
            return leader
        return self.servers[self.stage.rng.choice(sorted(self.servers))]

    def leader(self) -> SimulatedServer | None:
        for server in self.servers.values():
            if server.replica is not None and server.replica.participant.leads:
                return server
        return None

    def only(self, ways: Iterable[tuple[int, int]]) -> None:
        """For a while the network consists of these ways, in both directions."""
        open_ways = {way for a, b in ways for way in ((a, b), (b, a))}
        for way in permutations(self.servers, 2):
            if way not in open_ways:
                self.network.block(*way)
        self.heal_later(3.0)

    def heal_later(self, within_s: float, after_s: float = 0.1) -> None:
        self.stage.at(self.stage.rng.uniform(after_s, within_s), self.network.heal)


Fault = Callable[[Ensemble], None]

PAUSES_S = (0.1, 0.8, 2.0)
DRIFTS = (0.3, 0.7, 1.5, 3.0)
"""Rates far beyond what a clock does: they may cost availability, and nothing else (T51)."""


# ---- servers


def cut_the_power_of_one(ensemble: Ensemble) -> None:
    server = ensemble.any_server()
    if server.up:
        server.die(power_cut=True)
        server.start_later(1.0)


def cut_the_power_of_several(ensemble: Ensemble) -> None:
    for server in ensemble.servers.values():
        if ensemble.stage.rng.random() < 0.6 and server.up:
            server.die(power_cut=True)
            server.start_later(1.0)


def kill_one(ensemble: Ensemble) -> None:
    """Its process ends; what it wrote and did not sync stands in the system's cache, and is read again."""
    server = ensemble.any_server()
    if server.up:
        server.die(power_cut=False)
        server.start_later(0.5)


def cut_the_power_in_a_change_of_history(ensemble: Ensemble) -> None:
    """Of whoever has to cut its log next, or to put a snapshot in its place: some of that is done (T13)."""
    for server in ensemble.servers.values():
        server.dies_changing_history = True


def leave_one_behind(ensemble: Ensemble) -> None:
    """It is down until the others' logs have gone on, perhaps beyond what they keep."""
    server = ensemble.any_server()
    if server.up:
        server.die(power_cut=ensemble.stage.rng.random() < 0.5)
        server.start_later(3.0, 1.5)


def leave_the_leader_with_what_nobody_has(ensemble: Ensemble) -> None:
    """It goes on logging what reaches nobody. Perhaps it is killed; it is back when the others have long gone on."""
    leader = ensemble.leader()
    if leader is None:
        return
    for other in ensemble.servers:
        if other != leader.number:
            ensemble.network.block(leader.number, other)
    if ensemble.stage.rng.random() < 0.5:
        ensemble.heal_later(3.0, 1.5)
        return
    life = leader.life

    def kill() -> None:
        ensemble.network.heal()
        if leader.life == life and leader.up:
            leader.die(power_cut=False)
            leader.start_later(2.5, 1.0)

    ensemble.stage.at(ensemble.stage.rng.uniform(0.1, 0.8), kill)


def pause_one(ensemble: Ensemble) -> None:
    """It does not run for a while, and finds all that arrived meanwhile."""
    server = ensemble.any_server()
    if server.up and not server.paused:
        server.pause(ensemble.stage.rng.choice(PAUSES_S))


def stop_one_between_two_lines(ensemble: Ensemble) -> None:
    """A pause that begins exactly between what a server decides and what it says (T39)."""
    server = ensemble.any_server()
    if server.up and not server.paused:
        server.stops_s = ensemble.stage.rng.choice(PAUSES_S)


def interrupt_a_snapshot(ensemble: Ensemble) -> None:
    """Whoever sends the next one is cut off in the middle, and has to begin again (T29)."""
    for server in ensemble.servers.values():
        server.interrupts_a_snapshot = True


# ---- disks


def slow_down_a_disk(ensemble: Ensemble) -> None:
    ensemble.any_server().latency_s = ensemble.stage.rng.choice((QUICK_S, (0.0, 0.05), (0.1, 0.6), (0.5, 2.5)))


def fail_a_sync(ensemble: Ensemble) -> None:
    """EIO: what was written is nowhere in particular, and the server must stop (T21)."""
    ensemble.any_server().disk.eio_next = True


def fail_an_operation(ensemble: Ensemble) -> None:
    """EIO at whatever the disk is about to do: write, cut, rename, remove, sync."""
    ensemble.any_server().disk.eio_in = ensemble.stage.rng.randrange(6)


def fill_a_disk(ensemble: Ensemble) -> None:
    """Nothing more can be written for a while. The server stops, and may stop again at its next start."""
    disk = ensemble.any_server().disk
    disk.full = True

    def make_room() -> None:
        disk.full = False

    ensemble.stage.at(ensemble.stage.rng.uniform(0.1, 1.5), make_room)


def let_a_disk_rot(ensemble: Ensemble) -> None:
    """Bytes change by themselves. A minority of the voters at most are without something at a time: what they have
    lost is on the others' disks."""
    server, voters = ensemble.any_server(), next(iter(ensemble.servers.values())).voters
    spoilt = [
        number
        for number in voters
        if (other := ensemble.servers[number]).former is not None or other.disk.rotten or other.disk.kept.damaged
    ]
    if server.former is not None or server.disk.rotten:
        return  # both copies of a ballot would be its end
    if server.number in voters and server.number not in spoilt and (len(spoilt) + 1) * 2 >= len(voters):
        return
    if server.up and ensemble.stage.rng.random() < 0.8:
        server.die(power_cut=ensemble.stage.rng.random() < 0.5)
        server.start_later(1.0)
    name = server.disk.rot(ensemble.stage.rng)
    if name:
        ensemble.stage.say("rot", server.number, name)


def replace_a_disk(ensemble: Ensemble) -> None:
    """A voter comes back with an empty folder, and so under another identity: it may follow, and never counts.

    Only if every other voter durably knows who it was: before that nobody can tell, and its operator must.
    A quorum always keeps its disks.
    """
    voters = [ensemble.servers[number] for number in sorted(next(iter(ensemble.servers.values())).voters)]
    server = ensemble.stage.rng.choice(voters)
    others = [other for other in voters if other is not server]
    lost = sum(other.former is not None or other.disk.rotten or other.disk.kept.damaged for other in others) + 1
    if server.former is not None or lost * 2 >= len(voters) or not server.up:
        return
    for other in others:
        if other.former is not None:
            continue
        replica = other.replica
        if (
            replica is None
            or server.number not in replica.machine.servers
            or replica.machine.zxid > other.disk.kept.last
        ):
            return
    server.die(power_cut=True)
    server.former = server.disk.kept
    server.disk.wipe(ensemble.stage.rng.getrandbits(63) | 1)
    ensemble.stage.situations["a voter lost its disk"] += 1
    server.start_later(0.5)


# ---- clocks


def jump_a_wall_clock(ensemble: Ensemble) -> None:
    ensemble.any_server().wall_skew_ms = ensemble.stage.rng.choice((0, 3_600_000, -900_000, 400))


def strobe_a_wall_clock(ensemble: Ensemble) -> None:
    """It goes back and forth, many times a second."""
    server, stage = ensemble.any_server(), ensemble.stage
    for flash in range(20):
        stage.at(flash * 0.05, partial(setattr, server, "wall_skew_ms", (flash % 2) * 5000))


def drift_a_clock(ensemble: Ensemble) -> None:
    """Its monotonic clock runs much too fast or too slow for a while."""
    server, stage = ensemble.any_server(), ensemble.stage
    server.drift(stage.rng.choice(DRIFTS))
    stage.at(stage.rng.uniform(0.5, 3.0), lambda: server.drift(server.usual_rate))


# ---- network


def break_a_connection(ensemble: Ensemble) -> None:
    links = ensemble.network.links
    if links:
        lower, higher = ensemble.stage.rng.choice(sorted(links))
        ensemble.network.break_link(lower, higher, links[lower, higher])


def cut_one_way(ensemble: Ensemble) -> None:
    """What one server says does not reach another, who is not told."""
    source, target = ensemble.any_server().number, ensemble.any_server().number
    if source != target:
        ensemble.network.block(source, target)
        if ensemble.stage.rng.random() < 0.5:
            ensemble.heal_later(2.0)


def cut_between_two(ensemble: Ensemble) -> None:
    """A partial partition: two do not reach each other, everybody else reaches both (T47)."""
    one, other = ensemble.any_server().number, ensemble.any_server().number
    if one != other:
        ensemble.network.block(one, other)
        ensemble.network.block(other, one)
        ensemble.heal_later(3.0)


def partition(ensemble: Ensemble) -> None:
    """Two groups that do not hear each other; connections between them break, at once or when it is over."""
    rng, network = ensemble.stage.rng, ensemble.network
    inside = {number for number in ensemble.servers if rng.random() < 0.5}
    if rng.random() < 0.5:
        for (lower, higher), link in network.links.items():
            if (lower in inside) != (higher in inside):
                network.break_link(lower, higher, link)
    for source, target in permutations(ensemble.servers, 2):
        if (source in inside) != (target in inside):
            network.block(source, target)
    ensemble.heal_later(3.0)


def isolate_the_leader(ensemble: Ensemble) -> None:
    """Nobody hears it, or it hears nobody, or both."""
    leader, which = ensemble.leader(), ensemble.stage.rng.randrange(3)
    if leader is None:
        return
    for other in ensemble.servers:
        if other != leader.number:
            if which != 0:
                ensemble.network.block(leader.number, other)
            if which != 1:
                ensemble.network.block(other, leader.number)
    ensemble.heal_later(3.0)


def make_a_chain(ensemble: Ensemble) -> None:
    order = ensemble.stage.rng.sample(sorted(ensemble.servers), len(ensemble.servers))
    ensemble.only(pairwise(order))


def make_a_ring(ensemble: Ensemble) -> None:
    order = ensemble.stage.rng.sample(sorted(ensemble.servers), len(ensemble.servers))
    ensemble.only(zip(order, [*order[1:], order[0]], strict=True))


def make_a_star(ensemble: Ensemble) -> None:
    """One in the middle reaches everybody, the others only that one."""
    middle = ensemble.any_server().number
    ensemble.only((middle, other) for other in ensemble.servers if other != middle)


def clog_in_turns(ensemble: Ensemble) -> None:
    """Swizzling: some servers stop hearing one after the other, and hear again in another order. Nothing is lost."""
    stage, network = ensemble.stage, ensemble.network
    clogged = stage.rng.sample(sorted(ensemble.servers), stage.rng.randint(1, len(ensemble.servers)))

    def clog(target: int, until_s: float) -> None:
        for source in ensemble.servers:
            network.clogged_s[source, target] = until_s

    for target in clogged:
        begin_s, end_s = stage.rng.uniform(0, 0.6), stage.rng.uniform(0.6, 2.0)
        stage.at(begin_s, partial(clog, target, stage.now + end_s))


def let_acknowledgements_come_late(ensemble: Ensemble) -> None:
    """What one follower says reaches the leader late, and the others' disks are slow: it may have committed by itself
    what the leader does not know to be committed. Meanwhile the others ask for barriers."""
    leader, stage = ensemble.leader(), ensemble.stage
    followers = [server for server in ensemble.servers.values() if server is not leader]
    if leader is None or not followers:
        return
    alone, late_s = stage.rng.choice(followers), stage.rng.uniform(0.2, 1.0)
    ensemble.network.clogged_s[alone.number, leader.number] = stage.now + late_s
    for server in followers:
        if server is not alone:
            server.latency_s = (late_s, late_s)
            stage.at(late_s, partial(setattr, server, "latency_s", QUICK_S))
            for share in (0.3, 0.5, 0.7, 0.9):
                stage.at(late_s * share, partial(server.input, server.probe))


def heal_the_network(ensemble: Ensemble) -> None:
    ensemble.network.heal()


FAULTS: list[Fault] = [
    cut_the_power_of_one,
    cut_the_power_of_one,
    cut_the_power_of_several,
    kill_one,
    cut_the_power_in_a_change_of_history,
    leave_one_behind,
    leave_one_behind,
    leave_the_leader_with_what_nobody_has,
    pause_one,
    pause_one,
    stop_one_between_two_lines,
    interrupt_a_snapshot,
    slow_down_a_disk,
    fail_a_sync,
    fail_an_operation,
    fill_a_disk,
    let_a_disk_rot,
    let_a_disk_rot,
    replace_a_disk,
    jump_a_wall_clock,
    strobe_a_wall_clock,
    drift_a_clock,
    break_a_connection,
    break_a_connection,
    cut_one_way,
    cut_between_two,
    partition,
    isolate_the_leader,
    make_a_chain,
    make_a_ring,
    make_a_star,
    clog_in_turns,
    let_acknowledgements_come_late,
    let_acknowledgements_come_late,
    heal_the_network,
]
"""Who stands here twice happens twice as often."""
