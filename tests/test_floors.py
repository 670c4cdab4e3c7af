"""Imports point down, siblings do not know each other, the lowest floors are pure, and nothing goes in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [  # a package may import those of the lines above its own, and itself
    {"coord.model"},
    {"coord.paxos", "coord.state"},
    {"coord.codec"},
    {"coord.replica"},
    {"coord.net", "coord.storage"},
    {"coord.server", "coord.client", "coord.past"},
    {"recipes", "coord.admin", "coord.shell", "coord.testing", "coord.embedding"},
    {"coord.cli"},
    {"tools"},
]
PURE = 4  # so many of them hold no clock, chance, file, socket, thread or log
ALLOWED = {"abc", "base64", "bisect", "cbor2", "collections", "contextlib", "copy", "dataclasses", "enum", "functools",
           "hashlib", "heapq", "hmac", "io", "ipaddress", "itertools", "math", "operator", "re", "sortedcontainers", 
           "string", "struct", "sys", "types", "typing", "zlib"}  # fmt: skip


def modules(root: Path) -> dict[str, ast.Module]:
    """Every module of the product and the tools by its dotted name."""
    files = [file for top in ("coord", "recipes", "tools") for file in sorted((root / top).rglob("*.py"))]
    names = [".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in zip(names, files, strict=True)}


def imports(tree: ast.Module, known: set[str]) -> set[str]:
    """What a module imports, wherever in it: dotted names, `from package import module` as that module."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports of this house are written in full"
            found |= {full if (full := f"{node.module}.{each.name}") in known else node.module for each in node.names}
    return found


def floor(name: str) -> tuple[int, str] | None:
    """The floor's number and the package; None for `coord` itself, its __main__, and all that is not ours."""
    return next(
        ((n, each) for n, floor in enumerate(FLOORS) for each in floor if f"{name}.".startswith(f"{each}.")), None
    )


def faults(root: Path) -> list[str]:
    trees = modules(root)
    graph = {name: imports(tree, set(trees)) for name, tree in trees.items()}
    found = []
    for name, wanted in graph.items():
        if (own := floor(name)) is None:
            continue
        for other in sorted(wanted):
            below = floor(other)
            if below is not None and below[1] != own[1] and below[0] >= own[0]:
                found.append(f"{name} imports {other}, which is not below it")
            if own[1] == "recipes" and other.startswith("coord."):
                found.append(f"{name} imports {other}; recipes use what `import coord` offers")
            if own[0] < PURE and not other.startswith("coord") and other.partition(".")[0] not in ALLOWED:
                found.append(f"{name} imports {other}; its floor is pure")
    try:
        TopologicalSorter({name: wanted & set(trees) for name, wanted in graph.items()}).prepare()
    except CycleError as error:
        found.append(f"imports go in a circle: {' <- '.join(error.args[1])}")
    return found


def test_imports_keep_to_the_floors():
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    [
        ("coord/state/tree.py", "from coord.paxos import messages", "coord.state.tree imports coord.paxos"),
        ("coord/model/paths.py", "import coord.codec.jute", "coord.model.paths imports coord.codec.jute"),
        ("coord/replica/replica.py", "def late():\n    import time", "coord.replica.replica imports time"),
        ("coord/codec/peer.py", "from os.path import join", "coord.codec.peer imports os.path"),
        (
            "coord/storage/log.py",
            "from coord.net.network import Tcp",
            "coord.storage.log imports coord.net.network",
        ),
        ("recipes/lock.py", "from coord.client import session", "recipes.lock imports coord.client"),
        ("coord/model/circle.py", "import coord.model.circle", "imports go in a circle"),
    ],
)
def test_the_check_goes_red_for_a_deliberate_defect(tmp_path, module, line, fault):
    (tmp_path / module).parent.mkdir(parents=True)
    (tmp_path / module).write_text(line + "\n")
    assert [each for each in faults(tmp_path) if each.startswith(fault)]
