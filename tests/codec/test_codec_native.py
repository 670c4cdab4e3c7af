"""coord's own client protocol: both directions, and what is refused."""

from contextlib import suppress
from typing import get_args

import cbor2
import pytest
from codec_strategies import acls, int32, int64, maybe_raw, raw, text, unsigned
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec import native, native_answers, native_replies
from coord.codec.calls import Call
from coord.codec.entries import ROWS
from coord.codec.errors import CodecError
from coord.codec.native_rows import OTHERS, ROW_OF, STEPS, WRITES
from coord.codec.words import OPERATIONS
from coord.model.errors import (
    BadVersionError,
    CoordError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistencyError,
)
from coord.model.handshake import Goodbye, Greeting, Refusal, Welcome
from coord.model.replies import (
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    Done,
    EphemeralsReply,
    ExistsReply,
    Failed,
    MultiDone,
    MultiReadDone,
    PageReply,
    Repeated,
    Reply,
    SessionOpened,
    Synced,
    WatchEvent,
    WhoAmIReply,
    Written,
)
from coord.model.requests import (
    Acknowledge,
    AtLeast,
    Authenticate,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    ChildrenPage,
    CloseSession,
    CountDescendants,
    Create,
    Delete,
    DeleteTree,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    Ping,
    Refused,
    Request,
    SetAcl,
    SetData,
    Sync,
    Unwatch,
    Watch,
    WhoAmI,
)
from coord.model.stat import Stat

FRAME_BYTES_MAX = 1 << 20

numbers = st.integers(1, (1 << 62) - 1)
counts = st.integers(0, (1 << 32) - 1)
stats = (
    st.builds(Stat, *[int64] * 4, *[int32] * 3, int64, counts, counts, int64)
    | st.builds(Stat, *[unsigned] * 11)
    | st.builds(Stat, *[int64] * 12)
)


steps = st.one_of(
    st.builds(Create, text, maybe_raw, acls, int32, int64, st.booleans()),
    st.builds(Delete, text, int32),
    st.builds(DeleteTree, text, int32),
    st.builds(SetData, text, maybe_raw, int32),
    st.builds(SetAcl, text, acls, int32),
    st.builds(CheckVersion, text, int32),
    st.builds(CheckExists, text, st.booleans()),
    st.builds(CheckCreated, text, int64),
    st.builds(CheckData, text, maybe_raw),
)
writes = st.one_of(
    st.builds(Create, text, maybe_raw, acls, int32, int64, st.booleans()),
    st.builds(Delete, text, int32),
    st.builds(DeleteTree, text, int32),
    st.builds(SetData, text, maybe_raw, int32),
    st.builds(SetAcl, text, acls, int32),
    st.builds(Multi, st.lists(steps, max_size=4).map(tuple)),
    st.just(CloseSession()),
)
others = st.one_of(
    *[st.builds(cls, text) for cls in (Exists, GetData, GetAcl, GetChildren, GetEphemerals, CountDescendants)],
    st.builds(ChildrenPage, text, text, int32, st.booleans()),
    st.sampled_from([WhoAmI(), Sync("/"), Ping()]),
    st.builds(AtLeast, unsigned),
    st.builds(Authenticate, text, raw),
    st.builds(Watch, unsigned, text, st.booleans(), int32, int32, unsigned),
    st.builds(Unwatch, unsigned),
)
calls = st.one_of(
    st.tuples(numbers, writes, numbers),
    st.tuples(numbers, others, st.just(0)),
    st.tuples(st.just(0), st.builds(Acknowledge, unsigned), st.just(0)),
    st.tuples(st.just(0), st.sampled_from([Sync("/"), Ping(), AtLeast(7)]), st.just(0)),
)
answers = st.one_of(
    st.tuples(st.just(Create("/a", b"", None)), st.builds(Created, text, stats)),
    st.tuples(st.just(SetData("/a", b"")), st.builds(Written, stats)),
    st.tuples(st.just(Delete("/a")), st.just(Done())),
    st.tuples(st.just(Exists("/a")), st.builds(ExistsReply, stats)),
    st.tuples(st.just(GetData("/a")), st.builds(DataReply, maybe_raw, stats)),
    st.tuples(st.just(GetChildren("/a")), st.builds(ChildrenReply, st.lists(text, max_size=4), stats)),
    st.tuples(
        st.just(ChildrenPage("/a")),
        st.builds(PageReply, st.lists(st.tuples(text, st.none() | stats, maybe_raw), max_size=3), st.booleans(), stats),
    ),
    st.tuples(st.just(GetEphemerals("/a")), st.builds(EphemeralsReply, st.lists(text, max_size=4))),
    st.tuples(st.just(CountDescendants("/a")), st.builds(CountReply, unsigned)),
    st.tuples(st.just(WhoAmI()), st.builds(WhoAmIReply, st.lists(st.tuples(text, text), max_size=3))),
    st.tuples(st.just(Sync("/")), st.just(Synced("/"))),
    st.tuples(
        st.just(Multi((Delete("/a"), Create("/b", b"", None), CheckData("/c", b""), SetAcl("/d", None)))),
        st.tuples(stats, stats).map(lambda two: MultiDone((Done(), Created("/b", two[0]), Done(), Written(two[1])))),
    ),
)
greetings = st.builds(
    Greeting,
    int32,
    int32,
    unsigned,
    unsigned,
    unsigned,
    raw,
    unsigned,
    int32,
    unsigned,
    st.lists(st.tuples(text, raw), max_size=3).map(tuple),
    text,
)


def message(id: int, request: Request, number: int) -> bytes:
    return native.encode_request(id, request, number)


@settings(max_examples=150)
@given(st.lists(calls, min_size=1, max_size=5))
def test_requests_come_as_they_were_sent(sent: list[tuple[int, Request, int]]) -> None:
    frame = native.encode_frame([message(*each) for each in sent])
    came, consumed = native.decode_calls(frame + frame[:-1], FRAME_BYTES_MAX)
    assert consumed == len(frame)
    assert [(call.xid, call.request, call.number) for call in came] == sent
    assert [call.opcode for call in came] == [ROW_OF[type(request)] for _, request, _ in sent]


@settings(max_examples=150)
@given(st.lists(calls, min_size=1, max_size=3))
def test_requests_are_plain_cbor(sent: list[tuple[int, Request, int]]) -> None:
    """What is put together by hand is what cbor2 reads: id, row, for a write its number, and fields."""
    for id, request, number in sent:
        item = cbor2.loads(message(id, request, number))
        assert item[:2] == [id, ROW_OF[type(request)]]
        if number:
            assert item[2] == number


@settings(max_examples=150)
@given(answers, unsigned, numbers)
def test_replies_come_as_they_were_sent(answer: tuple[Request, Reply], zxid: int, id: int) -> None:
    request, reply = answer
    (came,) = native.decode_server_message(native.encode_reply(Call(id, 1, request), zxid, reply))
    assert isinstance(came, native.Answer)
    assert (came.id, came.zxid, came.code) == (id, zxid, 0)
    assert native.read_reply(request, came) == reply


@given(greetings)
def test_a_greeting_comes_as_it_was_sent(greeting: Greeting) -> None:
    assert native.decode_greeting(native.encode_greeting(greeting)) == greeting


def test_what_a_later_version_adds_to_a_greeting_is_passed_over() -> None:
    greeting = Greeting(1, 2, 0, 0, 0, b"", 0, 4000, 0, (), "a test")
    item = cbor2.loads(native.encode_greeting(greeting))
    assert native.decode_greeting(cbor2.dumps([*item, "more", 7])) == greeting
    with pytest.raises(CodecError):
        native.decode_greeting(cbor2.dumps(item[:-1]))
    with pytest.raises(CodecError):
        native.decode_greeting(native.encode_greeting(greeting) * 2)


def test_a_frame_of_a_server_holds_what_it_says_in_order() -> None:
    welcome = Welcome(1, 77, 0, 2, 1 << 57, b"s" * 16, 4000, 1 << 41, 9, 1 << 20)
    event = WatchEvent(3, 1 << 41, 2, "/a", 4)
    frame = native.pack(
        [
            native.encode_welcome(welcome),
            native.encode_event(event),
            native.encode_reply(Call(1, 33, GetData("/a")), 5, Failed(NoNodeError("/a does not exist"))),
            native.encode_refusal(Greeting(1, 1, 0, 0, 0, b"", 0, 0, 0, (), ""), 2, "behind"),
            native.encode_goodbye(7, "a reason"),
        ]
    )
    (payload,), consumed = native.split_frames(frame, FRAME_BYTES_MAX)
    assert consumed == len(frame)
    failed = native.Answer(1, 5, -101, ["/a does not exist"])
    assert native.decode_server_message(payload) == [
        welcome,
        event,
        failed,
        Refusal(2, "behind"),
        Goodbye(7, "a reason"),
    ]
    assert repr(native.error_of(failed)) == repr(NoNodeError("/a does not exist"))


def test_a_kept_reply_is_sent_with_the_zxid_at_which_the_write_was_done() -> None:
    sent = native.encode_reply(Call(8, 2, Delete("/a"), (), 3), 100, Repeated(Done(), 60))
    assert native.decode_server_message(sent) == [native.Answer(8, 60, 0, [])]


def test_a_failed_multi_tells_the_error_of_the_step_that_failed() -> None:
    before, after = Failed(RolledBackError("")), Failed(RuntimeInconsistencyError(""))
    reply = MultiDone((before, before, Failed(BadVersionError("/a has version 3, not 4")), after))
    (came,) = native.decode_server_message(native.encode_reply(Call(1, 6, Multi(())), 5, reply))
    assert came == native.Answer(1, 5, -103, ["/a has version 3, not 4", 2])
    assert isinstance(native.error_of(came), BadVersionError)
    assert native.failed_step_of(came) == 2


def test_an_error_without_a_class_is_an_error_all_the_same() -> None:
    assert type(native.error_of(native.Answer(1, 5, -999, []))) is CoordError


# ---- tables


def test_every_row_has_the_name_of_one_of_zookeepers_operations() -> None:
    assert set(native.OPCODE_OF_ROW) == set(WRITES) | set(OTHERS)
    assert set(native.OPCODE_OF_ROW.values()) <= set(OPERATIONS)


def test_every_row_is_known_in_both_directions() -> None:
    assert WRITES.items() <= ROWS.items()
    assert STEPS.items() <= ROWS.items()
    assert not OTHERS.keys() & ROWS.keys()
    assert native_answers.REPLIES.keys() == (set(ROW_OF) | set(STEPS.values())) - {Acknowledge}
    assert native_replies.REPLIES.keys() == set(get_args(Reply)) - {SessionOpened, MultiReadDone}


def test_rows_and_heads_of_writes_are_one_byte_each() -> None:
    """encode_request puts the id and the number into what the log's coder wrote, and relies on this."""
    assert all(row < 24 for row in WRITES)
    for request in (Create("/a", b"", None), Multi(()), SetAcl("/a", None), DeleteTree("/a"), SetData("/a", b"")):
        assert cbor2.loads(native.encode_request(300, request, 70_000))[:3] == [300, ROW_OF[type(request)], 70_000]


# ---- what is refused


def frame_of(*messages: object) -> bytes:
    payload = b"".join(map(cbor2.dumps, messages))
    return len(payload).to_bytes(4, "big") + payload


PLAIN = [7, 3, 1, "/a", b"x", -1]


def test_the_plain_request_that_the_next_tests_damage_is_legal() -> None:
    calls, _ = native.decode_calls(frame_of(PLAIN), FRAME_BYTES_MAX)
    assert calls == [Call(7, 3, SetData("/a", b"x", -1), (), 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [7],
        None,
        "text",
        {7: 3},
        [7, 99],
        [7, 7, 1, "/a"],  # deleteContainer is ZooKeeper's
        [7, 5, 1, "/a", 0],  # a check stands inside a multi only
        [7, 9, 1, 1, b"", 5],  # what servers write
        [7, 12, 1, 1, 1, ""],
        [-1, 3, 1, "/a", b"x", -1],
        [0, 3, 1, "/a", b"x", -1],
        [True, 3, 1, "/a", b"x", -1],
        [7, True, 1, "/a", b"", 0, -1],
        [7.0, 3, 1, "/a", b"x", -1],
        [7, 3.0, 1, "/a", b"x", -1],
        ["7", 3, 1, "/a", b"x", -1],
        [1 << 62, 3, 1, "/a", b"x", -1],
        [7, 3],
        [7, 3, 0, "/a", b"x", -1],
        [7, 3, -1, "/a", b"x", -1],
        [7, 3, None, "/a", b"x", -1],
        [7, 3, 1 << 62, "/a", b"x", -1],
        [7, 3, 1, "/a", b"x"],
        [7, 3, 1, b"/a", b"x", -1],
        [7, 6, 1, [[6, []]]],
        [7, 6, 1, [[8, 0, False]]],
        [7, 6, 1, [[9, 1, b"", 5]]],
        [7, 6, 1, [[11, "/a", 1, 1]]],
        [7, 8, 1, 5, True],
        [7, 33],
        [7, 33, b"/a"],
        [7, 33, "/a", True],
        [0, 33, "/a"],
        [7, 36, "/a", "", 1, 1],
        [7, 66, 1],
        [7, 67, 5],
        [0, 67],
        [7, 69, 1, "/a", 1, 14, -1, 0],
        [7, 69, 1, "/a", False, 14, -1],
    ],
    ids=repr,
)
def test_a_message_of_the_wrong_shape_refuses_its_whole_frame(wrong: object) -> None:
    calls, consumed = native.decode_calls(frame_of(PLAIN) + frame_of(PLAIN, wrong), FRAME_BYTES_MAX)
    assert [type(call.request) for call in calls] == [SetData, Refused]
    refused = calls[1].request
    assert isinstance(refused, Refused)
    assert refused.hang_up
    assert refused.reason
    assert consumed == len(frame_of(PLAIN) + frame_of(PLAIN, wrong))


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_that_may_not_be_is_refused_as_soon_as_it_is_there(length: int) -> None:
    calls, _ = native.decode_calls(frame_of(PLAIN) + length.to_bytes(4, "big"), FRAME_BYTES_MAX)
    assert [type(call.request) for call in calls] == [SetData, Refused]


@settings(max_examples=200)
@given(st.binary(max_size=100))
def test_random_bytes_raise_nothing_but_codec_errors(payload: bytes) -> None:
    framed = len(payload).to_bytes(4, "big") + payload
    for buffer in (payload, framed):
        _, consumed = native.decode_calls(buffer, FRAME_BYTES_MAX)
        assert 0 <= consumed <= len(buffer)
    for decode in (native.decode_requests, native.decode_greeting, native.decode_server_message):
        with suppress(CodecError):
            decode(payload)


@settings(max_examples=200)
@given(calls, st.integers(0, 1 << 16), st.integers(0, 255))
def test_a_changed_byte_of_a_request_is_refused_or_another_request(
    sent: tuple[int, Request, int], position: int, byte: int
) -> None:
    damaged = bytearray(message(*sent))
    damaged[position % len(damaged)] = byte
    with suppress(CodecError):
        native.decode_requests(bytes(damaged))


@settings(max_examples=200)
@given(answers, st.integers(0, 1 << 16), st.integers(0, 255))
def test_a_changed_byte_of_a_reply_is_refused_or_another_reply(
    answer: tuple[Request, Reply], position: int, byte: int
) -> None:
    request, reply = answer
    damaged = bytearray(native.encode_reply(Call(1, 1, request), 5, reply))
    damaged[position % len(damaged)] = byte
    with suppress(CodecError):
        for came in native.decode_server_message(bytes(damaged)):
            if isinstance(came, native.Answer) and came.code == 0:
                native.read_reply(request, came)
