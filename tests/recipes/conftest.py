"""Real servers for the tests that share recipes with kazoo or kill processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tools.ensembles import CoordSoftware, Ensemble


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three servers that all tests share: none may break them."""
    with Ensemble(CoordSoftware(), tmp_path_factory.mktemp("recipes")) as made:
        made.start_all()
        made.wait_serving()
        yield made


@pytest.fixture
def own_real(tmp_path: Path) -> Iterator[Ensemble]:
    """Three servers for one test to break."""
    with Ensemble(CoordSoftware(), tmp_path) as made:
        made.start_all()
        made.wait_serving()
        yield made


@pytest.fixture
def kazoo(real: Ensemble) -> Iterator[KazooClient]:
    client = KazooClient(real.hosts())
    client.start(timeout=15)
    yield client
    client.stop()
    client.close()
