"""The machine every server runs: entries in, replies and effects out, the same on all of them.

`apply` is a pure function of the state and the entry: no clock, no chance, no order that depends on anything but the
entries. A request that cannot be granted takes its zxid, changes nothing and answers Failed. Each operation is one
function below: first all its checks, in ZooKeeper's order, then all its changes. The tables WRITES, STEPS and READS at
the end say which function serves which request; a new operation is a function and a row.

A reply may show a live znode as its stat: it is to be encoded before the next entry is applied.
"""

import re
from collections.abc import Callable
from functools import partial
from hmac import compare_digest
from typing import Any, TypeAlias

from coord.model.acl import OPEN_ACL, Acl, Identity
from coord.model.entries import Run
from coord.model.errors import (
    BadArgumentsError,
    BadVersionError,
    CoordError,
    MarshallingError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistencyError,
    SessionExpiredError,
    SessionMovedError,
    SystemError_,
)
from coord.model.paths import check_path, parent_of
from coord.model.replies import (
    CONTAINER_EMPTY,
    DATA_CHANGED,
    EXPLICIT,
    NODE_CREATED,
    NODE_DELETED,
    SESSION_CLOSED,
    SESSION_EXPIRED,
    TTL_EXPIRED,
    AclReply,
    Change,
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    Done,
    Effect,
    EphemeralsReply,
    ExistsReply,
    Failed,
    MultiDone,
    MultiReadDone,
    Reply,
    SessionEnded,
    SessionMoved,
    SessionOpened,
    WhoAmIReply,
    Written,
)
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
    AttachSession,
    CheckVersion,
    CloseSession,
    CountDescendants,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    MultiRead,
    Read,
    ReapNode,
    RegisterServer,
    SetAcl,
    SetData,
    WhoAmI,
    Write,
)
from coord.state.acl import ADMIN, CREATE, DELETE, READ, WRITE, allowed, fixed, masked, require
from coord.state.digest import MASK, mark_of
from coord.state.quota import covering
from coord.state.sessions import Session, Sessions
from coord.state.tree import SPECIAL_PATHS, Tree
from coord.state.walk import Walk
from coord.state.znode import CONTAINER_LIFETIME, INT32_MAX, FrozenStat, Znode, int32

TTL_MS_MAX = (1 << 40) - 1

Undo: TypeAlias = list[Callable[[], None]]

_SEQUENTIAL = frozenset({PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL, TTL_SEQUENTIAL})
_plain_name = re.compile(r"[0-9A-Za-z_-]+").fullmatch  # nearly every name; three times as fast as check_path


class Machine:
    """The replicated state at `zxid`."""

    __slots__ = ("_sessions_digest", "notices", "origins", "servers", "sessions", "time_ms", "tree", "zxid")

    def __init__(self) -> None:
        self.zxid = 0  # of the last entry applied
        self.time_ms = 0  # of its batch
        self.sessions: Sessions = {}
        self.notices: list[str] = []  # sentences for the operator; whoever shows them clears the list
        self.tree = Tree.fresh(self.sessions, self.notices)
        self.origins: dict[int, tuple[int, int]] = {}  # server: (incarnation, last sequence applied)
        self.servers: dict[int, tuple[int, str]] = {}  # server: (identity, description)
        self._sessions_digest = 0

    @property
    def digest(self) -> int:
        """64 bits that depend on the znodes and sessions, and on nothing else."""
        return self.tree.digest + self._sessions_digest & MASK

    def __repr__(self) -> str:
        return f"<Machine at {self.zxid:#x}, {len(self.tree.nodes)} znodes, {len(self.sessions)} sessions>"

    # ---- entries

    def admit(self, run: Run) -> bool:
        """Whether `run` is new. If not, its entries only take their zxids (`skip`). To be asked once a run."""
        if not run.origin:
            return True
        incarnation, last = self.origins.get(run.origin, (0, 0))
        if incarnation == run.incarnation and run.sequence <= last:
            return False
        self.origins[run.origin] = run.incarnation, run.sequence + len(run.requests) - 1
        return True

    def apply(self, zxid: int, time_ms: int, run: Run, request: Write, effects: list[Effect]) -> Reply:
        """Do what `request`, one of `run`, asks; what it did to znodes and sessions is appended to `effects`."""
        self.zxid = zxid
        self.time_ms = time_ms
        try:
            if run.session:
                session = self.sessions.get(run.session)
                if session is None or session.owner != run.origin:
                    raise _no_session(run, request, session)
            return WRITES[type(request)](self, run, request, effects)
        except CoordError as error:
            return Failed(error.with_traceback(None))  # the frames would keep alive all that they saw

    def skip(self, zxid: int, time_ms: int) -> None:
        """An entry that does nothing still is a log position."""
        self.zxid = zxid
        self.time_ms = time_ms

    # ---- reads

    def read(self, identities: tuple[Identity, ...], session: int, request: Read) -> Reply:
        """Answer `request` of a client that is known by `identities`."""
        try:
            return READS[type(request)](self, identities, session, request)
        except CoordError as error:
            return Failed(error.with_traceback(None))

    def may_read(self, identities: tuple[Identity, ...], acl: Acl) -> bool:
        """Whether a watcher with these identities may hear of a znode with this list."""
        return acl is OPEN_ACL or allowed(acl, READ, identities)

    def reapable(self, now_ms: int, never_used_ms: int, limit: int) -> list[ReapNode]:
        """At most `limit` containers and TTL znodes that are due at `now_ms`, for the leader to propose."""
        nodes = self.tree.nodes
        return [
            ReapNode(path, nodes[path].mzxid, nodes[path].pzxid)
            for path in self.tree.reaping.due(now_ms, never_used_ms, limit)
        ]

    # ---- snapshots

    def begin_walk(self) -> Walk:
        """Take a snapshot of the state as it is now, chunk by chunk, while it goes on changing."""
        origins = [[server, *known] for server, known in self.origins.items()]
        servers = [[server, *known] for server, known in self.servers.items()]
        return Walk(self.tree, self.zxid, [self.time_ms, self.digest, origins, servers])

    def recount_sessions(self) -> None:
        """After the sessions were put back from a snapshot: their part of the digest."""
        self._sessions_digest = sum(session.term() for session in self.sessions.values()) & MASK

    # ---- used by the operations below

    def check_quota(self, path: str, count: int, growth: int) -> None:
        """Raise QuotaExceededError if the nearest quota above `path` forbids so much more."""
        quotas = covering(self.tree.quotas, path)
        if quotas:
            quotas[0].check(count, growth)

    def replace_session(self, old: Session | None, new: Session | None) -> None:
        """`new` stands for `old` from now on: keep the table and the digest."""
        if old is not None:
            del self.sessions[old.id]
            self._sessions_digest -= old.term()
        if new is not None:
            self.sessions[new.id] = new
            self._sessions_digest += new.term()
        self._sessions_digest &= MASK


# ---- writes to znodes


def create(machine: Machine, run: Run, request: Create, effects: list[Effect]) -> Created:
    path, kind = request.path, request.kind
    owner = lifetime_ms = 0
    if kind or request.ttl_ms >= 0:
        owner, lifetime_ms = _check_kind(run, request)
    slash = path.rfind("/")
    if slash < 0 or "\0" in path:
        raise BadArgumentsError(f"the path {path!r} is not absolute or holds a NUL; give a path such as /app")
    acl = request.acl
    if acl is not OPEN_ACL:
        acl = fixed(acl, run.identities, path)
    tree = machine.tree
    parent_path = path[:slash] or "/"
    parent = tree.nodes.get(parent_path)
    if parent is None:
        raise NoNodeError(f"{parent_path}, the parent of {path}, does not exist; create it first")
    if parent.acl is not OPEN_ACL:
        require(parent.acl, CREATE, run.identities, parent_path)
    if kind in _SEQUENTIAL:
        path = f"{path}{parent.creations:010d}"
    if slash == 1 or not _plain_name(path, slash + 1):
        check_path(path)  # of the parent, which exists, it is known; "//a" seems to have one too
    if path in tree.nodes:
        raise NodeExistsError(f"{path} exists already; change it with a set, or take another path")
    if parent.ephemeral_owner:
        raise NoChildrenForEphemeralsError(f"{parent_path} is ephemeral and cannot have the child {path}")
    data = request.data
    if tree.quotas:
        machine.check_quota(path, 1, len(data or b""))

    znode = Znode(data, acl, machine.zxid, machine.time_ms, owner, lifetime_ms, mark_of(path))
    creations = parent.creations + 1
    tree.insert(path, parent_path, znode, machine.zxid, creations if creations <= INT32_MAX else int32(creations))
    effects.append(Change(NODE_CREATED, path, acl, parent.acl))
    return Created(path, znode)


def delete(machine: Machine, run: Run, request: Delete, effects: list[Effect]) -> Done:
    path = request.path
    parent_path = _parent_to_delete_from(path)
    nodes = machine.tree.nodes
    parent = nodes.get(parent_path)
    if parent is None:
        raise NoNodeError(f"{path} does not exist, nor does its parent")
    if parent.acl is not OPEN_ACL:
        require(parent.acl, DELETE, run.identities, parent_path)
    znode = nodes.get(path)
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    if request.version != -1 and request.version != znode.version:
        raise _bad_version(path, znode.version, request.version)
    if znode.children is not None:
        raise NotEmptyError(f"{path} has {len(znode.children)} children; delete them first")
    return _remove(machine, path, parent_path, parent, znode, EXPLICIT, effects)


def set_data(machine: Machine, run: Run, request: SetData, effects: list[Effect]) -> Written:
    path = request.path
    tree = machine.tree
    znode = tree.nodes.get(path)
    if znode is None:
        raise _no_node(path)
    acl = znode.acl
    if acl is not OPEN_ACL:
        require(acl, WRITE, run.identities, path)
    data = request.data
    if tree.quotas:
        machine.check_quota(path, 0, len(data or b"") - len(znode.data or b""))
    version = znode.version
    if request.version != -1 and request.version != version:
        raise _bad_version(path, version, request.version)

    version = version + 1 if -2 != version != INT32_MAX else _next_version(version)
    tree.write(path, znode, data, version, machine.zxid, machine.time_ms)
    effects.append(Change(DATA_CHANGED, path, acl))
    return Written(znode)


def set_acl(machine: Machine, run: Run, request: SetAcl, effects: list[Effect]) -> Written:
    path = request.path
    check_path(path)
    acl = fixed(request.acl, run.identities, path)
    znode = _find(machine, path)
    require(znode.acl, ADMIN, run.identities, path)
    if request.version != -1 and request.version != znode.aversion:
        raise _bad_version(f"the ACL of {path}", znode.aversion, request.version)

    machine.tree.set_acl(path, znode, acl, _next_version(znode.aversion))
    return Written(znode)


def check_version(machine: Machine, run: Run, request: CheckVersion, effects: list[Effect]) -> Done:
    znode = machine.tree.nodes.get(request.path)
    if znode is None:
        raise _no_node(request.path)
    require(znode.acl, READ, run.identities, request.path)
    if request.version != -1 and request.version != znode.version:
        raise _bad_version(request.path, znode.version, request.version)
    return Done()


def delete_container(machine: Machine, run: Run, request: DeleteContainer, effects: list[Effect]) -> Done:
    """Open to every client, whatever the ACLs say: so it takes only what the reaper would take anyway, one day."""
    path = request.path
    parent_path = _parent_to_delete_from(path)
    znode = _find(machine, path)
    if znode.children is not None:
        raise NotEmptyError(f"{path} has {len(znode.children)} children; delete them first")
    if not znode.lifetime_ms:
        raise BadVersionError(f"{path} is neither a container nor a TTL znode; use delete")
    return _remove(machine, path, parent_path, machine.tree.nodes[parent_path], znode, EXPLICIT, effects)


def reap_node(machine: Machine, run: Run, request: ReapNode, effects: list[Effect]) -> Done:
    """Delete what was due when the leader looked, unless somebody has used it since."""
    path = request.path
    znode = machine.tree.nodes.get(path)
    if (
        znode is None
        or not znode.lifetime_ms
        or znode.children is not None
        or (znode.mzxid, znode.pzxid) != (request.mzxid, request.pzxid)
    ):
        return Done()
    cause = CONTAINER_EMPTY if znode.lifetime_ms == CONTAINER_LIFETIME else TTL_EXPIRED
    parent_path = parent_of(path)
    return _remove(machine, path, parent_path, machine.tree.nodes[parent_path], znode, cause, effects)


# ---- several writes as one


def multi(machine: Machine, run: Run, request: Multi, effects: list[Effect]) -> MultiDone:
    """All of it, or nothing. Each step is done at once, so that the next ones see it, and can be taken back."""
    undo: Undo = []
    replies: list[Reply] = []
    effects_before, notices_before = len(effects), len(machine.notices)
    for index, step in enumerate(request.requests):
        try:
            function = STEPS.get(type(step))
            if function is None:
                raise MarshallingError(f"{type(step).__name__} cannot be part of a multi")
            replies.append(function(machine, run, step, effects, undo))
        except CoordError as error:
            while undo:
                undo.pop()()
            del effects[effects_before:], machine.notices[notices_before:]
            return MultiDone(_multi_failed(len(request.requests), index, error.with_traceback(None)))
    return MultiDone(tuple(replies))


def _multi_failed(steps: int, index: int, error: CoordError) -> tuple[Reply, ...]:
    before = Failed(RolledBackError(f"taken back, because operation {index + 1} of the multi failed"))
    after = Failed(RuntimeInconsistencyError(f"not tried, because operation {index + 1} of the multi failed"))
    return (*[before] * index, Failed(error), *[after] * (steps - index - 1))


def _step_create(machine: Machine, run: Run, request: Create, effects: list[Effect], undo: Undo) -> Created:
    tree = machine.tree
    parent_path = request.path[: request.path.rfind("/")] or "/"
    parent = tree.nodes.get(parent_path)
    pzxid, creations = (parent.pzxid, parent.creations) if parent is not None else (0, 0)
    done = create(machine, run, request, effects)
    undo.append(partial(tree.remove, done.path, parent_path, tree.nodes[done.path], pzxid, creations))
    return Created(done.path, FrozenStat(done.stat))


def _step_delete(machine: Machine, run: Run, request: Delete, effects: list[Effect], undo: Undo) -> Done:
    tree, path = machine.tree, request.path
    znode = tree.nodes.get(path)
    parent_path = path[: path.rfind("/")] or "/"
    parent = tree.nodes.get(parent_path)
    pzxid, creations = (parent.pzxid, parent.creations) if parent is not None else (0, 0)
    done = delete(machine, run, request, effects)
    assert znode is not None, "what was deleted was there"
    undo.append(partial(tree.insert, path, parent_path, znode, pzxid, creations))
    return done


def _step_set_data(machine: Machine, run: Run, request: SetData, effects: list[Effect], undo: Undo) -> Written:
    tree, path = machine.tree, request.path
    znode = tree.nodes.get(path)
    if znode is None:
        raise _no_node(path)
    way_back = partial(tree.write, path, znode, znode.data, znode.version, znode.mzxid, znode.mtime)
    done = set_data(machine, run, request, effects)
    undo.append(way_back)
    return Written(FrozenStat(done.stat))


def _step_check(machine: Machine, run: Run, request: CheckVersion, effects: list[Effect], undo: Undo) -> Done:
    return check_version(machine, run, request, effects)


# ---- sessions and servers


def create_session(machine: Machine, run: Run, request: CreateSession, effects: list[Effect]) -> SessionOpened:
    if request.session in machine.sessions:
        raise SystemError_(f"session {request.session:#x} exists already; draw another identifier")
    session = Session(request.session, request.password, request.timeout_ms, run.origin)
    machine.replace_session(None, session)
    effects.append(SessionMoved(session.id, run.origin))
    return SessionOpened(session.id, session.password, session.timeout_ms)


def attach_session(machine: Machine, run: Run, request: AttachSession, effects: list[Effect]) -> SessionOpened:
    session = machine.sessions.get(request.session)
    if session is None:
        raise SessionExpiredError(f"session {request.session:#x} does not exist any more; open a new one")
    if not compare_digest(session.password, request.password):
        raise SessionExpiredError(f"session {request.session:#x} has another password; open a new session")
    effects.append(SessionMoved(session.id, run.origin))
    moved = Session(session.id, session.password, request.timeout_ms, run.origin, session.ephemerals)
    machine.replace_session(session, moved)
    return SessionOpened(moved.id, moved.password, moved.timeout_ms)


def close_session(machine: Machine, run: Run, request: CloseSession, effects: list[Effect]) -> Done:
    """Delete the session's ephemerals, in path order, and then the session."""
    number = run.session or request.session  # a client can end its own session only
    session = machine.sessions.get(number)
    if session is None:
        raise SessionExpiredError(f"session {number:#x} does not exist any more")
    nodes = machine.tree.nodes
    cause = SESSION_EXPIRED if request.expired else SESSION_CLOSED
    for path in sorted(session.ephemerals):
        parent_path = parent_of(path)
        _remove(machine, path, parent_path, nodes[parent_path], nodes[path], cause, effects)
    machine.replace_session(session, None)
    effects.append(SessionEnded(number, request.expired))
    return Done()


def register_server(machine: Machine, run: Run, request: RegisterServer, effects: list[Effect]) -> Done:
    machine.servers[request.server] = request.identity, request.description
    return Done()


# ---- reads


def exists(machine: Machine, identities: tuple[Identity, ...], session: int, request: Exists) -> ExistsReply:
    znode = _find(machine, request.path)
    if znode.acl is not OPEN_ACL:
        require(znode.acl, READ, identities, request.path)
    return ExistsReply(znode)


def get_data(machine: Machine, identities: tuple[Identity, ...], session: int, request: GetData) -> DataReply:
    path = request.path
    znode = machine.tree.nodes.get(path)  # not by _find: this is the hottest of all
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    if znode.acl is not OPEN_ACL:
        require(znode.acl, READ, identities, path)
    return DataReply(znode.data, znode)


def get_acl(machine: Machine, identities: tuple[Identity, ...], session: int, request: GetAcl) -> AclReply:
    znode = _find(machine, request.path)
    require(znode.acl, READ | ADMIN, identities, request.path)
    return AclReply(znode.acl if allowed(znode.acl, ADMIN, identities) else masked(znode.acl), znode)


def get_children(
    machine: Machine, identities: tuple[Identity, ...], session: int, request: GetChildren
) -> ChildrenReply:
    znode = _find(machine, request.path)
    require(znode.acl, READ, identities, request.path)
    start = len(request.path) + (request.path != "/")
    return ChildrenReply([path[start:] for path in znode.children or ()], znode)


def get_ephemerals(
    machine: Machine, identities: tuple[Identity, ...], session: int, request: GetEphemerals
) -> EphemeralsReply:
    own = machine.sessions.get(session)
    prefix = request.prefix if request.prefix.strip() else ""
    return EphemeralsReply([path for path in (own.ephemerals if own else ()) if path.startswith(prefix)])


def count_descendants(
    machine: Machine, identities: tuple[Identity, ...], session: int, request: CountDescendants
) -> CountReply:
    znode = _find(machine, request.path)
    require(znode.acl, READ, identities, request.path)
    return CountReply(machine.tree.descendants(request.path))


MULTI_READ_BYTES_MAX = 8 << 20
"""When the parts of one multiRead have read so much, those after them are refused."""

_TOO_MUCH_READ = Failed(
    MarshallingError(f"the parts of a multiRead may read {MULTI_READ_BYTES_MAX} bytes; ask for the rest in another one")
)


def multi_read(machine: Machine, identities: tuple[Identity, ...], session: int, request: MultiRead) -> MultiReadDone:
    """Each part by itself. A short request can ask for a large znode again and again, so the parts have one limit."""
    replies: list[Reply] = []
    size = 0
    for step in request.requests:
        if size > MULTI_READ_BYTES_MAX:
            replies.append(_TOO_MUCH_READ)
            continue
        reply = machine.read(identities, session, step)
        if type(reply) is DataReply:
            size += len(reply.data or b"")
        elif type(reply) is ChildrenReply:
            size += sum(map(len, reply.names))
        replies.append(reply)
    return MultiReadDone(tuple(replies))


def who_am_i(machine: Machine, identities: tuple[Identity, ...], session: int, request: WhoAmI) -> WhoAmIReply:
    """Users' names, without the hashes of their passwords."""
    return WhoAmIReply(
        sorted((scheme, name.partition(":")[0] if scheme == "digest" else name) for scheme, name in identities)
    )


# ---- what the operations share


def _find(machine: Machine, path: str) -> Znode:
    znode = machine.tree.nodes.get(path)
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    return znode


def _no_node(path: str) -> NoNodeError:
    """To be raised where `path` was not found: a path that exists is legal, so only now is it worth a check."""
    check_path(path)
    return NoNodeError(f"{path} does not exist")


def _no_session(run: Run, request: Write, session: Session | None) -> CoordError:
    """The error for a run whose session is not, or not here. The flags of a create are judged before the session."""
    if isinstance(request, Create):
        try:
            _check_kind(run, request)
        except CoordError as error:
            return error
    if session is None:
        return SessionExpiredError(f"session {run.session:#x} does not exist any more; open a new one")
    return SessionMovedError(f"session {run.session:#x} has moved to server {session.owner}; use that connection")


def _bad_version(what: str, actual: int, expected: int) -> BadVersionError:
    return BadVersionError(f"{what} has version {actual}, not {expected}; read it again")


def _next_version(version: int) -> int:
    """One more, in 32 bits; -1 is left out, since it means 'any' in a request."""
    return 0 if version == -2 else int32(version + 1)


def _check_kind(run: Run, request: Create) -> tuple[int, int]:
    """(ephemeral owner, lifetime) for a create, whose flags and TTL are checked."""
    kind, ttl_ms = request.kind, request.ttl_ms
    if not 0 <= kind <= TTL_SEQUENTIAL:
        raise BadArgumentsError(f"{kind} is no kind of znode; the kinds are 0 to {TTL_SEQUENTIAL}")
    if kind >= TTL:
        if not 0 < ttl_ms <= TTL_MS_MAX:
            raise BadArgumentsError(f"a TTL of {ttl_ms} ms cannot be; give 1 to {TTL_MS_MAX}")
        return 0, ttl_ms
    if ttl_ms >= 0:
        raise BadArgumentsError(f"a znode of kind {kind} has no TTL; leave it out or use kind {TTL}")
    if kind in (EPHEMERAL, EPHEMERAL_SEQUENTIAL):
        if not run.session:
            raise SessionExpiredError(f"{request.path} would be ephemeral, but there is no session to own it")
        return run.session, 0
    return 0, CONTAINER_LIFETIME if kind == CONTAINER else 0


def _parent_to_delete_from(path: str) -> str:
    slash = path.rfind("/")
    if slash < 0 or "\0" in path or path in SPECIAL_PATHS:
        raise BadArgumentsError(f"{path!r} cannot be deleted: it is reserved, or no path")
    return path[:slash] or "/"


def _remove(
    machine: Machine, path: str, parent_path: str, parent: Znode, znode: Znode, cause: int, effects: list[Effect]
) -> Done:
    machine.tree.remove(path, parent_path, znode, machine.zxid, parent.creations)
    effects.append(Change(NODE_DELETED, path, znode.acl, parent.acl, cause))
    return Done()


# ---- tables

WRITES: dict[type, Callable[[Machine, Run, Any, list[Effect]], Reply]] = {
    Create: create,
    Delete: delete,
    SetData: set_data,
    SetAcl: set_acl,
    CheckVersion: check_version,
    Multi: multi,
    DeleteContainer: delete_container,
    CloseSession: close_session,
    CreateSession: create_session,
    AttachSession: attach_session,
    ReapNode: reap_node,
    RegisterServer: register_server,
}

STEPS: dict[type, Callable[[Machine, Run, Any, list[Effect], Undo], Reply]] = {
    Create: _step_create,
    Delete: _step_delete,
    SetData: _step_set_data,
    CheckVersion: _step_check,
}
"""What may stand in a multi, each with its way back."""

READS: dict[type, Callable[[Machine, tuple[Identity, ...], int, Any], Reply]] = {
    Exists: exists,
    GetData: get_data,
    GetAcl: get_acl,
    GetChildren: get_children,
    GetEphemerals: get_ephemerals,
    CountDescendants: count_descendants,
    MultiRead: multi_read,
    WhoAmI: who_am_i,
}
