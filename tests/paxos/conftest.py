"""Options of the seeded ensembles, for pytest tests/paxos: --seed 123, or --first-seed 1000 --seeds 500."""

import pytest

from tools.simulate.situations import SEEDS_ENOUGH


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("broadcast")
    group.addoption("--seed", type=int, default=None, help="run this one seeded ensemble")
    group.addoption("--first-seed", type=int, default=1, help="the first of many seeds")
    group.addoption("--seeds", type=int, default=SEEDS_ENOUGH, help="how many seeds to run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broadcast_seed" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption  # not known to a run that began in another folder
    one, first, number = option("--seed", None), option("--first-seed", 1), option("--seeds", SEEDS_ENOUGH)
    metafunc.parametrize("broadcast_seed", [one] if one is not None else range(first, first + number))
