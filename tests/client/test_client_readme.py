"""The examples in coord/client/README.md and README.md run as they stand there, but for the servers' ports."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.ensembles import CoordSoftware, Ensemble

ROOT = Path(__file__).resolve().parents[2]
GUIDE, FRONT = (ROOT / each for each in ("coord/client/README.md", "README.md"))
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
EXAMPLES += re.findall(r"```python\n(import coord\nimport trio.*?)```", FRONT.read_text(encoding="utf-8"), re.S)
PRINTED = [
    r"^\(b'v2', Stat\(czxid=\d+",
    r"^/orders/order-0000000000 \['order-0000000000'\]$",
    r"^run-0000000000 b'started'$",
    r"^Stat\(czxid=",
    r"^/item-999 1001$",
    r"^1\nstep 1 failed, nothing was done: .*/from",
    r"^CREATED /jobs \d+ EXPLICIT\nCREATED /jobs/one \d+ EXPLICIT\nDELETED /jobs/one \d+ EXPLICIT$",
    r"^Event\(kind=<EventKind.CREATED: 1>, path='/', .* \['member-0000000000'\]$",
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with Ensemble(CoordSoftware(), tmp_path_factory.mktemp("readme")) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        yield ensemble.hosts().split(",")


def test_there_is_an_expectation_for_every_example():
    assert len(EXAMPLES) == len(PRINTED)


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_an_example_runs_and_prints_what_it_should(number: int, hosts: list[str], tmp_path: Path):
    program = EXAMPLES[number]
    for port, host in zip((2181, 2182, 2183), hosts, strict=True):
        program = program.replace(f"127.0.0.1:{port}", host)
    (tmp_path / "example.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(PRINTED[number], done.stdout.strip()), done.stdout
