"""What `import coord` offers: quick, complete, and the same for people and for type checkers."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import coord
from coord.client.blocking import BlockingClient
from coord.client.client import Client
from coord.client.sessions import ClientSession

SOURCE = Path(coord.__file__).read_text(encoding="utf-8")


def test_every_name_is_there_under_the_address_that_type_checkers_see():
    block = next(each for each in ast.parse(SOURCE).body if isinstance(each, ast.If))
    typed = {
        alias.name: each.module for each in ast.walk(block) if isinstance(each, ast.ImportFrom) for alias in each.names
    }
    assert typed == coord._HOME_OF
    for name in coord.__all__:
        assert getattr(coord, name) is not None
    assert set(coord.__all__) <= set(dir(coord))


def test_importing_coord_loads_nothing_else():
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, coord; print([each for each in sys.modules if each.startswith('coord')])"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert loaded.stdout.strip() == "['coord.version', 'coord']"


def test_no_module_hides_a_name_that_is_offered():
    for name in coord.__all__:
        assert not (Path(coord.__file__).parent / f"{name}.py").exists(), name
        assert not (Path(coord.__file__).parent / name).exists(), name


def test_a_name_that_is_not_offered_is_an_attribute_error():
    assert not hasattr(coord, "nonsense")


def test_the_blocking_client_has_every_method_of_the_client_with_its_arguments():
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_"):
            continue
        theirs = inspect.signature(getattr(BlockingClient, name)).parameters
        ours = inspect.signature(method).parameters
        assert list(theirs) == list(ours), name
        assert [each.default for each in theirs.values()] == [each.default for each in ours.values()], name


def test_everything_public_says_what_it_is():
    for cls in (Client, ClientSession, coord.Watch, coord.Transaction, coord.SavedSession, coord.Event, coord.Stat):
        assert cls.__doc__
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        assert name.startswith("_") or method.__doc__, name
