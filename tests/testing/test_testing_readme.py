"""The examples in coord/testing/README.md run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT, TEST = re.findall(r"```python\n(.*?)```", (ROOT / "coord/testing/README.md").read_text(encoding="utf-8"), re.S)


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_script_prints_what_it_wrote_before_the_crash(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    assert run("script.py", folder=tmp_path).startswith("(b'v1', Stat(")


def test_the_election_elects_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["coord.testing.fixture"]\n')
    (tmp_path / "test_election.py").write_text(TEST)
    options = ("-q", "-p", "no:cacheprovider", "-W", "error", "--strict-markers")
    assert "1 passed" in run("-m", "pytest", *options, "test_election.py", folder=tmp_path)
