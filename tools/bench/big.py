"""A million znodes of 100 bytes: memory, throughput, restart, snapshots, and a follower that begins with nothing.

In this order, on one ensemble, with all settings at their defaults but for one: coord takes a snapshot after 128 MiB of
log, which at 10,000 sets a second would be minutes; before the stall is measured its servers are started again with
a lower limit. ZooKeeper takes one after 50,000 to 100,000 transactions anyway.
"""

import shutil
import time
from collections.abc import Sequence

from tools.bench import loads
from tools.bench.beside import Beside
from tools.bench.figures import Report, Scale
from tools.bench.generator import Flow, run
from tools.bench.goals import NEW_FOLLOWER, RESIDENT, RESTART, SETS_KEPT, STALL, of_znodes
from tools.bench.rows import close, connect, error_text, run_flows, wait_reads
from tools.ensembles import CoordSoftware, Ensemble, EnsembleError
from tools.ensembles.resources import resident_bytes

ROOT = "/big"
PARENTS = 10
FEW = 1_000
VALUE = b"v" * 100
SETS_PER_SECOND = 10_000
_WINDOW = 100
_FILL_LIMIT_S = 3_600.0
_SNAPSHOT_LIMIT_S = 120.0
_RESTART_LIMIT_S = 300.0
_MEGABYTE = 1e6


def big(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    few, many = FEW // PARENTS, scale.znodes // PARENTS
    with connect(ensemble, 1)[0] as client:
        client.create(ROOT)
        for path in _paths():
            client.create(path)
        client.close_session()
    empty = max(_resident(ensemble))
    _fill(ensemble, 0, few)
    with_few = _sets(ensemble, few, scale.seconds, report)
    begin = time.perf_counter()
    _fill(ensemble, few, many)
    report.figure(of_znodes(scale.znodes, "created, /s"), (many - few) * PARENTS / (time.perf_counter() - begin))
    full = max(_resident(ensemble))
    report.figure(of_znodes(scale.znodes, RESIDENT), full / _MEGABYTE)
    report.figure(of_znodes(scale.znodes, "of that grown by, bytes a znode"), (full - empty) / scale.znodes)
    report.figure(SETS_KEPT.format(many=scale.znodes), _sets(ensemble, many, scale.seconds, report) / with_few)
    _restart(ensemble, scale, report)
    if isinstance(ensemble.software, CoordSoftware):
        _start_again(ensemble, ("--snapshot-after-bytes", str(scale.snapshot_after_bytes)))
    _stall(ensemble, scale, report)
    _new_follower(ensemble, scale, report)


# ---- the rows


def _restart(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """A follower is killed, and started: until a client has a session there and reads."""
    follower = ensemble.followers()[0]
    ensemble.kill9(follower)
    begin = time.perf_counter()
    ensemble.start(follower)
    wait_reads(ensemble, follower, _paths()[-1], _RESTART_LIMIT_S, sync=False)
    report.figure(of_znodes(scale.znodes, RESTART), time.perf_counter() - begin)
    ensemble.wait_serving()
    ensemble.kill9_all()
    begin = time.perf_counter()
    ensemble.start_all()
    for id in ensemble.members:
        wait_reads(ensemble, id, _paths()[-1], _RESTART_LIMIT_S, sync=True)
    report.figure(of_znodes(scale.znodes, "restart of all servers at once, s"), time.perf_counter() - begin)
    ensemble.wait_serving()


def _stall(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """Load and ticker run until each server has taken a snapshot; the worst of the servers."""
    ports = [member.client_port for member in ensemble.members.values()]
    with _paced(ensemble, scale, ports) as load:
        with Beside("ticker", *ports) as quiet:
            time.sleep(scale.seconds)
            before = quiet.end()
        had = {id: _snapshots(ensemble, id) for id in ensemble.members}
        with Beside("ticker", *ports) as ticker:
            ensemble.wait_until(
                lambda: all(_snapshots(ensemble, id) - had[id] for id in ensemble.members),
                "a snapshot of each server",
                _SNAPSHOT_LIMIT_S,
            )
            time.sleep(scale.snapshot_ends_s)
            found = ticker.end()
        _note_load(load, report)
    report.figure(of_znodes(scale.znodes, STALL), max(found["longest_s"]) * 1000)
    row = of_znodes(scale.znodes, f"longest stall under the same sets for {scale.seconds:g} s before that, ms")
    report.figure(row, max(before["longest_s"]) * 1000)
    report.figure(of_znodes(scale.znodes, "the ticker itself was late by, ms"), found["ticker_late_s"] * 1000)


def _new_follower(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """A follower loses its disk, and is started with an empty one, while the others are written to.

    In sync means: a sync through it is answered, and what is read then is what the leader has.
    """
    follower = ensemble.followers()[0]
    ports = [member.client_port for id, member in ensemble.members.items() if id != follower]
    ensemble.kill9(follower)
    member = ensemble.members[follower]
    shutil.rmtree(member.folder / "data")
    ensemble.software.prepare(member, tuple(ensemble.members.values()))
    with _paced(ensemble, scale, ports) as load:
        begin = time.perf_counter()
        ensemble.start(follower)
        wait_reads(ensemble, follower, _paths()[-1], _RESTART_LIMIT_S, sync=True)
        report.figure(of_znodes(scale.znodes, NEW_FOLLOWER), time.perf_counter() - begin)
        _note_load(load, report)


def _sets(ensemble: Ensemble, children: int, seconds: float, report: Report) -> float:
    """Sets a second, all over the znodes that are there."""
    clients = connect(ensemble, PARENTS)
    flows = [
        Flow(client.stream, loads.sets_among(path, children, VALUE, _WINDOW), _WINDOW)
        for client, path in zip(clients, _paths(), strict=True)
    ]
    measured = run_flows(ensemble, flows, seconds)
    if measured.errors:
        report.note(f"sets among {children * PARENTS:,} znodes: {measured.error_text}")
    report.figure(f"set 10 x 100 of 100 B all over {children * PARENTS:,} znodes, /s", measured.per_second)
    close(clients)
    return measured.per_second


# ---- helpers


def _paths() -> list[str]:
    return [f"{ROOT}/c{index:03d}" for index in range(PARENTS)]


def _fill(ensemble: Ensemble, first: int, upto: int) -> None:
    """Below each parent the children from number `first` on; all servers have them in the end."""
    clients = connect(ensemble, PARENTS)
    flows = []
    for client, path in zip(clients, _paths(), strict=True):
        client.sync(path)
        ring = loads.load("create", path, VALUE, _WINDOW)
        flows.append(Flow(client.stream, ring, _WINDOW, upto - first, first))
    outcome = run(flows, _FILL_LIMIT_S)
    wanted = (upto - first) * PARENTS
    if outcome.errors or outcome.replies != wanted:
        raise EnsembleError(f"{outcome.replies} of {wanted} znodes were created; {error_text(outcome)}")
    close(clients)  # some may have been idle for so long that their sessions are over
    clients = connect(ensemble, len(ensemble.members))
    for client in clients:
        client.sync()
    close(clients)


def _resident(ensemble: Ensemble) -> list[int]:
    return [resident_bytes(ensemble.pid(id)) for id in ensemble.members]


def _paced(ensemble: Ensemble, scale: Scale, ports: Sequence[int]) -> Beside:
    places = [f"{path}:{ports[index % len(ports)]}" for index, path in enumerate(_paths())]
    return Beside("paced", SETS_PER_SECOND, scale.znodes // PARENTS, *places)


def _note_load(load: Beside, report: Report) -> None:
    found = load.end()
    report.figure(f"sets under way meanwhile (asked for {SETS_PER_SECOND:,}), /s", found["per_second"])
    if found["errors"] or found["lost"]:
        report.note(f"the sets that went on meanwhile: {found['errors']} errors, connections lost: {found['lost']}")


def _snapshots(ensemble: Ensemble, id: int) -> set[str]:
    """Names of the snapshots on a server's disk: coord's bear them when they are done, ZooKeeper's when they begin."""
    data = ensemble.members[id].folder / "data"
    if isinstance(ensemble.software, CoordSoftware):
        return {path.name for path in data.glob("snapshots/*") if not path.name.startswith("part.")}
    return {path.name for path in data.glob("version-2/snapshot.*")}


def _start_again(ensemble: Ensemble, options: tuple[str, ...]) -> None:
    for id in ensemble.members:
        ensemble.stop(id)
    ensemble.software = CoordSoftware(options)
    ensemble.start_all()
    ensemble.wait_serving(timeout_s=_RESTART_LIMIT_S)
