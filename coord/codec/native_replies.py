"""coord's own client protocol, from server to client, as the server writes it.

A reply is [id, zxid, 0, field ...] or [id, zxid, code, sentence]; what begins with the id 0 is a welcome, a refusal, a
goodbye or an event. Integers of a stat, an id and a zxid are written in a fixed width, which CBOR allows: so the answer
to a set is one call of `pack`.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any

from coord.codec.calls import Call
from coord.codec.cbor import dump
from coord.codec.heads import NULL, array_head, bytes_head, integer, raw_or_null, text
from coord.codec.native_rows import EVENT, GOODBYE, REFUSAL, WELCOME, encode_frame
from coord.codec.shapes import Shape
from coord.model.errors import RolledBackError
from coord.model.handshake import Greeting, Welcome
from coord.model.replies import (
    AclReply,
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    Done,
    EphemeralsReply,
    ExistsReply,
    Failed,
    MultiDone,
    PageReply,
    Repeated,
    Reply,
    Stat,
    Synced,
    WatchEvent,
    WhoAmIReply,
    Written,
)

_STAT_FORMAT = "B BQBQBQBQ BIBIBI BQ BIBI BQ"
_head = Struct("!B BI BQ B").pack  # array, id, zxid, code 0
_stat_fields = Struct("!" + _STAT_FORMAT).pack
_head_and_stat = Struct("!B BI BQ B" + _STAT_FORMAT).pack
_EVENT_HEAD = bytes((0x87, 0, EVENT))
_A, _I, _Q = 0x80, 0x1A, 0x1B  # heads: an array of so many, an integer of four bytes, of eight


def encode_reply(call: Call, zxid: int, reply: Reply) -> bytes:
    """The message that answers `call`. `zxid`: what this server has applied, the write itself if it was one."""
    return REPLIES[type(reply)](call, zxid, reply)


def restamp(frame: bytes, zxid: int) -> bytes:
    """The reply to a write, when it had to wait for its turn: its zxid is the write's own, and stays."""
    return frame


def pack(messages: Sequence[bytes]) -> bytes:
    """What is to be delivered in one go, as one frame."""
    return encode_frame(messages)


def encode_event(event: WatchEvent) -> bytes:
    return encode_event_of(event.watch_id, event_tail(event.zxid, event.kind, event.path, event.cause))


def event_tail(zxid: int, kind: int, path: str, cause: int) -> bytes:
    """What is the same for every watch that is told of a change."""
    return integer(zxid) + integer(kind) + text(path) + integer(cause)


def encode_event_of(watch_id: int, tail: bytes) -> bytes:
    return _EVENT_HEAD + integer(watch_id) + tail


_welcome = Shape(Welcome)


def encode_welcome(welcome: Welcome, connect: Greeting | None = None) -> bytes:
    return dump([0, WELCOME, *_welcome.fields_of(welcome)])


def encode_refusal(connect: Greeting | None, code: int, reason: str) -> bytes:
    return dump([0, REFUSAL, code, reason])


def encode_goodbye(code: int, reason: str) -> bytes:
    return dump([0, GOODBYE, code, reason])


# ---- replies, the common ones first


def _done(call: Call, zxid: int, reply: Done | Synced) -> bytes:
    return _begin(3, call, zxid)


def _written(call: Call, zxid: int, reply: Written | ExistsReply) -> bytes:
    stat = reply.stat
    if stat.lifetime_ms:
        return _begin(4, call, zxid) + _stat(stat)
    try:
        return _head_and_stat(
            0x84, _I, call.xid, _Q, zxid, 0,
            0x8B, _Q, stat.czxid, _Q, stat.mzxid, _Q, stat.ctime, _Q, stat.mtime,
            _I, stat.version, _I, stat.cversion, _I, stat.aversion,
            _Q, stat.ephemeral_owner, _I, stat.data_length, _I, stat.children_count, _Q, stat.pzxid,
        )  # fmt: skip
    except StructError:  # a counter that went round is negative, an id that is a long one
        return _begin(4, call, zxid) + _stat(stat)


def _data(call: Call, zxid: int, reply: DataReply) -> bytes:
    data = reply.data
    head = NULL if data is None else bytes_head(len(data))
    return b"".join((_begin(5, call, zxid), head, data or b"", _stat(reply.stat)))


def _created(call: Call, zxid: int, reply: Created) -> bytes:
    return _begin(5, call, zxid) + text(reply.path) + _stat(reply.stat)


def _failed(call: Call, zxid: int, reply: Failed) -> bytes:
    return dump([call.xid, zxid, reply.code, str(reply.error)])


def _repeated(call: Call, zxid: int, reply: Repeated) -> bytes:
    return encode_reply(call, reply.zxid, reply.reply)


def _multi(call: Call, zxid: int, reply: MultiDone) -> bytes:
    """A list of the steps' fields; or the error of the one step that failed, and which that was, from 0."""
    parts = [_begin(4, call, zxid), array_head(len(reply.replies))]
    for index, each in enumerate(reply.replies):
        if type(each) is Failed:
            if type(each.error) is RolledBackError:
                continue
            return dump([call.xid, zxid, each.code, str(each.error), index])
        parts.append(_STEPS[type(each)](each))
    return b"".join(parts)


def _acl(call: Call, zxid: int, reply: AclReply) -> bytes:
    return _begin(5, call, zxid) + dump(reply.acl) + _stat(reply.stat)


def _children(call: Call, zxid: int, reply: ChildrenReply) -> bytes:
    return _begin(5, call, zxid) + _texts(reply.names) + _stat(reply.stat)


def _page(call: Call, zxid: int, reply: PageReply) -> bytes:
    parts = [_begin(6, call, zxid), array_head(len(reply.children))]
    for name, stat, data in reply.children:
        parts += (b"\x83", text(name), NULL if stat is None else _stat(stat), raw_or_null(data))
    parts += (dump(reply.more), _stat(reply.stat))
    return b"".join(parts)


def _ephemerals(call: Call, zxid: int, reply: EphemeralsReply) -> bytes:
    return _begin(4, call, zxid) + _texts(reply.paths)


def _count(call: Call, zxid: int, reply: CountReply) -> bytes:
    return _begin(4, call, zxid) + integer(reply.count)


def _who_am_i(call: Call, zxid: int, reply: WhoAmIReply) -> bytes:
    return _begin(4, call, zxid) + dump(list(reply.identities))


# ---- parts


def _begin(items: int, call: Call, zxid: int) -> bytes:
    """The head of an array of so many, and its first three: id, zxid, and the code that says all is well."""
    try:
        return _head(_A + items, _I, call.xid, _Q, zxid, 0)
    except StructError:
        return array_head(items) + integer(call.xid) + integer(zxid) + b"\x00"


def _stat(stat: Stat) -> bytes:
    if stat.lifetime_ms:
        return dump([*stat.shown(), stat.lifetime_ms])
    try:
        return _stat_fields(
            0x8B, _Q, stat.czxid, _Q, stat.mzxid, _Q, stat.ctime, _Q, stat.mtime,
            _I, stat.version, _I, stat.cversion, _I, stat.aversion,
            _Q, stat.ephemeral_owner, _I, stat.data_length, _I, stat.children_count, _Q, stat.pzxid,
        )  # fmt: skip
    except StructError:
        return dump(stat.shown())


def _texts(values: Sequence[str]) -> bytes:
    return array_head(len(values)) + b"".join([text(value) for value in values])


def _step_created(reply: Created) -> bytes:
    return b"\x82" + text(reply.path) + _stat(reply.stat)


def _step_written(reply: Written) -> bytes:
    return b"\x81" + _stat(reply.stat)


def _step_done(reply: Done) -> bytes:
    return b"\x80"


REPLIES: dict[type, Callable[[Call, int, Any], bytes]] = {
    Done: _done,
    Written: _written,
    ExistsReply: _written,
    DataReply: _data,
    Created: _created,
    Failed: _failed,
    Repeated: _repeated,
    MultiDone: _multi,
    AclReply: _acl,
    ChildrenReply: _children,
    PageReply: _page,
    EphemeralsReply: _ephemerals,
    CountReply: _count,
    WhoAmIReply: _who_am_i,
    Synced: _done,
}

_STEPS: dict[type, Callable[[Any], bytes]] = {Created: _step_created, Written: _step_written, Done: _step_done}
