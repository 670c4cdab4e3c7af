"""What commands give: values, which text.py shows to people and plain.py to programs.

Numbers that people write in hexadecimal, and moments, are classes of their own, so that both show them alike.
"""

from dataclasses import dataclass

from coord.client.events import Event
from coord.model.acl import Acl, Identity
from coord.model.message import message
from coord.model.stat import Stat


class Hex(int):
    """A zxid or a session: shown as 0x1f."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{int(self):#x}"


class Moment(int):
    """Unix milliseconds: shown as a time in UTC."""

    __slots__ = ()


@message
class Child:
    """A row of `ls`."""

    path: str
    name: str
    stat: Stat | None  # None: this client may not read the child


@message
class LongChild:
    """A row of `ls -l`."""

    path: str
    name: str
    stat: Stat | None


@message
class ListedPath:
    """A row of `ls -R`."""

    path: str
    stat: Stat | None


@message
class Branch:
    """A row of `tree`."""

    path: str
    name: str
    depth: int
    children: int
    descendants: int | None  # counted only where the tree is cut off
    ephemeral: bool


@message
class Bytes:
    """`get --out -` and `export PATH -`: to be written as they are, and nothing else."""

    data: bytes


@message
class Value:
    """`get`."""

    path: str
    value: bytes
    stat: Stat
    raw: bool = False  # to be written as it is


@message
class ZnodeStat:
    """`stat`."""

    path: str
    stat: Stat


@message
class Found:
    """A row of `find`."""

    path: str
    stat: Stat | None


@message
class Size:
    """A row of `du`: a subtree, its top included."""

    path: str
    znodes: int
    bytes: int


@message
class Counted:
    """`count`: below a znode, without itself."""

    path: str
    descendants: int


@message
class Done:
    """What a command has done, in one sentence, and to which path."""

    sentence: str
    path: str | None = None
    version: int | None = None
    zxid: Hex | None = None
    znodes: int | None = None


@message
class Difference:
    """A row of `diff`."""

    below: str  # the znode's path below both tops, "" for the tops
    what: str  # one of ONLY_FIRST, ONLY_SECOND, OTHER_VALUE, OTHER_KIND, OTHER_ACL
    first: bytes | None
    second: bytes | None


@message
class Place:
    """`pwd`."""

    path: str


@message
class Identities:
    """`whoami`."""

    session: Hex
    server: str
    identities: list[Identity]


@message
class AccessList:
    """`acl get`."""

    path: str
    acl: Acl
    stat: Stat | None  # shown on demand


@message
class ListedAccess:
    """A row of `acl get -R`."""

    path: str
    acl: Acl | None  # None: this client may not read it


@message
class QuotaShown:
    """`quota get`; None: no such limit."""

    path: str
    znodes: int
    bytes: int
    znodes_soft: int | None
    bytes_soft: int | None
    znodes_hard: int | None
    bytes_hard: int | None


@dataclass(slots=True)
class Told:
    """A line of `watch`: an event, and when it was heard here."""

    heard: Moment
    event: Event


@message
class Owned:
    """A row of `ephemerals`."""

    session: Hex
    path: str


@message
class SessionShown:
    """A row of `sessions`: a connection, as its server tells of it."""

    session: Hex
    client: str  # host:port
    server: str
    timeout_ms: int
    last_operation: str
    own: bool


@message
class Holder:
    """`who`: the session behind an ephemeral znode, and where it is connected."""

    path: str
    session: Hex
    client: str | None  # None: connected nowhere now, or to none of the servers that were asked
    server: str | None
    since: Moment
    value: bytes


@message
class Member:
    """A row of `members`: a server of the ensemble, as the servers' settings name it."""

    server: int
    peer_address: str  # where the other servers reach it
    client_address: str | None  # where clients do, of those whose address this shell was given
    role: str | None  # leader, follower, observer; None: it does not answer, or was not asked


@message
class DigestShown:
    """A row of `digest`."""

    server: str
    zxid: Hex
    digest: Hex


@message
class StepDone:
    """A row of `txn`."""

    step: int
    command: str
    path: str | None
    version: int | None


@message
class Line:
    """A row of `history`."""

    number: int
    line: str


@message
class Again:
    """`redo`: a line to be done again."""

    line: str


@message
class Version:
    """`version`."""

    shell: str
    server: str | None  # as the server that serves this shell tells it


@message
class Help:
    """`help`: text as it stands, and the same in parts."""

    name: str
    text: str
