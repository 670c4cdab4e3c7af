"""Several writes as one: all of it, or nothing.

Each step is done at once, so that the next ones see it, and can be taken back. Its reply shows the znode as it was
then: a copy is kept, but where only sets stand of different znodes, none of which changes what another one shows (a
copy of each costs a quarter of such a multi).
"""

from collections.abc import Callable
from typing import Any

from coord.model.entries import Run
from coord.model.errors import CoordError, MarshallingError, RolledBackError, RuntimeInconsistencyError
from coord.model.replies import Effect, Failed, MultiDone, Reply
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
)
from coord.state.checks import check_created, check_data, check_exists, check_version
from coord.state.kept import settled
from coord.state.operation import State, Undo
from coord.state.znode_writes import create, delete, delete_tree, set_acl, set_data


def multi(state: State, run: Run, request: Multi, effects: list[Effect]) -> MultiDone:
    undo: Undo = []
    replies: list[Reply] = []
    steps = request.requests
    lasting = len({step.path for step in steps if type(step) is SetData}) == len(steps)
    effects_before, notices_before = len(effects), len(state.notices)
    for index, step in enumerate(steps):
        try:
            function = STEPS.get(type(step))
            if function is None:
                raise MarshallingError(f"{type(step).__name__} cannot be part of a multi")
            reply = function(state, run, step, effects, undo)
            replies.append(reply if lasting else settled(reply))
        except CoordError as error:
            while undo:
                undo.pop()()
            del effects[effects_before:], state.notices[notices_before:]
            return MultiDone(_failed(len(steps), index, error.with_traceback(None)))
    return MultiDone(tuple(replies))


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
