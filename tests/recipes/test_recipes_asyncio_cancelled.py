"""On asyncio a task may be cancelled by asyncio's own `task.cancel()`, which no shield of AnyIO keeps out.

Each recipe is cancelled so at each await in turn: nothing is left, or lost, while the session lives.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

import coord
import recipes.shielded
from recipes import (
    DoubleBarrier,
    Election,
    Group,
    Lease,
    Lock,
    Owned,
    Partitioner,
    PeriodicJob,
    Queue,
    ReadWriteLock,
    Run,
    Semaphore,
    TaskQueue,
)
from recipes.place import Place


class CancelledAt:
    """Awaits something, and cancels its own task when that waits for the n-th time, and the next `again` times."""

    def __init__(self, awaited: Awaitable[Any], at: int, again: int = 0) -> None:
        self.fired = False
        self._awaited = awaited
        self._at = range(at, at + again + 1)

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaited.__await__()
        step, argument, seen = inner.send, None, 0
        while True:
            try:
                waits_for = step(argument)
            except StopIteration as stop:
                return stop.value
            seen += 1
            if seen in self._at:
                self.fired = True
                task = asyncio.current_task()
                assert task is not None
                loop = asyncio.get_running_loop()
                loop.call_soon(loop.call_soon, task.cancel)  # what it asks for has been sent by then
            try:
                argument = yield waits_for
                step = inner.send
            except BaseException as error:
                step, argument = inner.throw, error


async def inside(block: Any) -> None:
    async with block:
        await asyncio.sleep(0)


async def elected(client: coord.Client) -> None:
    async for term in Election(client, "/x"):
        async with term:
            await asyncio.sleep(0)
            return


async def owner(client: coord.Client) -> None:
    async def serve(owned: Owned) -> None:
        await client.exists("/")
        raise Ended

    with suppress(Ended):
        await Partitioner(client, "/x", "ab").run(serve)


async def runner(client: coord.Client) -> None:
    async def work(run: Run) -> None:
        await client.exists("/")
        raise Ended

    if not await client.exists("/x/last"):
        await client.create("/x/last", b'{"number": 0}', parents=True)
    with suppress(Ended):
        await PeriodicJob(client, "/x", every=1).run(work)


class Ended(Exception):
    """Enough of it."""


USES: dict[str, Callable[[coord.Client], Awaitable[Any]]] = {
    "lock": lambda client: inside(Lock(client, "/x")),
    "lock with a delay": lambda client: inside(Lock(client, "/x", delay=5)),
    "attempt": lambda client: inside(Lock(client, "/x").attempt()),
    "write": lambda client: inside(ReadWriteLock(client, "/x").write()),
    "semaphore": lambda client: inside(Semaphore(client, "/x", 1)),
    "election": elected,
    "double barrier": lambda client: inside(DoubleBarrier(client, "/x", 1)),
    "lease": lambda client: inside(Lease(client, "/x", 30)),
    "group": lambda client: inside(Group(client, "/x").join(name="one")),
    "task queue": lambda client: inside(TaskQueue(client, "/x").take()),
    "partitioner": owner,
    "periodic job": runner,
}


@pytest.mark.parametrize("again", [0, 1, 4])
@pytest.mark.parametrize("name", USES)
def test_cancelled_by_asyncio_at_any_await_it_leaves_nothing(name, again):
    async def main() -> None:
        async with coord.embedded() as client:
            for at in range(1, 200):
                if name == "task queue":
                    await TaskQueue(client, "/x").put(b"work")
                run = CancelledAt(USES[name](client), at, again)
                with suppress(asyncio.CancelledError):
                    await asyncio.create_task(_awaiting(run))
                left = await client.ephemerals("/")
                for lasting in ("/x/holder", "/x/ready", "/x/delay"):  # what goes with no session
                    if await client.exists(lasting):
                        left.append(lasting)
                assert left == [], f"cancelled at await {at}"
                if not run.fired:
                    return
            raise AssertionError("there are still awaits after 200 runs")

    asyncio.run(main())


@pytest.mark.parametrize("again", [0, 1, 4])
def test_cancelled_by_asyncio_at_any_await_a_get_takes_no_item_or_returns_it(again):
    async def main() -> None:
        async with coord.embedded() as client:
            queue = Queue(client, "/x")
            for at in range(1, 200):
                await queue.put(b"item")
                run = CancelledAt(queue.get(), at, again)
                got = None
                with suppress(asyncio.CancelledError):
                    got = await asyncio.create_task(_awaiting(run))
                if got is None:
                    got = await queue.get_nowait()  # it is still there
                assert (got, await queue.count()) == (b"item", 0), f"cancelled at await {at}"
                if not run.fired:
                    return
            raise AssertionError("there are still awaits after 200 runs")

    asyncio.run(main())


@pytest.mark.parametrize("again", [0, 4])
def test_cancelled_by_asyncio_at_any_await_a_get_that_waits_takes_no_item_or_returns_it(again):
    async def main() -> None:
        async with coord.embedded() as client:
            queue, others = Queue(client, "/x"), Queue(client, "/x")
            for at in range(1, 300):
                run = CancelledAt(queue.get(), at, again)
                waiting = asyncio.create_task(_awaiting(run))
                await asyncio.sleep(0.003)
                await others.put(b"item")
                got = None
                with suppress(asyncio.CancelledError):
                    got = await waiting
                if got is None:
                    got = await others.get_nowait()  # it is still there
                assert (got, await queue.count(), await client.ephemerals()) == (b"item", 0, []), f"at await {at}"
                if not run.fired:
                    return
            raise AssertionError("there are still awaits after 300 runs")

    asyncio.run(main())


def test_a_worker_that_is_cancelled_while_it_leaves_the_line_does_not_work_on(monkeypatch):
    leave = Place.leave

    async def cancelled(place: Place, **options: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        await leave(place, **options)

    async def main() -> None:
        async with coord.embedded() as client:
            tasks, worked = TaskQueue(client, "/x"), []

            async def work() -> None:
                async with tasks.take() as task:
                    await asyncio.sleep(0)
                    worked.append(task.value)

            worker = asyncio.create_task(work())
            while not await client.ephemerals():  # noqa: ASYNC110  only the servers tell
                await asyncio.sleep(0.001)
            await tasks.put(b"work")
            with pytest.raises(asyncio.CancelledError):
                await worker
            assert (worked, await tasks.count(), await client.ephemerals()) == ([], 1, [])

    monkeypatch.setattr(Place, "leave", cancelled)
    asyncio.run(main())


def cancel_a_worker_everywhere(waits: bool) -> None:
    """It gets items in a loop; `waits`: there is none when it begins."""

    async def main() -> None:
        async with coord.embedded() as client:
            queue, others = Queue(client, "/x"), Queue(client, "/x")
            for at in range(1, 300):
                got: list[bytes] = []

                async def work(got: list[bytes] = got) -> None:
                    while True:
                        got.append(await queue.get())
                        await asyncio.sleep(0)

                if not waits:
                    await others.put(b"item")
                run = CancelledAt(work(), at)
                worker = asyncio.create_task(_awaiting(run))
                if waits:
                    await asyncio.sleep(0.003)
                    await others.put(b"item")
                _, goes_on = await asyncio.wait([worker], timeout=0.1)
                fired = run.fired
                if goes_on:
                    worker.cancel()
                    await asyncio.wait([worker])
                    assert not fired, f"cancelled at await {at} it goes on"
                assert len(got) + await queue.count() == 1, f"cancelled at await {at}"
                assert await client.ephemerals() == [], f"cancelled at await {at}"
                if not got:
                    await others.get_nowait()
                if not fired:
                    return
            raise AssertionError("there are still awaits after 300 runs")

    asyncio.run(main())


@pytest.mark.parametrize("waits", [False, True])
def test_a_worker_that_is_cancelled_at_any_await_of_a_get_works_on_no_longer_and_loses_nothing(waits):
    cancel_a_worker_everywhere(waits)


@pytest.mark.parametrize("waits", [False, True])
def test_a_mutant_that_swallows_a_cancellation_is_found(waits, monkeypatch):
    monkeypatch.setattr(recipes.shielded, "_cancel_again", lambda task, requests: None)
    with pytest.raises(AssertionError, match="it goes on"):
        cancel_a_worker_everywhere(waits)


@pytest.mark.parametrize("way", ["timeout", "wait_for"])
def test_a_get_that_ends_in_the_moment_of_its_timeout_gives_the_item_and_cancels_nothing_later(way, monkeypatch):
    """The item is taken while the time runs out: it is returned, and the timeout has no consequence."""

    async def main() -> None:
        async with coord.embedded() as client:
            queue = Queue(client, "/x")
            await queue.put(b"item")
            commit = coord.Transaction.commit

            async def slowly(txn: coord.Transaction) -> Any:
                done = await commit(txn)
                await asyncio.sleep(0.3)
                return done

            monkeypatch.setattr(coord.Transaction, "commit", slowly)
            if way == "timeout":
                async with asyncio.timeout(0.2):
                    got = await queue.get()
            else:
                got = await asyncio.wait_for(queue.get(), 0.2)
            monkeypatch.undo()
            await asyncio.sleep(0.01)
            assert (got, await queue.count()) == (b"item", 0)

    asyncio.run(main())


async def _awaiting(run: CancelledAt) -> Any:
    return await run
