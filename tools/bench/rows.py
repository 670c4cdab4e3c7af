"""Throughput and latency: how one row is run against an ensemble."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench import loads
from tools.bench.figures import Report, Scale
from tools.bench.generator import Flow, Outcome, run
from tools.bench.shapes import ROWS, Row
from tools.ensembles import Ensemble, EnsembleError
from tools.ensembles.resources import cpu_s
from tools.wire import jute
from tools.wire.client import HungUpError, RawClient, RawError, SessionRefusedError
from tools.wire.jute import Op

_ROOT = "/bench"
_WARM_UP_SHARE = 0.1  # of a row's time, before it counts
_CLEAN_UP_S = 300.0
_POLL_S = 0.005
_CREATES_MAX = 1_000_000
"""A create row ends with so many, whatever its time: the servers' memory is another row's question."""


@dataclass(slots=True, frozen=True)
class Measurement:
    """One run of one row."""

    per_second: float
    p50_ms: float
    p99_ms: float
    generator_cpu: float  # processors the generator used: 0.25 is a quarter of one
    servers_cpu: float  # the same, of all servers together
    errors: int  # error replies and lost connections; any makes the other numbers doubtful
    error_text: str = ""


def throughput(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """All rows, one after the other."""
    for row in scale.rows or ROWS:
        tell(report, row, measure(ensemble, row, scale.seconds))


def tell(report: Report, row: Row, measured: Measurement) -> None:
    """Three figures of a row, and those of the processors, which have no goal."""
    report.figure(f"{row}, /s", measured.per_second)
    report.figure(f"{row}, p50 ms", measured.p50_ms)
    report.figure(f"{row}, p99 ms", measured.p99_ms)
    report.figure(f"{row}, processors of the servers", measured.servers_cpu)
    report.figure(f"{row}, processors of the generator", measured.generator_cpu)
    if measured.errors:
        report.note(f"{row}: {measured.error_text}")


def connect(ensemble: Ensemble, count: int, through: Sequence[int] = ()) -> list[RawClient]:
    """Connections spread evenly over these servers (all): the followers first, since most clients are served by one."""
    leader = ensemble.wait_leader()
    ids = through or [*(id for id in ensemble.members if id != leader), leader]
    return [RawClient(ensemble.members[ids[index % len(ids)]].client_port, wait_s=30) for index in range(count)]


def close(clients: Sequence[RawClient]) -> None:
    """End the sessions, those of lost connections excepted: they expire."""
    open_still = []
    for client in clients:
        with contextlib.suppress(OSError):
            client.send(Op.CLOSE_SESSION)
            open_still.append(client)
    for client in open_still:
        with contextlib.suppress(HungUpError, OSError):
            client.receive_reply()
    for client in clients:
        client.stream.close()


def wait_reads(ensemble: Ensemble, id: int, path: str, timeout_s: float, sync: bool) -> None:
    """Until a client has a session at this server and has read a znode there, after a sync if that is asked for."""
    port = ensemble.members[id].client_port
    deadline = time.perf_counter() + timeout_s
    while time.perf_counter() < deadline:
        with contextlib.suppress(OSError, HungUpError, SessionRefusedError, RawError):
            with RawClient(port, wait_s=timeout_s) as client:
                if sync:
                    client.sync(path)
                client.get(path)
                client.close_session()
            return
        time.sleep(_POLL_S)
    raise EnsembleError(f"server {id} did not serve within {timeout_s:g} s.{ensemble.tail(id)}")


def measure(ensemble: Ensemble, row: Row, seconds: float, through: Sequence[int] = ()) -> Measurement:
    """Run one row on znodes of its own, through these servers (all), and remove them again."""
    clients = connect(ensemble, row.connections, through)
    paths = [f"{_ROOT}/c{index:03d}" for index in range(len(clients))]
    value = b"v" * row.value_bytes
    clients[0].create(_ROOT)
    for path, client in zip(paths, clients, strict=True):
        made = [path, *loads.multi_paths(path)] if row.operation == "multi" else [path]
        client.send_all([(Op.SYNC, jute.string(_ROOT)), *((Op.CREATE, jute.create(each, value)) for each in made)])
    for client in clients:
        for _ in range(2 + (loads.SETS_PER_MULTI if row.operation == "multi" else 0)):
            client.receive_reply().reader()
    budget = _CREATES_MAX // row.connections if row.operation == "create" else None
    flows = [
        Flow(client.stream, loads.load(row.operation, path, value, row.window), row.window, budget)
        for path, client in zip(paths, clients, strict=True)
    ]
    measured = run_flows(ensemble, flows, seconds)
    if row.operation == "create":
        delete_children(flows, paths)
    close(clients)
    with connect(ensemble, 1)[0] as client:
        client.sync()
        client.delete_all(_ROOT)
        client.close_session()
    return measured


def run_flows(ensemble: Ensemble, flows: Sequence[Flow], seconds: float) -> Measurement:
    """Drive the flows for so long, and watch what the servers use meanwhile."""
    pids = [ensemble.pid(id) for id in ensemble.members]
    before = sum(map(cpu_s, pids))
    outcome = run(flows, seconds, seconds * _WARM_UP_SHARE)
    used = sum(map(cpu_s, pids)) - before
    return measurement(outcome, used / (seconds * (1 + _WARM_UP_SHARE)))


def measurement(outcome: Outcome, servers_cpu: float = 0.0) -> Measurement:
    p50, p99 = outcome.percentiles(0.50, 0.99)
    return Measurement(
        outcome.per_second,
        p50 * 1000,
        p99 * 1000,
        outcome.generator_cpu_s / outcome.seconds if outcome.seconds else 0.0,
        servers_cpu,
        outcome.errors,
        error_text(outcome),
    )


def warm_up(ensemble: Ensemble, seconds: float) -> None:
    """Give a virtual machine that compiles what is used often the time to do so."""
    for operation in loads.OPERATIONS:
        measure(ensemble, Row(operation, 10, 20 if operation == "multi" else 100), seconds / len(loads.OPERATIONS))


def delete_children(flows: Sequence[Flow], paths: Sequence[str]) -> None:
    """What these flows of creations have made."""
    deleting = [
        Flow(flow.stream, loads.load("delete", path, b"", 100), 100, budget=flow.sent)
        for flow, path in zip(flows, paths, strict=True)
        if not flow.lost
    ]
    run(deleting, _CLEAN_UP_S)


def error_text(outcome: Outcome) -> str:
    parts = [f"{count} replies with error {code}" for code, count in outcome.error_codes.items()]
    parts += [f"{outcome.lost.count(reason)} connections lost: {reason}" for reason in dict.fromkeys(outcome.lost)]
    return "; ".join(parts)
