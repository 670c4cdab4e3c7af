"""The table of limits in coord/README.md names what there is."""

import re
from pathlib import Path

import pytest

COORD = Path(__file__).parents[1] / "coord"
ROWS = re.findall(r"^\| `(\w+)` \| `([\w/.]+)`", (COORD / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_is_there():
    assert len(ROWS) > 10


@pytest.mark.parametrize(("limit", "file"), ROWS)
def test_a_limit_stands_where_the_table_says(limit, file):
    source = (COORD / file).read_text(encoding="utf-8")
    assert re.search(rf"^\s*{limit}\b[^=\n]* = ", source, re.MULTILINE)
