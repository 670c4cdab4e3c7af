"""Recipes from threads: what holds for blocks holds for them, but that a thread cannot be cancelled."""

import threading
import time

import anyio.from_thread
import pytest

import coord
from recipes import (
    Counter,
    DoubleBarrier,
    Election,
    KeyValueMap,
    Lock,
    LockLost,
    MisuseError,
    Partitioner,
    PeriodicJob,
    Queue,
    ReadWriteLock,
    TaskQueue,
    TreeCache,
)
from recipes.blocking import blocking
from tests.recipes.contention import ends_with


@pytest.fixture
def client():
    with coord.embedded_blocking() as client:
        yield client


def in_threads(count, function) -> None:
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_threads_hold_a_lock_one_at_a_time(client):
    inside: list[int] = []
    tokens: list[int] = []

    def contend(number: int) -> None:
        for _ in range(5):
            with blocking(client, Lock, "/lock", name=f"thread {number}", timeout=20) as held:
                inside.append(number)
                assert inside == [number]
                held.check()
                assert held.remaining > 0
                tokens.append(held.token)
                with client.transaction(guard=held) as txn:
                    txn.create(f"/done-{len(tokens)}")
                inside.remove(number)

    in_threads(6, contend)
    assert (len(tokens), tokens) == (30, sorted(tokens))
    assert client.children("/lock") == []


def test_a_lock_that_is_lost_is_told_by_check_and_at_the_end_of_the_block(client):
    late = client.transaction
    with ends_with(LockLost), blocking(client, Lock, "/lock") as held:
        client.delete(held.path)
        wait_lost(held)
        with pytest.raises(coord.NoNodeError), late(guard=held) as txn:
            txn.create("/late")


def wait_lost(held) -> None:
    """As a body that takes many steps would find out."""
    with ends_with(LockLost):
        for _ in range(3000):
            held.check()
            time.sleep(0.01)


def test_errors_and_misuse_come_out_as_they_are(client):
    lock = blocking(client, Lock, "/lock", timeout=0.1)
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), lock:
            raise error
        assert client.children("/lock") == []
    with lock:
        with pytest.raises(MisuseError, match="is in use"), lock:
            pass
        with pytest.raises(TimeoutError, match=r"/lock was not got within 0\.1 s"):
            blocking(client, Lock, "/lock", timeout=0.1).__enter__()
        with lock.attempt() as held:
            assert held is None
        assert lock.contenders() == [""]
    with pytest.raises(ValueError, match="absolute"):
        blocking(client, Lock, "lock")


def test_methods_of_what_is_held_are_called(client):
    lock = blocking(client, ReadWriteLock, "/rw")
    with lock.write(timeout=5) as held:
        held.downgrade()
        with lock.read(timeout=5):
            assert len(lock.contenders()) == 2


def test_a_task_that_fails_is_put_back_and_one_that_does_not_is_acknowledged(client):
    tasks = blocking(client, TaskQueue, "/tasks")
    tasks.put(b"work")
    with pytest.raises(ZeroDivisionError), tasks.take() as task:
        raise ZeroDivisionError
    with tasks.take() as task:
        assert (task.value, task.tries) == (b"work", 2)
    assert tasks.count() == 0
    tasks.put(b"more")
    with tasks.take() as task:
        task.put_back()
    assert tasks.count() == 1


def test_an_election_is_a_loop_of_terms(client):
    led: list[int] = []

    def stand(number: int) -> None:
        for term in blocking(client, Election, "/e", name=f"{number}"):
            with term:
                assert blocking(client, Election, "/e").leader().name == f"{number}"
                led.append(number)
            break

    in_threads(3, stand)
    assert sorted(led) == [0, 1, 2]
    assert blocking(client, Election, "/e").run(lambda term, answer: (term.name, answer), 42) == ("", 42)
    assert blocking(client, Election, "/e").leader() is None


def test_a_term_that_is_lost_is_followed_by_another(client):
    terms: list[int] = []
    for term in blocking(client, Election, "/e"):
        with term:
            terms.append(term.token)
            if len(terms) == 1:
                client.delete(term.path)
                wait_lost(term)
                term.check()
        if len(terms) == 2:
            break
    assert terms == sorted(set(terms))


def test_a_loop_that_is_left_leaves_what_it_followed(client):
    left: list[str] = []

    class Following:
        def __init__(self, client: coord.Client) -> None:
            pass

        async def __aiter__(self):
            try:
                while True:
                    yield "somebody"
            finally:
                left.append("the watch")

    for value in blocking(client, Following):
        assert value == "somebody"
        break
    assert left == ["the watch"]


def test_an_interrupt_at_the_very_end_of_a_block_leaves_nothing_held(client, monkeypatch):
    ask, interrupted = client.run, []

    def interrupt(function, *arguments):
        if function.__name__ == "_go_on" and not interrupted:
            interrupted.append(function)
            raise KeyboardInterrupt
        return ask(function, *arguments)

    monkeypatch.setattr(client, "run", interrupt)
    with pytest.raises(KeyboardInterrupt), blocking(client, Lock, "/lock"):
        pass
    with blocking(client, Lock, "/lock", timeout=20):
        pass


def test_a_double_barrier_is_one_of_threads(client):
    begun: list[int] = []

    def come(number: int) -> None:
        with blocking(client, DoubleBarrier, "/d", 3, timeout=20):
            begun.append(number)
        assert len(begun) == 3

    in_threads(3, come)


def test_data_are_read_and_written(client):
    assert blocking(client, Counter, "/counter").add(3) == 3
    queue = blocking(client, Queue, "/queue")
    in_threads(2, lambda number: queue.put(b"item") if number else time.sleep(0) or queue.get())
    entries = blocking(client, KeyValueMap, "/map")
    entries.put("a", b"1")
    assert entries.update("a", lambda value: value + b"2") == b"12"
    assert list(entries.items()) == [("a", b"12")]
    with blocking(client, TreeCache, "/map") as cache:
        assert ("/map/a" in cache, cache["/map/a"].value, len(cache)) == (True, b"12", 2)
        client.set("/map/a", b"3")
        cache.sync()
        assert cache.values() == {"/map": b"", "/map/a": b"3"}


def test_functions_that_recipes_call_run_in_threads_of_their_own(client):
    owned: list[str] = []
    done = threading.Event()

    def serve(item) -> None:
        owned.append(item.item)
        if len(owned) == 50:
            done.set()
        while True:
            anyio.from_thread.check_cancelled()
            time.sleep(0.05)

    parts = blocking(client, Partitioner, "/parts", [f"p{number}" for number in range(50)], name="one")

    def run() -> None:
        with pytest.raises(LockLost):
            parts.run(serve)

    running = threading.Thread(target=run)
    running.start()
    assert done.wait(30)
    client.delete("/parts/members/one")
    running.join(30)
    assert not running.is_alive()
    assert client.children("/parts/owners") == []

    def work(run) -> None:
        raise ZeroDivisionError(run.number)

    with pytest.raises(ZeroDivisionError):
        blocking(client, PeriodicJob, "/job", every=0.05).run(work)


def test_a_client_that_is_closed_within_a_block_says_so():
    with coord.embedded_blocking() as client:
        block = blocking(client, Lock, "/lock")
        block.__enter__()
    with pytest.raises(coord.ClientClosedError):
        block.__exit__(None, None, None)
