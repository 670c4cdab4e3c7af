"""Clients never get the files that the server itself needs."""

import logging
import resource

import pytest

from coord.cli.serve import FILES_RESERVED, within_files
from coord.server.config import Config
from coord.server.log_lines import EventLog


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The limits of open files as this process would have them."""
    state = {"now": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: state["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: state.update(now=limits))
    return state


def test_the_limit_of_open_files_is_raised_as_far_as_clients_need(limits: dict[str, tuple[int, int]]) -> None:
    config = Config(connections_max=2000)
    assert within_files(config, EventLog(1)) is config
    assert limits["now"] == (2000 + FILES_RESERVED, 4096)


def test_clients_are_limited_to_what_the_system_grants(
    limits: dict[str, tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "coord")
    assert within_files(Config(connections_max=10_000), EventLog(1)).connections_max == 4096 - FILES_RESERVED
    assert limits["now"] == (4096, 4096)
    assert "connections_max = 10000 is more than this process may open files for" in caplog.text


def test_a_limit_that_is_high_enough_is_left_alone(limits: dict[str, tuple[int, int]]) -> None:
    config = Config(connections_max=500)
    assert within_files(config, EventLog(1)) is config
    assert limits["now"] == (1024, 4096)
