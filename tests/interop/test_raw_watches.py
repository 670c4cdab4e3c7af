"""Watches, byte by byte: order, one-shot and persistent, re-arming after a reconnect, removal."""

from collections.abc import Callable

import pytest

from tools.wire import jute
from tools.wire.client import Event, RawClient, Reply
from tools.wire.jute import Op, Reader

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4
PERSISTENT, RECURSIVE = 0, 1
CHILDREN_WATCHER, DATA_WATCHER, ANY_WATCHER = 1, 2, 3


@pytest.fixture
def other(connect_raw: Callable[..., RawClient], root: str) -> RawClient:
    """A second client, on another server."""
    client = connect_raw(2)
    client.sync(root)
    return client


def told(client: RawClient) -> list[tuple[int, str]]:
    """The events that have come before the answer to a sync, which is after all that was committed before."""
    client.sync()
    events = [(event.kind, event.path) for event in client.events]
    client.arrived.clear()
    return events


def add_watch(client: RawClient, path: str, mode: int) -> None:
    assert client.call(Op.ADD_WATCH, jute.path_and_version(path, mode)).as_only(Reader.int32) == 0


# ---- order


def test_the_event_comes_before_the_writers_own_reply(raw: RawClient, root: str) -> None:
    raw.get(root, watch=True)
    raw.arrived.clear()
    raw.set(root, b"new")
    event, reply = raw.arrived
    assert isinstance(event, Event)
    assert isinstance(reply, Reply)
    assert (event.kind, event.state, event.path) == (CHANGED, 3, root)


def test_the_event_comes_before_the_reply_that_shows_the_new_data(raw: RawClient, other: RawClient, root: str) -> None:
    """Reads are sent without a pause while another client, at another server, writes."""
    for number in range(20):
        other.sync(root)
        raw.sync(root)
        raw.get(root, watch=True)
        raw.arrived.clear()
        written = b"%d" % number
        other.send(Op.SET_DATA, jute.set_data(root, written))
        while True:
            raw.send(Op.GET_DATA, jute.path_and_watch(root))
            reply = raw.receive_reply()
            if reply.reader().buffer() == written:
                break
        assert [(event.kind, event.path) for event in raw.events] == [(CHANGED, root)]
        assert raw.arrived.index(raw.events[0]) < raw.arrived.index(reply)
        other.receive_reply()


def test_events_of_one_deletion_come_in_order(raw: RawClient, root: str) -> None:
    """The znode's own watches before its parent's; one event where data and child watch are set on one znode."""
    raw.create(f"{root}/a")
    raw.get(f"{root}/a", watch=True)
    raw.children(f"{root}/a", watch=True)
    raw.children(root, watch=True)
    raw.delete(f"{root}/a")
    assert told(raw) == [(DELETED, f"{root}/a"), (CHILDREN, root)]


def test_events_of_one_creation_come_in_order(raw: RawClient, root: str) -> None:
    raw.children(root, watch=True)
    raw.exists(f"{root}/a", watch=True)
    raw.create(f"{root}/a")
    assert told(raw) == [(CREATED, f"{root}/a"), (CHILDREN, root)]


def test_events_of_a_multi_come_in_the_order_of_its_parts_and_before_its_reply(raw: RawClient, root: str) -> None:
    raw.exists(f"{root}/a", watch=True)
    raw.get(root, watch=True)
    raw.exists(f"{root}/b", watch=True)
    raw.arrived.clear()
    raw.call(
        Op.MULTI,
        jute.multi(
            (Op.CREATE, jute.create(f"{root}/a")),
            (Op.SET_DATA, jute.set_data(root, b"x")),
            (Op.CREATE, jute.create(f"{root}/b")),
        ),
    ).reader()
    assert [(event.kind, event.path) for event in raw.events] == [
        (CREATED, f"{root}/a"),
        (CHANGED, root),
        (CREATED, f"{root}/b"),
    ]
    assert isinstance(raw.arrived[-1], Reply)


def test_a_failed_multi_fires_nothing(raw: RawClient, root: str) -> None:
    raw.children(root, watch=True)
    raw.call(
        Op.MULTI, jute.multi((Op.CREATE, jute.create(f"{root}/a")), (Op.CHECK, jute.path_and_version(root, 99)))
    ).reader()
    assert told(raw) == []


# ---- one-shot


def test_a_one_shot_watch_fires_once_however_often_it_was_set(raw: RawClient, root: str) -> None:
    for _ in range(3):
        raw.get(root, watch=True)
        raw.exists(root, watch=True)
    raw.set(root, b"1")
    raw.set(root, b"2")
    assert told(raw) == [(CHANGED, root)]


def test_a_read_that_failed_leaves_no_watch_but_exists_does(raw: RawClient, root: str) -> None:
    for op in (Op.GET_DATA, Op.GET_CHILDREN, Op.GET_CHILDREN2):
        assert raw.call(op, jute.path_and_watch(f"{root}/a", True)).error == -101
    assert raw.call(Op.EXISTS, jute.path_and_watch(f"{root}/b", True)).error == -101
    raw.create(f"{root}/a")
    raw.create(f"{root}/b")
    assert told(raw) == [(CREATED, f"{root}/b")]


def test_set_acl_fires_nothing(raw: RawClient, root: str) -> None:
    raw.get(root, watch=True)
    raw.children(root, watch=True)
    raw.call(Op.SET_ACL, jute.set_acl(root, jute.OPEN_ACL)).reader()
    assert told(raw) == []


def test_ephemerals_deleted_with_their_session_fire_as_ordinary_deletions(
    raw: RawClient, other: RawClient, root: str
) -> None:
    other.create(f"{root}/e1", flags=1)
    other.create(f"{root}/e2", flags=1)
    raw.sync()
    raw.exists(f"{root}/e1", watch=True)
    raw.exists(f"{root}/e2", watch=True)
    raw.children(root, watch=True)
    raw.arrived.clear()
    other.close_session()
    assert sorted(told(raw)) == [(DELETED, f"{root}/e1"), (DELETED, f"{root}/e2"), (CHILDREN, root)]


def test_the_child_watch_of_the_root_znode_names_it(raw: RawClient, root: str) -> None:
    raw.children("/", watch=True)
    raw.create(f"{root}x")
    assert told(raw) == [(CHILDREN, "/")]


def test_a_watcher_that_may_not_read_hears_nothing(raw: RawClient, other: RawClient, root: str) -> None:
    other.add_auth("digest", b"ann:secret")
    anns = ((31, "auth", ""),)
    raw.exists(f"{root}/a", watch=True)
    raw.exists(f"{root}/open", watch=True)
    other.create(f"{root}/a", acl=anns)
    other.create(f"{root}/open")
    assert told(raw) == [(CREATED, f"{root}/open")]


# ---- persistent


def test_a_persistent_watch_stays_and_hears_of_data_and_children(raw: RawClient, root: str) -> None:
    add_watch(raw, root, PERSISTENT)
    raw.set(root, b"1")
    raw.create(f"{root}/a")
    raw.set(f"{root}/a", b"not told")
    raw.delete(f"{root}/a")
    raw.set(root, b"2")
    raw.delete(root)
    raw.create(root)
    assert told(raw) == [
        (CHANGED, root),
        (CHILDREN, root),
        (CHILDREN, root),
        (CHANGED, root),
        (DELETED, root),
        (CREATED, root),
    ]


def test_a_recursive_watch_hears_of_all_below_and_not_of_lists_of_children(raw: RawClient, root: str) -> None:
    add_watch(raw, root, RECURSIVE)
    raw.create(f"{root}/a")
    raw.create(f"{root}/a/b")
    raw.set(f"{root}/a/b", b"1")
    raw.set(root, b"1")
    raw.create(f"{root}x")
    raw.delete(f"{root}/a/b")
    raw.delete(f"{root}/a")
    assert told(raw) == [
        (CREATED, f"{root}/a"),
        (CREATED, f"{root}/a/b"),
        (CHANGED, f"{root}/a/b"),
        (CHANGED, root),
        (DELETED, f"{root}/a/b"),
        (DELETED, f"{root}/a"),
    ]


def test_a_recursive_watch_may_be_set_on_the_root_and_on_what_is_not_there(raw: RawClient, root: str) -> None:
    add_watch(raw, "/", RECURSIVE)
    add_watch(raw, f"{root}/later", RECURSIVE)
    raw.create(f"{root}/later")
    raw.create(f"{root}/later/a")
    assert told(raw) == [(CREATED, f"{root}/later"), (CREATED, f"{root}/later/a")]


def test_one_trigger_is_one_event_for_a_connection_with_several_watches(raw: RawClient, root: str) -> None:
    raw.get(root, watch=True)
    add_watch(raw, root, PERSISTENT)
    raw.set(root, b"1")
    raw.set(root, b"2")
    assert told(raw) == [(CHANGED, root), (CHANGED, root)]


def test_an_unknown_mode_is_refused(raw: RawClient, root: str) -> None:
    assert raw.call(Op.ADD_WATCH, jute.path_and_version(root, 7)).error == -5


# ---- removal


def test_watches_are_checked_and_removed_by_kind(raw: RawClient, root: str) -> None:
    assert raw.call(Op.CHECK_WATCHES, jute.path_and_version(root, DATA_WATCHER)).error == -121
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, DATA_WATCHER)).error == -121
    raw.get(root, watch=True)
    raw.children(root, watch=True)
    assert raw.call(Op.CHECK_WATCHES, jute.path_and_version(root, DATA_WATCHER)).error == 0
    assert raw.call(Op.CHECK_WATCHES, jute.path_and_version(root, CHILDREN_WATCHER)).error == 0
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, DATA_WATCHER)).error == 0
    assert raw.call(Op.CHECK_WATCHES, jute.path_and_version(root, DATA_WATCHER)).error == -121
    raw.set(root, b"1")
    raw.create(f"{root}/a")
    assert told(raw) == [(CHILDREN, root)]


def test_any_removes_both_kinds(raw: RawClient, root: str) -> None:
    raw.get(root, watch=True)
    raw.children(root, watch=True)
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, ANY_WATCHER)).error == 0
    raw.set(root, b"1")
    raw.create(f"{root}/a")
    assert told(raw) == []


def test_any_removes_persistent_watches(raw: RawClient, root: str) -> None:
    add_watch(raw, root, PERSISTENT)
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, ANY_WATCHER)).error == 0
    raw.set(root, b"1")
    assert told(raw) == []


def test_one_connections_removal_leaves_anothers_watch(raw: RawClient, other: RawClient, root: str) -> None:
    raw.get(root, watch=True)
    other.get(root, watch=True)
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, ANY_WATCHER)).error == 0
    raw.set(root, b"1")
    assert told(raw) == []
    assert told(other) == [(CHANGED, root)]


def test_an_unknown_kind_of_watcher_is_refused(raw: RawClient, root: str) -> None:
    assert raw.call(Op.REMOVE_WATCHES, jute.path_and_version(root, 77)).error == -5


# ---- re-arming after a reconnect


def reconnected(connect_raw: Callable[..., RawClient], client: RawClient, server: int) -> RawClient:
    client.stream.close()
    return connect_raw(server, session=client.session, password=client.password, seen_zxid=client.seen_zxid)


def test_watches_are_gone_with_their_connection(
    raw: RawClient, other: RawClient, connect_raw: Callable[..., RawClient], root: str
) -> None:
    raw.get(root, watch=True)
    again = reconnected(connect_raw, raw, 1)
    other.set(root, b"1")
    assert told(again) == []


@pytest.mark.parametrize("op", [Op.SET_WATCHES, Op.SET_WATCHES2])
def test_set_watches_tells_at_once_what_was_missed_and_arms_the_rest(
    raw: RawClient, other: RawClient, connect_raw: Callable[..., RawClient], root: str, op: int
) -> None:
    names = ("changed", "deleted", "quiet", "parent", "childless")
    for name in names:
        raw.create(f"{root}/{name}")
    paths = {name: f"{root}/{name}" for name in (*names, "appeared", "absent")}
    raw.sync()
    seen = raw.seen_zxid
    other.sync()
    other.set(paths["changed"], b"1")
    other.delete(paths["deleted"])
    other.create(f"{paths['parent']}/child")
    other.create(paths["appeared"])
    again = reconnected(connect_raw, raw, 3)
    again.sync()
    again.arrived.clear()
    lists: list[list[str]] = [
        [paths["changed"], paths["deleted"], paths["quiet"]],
        [paths["appeared"], paths["absent"]],
        [paths["parent"], paths["childless"]],
    ]
    if op == Op.SET_WATCHES2:
        lists += [[], []]
    reply = again.call(op, jute.set_watches(seen, *lists), xid=jute.SET_WATCHES_XID)
    assert reply.error == 0
    assert sorted(told(again)) == [
        (CREATED, paths["appeared"]),
        (DELETED, paths["deleted"]),
        (CHANGED, paths["changed"]),
        (CHILDREN, paths["parent"]),
    ]
    other.set(paths["quiet"], b"1")
    other.create(paths["absent"])
    other.create(f"{paths['childless']}/child")
    other.set(paths["changed"], b"2")  # its watch was used up
    assert told(again) == [(CHANGED, paths["quiet"]), (CREATED, paths["absent"]), (CHILDREN, paths["childless"])]


def test_set_watches2_arms_persistent_watches_without_a_replay(
    raw: RawClient, other: RawClient, connect_raw: Callable[..., RawClient], root: str
) -> None:
    raw.create(f"{root}/a")
    raw.create(f"{root}/b")
    raw.sync()
    other.sync()
    other.set(f"{root}/a", b"missed")
    again = reconnected(connect_raw, raw, 3)
    again.sync()
    again.arrived.clear()
    lists: list[list[str]] = [[], [], [], [f"{root}/a"], [f"{root}/b"]]
    assert again.call(Op.SET_WATCHES2, jute.set_watches(0, *lists), xid=jute.SET_WATCHES_XID).error == 0
    assert told(again) == []
    other.set(f"{root}/a", b"1")
    other.set(f"{root}/a", b"2")
    other.create(f"{root}/b/below")
    assert told(again) == [(CHANGED, f"{root}/a"), (CHANGED, f"{root}/a"), (CREATED, f"{root}/b/below")]
