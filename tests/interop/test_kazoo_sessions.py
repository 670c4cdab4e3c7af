"""kazoo: sessions, and the ephemerals that end with them."""

import queue
from collections.abc import Callable

from kazoo.client import KazooClient
from kazoo.protocol.states import EventType, KazooState

from tools.wire.client import RawClient

WAIT_S = 60


def test_ephemerals_vanish_when_their_session_is_closed(
    connect_kazoo: Callable[..., KazooClient], kazoo: KazooClient, root: str
) -> None:
    other = connect_kazoo()
    other.sync(root)
    for number in range(5):
        other.create(f"{root}/e{number}", b"", ephemeral=True)
    other.create(f"{root}/stays", b"")
    other.stop()
    kazoo.sync(root)
    assert kazoo.get_children(root) == ["stays"]


def test_ephemerals_vanish_when_their_session_expires(
    connect_raw: Callable[..., RawClient], kazoo: KazooClient, root: str
) -> None:
    silent = connect_raw(2, timeout_ms=1_000)
    silent.sync(root)
    assert silent.timeout_ms == 1_000
    silent.create(f"{root}/e", b"", flags=1)
    events: queue.Queue[object] = queue.Queue()
    kazoo.sync(root)
    assert kazoo.exists(f"{root}/e", watch=events.put) is not None
    event = events.get(timeout=WAIT_S)
    assert (event.type, event.path) == (EventType.DELETED, f"{root}/e")
    kazoo.sync(root)
    assert kazoo.get_children(root) == []


def test_pings_keep_an_idle_session_alive(connect_raw: Callable[..., RawClient], kazoo: KazooClient, root: str) -> None:
    """The idle one, of the shorter timeout, has to be there still when the silent one is gone."""
    idle = connect_raw(1, timeout_ms=1_000)
    idle.sync(root)
    idle.create(f"{root}/idle", b"", flags=1)
    silent = connect_raw(2, timeout_ms=3_000)
    silent.sync(root)
    silent.create(f"{root}/silent", b"", flags=1)
    events: queue.Queue[object] = queue.Queue()
    kazoo.sync(root)
    kazoo.exists(f"{root}/silent", watch=events.put)
    for _ in range(10 * WAIT_S):
        idle.ping()
        try:
            events.get(timeout=0.1)
            break
        except queue.Empty:
            continue
    kazoo.sync(root)
    assert kazoo.get_children(root) == ["idle"]


def test_a_session_goes_on_over_another_connection_and_another_server(
    connect_raw: Callable[..., RawClient], connect_kazoo: Callable[..., KazooClient], root: str
) -> None:
    first = connect_raw(1, timeout_ms=10_000)
    first.sync(root)
    first.create(f"{root}/e", b"", flags=1)
    first.stream.close()
    second = connect_kazoo(2, client_id=(first.session, first.password))
    assert second.client_id == (first.session, first.password)
    second.sync(root)
    assert second.exists(f"{root}/e").ephemeralOwner == first.session
    second.stop()
    third = connect_kazoo(3)
    third.sync(root)
    assert third.exists(f"{root}/e") is None


def test_a_wrong_password_gets_a_new_session_and_leaves_the_old_one_alone(
    connect_kazoo: Callable[..., KazooClient], kazoo: KazooClient, root: str
) -> None:
    kazoo.create(f"{root}/e", b"", ephemeral=True)
    session, password = kazoo.client_id
    other = connect_kazoo(client_id=(session, bytes(byte ^ 0xFF for byte in password)))
    assert other.client_id[0] != session
    other.sync(root)
    assert other.exists(f"{root}/e").ephemeralOwner == session
    kazoo.set(f"{root}/e", b"still mine")


def test_a_client_whose_session_was_closed_elsewhere_is_told_that_it_is_lost(
    connect_raw: Callable[..., RawClient], connect_kazoo: Callable[..., KazooClient], root: str
) -> None:
    victim = connect_kazoo(1)
    victim.sync(root)
    victim.create(f"{root}/e", b"", ephemeral=True)
    states: queue.Queue[str] = queue.Queue()
    victim.add_listener(states.put)
    session, password = victim.client_id
    thief = connect_raw(1, session=session, password=password)
    thief.close_session()
    seen = []
    while KazooState.LOST not in seen:
        seen.append(states.get(timeout=WAIT_S))
    while KazooState.CONNECTED not in seen:
        seen.append(states.get(timeout=WAIT_S))
    assert victim.client_id[0] != session
    victim.sync(root)
    assert victim.exists(f"{root}/e") is None


def test_the_timeout_is_clamped_between_the_servers_limits(connect_raw: Callable[..., RawClient]) -> None:
    assert connect_raw(timeout_ms=1).timeout_ms == 1_000
    assert connect_raw(timeout_ms=5_000).timeout_ms == 5_000
    assert 5_000 < connect_raw(timeout_ms=1_000_000).timeout_ms < 1_000_000


def test_kazoo_reads_the_servers_version(kazoo: KazooClient) -> None:
    version = kazoo.server_version()
    assert len(version) >= 3
    assert version >= (3, 5, 0)
