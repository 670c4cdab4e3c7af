"""What the two sides of coord's own protocol say before the first request, and the last thing a server says.

A session of ZooKeeper's protocol begins with `requests.Connect` instead.
"""

from coord.model.message import message

VERSION = 1
"""Of the protocol. A client names the least and the greatest it speaks."""
FEATURES = 0
"""Bits for what may be added without a new version; none is yet."""

# Why a session is refused, or a connection ended by the server.
NO_LEADER = 1  # and none was found for a while: another server may have one
BEHIND = 2  # the client has seen a later state than this server's: another one may be further
SESSION_UNKNOWN = 3  # it has ended, or the secret is wrong
AUTH_FAILED = 4
VERSION_UNKNOWN = 5
OTHER_CLUSTER = 6
MALFORMED = 7  # a defect of the client library
BUSY = 8  # over a limit of this server: try another, or later
MOVED = 9  # the session is served by another connection now
SKIPPED = 10  # this server jumped over a part of the history: connect again, here or elsewhere
CLOSED = 11  # as the client asked for


@message
class Greeting:
    """The client's first message: open a session, or go on with one."""

    version_min: int
    version_max: int
    cluster: int  # that it wants to talk to; 0: any
    features: int
    session: int  # 0: a new one
    password: bytes  # the session's secret; empty for a new one
    seen_zxid: int
    timeout_ms: int
    acked: int  # all replies up to this number of a write have been received
    auth: tuple[tuple[str, bytes], ...]  # (scheme, credentials)
    client_name: str  # for the operator


@message
class Welcome:
    """The server's answer. `applied` is the number of the session's last write that is done, 0 for a new session.

    `frame_bytes_max`: a longer frame would end the connection.
    """

    version: int
    cluster: int
    features: int
    server: int
    session: int
    password: bytes
    timeout_ms: int
    zxid: int
    applied: int
    frame_bytes_max: int


@message
class Refusal:
    """The server's answer before it hangs up: there is no session on this connection."""

    code: int
    reason: str


@message
class Goodbye:
    """The last message of a server that ends a connection."""

    code: int
    reason: str
