"""A lock is cancelled at each of its checkpoints: no znode is left, and the next one gets it."""

import trio

from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Lock
from tests.recipes.cancelling import Cancellable, at_each_checkpoint


async def test_cancelled_at_any_checkpoint_while_it_waits_or_holds_it_leaves_no_znode(ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two:

        async def scenario(cancellable: Cancellable) -> None:
            async with trio.open_nursery() as nursery:
                entered = trio.Event()

                async def first() -> None:
                    async with Lock(one, "/lock"):
                        entered.set()
                        await trio.sleep(0.1)

                nursery.start_soon(first)
                await entered.wait()
                with cancellable:
                    async with Lock(two, "/lock"):
                        await trio.sleep(0.01)
            await one.sync()
            assert await one.children("/lock") == []
            async with Lock(one, "/lock", timeout=1):
                pass

        assert await at_each_checkpoint(scenario) > 5
