"""What can be asked: one class an operation.

A write goes through the log and is applied by every server; a read is answered by the server that got it.
Fields are in the order in which the log's codec writes them, so a new field goes to the end.
Where a path or an ACL comes from a client nothing has been checked yet: the state machine does that.
"""

from typing import TypeAlias

from coord.model.acl import Acl
from coord.model.message import message

# Kinds of znode, by ZooKeeper's CreateMode flags.
PERSISTENT, EPHEMERAL, PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL, CONTAINER, TTL, TTL_SEQUENTIAL = range(7)


# ---- writes a client can send


@message
class Create:
    """Make a znode. `kind` is one of the seven above (anything else is refused); `ttl_ms` counts for TTL kinds only.

    With `parents` what is missing above it is made too, persistent and with the same list, in the same zxid.
    """

    path: str
    data: bytes | None
    acl: Acl | None  # None: the client sent a null list, which is refused
    kind: int = PERSISTENT
    ttl_ms: int = -1
    parents: bool = False


@message
class Delete:
    """Delete a childless znode; version -1 means any."""

    path: str
    version: int = -1


@message
class DeleteTree:
    """Delete a znode and all that is below it, at once; `version` is that of the znode itself, -1 means any."""

    path: str
    version: int = -1


@message
class SetData:
    """Replace a znode's data; version -1 means any."""

    path: str
    data: bytes | None
    version: int = -1


@message
class SetAcl:
    """Replace a znode's ACL; `version` is the expected aversion, -1 means any."""

    path: str
    acl: Acl | None
    version: int = -1


@message
class CheckVersion:
    """Inside a multi only: go on if the znode exists and has this version (-1: any)."""

    path: str
    version: int


@message
class CheckExists:
    """Inside a multi only: go on if the znode exists (or, with `exists` false, if it does not)."""

    path: str
    exists: bool


@message
class CheckCreated:
    """Inside a multi only: go on if the znode is the one that was made at `czxid`. A lock's holder guards with it."""

    path: str
    czxid: int


@message
class CheckData:
    """Inside a multi only: go on if the znode has exactly these data."""

    path: str
    data: bytes | None


@message
class Multi:
    """All of these writes in one zxid, or none. What may stand inside are the machine's STEPS."""

    requests: "tuple[Write, ...]"


@message
class DeleteContainer:
    """Delete a childless znode that is not a session's ephemeral. ZooKeeper keeps it for servers, yet takes it from
    clients without looking at their rights."""

    path: str


@message
class CloseSession:
    """End the run's own session and delete its ephemerals, or, from the leader, end `session` because it expired."""

    session: int = 0  # 0: the session of the run
    expired: bool = False


# ---- writes that servers make themselves


@message
class CreateSession:
    """Open a session. Identifier and password were drawn by the server that took the connection."""

    session: int
    password: bytes
    timeout_ms: int


@message
class AttachSession:
    """Move a live session to the run's origin (its client reconnected there)."""

    session: int
    password: bytes
    timeout_ms: int


@message
class ReapNode:
    """Delete a TTL or container znode if it is still childless and unchanged since the leader looked."""

    path: str
    mzxid: int
    pzxid: int


@message
class RegisterServer:
    """Remember that the server `server` has the identity `identity` (random, made at its first start).

    A folder that was replaced has another identity, and must not vote under the old id (RELIABILITY 7.3).
    """

    server: int
    identity: int
    description: str


# ---- reads


@message
class Exists:
    path: str
    watch: bool = False


@message
class GetData:
    path: str
    watch: bool = False


@message
class GetAcl:
    path: str


@message
class GetChildren:
    path: str
    watch: bool = False
    with_stat: bool = False


@message
class ChildrenPage:
    """Children in the order of their names: at most `limit` of those after the name `after` ("": from the first)."""

    path: str
    after: str = ""
    limit: int = 1000
    with_data: bool = False


@message
class GetEphemerals:
    """Ephemerals of the caller's session whose path starts with `prefix`."""

    prefix: str


@message
class CountDescendants:
    """getAllChildrenNumber: how many znodes are below `path`."""

    path: str


@message
class MultiRead:
    """Several GetData and GetChildren at one zxid; each fails or succeeds by itself."""

    requests: "tuple[GetData | GetChildren, ...]"


@message
class WhoAmI:
    """The identities of the caller's connection."""


# ---- requests that concern the connection, answered where it ends


@message
class Sync:
    """Answer when this server shows everything that was committed anywhere before now."""

    path: str


@message
class AtLeast:
    """What follows on the connection is to be answered from a state at or after `zxid`."""

    zxid: int


@message
class Ping:
    """The session lives. In coord's own protocol the answer proves that the leader has heard so."""


@message
class Acknowledge:
    """The client has got the replies to all its numbered writes up to `number`: they need not be kept any more."""

    number: int


@message
class Authenticate:
    scheme: str
    credentials: bytes


@message
class AddWatch:
    """mode 0: persistent, 1: persistent and recursive; anything else is refused."""

    path: str
    mode: int


@message
class CheckWatches:
    path: str
    kind: int  # WatcherType: 1 children, 2 data, 3 any, 4 persistent, 5 recursive


@message
class RemoveWatches:
    path: str
    kind: int


@message
class SetWatches:
    """Re-arm watches after a reconnect; those that would have fired since `seen_zxid` fire at once."""

    seen_zxid: int
    data: tuple[str, ...]
    exists: tuple[str, ...]
    children: tuple[str, ...]
    persistent: tuple[str, ...] = ()
    recursive: tuple[str, ...] = ()


@message
class Watch:
    """Tell of changes at `path`, under the client's own number `watch_id`; with `recursive` of all below it too.

    `kinds` has the bit 1 << kind for each kind of event wanted. `depth_max` counts from the path (0); -1 is any.
    With `since_zxid` all that has happened after it is told first.
    """

    watch_id: int
    path: str
    recursive: bool
    kinds: int
    depth_max: int = -1
    since_zxid: int = 0


@message
class Unwatch:
    watch_id: int


@message
class Refused:
    """A request that was readable enough to be answered, in its turn, with this error and nothing else."""

    code: int
    reason: str
    hang_up: bool = False  # close the connection after the answer


@message
class Connect:
    """The first thing a client says: open a session, or go on with one."""

    seen_zxid: int
    timeout_ms: int
    session: int  # 0: a new one
    password: bytes
    read_only: bool
    has_read_only_flag: bool = True  # False for clients older than 3.4, whose answer lacks it too


Check: TypeAlias = CheckVersion | CheckExists | CheckCreated | CheckData
ClientWrite: TypeAlias = (
    Create | Delete | DeleteTree | SetData | SetAcl | Check | Multi | DeleteContainer | CloseSession
)
ServerWrite: TypeAlias = CreateSession | AttachSession | ReapNode | RegisterServer
Write: TypeAlias = ClientWrite | ServerWrite
Read: TypeAlias = (
    Exists | GetData | GetAcl | GetChildren | ChildrenPage | GetEphemerals | CountDescendants | MultiRead | WhoAmI
)
Local: TypeAlias = (
    Sync | AtLeast | Ping | Acknowledge | Authenticate | AddWatch | CheckWatches | RemoveWatches | SetWatches
    | Watch | Unwatch | Refused
)  # fmt: skip
Request: TypeAlias = Write | Read | Local
