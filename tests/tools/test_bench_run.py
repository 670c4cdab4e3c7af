"""Every group of rows of the benchmark once against real servers, with few requests: that it measures, not how fast."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bench import __main__ as command
from tools.bench import etcd
from tools.bench.big import big
from tools.bench.failover import failover
from tools.bench.figures import Figures, Reporter, Scale
from tools.bench.goals import COORD, ETCD, GOALS, KEPT, LIMIT, LONG_VALUES, SLOW_DISK, SLOW_LEADER
from tools.bench.idle import idle
from tools.bench.libraries import libraries
from tools.bench.limit.measure import measure_limit
from tools.bench.loads import OPERATIONS
from tools.bench.locks import locks
from tools.bench.rows import connect, throughput
from tools.bench.shapes import LIMIT_ROWS, Row
from tools.bench.watchers import watchers
from tools.ensembles import CoordSoftware, Ensemble, slow_disk

SCALE = Scale(
    seconds=0.1,
    trials=1,
    watchers=10,
    watch_rounds=2,
    contenders=20,
    znodes=2_000,
    sessions=10,
    snapshot_after_bytes=1 << 20,
    snapshot_ends_s=0.1,
    idle_s=0.5,
    rows=tuple(Row(operation, 2, 5) for operation in OPERATIONS),
)


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Ensemble]:
    with Ensemble(CoordSoftware(), tmp_path / "servers") as started:
        started.start_all()
        started.wait_serving()
        yield started


def test_the_groups_that_share_an_ensemble_report_every_row_of_theirs(ensemble: Ensemble) -> None:
    figures = Figures()
    report = Reporter(figures, COORD, print)
    for group in (throughput, watchers, idle, locks, libraries, failover):
        group(ensemble, SCALE, report)
    assert figures.notes == []
    assert {f"{row}, {unit}" for row in SCALE.rows for unit in ("/s", "p50 ms", "p99 ms")} <= set(figures.values)
    expected = {goal.row.replace("1,000", "20") for goal in GOALS if goal.row.startswith(("leader", "Lock"))}
    assert [row for row in expected if not figures.of(row, COORD)] == []
    assert figures.of("10 watchers of one znode: set to last event, ms", COORD)
    assert figures.of("10 idle sessions (10 s timeout): cpu of all servers, % of one core", COORD)
    assert len([name for name in figures.values if name.startswith("one client with")]) == 4 + 2 * (4 + 2)


def test_what_must_not_slow_the_others_is_measured_and_leaves_the_ensemble_whole(ensemble: Ensemble) -> None:
    figures = Figures()
    command.beside(ensemble, SCALE, Reporter(figures, COORD, print))
    assert figures.notes == []
    rows = [goal.row.replace(KEPT, "/s") for goal in GOALS if LONG_VALUES in goal.row or KEPT in goal.row]
    assert len(rows) == 5
    without = (SLOW_DISK, SLOW_LEADER) if slow_disk.missing() is not None else ()
    assert [row for row in rows if not figures.of(row, COORD) and not any(what in row for what in without)] == []
    ensemble.wait_serving()
    with connect(ensemble, 1)[0] as client:
        assert client.children("/") == ["zookeeper"]


def test_a_tree_is_measured_from_its_first_znode_to_the_follower_that_begins_with_nothing(ensemble: Ensemble) -> None:
    figures = Figures()
    big(ensemble, SCALE, Reporter(figures, COORD, print))
    assert figures.notes == []
    expected = [goal.row.replace("1,000,000", "2,000") for goal in GOALS if "1,000,000" in goal.row]
    assert len(expected) == 5
    assert [row for row in expected if not figures.of(row, COORD)] == []


def test_the_bare_skeleton_answers_every_operation_it_knows(tmp_path: Path) -> None:
    figures = Figures()
    for operation in dict.fromkeys(row.operation for row in LIMIT_ROWS):
        row = Row(operation, 3, 10)
        measure_limit(tmp_path, row, SCALE.seconds, Reporter(figures, LIMIT, print))
        assert figures.median(f"{row}, /s", LIMIT)
    assert figures.notes == []


def test_the_command_measures_judges_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "WARM_UP_S", {COORD: 0.1})
    monkeypatch.setattr(command, "print_ceiling", lambda: None)
    files = ["--json", str(tmp_path / "new" / "bench.json"), "--svg", str(tmp_path / "new" / "bench.svg")]
    chosen = ["--only-rows", "throughput", "--only", "coord", "--row", "set:2x5", "--seconds", "0.1", "--repeat", "1"]
    assert command.main([*chosen, *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("set 2 x 5 of 100 B, /s") for line in lines)
    assert lines[-1] == f"0 goals met, 0 missed, {len(GOALS)} not measured"
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert len(written["figures"]["set 2 x 5 of 100 B, p99 ms"][COORD]) == 1
    assert (tmp_path / "new" / "bench.svg").read_text().startswith("<svg")


@pytest.mark.skipif(etcd.missing() is not None, reason=str(etcd.missing()))
def test_etcd_is_driven_where_it_is_installed(tmp_path: Path) -> None:
    figures = Figures()
    with etcd.started(tmp_path, 1) as ensemble:
        report = Reporter(figures, ETCD, print)
        etcd.prepare(ensemble, tmp_path)
        for row in (etcd.ROWS[0], etcd.ROWS[2]):
            report.figure(str(row), etcd.measure(ensemble, tmp_path, row, 1).per_second)
    assert len(figures.values) == 2
    assert [name for name in figures.values if not figures.median(name, ETCD)] == []
