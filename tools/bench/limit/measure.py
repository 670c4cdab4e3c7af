"""The bare skeleton as one of those who are measured: three processes, started for one row, which they know before."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.bench import loads
from tools.bench.figures import Report, Scale
from tools.bench.generator import Flow, run
from tools.bench.rows import measurement, tell
from tools.bench.shapes import LIMIT_ROWS, Row
from tools.ensembles.ports import free_ports
from tools.ensembles.resources import cpu_s
from tools.wire.client import RawClient

SERVERS = 3
_PATH = "/bench/c000"
_WARM_UP_SHARE = 0.1
_END_S = 10.0


def limit(folder: Path, scale: Scale, report: Report) -> None:
    """All rows that it can answer, with its logs in `folder`."""
    for row in LIMIT_ROWS:
        if not scale.rows or row in scale.rows:
            measure_limit(folder, row, scale.seconds, report)


def measure_limit(folder: Path, row: Row, seconds: float, report: Report) -> None:
    with _servers(folder, row) as (children, ports):
        order = [*ports[1:], ports[0]]  # the followers first, as with the others
        clients = [RawClient(order[index % SERVERS]) for index in range(row.connections)]
        value = b"v" * row.value_bytes
        flows = [Flow(each.stream, loads.load(row.operation, _PATH, value, row.window), row.window) for each in clients]
        before = sum(cpu_s(each.pid) for each in children)
        outcome = run(flows, seconds, seconds * _WARM_UP_SHARE)
        used = sum(cpu_s(each.pid) for each in children) - before
        for client in clients:
            client.stream.close()
    tell(report, row, measurement(outcome, used / (seconds * (1 + _WARM_UP_SHARE))))


@contextlib.contextmanager
def _servers(folder: Path, row: Row) -> Iterator[tuple[list["subprocess.Popen[bytes]"], list[int]]]:
    """Three of them that are ready, and their ports for clients."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_ports(2 * SERVERS)
    client_ports, peer_ports = ports[:SERVERS], ports[SERVERS:]
    children: list[subprocess.Popen[bytes]] = []
    try:
        for id, port in enumerate(client_ports, 1):
            command = [
                *(sys.executable, "-m", "tools.bench.limit.server", str(id), str(folder / f"log-{id}"), str(port)),
                *(",".join(map(str, peer_ports)), row.operation, str(len(_PATH)), str(row.value_bytes)),
            ]
            children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for child in children:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                raise OSError("a server of the bare skeleton ended before it began; its error is above")
        yield children, client_ports
    finally:
        for child in children:
            assert child.stdin is not None
            child.stdin.close()  # by which it ends
        for child in children:
            try:
                child.wait(_END_S)
            except subprocess.TimeoutExpired:
                child.kill()
            assert child.stdout is not None
            child.stdout.close()
