"""Figures, the goals they are held against, and how both are shown."""

import xml.etree.ElementTree
from pathlib import Path

import pytest

from tools.bench import svg, table
from tools.bench.__main__ import GROUPS, PANELS, QUICK_GROUPS, as_json, parse
from tools.bench.failover import longest_gap
from tools.bench.figures import Figures, Reporter
from tools.bench.goals import COORD, GOALS, KAZOO, LIMIT, MET, MISSED, OPEN, TAKEN, ZOOKEEPER, Goal, judge, lock_row
from tools.bench.ground import data_folder, file_system_of
from tools.bench.shapes import LIMIT_ROWS, ROWS, Row

RATE = "set 10 x 100 of 100 B, /s"
LATENCY = "set 1 x 1 of 100 B, p50 ms"


def figures(**values: dict[str, list[float]]) -> Figures:
    """By who, then by name."""
    found = Figures()
    for who, by_name in values.items():
        for name, each in by_name.items():
            found.values[name][who] = each
    return found


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "word"),
    [
        (Goal(RATE, 2, at_least=True), 200.0, 100.0, MET),
        (Goal(RATE, 2, at_least=True), 199.0, 100.0, MISSED),
        (Goal(LATENCY, 0.5, at_least=False), 5.0, 10.0, MET),
        (Goal(LATENCY, 0.5, at_least=False), 5.1, 10.0, MISSED),
        (Goal(LATENCY, 30, at_least=False, against=""), 30.0, 1.0, MET),
        (Goal(LATENCY, 30, at_least=False, against=""), 31.0, 1.0, MISSED),
        (Goal(RATE, 2, at_least=True), 200.0, 0.0, OPEN),
    ],
)
def test_a_goal_is_a_ratio_to_another_or_a_bound_of_its_own(goal: Goal, ours: float, theirs: float, word: str) -> None:
    found = figures(coord={goal.row: [ours]}, zookeeper={goal.row: [theirs]})
    assert judge(goal, found).word == word


def test_a_goal_is_judged_by_the_medians_of_all_turns() -> None:
    found = figures(coord={RATE: [1.0, 900.0, 400.0]}, zookeeper={RATE: [100.0, 200.0, 1.0]})
    assert judge(Goal(RATE, 4, at_least=True), found).reached == 4.0


@pytest.mark.parametrize("missing", [COORD, ZOOKEEPER])
def test_a_goal_with_one_side_missing_is_open(missing: str) -> None:
    there = ZOOKEEPER if missing == COORD else COORD
    found = judge(Goal(RATE, 2, at_least=True), figures(**{there: {RATE: [1.0]}}))
    assert (found.reached, found.word) == (None, OPEN)


def test_our_locks_are_compared_with_kazoos_on_zookeeper() -> None:
    goal = next(each for each in GOALS if each.row == lock_row("recipes on trio", TAKEN))
    found = figures(
        coord={goal.row: [300.0], lock_row(KAZOO, TAKEN): [1.0]}, zookeeper={lock_row(KAZOO, TAKEN): [100.0]}
    )
    assert judge(goal, found).reached == 3.0


def test_the_table_has_every_row_of_throughput_once_and_the_limits() -> None:
    assert len({(goal.row, goal.against) for goal in GOALS}) == len(GOALS)
    for row in ROWS:
        assert any(goal.row.startswith(f"{row},") and goal.against == ZOOKEEPER for goal in GOALS), row
    for row in LIMIT_ROWS:
        assert [goal.bound for goal in GOALS if goal.row == f"{row}, /s" and goal.against == LIMIT] == [0.5]


def test_a_line_shows_median_spread_ratio_and_verdict() -> None:
    found = figures(coord={RATE: [1_000.0, 3_000.0, 2_000.0]}, zookeeper={RATE: [500.0]})
    line = next(each for each in table.goals(found, table.judged(found)).splitlines() if each.startswith(RATE))
    assert line.removeprefix(RATE).split() == [
        *(">=", "3.5", "x", "zookeeper", "2,000", "(1,000-3,000)", "500", "4.00", "met"),
    ]


def test_the_end_names_what_missed_its_goal_and_counts_the_rest() -> None:
    found = figures(coord={RATE: [100.0], LATENCY: [1.0]}, zookeeper={RATE: [100.0], LATENCY: [2.0]})
    first, last = table.missed(table.judged(found)).splitlines()
    assert first == f"MISSED: {RATE}: 1.00, the goal is >= 3.5 x zookeeper"
    assert last == f"1 goals met, 1 missed, {len(GOALS) - 2} not measured"


def test_what_has_no_goal_is_shown_below() -> None:
    found = figures(coord={RATE: [1.0], "something else, ms": [0.5]}, zookeeper={"something else, ms": [120.0]})
    assert [line.split() for line in table.others(found).splitlines()] == [
        ["also", "measured", "coord", "zookeeper"],
        ["something", "else,", "ms", "0.50", "120"],
    ]


def test_columns_are_aligned() -> None:
    assert table.aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"


def test_the_picture_has_a_point_for_each_shape_that_was_measured() -> None:
    measured = {
        f"{row}, {unit}": [value] for row in PANELS[0][1] for unit, value in (("/s", 20_000.0), ("p50 ms", 3.5))
    }
    root = xml.etree.ElementTree.fromstring(svg.picture(figures(coord=measured, etcd=dict(measured)), PANELS))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2 * len(PANELS[0][1])
    assert "10 x 100" in [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_json_holds_every_value_and_verdict() -> None:
    found = figures(coord={RATE: [1.0, 2.0]})
    text = as_json(parse(["--quick"]), found, {"machine": "this one"})
    assert text["figures"] == {RATE: {COORD: [1.0, 2.0]}}
    assert isinstance(text["goals"], list)
    assert len(text["goals"]) == len(GOALS)


def test_figures_are_kept_by_who_in_order_and_notes_name_who() -> None:
    found, said = Figures(), list[str]()
    report = Reporter(found, COORD, said.append)
    report.figure(RATE, 2.0)
    report.figure(RATE, 1.0)
    report.note("it was late")
    assert (found.of(RATE, COORD), found.median(RATE, COORD), found.of(RATE, ZOOKEEPER)) == ([2.0, 1.0], 1.5, [])
    assert found.notes == ["coord: it was late"]
    assert len(said) == 3


def test_quick_leaves_out_what_takes_long() -> None:
    assert parse(["--quick"]).groups == list(QUICK_GROUPS)
    assert parse([]).groups == list(GROUPS)
    assert parse(["--quick", "--only-rows", "big"]).groups == ["big"]


@pytest.mark.parametrize(
    "wrong",
    [["--only-rows", "small"], ["--only", "raft"], ["--row", "set:10"], ["--row", "add:1x1"], ["--row", "set:0x1"]],
)
def test_a_wrong_choice_is_told_with_its_option(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert f"{wrong[0]}: {wrong[1]}" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--seconds", "0.0"], ["--znodes", "999"], ["--repeat", "0"]])
def test_too_few_of_anything_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert f"{wrong[0]}: {wrong[1]} is too few" in capsys.readouterr().err


def test_a_row_is_named_on_the_command_line_by_its_shape() -> None:
    assert parse(["--row", "set:10x20", "--row", "get:1x1:1024"]).rows == (Row("set", 10, 20), Row("get", 1, 1, 1024))


MOUNTS = """\
/dev/sda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/sdb /tmp/with\\040space xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/x", "ext4"), ("/tmp", "tmpfs"), ("/tmp/a", "tmpfs"), ("/tmpx", "ext4"), ("/tmp/with space/b", "xfs")],
)
def test_a_folders_file_system_is_the_innermost_mount(folder: str, kind: str) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind


def test_data_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tools.bench.ground.file_system", lambda folder: "tmpfs")
    with pytest.raises(OSError, match="lies in memory, where a sync costs nothing"):
        data_folder(tmp_path)


def test_the_gap_is_the_longest_pause_from_the_last_answer_before_the_fault() -> None:
    assert longest_gap([0.0, 5.0, 5.1, 5.2, 7.2, 7.3], struck_at=5.15) == 2.0
    assert longest_gap([1.0], struck_at=2.0) == float("inf")
