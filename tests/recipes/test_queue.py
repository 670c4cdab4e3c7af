"""Queues: what was put is taken once, in order, and nothing is lost."""

import random
from contextlib import suppress

import anyio
import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes.items import Items, QueueEmpty, QueueFull
from recipes.queue import PriorityQueue, Queue
from tests.client.both import on_both
from tests.recipes.contention import ends_with
from tests.recipes.faults import disturb, seeds


async def run_seed(seed: int, limit: int | None) -> None:
    """Putters and takers, both cancelled now and then, while servers crash."""
    rng = random.Random(seed)
    put: set[bytes] = set()
    unsure: set[bytes] = set()
    taken: list[bytes] = []
    last: dict[tuple[int, bytes], int] = {}
    counts: list[int] = []

    async def putter(client: coord.Client, rng: random.Random, name: bytes) -> None:
        queue = Queue(client, "/queue", limit=limit)
        for number in range(30):
            value = b"%s-%d" % (name, number)
            with trio.move_on_after(rng.choice([0.003, 600, 600])) as scope:
                await queue.put(value)
            (unsure if scope.cancelled_caught else put).add(value)
            counts.append(await queue.count())
            await trio.sleep(rng.uniform(0, 0.2))

    async def taker(client: coord.Client, rng: random.Random, me: int) -> None:
        queue = Queue(client, "/queue", limit=limit)
        while True:
            value = None
            with trio.move_on_after(rng.choice([0.002, 0.003, 1])):
                value = await queue.get()
            if value is None:
                continue
            taken.append(value)
            who, _, number = value.partition(b"-")
            assert int(number) > last.get((me, who), -1), "a later item of one putter was taken before an earlier one"
            last[me, who] = int(number)

    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as one,
        ensemble.client(session_timeout=30) as two,
        trio.open_nursery() as takers,
    ):
        for me, client in enumerate((one, two, two)):
            takers.start_soon(taker, client, random.Random(rng.random()), me)
        async with trio.open_nursery() as nursery:
            for name, client in ((b"a", one), (b"b", two), (b"c", one)):
                nursery.start_soon(putter, client, random.Random(rng.random()), name)
            nursery.start_soon(disturb, ensemble, rng, 4, [one, two])
        with trio.move_on_after(60):
            while not put <= set(taken) or await Queue(one, "/queue").count():
                await ensemble.advance(0.1)
        takers.cancel_scope.cancel()
    assert len(set(taken)) == len(taken), "an item was taken twice"
    assert put <= set(taken) <= put | unsure, "an item was lost"
    assert limit is None or max(counts) <= limit


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_nothing_is_lost_and_nothing_taken_twice(seed, limit, virtual_clock):
    await run_seed(seed, limit)


async def take_without_asking(queue: Queue, path: str, stat: coord.Stat) -> bytes | None:
    """Does not look whether somebody else was faster."""
    try:
        value, _ = await queue.client.get(path)
        await queue.client.delete(path)
    except coord.NoNodeError:
        return locals().get("value")
    return value


async def take_unshielded(queue: Queue, path: str, stat: coord.Stat) -> bytes | None:
    """Can be cancelled when the item is gone already."""
    try:
        value, _ = await queue.client.get(path)
        await queue.client.delete(path)
    except coord.NoNodeError:
        return None
    return value


@pytest.mark.parametrize("mutant", [take_without_asking, take_unshielded])
async def test_a_queue_that_takes_carelessly_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 6):
            await run_seed(seed, None)

    monkeypatch.setattr(Queue, "_take", mutant)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seeds()


async def add_without_looking_again(items: Items, fill) -> list | None:
    """Does not notice that others have added some since it looked."""
    stat = await items.client.exists(items.path)
    if stat is None:
        await items.ensure()
    elif stat.children_count >= items.limit:
        return None
    txn = items.client.transaction()
    fill(txn)
    return await txn.commit()


async def take_any(queue: Queue) -> bytes | None:
    """The last instead of the first."""
    page = await queue._items.page(data=False)
    for child in reversed(page.children):
        value = await queue._take(f"{queue.path}/{child.name}", child.stat)
        if value is not None:
            return value
    return None


async def crowd(ensemble) -> None:
    """Twenty put at once into a queue for three; what is taken is counted at the servers."""
    most, taken = 0, []
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(Queue((one, two)[number % 2], "/queue", limit=3).put, b"%02d" % number)
        while len(taken) < 20:
            await trio.sleep(0.01)
            await one.sync()
            names = sorted(await one.children("/queue"))
            most = max(most, len(names))
            with suppress(QueueEmpty):
                expected = (await one.get(f"/queue/{names[0]}"))[0] if names else None
                taken.append(await Queue(one, "/queue", limit=3).get_nowait())
                assert taken[-1] == expected, "it is not the oldest"
    assert most == 3


async def test_a_queue_keeps_its_limit_and_its_order_though_many_put_at_once(ensemble, virtual_clock):
    await crowd(ensemble)


@pytest.mark.parametrize("mutant", [(Items, "_try_add", add_without_looking_again), (Queue, "_take_first", take_any)])
async def test_a_queue_that_forgets_its_limit_or_its_order_is_found(mutant, ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(*mutant)
    with ends_with(AssertionError):
        await crowd(ensemble)


@on_both
async def test_items_come_in_order():
    async with coord.embedded() as client:
        queue = Queue(client, "/a/queue")
        with pytest.raises(QueueEmpty, match="no item in /a/queue"):
            await queue.get_nowait()
        for value in (b"1", b"2", b"3"):
            await queue.put(value)
        assert await queue.peek() == b"1"
        assert await queue.count() == 3
        assert [await queue.get() for _ in range(3)] == [b"1", b"2", b"3"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.put, b"4")
            assert await queue.get() == b"4"


@on_both
async def test_the_smallest_priority_comes_first_and_then_the_oldest():
    async with coord.embedded() as client:
        queue = PriorityQueue(client, "/queue")
        for value, priority in ((b"c", 7), (b"d", 70_000), (b"a", 0), (b"b", 0)):
            await queue.put(value, priority)
        assert [await queue.get_nowait() for _ in range(4)] == [b"a", b"b", b"c", b"d"]
        for priority in (-1, 100_000, 1.5):
            with pytest.raises(ValueError, match="a priority is an int from 0"):
                await queue.put(b"", priority)


@on_both
async def test_a_full_queue_says_so_or_waits():
    async with coord.embedded() as client:
        queue = PriorityQueue(client, "/queue", limit=2)
        await queue.put(b"1", 5)
        await queue.put_nowait(b"2")
        with pytest.raises(QueueFull, match="/queue is full: its limit is 2 items"):
            await queue.put_nowait(b"3")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.put, b"3")
            await anyio.wait_all_tasks_blocked()
            assert await queue.get() == b"2"
        assert await queue.count() == 2


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        for limit in (0, -1, 1.5):
            with pytest.raises(ValueError, match="limit of a queue is 1 or more"):
                Queue(client, "/queue", limit=limit)
        with pytest.raises(ValueError, match="path of a recipe"):
            Queue(client, "/")
        with pytest.raises(coord.BadArgumentsError, match="is bytes"):
            await Queue(client, "/queue").put("text")
        with pytest.raises(coord.RequestTooLargeError):
            await Queue(client, "/queue").put(b"x" * (2 << 20))
        assert await Queue(client, "/queue").count() == 0


async def test_who_waits_for_room_and_finds_that_another_was_faster_keeps_its_place(ensemble, virtual_clock):
    async with ensemble.client() as client, trio.open_nursery() as nursery:
        queue = Queue(client, "/queue", limit=1)
        first = await queue.put(b"first")
        for value in (b"one", b"two"):
            nursery.start_soon(queue.put, value)
            await trio.sleep(1)
        async with client.transaction() as txn:  # room is made, and gone at once
            txn.delete(f"/queue/{first}")
            txn.create("/queue/00000-", b"faster", sequential=True)
        await trio.sleep(1)
        assert [await queue.get() for _ in range(3)] == [b"faster", b"one", b"two"]
