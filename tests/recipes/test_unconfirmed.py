"""Locks that are left without waiting for the servers: who waits comes in as ever, and nothing stays behind."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio

import coord
from coord.client.calls import UnwaitedCall
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Election, Held, Lock, LockLost, ReadWriteLock, Semaphore
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import Contention, Inside, Leading, alone, ends_with, make_mischief, seeds

MAKE = {
    "lock": lambda client: Lock(client, "/x", confirm=False),
    "lock with a delay": lambda client: Lock(client, "/x", delay=30, confirm=False),
    "kazoo's layout": lambda client: Lock(client, "/x", confirm=False, layout="kazoo"),
    "read": lambda client: ReadWriteLock(client, "/x", confirm=False).read(),
    "write": lambda client: ReadWriteLock(client, "/x", confirm=False).write(),
    "semaphore": lambda client: Semaphore(client, "/x", 1, confirm=False),
    "semaphore in kazoo's layout": lambda client: Semaphore(client, "/x", 1, confirm=False, layout="kazoo"),
    "election": lambda client: Leading(client, confirm=False),
    "election in kazoo's layout": lambda client: Leading(client, confirm=False, layout="kazoo"),
}

STAYS = {"lock with a delay": 1}
"""Beside the znode of who holds it."""


async def places(client: coord.Client) -> list[str]:
    """Of all who hold or wait."""
    found = []
    for path in ("/x", "/x/holders", "/x/queue", "/x-__lock__"):
        if await client.exists(path):
            found += [name for name in await client.children(path) if name not in ("holders", "queue")]
    return found


@pytest.mark.parametrize("name", MAKE)
async def test_it_is_left_at_once_and_free_for_whom_this_client_asks_next(name, ensemble, virtual_clock):
    async with ensemble.client() as client:
        for server in ensemble.servers:
            ensemble.slow(client, server, (0.2, 0.2))
        async with MAKE[name](client):
            left = trio.current_time()
        assert trio.current_time() == left
        with trio.fail_after(5):
            async with MAKE[name](client):
                assert len(await places(client)) == 1 + STAYS.get(name, 0)
        await client.sync()
        assert await places(client) == []


async def test_who_waits_comes_in_and_a_late_write_is_refused(ensemble, virtual_clock):
    entered: list[str] = []
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:

        async def wait() -> None:
            async with Lock(two, "/x"):
                entered.append("two")

        async with Lock(one, "/x", confirm=False) as held:
            nursery.start_soon(wait)
            await trio.sleep(1)
            assert entered == []
        with trio.fail_after(0.5):
            await ensemble.wait(lambda: entered == ["two"])
        with pytest.raises(coord.NoNodeError):
            async with one.transaction(guard=held) as txn:
                txn.create("/late")


async def left_cut_off(ensemble, name: str, away_s: float, confirm_s: float = 1.0) -> float:
    """The connection breaks in the moment of leaving, and comes again; after how long the next one is in."""
    async with ensemble.client(session_timeout=10) as client, ensemble.client() as other:
        async with MAKE[name](client):
            await trio.sleep(0.2)
            server = client.server.id
            ensemble.isolate(client)
            begun = trio.current_time()
        assert trio.current_time() == begun, "nobody is held up who leaves"
        ensemble.crash(server)
        await trio.sleep(away_s)
        ensemble.heal()
        back = trio.current_time()
        with trio.fail_after(60):
            async with Lock(other, "/x") if name.startswith("lock") else MAKE[name](other):
                return trio.current_time() - back


@pytest.mark.parametrize("name", [name for name in MAKE if "kazoo" not in name])
async def test_the_release_is_done_on_the_next_connection(name, ensemble, virtual_clock):
    assert await left_cut_off(ensemble, name, 1) < 5


@pytest.mark.parametrize("name", ["lock", "write", "semaphore", "election"])
async def test_a_mutant_whose_release_is_lost_with_the_connection_is_found(name, ensemble, virtual_clock, monkeypatch):
    def unwanted(call: UnwaitedCall, *arguments: object) -> None:
        super(UnwaitedCall, call).__init__(*arguments)
        call.wanted = False

    monkeypatch.setattr(UnwaitedCall, "__init__", unwanted)
    with ends_with(trio.TooSlowError):
        await left_cut_off(ensemble, name, 1)


async def test_else_the_sessions_end_is_the_release(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client, ensemble.client() as other:
        lock = Lock(client, "/x", confirm=False)
        with ends_with(LockLost):
            async with lock:
                ensemble.isolate(client)
                await trio.sleep(20)
        async with Lock(other, "/x", timeout=10):
            pass
        await ensemble.wait(lambda: client.session.state == "LOST")
        with pytest.raises(coord.SessionLostError):
            async with lock:
                pass


async def lead(election: Election, act: Callable[[], Awaitable[None]]) -> None:
    await election.run(lambda term: act())


async def inside(block: AbstractAsyncContextManager[Held], act: Callable[[], Awaitable[None]]) -> None:
    async with block:
        await act()


USES = {
    "lock": ("/x", lambda client: Lock(client, "/x", confirm=False), inside),
    "write": (
        "/x",
        lambda client: ReadWriteLock(client, "/x", confirm=False),
        lambda lock, act: inside(lock.write(), act),
    ),
    "semaphore": ("/x/holders", lambda client: Semaphore(client, "/x", 1, confirm=False), inside),
    "election": ("/x", lambda client: Election(client, "/x", confirm=False), lead),
}


@pytest.mark.parametrize("name", USES)
async def test_what_hinders_the_release_is_told_at_the_next_use(name, ensemble, virtual_clock):
    path, make, use = USES[name]
    async with ensemble.client() as operator, ensemble.client() as client:
        recipe = make(client)

        async def forbid() -> None:
            await operator.set_acl(path, [(coord.Permission.ALL & ~coord.Permission.DELETE, "world", "anyone")])

        async def run() -> None:
            pytest.fail("it is told before it waits for its own place")

        await use(recipe, forbid)
        await client.sync()
        assert isinstance(recipe._places.releases[0].error, coord.NoAuthError)
        await operator.set_acl(path, [(coord.Permission.ALL, "world", "anyone")])
        with trio.fail_after(5), pytest.raises(coord.NoAuthError):
            await use(recipe, run)
        assert len(await places(client)) == 1, "what could not be given back, until the session ends"


@pytest.mark.parametrize("name", ["lock with a delay", "write", "election"])  # others are in test_calls_cancelled.py
async def test_cancelled_at_any_checkpoint_it_leaves_no_znode(name, ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two:

        async def scenario(cancellable: Cancellable) -> None:
            async with trio.open_nursery() as nursery, MAKE[name](one):
                nursery.start_soon(trio.sleep, 0)
                await trio.sleep(0.1)
            with cancellable:
                async with MAKE[name](two):
                    await trio.sleep(0.01)
            await two.sync()
            assert await places(two) == []

        assert await at_each_checkpoint(scenario) > 3


@pytest.mark.parametrize("recipe", ["lock", "semaphore", "election"])
@pytest.mark.parametrize("seed", seeds("2-3"))
async def test_one_body_at_a_time_whatever_breaks(seed, recipe, virtual_clock):
    inside = Inside(alone)

    async def use(client: coord.Client, name: str, rng) -> None:
        async with MAKE[recipe](client) as held, inside.body(name, held):
            await trio.sleep(rng.random() * 0.1)

    async with coord.testing.ensemble(seed=seed) as ensemble:
        contention = Contention(ensemble, use, seconds=10)
        await contention.run(make_mischief)
    assert len(inside.entered) > 5
