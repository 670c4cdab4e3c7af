"""Recipes that are cancelled at each of their checkpoints leave no znode behind, and lose nothing."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import (
    ConfigWatch,
    Counter,
    Group,
    KeyValueMap,
    Owned,
    Partitioner,
    PeriodicJob,
    Queue,
    Run,
    ServiceRegistry,
    TaskQueue,
    TreeCache,
)
from tests.recipes.cancelling import Cancellable, at_each_checkpoint


async def be_a_member(client: coord.Client) -> None:
    async with Group(client, "/x/group").join(b"x", name="one") as one:
        await one.set(b"y")


async def watch_members(client: coord.Client) -> None:
    async with Group(client, "/x/group").watch() as view:
        assert await anext(view) == []


async def be_an_instance(client: coord.Client) -> None:
    async with ServiceRegistry(client, "/x/services").register("db", "h:1", name="one") as one:
        await one.update(health="draining")


async def keep_a_copy(client: coord.Client) -> None:
    async with TreeCache(client, "/x") as cache:
        await cache.sync()


async def follow_a_value(client: coord.Client) -> None:
    async with ConfigWatch(client, "/x/config", bytes.decode, default="") as config:
        await client.create("/x/config", b"1", parents=True)
        while await anext(config) != "1":
            pass
    await client.delete("/x/config")


async def own_items(client: coord.Client) -> None:
    scope = trio.CancelScope()

    async def serve(owned: Owned) -> None:
        await client.exists("/")
        scope.cancel()

    with scope:
        await Partitioner(client, "/x/parts", "ab", name="one").run(serve)


async def run_a_job(client: coord.Client) -> None:
    async def work(run: Run) -> None:
        raise ZeroDivisionError

    job = PeriodicJob(client, "/x/job", every=1)
    with pytest.raises(ZeroDivisionError):
        await job.run(work)


WORKS = [
    be_a_member, watch_members, be_an_instance, keep_a_copy, follow_a_value, own_items, run_a_job,
]  # fmt: skip


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
async def test_nothing_ephemeral_is_left(work: Callable[[coord.Client], Awaitable[None]], ensemble, virtual_clock):
    async def scenario(cancellable: Cancellable) -> None:
        async with ensemble.client() as client:
            with cancellable:
                await work(client)
            assert await client.ephemerals() == []
            if await client.exists("/x"):
                await client.delete("/x", recursive=True)

    assert await at_each_checkpoint(scenario) > 3


async def test_an_item_is_taken_and_given_or_stays(ensemble, virtual_clock):
    async def scenario(cancellable: Cancellable) -> None:
        async with ensemble.client() as client:
            queue, taken = Queue(client, "/x/queue", limit=5), []
            await queue.put(b"1")
            with cancellable:
                taken.append(await queue.get())
                await queue.put(b"2")
                taken.append(await queue.get())
            left = [await queue.get() for _ in range(await queue.count())]
            assert taken + left in ([b"1"], [b"1", b"2"])
            await client.delete("/x", recursive=True)

    assert await at_each_checkpoint(scenario) > 8


async def test_a_task_is_done_or_comes_back(ensemble, virtual_clock):
    async def scenario(cancellable: Cancellable) -> None:
        async with ensemble.client() as client:
            tasks, done = TaskQueue(client, "/x/tasks"), []
            await tasks.put(b"1")
            with cancellable:
                async with tasks.take() as task:
                    await client.exists("/")
                    await task.acknowledge()
                    done.append(task.value)
            assert await client.ephemerals() == []
            while await tasks.count():
                async with tasks.take() as task:
                    done.append(task.value)
            assert done in ([b"1"], []), "an acknowledgement that was cancelled may have been made"
            assert done or cancellable.fired
            await client.delete("/x", recursive=True)

    assert await at_each_checkpoint(scenario) > 6


async def test_an_add_is_counted_once_or_not_at_all(ensemble, virtual_clock):
    async def scenario(cancellable: Cancellable) -> None:
        async with ensemble.client() as client:
            counter, entries, sums = Counter(client, "/x/counter"), KeyValueMap(client, "/x/map"), []
            with cancellable:
                sums.append(await counter.add(1))
                sums.append(await counter.add(1))
                await entries.update("x", lambda value: (value or b"") + b"x")
            assert await counter.get() in (len(sums), len(sums) + 1)
            assert await counter.add(1) in (len(sums) + 1, len(sums) + 2)
            assert await entries.get("x") in (None, b"x")
            await client.delete("/x", recursive=True)

    assert await at_each_checkpoint(scenario) > 4


@pytest.mark.parametrize("work", [False, True])
async def test_who_waits_for_an_item_gets_it_or_leaves_it_and_leaves_the_line(work, ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other:

        async def scenario(cancellable: Cancellable) -> None:
            got: list[bytes] = []
            kept = Queue(client, "/x")

            async def put_later() -> None:
                await trio.sleep(0.05)
                await (TaskQueue(other, "/x") if work else Queue(other, "/x")).put(b"item")

            async def take() -> None:
                if work:
                    async with TaskQueue(client, "/x").take() as task:
                        await task.acknowledge()
                        got.append(task.value)
                else:
                    got.append(await kept.get())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(put_later)
                with cancellable:
                    await take()
            assert await client.ephemerals() == []
            left = await (TaskQueue(client, "/x") if work else kept).count()
            assert len(got) + left == 1 or (work and cancellable.fired)
            if left:
                await take()
                assert got == [b"item"]

        assert await at_each_checkpoint(scenario) > 8
