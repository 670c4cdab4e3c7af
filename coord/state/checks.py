"""Conditions that a multi can set: each changes nothing, and fails the whole multi if it does not hold.

All need READ: what may not be read may not be found out by asking for it either.
"""

from coord.model.entries import Run
from coord.model.errors import BadVersionError, NodeExistsError
from coord.model.replies import Done, Effect
from coord.model.requests import CheckCreated, CheckData, CheckExists, CheckVersion
from coord.state.acl import READ, require
from coord.state.operation import State, Undo, bad_version, no_node
from coord.state.znode import Znode


def check_version(
    state: State, run: Run, request: CheckVersion, effects: list[Effect], undo: Undo | None = None
) -> Done:
    znode = _readable(state, run, request.path)
    if request.version != -1 and request.version != znode.version:
        raise bad_version(request.path, znode.version, request.version)
    return Done()


def check_exists(state: State, run: Run, request: CheckExists, effects: list[Effect], undo: Undo | None = None) -> Done:
    path = request.path
    if request.exists or path in state.tree.nodes:
        _readable(state, run, path)
        if not request.exists:
            raise NodeExistsError(f"{path} exists, and should not")
    return Done()


def check_created(
    state: State, run: Run, request: CheckCreated, effects: list[Effect], undo: Undo | None = None
) -> Done:
    znode = _readable(state, run, request.path)
    if znode.czxid != request.czxid:
        raise BadVersionError(
            f"{request.path} was made at zxid {znode.czxid:#x}, not at {request.czxid:#x}: it is another znode"
        )
    return Done()


def check_data(state: State, run: Run, request: CheckData, effects: list[Effect], undo: Undo | None = None) -> Done:
    znode = _readable(state, run, request.path)
    if znode.data != request.data:
        raise BadVersionError(f"{request.path}, in version {znode.version}, has other data than expected")
    return Done()


def _readable(state: State, run: Run, path: str) -> Znode:
    znode = state.tree.nodes.get(path)
    if znode is None:
        raise no_node(path)
    require(znode.acl, READ, run.identities, path)
    return znode
