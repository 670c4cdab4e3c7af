"""kazoo: one-shot watches and the recipes on top of them."""

import queue
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.states import EventType, KeeperState

WAIT_S = 60


class Events:
    """A watch function that keeps what it is called with."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def __call__(self, event: Any) -> None:
        self._queue.put(event)

    def next(self) -> tuple[str, str]:
        event = self._queue.get(timeout=WAIT_S)
        assert event.state == KeeperState.CONNECTED
        return event.type, event.path

    def is_empty(self) -> bool:
        return self._queue.empty()


@pytest.fixture
def writer(connect_kazoo: Callable[..., KazooClient], root: str) -> KazooClient:
    """On another server than the watching client may be on."""
    client = connect_kazoo(3)
    client.sync(root)
    return client


def test_a_data_watch_fires_once_on_a_change(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    events = Events()
    kazoo.get(root, watch=events)
    writer.set(root, b"1")
    assert events.next() == (EventType.CHANGED, root)
    writer.set(root, b"2")
    writer.delete(root)
    kazoo.sync(root)
    assert kazoo.exists(root) is None
    assert events.is_empty()


def test_a_data_watch_fires_on_deletion(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    events = Events()
    kazoo.get(root, watch=events)
    writer.delete(root)
    assert events.next() == (EventType.DELETED, root)


def test_an_exists_watch_on_a_missing_znode_fires_on_its_creation(
    kazoo: KazooClient, writer: KazooClient, root: str
) -> None:
    events = Events()
    assert kazoo.exists(f"{root}/later", watch=events) is None
    writer.create(f"{root}/later", b"")
    assert events.next() == (EventType.CREATED, f"{root}/later")


def test_an_exists_watch_fires_on_change_and_deletion(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    events = Events()
    kazoo.exists(root, watch=events)
    writer.set(root, b"1")
    assert events.next() == (EventType.CHANGED, root)
    kazoo.exists(root, watch=events)
    writer.delete(root)
    assert events.next() == (EventType.DELETED, root)


def test_a_child_watch_fires_on_creation_and_deletion_of_a_child_only(
    kazoo: KazooClient, writer: KazooClient, root: str
) -> None:
    events = Events()
    kazoo.get_children(root, watch=events)
    writer.set(root, b"not a matter of children")
    writer.create(f"{root}/c", b"")
    assert events.next() == (EventType.CHILD, root)
    kazoo.get_children(root, watch=events)
    writer.create(f"{root}/c/grandchild", b"")
    writer.set(f"{root}/c", b"not either")
    writer.delete(f"{root}/c/grandchild")
    writer.delete(f"{root}/c")
    assert events.next() == (EventType.CHILD, root)
    assert events.is_empty()


def test_a_child_watch_fires_when_the_watched_znode_is_deleted(
    kazoo: KazooClient, writer: KazooClient, root: str
) -> None:
    events = Events()
    kazoo.get_children(root, watch=events)
    writer.delete(root)
    assert events.next() == (EventType.DELETED, root)


def test_a_watch_set_in_vain_does_not_fire(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    """getData of a missing znode fails and leaves no watch (exists would)."""
    events = Events()
    with pytest.raises(Exception, match=r".*"):
        kazoo.get(f"{root}/missing", watch=events)
    writer.create(f"{root}/missing", b"")
    kazoo.sync(root)
    kazoo.get(f"{root}/missing")
    assert events.is_empty()


def test_who_sees_the_change_has_been_told_of_it(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    """The event's callback is queued before the reply that shows the new data."""
    for number in range(30):
        events = Events()
        before, _ = kazoo.get(root, watch=events)
        writer.set(root, b"%d" % number)
        while (seen := kazoo.get_async(root).get(timeout=WAIT_S)[0]) == before:
            pass
        assert seen == b"%d" % number
        assert events.next() == (EventType.CHANGED, root)


def test_datawatch_sees_every_state_it_is_given_time_to_see(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    seen: queue.Queue[bytes | None] = queue.Queue()

    @kazoo.DataWatch(root)
    def changed(data: bytes | None, stat: object) -> None:
        seen.put(data)

    assert seen.get(timeout=WAIT_S) == b""
    for number in range(5):
        writer.set(root, b"%d" % number)
        assert seen.get(timeout=WAIT_S) == b"%d" % number
    writer.delete(root)
    assert seen.get(timeout=WAIT_S) is None
    writer.create(root, b"again")
    assert seen.get(timeout=WAIT_S) == b"again"


def test_childrenwatch_follows_the_children(kazoo: KazooClient, writer: KazooClient, root: str) -> None:
    seen: queue.Queue[list[str]] = queue.Queue()

    @kazoo.ChildrenWatch(root)
    def changed(children: list[str]) -> None:
        seen.put(sorted(children))

    assert seen.get(timeout=WAIT_S) == []
    writer.create(f"{root}/a", b"")
    assert seen.get(timeout=WAIT_S) == ["a"]
    writer.create(f"{root}/b", b"")
    assert seen.get(timeout=WAIT_S) == ["a", "b"]
    writer.delete(f"{root}/a")
    assert seen.get(timeout=WAIT_S) == ["b"]
