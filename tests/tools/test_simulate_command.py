"""The command that simulates: what it says, and how it ends."""

from collections import Counter

import pytest

from tools.simulate.__main__ import main
from tools.simulate.faults import FAULTS
from tools.simulate.mutants import MUTANTS, blind, mutated, table
from tools.simulate.situations import HAS_TO_OCCUR, SEEDS_ENOUGH, missing


def test_seeds_that_hold_end_with_0_and_tell_how_many_events_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--first-seed", "3", "--seeds", "1", "--traces"]) == 0
    told = capsys.readouterr().out
    assert "seed 3: " in told
    assert "1 seeds, 0 failed" in told


def test_a_failing_seed_ends_with_1_and_with_the_command_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "skip_a_zxid")
    with mutated(mutant):
        assert main(["--first-seed", "0", "--seeds", "1"]) == 1
    told = capsys.readouterr().out
    assert "failed (I4): python -m tools.simulate --first-seed 0 --seeds 1" in told
    assert "the last events:" in told
    assert "Plan(voters=" in told


def test_many_seeds_must_meet_everything_and_few_need_not() -> None:
    assert missing({}, SEEDS_ENOUGH - 1) == []
    assert missing({}, SEEDS_ENOUGH) == list(HAS_TO_OCCUR)


def test_a_kind_of_fault_that_never_happened_is_missed() -> None:
    situations = Counter(dict.fromkeys(HAS_TO_OCCUR, 1)) + Counter()
    situations["fault: kill one"] = 0
    assert missing(situations, SEEDS_ENOUGH) == ["fault: kill one"]


def test_seeds_count_the_kinds_of_faults_that_they_know_and_do_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--first-seed", "3", "--seeds", "1"])
    told = capsys.readouterr().out
    assert [fault.__name__ for fault in FAULTS if f"fault: {fault.__name__.replace('_', ' ')}" not in told] == []


def test_the_table_of_mutants_shows_who_noticed_and_who_should_have() -> None:
    counts = {mutant.title: Counter({checker: 1 for checker in mutant.by}) for mutant in MUTANTS}
    assert blind(counts) == []
    counts["skip_the_sync_of_the_log"] = Counter({"I10": 2, "": 8})
    assert blind(counts) == ["skip_the_sync_of_the_log: I2 did not notice"]
    heading, row = table(counts).splitlines()[:2]
    assert heading.split()[-1] == "unnoticed"
    assert row.split()[0] == "skip_the_sync_of_the_log"
    assert "[0]" in row
    assert row.endswith("8 of 10")
