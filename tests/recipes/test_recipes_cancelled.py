"""Each recipe is cancelled at each of its checkpoints: no znode is left, and the next one gets in."""

import pytest
import trio

import recipes.barrier
import recipes.place
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier, Lock, ReadWriteLock
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import EXCLUSIVE, ends_with

MAKE = {
    **EXCLUSIVE,
    "read": lambda client: ReadWriteLock(client, "/x").read(),
    "lock with a delay": lambda client: Lock(client, "/x", delay=5),
}


async def cancel_everywhere(ensemble, make) -> int:
    """One holds it for a while, and the other, who waits for it, is cancelled wherever it may be."""
    async with ensemble.client() as one, ensemble.client() as two:
        blocking = EXCLUSIVE["write"] if make is MAKE["read"] else make

        async def scenario(cancellable: Cancellable) -> None:
            async with trio.open_nursery() as nursery:
                entered = trio.Event()

                async def first() -> None:
                    async with blocking(one):
                        entered.set()
                        await trio.sleep(0.1)

                nursery.start_soon(first)
                await entered.wait()
                with cancellable:
                    async with make(two):
                        await trio.sleep(0.01)
            await one.sync()
            for path in await one.children("/x"):
                assert path in ("holders", "queue")
                assert await one.children(f"/x/{path}") == []
            with trio.fail_after(1):
                async with make(one):
                    pass

        return await at_each_checkpoint(scenario)


@pytest.mark.parametrize("name", MAKE)
async def test_cancelled_at_any_checkpoint_it_leaves_no_znode(name, ensemble, virtual_clock):
    assert await cancel_everywhere(ensemble, MAKE[name]) > 5


async def cancel_a_double_barrier_everywhere(ensemble) -> int:
    async with ensemble.client() as one, ensemble.client() as two:

        async def scenario(cancellable: Cancellable) -> None:
            async with trio.open_nursery() as nursery:

                async def other() -> None:
                    with trio.move_on_after(2):
                        async with DoubleBarrier(one, "/x", 2):
                            await trio.sleep(0.05)

                nursery.start_soon(other)
                await trio.sleep(0.01)
                with cancellable:
                    async with DoubleBarrier(two, "/x", 2):
                        await trio.sleep(0.02)
            await one.sync()
            assert await one.children("/x") == []

        return await at_each_checkpoint(scenario)


async def test_cancelled_at_any_checkpoint_a_double_barrier_leaves_no_znode(ensemble, virtual_clock):
    assert await cancel_a_double_barrier_everywhere(ensemble) > 5


async def test_a_mutant_that_can_be_cancelled_while_it_leaves_is_found(ensemble, virtual_clock, monkeypatch):
    async def leave(place, **_) -> None:
        await place.client.delete(place.path)

    monkeypatch.setattr(recipes.place.Place, "leave", leave)
    with ends_with(AssertionError):
        await cancel_everywhere(ensemble, MAKE["lock"])
