"""The writes to znodes, one function each: see operation.py for what they are given and promise."""

import re
from functools import partial

from coord.model.acl import OPEN_ACL, Acl
from coord.model.entries import Run
from coord.model.errors import (
    BadArgumentsError,
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SessionExpiredError,
    TooLargeError,
)
from coord.model.paths import check_path, parent_of
from coord.model.replies import (
    CONTAINER_EMPTY,
    EXPLICIT,
    NODE_CREATED,
    TTL_EXPIRED,
    Change,
    Created,
    Done,
    Effect,
    Written,
)
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
    Create,
    Delete,
    DeleteContainer,
    DeleteTree,
    ReapNode,
    SetAcl,
    SetData,
)
from coord.model.stat import CONTAINER_LIFETIME
from coord.state.acl import ADMIN, CREATE, DELETE, WRITE, fixed, require
from coord.state.digest import mark_of
from coord.state.operation import State, Undo, bad_version, data_changed, find, no_node, parent_to_delete_from, remove
from coord.state.quota import covering
from coord.state.znode import INT32_MAX, Znode, int32, next_version

TTL_MS_MAX = (1 << 40) - 1

TREE_DELETE_MAX = 10_000
"""Znodes that one write may delete: every server does it in one breath, in which it does nothing else."""

PARENTS_MAX = 100
"""Missing parents that one create may make."""

_SEQUENTIAL = frozenset({PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL, TTL_SEQUENTIAL})
_plain_name = re.compile(r"[0-9A-Za-z_-]+").fullmatch  # nearly every name; three times as fast as check_path


def create(state: State, run: Run, request: Create, effects: list[Effect], undo: Undo | None = None) -> Created:
    path, kind = request.path, request.kind
    owner = lifetime_ms = 0
    if kind or request.ttl_ms >= 0:
        owner, lifetime_ms = check_kind(run, request)
    slash = path.rfind("/")
    if slash < 0 or "\0" in path:
        raise BadArgumentsError(f"the path {path!r} is not absolute or holds a NUL; give a path such as /app")
    acl = request.acl
    if acl is not OPEN_ACL:
        acl = fixed(acl, run.identities, path)
    tree = state.tree
    parent_path = path[:slash] or "/"
    parent = tree.nodes.get(parent_path)
    if parent is None:
        if not request.parents:
            raise NoNodeError(f"{parent_path}, the parent of {path}, does not exist; create it first")
        _make_parents(state, run, request, parent_path, acl, effects, undo)
        parent = tree.nodes[parent_path]
        if kind in _SEQUENTIAL:
            path = f"{path}{parent.creations:010d}"
    else:
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
        if tree.quotas:
            state.check_quota(path, 1, len(request.data or b""))

    znode = Znode(request.data, acl, state.zxid, state.time_ms, owner, lifetime_ms, mark_of(path))
    if undo is not None:
        undo.append(partial(tree.remove, path, parent_path, znode, parent.pzxid, parent.creations))
    creations = parent.creations + 1
    tree.insert(path, parent_path, znode, state.zxid, creations if creations <= INT32_MAX else int32(creations))
    effects.append(Change(NODE_CREATED, path, acl, parent.acl))
    return Created(path, znode)


def _make_parents(
    state: State, run: Run, request: Create, parent_path: str, acl: Acl, effects: list[Effect], undo: Undo | None
) -> None:
    """Make what is missing down to `parent_path`, after all the checks that the whole create needs.

    Whoever may create the first of them may create what is below it in the same write, whatever the list says.
    """
    sequential = request.kind in _SEQUENTIAL
    path = request.path + "0000000000" if sequential else request.path
    check_path(path)
    tree = state.tree
    nodes = tree.nodes
    missing: list[str] = []
    at = parent_path
    while at not in nodes:
        missing.append(at)
        if len(missing) > PARENTS_MAX:
            raise TooLargeError(
                f"more than {PARENTS_MAX} znodes above {path[:200]} are missing; create some of them first"
            )
        at = parent_of(at)
    nearest = nodes[at]
    require(nearest.acl, CREATE, run.identities, at)
    if nearest.ephemeral_owner:
        raise NoChildrenForEphemeralsError(f"{at} is ephemeral and cannot have the child {missing[-1]}")
    if tree.quotas:
        _check_quotas(state, [*missing, path], len(request.data or b""))

    for made in reversed(missing):
        above = parent_of(made)
        parent = nodes[above]
        znode = Znode(b"", acl, state.zxid, state.time_ms, 0, 0, mark_of(made))
        if undo is not None:
            undo.append(partial(tree.remove, made, above, znode, parent.pzxid, parent.creations))
        creations = parent.creations + 1
        tree.insert(made, above, znode, state.zxid, creations if creations <= INT32_MAX else int32(creations))
        effects.append(Change(NODE_CREATED, made, acl, parent.acl))


def _check_quotas(state: State, paths: list[str], growth: int) -> None:
    """Whether all of `paths`, the last one with data, may be made: each counts for the nearest quota above it."""
    counts: dict[str, int] = {}
    for path in paths:
        for quota in covering(state.tree.quotas, path)[:1]:
            counts[quota.prefix] = counts.get(quota.prefix, 0) + 1
    leaf = covering(state.tree.quotas, paths[-1])[:1]
    for prefix, count in counts.items():
        quota = state.tree.quotas[prefix]
        quota.check(count, growth if quota in leaf else 0)


def delete(state: State, run: Run, request: Delete, effects: list[Effect], undo: Undo | None = None) -> Done:
    path = request.path
    parent_path = parent_to_delete_from(path)
    parent, znode = _to_delete(state, run, path, parent_path, request.version)
    if znode.children is not None:
        raise NotEmptyError(f"{path} has {len(znode.children)} children; delete them first")
    remove(state, path, parent_path, parent, znode, EXPLICIT, effects, undo)
    return Done()


def delete_tree(state: State, run: Run, request: DeleteTree, effects: list[Effect], undo: Undo | None = None) -> Done:
    """Delete `path` and what is below it, the lowest first. DELETE is needed on the parent of each."""
    path = request.path
    parent_path = parent_to_delete_from(path)
    _to_delete(state, run, path, parent_path, request.version)
    nodes = state.tree.nodes
    room = TREE_DELETE_MAX - len(undo or ())
    doomed = [path]  # grows while it is gone through: each stands behind its parent
    for each in doomed:
        znode = nodes[each]
        if znode.children is not None:
            if znode.acl is not OPEN_ACL:
                require(znode.acl, DELETE, run.identities, each)
            doomed += znode.children
            if len(doomed) > room:
                raise TooLargeError(
                    f"{path} and what is below it are more than {room} znodes, and one write deletes "
                    f"at most {TREE_DELETE_MAX}; delete parts of it first"
                )

    for each in reversed(doomed):
        above = parent_of(each)
        remove(state, each, above, nodes[above], nodes[each], EXPLICIT, effects, undo)
    return Done()


def _to_delete(state: State, run: Run, path: str, parent_path: str, version: int) -> tuple[Znode, Znode]:
    """(the parent, the znode) that may be deleted as far as rights and version go."""
    nodes = state.tree.nodes
    parent = nodes.get(parent_path)
    if parent is None:
        raise NoNodeError(f"{path} does not exist, nor does its parent")
    if parent.acl is not OPEN_ACL:
        require(parent.acl, DELETE, run.identities, parent_path)
    znode = nodes.get(path)
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    if version != -1 and version != znode.version:
        raise bad_version(path, znode.version, version)
    return parent, znode


def set_data(state: State, run: Run, request: SetData, effects: list[Effect], undo: Undo | None = None) -> Written:
    path = request.path
    tree = state.tree
    znode = tree.nodes.get(path)
    if znode is None:
        raise no_node(path)
    acl = znode.acl
    if acl is not OPEN_ACL:
        require(acl, WRITE, run.identities, path)
    data = request.data
    if tree.quotas:
        state.check_quota(path, 0, len(data or b"") - len(znode.data or b""))
    version = znode.version
    if request.version != -1 and request.version != version:
        raise bad_version(path, version, request.version)

    if undo is not None:
        undo.append(partial(tree.write, path, znode, znode.data, version, znode.mzxid, znode.mtime))
    tree.write(path, znode, data, next_version(version), state.zxid, state.time_ms)
    effects.append(data_changed(path, acl))
    return Written(znode)


def set_acl(state: State, run: Run, request: SetAcl, effects: list[Effect], undo: Undo | None = None) -> Written:
    path = request.path
    check_path(path)
    acl = fixed(request.acl, run.identities, path)
    znode = find(state, path)
    require(znode.acl, ADMIN, run.identities, path)
    if request.version != -1 and request.version != znode.aversion:
        raise bad_version(f"the ACL of {path}", znode.aversion, request.version)

    if undo is not None:
        undo.append(partial(state.tree.set_acl, path, znode, znode.acl, znode.aversion))
    state.tree.set_acl(path, znode, acl, next_version(znode.aversion))
    return Written(znode)


def delete_container(state: State, run: Run, request: DeleteContainer, effects: list[Effect]) -> Done:
    """Open to every client, whatever the ACLs say: so it takes only what the reaper would take anyway, one day."""
    path = request.path
    parent_path = parent_to_delete_from(path)
    znode = find(state, path)
    if znode.children is not None:
        raise NotEmptyError(f"{path} has {len(znode.children)} children; delete them first")
    if not znode.lifetime_ms:
        raise BadVersionError(f"{path} is neither a container nor a TTL znode; use delete")
    remove(state, path, parent_path, state.tree.nodes[parent_path], znode, EXPLICIT, effects)
    return Done()


def reap_node(state: State, run: Run, request: ReapNode, effects: list[Effect]) -> Done:
    """Delete what was due when the leader looked, unless somebody has used it since."""
    path = request.path
    znode = state.tree.nodes.get(path)
    if (
        znode is None
        or not znode.lifetime_ms
        or znode.children is not None
        or (znode.mzxid, znode.pzxid) != (request.mzxid, request.pzxid)
    ):
        return Done()
    cause = CONTAINER_EMPTY if znode.lifetime_ms == CONTAINER_LIFETIME else TTL_EXPIRED
    parent_path = parent_of(path)
    remove(state, path, parent_path, state.tree.nodes[parent_path], znode, cause, effects)
    return Done()


# ---- what they share


def check_kind(run: Run, request: Create) -> tuple[int, int]:
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
