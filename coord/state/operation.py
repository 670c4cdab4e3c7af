"""What an operation is given, and what several of them share.

An operation is a function of the state, the run and the request: first all its checks, in ZooKeeper's order, then all
its changes. What it did to znodes is appended to `effects`. Inside a multi it is also given `undo`, and appends to
that, change by change, how it is taken back.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

from coord.model.acl import Acl
from coord.model.errors import BadArgumentsError, BadVersionError, NoNodeError
from coord.model.paths import check_path
from coord.model.replies import DATA_CHANGED, NODE_DELETED, Change, Effect
from coord.state.sessions import Session, Sessions
from coord.state.tree import SPECIAL_PATHS, Tree
from coord.state.znode import Znode

Undo: TypeAlias = list[Callable[[], None]]

CHANGES_KEPT_MAX = 4096
"""Changes of data remembered, so that equal ones are one object; then it starts afresh."""
CHANGES_KEPT_PATH_MAX = 256
"""Those of longer paths are not remembered: memory stays below 4096 times about twice this."""


class State(Protocol):
    """The machine, as its operations use it."""

    zxid: int
    time_ms: int
    tree: Tree
    sessions: Sessions
    servers: dict[int, tuple[int, str]]
    notices: list[str]

    def check_quota(self, path: str, count: int, growth: int) -> None: ...
    def add_session(self, session: Session) -> None: ...
    def move_session(self, session: Session, timeout_ms: int, owner: int) -> None: ...
    def remove_session(self, session: Session) -> None: ...


def find(state: State, path: str) -> Znode:
    znode = state.tree.nodes.get(path)
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    return znode


def no_node(path: str) -> NoNodeError:
    """To be raised where `path` was not found: a path that exists is legal, so only now is it worth a check."""
    check_path(path)
    return NoNodeError(f"{path} does not exist")


def bad_version(what: str, actual: int, expected: int) -> BadVersionError:
    return BadVersionError(f"{what} has version {actual}, not {expected}; read it again")


def parent_to_delete_from(path: str) -> str:
    slash = path.rfind("/")
    if slash < 0 or "\0" in path or path in SPECIAL_PATHS:
        raise BadArgumentsError(f"{path!r} cannot be deleted: it is reserved, or no path")
    return path[:slash] or "/"


def remove(
    state: State,
    path: str,
    parent_path: str,
    parent: Znode,
    znode: Znode,
    cause: int,
    effects: list[Effect],
    undo: Undo | None = None,
) -> None:
    """Take the childless `znode` away, for the reason `cause`."""
    tree = state.tree
    if undo is not None:
        undo.append(partial(tree.insert, path, parent_path, znode, parent.pzxid, parent.creations))
    tree.remove(path, parent_path, znode, state.zxid, parent.creations)
    effects.append(Change(NODE_DELETED, path, znode.acl, parent.acl, cause))


def data_changed(path: str, acl: Acl) -> Change:
    """That `path`, with this list, got other data. What is set again and again is told by one and the same object: it
    costs half as much, and thousands of changes are kept for watches that come later (`replica/window.py`).
    """
    change = _changes.get(path)
    if change is None or change.acl is not acl:
        change = Change(DATA_CHANGED, path, acl)
        if len(path) <= CHANGES_KEPT_PATH_MAX:
            if len(_changes) >= CHANGES_KEPT_MAX:
                _changes.clear()
            _changes[path] = change
    return change


_changes: dict[str, Change] = {}
