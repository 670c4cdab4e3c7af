"""What is answered: shapes of replies, and of events.

A reply may show a live znode (the `Stat` protocol below), so it is encoded before the next entry is
applied; what must outlive that has its stat copied by the machine (`model/stat.py`).
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from coord.model.acl import Acl, Identity
from coord.model.errors import CoordError
from coord.model.message import message
from coord.model.stat import Shown


class Stat(Protocol):
    """What is known of a znode beside its data. A zxid is a log position; times are Unix milliseconds."""

    @property
    def czxid(self) -> int: ...
    @property
    def mzxid(self) -> int: ...
    @property
    def ctime(self) -> int: ...
    @property
    def mtime(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def cversion(self) -> int:
        """As clients see it: creations and deletions of children."""

    @property
    def aversion(self) -> int: ...
    @property
    def ephemeral_owner(self) -> int:
        """The owning session, 0 unless the znode is ephemeral (as clients see it)."""

    @property
    def data_length(self) -> int: ...
    @property
    def children_count(self) -> int: ...
    @property
    def pzxid(self) -> int: ...
    @property
    def lifetime_ms(self) -> int:
        """0, CONTAINER_LIFETIME, or a TTL: told in coord's own protocol only."""

    def shown(self) -> Shown:
        """All of these but the lifetime, with one call: properties of a znode cost each as much."""


# ---- replies to writes


@message
class Created:
    path: str  # with the sequence number, if any
    stat: Stat


@message
class Written:
    """SetData and SetAcl."""

    stat: Stat


@message
class Done:
    """Delete, CheckVersion, CloseSession, watches, and all else that answers just "yes"."""


@message
class Failed:
    """Any request can end so. The operation did not happen."""

    error: CoordError

    @property
    def code(self) -> int:
        return self.error.code


@message
class MultiDone:
    """One reply a request. If one failed, all are Failed: code 0 before it, its own, then -2 after it."""

    replies: "tuple[Reply, ...]"


@message
class SessionOpened:
    """CreateSession and AttachSession. `applied` is the number of the session's last numbered write, 0 for none."""

    session: int
    password: bytes
    timeout_ms: int
    applied: int = 0


@message
class Repeated:
    """A numbered write that came again: its first reply, which was kept, and the zxid at which it was done."""

    reply: "Reply"
    zxid: int


# ---- replies to reads


@message
class ExistsReply:
    stat: Stat


@message
class DataReply:
    data: bytes | None
    stat: Stat


@message
class AclReply:
    acl: Acl
    stat: Stat


@message
class ChildrenReply:
    names: Sequence[str]
    stat: Stat


@message
class PageReply:
    """ChildrenPage: (name, stat, data) each. Of a child the caller may not read stat and data are None."""

    children: "Sequence[tuple[str, Stat | None, bytes | None]]"
    more: bool  # children follow after the last of these
    stat: Stat  # of the parent


@message
class EphemeralsReply:
    paths: Sequence[str]


@message
class CountReply:
    count: int


@message
class MultiReadDone:
    replies: "tuple[Reply, ...]"


@message
class WhoAmIReply:
    identities: Sequence[Identity]


@message
class Synced:
    path: str


Reply: TypeAlias = (
    Created | Written | Done | Failed | MultiDone | SessionOpened | Repeated | ExistsReply | DataReply | AclReply
    | ChildrenReply | PageReply | EphemeralsReply | CountReply | MultiReadDone | WhoAmIReply | Synced
)  # fmt: skip

# ---- what a write did to the tree, and what a watcher hears of it

# Event kinds, by ZooKeeper's EventType.
NODE_CREATED, NODE_DELETED, DATA_CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4

# Why a znode was deleted.
EXPLICIT, SESSION_CLOSED, SESSION_EXPIRED, TTL_EXPIRED, CONTAINER_EMPTY = range(5)


@message
class Change:
    """One znode was created, deleted, or given other data (kind: NODE_CREATED, NODE_DELETED, DATA_CHANGED).

    `acl` is the znode's own (the new one on creation, the last one on deletion); `parent_acl` that of its
    parent: a watcher hears of the change only if it may read.
    """

    kind: int
    path: str
    acl: Acl
    parent_acl: Acl = ()
    cause: int = EXPLICIT


@message
class SessionEnded:
    """A session was closed or expired; its ephemerals' deletions stand before this among the changes."""

    session: int
    expired: bool


@message
class SessionMoved:
    """A session is served by the server `owner` from now on: it was opened there, or its client reconnected there."""

    session: int
    owner: int


Effect: TypeAlias = Change | SessionEnded | SessionMoved


@message
class Event:
    """What a watcher is told. `zxid` is that of the write that caused it, -1 if made on re-arming."""

    kind: int
    path: str
    zxid: int


@message
class WatchEvent:
    """What a client of coord's own protocol is told, under the number it gave its watch."""

    watch_id: int
    zxid: int  # of the write that caused it
    kind: int
    path: str
    cause: int  # of a deletion; else EXPLICIT
