"""A client's calls through the session: their order and numbers, reconnects, calls given up, errors."""

import pytest

from coord.client.session import SUSPENDED, ProtocolError
from coord.codec import native
from coord.model.errors import (
    BadArgumentsError,
    NoNodeError,
    RequestTooLargeError,
)
from coord.model.requests import GetData, SetData, Sync
from tests.client.session_pair import Pair, answered

# ---- order and numbers


def test_calls_that_wait_leave_in_one_frame_and_are_answered_in_order(pair):
    calls = [pair.write(b"a"), pair.read(), pair.write(b"b"), pair.read()]
    pair.server.receive(pair.session.take(pair.now))
    assert not pair.session.take(pair.now)
    pair.settle()
    assert [answered(each).data for each in calls[1::2]] == [b"a", b"a,b"]
    assert [each.number for each in calls] == [1, 0, 2, 0]
    assert [each for each in pair.session.ready if each in calls] == calls


def test_nothing_is_sent_before_a_server_has_welcomed_the_session():
    pair = Pair()
    call = pair.write()
    assert not pair.session.has_to_send
    assert pair.session.take(pair.now) == b""
    pair.connect()
    pair.settle()
    answered(call)


def test_a_frame_ends_at_its_limit_and_a_longer_message_stands_alone(pair):
    for size_bytes in (40_000, 40_000, 100_000, 10):
        pair.write(b"v" * size_bytes)
    sizes = []
    while frame := pair.session.take(pair.now):
        sizes.append(len(frame) // 10_000)
        pair.server.receive(frame)
    assert sizes == [4, 4, 10, 0]


def test_what_is_said_before_a_read_stands_right_before_it_and_is_not_answered(pair):
    pair.session.submit(GetData("/list"), False, pair.now, Sync("/"))
    (payload,), _ = native.split_frames(pair.session.take(pair.now), 1 << 20)
    assert [(each.xid, type(each.request)) for each in native.decode_requests(payload)] == [(0, Sync), (1, GetData)]


def test_an_answer_out_of_turn_ends_the_connection(pair):
    pair.read()
    pair.send()
    with pytest.raises(ProtocolError, match="an answer to request 2 came where that to 1 was next"):
        pair.session.receive([native.Answer(2, 1, 0, [])], pair.now)


# ---- reconnects


def test_an_unanswered_write_is_said_again_with_its_number_and_done_once(pair):
    call = pair.write(b"a")
    pair.send()
    pair.session.disconnected()
    assert pair.session.state == SUSPENDED
    pair.connect()
    pair.settle()
    answered(call)
    assert (pair.server.done, pair.server.problems, call.number) == ([b"a"], [], 1)


def test_a_write_whose_frame_was_lost_is_done_after_the_reconnect(pair):
    call, later = pair.write(b"a"), pair.write(b"b")
    pair.session.take(pair.now)
    pair.session.disconnected()
    pair.connect()
    pair.settle()
    answered(call), answered(later)
    assert (pair.server.done, pair.server.problems) == ([b"a", b"b"], [])


def test_acknowledgements_go_in_front_of_a_frame_once(pair):
    pair.write()
    pair.settle()
    assert list(pair.server.kept) == [1]
    pair.read()
    pair.settle()
    assert pair.server.kept == {}
    pair.read()
    (payload,), _ = native.split_frames(pair.session.take(pair.now), 1 << 20)
    assert len(native.decode_requests(payload)) == 1


def test_no_more_than_500_writes_are_in_flight_and_reads_behind_them_wait(pair):
    calls = [pair.write() for _ in range(600)]
    behind = pair.read()
    pair.send()
    assert pair.server.applied == 500
    assert behind.id == 0
    pair.settle()
    pair.settle()
    for each in calls:
        answered(each)
    answered(behind)
    assert pair.server.problems == []


# ---- forgotten calls


def test_a_call_forgotten_before_it_was_sent_is_never_sent(pair):
    call, other = pair.write(b"no"), pair.write(b"yes")
    call.give_up()
    pair.settle()
    assert pair.server.done == [b"yes"]
    assert (call.number, other.number) == (0, 1)


def test_a_write_forgotten_after_it_was_sent_is_done_once_and_keeps_the_stream_in_step(pair):
    call, other = pair.write(b"a"), pair.write(b"b")
    pair.session.take(pair.now)
    call.give_up()
    pair.session.disconnected()
    pair.connect()
    pair.settle()
    answered(other)
    assert (pair.server.done, pair.server.problems) == ([b"a", b"b"], [])
    assert call not in pair.session.ready


def test_a_forgotten_read_is_not_said_again(pair):
    call = pair.read()
    pair.send()
    call.give_up()
    pair.session.disconnected()
    pair.connect()
    assert not pair.session.has_to_send


# ---- what goes wrong with one call alone


def test_an_error_is_the_calls_own(pair):
    one, other = pair.read(), pair.read()
    pair.session.take(pair.now)
    pair.session.receive([native.Answer(1, 5, -101, ["there is no /list"])], pair.now)
    assert isinstance(one.error, NoNodeError)
    assert not other.done
    assert pair.session.seen_zxid == 5


def test_a_request_that_cannot_be_written_takes_no_number(pair):
    wrong = pair.session.submit(SetData("/list", 7), True, pair.now)  # type: ignore[arg-type]
    large = pair.write(b"v" * (1 << 20))
    good = pair.write()
    pair.settle()
    assert isinstance(wrong.error, BadArgumentsError)
    assert isinstance(large.error, RequestTooLargeError)
    assert answered(good)
    assert good.number == 1
