"""Bodies exclude each other in true time, tokens grow and nothing is left behind, whatever breaks.

`COORD_TEST_SEEDS=FIRST-LAST` tries other seeds.
"""

import random

import pytest

import coord
import coord.testing
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier, Election, Lease, Lock, MemberDied, ReadWriteLock, Semaphore
from tests.recipes.contention import (
    Contention,
    Inside,
    alone,
    at_most,
    make_mischief,
    readers_or_one_writer,
    seeds,
    wait_nobody_left,
    work,
)

WRITTEN = "/written"


async def contend(seed: int, use, inside: Inside, *paths: str, last=None, **settings) -> None:
    rng = random.Random(seed)
    async with coord.testing.ensemble(rng.choice((3, 3, 5)), seed=seed, **settings) as ensemble:
        async with ensemble.client() as client:
            await client.create(WRITTEN)
        contention = Contention(ensemble, use)
        await contention.run(make_mischief)
        await wait_nobody_left(ensemble, *paths, last=last)
        assert len(inside.tokens) > 2


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_a_lock_under_faults(seed, virtual_clock):
    inside = Inside(alone)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        async with Lock(client, "/lock", name=name) as held, inside.body(name, held):
            await work(held, client, rng)

    await contend(seed, use, inside, "/lock")


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_a_read_write_lock_under_faults(seed, virtual_clock):
    inside = Inside(readers_or_one_writer, ordered=False)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        lock = ReadWriteLock(client, "/rw", name=name)
        if rng.random() < 0.5:
            async with lock.read() as held, inside.body(name, held, "read"):
                await work(held, client, rng)
        else:
            async with lock.write() as held, inside.body(name, held, "write"):
                await work(held, client, rng)
                if rng.random() < 0.5:
                    inside.bodies[name] = "read"
                    await held.downgrade()
                    await work(held, client, rng)

    await contend(seed, use, inside, "/rw")


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_a_semaphore_under_faults(seed, virtual_clock):
    inside = Inside(at_most(2), ordered=False)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        async with Semaphore(client, "/sem", 2, name=name) as held, inside.body(name, held):
            await work(held, client, rng)

    await contend(seed, use, inside, "/sem/holders", "/sem/queue")


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_an_election_under_faults(seed, virtual_clock):
    inside = Inside(alone)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        election = Election(client, "/election", name=name, priority=rng.randrange(3))
        async for term in election:
            async with term, inside.body(name, term):
                await work(term, client, rng)
            if rng.random() < 0.7:
                break

    await contend(seed, use, inside, "/election")


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_a_lease_under_faults(seed, virtual_clock):
    inside = Inside(alone)

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        async with Lease(client, "/lease", 2.0, margin=0.2, name=name) as held, inside.body(name, held):
            await work(held, client, rng)
            if rng.random() < 0.5:
                await held.renew()
                await work(held, client, rng, 3.0)

    await contend(seed, use, inside, "/lease/queue", reap_interval_s=3600)


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_a_double_barrier_under_faults(seed, virtual_clock):
    inside = Inside(at_most(4), ordered=False)
    running: set[str] = set()

    async def use(client: coord.Client, name: str, rng: random.Random) -> None:
        try:
            async with DoubleBarrier(client, "/phase", 3, name=name, timeout=5) as party:
                assert len(party.members) >= 3  # one of them may be cut off, with a session that has not ended yet
                running.add(party.path)
                try:
                    async with inside.body(name, party):
                        await work(party, client, rng)
                finally:
                    running.discard(party.path)
            late = [each for each in party.members if f"/phase/{each}" in running]
            assert not late, f"{name} left while {late} were inside"
        except MemberDied:
            assert not [each for each in party.members if f"/phase/{each}" in running]

    async def come_alone(client: coord.Client) -> None:
        """If all members of a round died, whoever comes next clears away what is left."""
        async with DoubleBarrier(client, "/phase", 1):
            pass

    await contend(seed, use, inside, "/phase", last=come_alone)
