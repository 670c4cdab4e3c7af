"""Several writes as one: all of it, or nothing.

Each step is done at once, so that the next ones see it, and can be taken back; its reply shows a copy of the znode as
it was then. Only where nothing but sets stand, of different znodes, which neither see nor show each other, all is
checked first and then done, with a third of the work.
"""

from collections.abc import Callable, Sequence
from typing import Any

from coord.model.acl import OPEN_ACL
from coord.model.entries import Run
from coord.model.errors import CoordError, MarshallingError, RolledBackError, RuntimeInconsistencyError
from coord.model.replies import Effect, Failed, MultiDone, Reply, Written
from coord.model.requests import (
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    Create,
    Delete,
    DeleteTree,
    Multi,
    SetAcl,
    SetData,
    Write,
)
from coord.state.acl import WRITE, allowed
from coord.state.checks import check_created, check_data, check_exists, check_version
from coord.state.kept import settled
from coord.state.operation import State, Undo, data_changed
from coord.state.znode import Znode
from coord.state.znode_writes import create, delete, delete_tree, set_acl, set_data


def multi(state: State, run: Run, request: Multi, effects: list[Effect]) -> MultiDone:
    steps = request.requests
    znodes = _to_set(state, run, steps)
    if znodes:
        return _set_all(state, steps, znodes, effects)
    undo: Undo = []
    replies: list[Reply] = []
    effects_before, notices_before = len(effects), len(state.notices)
    for index, step in enumerate(steps):
        try:
            function = STEPS.get(type(step))
            if function is None:
                raise MarshallingError(f"{type(step).__name__} cannot be part of a multi")
            replies.append(settled(function(state, run, step, effects, undo)))
        except CoordError as error:
            while undo:
                undo.pop()()
            del effects[effects_before:], state.notices[notices_before:]
            return MultiDone(_failed(len(steps), index, error.with_traceback(None)))
    return MultiDone(tuple(replies))


# ---- sets alone: all checks, then all changes, and nothing to take back


def _to_set(state: State, run: Run, steps: Sequence[Write]) -> list[Znode]:
    """The znodes that `steps` set, if all are sets, each of another znode, and nothing forbids them; else none."""
    nodes = state.tree.nodes
    if state.tree.quotas:
        return []  # which a step may change for those after it; to make one takes more than a set
    znodes: list[Znode] = []
    for step in steps:
        if type(step) is not SetData:
            return []
        znode = nodes.get(step.path)
        if znode is None or -1 != step.version != znode.version:
            return []
        if znode.acl is not OPEN_ACL and not allowed(znode.acl, WRITE, run.identities):
            return []
        znodes.append(znode)
    return znodes if len(set(znodes)) == len(znodes) else []


def _set_all(state: State, steps: Sequence[Any], znodes: list[Znode], effects: list[Effect]) -> MultiDone:
    state.tree.write_all(steps, znodes, state.zxid, state.time_ms)
    effects += [data_changed(step.path, znode.acl) for step, znode in zip(steps, znodes, strict=True)]
    return MultiDone(tuple(map(Written, znodes)))


def _failed(steps: int, index: int, error: CoordError) -> tuple[Reply, ...]:
    before = Failed(RolledBackError(f"taken back, because operation {index + 1} of the multi failed"))
    after = Failed(RuntimeInconsistencyError(f"not tried, because operation {index + 1} of the multi failed"))
    return (*[before] * index, Failed(error), *[after] * (steps - index - 1))


STEPS: dict[type, Callable[[State, Run, Any, list[Effect], Undo | None], Reply]] = {
    Create: create,
    Delete: delete,
    DeleteTree: delete_tree,
    SetData: set_data,
    SetAcl: set_acl,
    CheckVersion: check_version,
    CheckExists: check_exists,
    CheckCreated: check_created,
    CheckData: check_data,
}
"""What may stand in a multi: operations that say how they are taken back."""
