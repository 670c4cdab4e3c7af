"""What happens to ensembles in these tests, by seed; and what the state of a subtree was at each place in the log."""

import bisect
import os
import random
from collections.abc import Iterable
from typing import Any

import pytest
import trio

import coord
from coord.state.machine import Machine
from coord.testing.ensemble import Ensemble


def seeds(usual: str) -> range:
    """`COORD_TEST_SEEDS=FIRST-LAST` tries other seeds than usual."""
    first, _, last = os.environ.get("COORD_TEST_SEEDS", usual).partition("-")
    return range(int(first), int(last or first) + 1)


async def disturb(
    ensemble: Ensemble, rng: random.Random, times: int, clients: Iterable[coord.Client] = (), pause_s: float = 1.0
) -> None:
    """So many faults one after another, each undone after a while; in the end all is well."""
    places: list[coord.Client] = list(clients)
    for _ in range(times):
        await trio.sleep(rng.uniform(0.1, pause_s))
        server = rng.choice(list(ensemble.servers))
        fault = rng.choice(["crash", "crash leader", "freeze", "cut", "cut leader", "isolate a client", "slow"])
        if "leader" in fault:
            server = ensemble.leader() or server
        if fault.startswith("crash"):
            ensemble.crash(server)
        elif fault == "freeze":
            ensemble.freeze(server)
        elif fault.startswith("cut"):
            ensemble.isolate(server)
        elif fault == "isolate a client" and places:
            ensemble.isolate(rng.choice(places))
        else:
            ensemble.slow(1, 2, (0.01, 0.1))
        await trio.sleep(rng.uniform(0.1, 2.0))
        ensemble.heal()
        if fault == "freeze":
            ensemble.thaw(server)
        for each in ensemble.servers:
            if each not in ensemble.replicas:
                await ensemble.start(each)
        await ensemble.wait_leader()


class History:
    """The values of a subtree at every zxid, as the servers have applied them."""

    def __init__(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.zxids: list[int] = []
        self.states: list[dict[str, bytes]] = []
        apply = Machine.apply

        def recorded(machine: Machine, zxid: int, *arguments: Any, **options: Any) -> Any:
            reply = apply(machine, zxid, *arguments, **options)
            if not self.zxids or zxid > self.zxids[-1]:
                self.zxids.append(zxid)
                nodes = machine.tree.nodes.items()
                self.states.append({p: n.data or b"" for p, n in nodes if f"{p}/".startswith(f"{path}/")})
            return reply

        monkeypatch.setattr(Machine, "apply", recorded)

    def at(self, zxid: int) -> dict[str, bytes]:
        place = bisect.bisect_right(self.zxids, zxid)
        return self.states[place - 1] if place else {}
