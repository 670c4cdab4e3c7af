"""The guide's walk through backup and restore, done in its order."""

import re
import shlex
from pathlib import Path

import coord.past
from coord.cli.main import main
from tests.past.story import Story

README = Path(coord.past.__file__).with_name("README.md").read_text(encoding="utf-8")
(WALK,) = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_walk_shows_what_the_guide_says(tmp_path, monkeypatch, capfdbinary):
    Story().save(tmp_path / "coord-data")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^\$ coord (.+)\n((?:(?!\$ ).*\n)*)", WALK, re.MULTILINE)
    assert len(examples) == 3
    for line, shown in examples:
        assert main(shlex.split(line)) == 0
        assert _known(capfdbinary.readouterr().out.decode()) == _known(shown)


def _known(text: str) -> str:
    """Without the new ensemble's identity, which is drawn with the backup."""
    return re.sub(r"the new ensemble is 0x[0-9a-f]+", "the new ensemble is its own", text)
