"""The command that simulates: what it says, and how it ends."""

import pytest

from tools.simulate.__main__ import main
from tools.simulate.mutants import MUTANTS, mutated
from tools.simulate.situations import HAS_TO_OCCUR, SEEDS_ENOUGH, missing


def test_seeds_that_hold_end_with_0_and_tell_how_many_events_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--first-seed", "3", "--seeds", "1", "--traces"]) == 0
    told = capsys.readouterr().out
    assert "seed 3: " in told
    assert "1 seeds, 0 failed" in told


def test_a_failing_seed_ends_with_1_and_with_the_command_that_replays_it(capsys: pytest.CaptureFixture[str]) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "skip_the_sync_of_the_log")
    with mutated(mutant):
        assert main(["--first-seed", "0", "--seeds", "1"]) == 1
    told = capsys.readouterr().out
    assert "failed (I2): python -m tools.simulate --first-seed 0 --seeds 1" in told
    assert "the last events:" in told
    assert "Plan(voters=" in told


def test_many_seeds_must_meet_everything_and_few_need_not() -> None:
    assert missing({}, SEEDS_ENOUGH - 1) == []
    assert missing({}, SEEDS_ENOUGH) == list(HAS_TO_OCCUR)
