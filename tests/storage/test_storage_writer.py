"""The writer: order, gathering, and when it goes inline."""

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest
import trio
from storage_model import append_all, make_batch, make_batches, open_store

from coord.model.entries import zxid_of
from coord.paxos.effects import Append, SaveBallot, Step, TruncateLog
from coord.storage import writer as writer_module
from coord.storage.disk import FolderDisk
from coord.storage.errors import StorageFailure
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store
from coord.storage.writer import Writer

BATCHES = make_batches(100)


class FakeStore:
    """Notes what is performed and where; the test says how long it took, and may hold it up."""

    instant = False

    def __init__(self) -> None:
        self.performed: list[list[Step]] = []
        self.threads: list[bool] = []  # whether each was performed away from the test's own thread
        self.home = threading.get_ident()
        self.now_s = 0.0
        self.took_s = 0.0001
        self.thread_took_s = 0.0001
        self.gate: threading.Event | None = None
        self.failure: StorageFailure | None = None

    def perform(self, steps: Sequence[Step]) -> None:
        self.threads.append(threading.get_ident() != self.home)
        if self.gate is not None:
            self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.performed.append(list(steps))
        self.now_s += self.thread_took_s if self.threads[-1] else self.took_s


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    fake = FakeStore()
    monkeypatch.setattr(writer_module, "perf_counter", lambda: fake.now_s)
    return fake


def append(number: int = 0) -> list[Step]:
    return [Append(BATCHES[number])]


async def submit(writer: Writer, steps: Sequence[Step]) -> None:
    """Submit, and wait until it is done."""
    done = trio.Event()
    writer.submit(steps, done.set)
    await done.wait()


PROBE_AFTER = 16  # performs in the thread before the first probe


async def make_threaded(writer: Writer, store: FakeStore) -> None:
    """A stall, and then the disk is as before."""
    took_s, store.took_s = store.took_s, 1.0
    await submit(writer, append())
    assert not writer.inline
    store.took_s = took_s


async def test_a_quick_disk_is_waited_for_inline(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    done: list[int] = []
    writer.submit(append(), lambda: done.append(1))
    assert done == [1]
    assert store.threads == [False]
    nursery.cancel_scope.cancel()


async def test_a_stall_sends_the_writer_to_the_thread_until_a_probe_is_quick(
    store: FakeStore, nursery: trio.Nursery
) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    await make_threaded(writer, store)
    for _ in range(PROBE_AFTER):
        await submit(writer, append())
    assert store.threads == [False] + [True] * PROBE_AFTER
    await submit(writer, append())
    assert writer.inline
    assert store.threads[-1] is False
    nursery.cancel_scope.cancel()


async def test_each_slow_probe_doubles_the_time_to_the_next(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    store.took_s = 0.1
    for _ in range(1 + PROBE_AFTER + 1 + 2 * PROBE_AFTER + 1 + 4 * PROBE_AFTER + 1):
        await submit(writer, append())
    probes = [place for place, thread in enumerate(store.threads) if not thread]
    assert [later - earlier - 1 for earlier, later in pairwise(probes)] == [
        PROBE_AFTER,
        2 * PROBE_AFTER,
        4 * PROBE_AFTER,
    ]
    nursery.cancel_scope.cancel()


async def test_no_probe_follows_a_write_that_stalled_in_the_thread(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    await make_threaded(writer, store)
    store.thread_took_s = 0.1
    for _ in range(3 * PROBE_AFTER):
        await submit(writer, append())
    store.thread_took_s = 0.0001
    await submit(writer, append())
    assert store.threads == [False] + [True] * (3 * PROBE_AFTER + 1)
    await submit(writer, append())
    assert writer.inline
    nursery.cancel_scope.cancel()


async def test_nothing_is_performed_inline_while_the_disk_has_much_else_to_do(
    store: FakeStore, nursery: trio.Nursery
) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    with writer.disk_busy():
        await submit(writer, append())
    await submit(writer, append())
    assert store.threads == [True, False]
    nursery.cancel_scope.cancel()


async def test_good_times_make_the_next_probe_come_soon_again(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    store.took_s = 0.1
    for _ in range(1 + PROBE_AFTER + 1):
        await submit(writer, append())
    store.took_s = 0.0001
    for _ in range(2 * PROBE_AFTER + 300):
        await submit(writer, append())
    await make_threaded(writer, store)
    for _ in range(PROBE_AFTER + 1):
        await submit(writer, append())
    assert writer.inline
    nursery.cancel_scope.cancel()


async def test_an_average_that_grows_sends_the_writer_to_the_thread(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store, inline_max_s=0.0005)
    nursery.start_soon(writer.run)
    store.took_s = 0.0006
    count = 0
    while writer.inline:
        await submit(writer, append())
        count += 1
    assert 2 < count < 30
    nursery.cancel_scope.cancel()


async def test_large_writes_cuts_and_installs_go_to_the_thread_and_change_nothing_else(
    store: FakeStore, nursery: trio.Nursery
) -> None:
    writer = Writer(store, inline_bytes_max=1000)
    nursery.start_soon(writer.run)
    await submit(writer, append())
    store.took_s = 0.2
    await submit(writer, [Append(make_batch(0, body=b"x" * 2000))])
    await submit(writer, [TruncateLog(0)])
    assert store.threads[-2:] == [True, True]
    store.took_s = 0.0001
    await submit(writer, append())
    assert store.threads[-1] is False
    nursery.cancel_scope.cancel()


async def test_what_arrives_while_a_write_is_in_flight_is_one_next_write(
    store: FakeStore, nursery: trio.Nursery
) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    await make_threaded(writer, store)
    store.performed.clear()
    store.gate = threading.Event()
    order: list[int] = []
    finished = trio.Event()
    writer.submit(append(0), lambda: order.append(0))
    await trio.testing.wait_all_tasks_blocked()
    for number in range(1, 6):
        writer.submit(append(number), lambda number=number: order.append(number))
    writer.submit([], finished.set)
    assert order == []
    store.gate.set()
    await finished.wait()
    assert order == [0, 1, 2, 3, 4, 5]
    assert store.performed == [append(0), [Append(BATCHES[number]) for number in range(1, 6)]]
    nursery.cancel_scope.cancel()


async def test_what_a_callback_submits_comes_after_it(store: FakeStore, nursery: trio.Nursery) -> None:
    writer = Writer(store)
    nursery.start_soon(writer.run)
    order: list[str] = []

    def first() -> None:
        writer.submit(append(1), lambda: order.append("second"))
        order.append("first")

    writer.submit(append(0), first)
    assert order == ["first", "second"]
    nursery.cancel_scope.cancel()


async def test_a_long_chain_of_callbacks_needs_no_stack(nursery: trio.Nursery) -> None:
    writer = Writer(open_store(MemoryDisk()))
    left = 5000

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            writer.submit([], again)

    writer.submit([], again)
    assert left == 0


async def test_a_disk_in_memory_never_needs_the_thread_nor_the_task() -> None:
    writer = Writer(open_store(MemoryDisk()))
    done: list[int] = []
    for number, batch in enumerate(make_batches(20, body=b"x" * 100)):
        writer.submit([Append(batch), SaveBallot(writer_ballot(writer))], lambda number=number: done.append(number))
    writer.submit([TruncateLog(zxid_of(1, 3))], lambda: done.append(-1))
    assert done == [*range(20), -1]
    assert await writer.aside(lambda: threading.get_ident()) == threading.get_ident()


def writer_ballot(writer: Writer):
    return writer._store.ballot


@pytest.mark.parametrize("inline", [True, False])
async def test_a_failure_ends_the_writer_and_calls_nobody(store: FakeStore, inline: bool) -> None:
    writer = Writer(store)
    called: list[int] = []
    store_failure = StorageFailure("syncing failed")

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            if not inline:
                await make_threaded(writer, store)
            store.failure = store_failure
            writer.submit(append(), lambda: called.append(1))
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        await scenario()
    assert raised.value.exceptions == (store_failure,)
    assert called == []
    with pytest.raises(StorageFailure, match="not used any more: syncing failed"):
        writer.submit(append(), lambda: called.append(2))


async def test_a_cancelled_writer_first_finishes_what_is_in_flight(store: FakeStore) -> None:
    """T50: no thread goes on writing behind the back of a stopped server."""
    writer = Writer(store)
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await make_threaded(writer, store)
        store.performed.clear()
        store.gate = threading.Event()
        writer.submit(append(), lambda: done.append(1))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        store.gate.set()
    assert store.performed == [append()]
    assert done == [1]


async def test_nothing_is_reordered_however_the_disk_behaves(store: FakeStore, nursery: trio.Nursery) -> None:
    chance = Random(6)
    writer = Writer(store, inline_bytes_max=300)
    nursery.start_soon(writer.run)
    order: list[int] = []
    finished = trio.Event()

    def then(number: int) -> Callable[[], None]:
        return lambda: order.append(number)

    for number in range(100):
        store.took_s = chance.choice((0.0001, 0.0001, 0.0001, 0.0001, 0.01))
        writer.submit(append(number), then(number))
        if chance.random() < 0.5:
            await trio.testing.wait_all_tasks_blocked()
    writer.submit([], finished.set)
    await finished.wait()
    assert order == list(range(100))
    assert [step for steps in store.performed for step in steps] == [Append(batch) for batch in BATCHES]
    nursery.cancel_scope.cancel()


async def test_a_real_store_is_written_and_read_beside_in_threads(tmp_path, nursery: trio.Nursery) -> None:
    store = Store.open(FolderDisk(tmp_path / "data"), server=1, identity_if_new=1)
    append_all(store, BATCHES[:1])
    writer = Writer(store)
    nursery.start_soon(writer.run)
    for batch in BATCHES[1:40]:
        writer.submit([Append(batch)], lambda: None)
    await submit(writer, [])
    found = await writer.aside(lambda: store.read_batches(BATCHES[0].last, 1 << 20))
    assert [batch.encoded for batch in found] == [batch.encoded for batch in BATCHES[1:40]]
    nursery.cancel_scope.cancel()
    store.close()
