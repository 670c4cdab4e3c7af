"""Whole ensembles under faults, one a seed (tools/simulate); and deliberate defects, each of which must be noticed."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tools.simulate.mutants import MUTANTS, Mutant, hunt
from tools.simulate.runs import tell
from tools.simulate.situations import SEEDS_ENOUGH, missing

ROOT = Path(__file__).resolve().parents[2]

_situations: Counter[str] = Counter()
_seeds_run: list[int] = []


def test_whatever_happens_the_ensemble_keeps_its_word_and_comes_together_again(broadcast_seed: int) -> None:
    story = tell(broadcast_seed)
    if story.report:
        pytest.fail(story.report)
    _situations.update(story.situations)
    _seeds_run.append(broadcast_seed)


def test_the_seeds_have_met_all_that_they_are_meant_to_meet() -> None:
    if len(_seeds_run) < SEEDS_ENOUGH:
        pytest.skip(f"only {len(_seeds_run)} seeds were run; {SEEDS_ENOUGH} are needed to meet everything")
    assert missing(_situations, len(_seeds_run)) == []


def test_the_same_seed_tells_the_same_story_in_every_process() -> None:
    command = [sys.executable, "-m", "tools.simulate", "--first-seed", "7", "--seeds", "2", "--traces"]
    told = [
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True)
        for salt in ("1", "2")
    ]
    traces = [[line for line in each.stdout.splitlines() if line.startswith("seed ")] for each in told]
    assert len(traces[0]) == 2
    assert traces[0] == traces[1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_deliberate_defect_is_found(mutant: Mutant) -> None:
    assert any(hunt(mutant)), f"{mutant.seeds} seeds did not notice"
