"""Nobody passes a barrier that is closed: not even one whose server does not know yet that it is."""

import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Barrier, DoubleBarrier, MisuseError
from recipes import barrier as barrier_module
from recipes.place import wait_gone
from tests.recipes.contention import Violation, ends_with
from tests.recipes.faults import disturb, seeds


class Gate:
    """What is known of the barrier in true time: how often it was certainly closed, or perhaps open."""

    def __init__(self) -> None:
        self.closed = False
        """Somebody was told that it is closed, and nobody has begun to open it since."""
        self.openings = 0
        self.passed = 0

    async def wait(self, barrier: Barrier) -> None:
        closed, openings = self.closed, self.openings
        await barrier.wait()
        if closed and self.openings == openings:
            raise Violation("somebody has passed a closed barrier")
        self.passed += 1


async def run_seed(seed: int) -> None:
    rng, gate = random.Random(seed), Gate()
    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as keeper,
        ensemble.client(session_timeout=30) as one,
        ensemble.client(session_timeout=30) as two,
        trio.open_nursery() as nursery,
    ):

        async def come(client: coord.Client, rng: random.Random) -> None:
            barrier = Barrier(client, "/barrier")
            while True:
                with trio.move_on_after(rng.choice([0.003, 100])):
                    await gate.wait(barrier)
                await trio.sleep(rng.uniform(0, 0.02))

        for client in (one, one, two, two):
            nursery.start_soon(come, client, random.Random(rng.random()))

        async def keep() -> None:
            barrier = Barrier(keeper, "/barrier")
            for _ in range(60):
                await barrier.close()
                gate.closed = True
                await trio.sleep(rng.uniform(0, 0.1))
                gate.closed, gate.openings = False, gate.openings + 1
                await barrier.open()
                await trio.sleep(rng.uniform(0, 0.1))

        async with trio.open_nursery() as keeping:
            keeping.start_soon(keep)
            keeping.start_soon(disturb, ensemble, rng, 3, [one, two])
        assert gate.passed > 20
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", seeds("1-8"))
async def test_nobody_passes_while_it_is_closed(seed, virtual_clock):
    await run_seed(seed)


async def is_closed_here(barrier: Barrier) -> bool:
    """As this client's server knows it, which may be behind."""
    return await barrier.client.exists(barrier.path) is not None


async def woken_by_anything(client: coord.Client, path: str) -> None:
    """Whatever happens to it, or after a while."""
    with trio.move_on_after(0.01):
        await wait_gone(client, path)


@pytest.mark.parametrize(
    "mutant", [(Barrier, "is_closed", is_closed_here), (barrier_module, "wait_gone", woken_by_anything)]
)
async def test_a_barrier_that_lets_somebody_pass_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 9):
            await run_seed(seed)

    monkeypatch.setattr(*mutant)
    with ends_with(Violation):
        await run_seeds()


async def test_a_double_barrier_where_kazoo_is_at_work_says_so_and_leaves_nothing(ensemble, virtual_clock):
    async with ensemble.client() as client:
        for ready in (b"", b"nonsense", b"\xff"):
            await client.create("/d/ready", ready, parents=True)
            with pytest.raises(MisuseError, match=r"/d/ready holds .*use layout='kazoo' everywhere, or delete it"):
                async with DoubleBarrier(client, "/d", 1):
                    pass
            assert await client.children("/d") == ["ready"]
            await client.delete("/d", recursive=True)


@pytest.mark.parametrize("count", [0, 1.5, "2", True])
async def test_a_number_of_members_that_is_none_is_told(count, ensemble, virtual_clock):
    async with ensemble.client() as client:
        with pytest.raises(MisuseError, match="a number of members from 1"):
            DoubleBarrier(client, "/d", count)
