"""A whole ensemble in one thread: servers, network, clients, faults, and the demand that it comes to rest.

Everything follows from the seed. First there are faults and safety is all that is asked; then the network is whole,
everybody runs, and the ensemble must become one (L1), soon have a leader (L2), and answer everyone (L3).
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

from tools.simulate.beginnings import begin_near_the_limits
from tools.simulate.clients import SimulatedClient
from tools.simulate.faults import FAULTS, Ensemble, Fault
from tools.simulate.ghost import Violation
from tools.simulate.invariants import check_all
from tools.simulate.network import Network
from tools.simulate.numbered import NumberedClient
from tools.simulate.plan import QUICK_S, Plan
from tools.simulate.servers import SimulatedServer
from tools.simulate.stage import Stage

ELECTION_S = 6.0
"""A leader must be there so long after the faults: a few timeouts of a leader."""

SETTLE_S = 3.0
"""Twice the longest session, a few elections, and some rounds for what is behind."""

CONVERGE_S = 12.0


class World:
    """One seed's story. `plan` and `faults` are the seed's own unless a test wants others."""

    def __init__(self, seed: int, *, plan: Plan | None = None, faults: Sequence[Fault] = FAULTS) -> None:
        self.seed = seed
        stage = self.stage = Stage(seed, plan)
        network = Network(stage)
        self.plan = stage.plan
        self.faults = self._draw_faults(faults)
        voters = frozenset(range(1, self.plan.voters + 1))
        self.servers: dict[int, SimulatedServer] = {}
        check = partial(check_all, self.servers)
        numbers = tuple(range(1, self.plan.voters + self.plan.observers + 1))
        for number in numbers:
            self.servers[number] = SimulatedServer(stage, network, number, voters, numbers, check)
        if self.plan.near_limits:
            stage.situations["an ensemble began near the limits"] += 1
            disks = [server.disk for server in self.servers.values()]
            begin_near_the_limits(stage.rng, disks, stage.ghost)
        self.ensemble = Ensemble(stage, network, self.servers)
        connections = count(1)
        self.clients = [
            (SimulatedClient if number % 3 else NumberedClient)(stage, self.servers, number, connections)
            for number in range(1, self.plan.clients + 1)
        ]

    def _draw_faults(self, faults: Sequence[Fault]) -> list[Fault]:
        """A seed leaves out about half of the kinds, so that some seeds are of few kinds only."""
        for fault in faults:
            self.stage.situations[_named(fault)] += 0  # what is known and never happens is missed
        drawn = [fault for fault in faults if self.stage.rng.random() < 0.6]
        return drawn or list(faults)

    # ---- running

    def run(self) -> None:
        stage, rng = self.stage, self.stage.rng
        for server in self.servers.values():
            stage.at(rng.uniform(0, 0.2), server.start)
        self.ensemble.network.begin(dict(self.servers))
        for client in self.clients:
            stage.at(rng.uniform(0, 0.5), client.act)
        stage.at(rng.uniform(0.3, 1.5), self._fault)
        stage.run_until(self.plan.faults_s)
        self._heal()
        self._await(self._no_leader, ELECTION_S, "L2")
        stage.run_until(stage.now + SETTLE_S)
        for client in self.clients:
            client.idle = True
        self._await(self._not_converged, CONVERGE_S, "L1")
        for server in self.servers.values():
            assert server.replica is not None, "everybody runs in the end"
            stage.ghost.check_state(server.number, server.replica.machine)

    def _await(self, trouble: Callable[[], str], within_s: float, invariant: str) -> None:
        stage = self.stage
        deadline = stage.now + within_s
        while trouble() and stage.now < deadline:
            stage.run_until(stage.now + 0.2)
        why = trouble()
        if why:
            raise Violation(f"{invariant}: {stage.now - self.plan.faults_s:.0f} s after the faults {why}")

    def _fault(self) -> None:
        stage = self.stage
        if stage.calm:
            return
        stage.at(stage.rng.expovariate(1 / self.plan.fault_every_s), self._fault)
        fault = stage.rng.choice(self.faults)
        stage.say("fault", fault.__name__)
        stage.situations[_named(fault)] += 1
        fault(self.ensemble)

    def _heal(self) -> None:
        self.stage.say("heal")
        self.stage.calm_since_s = self.stage.now
        self.ensemble.network.heal()
        for server in self.servers.values():
            server.latency_s = QUICK_S
            server.disk.full = server.disk.eio_next = server.interrupts_a_snapshot = server.dies_changing_history = (
                False
            )
            server.disk.eio_in, server.stops_s = -1, 0.0
            server.drift(server.usual_rate)
            server.start()
            server.resume()

    # ---- what is asked in the end

    def _leaders(self) -> list[int]:
        up = [server.replica for server in self.servers.values() if server.replica is not None]
        return [replica.server for replica in up if replica.participant.leads]

    def _no_leader(self) -> str:
        return "" if self._leaders() else f"nobody leads: {list(self.servers.values())}"

    def _not_converged(self) -> str:
        """Why the ensemble is not one, empty if it is."""
        leaders, last = self._leaders(), self.stage.ghost.last
        if len(leaders) != 1:
            return f"there are {len(leaders)} leaders: {list(self.servers.values())}"
        for server in self.servers.values():
            replica = server.replica
            if replica is None or not replica.participant.serving or replica.participant.leader != leaders[0]:
                return f"not everybody follows server {leaders[0]}: {list(self.servers.values())}"
            if replica.machine.zxid != last:
                return f"not everybody has applied {last:#x}: {list(self.servers.values())}"
        for client in self.clients:
            if client.outstanding:
                return f"{client} still waits"
        return ""


def _named(fault: Fault) -> str:
    return "fault: " + fault.__name__.replace("_", " ")
