import pytest

from tests.state.world import World


@pytest.fixture
def world() -> World:
    return World()
