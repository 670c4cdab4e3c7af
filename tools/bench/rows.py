"""What is measured: the rows of the table, and how one of them is run against an ensemble."""

import contextlib
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tools.bench import loads
from tools.bench.generator import Flow, Outcome, run
from tools.ensembles import Ensemble
from tools.ensembles.resources import cpu_s
from tools.wire.client import HungUpError, RawClient

SHAPES = ((1, 1), (100, 1), (10, 100), (100, 100))  # connections, requests in flight on each
VALUE_BYTES = (100, 1024)
_ROOT = "/bench"
_WARM_UP_SHARE = 0.1  # of a row's time, before it counts
_CLEAN_UP_S = 300.0


@dataclass(slots=True, frozen=True)
class Row:
    operation: str
    connections: int
    window: int
    value_bytes: int

    def __str__(self) -> str:
        return f"{self.operation} {self.connections}x{self.window} {self.value_bytes} B"


@dataclass(slots=True, frozen=True)
class Measurement:
    """One run of one row, or the median of several."""

    per_second: float
    p50_ms: float
    p99_ms: float
    generator_cpu: float  # processors the generator used: 0.25 is a quarter of one
    servers_cpu: float  # the same, of all servers together
    errors: int  # error replies and lost connections; any makes the other numbers doubtful
    error_text: str = ""


Progress: TypeAlias = Callable[[str], None]


def rows(operations: Sequence[str], quick: bool) -> list[Row]:
    """All of the table, or for `quick` the two shapes that tell most, at 100 bytes."""
    shapes = ((1, 1), (10, 100)) if quick else SHAPES
    sizes = VALUE_BYTES[:1] if quick else VALUE_BYTES
    return [
        Row(operation, connections, window, value_bytes)
        for operation in operations
        for value_bytes in sizes
        for connections, window in shapes
    ]


def connect(ensemble: Ensemble, count: int) -> list[RawClient]:
    """Connections spread evenly over the servers: the followers first, since most clients are served by one."""
    leader = ensemble.wait_leader()
    ids = [id for id in ensemble.members if id != leader] + [leader]
    return [RawClient(ensemble.members[ids[index % len(ids)]].client_port, wait_s=30) for index in range(count)]


def close(clients: Iterable[RawClient]) -> None:
    """End the sessions, those of lost connections excepted: they expire."""
    for client in clients:
        with contextlib.suppress(HungUpError, OSError):
            client.close_session()
        client.stream.close()


def measure(ensemble: Ensemble, row: Row, seconds: float) -> Measurement:
    """Run one row on znodes of its own, and remove them again."""
    clients = connect(ensemble, row.connections)
    paths = [f"{_ROOT}/c{index:03d}" for index in range(len(clients))]
    value = b"v" * row.value_bytes
    clients[0].create(_ROOT)
    for path, client in zip(paths, clients, strict=True):
        client.sync(_ROOT)
        client.create(path, value)
    flows = [
        Flow(client.stream, loads.load(row.operation, path, value, row.window), row.window)
        for path, client in zip(paths, clients, strict=True)
    ]
    pids = [ensemble.pid(id) for id in ensemble.members]
    before = sum(map(cpu_s, pids))
    outcome = run(flows, seconds, seconds * _WARM_UP_SHARE)
    used = sum(map(cpu_s, pids)) - before
    if row.operation == "create":
        _delete_children(clients, paths, flows)
    close(clients)
    with connect(ensemble, 1)[0] as client:
        client.sync()
        client.delete_all(_ROOT)
        client.close_session()
    p50, p99 = outcome.percentiles(0.50, 0.99)
    return Measurement(
        outcome.per_second,
        p50 * 1000,
        p99 * 1000,
        outcome.generator_cpu_s / outcome.seconds,
        used / (seconds * (1 + _WARM_UP_SHARE)),
        outcome.errors,
        _error_text(outcome),
    )


def warm_up(ensemble: Ensemble, seconds: float) -> None:
    """Give a virtual machine that compiles what is used often the time to do so."""
    for operation in loads.OPERATIONS:
        measure(ensemble, Row(operation, 10, 100, 100), seconds / len(loads.OPERATIONS))


def _delete_children(clients: Sequence[RawClient], paths: Sequence[str], flows: Sequence[Flow]) -> None:
    deleting = [
        Flow(client.stream, loads.load("delete", path, b"", 100), 100, budget=flow.sent)
        for client, path, flow in zip(clients, paths, flows, strict=True)
        if not flow.lost
    ]
    run(deleting, _CLEAN_UP_S)


def _error_text(outcome: Outcome) -> str:
    parts = [f"{count} replies with error {code}" for code, count in outcome.error_codes.items()]
    parts += [f"{outcome.lost.count(reason)} connections lost: {reason}" for reason in dict.fromkeys(outcome.lost)]
    return "; ".join(parts)


def median(measurements: Sequence[Measurement]) -> Measurement:
    """Each number's own median; errors are added up, since one is one too many."""
    return Measurement(
        statistics.median(each.per_second for each in measurements),
        statistics.median(each.p50_ms for each in measurements),
        statistics.median(each.p99_ms for each in measurements),
        statistics.median(each.generator_cpu for each in measurements),
        statistics.median(each.servers_cpu for each in measurements),
        sum(each.errors for each in measurements),
        "; ".join(each.error_text for each in measurements if each.error_text),
    )
