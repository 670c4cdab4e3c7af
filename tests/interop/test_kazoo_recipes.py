"""kazoo's recipes do their work: a smoke test of each."""

import queue
import threading
from collections.abc import Callable

import pytest
from kazoo.client import KazooClient

WAIT_S = 60

Connect = Callable[..., KazooClient]


@pytest.fixture
def pair(connect_kazoo: Connect, root: str) -> tuple[KazooClient, KazooClient]:
    """Two clients, on two servers, that have seen `root`."""
    clients = connect_kazoo(1), connect_kazoo(2)
    for client in clients:
        client.sync(root)
    return clients


def run_in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_lock_is_held_by_one_and_passed_on(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = (client.Lock(f"{root}/lock", name) for client, name in zip(pair, ("one", "two"), strict=True))
    assert first.acquire(timeout=WAIT_S)
    assert not second.acquire(blocking=False)
    got: queue.Queue[bool] = queue.Queue()
    thread = run_in_thread(lambda: got.put(second.acquire(timeout=WAIT_S)))
    while first.contenders() != ["one", "two"]:
        pass
    assert got.empty()
    first.release()
    assert got.get(timeout=WAIT_S) is True
    second.release()
    thread.join(WAIT_S)


def test_a_lock_passes_on_when_its_holder_goes_away(
    pair: tuple[KazooClient, KazooClient], connect_kazoo: Connect, root: str
) -> None:
    holder = connect_kazoo(3)
    holder.sync(root)
    assert holder.Lock(f"{root}/lock").acquire(timeout=WAIT_S)
    holder.stop()
    assert pair[0].Lock(f"{root}/lock").acquire(timeout=WAIT_S)


def test_readers_share_and_a_writer_does_not(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = pair
    readers = first.ReadLock(f"{root}/rw"), second.ReadLock(f"{root}/rw")
    for reader in readers:
        assert reader.acquire(timeout=WAIT_S)
    writer = first.WriteLock(f"{root}/rw")
    assert not writer.acquire(blocking=False)
    for reader in readers:
        reader.release()
    assert writer.acquire(timeout=WAIT_S)
    writer.release()


def test_a_semaphore_gives_its_leases_and_no_more(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = pair
    held = [client.Semaphore(f"{root}/semaphore", max_leases=2) for client in (first, second)]
    for semaphore in held:
        assert semaphore.acquire(timeout=WAIT_S)
    third = first.Semaphore(f"{root}/semaphore", max_leases=2)
    assert not third.acquire(blocking=False)
    held[0].release()
    assert third.acquire(timeout=WAIT_S)


def test_an_election_elects_one_after_the_other(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    leading: queue.Queue[str] = queue.Queue()
    resign = {"one": threading.Event(), "two": threading.Event()}

    def lead(name: str) -> None:
        leading.put(name)
        resign[name].wait(WAIT_S)

    elections = [client.Election(f"{root}/election", name) for client, name in zip(pair, resign, strict=True)]
    threads = [
        run_in_thread(lambda election=election, name=name: election.run(lead, name))
        for election, name in zip(elections, resign, strict=True)
    ]
    first = leading.get(timeout=WAIT_S)
    while sorted(elections[0].contenders()) != ["one", "two"]:
        pass
    assert leading.empty()
    resign[first].set()
    second = leading.get(timeout=WAIT_S)
    assert {first, second} == {"one", "two"}
    resign[second].set()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_a_barrier_holds_until_it_is_removed(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = (client.Barrier(f"{root}/barrier") for client in pair)
    first.create()
    passed: queue.Queue[bool] = queue.Queue()
    pair[1].sync(root)
    thread = run_in_thread(lambda: passed.put(second.wait(WAIT_S)))
    assert passed.empty()
    first.remove()
    assert passed.get(timeout=WAIT_S) is True
    thread.join(WAIT_S)


def test_a_double_barrier_lets_all_in_and_out_together(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    barriers = [client.DoubleBarrier(f"{root}/double", 2) for client in pair]
    for step in ("enter", "leave"):
        threads = [run_in_thread(getattr(barrier, step)) for barrier in barriers]
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


def test_a_counter_counts_what_all_add(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    counters = [client.Counter(f"{root}/counter") for client in pair]

    def add(counter: object) -> None:
        for _ in range(10):
            counter += 1  # type: ignore[operator]

    threads = [run_in_thread(lambda counter=counter: add(counter)) for counter in counters]
    for thread in threads:
        thread.join(WAIT_S)
    pair[0].sync(root)
    assert counters[0].value == 20


def test_a_queue_gives_each_item_once_in_order(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = (client.Queue(f"{root}/queue") for client in pair)
    for number in range(10):
        first.put(b"%d" % number)
    pair[1].sync(root)
    assert [second.get() for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert second.get() is None


def test_a_locking_queue_keeps_an_item_until_it_is_consumed(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    first, second = (client.LockingQueue(f"{root}/locking") for client in pair)
    first.put_all([b"a", b"b"])
    pair[1].sync(root)
    assert second.get(timeout=WAIT_S) == b"a"
    assert first.get(timeout=WAIT_S) == b"b"
    assert second.consume()
    assert first.consume()
    assert len(first) == 0


def test_a_party_shows_who_is_there(pair: tuple[KazooClient, KazooClient], root: str) -> None:
    parties = [client.Party(f"{root}/party", name) for client, name in zip(pair, ("one", "two"), strict=True)]
    for party in parties:
        party.join()
    pair[0].sync(root)
    assert sorted(parties[0]) == ["one", "two"]
    parties[1].leave()
    pair[0].sync(root)
    assert list(parties[0]) == ["one"]
