"""Options of the seeded ensembles, for pytest tests/paxos: --seed 123, or --first-seed 1000 --seeds 500."""

import pytest

SEEDS = 300
"""So many are told by every run of the tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("broadcast")
    group.addoption("--seed", type=int, default=None, help="run this one seeded ensemble")
    group.addoption("--first-seed", type=int, default=1, help="the first of many seeds")
    group.addoption("--seeds", type=int, default=SEEDS, help="how many seeds to run")


def broadcast_seeds(config: pytest.Config) -> range:
    option = config.getoption  # not known to a run that began in another folder
    one, first, number = option("--seed", None), option("--first-seed", 1), option("--seeds", SEEDS)
    return range(one, one + 1) if one is not None else range(first, first + number)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broadcast_seed" in metafunc.fixturenames:
        metafunc.parametrize("broadcast_seed", broadcast_seeds(metafunc.config))
