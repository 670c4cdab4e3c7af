"""How much memory a znode costs: each server's resident memory before and after N creations."""

import time
from dataclasses import dataclass

from tools.bench import loads
from tools.bench.generator import Flow, run
from tools.bench.rows import close, connect
from tools.ensembles import Ensemble, EnsembleError
from tools.ensembles.resources import resident_bytes

_ROOT = "/memory"
_CONNECTIONS = 10
_WINDOW = 100
_LIMIT_S = 3600.0


@dataclass(slots=True, frozen=True)
class Memory:
    znodes: int
    value_bytes: int
    seconds: float
    before_bytes: dict[int, int]  # by server
    after_bytes: dict[int, int]

    def per_znode(self, id: int) -> float:
        return (self.after_bytes[id] - self.before_bytes[id]) / self.znodes


def memory(ensemble: Ensemble, znodes: int, value_bytes: int = 100) -> Memory:
    """Create `znodes` znodes under ten parents and leave them there."""
    clients = connect(ensemble, _CONNECTIONS)
    clients[0].create(_ROOT)
    before = {id: resident_bytes(ensemble.pid(id)) for id in ensemble.members}
    flows = []
    for index, client in enumerate(clients):
        client.sync()
        path = client.create(f"{_ROOT}/c{index:03d}")
        budget = znodes // _CONNECTIONS + (index < znodes % _CONNECTIONS)
        flows.append(Flow(client.stream, loads.load("create", path, b"v" * value_bytes, _WINDOW), _WINDOW, budget))
    started = time.perf_counter()
    outcome = run(flows, _LIMIT_S)
    seconds = time.perf_counter() - started
    if outcome.errors or outcome.replies != znodes:
        trouble = f"errors {dict(outcome.error_codes)}, lost {outcome.lost}"
        raise EnsembleError(f"{outcome.replies} of {znodes} znodes were created; {trouble}")
    for client in clients:
        client.sync()  # each server has applied all now
    after = {id: resident_bytes(ensemble.pid(id)) for id in ensemble.members}
    close(clients)
    return Memory(znodes, value_bytes, seconds, before, after)
