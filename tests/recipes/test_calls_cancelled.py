"""Every public call of every recipe is cancelled at each of its checkpoints, on Trio and by asyncio's own means.

Nothing is left of it that others would see, no watch stays armed, and the recipe works for whoever comes next. The
blocks of coord's layout, and what queues lose or do twice, are in test_recipes_cancelled.py,
test_data_and_work_cancelled.py and test_recipes_asyncio_cancelled.py; here is the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
import trio

import coord
import recipes.shielded
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import (
    Barrier,
    ConfigWatch,
    Counter,
    DoubleBarrier,
    Election,
    Group,
    KeyValueMap,
    Lease,
    Lock,
    Owned,
    Partitioner,
    PeriodicJob,
    Queue,
    ReadWriteLock,
    Run,
    Semaphore,
    ServiceRegistry,
    TaskQueue,
    Term,
    TreeCache,
)
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import ends_with
from tests.recipes.test_recipes_asyncio_cancelled import CancelledAt
from tests.recipes.test_recipes_mutants import Unshielded

pytestmark = pytest.mark.long(30)

SHORT_S = 0.008
"""For so long another one holds what is waited for."""

Act = Callable[[coord.Client], Awaitable[Any]]
Around = Callable[[coord.Client], AbstractAsyncContextManager[None]]


async def inside(block: AbstractAsyncContextManager[Any]) -> None:
    async with block:
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def nothing(other: coord.Client) -> AsyncIterator[None]:
    yield


def held(make: Callable[[coord.Client], AbstractAsyncContextManager[Any]]) -> Around:
    """Another one holds it for a while."""

    @asynccontextmanager
    async def around(other: coord.Client) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            entered = anyio.Event()

            async def hold() -> None:
                async with make(other):
                    entered.set()
                    await anyio.sleep(SHORT_S)

            tasks.start_soon(hold)
            await entered.wait()
            yield

    return around


def soon(act: Act, before: Act | None = None) -> Around:
    """Another one does something after a while; and something before."""

    @asynccontextmanager
    async def around(other: coord.Client) -> AsyncIterator[None]:
        if before is not None:
            await before(other)
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await anyio.sleep(SHORT_S)
                await act(other)

            tasks.start_soon(later)
            yield

    return around


def first(act: Act) -> Around:
    @asynccontextmanager
    async def around(other: coord.Client) -> AsyncIterator[None]:
        await act(other)
        yield

    return around


@asynccontextmanager
async def a_member(other: coord.Client) -> AsyncIterator[None]:
    async with Group(other, "/x").join():
        yield


@asynccontextmanager
async def a_leader(other: coord.Client) -> AsyncIterator[None]:
    over = anyio.Event()

    async def serve(term: Term) -> None:
        await over.wait()

    async with anyio.create_task_group() as tasks:

        async def lead() -> None:
            await anyio.sleep(SHORT_S)
            await Election(other, "/x").run(serve)

        tasks.start_soon(lead)
        yield
        over.set()


# ---- what is done


async def downgrade(client: coord.Client) -> None:
    async with ReadWriteLock(client, "/x").write() as lock:
        await lock.downgrade()


async def renew(client: coord.Client) -> None:
    async with Lease(client, "/x", 30) as lease:
        await lease.renew()
        await Lease(client, "/x", 30).holder()


async def hand_over(client: coord.Client) -> None:
    async with anyio.create_task_group() as tasks:

        async def stand() -> None:
            async for term in Election(client, "/x", name="next"):
                async with term:
                    return

        async for term in Election(client, "/x"):
            async with term:
                tasks.start_soon(stand)
                while not await Election(client, "/x").candidates():  # noqa: ASYNC110  only the servers tell
                    await anyio.sleep(0.001)
                await term.hand_over("next")
            return


async def follow_the_leader(client: coord.Client) -> None:
    await Election(client, "/x").leader
    async for leader in Election(client, "/x").leader:
        if leader is not None:
            return


async def elect(client: coord.Client, layout: str = "coord") -> None:
    async def serve(term: Term) -> None:
        await anyio.lowlevel.checkpoint()

    await Election(client, "/x", layout=layout).run(serve)


async def count(client: coord.Client) -> None:
    counter = Counter(client, "/x")
    await counter.set(5)
    assert 5 in await counter.allocate(3)
    await counter.get(linearizable=True)


async def use_a_map(client: coord.Client) -> None:
    entries = KeyValueMap(client, "/x")
    await entries.put("a", b"1")
    await entries.compare_and_set("a", b"1", b"2")
    assert [each async for each in entries.items()] == [("a", b"2")]
    await entries.clear()


async def put_back(client: coord.Client) -> None:
    tasks = TaskQueue(client, "/x")
    await tasks.put(b"1")
    async with tasks.take() as task:
        await task.put_back()


async def acknowledge_with(client: coord.Client) -> None:
    tasks = TaskQueue(client, "/x")
    await tasks.put(b"1")
    async with tasks.take() as task, client.transaction() as txn:
        task.acknowledge_with(txn)


async def set_aside_one(other: coord.Client) -> None:
    tasks = TaskQueue(other, "/x", tries=1, limit=1)
    await tasks.put(b"1")
    with suppress(ZeroDivisionError):
        async with tasks.take():
            raise ZeroDivisionError
    with suppress(TimeoutError):
        with anyio.fail_after(SHORT_S):
            async with tasks.take():
                raise AssertionError("it is set aside")
    await tasks.put(b"2")


async def retry(client: coord.Client) -> None:
    tasks = TaskQueue(client, "/x", limit=1)
    for name in await tasks.failed():
        await tasks.retry(name)


async def finish_a_run(client: coord.Client) -> None:
    class Done(Exception):
        pass

    async def work(run: Run) -> None:
        async with client.transaction() as txn:
            run.finish_with(txn)
        scope.cancel()

    with anyio.CancelScope() as scope:
        await PeriodicJob(client, "/x", every=0.01).run(work)


async def own(client: coord.Client) -> None:
    async def serve(owned: Owned) -> None:
        await anyio.lowlevel.checkpoint()
        scope.cancel()

    with anyio.CancelScope() as scope:
        await Partitioner(client, "/x", "ab").run(serve)


async def resolve(client: coord.Client) -> None:
    registry = ServiceRegistry(client, "/x")
    async with registry.resolve("db") as resolver, registry.register("db", "h:1") as one:
        await resolver.wait()
        await one.update(health="draining")
        while await anext(resolver):
            pass
        await resolver.sync()


async def watch_members(client: coord.Client) -> None:
    async with Group(client, "/x").watch() as view:
        while not await anext(view):
            pass
        await view.sync()


async def keep_a_copy(client: coord.Client) -> None:
    async with TreeCache(client, "/x") as cache:
        while "/x/new" not in cache:
            await cache.wait_change()


async def follow_a_value(client: coord.Client) -> None:
    async with ConfigWatch(client, "/x/value", bytes.decode) as config:
        await config.wait_checked(config.zxid)
        assert await anext(config) == "1"


CALLS: dict[str, tuple[Act, Around]] = {
    "an attempt": (lambda client: inside(Lock(client, "/x").attempt()), nothing),
    "an attempt in vain": (lambda client: inside(Lock(client, "/x").attempt()), held(lambda other: Lock(other, "/x"))),
    "an attempt at a closed lock": (
        lambda client: inside(Lock(client, "/x").attempt()),
        first(lambda other: other.create("/x/delay", b"5", parents=True)),
    ),
    "a lock after a delay": (
        lambda client: inside(Lock(client, "/x")),
        first(lambda other: other.create("/x/delay", b"0.01", parents=True)),
    ),
    "a lock that is left without waiting": (
        lambda client: inside(Lock(client, "/x", confirm=False)),
        held(lambda other: Lock(other, "/x")),
    ),
    "a semaphore that is left without waiting": (
        lambda client: inside(Semaphore(client, "/x", confirm=False)),
        held(lambda other: Semaphore(other, "/x")),
    ),
    "changing a capacity": (
        lambda client: Semaphore(client, "/x").set_capacity(3),
        held(lambda other: Semaphore(other, "/x", 2)),
    ),
    "contenders": (lambda client: Lock(client, "/x").contenders(), held(lambda other: Lock(other, "/x"))),
    "reading": (
        lambda client: inside(ReadWriteLock(client, "/x").read()),
        held(lambda other: ReadWriteLock(other, "/x").write()),
    ),
    "downgrading": (downgrade, nothing),
    "renewing": (renew, held(lambda other: Lease(other, "/x", 30))),
    "handing over": (hand_over, nothing),
    "following the leader": (follow_the_leader, a_leader),
    "closing and opening a barrier": (lambda client: close_and_open(client), nothing),
    "waiting at a barrier": (
        lambda client: Barrier(client, "/x").wait(),
        soon(lambda other: Barrier(other, "/x").open(), lambda other: Barrier(other, "/x").close()),
    ),
    "a lock in kazoo's layout": (
        lambda client: inside(Lock(client, "/x", layout="kazoo")),
        held(lambda other: Lock(other, "/x", layout="kazoo")),
    ),
    "a semaphore in kazoo's layout": (
        lambda client: inside(Semaphore(client, "/x", layout="kazoo")),
        held(lambda other: Semaphore(other, "/x", layout="kazoo")),
    ),
    "an election in kazoo's layout": (lambda client: elect(client, "kazoo"), nothing),
    "a double barrier in kazoo's layout": (
        lambda client: inside(DoubleBarrier(client, "/x", 1, layout="kazoo")),
        nothing,
    ),
    "joining in kazoo's layout": (lambda client: inside(Group(client, "/x", layout="kazoo").join()), nothing),
    "joining after an earlier life": (
        lambda client: inside(Group(client, "/x").join(name="one", wait=True)),
        held(lambda other: Group(other, "/x").join(name="one")),
    ),
    "counting": (count, nothing),
    "a map": (use_a_map, nothing),
    "putting": (
        lambda client: Queue(client, "/x", limit=1).put(b"2"),
        soon(lambda other: Queue(other, "/x").get(), lambda other: Queue(other, "/x", limit=1).put(b"1")),
    ),
    "peeking": (lambda client: Queue(client, "/x").peek(), first(lambda other: Queue(other, "/x").put(b"1"))),
    "putting back": (put_back, nothing),
    "acknowledging with a transaction": (acknowledge_with, nothing),
    "trying again": (retry, soon(lambda other: Queue(other, "/x/items").get(), set_aside_one)),
    "a run": (finish_a_run, nothing),
    "owning": (own, nothing),
    "resolving": (resolve, nothing),
    "watching members": (watch_members, a_member),
    "a copy": (keep_a_copy, soon(lambda other: other.create("/x/new", parents=True))),
    "a value": (follow_a_value, soon(lambda other: other.create("/x/value", b"1", parents=True))),
}


async def close_and_open(client: coord.Client) -> None:
    await Barrier(client, "/x").close()
    await Barrier(client, "/x").is_closed()
    await Barrier(client, "/x").open()


async def check_nothing_is_left(client: coord.Client, other: coord.Client) -> None:
    await client.sync()
    assert await client.ephemerals() == []
    assert client._runtime.session._watches == {}, "a watch stays armed"
    assert not await client.exists("/x/holder"), "a lease is no ephemeral"
    for path in ("/x", "/x-waiting", "/x-__lock__"):
        with suppress(coord.NoNodeError):
            await other.delete(path, recursive=True)
    await client.sync()


async def cancel_everywhere(ensemble, name: str) -> int:
    act, around = CALLS[name]
    async with ensemble.client() as client, ensemble.client() as other:

        async def scenario(cancellable: Cancellable) -> None:
            with trio.fail_after(60):
                async with around(other):
                    with cancellable:
                        await act(client)
                await check_nothing_is_left(client, other)

        return await at_each_checkpoint(scenario)


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_any_checkpoint_nothing_is_left_of_it(name, ensemble, virtual_clock):
    assert await cancel_everywhere(ensemble, name) > 1


@pytest.mark.parametrize("name", ["reading", "a lock in kazoo's layout", "renewing", "a run", "resolving"])
async def test_what_can_be_cancelled_while_it_leaves_is_found(name, ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(recipes.shielded, "anyio", Unshielded)
    with ends_with(AssertionError, trio.TooSlowError, coord.CoordError):
        await cancel_everywhere(ensemble, name)


@pytest.mark.parametrize("name", ["following the leader", "a copy", "waiting at a barrier"])
async def test_what_leaves_a_watch_armed_is_found(name, ensemble, virtual_clock, monkeypatch):
    async def stay(watch: coord.Watch, *error: object) -> None:
        pass

    monkeypatch.setattr(coord.Watch, "__aexit__", stay)
    with ends_with(AssertionError):
        await cancel_everywhere(ensemble, name)


@pytest.mark.parametrize("name", CALLS)
def test_cancelled_by_asyncio_at_any_await_nothing_is_left_of_it(name):
    act, around = CALLS[name]

    async def main() -> None:
        async with coord.embedded() as other, coord.connect(other.server.address) as client:
            for at in range(1, 300):
                run = CancelledAt(_do(act, client), at)
                async with around(other):
                    task = asyncio.create_task(_awaiting(run))
                    _, goes_on = await asyncio.wait([task], timeout=10)
                    assert not goes_on, f"cancelled at await {at}, which was reached: {run.fired}, it goes on"
                    with suppress(asyncio.CancelledError):
                        task.result()
                await check_nothing_is_left(client, other)
                if not run.fired:
                    return
            raise AssertionError("there are still awaits after 300 runs")

    asyncio.run(main())


async def _do(act: Act, client: coord.Client) -> None:
    await act(client)


async def _awaiting(run: CancelledAt) -> Any:
    return await run
