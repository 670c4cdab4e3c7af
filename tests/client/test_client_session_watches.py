"""Watches of a client's session: armed again, given up, paused, lost."""

from coord.client import session as sessions
from coord.client.session import CONNECTED
from coord.codec import native
from coord.model.errors import WatchWindowLostError
from tests.client.session_pair import LIST, answered, events_of


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
