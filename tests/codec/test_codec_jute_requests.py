"""ZooKeeper's protocol, from the client."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jute_bytes import B, S, V, acl, b, frame, i, integer, long, multi, q
from kazoo.protocol import serialization as kazoo
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from coord.codec import opcodes as op
from coord.codec.errors import CodecError
from coord.codec.jute import Call, decode_calls, decode_connect
from coord.codec.jute_read import HANG_UP, INNER_READERS, READERS
from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    PERSISTENT,
    TTL,
    TTL_SEQUENTIAL,
    AddWatch,
    Authenticate,
    CheckVersion,
    CheckWatches,
    CloseSession,
    Connect,
    CountDescendants,
    Create,
    Delete,
    DeleteContainer,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    MultiRead,
    Ping,
    Refused,
    RemoveWatches,
    Request,
    SetAcl,
    SetData,
    SetWatches,
    Sync,
    WhoAmI,
)

LIMIT = 1_048_575
NO_KIND = -1


def decode(stream: bytes) -> list[Call]:
    calls, consumed = decode_calls(stream, LIMIT)
    assert consumed == len(stream)
    return calls


def decode_one(opcode: int, body: bytes = b"") -> Request:
    (call,) = decode(frame(7, opcode, body))
    assert (call.xid, call.opcode) == (7, opcode)
    return call.request


def code_of(request: Request) -> tuple[int, bool]:
    assert isinstance(request, Refused), request
    return request.code, request.hang_up


# ---- the reference's own bytes


def test_the_references_connect_requests_are_read() -> None:
    new = bytes.fromhex("00000000 0000000000000000 00002710 0000000000000000 00000010" + "00" * 16 + "00")
    assert len(new) == 0x2D
    assert decode_connect(new) == Connect(0, 10_000, 0, bytes(16), False, True)
    assert decode_connect(new[:-1]) == Connect(0, 10_000, 0, bytes(16), False, False)


def test_the_references_create_is_read() -> None:
    stream = bytes.fromhex(
        "00000032 00000001 00000001 00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64"
        "00000006 616e796f6e65 00000001"
    )
    (call,) = decode(stream)
    assert call == Call(1, op.CREATE, Create("/a", b"x", OPEN_ACL, EPHEMERAL))
    assert isinstance(call.request, Create)
    assert call.request.acl is OPEN_ACL


def test_the_references_multi_is_read() -> None:
    stream = bytes.fromhex(
        "00000037 00000003 0000000e  0000000d 00 ffffffff 00000002 2f61 ffffffff"
        "00000002 00 ffffffff 00000002 2f61 ffffffff  ffffffff 01 ffffffff"
    )
    assert decode(stream) == [Call(3, op.MULTI, Multi((CheckVersion("/a", -1), Delete("/a", -1))), (13, 2))]


def test_the_references_other_requests_are_read_from_one_buffer() -> None:
    stream = bytes.fromhex(
        "0000000f 00000002 00000003 00000002 2f61 01"
        "00000008 fffffffe 0000000b"
        "0000001d fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70"
        "00000008 00000005 fffffff5"
    )
    assert decode(stream) == [
        Call(2, op.EXISTS, Exists("/a", True)),
        Call(-2, op.PING, Ping()),
        Call(-4, op.AUTH, Authenticate("digest", b"u:p")),
        Call(5, op.CLOSE_SESSION, CloseSession()),
    ]


# ---- every operation

texts = st.text(max_size=40)
maybe_bytes = st.none() | st.binary(max_size=40)
acls = st.sampled_from([None, OPEN_ACL, ()]) | st.lists(st.tuples(integer, texts, texts), max_size=3).map(tuple)
watched = st.lists(texts, max_size=3).map(tuple)


def creation(path: str, data: bytes | None, list_: Any, flags: int) -> bytes:
    return S(path) + B(data) + acl(list_) + i(flags)


@st.composite
def setting_watches(draw: Callable[..., Any]) -> SetWatches:
    return SetWatches(draw(long), *[draw(watched) for _ in range(5)])


FIELDS: dict[int, tuple[st.SearchStrategy[Any], Callable[[Any], bytes]]] = {
    op.CREATE: (
        st.builds(Create, texts, maybe_bytes, acls, integer.filter(lambda flags: flags != CONTAINER)),
        lambda r: creation(r.path, r.data, r.acl, r.kind),
    ),
    op.DELETE: (st.builds(Delete, texts, integer), lambda r: S(r.path) + i(r.version)),
    op.EXISTS: (st.builds(Exists, texts, st.booleans()), lambda r: S(r.path) + b(r.watch)),
    op.GET_DATA: (st.builds(GetData, texts, st.booleans()), lambda r: S(r.path) + b(r.watch)),
    op.SET_DATA: (st.builds(SetData, texts, maybe_bytes, integer), lambda r: S(r.path) + B(r.data) + i(r.version)),
    op.GET_ACL: (st.builds(GetAcl, texts), lambda r: S(r.path)),
    op.SET_ACL: (st.builds(SetAcl, texts, acls, integer), lambda r: S(r.path) + acl(r.acl) + i(r.version)),
    op.GET_CHILDREN: (st.builds(GetChildren, texts, st.booleans()), lambda r: S(r.path) + b(r.watch)),
    op.SYNC: (st.builds(Sync, texts), lambda r: S(r.path)),
    op.PING: (st.builds(Ping), lambda r: b""),
    op.GET_CHILDREN_2: (
        st.builds(GetChildren, texts, st.booleans(), st.just(True)),
        lambda r: S(r.path) + b(r.watch),
    ),
    op.CREATE_2: (
        st.builds(Create, texts, maybe_bytes, acls, integer.filter(lambda flags: flags != CONTAINER)),
        lambda r: creation(r.path, r.data, r.acl, r.kind),
    ),
    op.CHECK_WATCHES: (st.builds(CheckWatches, texts, st.integers(1, 5)), lambda r: S(r.path) + i(r.kind)),
    op.REMOVE_WATCHES: (st.builds(RemoveWatches, texts, st.integers(1, 5)), lambda r: S(r.path) + i(r.kind)),
    op.CREATE_CONTAINER: (
        st.builds(Create, texts, maybe_bytes, acls, st.just(CONTAINER)),
        lambda r: creation(r.path, r.data, r.acl, r.kind),
    ),
    op.DELETE_CONTAINER: (st.builds(DeleteContainer, texts), lambda r: B(r.path.encode())),
    op.CREATE_TTL: (
        st.builds(Create, texts, maybe_bytes, acls, st.sampled_from([TTL, TTL_SEQUENTIAL]), long),
        lambda r: creation(r.path, r.data, r.acl, r.kind) + q(r.ttl_ms),
    ),
    op.AUTH: (st.builds(Authenticate, texts, st.binary()), lambda r: i(0) + S(r.scheme) + B(r.credentials)),
    op.SET_WATCHES: (
        st.builds(SetWatches, long, watched, watched, watched),
        lambda r: q(r.seen_zxid) + b"".join(V([S(path) for path in each]) for each in (r.data, r.exists, r.children)),
    ),
    op.GET_EPHEMERALS: (st.builds(GetEphemerals, texts), lambda r: S(r.prefix)),
    op.GET_ALL_CHILDREN_NUMBER: (st.builds(CountDescendants, texts), lambda r: S(r.path)),
    op.SET_WATCHES_2: (
        setting_watches(),
        lambda r: (
            q(r.seen_zxid)
            + b"".join(
                V([S(path) for path in each]) for each in (r.data, r.exists, r.children, r.persistent, r.recursive)
            )
        ),
    ),
    op.ADD_WATCH: (st.builds(AddWatch, texts, st.integers(0, 1)), lambda r: S(r.path) + i(r.mode)),
    op.WHO_AM_I: (st.builds(WhoAmI), lambda r: b""),
    op.CLOSE_SESSION: (st.builds(CloseSession), lambda r: b""),
}


def test_every_operation_of_the_protocol_is_known() -> None:
    known = {number for name, number in vars(op).items() if name.isupper() and not name.startswith("MULTI_")}
    known.add(op.MULTI_READ)
    assert known == set(READERS) | set(INNER_READERS) | set(HANG_UP)
    assert set(FIELDS) == set(READERS) - {op.RECONFIG}


@pytest.mark.parametrize("opcode", FIELDS)
def test_every_operation_is_read(opcode: int) -> None:
    requests, encode = FIELDS[opcode]

    @settings(max_examples=25)
    @given(requests)
    def is_read(request: Request) -> None:
        assert decode_one(opcode, encode(request)) == request

    is_read()


inner = {kind: FIELDS[kind] for kind in INNER_READERS[op.MULTI] if kind != op.CHECK}
inner[op.CHECK] = (st.builds(CheckVersion, texts, integer), lambda r: S(r.path) + i(r.version))


@settings(max_examples=60)
@given(st.data(), st.lists(st.sampled_from(sorted(inner)), max_size=5))
def test_a_multi_is_read_with_the_kinds_of_its_requests(data: st.DataObject, kinds: list[int]) -> None:
    requests = [data.draw(inner[kind][0]) for kind in kinds]
    body = multi(*[(kind, inner[kind][1](request)) for kind, request in zip(kinds, requests, strict=True)])
    assert decode(frame(3, op.MULTI, body)) == [Call(3, op.MULTI, Multi(tuple(requests)), tuple(kinds))]


@settings(max_examples=40)
@given(st.data(), st.lists(st.sampled_from([op.GET_DATA, op.GET_CHILDREN]), max_size=5))
def test_a_multi_read_is_read_with_the_kinds_of_its_requests(data: st.DataObject, kinds: list[int]) -> None:
    requests = [data.draw(FIELDS[kind][0]) for kind in kinds]
    body = multi(*[(kind, FIELDS[kind][1](request)) for kind, request in zip(kinds, requests, strict=True)])
    assert decode(frame(3, op.MULTI_READ, body)) == [Call(3, op.MULTI_READ, MultiRead(tuple(requests)), tuple(kinds))]


@pytest.mark.parametrize(
    ("opcode", "kind", "body"),
    [
        (op.MULTI, op.SET_ACL, S("/a") + acl(OPEN_ACL) + i(-1)),
        (op.MULTI, op.DELETE_CONTAINER, S("/a")),
        (op.MULTI, op.GET_DATA, S("/a") + b(False)),
        (op.MULTI, op.MULTI, multi()),
        (op.MULTI, op.PING, b""),
        (op.MULTI, -1, b""),
        (op.MULTI_READ, op.DELETE, S("/a") + i(-1)),
        (op.MULTI_READ, op.EXISTS, S("/a") + b(False)),
        (op.MULTI_READ, op.GET_CHILDREN_2, S("/a") + b(False)),
    ],
)
def test_what_does_not_belong_into_a_multi_is_a_marshalling_error(opcode: int, kind: int, body: bytes) -> None:
    assert code_of(decode_one(opcode, multi((kind, body)))) == (-5, False)


def test_a_multi_without_its_end_is_a_marshalling_error() -> None:
    assert code_of(decode_one(op.MULTI, multi()[:-1])) == (-5, False)
    assert code_of(decode_one(op.MULTI)) == (-5, False)


# ---- kinds of znode


@pytest.mark.parametrize(
    ("opcode", "flags", "kind"),
    [
        *[(opcode, flags, flags) for opcode in (op.CREATE, op.CREATE_2) for flags in (0, 1, 2, 3, 5, 6, 7, -1)],
        (op.CREATE, 4, PERSISTENT),
        (op.CREATE_2, 4, PERSISTENT),
        (op.CREATE_CONTAINER, 4, CONTAINER),
        (op.CREATE_CONTAINER, 0, CONTAINER),
        *[(op.CREATE_CONTAINER, flags, NO_KIND) for flags in (1, 2, 3, 5, 6, 7)],
        (op.CREATE_TTL, 5, TTL),
        (op.CREATE_TTL, 6, TTL_SEQUENTIAL),
        *[(op.CREATE_TTL, flags, NO_KIND) for flags in (0, 1, 2, 3, 4, 7)],
    ],
)
def test_flags_and_operation_say_the_kind(opcode: int, flags: int, kind: int) -> None:
    body = creation("/a", b"", OPEN_ACL, flags) + (q(1000) if opcode == op.CREATE_TTL else b"")
    request = decode_one(opcode, body)
    assert isinstance(request, Create)
    assert (request.kind, request.ttl_ms) == (kind, 1000 if opcode == op.CREATE_TTL else -1)


# ---- nulls, and what may follow


@pytest.mark.parametrize(
    ("opcode", "body", "request_"),
    [
        (op.CREATE, S(None) + B(None) + V(None) + i(0), Create("", None, None, 0)),
        (op.SET_DATA, S(None) + B(b"x") + i(3), SetData("", b"x", 3)),
        (op.SET_DATA, S("/a") + B(None) + i(3), SetData("/a", None, 3)),
        (op.SET_DATA, S("/a") + B(b"") + i(3), SetData("/a", b"", 3)),
        (op.GET_DATA, S(None) + b(True), GetData("", True)),
        (op.EXISTS, S(None) + b(True), Exists("", True)),
        (op.SET_ACL, S(None) + V(None) + i(0), SetAcl("", None, 0)),
        (op.SET_ACL, S("/a") + V([i(31) + S(None) + S(None)]) + i(0), SetAcl("/a", ((31, "", ""),), 0)),
        (op.GET_EPHEMERALS, S(None), GetEphemerals("")),
        (op.DELETE_CONTAINER, B(None), DeleteContainer("")),
        (op.AUTH, i(0) + S(None) + B(None), Authenticate("", b"")),
        (op.SET_WATCHES, q(1) + V(None) + V(None) + V(None), SetWatches(1, (), (), ())),
    ],
)
def test_null_text_is_empty_and_null_data_and_acls_stay_null(opcode: int, body: bytes, request_: Request) -> None:
    assert decode_one(opcode, body) == request_


@pytest.mark.parametrize("opcode", FIELDS)
def test_bytes_after_the_last_field_are_passed_over(opcode: int) -> None:
    requests, encode = FIELDS[opcode]

    @settings(max_examples=3)
    @given(requests)
    def is_read(request: Request) -> None:
        assert decode_one(opcode, encode(request) + b"more") == request

    is_read()


def test_any_byte_but_zero_is_true() -> None:
    assert decode_one(op.GET_DATA, S("/a") + b"\x7f") == GetData("/a", True)


# ---- what kazoo writes

DIGEST_ACL = make_digest_acl("ann", "secret", read=True)


@pytest.mark.parametrize(
    ("written", "request_"),
    [
        (kazoo.Create("/a", b"x", OPEN_ACL_UNSAFE, 3), Create("/a", b"x", OPEN_ACL, 3)),
        (
            kazoo.Create("/é", None, [DIGEST_ACL], 0),
            Create("/é", None, ((1, "digest", DIGEST_ACL.id.id),), 0),
        ),
        (kazoo.Create2("/a", b"", OPEN_ACL_UNSAFE, 1), Create("/a", b"", OPEN_ACL, 1)),
        (kazoo.Delete("/a", -1), Delete("/a", -1)),
        (kazoo.Exists("/a", None), Exists("/a", False)),
        (kazoo.Exists("/a", print), Exists("/a", True)),
        (kazoo.GetData("/a", None), GetData("/a", False)),
        (kazoo.SetData("/a", b"x" * 1000, 7), SetData("/a", b"x" * 1000, 7)),
        (kazoo.GetACL("/a"), GetAcl("/a")),
        (kazoo.SetACL("/a", OPEN_ACL_UNSAFE, 2), SetAcl("/a", OPEN_ACL, 2)),
        (kazoo.GetChildren("/a", print), GetChildren("/a", True)),
        (kazoo.GetChildren2("/a", None), GetChildren("/a", False, True)),
        (kazoo.Sync("/a"), Sync("/a")),
        (kazoo.Sync(""), Sync("")),
        (kazoo.PingInstance, Ping()),
        (kazoo.CloseInstance, CloseSession()),
        (kazoo.Auth(0, "digest", "u:p"), Authenticate("digest", b"u:p")),
        (
            kazoo.Transaction(
                [kazoo.Create("/a", b"", OPEN_ACL_UNSAFE, 0), kazoo.SetData("/a", b"x", 0), kazoo.CheckVersion("/b", 1)]
            ),
            Multi((Create("/a", b"", OPEN_ACL, 0), SetData("/a", b"x", 0), CheckVersion("/b", 1))),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_kazoo_writes_is_read(written: Any, request_: Request) -> None:
    assert decode_one(written.type, bytes(written.serialize())) == request_


def test_what_kazoo_writes_but_coord_does_not_do_is_answered_properly() -> None:
    reconfig, sasl = kazoo.Reconfig("", "", "server.1=x", -1), kazoo.SASL(b"token")
    assert code_of(decode_one(reconfig.type, bytes(reconfig.serialize()))) == (-123, False)
    assert code_of(decode_one(sasl.type, bytes(sasl.serialize()))) == (-115, True)


@pytest.mark.parametrize("read_only", [False, True])
def test_kazoos_connect_is_read(read_only: bool) -> None:
    written = kazoo.Connect(0, 77, 10_000, -5, b"p" * 16, read_only)
    assert decode_connect(bytes(written.serialize())) == Connect(77, 10_000, -5, b"p" * 16, read_only)


# ---- errors


@pytest.mark.parametrize("opcode", [op.CHECK, 0, 10, 23, 99, 108, -1, -10, 2**31 - 1, -(2**31)])
def test_an_operation_that_is_unknown_or_stands_alone_ends_the_connection(opcode: int) -> None:
    ping = frame(-2, op.PING)
    calls = decode(ping + frame(9, opcode, S("/a") + i(1)) + ping)
    assert calls[0] == Call(-2, op.PING, Ping())
    assert len(calls) == 2
    assert (calls[1].xid, calls[1].opcode) == (9, opcode)
    assert code_of(calls[1].request) == (-6, True)


@pytest.mark.parametrize(
    ("opcode", "body"),
    [
        (op.GET_DATA, b""),
        (op.GET_DATA, S("/a")),
        (op.GET_DATA, i(-2) + b(True)),
        (op.GET_DATA, i(2**31 - 1) + b"/a" + b(True)),
        (op.GET_DATA, i(-(2**31)) + b"/a" + b(True)),
        (op.GET_DATA, B(b"/\xff") + b(True)),
        (op.GET_DATA, B("/\ud800".encode("utf-8", "surrogatepass")) + b(True)),
        (op.SET_DATA, S("/a") + B(b"x")),
        (op.SET_DATA, S("/a") + B(b"x") + b"\0\0\0"),
        (op.SET_DATA, S("/a") + i(5) + b"x" + i(-1)),
        (op.SET_DATA, S("/a") + i(-2) + i(-1)),
        (op.CREATE, S("/a") + B(b"x") + acl(OPEN_ACL)),
        (op.CREATE, S("/a") + B(b"x") + i(2**31 - 1) + i(0)),
        (op.CREATE, S("/a") + B(b"x") + i(-2) + i(0)),
        (op.CREATE, S("/a") + B(b"x") + acl(OPEN_ACL)[:-1]),
        (op.CREATE_TTL, creation("/a", b"", OPEN_ACL, TTL)),
        (op.SET_WATCHES, q(1) + i(2**31 - 1)),
        (op.SET_WATCHES, q(1) + i(-2)),
        (op.SET_WATCHES_2, q(1) + V([]) * 3),
        (op.ADD_WATCH, S("/a") + i(2)),
        (op.ADD_WATCH, S("/a") + i(-1)),
        (op.CHECK_WATCHES, S("/a") + i(0)),
        (op.REMOVE_WATCHES, S("/a") + i(6)),
    ],
)
def test_a_body_that_cannot_be_read_is_a_marshalling_error_and_the_connection_goes_on(opcode: int, body: bytes) -> None:
    ping = frame(-2, op.PING)
    calls = decode(ping + frame(9, opcode, body) + ping)
    assert [call.xid for call in calls] == [-2, 9, -2]
    assert code_of(calls[1].request) == (-5, False)


@pytest.mark.parametrize("opcode", sorted(set(FIELDS) - {op.PING, op.WHO_AM_I, op.CLOSE_SESSION}))
def test_a_body_never_reaches_into_the_next_frame(opcode: int) -> None:
    requests, encode = FIELDS[opcode]

    @settings(max_examples=10)
    @given(requests, st.data())
    def is_refused(request: Request, data: st.DataObject) -> None:
        body = encode(request)
        cut = data.draw(st.integers(0, len(body) - 1))
        calls, _ = decode_calls(frame(1, opcode, body[:cut]) + body[cut:] + bytes(8), LIMIT)
        assert code_of(calls[0].request) == (-5, False)

    is_refused()


@pytest.mark.parametrize("length", [-1, -(2**31), 0, 7, 101, 2**31 - 1])
@pytest.mark.parametrize("rest", [b"", b"\0\0\0", bytes(8), bytes(200)])
def test_an_illegal_length_ends_the_connection_without_an_answer(length: int, rest: bytes) -> None:
    ping = frame(-2, op.PING)
    stream = ping + i(length) + rest
    calls, consumed = decode_calls(stream, 100)
    assert calls[0] == Call(-2, op.PING, Ping())
    assert code_of(calls[1].request) == (0, True)
    assert str(length) in calls[1].request.reason  # type: ignore[union-attr]
    assert len(calls) == 2
    assert consumed == len(stream)


def test_a_frame_of_exactly_the_limit_is_read() -> None:
    stream = frame(1, op.GET_ACL, S("/" + "a" * 87))
    assert len(stream) == 104
    assert decode_calls(stream, 100)[0] == [Call(1, op.GET_ACL, GetAcl("/" + "a" * 87))]


@settings(max_examples=60)
@given(st.integers(0, 200))
def test_half_frames_are_left_for_later(cut: int) -> None:
    stream = frame(1, op.EXISTS, S("/a") + b(False)) + frame(-2, op.PING) + frame(2, op.DELETE, S("/a") + i(-1))
    first, consumed = decode_calls(stream[:cut], LIMIT)
    second, rest = decode_calls(stream[consumed:], LIMIT)
    assert rest == len(stream) - consumed
    assert first + second == decode(stream)
    assert consumed <= cut


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_random_bytes_are_calls_or_refusals(stream: bytes) -> None:
    calls, consumed = decode_calls(stream, 1000)
    assert 0 <= consumed <= len(stream)
    assert all(isinstance(call.request, Request) for call in calls)


@settings(max_examples=200)
@given(st.sampled_from([*READERS, *INNER_READERS]), st.binary(max_size=100))
def test_random_bodies_are_requests_or_refusals(opcode: int, body: bytes) -> None:
    request = decode_one(opcode, body)
    if isinstance(request, Refused):
        assert request.code in (-5, -123)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(27),
        struct.pack("!iqiqi", 0, 0, 0, 0, -2),
        struct.pack("!iqiqi", 0, 0, 0, 0, 16) + bytes(15),
        struct.pack("!iqiqi", 0, 0, 0, 0, 2**31 - 1) + bytes(16),
    ],
)
def test_a_connect_request_that_cannot_be_read_is_refused(payload: bytes) -> None:
    with pytest.raises(CodecError, match="connect request"):
        decode_connect(payload)


def test_a_null_password_is_empty() -> None:
    assert decode_connect(struct.pack("!iqiqi", 0, 1, 2, 3, -1)) == Connect(1, 2, 3, b"", False, False)


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_connect_request_or_a_codec_error(payload: bytes) -> None:
    with suppress(CodecError):
        assert isinstance(decode_connect(payload), Connect)
