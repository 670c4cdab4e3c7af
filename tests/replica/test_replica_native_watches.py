"""Watches of coord's own protocol: what they hear of, in what order, and what they are told of the past."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec import native
from coord.model.acl import OPEN_ACL
from coord.model.errors import BadArgumentsError, NoWatcherError, WatchWindowLostError
from coord.model.handshake import BUSY, SKIPPED
from coord.model.replies import (
    CHILDREN_CHANGED,
    DATA_CHANGED,
    EXPLICIT,
    NODE_CREATED,
    NODE_DELETED,
    SESSION_CLOSED,
    SESSION_EXPIRED,
    Change,
    Done,
    SessionEnded,
    WatchEvent,
)
from coord.model.requests import (
    EPHEMERAL,
    AddWatch,
    CloseSession,
    Create,
    Delete,
    DeleteTree,
    GetData,
    Multi,
    SetAcl,
    SetData,
    Unwatch,
    Watch,
)
from coord.replica import clients as clients_module
from coord.replica import window as window_module
from coord.replica.native_watches import KINDS, NativeWatch, NativeWatches, told_of
from coord.replica.window import CHANGE_COSTS_BYTES, Window
from tests.replica.native_client import NativeClient, native_client
from tests.replica.replica_world import World, create

ALL = KINDS
ANNS = ((31, "digest", "ann:x"),)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def writer(world: World) -> NativeClient:
    return native_client(world)


def watcher(world: World, *watches: Watch) -> NativeClient:
    client = native_client(world)
    replies = client.do(*watches)
    assert replies == [Done()] * len(watches), replies
    return client


# ---- what is heard


def test_a_watch_on_one_znode_hears_of_it_and_of_its_children_as_its_own_change(world, writer):
    client = watcher(world, Watch(7, "/a", False, ALL))
    writer.do(create("/a"), SetData("/a", b"x"), create("/a/b"), SetData("/a/b", b"y"), create("/a/b/c"), create("/ab"))
    writer.do(Delete("/a/b/c"), Delete("/a/b"), Delete("/a"))
    assert client.heard() == [
        (7, NODE_CREATED, "/a"),
        (7, DATA_CHANGED, "/a"),
        (7, CHILDREN_CHANGED, "/a"),
        (7, CHILDREN_CHANGED, "/a"),
        (7, NODE_DELETED, "/a"),
    ]


def test_a_recursive_watch_hears_of_all_below_under_its_own_path(world, writer):
    client = watcher(world, Watch(7, "/a", True, ALL))
    writer.do(create("/a"), create("/a/b"), SetData("/a/b", b"y"), create("/ab"), DeleteTree("/a"))
    assert client.heard() == [
        (7, NODE_CREATED, "/a"),
        (7, NODE_CREATED, "/a/b"),
        (7, DATA_CHANGED, "/a/b"),
        (7, NODE_DELETED, "/a/b"),
        (7, NODE_DELETED, "/a"),
    ]


def test_a_watch_stands_until_it_is_removed(world, writer):
    client = watcher(world, Watch(1, "/a", False, ALL))
    writer.do(create("/a"))
    assert client.do(Unwatch(1)) == [Done()]
    writer.do(Delete("/a"))
    assert client.heard() == [(1, NODE_CREATED, "/a")]
    assert isinstance(client.do(Unwatch(1))[0], NoWatcherError)


def test_kinds_and_depth_are_filtered_by_the_server(world, writer):
    client = watcher(
        world,
        Watch(1, "/a", True, 1 << NODE_DELETED),
        Watch(2, "/a", True, ALL, 0),
        Watch(3, "/a", True, 1 << NODE_CREATED, 1),
        Watch(4, "/", True, 1 << DATA_CHANGED, 2),
        Watch(5, "/a", False, 1 << CHILDREN_CHANGED),
    )
    writer.do(create("/a"), create("/a/b"), create("/a/b/c"), SetData("/a/b/c", b""), SetData("/a/b", b""))
    writer.do(DeleteTree("/a"))
    heard: dict[int, list[tuple[int, str]]] = {}
    for number, kind, path in client.heard():
        heard.setdefault(number, []).append((kind, path))
    assert heard == {
        1: [(NODE_DELETED, "/a/b/c"), (NODE_DELETED, "/a/b"), (NODE_DELETED, "/a")],
        2: [(NODE_CREATED, "/a"), (NODE_DELETED, "/a")],
        3: [(NODE_CREATED, "/a"), (NODE_CREATED, "/a/b")],
        4: [(DATA_CHANGED, "/a/b")],
        5: [(CHILDREN_CHANGED, "/a"), (CHILDREN_CHANGED, "/a")],
    }


def test_a_deletion_has_its_cause(world):
    client = watcher(world, Watch(1, "/", True, 1 << NODE_DELETED))
    closing, expiring = native_client(world), native_client(world)
    closing.do(create("/x"), Delete("/x"), create("/closed", kind=EPHEMERAL), CloseSession())
    expiring.do(create("/expired", kind=EPHEMERAL))
    for _ in range(20):
        client.do(GetData("/"))
        world.pass_time(0.4)
    assert [(event.path, event.cause) for event in client.events] == [
        ("/x", EXPLICIT),
        ("/closed", SESSION_CLOSED),
        ("/expired", SESSION_EXPIRED),
    ]


def test_an_event_stands_before_what_shows_its_change_and_carries_its_zxid(world):
    client = watcher(world, Watch(1, "/", True, ALL))
    client.send(create("/a"), GetData("/a"), SetData("/a", b"x"))
    world.settle()
    told = [type(each) for frame in client.frames[2:] for each in frame]
    assert told.index(WatchEvent) < told.index(native.Answer)
    first, second = client.events
    answers = client.answers[-3:]
    assert (first.zxid, second.zxid) == (answers[0].zxid, answers[2].zxid)


def test_events_of_one_zxid_share_a_frame(world, writer):
    client = watcher(world, Watch(1, "/", True, ALL), Watch(2, "/a", True, ALL))
    writer.do(Create("/a/b/c", b"", OPEN_ACL, 0, -1, True), Multi((create("/x"), create("/y"))), DeleteTree("/a"))
    frames_of: dict[int, set[int]] = {}
    for number, frame in enumerate(client.frames):
        for each in frame:
            if isinstance(each, WatchEvent):
                frames_of.setdefault(each.zxid, set()).add(number)
    assert len(frames_of) == 3
    assert all(len(frames) == 1 for frames in frames_of.values())


def test_what_may_not_be_read_is_not_heard_of(world, writer):
    client = watcher(world, Watch(1, "/a", True, ALL), Watch(2, "/a", False, ALL))
    writer.do(create("/a"), Create("/a/secret", b"", ANNS), SetAcl("/a", ANNS), SetData("/a", b"x"))
    assert client.heard() == [(1, NODE_CREATED, "/a"), (2, NODE_CREATED, "/a"), (2, CHILDREN_CHANGED, "/a")]


def test_watches_of_both_protocols_hear_the_same(world, writer):
    plain = world.client()
    plain.do(AddWatch("/a", 1))
    client = watcher(world, Watch(1, "/a", True, ALL))
    writer.do(create("/a"), create("/a/b"), SetData("/a/b", b"x"), DeleteTree("/a"))
    assert plain.heard() == [(kind, path) for _, kind, path in client.heard()]


# ---- what is refused


@pytest.mark.parametrize(
    "wrong",
    [
        Watch(1, "a", False, ALL),
        Watch(1, "/a/", False, ALL),
        Watch(1, "/a", False, 0),
        Watch(1, "/a", False, 1),
        Watch(1, "/a", False, 1 << 5),
        Watch(1, "/a", False, -2),
        Watch(1, "/a", True, ALL, -2),
        Watch(1, "/a", True, ALL, -1, 1 << 60),
        Watch(1, "/a", True, ALL, -1, -1),
    ],
    ids=repr,
)
def test_a_watch_that_makes_no_sense_is_refused(world, wrong):
    client = native_client(world)
    assert isinstance(client.do(wrong)[0], BadArgumentsError)
    assert world.replicas[1].native_watches.count == 0


def test_two_watches_of_a_connection_cannot_have_one_number(world):
    client = watcher(world, Watch(1, "/a", False, ALL))
    assert isinstance(client.do(Watch(1, "/b", False, ALL))[0], BadArgumentsError)
    watcher(world, Watch(1, "/a", False, ALL))


def test_watches_go_with_their_connection(world, writer):
    client = watcher(world, *[Watch(n, f"/{n % 50}", n % 2 == 0, ALL) for n in range(1000)])
    watches = world.replicas[1].native_watches
    assert watches.count == 1000
    world.replicas[1].detach(client.pipeline)
    assert (watches.count, watches.by_path, watches.by_watcher) == (0, {}, {})
    assert watches.bytes_of(client.pipeline) == 0
    writer.do(create("/1"))


def test_too_many_watches_end_the_connection(world, monkeypatch):
    monkeypatch.setattr("coord.replica.answers.WATCHES_BYTES_MAX", 1000)
    client = native_client(world)
    client.send(*[Watch(n, f"/{n}", False, ALL) for n in range(20)])
    world.settle()
    assert client.goodbye.code == BUSY
    assert world.replicas[1].native_watches.count == 0


def test_too_many_events_at_once_end_the_connection_without_a_part_of_them(world, writer, monkeypatch):
    monkeypatch.setattr(clients_module, "EVENTS_BYTES_MAX", 200)
    client = watcher(world, *[Watch(n, "/", True, ALL) for n in range(20)])
    writer.do(create("/a"))
    assert client.goodbye.code == BUSY
    assert client.events == []


# ---- the past


def test_what_was_missed_is_told_first_in_order_and_once(world, writer):
    client = watcher(world, Watch(1, "/a", True, ALL))
    writer.do(create("/a"), SetData("/a", b"1"))
    seen = client.events[-1].zxid
    world.replicas[1].detach(client.pipeline)
    writer.do(create("/a/b"), create("/other"), Delete("/a/b"), SetData("/a", b"2"))
    again = client.again()
    world.settle()
    again.do(Watch(1, "/a", True, ALL, -1, seen), Watch(2, "/a", False, 1 << CHILDREN_CHANGED, -1, seen))
    writer.do(SetData("/a", b"3"))
    assert again.heard() == [
        (1, NODE_CREATED, "/a/b"),
        (1, NODE_DELETED, "/a/b"),
        (1, DATA_CHANGED, "/a"),
        (2, CHILDREN_CHANGED, "/a"),
        (2, CHILDREN_CHANGED, "/a"),
        (1, DATA_CHANGED, "/a"),
    ]
    zxids = [event.zxid for event in again.events if event.watch_id == 1]
    assert zxids == sorted(set(zxids))
    assert zxids[0] > seen


def test_the_past_is_told_with_the_lists_of_then(world):
    ann = native_client(world, auth=(("digest", b"ann:pw"),))
    zxid = world.leader.machine.zxid
    ann.do(Create("/a", b"", ((31, "auth", ""),)), SetData("/a", b"1"), SetAcl("/a", OPEN_ACL), SetData("/a", b"2"))
    client = watcher(world, Watch(1, "/a", False, ALL, -1, zxid))
    assert [(event.kind, event.zxid) for event in client.events] == [(DATA_CHANGED, ann.answers[3].zxid)]


def test_a_past_beyond_the_window_is_lost_and_said_to_be(writer):
    world = writer.world
    zxid = world.leader.machine.zxid
    window = world.replicas[1].window
    window._bytes_max = 10 * CHANGE_COSTS_BYTES
    writer.do(create("/a"), *[SetData("/a", b"x") for _ in range(30)])
    client = native_client(world)
    (lost,) = client.do(Watch(1, "/a", False, ALL, -1, zxid))
    assert isinstance(lost, WatchWindowLostError)
    assert world.replicas[1].native_watches.count == 0
    assert client.do(Watch(1, "/a", False, ALL, -1, window.start)) == [Done()]
    assert len(client.events) == len(window)


def test_the_window_starts_anew_when_the_state_has_jumped(world, writer):
    writer.do(create("/a"))
    replica = world.replicas[1]
    zxid = replica.machine.zxid
    replica._replace_machine(replica.machine)
    world.settle()
    assert writer.goodbye.code == SKIPPED
    client = native_client(world)
    assert isinstance(client.do(Watch(1, "/a", False, ALL, -1, zxid - 1))[0], WatchWindowLostError)
    assert client.do(Watch(1, "/a", False, ALL, -1, zxid)) == [Done()]


def test_a_server_that_replays_its_log_knows_the_past(world, writer):
    """The window is filled where entries are applied, so at a start as well."""
    zxid = world.leader.machine.zxid
    writer.do(create("/a"), SetData("/a", b"x"))
    assert len(world.replicas[1].window.after(zxid)) == 2


# ---- by themselves

paths = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "/b"])
watches = st.builds(
    NativeWatch,
    st.just("w"),
    st.just(1),
    paths,
    st.booleans(),
    st.integers(1, 31).map(lambda n: n & ALL),
    st.integers(-1, 3),
)
changes = st.builds(
    Change,
    st.sampled_from([NODE_CREATED, NODE_DELETED, DATA_CHANGED]),
    paths,
    st.just(OPEN_ACL),
    st.just(ANNS),
)


@settings(max_examples=400)
@given(watches, changes)
def test_the_past_is_told_by_the_same_rules_as_the_present(watch, change):
    table = NativeWatches()
    table.add(watch)
    told = told_of(watch, change)
    assert table.fire(change) == ([] if told is None else [(watch, *told)])


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["goes on", "ends a batch", "jumps"])), max_size=60),
    st.sampled_from([1, 3, 64]),
    st.booleans(),
)
def test_the_window_holds_all_after_its_start_and_no_more_bytes_than_it_may(entries, parts, asked_each_time):
    with patch.object(window_module, "PARTS", parts):
        window = Window(0, 20 * (CHANGE_COSTS_BYTES + 2))
        everything = []
        for zxid, (size, then) in enumerate(entries, 1):
            effects = [Change(DATA_CHANGED, f"/{n}", OPEN_ACL) for n in range(size)]
            done = [*effects, SessionEnded(7, False)] if zxid % 2 else effects
            if done:
                window.add(zxid, done)
            everything += [(zxid, effect) for effect in effects]
            if then == "ends a batch":
                window.settle()
                assert len(window) <= 20
                assert len(window) == sum(each[0] > window.start for each in everything)
            elif then == "jumps":
                window.restart(zxid)
                assert (window.start, len(window)) == (zxid, 0)
            if asked_each_time or zxid == len(entries):
                for since in range(zxid + 2):
                    expected = [each for each in everything if each[0] > since]
                    assert window.after(since) == (expected if since >= window.start else None)


def test_of_the_window_no_more_is_let_go_than_has_to_be():
    """About a part of it at a time, and a part is of whole batches; after a jump there is room for as many."""
    window = Window(0, 640 * (CHANGE_COSTS_BYTES + 2))
    for begin in (0, 5000):
        window.restart(begin)
        for zxid in range(begin + 1, begin + 5000):
            window.add(zxid, [Change(DATA_CHANGED, "/a", OPEN_ACL)])
            window.settle()
            assert len(window) == zxid - window.start
            assert zxid <= begin + 640 or 640 - 20 <= len(window) <= 640
            assert zxid > begin + 640 or window.start == begin


def test_what_a_long_replay_would_push_out_of_the_window_is_not_put_into_it():
    window = Window(0, 20 * CHANGE_COSTS_BYTES)
    assert not window.is_outrun_by(20)
    assert window.is_outrun_by(21)
    window.add(1, [Change(DATA_CHANGED, "/a", OPEN_ACL)])
    window.restart(1)
    assert window.after(0) is None
    assert window.after(1) == []
