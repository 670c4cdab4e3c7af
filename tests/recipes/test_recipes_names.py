"""What `import recipes` offers is the same for people and for type checkers, and loaded when it is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import recipes


def test_every_name_is_there_under_the_address_that_type_checkers_see():
    source = Path(recipes.__file__).read_text(encoding="utf-8")
    block = next(each for each in ast.parse(source).body if isinstance(each, ast.If))
    typed = {
        alias.name: each.module for each in ast.walk(block) if isinstance(each, ast.ImportFrom) for alias in each.names
    }
    assert typed == recipes._HOME_OF
    for name in recipes.__all__:
        assert getattr(recipes, name).__doc__, name
    assert set(recipes.__all__) <= set(dir(recipes))
    assert not hasattr(recipes, "nonsense")


def test_importing_recipes_loads_nothing_else():
    program = "import sys, recipes; print([each for each in sys.modules if each[:4] in ('reci', 'coor')])"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert loaded.stdout.strip() == "['recipes']"
