"""The session as a pure machine: joined to a model of the servers by lists, with a clock that the test turns."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coord.client import session as sessions
from coord.client.calls import Call, WatchFilter, WatchState
from coord.client.saved import SavedSession
from coord.client.session import CONNECTED, LOST, SUSPENDED, ProtocolError, Session
from coord.codec import native
from coord.model.errors import (
    BadArgumentsError,
    CallTimeoutError,
    ClientClosedError,
    NoNodeError,
    RequestTooLargeError,
    SessionLostError,
    WatchWindowLostError,
)
from coord.model.handshake import MALFORMED, SESSION_UNKNOWN, Goodbye, Refusal
from coord.model.requests import GetData, SetData, Sync
from tests.client.model_server import TIMEOUT_MS, ModelServer

TIMEOUT_S = TIMEOUT_MS / 1000
LIST = WatchFilter("/list", False, 0b11110, -1)


class Pair:
    """A session, the servers, and the connection between them."""

    def __init__(self, **options) -> None:
        self.server = ModelServer()
        self.session = Session(TIMEOUT_S, **options)
        self.now = 100.0

    def connect(self) -> None:
        welcome = self.server.connect(self.session.greeting(self.now))
        self.session.welcomed(welcome, self.now)

    def write(self, value: bytes = b"x") -> Call:
        return self.session.submit(SetData("/list", value), True, self.now)

    def read(self) -> Call:
        return self.session.submit(GetData("/list"), False, self.now)

    def send(self) -> None:
        while frame := self.session.take(self.now):
            self.server.receive(frame)

    def deliver(self) -> bool:
        frame = self.server.next_frame()
        if frame is None:
            return False
        self.session.receive(native.decode_server_message(frame[4:]), self.now)
        return True

    def settle(self) -> None:
        self.send()
        while self.deliver():
            pass


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    made.connect()
    return made


def answered(call: Call):
    assert call.done, f"{call} was not answered"
    assert call.error is None, call.error
    return native.read_reply(call.request, call.answer)


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


# ---- being alive


def test_the_deadline_counts_from_when_the_last_answered_write_was_sent(pair):
    pair.write()
    pair.send()
    sent_s = pair.now
    pair.now += 2
    pair.write()
    pair.session.take(pair.now)
    pair.now += 1
    while pair.deliver():
        pass
    assert pair.session.deadline_s == sent_s + TIMEOUT_S  # the second was not answered


def test_the_answer_to_a_read_proves_nothing_for_a_server_gives_it_by_itself(pair):
    before = pair.session.deadline_s
    pair.now += 2
    answered_read = pair.read()
    pair.session.watch(LIST, 0, pair.now)
    pair.settle()
    answered(answered_read)
    assert pair.session.deadline_s == before
    pair.session.submit(GetData("/list"), False, pair.now, Sync("/"))
    pair.settle()
    assert pair.session.deadline_s == pair.now + TIMEOUT_S


def test_who_only_reads_pings_all_the_same(pair):
    for _ in range(12):
        pair.now += TIMEOUT_S / 6
        pair.session.tick(pair.now)
        pair.read()
        pair.settle()
    assert pair.session.deadline_s > pair.now + TIMEOUT_S / 2


def test_a_session_is_lost_at_its_deadline_even_if_an_answer_is_there(pair):
    call = pair.write()
    pair.send()
    pair.now += TIMEOUT_S
    pair.deliver()
    assert pair.session.state == LOST
    assert isinstance(call.error, SessionLostError)
    assert "is not proved alive any more" in str(call.error)


def test_a_ping_goes_out_after_a_third_of_the_timeout_and_proves_it_alive(pair):
    pair.now += TIMEOUT_S / 3
    pair.session.tick(pair.now)
    assert pair.session.has_to_send
    sent_s = pair.now
    pair.send()
    pair.now += 0.5
    pair.deliver()
    assert pair.session.deadline_s == sent_s + TIMEOUT_S


def test_a_server_that_owes_an_answer_for_a_third_of_the_timeout_is_silent(pair):
    assert not pair.session.is_silent(pair.now + 100)
    pair.read()
    pair.send()
    assert not pair.session.is_silent(pair.now + TIMEOUT_S / 3 - 0.1)
    assert pair.session.is_silent(pair.now + TIMEOUT_S / 3)
    pair.session.heard(pair.now + 1)  # a part of a long frame
    assert not pair.session.is_silent(pair.now + TIMEOUT_S / 3)
    pair.session.disconnected()
    assert not pair.session.is_silent(pair.now + TIMEOUT_S), "who is not there owes nothing"


def test_what_stands_before_a_goodbye_in_one_frame_counts(pair):
    call, other = pair.write(), pair.read()
    pair.now += 1
    pair.session.take(pair.now)
    with pytest.raises(ProtocolError, match="hangs up"):
        pair.session.receive([native.Answer(1, 7, -101, ["no"]), Goodbye(10, "skipped")], pair.now)
    assert call.done
    assert not other.done
    assert pair.session.seen_zxid == 7
    assert pair.session.deadline_s == pair.now + TIMEOUT_S


def test_a_session_that_the_server_does_not_know_is_lost_with_all_that_waits(pair):
    call, (watch, arming) = pair.write(), pair.session.watch(LIST, 0, pair.now)
    pair.session.disconnected()
    pair.session.refused(Refusal(SESSION_UNKNOWN, "it has expired"))
    assert pair.session.state == LOST
    for each in (call, arming, watch):
        assert isinstance(each.error, SessionLostError)
        assert "it has expired" in str(each.error)
        assert each in pair.session.ready
    with pytest.raises(SessionLostError):
        pair.read()


def test_a_session_that_another_client_writes_in_is_lost_here_and_not_fought_for(pair):
    pair.session.disconnected()
    pair.server.applied += 1
    pair.connect()
    assert pair.session.state == LOST
    assert "another client" in str(pair.session.lost)


@pytest.mark.parametrize("code", [SESSION_UNKNOWN, MALFORMED])
def test_a_goodbye_that_cannot_be_mended_ends_the_session(pair, code):
    with pytest.raises(ProtocolError):
        pair.session.receive([Goodbye(code, "because")], pair.now)
    assert pair.session.state == LOST


def test_a_write_refused_because_the_session_moved_is_said_again(pair):
    call = pair.write(b"a")
    pair.session.take(pair.now)
    with pytest.raises(ProtocolError, match="has moved"):
        pair.session.receive([native.Answer(1, 1, -118, ["moved"])], pair.now)
    pair.session.disconnected()
    pair.connect()
    pair.settle()
    answered(call)


def test_a_call_that_is_not_answered_in_time_says_whether_it_may_have_happened():
    pair = Pair(call_timeout_s=5)
    pair.connect()
    sent = pair.write(b"a")
    pair.send()
    waiting = pair.write(b"b")
    pair.now += 5
    pair.session.tick(pair.now)
    assert isinstance(sent.error, CallTimeoutError)
    assert "may have happened" in str(sent.error)
    assert isinstance(waiting.error, CallTimeoutError)
    assert "may have happened" not in str(waiting.error)
    pair.settle()
    assert pair.server.done == [b"a"]


def test_the_end_of_a_client_is_told_to_what_still_waits(pair):
    call = pair.read()
    pair.session.lose(ClientClosedError("closed"))
    assert isinstance(call.error, ClientClosedError)
    with pytest.raises(ClientClosedError):
        pair.read()


def test_a_call_after_the_deadline_finds_the_session_lost_whoever_looked_at_the_clock(pair):
    pair.now += TIMEOUT_S
    with pytest.raises(SessionLostError):
        pair.write()
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


# ---- watches


def events_of(watch: WatchState) -> list[int]:
    return [each.zxid for each in watch.events]


def test_a_watch_is_armed_again_before_anything_else_and_told_what_it_missed(pair):
    watch, arming = pair.session.watch(LIST, 0, pair.now)
    pair.settle()
    answered(arming)
    pair.server.change(b"1")
    pair.settle()
    pair.server.change(b"2")  # on its way when the connection breaks
    pair.session.disconnected()
    pair.server.watches.clear()
    pair.server.change(b"3")
    read = pair.read()
    pair.connect()
    pair.send()
    while not read.done:
        assert pair.deliver()
    assert events_of(watch) == [1, 2, 3]


def test_a_watch_whose_arming_was_not_answered_goes_on_from_where_it_was(pair):
    first, _ = pair.session.watch(LIST, 0, pair.now)
    second, _ = pair.session.watch(LIST, 0, pair.now)
    pair.server.change(b"0")  # so that there is a place in the log to be
    pair.settle()
    pair.session.disconnected()
    pair.server.watches.clear()
    for value in (b"1", b"2"):
        pair.server.change(value)
    pair.connect()
    pair.send()
    for _ in range(4):  # both events and the answer of the first, one event of the second
        pair.deliver()
    pair.session.disconnected()
    pair.server.change(b"3")
    pair.connect()
    pair.settle()
    assert events_of(first) == events_of(second) == [2, 3, 4]


def test_a_watch_that_the_window_has_lost_ends_alone(pair):
    watch, arming = pair.session.watch(LIST, 3, pair.now)
    pair.session.take(pair.now)
    pair.session.receive([native.Answer(1, 5, -201, ["the window begins at 4"])], pair.now)
    assert isinstance(watch.error, WatchWindowLostError)
    assert isinstance(arming.error, WatchWindowLostError)
    assert pair.session.state == CONNECTED


def test_a_watch_given_up_is_told_to_the_server_and_its_late_events_are_dropped(pair):
    watch, _ = pair.session.watch(LIST, 0, pair.now)
    pair.settle()
    pair.server.change(b"late")
    pair.session.unwatch(watch, pair.now)
    pair.settle()
    assert not watch.events
    assert not pair.server.watches


def test_a_watch_given_up_before_it_was_sent_is_never_sent(pair):
    watch, _ = pair.session.watch(LIST, 0, pair.now)
    pair.session.unwatch(watch, pair.now)
    assert pair.session.take(pair.now) == b""


def test_a_watch_whose_events_nobody_takes_pauses_and_loses_nothing(pair, monkeypatch):
    monkeypatch.setattr(sessions, "EVENTS_MAX", 10)
    watch, _ = pair.session.watch(LIST, 0, pair.now)
    pair.settle()
    for _ in range(25):
        pair.server.change(b"")
        pair.settle()
    assert watch.paused
    assert not pair.server.watches
    taken = []
    while len(taken) < 25:
        taken.append(watch.events.popleft().zxid)
        if watch.paused:
            pair.session.taken(watch, pair.now)
            pair.settle()
    assert taken == list(range(1, 26))
    assert watch.armed


# ---- saved sessions


def test_a_saved_session_goes_on_with_the_number_after_the_last_one_done(pair):
    pair.write(b"a")
    pair.settle()
    saved = SavedSession.from_text(SavedSession(pair.session.id, pair.session.secret, 1).to_text())
    other = Session(TIMEOUT_S, saved=saved)
    other.welcomed(pair.server.connect(other.greeting(pair.now)), pair.now)
    pair.session = other
    call = pair.write(b"b")
    pair.settle()
    answered(call)
    assert (call.number, pair.server.done, pair.server.problems) == (2, [b"a", b"b"], [])


def test_a_saved_session_does_not_show_its_secret():
    saved = SavedSession(77, b"\x01" * 16, 5)
    assert "01" not in repr(saved)
    with pytest.raises(ValueError, match="no saved session"):
        SavedSession.from_text("nonsense")


# ---- anything in any order


class AnyOrder(RuleBasedStateMachine):
    """Calls, cancellations, broken connections in any order: all is done once, in order, and every watch sees all."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.pair.connect()
        self.pair.session._call_timeout_s = math.inf
        self.writes: list[Call] = []
        self.cancelled: set[bytes] = set()
        self.sent_when_cancelled: set[bytes] = set()
        self.reads: list[tuple[Call, int]] = []
        self.watches: list[tuple[WatchState, int]] = []

    @rule()
    def write(self):
        self.writes.append(self.pair.write(b"%d" % len(self.writes)))

    @rule()
    def read(self):
        self.reads.append((self.pair.read(), len(self.writes)))

    @rule()
    def somebody_else_writes(self):
        self.pair.server.change(b"-")

    @rule(data=st.data())
    def cancel(self, data):
        waiting = [each for each in self.writes if not each.done and each.wanted]
        if waiting:
            call = data.draw(st.sampled_from(waiting))
            call.give_up()
            self.cancelled.add(call.request.data)
            if call.number:
                self.sent_when_cancelled.add(call.request.data)

    @rule()
    def send(self):
        if self.pair.session.state == CONNECTED and (frame := self.pair.session.take(self.pair.now)):
            self.pair.server.receive(frame)

    @rule()
    def send_into_a_breaking_connection(self):
        self.pair.session.take(self.pair.now)
        self.pair.session.disconnected()

    @rule(frames=st.integers(1, 4))
    def deliver(self, frames):
        if self.pair.session.state == CONNECTED:
            for _ in range(frames):
                self.pair.deliver()

    @rule()
    def break_connection(self):
        self.pair.session.disconnected()

    @precondition(lambda self: self.pair.session.state == SUSPENDED)
    @rule()
    def reconnect(self):
        self.pair.connect()

    @precondition(lambda self: len(self.watches) < 3 and self.pair.server.zxid > 0)
    @rule()
    def watch(self):
        since = self.pair.server.zxid
        watch, _ = self.pair.session.watch(LIST, since, self.pair.now)
        self.watches.append((watch, since))

    @precondition(lambda self: self.watches)
    @rule()
    def unwatch(self):
        watch, _ = self.watches.pop()
        self.pair.session.unwatch(watch, self.pair.now)

    @rule()
    def tick(self):
        self.pair.session.tick(self.pair.now)

    @invariant()
    def the_servers_complain_of_nothing(self):
        assert self.pair.server.problems == []

    def teardown(self):
        if self.pair.session.state == SUSPENDED:
            self.pair.connect()
        for _ in range(3):
            self.pair.settle()
        done = [each for each in self.pair.server.done if each != b"-"]
        assert done == sorted(set(done), key=int), "each once, in the order of the calls"
        for call in self.writes:
            value = call.request.data
            if value not in self.cancelled:
                assert call.done
                assert call.error is None
                assert value in done
            elif value not in self.sent_when_cancelled:
                assert value not in done
        for call, before in self.reads:
            seen = [int(each) for each in answered(call).data.split(b",") if each not in (b"", b"-")]
            live = [n for n in range(before) if b"%d" % n in done]
            assert set(live) <= set(seen), "a read shows the session's earlier writes"
        for watch, since in self.watches:
            assert events_of(watch) == [each for each in self.pair.server.changes if each > since]


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_calls_cancellations_and_reconnects_in_any_order = AnyOrder.TestCase
