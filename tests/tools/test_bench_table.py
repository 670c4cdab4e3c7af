"""How the benchmark's numbers are shown."""

from dataclasses import replace

from tools.bench import table
from tools.bench.failover import Trial, longest_gap
from tools.bench.libraries import medians
from tools.bench.memory import Memory
from tools.bench.rows import Measurement, Row, median, rows

ROW = Row("set", 10, 100, 1024)
FAST = Measurement(40_000.4, 1.5, 9.25, 0.25, 1.5, 0)
SLOW = replace(FAST, per_second=10_000.0)


def test_the_table_has_a_line_a_row_and_the_ratio() -> None:
    header, line = table.throughput({"coord": {ROW: FAST}, "zookeeper": {ROW: SLOW}}).splitlines()
    assert "coord/zookeeper" in header
    assert line.split() == [
        *("set", "10x100", "1024", "B", "40,000", "1.50", "9.25", "1.50", "0"),
        *("10,000", "1.50", "9.25", "1.50", "0", "4.00", "25%", "/", "25%"),
    ]


def test_one_software_alone_has_no_ratio() -> None:
    assert "coord/" not in table.throughput({"coord": {ROW: FAST}})


def test_columns_are_aligned() -> None:
    assert table.aligned([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"


def test_rows_with_errors_are_told_with_what_they_were() -> None:
    bad = replace(FAST, errors=3, error_text="3 replies with error -101")
    assert table.errors({"coord": {ROW: bad}}) == "coord: set 10x100 1024 B: 3 replies with error -101"
    assert table.errors({"coord": {ROW: FAST}}) == ""


def test_a_median_is_taken_of_each_number_and_errors_are_added_up() -> None:
    runs = [replace(FAST, per_second=value, errors=1, error_text="x") for value in (3.0, 1.0, 2.0)]
    middle = median(runs)
    assert (middle.per_second, middle.errors, middle.error_text) == (2.0, 3, "x; x; x")


def test_the_whole_table_has_every_combination() -> None:
    assert len(rows(["set", "get"], quick=False)) == 2 * 4 * 2
    assert len(set(rows(["set", "create", "get", "mix"], quick=False))) == 32
    assert len(rows(["set"], quick=True)) == 2


def test_the_gap_is_the_longest_pause_from_the_last_answer_before_the_fault() -> None:
    assert longest_gap([0.0, 5.0, 5.1, 5.2, 7.2, 7.3], struck_at=5.15) == 2.0
    assert longest_gap([1.0], struck_at=2.0) == float("inf")


def test_the_failover_table_has_median_and_maximum() -> None:
    trials = [Trial(0.1, 0), Trial(0.3, 1), Trial(0.2, 0)]
    assert table.failover({"coord": {"killed": trials}}).splitlines()[1].split() == [
        *("killed", "coord", "3", "200", "300", "1")
    ]


def test_the_memory_table_divides_the_growth() -> None:
    text = table.memory({"coord": Memory(1000, 100, 1.5, {1: 1 << 20}, {1: (1 << 20) + 500_000})})
    assert text.splitlines()[0] == "1,000 znodes of 100 B, created in: coord 1.5 s"
    assert text.splitlines()[2].split() == ["coord", "1", "1.0", "1.5", "500"]


def test_client_libraries_are_compared_with_kazoo_on_zookeeper() -> None:
    found = {
        "coord": {"kazoo": {("get", 100): 500.0}, "coord, pipeline": {("get", 100): 4_000.0, ("set", 1): 10.0}},
        "zookeeper": {"kazoo": {("get", 100): 1_000.0, ("set", 1): 20.0}},
    }
    header, *lines = table.libraries(found).splitlines()
    assert header.split("  ")[0] == "one client, operation x in flight"
    assert [line.split()[-4:] for line in lines] == [
        ["500", "0.50", "-", "-"],
        ["4,000", "4.00", "10", "0.50"],
        ["1,000", "1.00", "20", "1.00"],
    ]


def test_turns_of_a_library_become_medians() -> None:
    turns = [{"kazoo": {("get", 1): rate}} for rate in (5.0, 1.0, 2.0)]
    assert medians(turns) == {"kazoo": {("get", 1): 2.0}}
    assert medians([]) == {}
