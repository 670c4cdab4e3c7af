"""What keeps a client's session alive, what shows that it is, and how it is lost; sessions that are saved."""

import pytest

from coord.client.saved import SavedSession
from coord.client.session import LOST, ProtocolError, Session
from coord.codec import native
from coord.model.errors import (
    CallTimeoutError,
    ClientClosedError,
    SessionLostError,
)
from coord.model.handshake import MALFORMED, SESSION_UNKNOWN, Goodbye, Refusal
from coord.model.requests import GetData, Sync
from tests.client.session_pair import LIST, TIMEOUT_S, Pair, answered

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
