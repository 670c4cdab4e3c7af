"""Real servers, for what needs processes; and waiting that looks at what is there."""

import os
import sys
from pathlib import Path

import pytest

from tools.ensembles import CoordSoftware, Ensemble

COORD = (sys.executable, "-m", "coord")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory):
    with Ensemble(CoordSoftware(), tmp_path_factory.mktemp("servers")) as made:
        made.start_all()
        made.wait_serving()
        yield made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a shell, with a history of its own."""
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm", "EDITOR": "true"}
