"""Tasks: what was put is done, never by two at a time, and never again after an acknowledgement."""

import random
from contextlib import nullcontext

import anyio
import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import LockLost, MisuseError
from recipes import task_queue as task_queue_module
from recipes.items import QueueFull
from recipes.task_queue import Task, TaskQueue
from tests.client.both import on_both
from tests.recipes.contention import ends_with
from tests.recipes.faults import disturb, seeds

CAREFUL = dict(session_timeout=4)


class Works:
    """What workers do, in simulated true time."""

    def __init__(self) -> None:
        self.at_it: dict[str, int] = {}
        self.acknowledged: set[str] = set()
        self.begun = 0

    async def do(self, task: Task, me: int, seconds: float) -> None:
        name = task.name
        assert name not in self.acknowledged, f"{name} was given out after its acknowledgement"
        assert name not in self.at_it, f"{name} is done by {self.at_it[name]} and {me} at the same time"
        self.at_it[name] = me
        self.begun += 1
        try:
            await trio.sleep(seconds)
        finally:
            del self.at_it[name]


async def worker(
    ensemble: coord.testing.Ensemble, rng: random.Random, me: int, works: Works, clients: list[coord.Client]
) -> None:
    """One life after another: it is cancelled, fails, or is cut off until its session has ended."""
    while True:
        async with ensemble.client(**CAREFUL) as client:
            clients.append(client)
            host = ensemble.host_of(client)
            tasks = TaskQueue(client, "/tasks", tries=1000)
            try:
                while True:
                    with trio.move_on_after(rng.choice([0.3, 60])):
                        async with tasks.take() as task:
                            if rng.random() < 0.1:
                                ensemble.isolate(client)
                                await works.do(task, me, 15)
                            await works.do(task, me, rng.uniform(0, 0.5))
                            if rng.random() < 0.2:
                                raise ZeroDivisionError
                            await task.acknowledge()
                            works.acknowledged.add(task.name)
            except (LockLost, coord.SessionLostError, ZeroDivisionError):
                pass
            finally:
                clients.remove(client)
            ensemble.network.rejoin(host)


async def run_seed(seed: int) -> None:
    rng, works, clients = random.Random(seed), Works(), []
    names = []
    async with coord.testing.ensemble(seed=seed) as ensemble, ensemble.client(session_timeout=60) as client:
        tasks = TaskQueue(client, "/tasks", tries=1000)
        async with trio.open_nursery() as workers:
            for me in range(4):
                workers.start_soon(worker, ensemble, random.Random(rng.random()), me, works, clients)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(disturb, ensemble, rng, 3, clients)
                for number in range(30):
                    names.append(await tasks.put(b"%d" % number))
                    await trio.sleep(rng.uniform(0, 0.2))
            with trio.fail_after(300):
                while await tasks.count():
                    await ensemble.advance(0.1)
            workers.cancel_scope.cancel()
        assert works.acknowledged <= set(names)
        assert works.begun >= len(names), "an item was lost"
        await trio.sleep(10)
        await client.sync()
        assert await client.children("/tasks/taken") == []
        assert await tasks.failed() == {}


@pytest.mark.parametrize("seed", seeds("1-8"))
async def test_every_item_is_done_by_one_at_a_time_and_never_after_its_acknowledgement(seed, virtual_clock):
    await run_seed(seed)


async def run_cut_off() -> None:
    """A worker is cut off for longer than its session lives, and somebody else waits for the item."""
    works = Works()
    async with (
        coord.testing.ensemble() as ensemble,
        ensemble.client(**CAREFUL) as one,
        ensemble.client() as two,
        trio.open_nursery() as nursery,
    ):

        async def work(client: coord.Client, me: int) -> None:
            with ends_with(LockLost) if client is one else nullcontext():
                async with TaskQueue(client, "/tasks", tries=1000).take() as task:
                    if client is one:
                        ensemble.isolate(client)
                    await works.do(task, me, 15)

        await TaskQueue(two, "/tasks").put(b"work")
        nursery.start_soon(work, one, 1)
        await trio.sleep(1)
        await work(two, 2)
        assert works.begun == 2
        ensemble.heal()


async def test_who_is_cut_off_ends_before_another_has_its_item(virtual_clock):
    await run_cut_off()


async def never_lost(task: Task) -> str:
    """Does not see that its session has ended."""
    await anyio.sleep_forever()
    raise AssertionError


async def keeps(client: coord.Client, path: str, token: int) -> None:
    """Does not give back."""


@pytest.mark.parametrize("mutant", [(Task, "wait_lost", never_lost), (task_queue_module, "release", keeps)])
async def test_a_careless_worker_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        await run_cut_off()
        for seed in range(1, 8):
            await run_seed(seed)

    monkeypatch.setattr(*mutant)
    with pytest.raises((AssertionError, ExceptionGroup, trio.TooSlowError)):
        await run_seeds()


def acknowledge_unchecked(task: Task, txn: coord.Transaction) -> None:
    """Whoever has it by now."""
    txn.delete(task.item)


async def test_a_worker_that_acknowledges_what_it_has_no_more_is_found(virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 30):
            await run_seed(seed)

    monkeypatch.setattr(Task, "_add_steps", acknowledge_unchecked)
    monkeypatch.setattr(Task, "wait_lost", never_lost)
    with pytest.raises((AssertionError, ExceptionGroup, trio.TooSlowError)):
        await run_seeds()


async def set_nothing_aside(queue: TaskQueue, name: str, value: bytes, stat: coord.Stat) -> None:
    await queue.client.exists(queue.path)


async def test_an_item_that_is_tried_too_often_and_not_set_aside_is_found(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(TaskQueue, "_set_aside", set_nothing_aside)
    async with ensemble.client() as client:
        tasks = TaskQueue(client, "/tasks", tries=1)
        await set_aside(tasks, b"poison")
        assert await tasks.failed() == {}


async def test_an_item_of_a_worker_that_dies_comes_back_and_its_late_writes_are_refused(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as first, ensemble.client() as second:
        await TaskQueue(second, "/tasks").put(b"work")
        await second.create("/result", b"none")
        late: list[coord.Transaction] = []

        async def die() -> None:
            async with TaskQueue(first, "/tasks").take() as task:
                late.append(second.transaction(guard=task))
                ensemble.isolate(first)
                await trio.sleep(60)

        with pytest.raises(LockLost, match="cannot be proved"):
            await die()
        async with TaskQueue(second, "/tasks").take() as task:
            assert (task.value, task.tries) == (b"work", 2)
            late[0].set("/result", b"late")
            with pytest.raises(coord.CoordError):
                await late[0].commit()
        assert await TaskQueue(second, "/tasks").count() == 0
        assert (await second.get("/result"))[0] == b"none"
        ensemble.heal()


@on_both
async def test_an_item_that_fails_too_often_is_set_aside_and_can_be_tried_again():
    async def fail(tasks: TaskQueue) -> None:
        async with tasks.take() as task:
            raise ZeroDivisionError(task.tries)

    async with coord.embedded() as client:
        tasks = TaskQueue(client, "/tasks", tries=2)
        name = await tasks.put(b"poison")
        await tasks.put(b"good", priority=3)
        for tries in (1, 2):
            with pytest.raises(ZeroDivisionError, match=str(tries)):
                await fail(tasks)
        async with tasks.take() as task:
            assert task.value == b"good"
        assert await tasks.failed() == {name: b"poison"}
        assert await tasks.count() == 0
        await tasks.retry(name)
        async with tasks.take() as task:
            assert (task.value, task.tries) == (b"poison", 1)
        assert await tasks.failed() == {}
        with pytest.raises(MisuseError, match="which items were set aside"):
            await tasks.retry(name)


@on_both
async def test_an_acknowledgement_is_part_of_a_transaction():
    async with coord.embedded() as client:
        tasks = TaskQueue(client, "/tasks")
        await tasks.put(b"work")
        async with tasks.take() as task, client.transaction() as txn:
            txn.create("/result", b"done")
            task.acknowledge_with(txn)
        assert (await client.get("/result"))[0] == b"done"
        assert await tasks.count() == 0
        await tasks.put(b"more")
        async with tasks.take() as task:
            txn = client.transaction()
            txn.create("/result", b"again")
            task.acknowledge_with(txn)
            with pytest.raises(coord.NodeExistsError):
                await txn.commit()
            await task.put_back()
        async with tasks.take() as task:
            assert task.value == b"more"
            await task.acknowledge()
            with pytest.raises(MisuseError, match="settled once"):
                await task.put_back()
        assert await client.children("/tasks/taken") == await client.children("/tasks/items") == []


@on_both
async def test_a_task_that_was_taken_away_is_not_acknowledged():
    async def lose(tasks: TaskQueue) -> None:
        async with tasks.take() as task:
            await tasks.client.delete(task.path)
            await task.acknowledge()

    async with coord.embedded() as client:
        tasks = TaskQueue(client, "/tasks", limit=1)
        await tasks.put(b"work")
        with pytest.raises(LockLost, match="was lost before it was acknowledged"):
            await lose(tasks)
        assert await tasks.count() == 1
        with pytest.raises(QueueFull):
            await tasks.put_nowait(b"more")
        with pytest.raises(ValueError, match="tried once or more"):
            TaskQueue(client, "/tasks", tries=0)


async def test_an_item_is_set_aside_beside_an_earlier_one_of_its_name(ensemble, virtual_clock):
    """The items were deleted by hand, so their numbers began anew; what had failed before is still there."""
    async with ensemble.client() as client:
        tasks = TaskQueue(client, "/tasks", tries=1)
        for value in (b"earlier", b"later"):
            await tasks.put(value)
            with pytest.raises(ValueError, match="poison"):
                async with tasks.take():
                    raise ValueError("poison")
            with trio.move_on_after(1):
                async with tasks.take():
                    raise AssertionError("a poisoned item was given again")
            await client.delete("/tasks/items", recursive=True)
        failed = await tasks.failed()
        assert sorted(failed.values()) == [b"earlier", b"later"]
        for name in failed:
            await tasks.retry(name)
        assert await tasks.count() == 2


async def test_a_take_that_timed_out_gives_back_what_it_made_itself_alone(ensemble, virtual_clock):
    async with ensemble.client() as client:
        tasks = TaskQueue(client, "/tasks")
        await tasks.put(b"item")
        before = client.session.seen_zxid
        async with tasks.take() as task:
            await tasks._give_back(task.path, client.session.seen_zxid)
            assert await client.exists(task.path) is not None
        await tasks.put(b"item")
        with ends_with(LockLost):
            async with tasks.take() as task:
                await tasks._give_back(task.path, before)
                await trio.sleep(5)


async def set_aside(tasks: TaskQueue, value: bytes) -> str:
    name = await tasks.put(value)
    with pytest.raises(ZeroDivisionError):
        async with tasks.take():
            raise ZeroDivisionError
    with trio.move_on_after(1):
        async with tasks.take():
            raise AssertionError("it is tried once")
    return name


async def test_an_item_that_is_tried_again_waits_for_room(ensemble, virtual_clock):
    async with ensemble.client() as client, trio.open_nursery() as nursery:
        tasks = TaskQueue(client, "/tasks", tries=1, limit=1)
        name = await set_aside(tasks, b"poison")
        await tasks.put(b"good")
        nursery.start_soon(tasks.retry, name)
        await trio.sleep(1)
        assert (await tasks.failed(), await tasks.count()) == ({name: b"poison"}, 1)
        async with tasks.take() as task:
            assert task.value == b"good"
        await ensemble.wait(lambda: not nursery.child_tasks)
        assert (await tasks.failed(), await tasks.count()) == ({}, 1)


async def test_an_item_is_tried_again_once_though_two_ask_for_it(ensemble, virtual_clock, monkeypatch):
    async with ensemble.client() as one, ensemble.client() as two:
        name = await set_aside(TaskQueue(one, "/tasks", tries=1), b"poison")
        told: list[str] = []

        async def retry(client: coord.Client) -> None:
            try:
                await TaskQueue(client, "/tasks").retry(name)
            except MisuseError as error:
                told.append(str(error))

        await two.sync()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(retry, one)
            nursery.start_soon(retry, two)
        assert len(told) == 1
        assert "which items were set aside" in told[0]
        assert await TaskQueue(one, "/tasks").count() == 1


async def test_an_item_whose_name_is_another_ones_by_now_is_tried_again_under_a_new_one(ensemble, virtual_clock):
    async with ensemble.client() as client:
        tasks = TaskQueue(client, "/tasks", tries=1)
        name = await set_aside(tasks, b"earlier")
        await client.delete("/tasks/items", recursive=True)
        assert await tasks.put(b"later") == name
        await tasks.retry(name)
        assert await tasks.failed() == {}
        values = []
        for _ in range(2):
            async with tasks.take() as task:
                values.append(task.value)
        assert sorted(values) == [b"earlier", b"later"]
