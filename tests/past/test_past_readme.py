"""The guide's examples, run on the past that they tell of: what they show is what it says."""

import re
import shlex
from pathlib import Path

import pytest

import coord.past
from coord.cli.main import main
from tests.past.story import Story

README = Path(coord.past.__file__).with_name("README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (line, shown)
    for block in BLOCKS
    for line, shown in re.findall(r"^\$ coord (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


def test_the_guide_has_examples():
    assert len(EXAMPLES) > 7


@pytest.mark.parametrize(("line", "shown"), EXAMPLES)
def test_an_example_shows_what_the_guide_says(line, shown, tmp_path, monkeypatch, capfdbinary):
    Story().save(tmp_path / "coord-data")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) == 0
    assert capfdbinary.readouterr().out.decode() == shown


@pytest.mark.parametrize("line", re.findall(r"`coord (history --since[^`]+)`", README))
def test_a_command_that_is_named_is_understood(line, tmp_path, monkeypatch, capfdbinary):
    Story().save(tmp_path / "coord-data")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) in (0, 8)
