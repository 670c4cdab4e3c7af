"""A history cut into parts that can be searched one by one: it is linearizable if, and only if, each of them is.

Two operations belong together if one could see what the other does. A path stands for its znode; whoever lists
children, makes sequential names or deletes a parent ties the children to it; a session ties its ephemerals together.
A parent that was there before anybody used it, and stayed, ties nobody.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from coord.model.message import message
from coord.model.paths import parent_of
from coord.model.replies import Created, MultiDone
from coord.model.requests import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT,
    PERSISTENT_SEQUENTIAL,
    CheckVersion,
    CloseSession,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    SetAcl,
    SetData,
)
from tools.check.history import NOT_FROM_THE_TREE, Operation

EPHEMERALS = frozenset({EPHEMERAL, EPHEMERAL_SEQUENTIAL})
SEQUENTIALS = frozenset({PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL})
NO_NODE, NODE_EXISTS = -101, -110
RESERVED = "/zookeeper/"
"""What is below is the servers' own."""
_SIMPLE = (SetData, GetData, Exists, Delete)
_JUDGED = (*_SIMPLE, Create, CheckVersion, SetAcl, GetChildren, Multi, MultiRead, CloseSession)


@message
class Part:
    """Operations that belong together. `given`: parents that exist all the time. `simple`: it is one register."""

    operations: tuple[Operation, ...]
    paths: tuple[str, ...]
    given: frozenset[str]
    simple: bool
    unknown_kinds: bool = False  # containers, TTLs: they go by themselves, and no model here knows when


def parts_of(operations: Sequence[Operation]) -> list[Part]:
    """The linearizable operations (writes, and reads called so) in as many parts as possible."""
    judged = [each for each in operations if _is_judged(each)]
    judged += _expiries(judged)
    settled = _settled(judged)
    ties = _Ties()
    listed: set[str] = set()
    made_or_deleted: dict[str, None] = {}
    for operation in judged:
        for request, path in _steps(operation):
            if isinstance(request, GetChildren) or (isinstance(request, Create) and request.kind in SEQUENTIALS):
                listed.add(path if isinstance(request, GetChildren) else parent_of(path))
            if isinstance(request, Create | Delete):
                made_or_deleted[path] = None
                if request is not operation.request or path not in settled:
                    ties.loose.add(path)
    for operation in judged:
        keys = list(_keys(operation))
        for key in keys:
            ties.tie(keys[0], key)
    for path in made_or_deleted:
        parent = parent_of(path)
        if path != "/" and (parent in listed or parent in ties.loose):
            ties.tie(parent, path)
    grouped: dict[str, list[Operation]] = {}
    for operation in judged:
        keys = list(_keys(operation))
        if keys:
            grouped.setdefault(ties.root(keys[0]), []).append(operation)
    return [_part(group) for group in grouped.values()]


class _Ties:
    """Which keys belong together: a union of sets."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}
        self.loose: set[str] = set()  # paths that come or go while somebody could notice

    def root(self, key: str) -> str:
        while (above := self._above.get(key, key)) != key:
            self._above[key] = self._above.get(above, above)
            key = above
        return key

    def tie(self, one: str, other: str) -> None:
        self._above[self.root(other)] = self.root(one)


def _is_judged(operation: Operation) -> bool:
    if not isinstance(operation.request, _JUDGED) or operation.code in NOT_FROM_THE_TREE:
        return False
    if any(f"{path}/".startswith(RESERVED) for _, path in _steps(operation)):
        return False
    return operation.is_write or (operation.linearizable and operation.reply is not None)


def _steps(operation: Operation) -> Iterator[tuple[object, str]]:
    """What the operation does, step by step, each with its path: of a create the real one, if it is known."""
    request, reply = operation.request, operation.reply
    if isinstance(request, Multi | MultiRead):
        replies: Iterable[object] = reply.replies if isinstance(reply, MultiDone) else [None] * len(request.requests)
        steps: list[tuple[object, object]] = list(zip(request.requests, replies, strict=False))
    else:
        steps = [(request, reply)]
    for step, answer in steps:
        if isinstance(answer, Created):
            yield step, answer.path
        elif not isinstance(step, CloseSession):
            yield step, step.path  # type: ignore[attr-defined]


def _keys(operation: Operation) -> Iterator[str]:
    for request, path in _steps(operation):
        yield path
        if isinstance(request, Create) and request.kind in SEQUENTIALS:
            yield parent_of(path)
        if isinstance(request, Create) and request.kind in EPHEMERALS:
            yield f"session {operation.session}"
    if isinstance(operation.request, CloseSession):
        yield f"session {operation.session}"


def _settled(operations: Sequence[Operation]) -> set[str]:
    """Paths that were made once, before anybody else used them or anything below, and never deleted."""
    makers: dict[str, Operation] = {}
    spoilt: set[str] = set()
    used_ns: dict[str, int] = {}  # the first call, by others, that concerns the path or a child of it
    for operation in operations:
        for request, path in _steps(operation):
            plain = isinstance(request, Create) and request is operation.request and request.kind == PERSISTENT
            if plain and operation.return_ns is not None and not operation.code and path not in makers:
                makers[path] = operation
            else:
                if isinstance(request, Create | Delete):
                    spoilt.add(path)
                used_ns[path] = min(used_ns.get(path, operation.call_ns), operation.call_ns)
            parent = parent_of(path)
            used_ns[parent] = min(used_ns.get(parent, operation.call_ns), operation.call_ns)
    return {
        path
        for path, maker in makers.items()
        if path not in spoilt and (maker.return_ns or 0) < used_ns.get(path, 1 << 63)
    }


def _expiries(operations: Sequence[Operation]) -> list[Operation]:
    """A session with ephemerals that was never closed may have been ended by the servers, after its last answer."""
    last: dict[int, Operation] = {}
    owners: set[int] = set()
    for operation in operations:
        if isinstance(operation.request, CloseSession):
            owners.discard(operation.session)
            last.pop(operation.session, None)
            continue
        if any(isinstance(request, Create) and request.kind in EPHEMERALS for request, _ in _steps(operation)):
            owners.add(operation.session)
        answered = last.get(operation.session)
        if answered is None or (operation.return_ns or 0) >= (answered.return_ns or 0):
            last[operation.session] = operation
    return [_expiry(last[session]) for session in sorted(owners) if session in last]


def _expiry(last: Operation) -> Operation:
    since_ns = last.call_ns if last.return_ns is None else last.return_ns
    request = CloseSession(0, expired=True)
    return replace(last, number=-last.session, request=request, reply=None, return_ns=None, call_ns=since_ns)


def _part(operations: Sequence[Operation]) -> Part:
    paths: dict[str, None] = {}
    made: set[str] = set()
    parents: set[str] = set()
    simple = True
    unknown_kinds = no_parent = False
    for operation in operations:
        for request, path in _steps(operation):
            paths[path] = None
            if _shows_parent(operation, request):
                parents.add(parent_of(path))
            if isinstance(request, Create):
                made.add(path)
                no_parent = no_parent or operation.code == NO_NODE
                unknown_kinds = unknown_kinds or request.kind not in {PERSISTENT, *EPHEMERALS, *SEQUENTIALS}
        request = operation.request
        plain = isinstance(request, Create) and request.kind == PERSISTENT
        simple = simple and (plain or isinstance(request, _SIMPLE))
    simple = simple and len(paths) == 1 and not no_parent
    return Part(tuple(operations), tuple(paths), frozenset(parents - made), simple, unknown_kinds)


def _shows_parent(operation: Operation, step: object) -> bool:
    """Whether the reply tells that the parent was there. If nobody made it here, it was there all the time."""
    if operation.reply is None:
        return False
    taken = operation.code == NODE_EXISTS and isinstance(step, Create) and step is operation.request
    return taken or not operation.code
