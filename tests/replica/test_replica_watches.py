"""Watches: which change is told to whom, once, in which order, and what becomes of a watch then."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Change
from coord.model.requests import (
    EPHEMERAL,
    AddWatch,
    CheckWatches,
    CloseSession,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    RemoveWatches,
    SetData,
    SetWatches,
)
from coord.replica.watches import (
    ANY_WATCH,
    CHILDREN_WATCH,
    DATA_WATCH,
    PERSISTENT_WATCH,
    RECURSIVE_WATCH,
    Watches,
)
from coord.state.acl import READ
from tests.replica.replica_world import Answer, Heard, World, create

ONE, OTHER = "one watcher", "another"


def told(watches: Watches, kind: int, path: str) -> list[tuple[object, int, str]]:
    return [(watcher, kind, path) for watcher, kind, path, _ in watches.fire(Change(kind, path, OPEN_ACL, OPEN_ACL))]


# ---- the tables


def test_a_creation_is_told_to_those_who_wait_for_it_and_then_to_the_parents_watchers() -> None:
    watches = Watches()
    watches.watch_data("/a/b", ONE)
    watches.watch_children("/a", OTHER)
    assert told(watches, NODE_CREATED, "/a/b") == [(ONE, NODE_CREATED, "/a/b"), (OTHER, CHILDREN_CHANGED, "/a")]
    assert told(watches, NODE_CREATED, "/a/b") == []


def test_the_root_is_the_parent_of_the_topmost_znodes() -> None:
    watches = Watches()
    watches.watch_children("/", ONE)
    assert told(watches, NODE_CREATED, "/a") == [(ONE, CHILDREN_CHANGED, "/")]


def test_a_deletion_is_told_once_to_who_watches_both_data_and_children() -> None:
    watches = Watches()
    watches.watch_data("/a", ONE)
    watches.watch_children("/a", ONE)
    watches.watch_children("/a", OTHER)
    assert told(watches, NODE_DELETED, "/a") == [(ONE, NODE_DELETED, "/a"), (OTHER, NODE_DELETED, "/a")]
    assert watches.count == 0


def test_new_data_does_not_concern_watchers_of_children() -> None:
    watches = Watches()
    watches.watch_children("/a", ONE)
    watches.watch_children("/", ONE)
    assert told(watches, DATA_CHANGED, "/a") == []
    assert watches.count == 2


def test_a_watch_set_twice_fires_once() -> None:
    watches = Watches()
    watches.watch_data("/a", ONE)
    watches.watch_data("/a", ONE)
    assert len(told(watches, DATA_CHANGED, "/a")) == 1


def test_a_persistent_watch_stays_and_hears_of_data_and_children() -> None:
    watches = Watches()
    watches.watch_persistently("/a", ONE, recursive=False)
    for _ in range(2):
        assert told(watches, DATA_CHANGED, "/a") == [(ONE, DATA_CHANGED, "/a")]
        assert told(watches, NODE_CREATED, "/a/b") == [(ONE, CHILDREN_CHANGED, "/a")]
        assert told(watches, NODE_DELETED, "/a") == [(ONE, NODE_DELETED, "/a")]


def test_a_recursive_watch_hears_of_all_below_but_never_that_children_changed() -> None:
    watches = Watches()
    watches.watch_persistently("/", ONE, recursive=True)
    for kind in (NODE_CREATED, DATA_CHANGED, NODE_DELETED):
        assert told(watches, kind, "/a/b/c") == [(ONE, kind, "/a/b/c")]
    assert told(watches, DATA_CHANGED, "/") == [(ONE, DATA_CHANGED, "/")]


def test_a_recursive_watch_ends_at_names_and_not_in_the_middle_of_them() -> None:
    watches = Watches()
    watches.watch_persistently("/ab", ONE, recursive=True)
    assert told(watches, NODE_CREATED, "/abc") == []


def test_who_watches_a_path_in_many_ways_hears_of_one_change_once() -> None:
    watches = Watches()
    watches.watch_data("/a", ONE)
    watches.watch_persistently("/a", ONE, recursive=False)
    watches.watch_persistently("/a", ONE, recursive=True)
    watches.watch_persistently("/", ONE, recursive=True)
    assert told(watches, DATA_CHANGED, "/a") == [(ONE, DATA_CHANGED, "/a")]


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (DATA_WATCH, {CHILDREN_WATCH, PERSISTENT_WATCH, RECURSIVE_WATCH}),
        (CHILDREN_WATCH, {DATA_WATCH, PERSISTENT_WATCH, RECURSIVE_WATCH}),
        (PERSISTENT_WATCH, {DATA_WATCH, CHILDREN_WATCH, RECURSIVE_WATCH}),
        (RECURSIVE_WATCH, {DATA_WATCH, CHILDREN_WATCH, PERSISTENT_WATCH}),
        (ANY_WATCH, set()),
    ],
)
def test_watches_are_removed_by_their_kind(kind: int, left: set[int]) -> None:
    watches = Watches()
    watches.watch_data("/a", ONE)
    watches.watch_children("/a", ONE)
    watches.watch_persistently("/a", ONE, recursive=False)
    watches.watch_persistently("/a", ONE, recursive=True)
    assert watches.remove("/a", ONE, kind)
    kinds = {DATA_WATCH, CHILDREN_WATCH, PERSISTENT_WATCH, RECURSIVE_WATCH}
    assert {each for each in kinds if watches.has("/a", ONE, each)} == left
    assert not watches.remove("/a", ONE, kind)
    assert not watches.remove("/a", OTHER, ANY_WATCH)


def test_a_watcher_that_leaves_is_forgotten_and_nobody_else() -> None:
    watches = Watches()
    for watcher in (ONE, OTHER):
        watches.watch_data("/a", watcher)
        watches.watch_children("/a", watcher)
        watches.watch_persistently("/", watcher, recursive=True)
    watches.forget(ONE)
    assert {watcher for watcher, _, _ in told(watches, NODE_CREATED, "/a/b")} == {OTHER}
    watches.forget(OTHER)
    assert (watches.count, watches.paths, watches.watcher_count) == (0, set(), 0)


# ---- from a client's side


def test_the_writer_hears_the_event_before_its_own_reply() -> None:
    client = World().client()
    client.do(create("/a"), GetData("/a", watch=True))
    client.frames.clear()
    client.do(SetData("/a", b"new"))
    event, answer = client.frames
    assert isinstance(event, Heard)
    assert isinstance(answer, Answer)
    assert (event.kind, event.path, event.zxid) == (DATA_CHANGED, "/a", answer.zxid)


def test_an_event_comes_before_any_reply_that_shows_its_change_I19() -> None:
    world = World()
    reader, writer = world.client(), world.client()
    writer.do(create("/a", b"0"))
    reader.do(GetData("/a", watch=True))
    reader.frames.clear()
    writer.send(SetData("/a", b"1"), SetData("/a", b"2"))
    reader.send(create("/b"), GetData("/a"))  # its read waits for its write, which comes after both
    world.settle()
    kinds = [type(frame) for frame in reader.frames]
    assert kinds == [Heard, Answer, Answer]
    assert reader.answers[-1].data == b"2"
    assert len(reader.events) == 1


def test_a_read_that_fails_sets_no_watch_but_one_that_waits_for_a_znode_does() -> None:
    world = World()
    client = world.client()
    client.do(GetData("/a", watch=True), GetChildren("/a", watch=True))
    assert world.replicas[1].watches.count == 0
    client.do(Exists("/a", watch=True))
    client.do(create("/a"))
    assert client.heard() == [(NODE_CREATED, "/a")]


def test_only_who_may_read_hears_of_it_I21() -> None:
    world = World()
    client, writer = world.client(), world.client()
    client.do(AddWatch("/", 1))
    hidden = ((READ, "digest", "nobody:x"),)
    writer.do(Create("/hidden", b"", hidden), create("/open"))
    assert client.heard() == [(NODE_CREATED, "/open")]


def test_a_connection_that_ends_takes_its_watches_along() -> None:
    world = World()
    client, writer = world.client(), world.client()
    client.do(AddWatch("/", 1))
    world.replicas[1].detach(client.pipeline)
    writer.do(create("/a"))
    assert client.heard() == []
    assert world.replicas[1].watches.count == 0


def test_ephemerals_of_a_closed_session_are_told_as_deleted() -> None:
    world = World()
    client, other = world.client(), world.client()
    other.do(create("/e", kind=EPHEMERAL))
    client.do(Exists("/e", watch=True), GetChildren("/", watch=True))
    other.do(CloseSession())
    assert client.heard() == [(NODE_DELETED, "/e"), (CHILDREN_CHANGED, "/")]


def test_watches_are_checked_and_removed_on_request() -> None:
    client = World().client()
    client.do(create("/a"), GetData("/a", watch=True))
    answers = client.do(
        CheckWatches("/a", DATA_WATCH),
        CheckWatches("/a", CHILDREN_WATCH),
        RemoveWatches("/a", ANY_WATCH),
        RemoveWatches("/a", ANY_WATCH),
    )
    assert [answer.error for answer in answers] == [0, -121, 0, -121]
    client.do(SetData("/a", b"x"))
    assert client.heard() == []


def test_re_arming_tells_what_was_missed_and_arms_the_rest() -> None:
    world = World()
    writer = world.client()
    writer.do(create("/same"), create("/changed"), create("/gone"), create("/parent"), create("/quiet"))
    seen = world.replicas[1].machine.zxid
    writer.do(SetData("/changed", b"x"), Delete("/gone"), create("/parent/child"), create("/appeared"))
    client = world.client()
    client.do(
        SetWatches(
            seen,
            data=("/same", "/changed", "/gone"),
            exists=("/appeared", "/missing"),
            children=("/parent", "/quiet", "/gone"),
            persistent=("/same",),
            recursive=("/quiet",),
        )
    )
    assert sorted(client.heard()) == sorted(
        [
            (DATA_CHANGED, "/changed"),
            (NODE_DELETED, "/gone"),
            (NODE_CREATED, "/appeared"),
            (CHILDREN_CHANGED, "/parent"),
            (NODE_DELETED, "/gone"),
        ]
    )
    writer.do(SetData("/changed", b"y"), SetData("/same", b"y"), create("/missing"), create("/quiet/x"))
    assert client.heard() == [
        (DATA_CHANGED, "/same"),
        (NODE_CREATED, "/missing"),
        (NODE_CREATED, "/quiet/x"),
        (CHILDREN_CHANGED, "/quiet"),
    ]
