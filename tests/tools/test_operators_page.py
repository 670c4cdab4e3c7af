"""The page for operators: every line of its example does what it says, with real servers."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tools.ensembles import CoordSoftware, Ensemble

PAGE = (Path(__file__).parents[2] / "tools" / "README.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"^\$ coord (.+)$", EXAMPLE, re.MULTILINE)


class Trial(CoordSoftware):
    """As `coord up` starts its servers: whoever is on this machine may read the past."""

    def command(self, member, members):
        return [*super().command(member, members), "--inspect", "anyone"]


@pytest.fixture
def addresses(tmp_path):
    with Ensemble(Trial(), tmp_path / "servers") as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        ensemble.wait_leader()
        yield [each.client_address for each in ensemble.members.values()]


def test_each_line_of_the_page_can_be_typed_as_it_stands(addresses, tmp_path):
    shown = {}
    for line in LINES:
        for number, address in enumerate(addresses):
            line = line.replace(f"127.0.0.1:{2181 + number}", address)
        if line.startswith("at "):
            line = line.replace(" 1m ", " now ")  # all of it is younger than a minute here
        command = [sys.executable, "-m", "coord", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (line, done)
        words = re.search(r"create -p -e|rm -r -f", line)
        shown[words[0] if words else line.split()[0]] = done.stdout
    assert "session 0x" in shown["create -p -e"]
    assert '{"host": "10.0.0.9"}' in shown["history"]
    assert "version 0 -> 1" in shown["history"]
    assert shown["at"] == '{"host": "10.0.0.7"}\n'
    assert (tmp_path / "restored" / "server-3").is_dir()
    assert shown["rm -r -f"].startswith("deleted /app, 2 znodes")
