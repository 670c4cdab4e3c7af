"""ZooKeeper's protocol, to the client."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jute_bytes import B, PlainStat, S, V, acl, b, i, integer, long, q, stats
from kazoo.exceptions import BadVersionError as KazooBadVersionError
from kazoo.exceptions import RolledBackError, RuntimeInconsistency
from kazoo.protocol import serialization as kazoo

from coord.codec import opcodes as op
from coord.codec.jute import PING, PING_XID, Call, decode_calls, encode_event, encode_pong, encode_reply, encode_session
from coord.codec.jute_write import INNER_REPLIES, REPLIES
from coord.model.errors import ERRORS, BadVersionError, CoordError, NoNodeError, RuntimeInconsistencyError
from coord.model.replies import (
    DATA_CHANGED,
    NODE_CREATED,
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
    PageReply,
    Repeated,
    Reply,
    SessionOpened,
    Synced,
    WhoAmIReply,
    Written,
)
from coord.model.requests import Connect, Ping

STAT = PlainStat()
TWO = ((1, "ip", "::1"), (31, "x", "é"))
ZXID = 0x300_0000_0007


class NoError(CoordError):
    code = 0


def body_of(opcode: int, reply: Reply, kinds: tuple[int, ...] = ()) -> bytes:
    """The reply's body, after its frame and header were looked at."""
    encoded = encode_reply(Call(5, opcode, Ping(), kinds), ZXID, reply)
    length, xid, zxid, error = struct.unpack_from("!iiqi", encoded)
    assert length == len(encoded) - 4
    assert (xid, zxid, error) == (5, ZXID, 0)
    return encoded[20:]


def test_every_reply_has_one_row() -> None:
    assert set(REPLIES) == set(Reply.__args__) - {SessionOpened, PageReply, Repeated}  # of the native protocol
    assert set(INNER_REPLIES) <= set(REPLIES)


@pytest.mark.parametrize(
    ("opcode", "reply", "body"),
    [
        (op.CREATE, Created("/é", STAT), S("/é")),
        (op.CREATE_2, Created("/a", STAT), S("/a") + STAT.wire()),
        (op.CREATE_CONTAINER, Created("/a", STAT), S("/a") + STAT.wire()),
        (op.CREATE_TTL, Created("/a", STAT), S("/a") + STAT.wire()),
        (op.DELETE, Done(), b""),
        (op.EXISTS, ExistsReply(STAT), STAT.wire()),
        (op.GET_DATA, DataReply(b"data", STAT), B(b"data") + STAT.wire()),
        (op.GET_DATA, DataReply(b"", STAT), B(b"") + STAT.wire()),
        (op.GET_DATA, DataReply(None, STAT), B(None) + STAT.wire()),
        (op.SET_DATA, Written(STAT), STAT.wire()),
        (op.GET_ACL, AclReply(TWO, STAT), acl(TWO) + STAT.wire()),
        (op.SET_ACL, Written(STAT), STAT.wire()),
        (op.GET_CHILDREN, ChildrenReply(["a", "é"], STAT), V([S("a"), S("é")])),
        (op.GET_CHILDREN, ChildrenReply((), STAT), V([])),
        (op.SYNC, Synced("/a"), S("/a")),
        (op.PING, Done(), b""),
        (op.GET_CHILDREN_2, ChildrenReply(["a"], STAT), V([S("a")]) + STAT.wire()),
        (op.CHECK_WATCHES, Done(), b""),
        (op.REMOVE_WATCHES, Done(), b""),
        (op.DELETE_CONTAINER, Done(), b""),
        (op.AUTH, Done(), b""),
        (op.SET_WATCHES, Done(), b""),
        (op.GET_EPHEMERALS, EphemeralsReply(["/a", "/b"]), V([S("/a"), S("/b")])),
        (op.GET_ALL_CHILDREN_NUMBER, CountReply(70_000), i(70_000)),
        (op.SET_WATCHES_2, Done(), b""),
        (op.ADD_WATCH, Done(), i(0)),
        (op.WHO_AM_I, WhoAmIReply([("ip", "1.2.3.4")]), V([S("ip") + S("1.2.3.4")])),
        (op.CLOSE_SESSION, Done(), b""),
    ],
)  # fmt: skip
def test_the_body_of_every_operations_reply(opcode: int, reply: Reply, body: bytes) -> None:
    assert body_of(opcode, reply) == body


@settings(max_examples=60)
@given(stats, integer, long)
def test_the_common_replies_carry_every_field(stat: PlainStat, xid: int, zxid: int) -> None:
    call = Call(xid, op.SET_DATA, Ping())
    head = i(xid) + q(zxid) + i(0)
    assert encode_reply(call, zxid, Written(stat)) == B(head + stat.wire())
    assert encode_reply(call, zxid, DataReply(b"x", stat)) == B(head + B(b"x") + stat.wire())


@pytest.mark.parametrize("error", ERRORS.values())
def test_an_error_is_a_header_and_nothing_else(error: type[CoordError]) -> None:
    call = Call(-4, op.AUTH, Ping())
    assert encode_reply(call, 9, Failed(error("why"))) == B(i(-4) + q(9) + i(error.code))


def test_the_reply_to_a_multi() -> None:
    kinds = (op.CREATE, op.CREATE_2, op.CREATE_CONTAINER, op.CREATE_TTL, op.DELETE, op.SET_DATA, op.CHECK)
    created = [Created(f"/{n}", STAT) for n in range(4)]
    body = body_of(op.MULTI, MultiDone((*created, Done(), Written(STAT), Done())), kinds)
    create_2 = i(15) + b(False) + i(0)
    assert body == (
        (i(1) + b(False) + i(0) + S("/0"))
        + (create_2 + S("/1") + STAT.wire() + create_2 + S("/2") + STAT.wire() + create_2 + S("/3") + STAT.wire())
        + (i(2) + b(False) + i(0))
        + (i(5) + b(False) + i(0) + STAT.wire())
        + (i(13) + b(False) + i(0))
        + (i(-1) + b(True) + i(-1))
    )


def test_the_reply_to_a_multi_that_failed_has_a_good_header_and_an_error_a_part() -> None:
    replies = tuple(Failed(error()) for error in (NoError, BadVersionError, RuntimeInconsistencyError))
    body = body_of(op.MULTI, MultiDone(replies), (op.CREATE, op.CHECK, op.DELETE))
    parts = [i(-1) + b(False) + i(code) + i(code) for code in (0, -103, -2)]
    assert body == b"".join(parts) + i(-1) + b(True) + i(-1)


def test_the_reply_to_a_multi_read_has_errors_among_the_results() -> None:
    replies = (DataReply(None, STAT), Failed(NoNodeError()), ChildrenReply(["a"], STAT))
    body = body_of(op.MULTI_READ, MultiReadDone(replies), (op.GET_DATA, op.GET_DATA, op.GET_CHILDREN))
    assert body == (
        (i(4) + b(False) + i(0) + B(None) + STAT.wire())
        + (i(-1) + b(False) + i(-101) + i(-101))
        + (i(8) + b(False) + i(0) + V([S("a")]))
        + (i(-1) + b(True) + i(-1))
    )


def test_an_empty_multi_is_answered_with_its_end() -> None:
    assert body_of(op.MULTI, MultiDone(())) == i(-1) + b(True) + i(-1)
    assert body_of(op.MULTI_READ, MultiReadDone(())) == i(-1) + b(True) + i(-1)


def test_a_multi_with_a_reply_too_few_is_a_defect() -> None:
    with pytest.raises(ValueError, match="zip"):
        body_of(op.MULTI, MultiDone(()), (op.DELETE,))


def test_an_event_is_a_frame_with_xid_minus_one_and_its_writes_zxid() -> None:
    head = i(-1) + q(ZXID) + i(0)
    assert encode_event(Event(DATA_CHANGED, "/é", ZXID)) == B(head + i(3) + i(3) + S("/é"))
    assert encode_event(Event(NODE_CREATED, "/", -1)) == B(i(-1) + q(-1) + i(0) + i(1) + i(3) + S("/"))


# ---- sessions

CONNECT = Connect(0, 10_000, 0, bytes(16), False, True)
OLD_CONNECT = Connect(0, 10_000, 0, bytes(16), False, False)
OPENED = SessionOpened(0x1234, b"0123456789abcdef", 4000)


def test_an_opened_session_is_told_with_its_password_and_the_flag_if_the_client_knows_it() -> None:
    payload = i(0) + i(4000) + q(0x1234) + B(b"0123456789abcdef")
    assert encode_session(OPENED, CONNECT) == B(payload + b(False))
    assert encode_session(OPENED, CONNECT, read_only=True) == B(payload + b(True))
    assert encode_session(OPENED, OLD_CONNECT) == B(payload)


def test_an_invalid_session_is_told_by_zeroes() -> None:
    payload = i(0) + i(0) + q(0) + B(bytes(16))
    assert encode_session(None, CONNECT) == B(payload + b(False))
    assert encode_session(None, OLD_CONNECT) == B(payload)


# ---- what kazoo reads


def kazoo_reads(kind: Any, reply: Reply, kinds: tuple[int, ...] = ()) -> Any:
    encoded = encode_reply(Call(5, kind.type, Ping(), kinds), ZXID, reply)
    header, offset = kazoo.ReplyHeader.deserialize(encoded, 4)
    assert header == (5, ZXID, 0)
    return kind.deserialize(encoded, offset)


def test_kazoo_reads_every_reply_it_knows() -> None:
    stat = tuple(vars(STAT).values())
    assert kazoo_reads(kazoo.Create, Created("/a", STAT)) == "/a"
    assert kazoo_reads(kazoo.Create2, Created("/a", STAT)) == ("/a", stat)
    assert kazoo_reads(kazoo.Delete, Done()) is True
    assert kazoo_reads(kazoo.Exists, ExistsReply(STAT)) == stat
    assert kazoo_reads(kazoo.GetData, DataReply(b"x", STAT)) == (b"x", stat)
    assert kazoo_reads(kazoo.SetData, Written(STAT)) == stat
    assert kazoo_reads(kazoo.SetACL, Written(STAT)) == stat
    assert kazoo_reads(kazoo.GetChildren, ChildrenReply(["a", "é"], STAT)) == ["a", "é"]
    assert kazoo_reads(kazoo.GetChildren2, ChildrenReply(["a", "é"], STAT)) == (["a", "é"], stat)
    assert kazoo_reads(kazoo.Sync, Synced("/a")) == "/a"
    acls, acl_stat = kazoo_reads(kazoo.GetACL, AclReply(((31, "world", "anyone"),), STAT))
    assert [(each.perms, each.id.scheme, each.id.id) for each in acls] == [(31, "world", "anyone")]
    assert acl_stat == stat


def test_kazoo_reads_a_multi() -> None:
    stat = tuple(vars(STAT).values())
    kinds = (op.CREATE, op.DELETE, op.SET_DATA, op.CHECK)
    replies = (Created("/a", STAT), Done(), Written(STAT), Done())
    assert kazoo_reads(kazoo.Transaction, MultiDone(replies), kinds) == ["/a", True, stat, True]


def test_kazoo_reads_a_multi_that_failed() -> None:
    replies = tuple(Failed(error()) for error in (NoError, BadVersionError, RuntimeInconsistencyError))
    results = kazoo_reads(kazoo.Transaction, MultiDone(replies), (op.CREATE, op.CHECK, op.DELETE))
    assert [type(result) for result in results] == [RolledBackError, KazooBadVersionError, RuntimeInconsistency]


def test_kazoo_reads_an_event() -> None:
    encoded = encode_event(Event(DATA_CHANGED, "/a", ZXID))
    header, offset = kazoo.ReplyHeader.deserialize(encoded, 4)
    assert header == (-1, ZXID, 0)
    assert kazoo.Watch.deserialize(encoded, offset)[0] == (3, 3, "/a")


@pytest.mark.parametrize("connect", [CONNECT, OLD_CONNECT])
def test_kazoo_reads_a_session(connect: Connect) -> None:
    session, _ = kazoo.Connect.deserialize(encode_session(OPENED, connect), 4)
    assert session == (0, 0, 4000, 0x1234, b"0123456789abcdef", False)


@settings(max_examples=40)
@given(st.lists(st.text(max_size=20), max_size=20), stats)
def test_kazoo_reads_any_listing(names: list[str], stat: PlainStat) -> None:
    assert kazoo_reads(kazoo.GetChildren2, ChildrenReply(names, stat)) == (names, tuple(vars(stat).values()))


@given(st.integers(0, 2**63 - 1))
def test_a_ping_alone_is_answered_as_any_ping(zxid: int) -> None:
    calls, consumed = decode_calls(PING, 1000)
    assert (calls, consumed) == ([Call(PING_XID, op.PING, Ping())], len(PING))
    assert encode_pong(zxid) == encode_reply(calls[0], zxid, Done())
