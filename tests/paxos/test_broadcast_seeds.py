"""Whole ensembles under faults, one a seed (tools/simulate); and deliberate defects, each of which must be noticed.

Both are told by processes of their own, one a processor: a test waits for its story. They yield to whatever else runs:
real servers that are tested at the same time are not kept from their work.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.paxos.conftest import broadcast_seeds
from tools.simulate.mutants import MUTANTS, found
from tools.simulate.runs import Story, tell
from tools.simulate.situations import SEEDS_ENOUGH, missing

pytestmark = pytest.mark.long(200)

ROOT = Path(__file__).resolve().parents[2]
SAYS = re.compile(r'Violation\(\s*f?"([IL]\d+\w*):|"(L\d)"')
"""How a checker names what it has found not to hold."""

_situations: Counter[str] = Counter()
_seeds_run: list[int] = []


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), initializer=os.nice, initargs=(5,))
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest, pool: ProcessPoolExecutor) -> dict[int, "Future[Story]"]:
    return {seed: pool.submit(tell, seed) for seed in broadcast_seeds(request.config)}


@pytest.fixture(scope="module")
def hunts(pool: ProcessPoolExecutor) -> dict[int, "Future[bool]"]:
    return {number: pool.submit(found, number) for number in range(len(MUTANTS))}


def test_whatever_happens_the_ensemble_keeps_its_word_and_comes_together_again(
    broadcast_seed: int, stories: dict[int, "Future[Story]"]
) -> None:
    story = stories[broadcast_seed].result()
    if story.report:
        pytest.fail(story.report)
    _situations.update(story.situations)
    _seeds_run.append(broadcast_seed)


def test_the_seeds_have_met_all_that_they_are_meant_to_meet() -> None:
    if len(_seeds_run) < SEEDS_ENOUGH:
        pytest.skip(f"only {len(_seeds_run)} seeds were run; {SEEDS_ENOUGH} are needed to meet everything")
    assert missing(_situations, len(_seeds_run)) == []


def test_the_same_seed_tells_the_same_story_in_every_process() -> None:
    command = [sys.executable, "-m", "tools.simulate", "--first-seed", "7", "--seeds", "4", "--traces"]
    told = [
        subprocess.run(command, cwd=ROOT, env={"PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True)
        for salt in ("1", "2")
    ]
    traces = [[line for line in each.stdout.splitlines() if line.startswith("seed ")] for each in told]
    assert len(traces[0]) == 4
    assert traces[0] == traces[1]


@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[mutant.title.replace(" ", "_") for mutant in MUTANTS])
def test_a_deliberate_defect_is_found(number: int, hunts: dict[int, "Future[bool]"]) -> None:
    mutant = MUTANTS[number]
    assert hunts[number].result(), f"{' or '.join(mutant.by)} did not notice in {mutant.seeds} seeds"


def test_every_checker_has_a_defect_that_it_alone_has_to_find() -> None:
    texts = [path.read_text() for path in sorted((ROOT / "tools" / "simulate").glob("*.py"))]
    checkers = {one or other for text in texts for one, other in SAYS.findall(text)}
    assert len(checkers) > 20
    assert checkers == {mutant.by[0] for mutant in MUTANTS if len(mutant.by) == 1}
