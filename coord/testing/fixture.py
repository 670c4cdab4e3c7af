"""An ensemble in memory as a pytest fixture. Needs pytest-trio.

In a conftest.py: `pytest_plugins = ["coord.testing.fixture"]`. A test then asks for `ensemble` and, because Trio has
to be started on it, for `virtual_clock`; the marker `ensemble` gives the arguments of `coord.testing.ensemble`:

    @pytest.mark.ensemble(servers=5, seed=7)
    async def test_of_mine(ensemble, virtual_clock): ...

Not registered by itself: a project with other fixtures of these names, or without pytest-trio, is not disturbed.
"""

from collections.abc import AsyncIterator

import pytest
from pytest_trio import trio_fixture  # type: ignore[import-untyped]

from coord.testing.clock import VirtualClock
from coord.testing.ensemble import Ensemble
from coord.testing.ensemble import ensemble as open_ensemble

MARKER = "ensemble(servers=3, seed=1, delay_s=..., **settings): how the fixture `ensemble` makes its servers"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """The clock that the test runs on: it jumps as soon as everyone waits."""
    return VirtualClock()


@trio_fixture  # type: ignore[untyped-decorator]
async def ensemble(request: pytest.FixtureRequest, virtual_clock: VirtualClock) -> AsyncIterator[Ensemble]:
    """Three servers that serve, or those that the marker `ensemble` describes."""
    marker = request.node.get_closest_marker("ensemble")
    async with open_ensemble(**(marker.kwargs if marker is not None else {})) as made:
        yield made
