"""The examples in recipes/README.md run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "recipes/README.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: program
    for title, section in re.findall(r"^###? (.*?)\n(.*?)(?=^##|\Z)", GUIDE, re.S | re.M)
    for program in re.findall(r"```python\n(import .*?)```", section, re.S)
}
PRINTED = {
    "Lock": r"^True \['web-1'\]\nb'7'$",
    "ReadWriteLock": r"^written alone\nstill mine to read, with others\nread$",
    "Semaphore": r"^\['sender-1'\]\n5$",
    "Election": r"^Leader\(name='first', token=\d+\)\nleading: second\ndone$",
    "Barrier and DoubleBarrier": r"^True\n(begins with \['m0', 'm1', 'm2'\]\n?){3}$",
    "Lease": r"^worker-1 True$",
    "TreeCache": r"^b'h1' \['host'\]\nb'h2' None$",
    "Group": r"^\[\]\n\[\('web-1', b'10.0.0.1:80'\)\]\n\[\]$",
    "Counter": r"^1 11 \[11, 12, 13\] 14$",
    "Queue and PriorityQueue": r"^b'first' b'second' 0\nb'now'$",
    "TaskQueue": r"^try 1 of b'resize 7' failed\ntry 2 of b'resize 7' failed\n\{'\S+': b'resize 7'\} 0$",
    "KeyValueMap": r"^False 2\n\[\('apples', 2\)\] 0$",
    "Leaving without waiting": r"^True \[\]$",
    "ConfigWatch": r"^\{'rate': 10\}\n\{'rate': 20\}\n\{'rate': 20\} /limits holds what cannot be decoded, version 1: ",
    "ServiceRegistry": r"^\[\('10.0.0.1:5432', \{'zone': 'a'\}\)\]\n\[\] \['draining'\]$",
    "Partitioner": r"^4$",
    "PeriodicJob": r"^\[0, 1, 2\]$",
    "Without async": r"^True b'7'\n3\nb'resize 7'\nfirst$",
}


def test_there_is_an_example_for_every_expectation():
    assert set(PRINTED) == set(EXAMPLES)


def test_each_place_where_something_is_known_from_is_there():
    named = re.findall(r"`(test_\w+\.py)`", GUIDE)
    assert len(set(named)) > 15
    assert [each for each in named if not Path(__file__).with_name(each).exists()] == []


@pytest.mark.parametrize("title", PRINTED)
def test_an_example_runs_and_prints_what_it_should(title: str, tmp_path: Path):
    (tmp_path / "example.py").write_text(EXAMPLES[title])
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTED[title], done.stdout.strip()), done.stdout
