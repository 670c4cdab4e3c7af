"""What a client can ask of the state without changing it: one function a read, with its row in READS.

A reply may show a live znode as its stat: it is to be encoded before the next entry is applied.
"""

from collections.abc import Callable
from heapq import nsmallest
from typing import Any

from coord.model.acl import OPEN_ACL, Identity
from coord.model.errors import BadArgumentsError, CoordError, MarshallingError, NoNodeError
from coord.model.replies import (
    AclReply,
    ChildrenReply,
    CountReply,
    DataReply,
    EphemeralsReply,
    ExistsReply,
    Failed,
    MultiReadDone,
    PageReply,
    Reply,
    Stat,
    WhoAmIReply,
)
from coord.model.requests import (
    ChildrenPage,
    CountDescendants,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    MultiRead,
    Read,
    WhoAmI,
)
from coord.state.acl import ADMIN, READ, allowed, masked, require
from coord.state.operation import State, find


def read(state: State, identities: tuple[Identity, ...], session: int, request: Read) -> Reply:
    """Answer `request` of a client that is known by `identities`."""
    try:
        return READS[type(request)](state, identities, session, request)
    except CoordError as error:
        return Failed(error.with_traceback(None))


def exists(state: State, identities: tuple[Identity, ...], session: int, request: Exists) -> ExistsReply:
    znode = find(state, request.path)
    if znode.acl is not OPEN_ACL:
        require(znode.acl, READ, identities, request.path)
    return ExistsReply(znode)


def get_data(state: State, identities: tuple[Identity, ...], session: int, request: GetData) -> DataReply:
    path = request.path
    znode = state.tree.nodes.get(path)  # not by _find: this is the hottest of all
    if znode is None:
        raise NoNodeError(f"{path} does not exist")
    if znode.acl is not OPEN_ACL:
        require(znode.acl, READ, identities, path)
    return DataReply(znode.data, znode)


def get_acl(state: State, identities: tuple[Identity, ...], session: int, request: GetAcl) -> AclReply:
    znode = find(state, request.path)
    require(znode.acl, READ | ADMIN, identities, request.path)
    return AclReply(znode.acl if allowed(znode.acl, ADMIN, identities) else masked(znode.acl), znode)


def get_children(state: State, identities: tuple[Identity, ...], session: int, request: GetChildren) -> ChildrenReply:
    znode = find(state, request.path)
    require(znode.acl, READ, identities, request.path)
    start = len(request.path) + (request.path != "/")
    return ChildrenReply([path[start:] for path in znode.children or ()], znode)


PAGE_MAX = 10_000
"""Children that one page may hold."""
PAGE_BYTES_MAX = 4 << 20
"""With so many bytes of names and data a page ends before its limit."""


def children_page(state: State, identities: tuple[Identity, ...], session: int, request: ChildrenPage) -> PageReply:
    """The next children after a name. Each page looks at all of them, but sorts only those it gives."""
    path = request.path
    znode = find(state, path)
    require(znode.acl, READ, identities, path)
    if not 1 <= request.limit <= PAGE_MAX:
        raise BadArgumentsError(f"a page of {request.limit} children cannot be had; ask for 1 to {PAGE_MAX}")
    prefix = path if path == "/" else path + "/"
    nodes, after = state.tree.nodes, prefix + request.after
    found = nsmallest(request.limit + 1, [child for child in znode.children or () if child > after])
    rows: list[tuple[str, Stat | None, bytes | None]] = []
    size = 0
    for child in found[: request.limit]:
        if size > PAGE_BYTES_MAX:
            break
        inner, name = nodes[child], child[len(prefix) :]
        size += len(name)
        if not allowed(inner.acl, READ, identities):
            rows.append((name, None, None))
        elif request.with_data:
            size += inner.data_length
            rows.append((name, inner, inner.data))
        else:
            rows.append((name, inner, None))
    return PageReply(rows, len(found) > len(rows), znode)


def get_ephemerals(
    state: State, identities: tuple[Identity, ...], session: int, request: GetEphemerals
) -> EphemeralsReply:
    own = state.sessions.get(session)
    prefix = request.prefix if request.prefix.strip() else ""
    return EphemeralsReply([path for path in (own.ephemerals if own else ()) if path.startswith(prefix)])


def count_descendants(
    state: State, identities: tuple[Identity, ...], session: int, request: CountDescendants
) -> CountReply:
    znode = find(state, request.path)
    require(znode.acl, READ, identities, request.path)
    return CountReply(state.tree.descendants(request.path))


MULTI_READ_BYTES_MAX = 8 << 20
"""When the parts of one multiRead have read so much, those after them are refused."""

_TOO_MUCH_READ = Failed(
    MarshallingError(f"the parts of a multiRead may read {MULTI_READ_BYTES_MAX} bytes; ask for the rest in another one")
)


def multi_read(state: State, identities: tuple[Identity, ...], session: int, request: MultiRead) -> MultiReadDone:
    """Each part by itself. A short request can ask for a large znode again and again, so the parts have one limit."""
    replies: list[Reply] = []
    size = 0
    for step in request.requests:
        if size > MULTI_READ_BYTES_MAX:
            replies.append(_TOO_MUCH_READ)
            continue
        reply = read(state, identities, session, step)
        if type(reply) is DataReply:
            size += len(reply.data or b"")
        elif type(reply) is ChildrenReply:
            size += sum(map(len, reply.names))
        replies.append(reply)
    return MultiReadDone(tuple(replies))


def who_am_i(state: State, identities: tuple[Identity, ...], session: int, request: WhoAmI) -> WhoAmIReply:
    """Users' names, without the hashes of their passwords."""
    return WhoAmIReply(
        sorted((scheme, name.partition(":")[0] if scheme == "digest" else name) for scheme, name in identities)
    )


READS: dict[type, Callable[[State, tuple[Identity, ...], int, Any], Reply]] = {
    Exists: exists,
    GetData: get_data,
    GetAcl: get_acl,
    GetChildren: get_children,
    ChildrenPage: children_page,
    GetEphemerals: get_ephemerals,
    CountDescendants: count_descendants,
    MultiRead: multi_read,
    WhoAmI: who_am_i,
}
