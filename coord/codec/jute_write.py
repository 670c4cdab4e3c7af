"""ZooKeeper's client protocol, to the client: replies and events -> whole frames.

A frame is a length, the request's xid, a zxid, an error code, and, if that is 0, a body whose form follows from the
reply and the operation asked for. The common replies are one call of `pack`.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from coord.codec import opcodes as op
from coord.codec.calls import Call
from coord.codec.frames import frame
from coord.model.handshake import SESSION_UNKNOWN, Welcome
from coord.model.replies import (
    AclReply,
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    Done,
    EphemeralsReply,
    Event,
    ExistsReply,
    Failed,
    MultiDone,
    MultiReadDone,
    Reply,
    SessionOpened,
    Stat,
    Synced,
    WhoAmIReply,
    Written,
)
from coord.model.requests import Connect

SYNC_CONNECTED = 3
"""The state that every event names: of the connection, which is well."""
NOTIFICATION_XID = -1
PING_XID = -2
PASSWORD_BYTES = 16

_int = Struct("!i").pack
_long = Struct("!q").pack
_flag = Struct("!?").pack
_reply = Struct("!iiqi")  # length, xid, zxid, error
_reply_with_length = Struct("!iiqi i")
_stat_fields = Struct("!qqqqiiiqiiq")
_event = Struct("!iiqi iii")  # as a reply, then kind, state, path's length
_multi_header = Struct("!i?i").pack
_SET_HEADER = _multi_header(op.SET_DATA, False, 0)
_session = Struct("!iiqi")  # protocol version, timeout, session, password's length

HEADER_BYTES = _reply.size - 4
PING = Struct("!iii").pack(8, PING_XID, op.PING)
"""The whole frame with which a client shows that it is there."""
ZXID_AT = 8  # in a reply's frame: after its length and xid
STAT_BYTES = _stat_fields.size


def encode_session(opened: SessionOpened | None, connect: Connect, read_only: bool = False) -> bytes:
    """The answer to `connect`. None: the session is not, or no longer, valid; hang up after this."""
    timeout_ms, session, password = 0, 0, bytes(PASSWORD_BYTES)
    if opened is not None:
        timeout_ms, session, password = opened.timeout_ms, opened.session, opened.password
    payload = _session.pack(0, timeout_ms, session, len(password)) + password
    return frame(payload + _flag(read_only) if connect.has_read_only_flag else payload)


def encode_welcome(welcome: Welcome, connect: Connect) -> bytes:
    """Of what a server says when a session is open, ZooKeeper's clients are told this much."""
    return encode_session(SessionOpened(welcome.session, welcome.password, welcome.timeout_ms), connect)


def encode_refusal(connect: Connect, code: int, reason: str) -> bytes:
    """Only that a session is not known can be said; else the connection just ends."""
    return encode_session(None, connect) if code == SESSION_UNKNOWN else b""


def encode_goodbye(code: int, reason: str) -> bytes:
    """There are no words for it: the connection ends."""
    return b""


pack = b"".join
"""What is to be delivered in one go: whole frames, one after the other."""


def encode_reply(call: Call, zxid: int, reply: Reply) -> bytes:
    """The whole frame that answers `call`; `zxid` is the last one this server has applied."""
    return REPLIES[type(reply)](call, zxid, reply)


def encode_pong(zxid: int) -> bytes:
    """What a PING is answered with, also by encode_reply."""
    return _reply.pack(HEADER_BYTES, PING_XID, zxid, 0)


def restamp(frame: bytes, zxid: int) -> bytes:
    """The same answer, sent only when the server has come to `zxid`: a client never sees zxids go back."""
    return frame[:ZXID_AT] + _long(zxid) + frame[ZXID_AT + 8 :]


def encode_event(event: Event) -> bytes:
    """The whole frame that tells a watcher; the same bytes for every watcher."""
    path = event.path.encode()
    head = _event.pack(
        HEADER_BYTES + 12 + len(path), NOTIFICATION_XID, event.zxid, 0, event.kind, SYNC_CONNECTED, len(path)
    )
    return head + path


# ---- the common replies, whole frames at once


def _failed(call: Call, zxid: int, reply: Failed) -> bytes:
    return _reply.pack(HEADER_BYTES, call.xid, zxid, reply.code)


def _written(call: Call, zxid: int, reply: Written | ExistsReply) -> bytes:
    return _reply.pack(HEADER_BYTES + STAT_BYTES, call.xid, zxid, 0) + _stat(reply.stat)


def _data(call: Call, zxid: int, reply: DataReply) -> bytes:
    data = reply.data
    if data is None:
        return _reply_with_length.pack(HEADER_BYTES + 4 + STAT_BYTES, call.xid, zxid, 0, -1) + _stat(reply.stat)
    size = len(data)
    head = _reply_with_length.pack(HEADER_BYTES + 4 + size + STAT_BYTES, call.xid, zxid, 0, size)
    return head + data + _stat(reply.stat)


def _created(call: Call, zxid: int, reply: Created) -> bytes:
    path = reply.path.encode()
    size = len(path)
    if call.opcode == op.CREATE:
        return _reply_with_length.pack(HEADER_BYTES + 4 + size, call.xid, zxid, 0, size) + path
    head = _reply_with_length.pack(HEADER_BYTES + 4 + size + STAT_BYTES, call.xid, zxid, 0, size)
    return head + path + _stat(reply.stat)


def _done(call: Call, zxid: int, reply: Done) -> bytes:
    if call.opcode == op.ADD_WATCH:  # whose answer is an error code in the body
        return _whole(call, zxid, _int(0))
    return _reply.pack(HEADER_BYTES, call.xid, zxid, 0)


# ---- all others: a body, then its frame


def _whole(call: Call, zxid: int, body: bytes) -> bytes:
    return _reply.pack(HEADER_BYTES + len(body), call.xid, zxid, 0) + body


def _acl(call: Call, zxid: int, reply: AclReply) -> bytes:
    parts = [_int(len(reply.acl))]
    for permissions, scheme, id_ in reply.acl:
        parts += (_int(permissions), _string(scheme), _string(id_))
    parts.append(_stat(reply.stat))
    return _whole(call, zxid, b"".join(parts))


def _children(call: Call, zxid: int, reply: ChildrenReply) -> bytes:
    names = _strings(reply.names)
    return _whole(call, zxid, names + _stat(reply.stat) if call.opcode == op.GET_CHILDREN_2 else names)


def _ephemerals(call: Call, zxid: int, reply: EphemeralsReply) -> bytes:
    return _whole(call, zxid, _strings(reply.paths))


def _count(call: Call, zxid: int, reply: CountReply) -> bytes:
    return _whole(call, zxid, _int(reply.count))


def _synced(call: Call, zxid: int, reply: Synced) -> bytes:
    return _whole(call, zxid, _string(reply.path))


def _who_am_i(call: Call, zxid: int, reply: WhoAmIReply) -> bytes:
    parts = [_int(len(reply.identities))]
    for scheme, id_ in reply.identities:
        parts += (_string(scheme), _string(id_))
    return _whole(call, zxid, b"".join(parts))


def _multi(call: Call, zxid: int, reply: MultiDone | MultiReadDone) -> bytes:
    """The header's error is 0 even if a part failed: clients look at the parts."""
    parts = [INNER_REPLIES[type(inner)](kind, inner) for kind, inner in zip(call.kinds, reply.replies, strict=True)]
    parts.append(_multi_header(op.MULTI_END, True, -1))
    return _whole(call, zxid, b"".join(parts))


# ---- parts of a multi


def _inner_failed(kind: int, reply: Failed) -> bytes:
    return _multi_header(op.MULTI_ERROR, False, reply.code) + _int(reply.code)


def _inner_created(kind: int, reply: Created) -> bytes:
    if kind == op.CREATE:
        return _multi_header(op.CREATE, False, 0) + _string(reply.path)
    return _multi_header(op.CREATE_2, False, 0) + _string(reply.path) + _stat(reply.stat)


def _inner_written(kind: int, reply: Written) -> bytes:
    return _SET_HEADER + _stat(reply.stat)


def _inner_done(kind: int, reply: Done) -> bytes:
    assert kind in (op.DELETE, op.CHECK), f"operation {kind} inside a multi cannot be answered with Done"
    return _multi_header(kind, False, 0)


def _inner_data(kind: int, reply: DataReply) -> bytes:
    data = reply.data
    body = _int(-1) if data is None else _int(len(data)) + data
    return _multi_header(op.GET_DATA, False, 0) + body + _stat(reply.stat)


def _inner_children(kind: int, reply: ChildrenReply) -> bytes:
    return _multi_header(op.GET_CHILDREN, False, 0) + _strings(reply.names)


# ---- fields


def _stat(stat: Stat) -> bytes:
    return _stat_fields.pack(*stat.shown())


def _string(value: str) -> bytes:
    encoded = value.encode()
    return _int(len(encoded)) + encoded


def _strings(values: Sequence[str]) -> bytes:
    parts = [_int(len(values))]
    for value in values:
        encoded = value.encode()
        parts += (_int(len(encoded)), encoded)
    return b"".join(parts)


# ---- which body belongs to which reply

REPLIES: dict[type[Reply], Callable[[Call, int, Any], bytes]] = {
    Failed: _failed,
    Written: _written,
    ExistsReply: _written,
    DataReply: _data,
    Created: _created,
    Done: _done,
    AclReply: _acl,
    ChildrenReply: _children,
    EphemeralsReply: _ephemerals,
    CountReply: _count,
    Synced: _synced,
    WhoAmIReply: _who_am_i,
    MultiDone: _multi,
    MultiReadDone: _multi,
}

INNER_REPLIES: dict[type[Reply], Callable[[int, Any], bytes]] = {
    Failed: _inner_failed,
    Created: _inner_created,
    Written: _inner_written,
    Done: _inner_done,
    DataReply: _inner_data,
    ChildrenReply: _inner_children,
}
