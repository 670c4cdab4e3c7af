"""What can go wrong for a user: one class an error, with ZooKeeper's code.

Each docstring says whose fault the error is. Unless it says otherwise the operation did not happen.
"""

from typing import ClassVar


class CoordError(Exception):
    """Base of all errors a client can get. `code` is ZooKeeper's error number; below -200 it is our own."""

    code: ClassVar[int] = -1

    step: int | None = None
    """Of a failed transaction: which of its steps failed, counted from 0."""


class SystemError_(CoordError):
    """The server met a condition it does not know: a defect of coord."""

    code = -1


class RolledBackError(CoordError):
    """An operation of a multi that could have been done, but was taken back because a later one failed."""

    code = 0


class RuntimeInconsistencyError(CoordError):
    """An operation of a multi that was not tried, because an earlier one failed."""

    code = -2


class MarshallingError(CoordError):
    """The request's bytes cannot be read: a defect of the client library."""

    code = -5


class UnimplementedError(CoordError):
    """The server does not know this operation."""

    code = -6


class BadArgumentsError(CoordError):
    """An argument is not acceptable: the caller's fault."""

    code = -8


class NewConfigNoQuorumError(CoordError):
    """A quorum of the new configuration is not connected and in step."""

    code = -13


class NoNodeError(CoordError):
    """The znode, or the parent of the znode to create, does not exist."""

    code = -101


class NoAuthError(CoordError):
    """The znode's ACL does not allow this to any identity of the caller."""

    code = -102


class BadVersionError(CoordError):
    """The znode has another version than the one the caller expected."""

    code = -103


class NoChildrenForEphemeralsError(CoordError):
    """An ephemeral znode cannot have children."""

    code = -108


class NodeExistsError(CoordError):
    """A znode with this path exists already."""

    code = -110


class NotEmptyError(CoordError):
    """The znode has children and cannot be deleted."""

    code = -111


class SessionExpiredError(CoordError):
    """The session is gone, and with it its ephemeral znodes."""

    code = -112


class InvalidAclError(CoordError):
    """The ACL is empty or has an entry that no scheme accepts."""

    code = -114


class AuthFailedError(CoordError):
    """The credentials are malformed or their scheme is unknown."""

    code = -115


class SessionMovedError(CoordError):
    """The session is now served by another connection; this one is old."""

    code = -118


class NotReadOnlyError(CoordError):
    """A write reached a server that serves reads only."""

    code = -119


class NoWatcherError(CoordError):
    """There is no such watch of this connection on this path."""

    code = -121


class ReconfigDisabledError(CoordError):
    """Changing the ensemble's membership is not enabled."""

    code = -123


class QuotaExceededError(CoordError):
    """A hard quota above this path would be exceeded."""

    code = -125


class WatchWindowLostError(CoordError):
    """The server no longer knows all that has changed since that zxid. Nobody's fault: read anew, then watch."""

    code = -201


class UnacknowledgedError(CoordError):
    """The session has too many writes whose replies were not acknowledged: the client library's fault."""

    code = -202


class TooLargeError(CoordError):
    """One operation would change more znodes, or give a longer answer, than may be at once: do it in parts."""

    code = -203


# ---- raised by coord's own client library; they never cross the network


class SessionLostError(CoordError):
    """The session has ended, or can no longer be proved alive: its timeout has passed since the last proof of it.

    Nobody's fault but the network's or the servers' (or the caller's process stood still for so long). A write that
    waited for its answer **may have happened**; the session's ephemeral znodes are gone or will be. Connect anew.
    """

    code = -251


class ConnectError(CoordError):
    """No server took this client in time. The text says what was tried, and how each try ended. Nothing happened."""

    code = -252


class CallTimeoutError(CoordError):
    """The session lives, but this call was not answered within `call_timeout`. A write **may have happened**, or may
    still happen, once."""

    code = -253


class ClientClosedError(CoordError):
    """The `async with coord.connect(...)` block has been left: the caller's fault. A call made after that does
    nothing; a
    write that was still waiting for its answer **may have happened**."""

    code = -254


class RequestTooLargeError(CoordError):
    """The request is larger than the server takes in one frame: the caller's fault. It was never sent."""

    code = -255


class ForkedError(CoordError):
    """A blocking client was made before a fork and used after it, in the child: the caller's fault. Nothing was sent.
    A child must connect for itself."""

    code = -256


class AddressError(BadArgumentsError):
    """An address, a connection string or a namespace cannot be read: the caller's fault."""


ERRORS: dict[int, type[CoordError]] = {cls.code: cls for cls in CoordError.__subclasses__()}
"""Every error class by its code."""
