"""One of three servers is frozen, gets a fifth of the time, or has a slow disk: what do the others' clients feel?

Whoever is disturbed has no clients. The same load runs through the other two without and then with the disturbance;
what counts is the ratio. A disturbed follower must be in sync again afterwards.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

from tools.bench.figures import Report, Scale
from tools.bench.generator import Flow
from tools.bench.goals import FROZEN, KEPT, SLOW_DISK, SLOW_LEADER, SLOWED, disturbed
from tools.bench.loads import load
from tools.bench.rows import Measurement, close, connect, measure, run_flows, wait_reads
from tools.bench.shapes import SLOW_DISK_ROWS, SLOW_FOLLOWER_ROW, Row
from tools.ensembles import Ensemble, EnsembleError
from tools.ensembles.resources import resident_bytes
from tools.ensembles.slow_disk import missing, slow_disk

SYNC_MS = 50
"""What each sync of the slow disk takes longer."""
RUN_S, REST_S = 0.02, 0.08
"""In turns: of a server that gets a fifth of the time."""
_SHARE = 2 / 3
"""Of a row's usual time: there are many of them."""
_LIMIT_S = 60.0
_LEADERS_MAX = 10
_MEGABYTE = 1e6


def slow(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """Disks are left out where they cannot be slowed."""
    slow_follower(ensemble, scale.seconds * _SHARE, report)
    if missing() is None:
        slow_disks(ensemble, scale.seconds * _SHARE, report)


def slow_follower(ensemble: Ensemble, seconds: float, report: Report) -> None:
    """Frozen, and then in turns. The leader's memory meanwhile, and the time until the follower has all."""
    leader, follower = ensemble.wait_leader(), max(ensemble.followers())
    with Sets(ensemble, SLOW_FOLLOWER_ROW, [id for id in ensemble.members if id != follower]) as sets:
        before = sets.run(seconds)
        _tell(report, SLOW_FOLLOWER_ROW, "through two of three servers", before)
        memory = resident_bytes(ensemble.pid(leader))
        with _frozen(ensemble, follower):
            _tell_kept(report, SLOW_FOLLOWER_ROW, FROZEN, sets.run(seconds), before)
            grown = resident_bytes(ensemble.pid(leader)) - memory
        report.figure(f"{disturbed(SLOW_FOLLOWER_ROW, FROZEN)}, memory of the leader grew by, MB", grown / _MEGABYTE)
        _tell_in_sync(ensemble, follower, sets.path, FROZEN, report)
        with _in_turns(ensemble, follower):
            _tell_kept(report, SLOW_FOLLOWER_ROW, SLOWED, sets.run(seconds), before)
        _tell_in_sync(ensemble, follower, sets.path, SLOWED, report)


def slow_disks(ensemble: Ensemble, seconds: float, report: Report) -> None:
    """A follower's disk, then the leader's: the same server, which is made to lead."""
    server = max(ensemble.members)
    before: list[list[Measurement]] = []
    for prefix in ((), slow_disk(SYNC_MS)):
        ensemble.stop(server)
        ensemble.start(server, prefix)
        ensemble.wait_serving()
        for index, (what, leads) in enumerate(((SLOW_DISK, False), (SLOW_LEADER, True))):
            if leads:
                _make_lead(ensemble, server)
            others = [id for id in ensemble.members if id != server]
            measured = [measure(ensemble, row, seconds, others) for row in SLOW_DISK_ROWS]
            if not prefix:
                before.append(measured)
                continue
            for row, each, undisturbed in zip(SLOW_DISK_ROWS, measured, before[index], strict=True):
                _tell_kept(report, row, what, each, undisturbed)
    ensemble.stop(server)
    ensemble.start(server)
    ensemble.wait_serving()


# ---- what is told


def _tell(report: Report, row: Row, what: str, measured: Measurement) -> None:
    report.figure(f"{disturbed(row, what)}, /s", measured.per_second)
    report.figure(f"{disturbed(row, what)}, p50 ms", measured.p50_ms)
    report.figure(f"{disturbed(row, what)}, p99 ms", measured.p99_ms)
    if measured.errors:
        report.note(f"{disturbed(row, what)}: {measured.error_text}")


def _tell_kept(report: Report, row: Row, what: str, measured: Measurement, before: Measurement) -> None:
    """The figures, and what they are of the undisturbed ones."""
    _tell(report, row, what, measured)
    if before.per_second and before.p99_ms:
        report.figure(f"{disturbed(row, what)}, {KEPT}", measured.per_second / before.per_second)
        report.figure(f"{disturbed(row, what)}, p99 / undisturbed, ratio", measured.p99_ms / before.p99_ms)


def _tell_in_sync(ensemble: Ensemble, follower: int, path: str, what: str, report: Report) -> None:
    begin = time.perf_counter()
    wait_reads(ensemble, follower, path, _LIMIT_S, sync=True)
    report.figure(f"{disturbed(SLOW_FOLLOWER_ROW, what)}, in sync afterwards, s", time.perf_counter() - begin)


# ---- what is done to servers


@contextlib.contextmanager
def _frozen(ensemble: Ensemble, id: int) -> Iterator[None]:
    ensemble.sigstop(id)
    try:
        yield
    finally:
        ensemble.sigcont(id)


@contextlib.contextmanager
def _in_turns(ensemble: Ensemble, id: int) -> Iterator[None]:
    """Run for RUN_S, rest for REST_S, and again."""
    ended = threading.Event()

    def turns() -> None:
        while not ended.wait(RUN_S):
            with _frozen(ensemble, id):
                ended.wait(REST_S)

    thread = threading.Thread(target=turns, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _make_lead(ensemble: Ensemble, id: int) -> None:
    """Stop whoever leads until this one does: among those whose logs are equally long it has the highest id."""
    for _ in range(_LEADERS_MAX):
        leader = ensemble.wait_leader()
        if leader == id:
            ensemble.wait_serving()
            return
        ensemble.stop(leader)
        ensemble.wait_leader()
        ensemble.start(leader)
        ensemble.wait_serving()
    raise EnsembleError(f"server {id} did not become leader in {_LEADERS_MAX} elections")


class Sets:
    """Sets of znodes of their own through some of the servers, to be run several times."""

    def __init__(self, ensemble: Ensemble, row: Row, through: Sequence[int]) -> None:
        self._ensemble = ensemble
        self._clients = connect(ensemble, row.connections, through)
        paths = [f"/slow-{index:03d}" for index in range(row.connections)]
        value = bytes(row.value_bytes)
        for client, path in zip(self._clients, paths, strict=True):
            client.create(path, value)
        self._flows = [
            Flow(client.stream, load(row.operation, path, value, row.window), row.window)
            for client, path in zip(self._clients, paths, strict=True)
        ]
        self._paths = paths

    @property
    def path(self) -> str:
        return self._paths[0]

    def run(self, seconds: float) -> Measurement:
        return run_flows(self._ensemble, self._flows, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        close(self._clients)
        with connect(self._ensemble, 1)[0] as client:
            for path in self._paths:
                client.delete(path)
            client.close_session()
