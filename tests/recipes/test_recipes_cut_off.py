"""On Trio and on asyncio, in real time: who is cut off from the servers ends before the next one begins."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import anyio

import coord
import recipes.shielded
from recipes import DoubleBarrier, Group, Held, Lock, LockLost, Partitioner, PeriodicJob, ReadWriteLock, TaskQueue
from tests.client.both import on_both
from tests.recipes.contention import EXCLUSIVE, Inside, Violation, alone, ends_with
from tests.recipes.relay import Relay, relayed

TIMEOUT_S = 1.0
"""Of the session of the one that is cut off."""

Make = Callable[[coord.Client], AbstractAsyncContextManager[Held]]


def served(run: Callable[[coord.Client, Callable], object]) -> Make:
    """What calls a function, as a block."""

    @asynccontextmanager
    async def block(client: coord.Client) -> AsyncIterator[Held]:
        got: list[Held] = []
        ready, over = anyio.Event(), anyio.Event()
        lost: list[Exception] = []

        async def use(held: Held) -> None:
            got.append(held)
            ready.set()
            await over.wait()

        async def go(scope: anyio.CancelScope) -> None:
            try:
                await run(client, use)
            except (LockLost, coord.SessionLostError) as error:
                lost.append(error)
                scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go, tasks.cancel_scope)
            await ready.wait()
            yield got[0]
            tasks.cancel_scope.cancel()
        if lost:
            raise lost[0]

    return block


MAKE: dict[str, Make] = {
    **EXCLUSIVE,
    "task queue": lambda client: TaskQueue(client, "/x").take(),
    "group": lambda client: Group(client, "/x").join(name="one", wait=True),
    "partitioner": served(lambda client, use: Partitioner(client, "/x", "a", name=f"{client.session.id}").run(use)),
    "periodic job": served(lambda client, use: PeriodicJob(client, "/x", every=0.1).run(use)),
}


async def one_is_cut_off(server: str, name: str) -> None:
    """It goes on with its body until it is told; meanwhile another one waits, and gets in."""
    make, inside = MAKE[name], Inside(alone)
    namespace = "/" + name.replace(" ", "-")
    async with (
        relayed(server) as relay,
        coord.connect(server, namespace=namespace, session_timeout=10) as second,
        anyio.create_task_group() as tasks,
    ):
        await second.create("/", parents=True)
        if name == "task queue":
            await TaskQueue(second, "/x").put(b"work")
        entered = anyio.Event()

        async def hold(relay: Relay) -> None:
            while not entered.is_set():  # again, should a busy machine have let its short session end before it is in
                with ends_with(LockLost, coord.SessionLostError):
                    async with (
                        coord.connect(relay.address, namespace=namespace, session_timeout=TIMEOUT_S) as first,
                        make(first) as held,
                        inside.body("first", held),
                    ):
                        entered.set()
                        await anyio.sleep(60)

        tasks.start_soon(hold, relay)
        await entered.wait()
        await anyio.sleep(0.1)
        relay.cut()
        while "second" not in inside.entered:
            with suppress(LockLost):  # a lease ends by itself, on a busy machine before it is in
                async with make(second) as held, inside.body("second", held):
                    await anyio.sleep(0.2)
        relay.heal()
    assert inside.entered == ["first", "second"]


SETTINGS = {"session_timeout_min_ms": 500}


@on_both
async def test_who_is_cut_off_ends_before_the_next_begins():
    async with coord.embedded(settings=SETTINGS) as client, anyio.create_task_group() as tasks:
        for name in MAKE:
            tasks.start_soon(one_is_cut_off, client.server.address, name)


@on_both
async def test_a_mutant_that_ignores_the_deadline_is_found(monkeypatch):
    async def never(held: Held) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(Held, "wait_lost", never)
    found: list[str] = []

    async def look(server: str, name: str) -> None:
        try:
            await one_is_cut_off(server, name)
        except* Violation:
            found.append(name)

    async with coord.embedded(settings=SETTINGS) as client, anyio.create_task_group() as tasks:
        for name in MAKE:
            tasks.start_soon(look, client.server.address, name)
    assert sorted(found) == sorted(set(MAKE) - {"partitioner"}), "a partitioner's copy of the tree tells it the same"


LEAVE = {
    **MAKE,
    "lock with a delay": lambda client: Lock(client, "/x", delay=5),
    "read": lambda client: ReadWriteLock(client, "/x").read(),
    "double barrier": lambda client: DoubleBarrier(client, "/x", 1),
}


async def one_leaves_without_a_connection(server: str, name: str) -> None:
    """Its task is cancelled by asyncio's own means, and again while it cleans up and no server can be reached."""
    namespace = "/" + name.replace(" ", "-")
    async with relayed(server) as relay, coord.connect(relay.address, namespace=namespace) as client:
        await client.create("/", parents=True)
        await TaskQueue(client, "/x").put(b"work")
        entered = asyncio.Event()

        async def hold() -> None:
            async with LEAVE[name](client):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        await entered.wait()
        relay.break_off()
        await client.session.wait_state("SUSPENDED")
        for _ in range(10):
            task.cancel()
            await asyncio.sleep(0.02)
        relay.heal()
        with suppress(asyncio.CancelledError, LockLost):
            await task
        left = await client.ephemerals()
        for lasting in ("/x/holder", "/x/ready", "/x/delay"):
            left += [lasting] if await client.exists(lasting) else []
        if left:
            raise Violation(f"after {name} {left} are left")


async def leave_all() -> dict[str, Exception]:
    found: dict[str, Exception] = {}

    async def look(server: str, name: str) -> None:
        try:
            await one_leaves_without_a_connection(server, name)
        except* Violation as error:
            found[name] = error

    async with coord.embedded() as client, anyio.create_task_group() as tasks:
        for name in LEAVE:
            tasks.start_soon(look, client.server.address, name)
    return found


def test_cancelled_by_asyncio_again_and_again_while_it_leaves_it_leaves_nothing():
    assert asyncio.run(leave_all()) == {}


class AnyLibrary:
    """`sniffio` for `recipes.shielded`: on asyncio too AnyIO's shield is all that there is."""

    @staticmethod
    def current_async_library() -> str:
        return "some other"


def test_a_mutant_that_trusts_the_shield_of_anyio_is_found(monkeypatch):
    monkeypatch.setattr(recipes.shielded, "sniffio", AnyLibrary)
    found = sorted(asyncio.run(leave_all()))
    assert found == sorted(set(LEAVE) - {"partitioner", "periodic job"})  # these run in a task that nobody else knows
