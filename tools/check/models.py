"""Two small models for the search, written without the servers' machine in mind: a register, and a tree.

They judge what any client is shown: success or error, paths, data, versions, names. They know nothing of zxids, times
and access rights; an error they do not know (no rights, quota) is taken to have changed nothing.
"""

from collections.abc import Mapping
from typing import TypeAlias

from coord.model.message import message
from coord.model.paths import parent_of
from coord.model.replies import ChildrenReply, Created, DataReply, Failed, MultiDone, MultiReadDone, Reply
from coord.model.requests import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
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
from tools.check.compare import stat_of
from tools.check.history import Operation

NO_NODE, BAD_VERSION, NO_CHILDREN_FOR_EPHEMERALS, NODE_EXISTS, NOT_EMPTY = -101, -103, -108, -110, -111
KNOWN_ERRORS = frozenset({NO_NODE, BAD_VERSION, NO_CHILDREN_FOR_EPHEMERALS, NODE_EXISTS, NOT_EMPTY})


@message
class Answer:
    """What the model would say, as far as it knows: code 0 or an error, and what the operation shows."""

    code: int = 0
    path: str | None = None
    data: bytes | None = None
    version: int | None = None
    names: frozenset[str] | None = None
    steps: "tuple[Answer, ...]" = ()


def agrees(reply: Reply, answer: Answer) -> bool:
    """Whether the client can have been answered `reply` where the model says `answer`."""
    if isinstance(reply, MultiDone | MultiReadDone):
        return len(reply.replies) == len(answer.steps) and all(map(agrees, reply.replies, answer.steps))
    if isinstance(reply, Failed):
        return reply.code == answer.code
    if answer.code or answer.steps:
        return False
    if isinstance(reply, Created) and reply.path != answer.path:
        return False
    if isinstance(reply, DataReply) and (reply.data or b"") != (answer.data or b""):
        return False
    if isinstance(reply, ChildrenReply) and frozenset(reply.names) != answer.names:
        return False
    stat = stat_of(reply)
    return stat is None or answer.version is None or stat.version == answer.version


# ---- one znode, of which nobody sees parent or children

Register: TypeAlias = tuple[bytes, int] | None
"""Data and version; None: there is no znode."""


class RegisterModel:
    """A znode at a path whose parent exists."""

    def initial(self) -> Register:
        return None

    def step(self, state: Register, operation: Operation) -> tuple[Register] | None:
        """As a one-tuple, so that a znode that is not there is told from a reply that cannot be."""
        new, answer = _register(state, operation.request)
        if operation.reply is None:
            return (new,)
        if operation.code and operation.code not in KNOWN_ERRORS:
            return (state,)
        return (new,) if agrees(operation.reply, answer) else None


def _register(state: Register, request: object) -> tuple[Register, Answer]:
    if isinstance(request, Create):
        if state is not None:
            return state, Answer(NODE_EXISTS)
        return (request.data or b"", 0), Answer(path=request.path, version=0)
    if state is None:
        return state, Answer(NO_NODE)
    data, version = state
    if isinstance(request, SetData | Delete) and request.version not in (-1, version):
        return state, Answer(BAD_VERSION)
    if isinstance(request, Delete):
        return None, Answer()
    if isinstance(request, SetData):
        return (request.data or b"", version + 1), Answer(version=version + 1)
    return state, Answer(data=data, version=version)


# ---- a small tree


@message
class Znode:
    data: bytes
    version: int
    creations: int  # of children, ever
    owner: int  # a session, or 0


class Znodes:
    """Paths and their znodes, as one value: every change makes another one."""

    __slots__ = ("_hash", "by_path")

    def __init__(self, by_path: Mapping[str, Znode]) -> None:
        self.by_path = by_path
        self._hash = hash(frozenset((path, z.data, z.version, z.creations) for path, z in by_path.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Znodes) and self._hash == other._hash and self.by_path == other.by_path

    def __repr__(self) -> str:
        told = sorted((path, each) for path, each in self.by_path.items() if path not in ("/", "/zookeeper"))
        return ", ".join(f"{path} {each.data!r} version {each.version}" for path, each in told) or "nothing"

    def children(self, path: str) -> list[str]:
        return [each for each in self.by_path if each != "/" and parent_of(each) == path]


class TreeModel:
    """All of them, or a part of the tree of which nobody sees the rest. `given` are paths that exist at the start."""

    def __init__(self, given: frozenset[str] = frozenset()) -> None:
        self._start = Znodes({path: Znode(b"", 0, 0, 0) for path in given | {"/", "/zookeeper"}})

    def initial(self) -> Znodes:
        return self._start

    def step(self, state: Znodes, operation: Operation) -> tuple[Znodes] | None:
        new, answer = _apply(state, operation.session, operation.request)
        if operation.reply is None:
            return (new,)
        if operation.code and operation.code not in KNOWN_ERRORS:
            return (state,)
        return (new,) if agrees(operation.reply, answer) else None


def _apply(state: Znodes, session: int, request: object) -> tuple[Znodes, Answer]:
    if isinstance(request, Multi):
        return _multi(state, session, request)
    if isinstance(request, MultiRead):
        return state, Answer(steps=tuple(_apply(state, session, each)[1] for each in request.requests))
    if isinstance(request, CloseSession):
        left = {path: znode for path, znode in state.by_path.items() if znode.owner != session}
        return Znodes(left), Answer()
    if isinstance(request, Create):
        return _create(state, session, request)
    assert isinstance(request, Delete | SetData | SetAcl | CheckVersion | GetData | Exists | GetChildren), (
        f"the tree model does not know {type(request).__name__}"
    )
    path = request.path
    znode = state.by_path.get(path)
    if znode is None:
        return state, Answer(NO_NODE)
    if isinstance(request, Delete | SetData | CheckVersion) and request.version not in (-1, znode.version):
        return state, Answer(BAD_VERSION)
    if isinstance(request, Delete):
        if state.children(path):
            return state, Answer(NOT_EMPTY)
        return Znodes({each: other for each, other in state.by_path.items() if each != path}), Answer()
    if isinstance(request, SetData):
        new = Znode(request.data or b"", znode.version + 1, znode.creations, znode.owner)
        return Znodes({**state.by_path, path: new}), Answer(version=new.version)
    if isinstance(request, GetChildren):
        below = 1 if path == "/" else len(path) + 1
        names = frozenset(each[below:] for each in state.children(path))
        return state, Answer(names=names, version=znode.version)
    if isinstance(request, SetAcl | CheckVersion):
        return state, Answer()
    return state, Answer(data=znode.data, version=znode.version)


def _create(state: Znodes, session: int, request: Create) -> tuple[Znodes, Answer]:
    path, parent_path = request.path, parent_of(request.path)
    parent = state.by_path.get(parent_path)
    if parent is None:
        return state, Answer(NO_NODE)
    if request.kind in (PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL):
        path = f"{path}{parent.creations:010d}"
    if path in state.by_path:
        return state, Answer(NODE_EXISTS)
    if parent.owner:
        return state, Answer(NO_CHILDREN_FOR_EPHEMERALS)
    owner = session if request.kind in (EPHEMERAL, EPHEMERAL_SEQUENTIAL) else 0
    changed = {
        **state.by_path,
        parent_path: Znode(parent.data, parent.version, parent.creations + 1, parent.owner),
        path: Znode(request.data or b"", 0, 0, owner),
    }
    return Znodes(changed), Answer(path=path, version=0)


def _multi(state: Znodes, session: int, request: Multi) -> tuple[Znodes, Answer]:
    new, answers = state, []
    for number, step in enumerate(request.requests):
        new, answer = _apply(new, session, step)
        if answer.code:
            later = len(request.requests) - number - 1
            return state, Answer(steps=_failed(number, answer, later))
        answers.append(answer)
    return new, Answer(steps=tuple(answers))


def _failed(before: int, failed: Answer, later: int) -> tuple[Answer, ...]:
    """Those before it were taken back (error 0), those after it not tried (error -2)."""
    return (*[Answer(0)] * before, failed, *[Answer(-2)] * later)
