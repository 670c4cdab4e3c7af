"""Every add is counted once."""

import random

import anyio
import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import RecipeError
from recipes.counter import Counter
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


async def run_seed(seed: int) -> None:
    rng = random.Random(seed)
    sums: list[int] = []
    ranges: list[range] = []
    unsure: list[int] = []

    async def count(client: coord.Client, rng: random.Random) -> None:
        counter = Counter(client, "/counter")
        for _ in range(40):
            number = rng.choice([1, 1, 5])
            with trio.move_on_after(rng.choice([0.002, 60])) as scope:
                if rng.random() < 0.5:
                    sums.append(await counter.add(number))
                    ranges.append(range(sums[-1] - number, sums[-1]))
                else:
                    ranges.append(await counter.allocate(number))
            if scope.cancelled_caught:
                unsure.append(number)
            await trio.sleep(rng.uniform(0, 0.2))

    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as one,
        ensemble.client(session_timeout=30) as two,
    ):
        async with trio.open_nursery() as nursery:
            for client in (one, one, two, two):
                nursery.start_soon(count, client, random.Random(rng.random()))
            nursery.start_soon(disturb, ensemble, rng, 4, [one, two])
        total = await Counter(one, "/counter").get(linearizable=True)
    given = [number for each in ranges for number in each]
    assert len(set(given)) == len(given), "a number was given twice"
    assert len(given) <= total <= len(given) + sum(unsure)
    assert unsure or total == len(given)


@pytest.mark.parametrize("seed", seeds("1-10"))
async def test_every_add_is_counted_once_and_no_number_is_given_twice(seed, virtual_clock):
    await run_seed(seed)


async def test_a_counter_that_does_not_compare_is_found(virtual_clock, monkeypatch):
    async def add(counter: Counter, number: int = 1) -> int:
        total = await counter.get() + number
        await counter.set(total)
        return total

    monkeypatch.setattr(Counter, "add", add)
    with pytest.raises(AssertionError):
        await run_seed(1)


@on_both
async def test_a_counter_counts():
    async with coord.embedded() as client:
        counter, other = Counter(client, "/n/counter", default=10), Counter(client, "/n/counter")
        assert await counter.get() == 10
        assert await counter.add() == 11
        assert await other.add(-20) == -9
        assert await counter.add(2) == -7
        await counter.set(0)
        assert list(await other.allocate(3)) == [0, 1, 2]
        assert await counter.allocate(1) == range(3, 4)
        await client.delete("/n/counter")
        assert await other.add() == 1
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(counter.add, 5)
        assert await other.get(linearizable=True) == 101


@on_both
async def test_curators_layout_has_four_bytes():
    async with coord.embedded() as client:
        counter = Counter(client, "/counter", layout="curator")
        assert await counter.add(258) == 258
        assert (await client.get("/counter"))[0] == b"\0\0\1\2"
        with pytest.raises(RecipeError, match="32 bits"):
            await counter.add(1 << 31)
        assert await counter.get() == 258


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        with pytest.raises(ValueError, match="path of a recipe"):
            Counter(client, "/counter/")
        with pytest.raises(ValueError, match="layout"):
            Counter(client, "/counter", layout="x")
        counter = Counter(client, "/counter")
        for number in (1.5, True, "1"):
            with pytest.raises(ValueError, match="is an int"):
                await counter.add(number)
        with pytest.raises(ValueError, match="at least one"):
            await counter.allocate(0)
        await client.create("/counter", b"apples")
        with pytest.raises(RecipeError, match="/counter holds b'apples'"):
            await counter.add(1)


@on_both
async def test_a_number_that_could_not_be_read_again_is_not_written():
    async with coord.embedded() as client:
        counter = Counter(client, "/counter")
        with pytest.raises(RecipeError, match="/counter would have more than 1000 digits"):
            await counter.add(10**999)
        with pytest.raises(RecipeError, match="could not be read again"):
            await counter.set(-(10**5000))
        assert await counter.add(1 - 10**999) == 1 - 10**999
        assert await Counter(client, "/counter").add(10**999 - 1) == 0
