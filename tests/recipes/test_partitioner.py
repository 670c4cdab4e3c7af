"""Items have one owner at any time, all have one in the end, and as few as possible change hands."""

import math
import random
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as some

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import LockLost
from recipes.partitioner import Owned, Partitioner, plan
from recipes.tree_cache import TreeCache
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds

ITEMS = [f"item-{number}" for number in range(7)]
members_of = some.lists(some.sampled_from("abcdef"), unique=True)


@given(some.integers(0, 12), members_of, some.dictionaries(some.integers(0, 11), some.sampled_from("abcdef")))
def test_a_plan_is_even_and_moves_as_few_as_possible(count, members, had):
    items = [f"i{number:02d}" for number in range(count)]
    owners = {f"i{number:02d}": member for number, member in had.items()}
    planned = plan(items, members, owners)
    if not members:
        assert planned == {}
        return
    assert sorted(planned) == items
    sizes = sorted(list(planned.values()).count(member) for member in members)
    assert sizes[-1] - sizes[0] <= 1
    kept = sum(planned[item] == owners.get(item) for item in items)
    share, more = divmod(count, len(members))
    counts = sorted((sum(owners.get(item) == member for item in items) for member in members), reverse=True)
    assert kept == sum(min(each, share + (place < more)) for place, each in enumerate(counts))
    assert plan(items, members, planned) == planned, "what is planned stays"
    assert plan(reversed(items), reversed(members), owners) == planned


class Owners:
    """Who works on what, in simulated true time."""

    def __init__(self) -> None:
        self.at_it: dict[str, str] = {}
        self.moves = 0

    async def serve(self, owned: Owned) -> None:
        assert owned.item not in self.at_it, f"{owned.item} has two owners: {self.at_it[owned.item]} and {owned.name}"
        self.at_it[owned.item] = owned.name
        self.moves += 1
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)  # stopping takes a while
            del self.at_it[owned.item]


async def live(ensemble: coord.testing.Ensemble, rng: random.Random, name: str, owners: Owners) -> None:
    """Some leave, some are cut off; the last life stays."""
    for life in range(3):
        async with ensemble.client(session_timeout=4) as client:
            host = ensemble.host_of(client)
            try:
                with trio.move_on_after(rng.uniform(0, 6) if life < 2 else math.inf):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(Partitioner(client, "/parts", ITEMS, name=name).run, owners.serve)
                        if life < 2 and rng.random() < 0.5:
                            await trio.sleep(rng.uniform(0, 3))
                            ensemble.network.isolate(host)
            except* (LockLost, coord.SessionLostError):
                pass
            ensemble.network.rejoin(host)


async def run_seed(seed: int) -> None:
    rng, owners = random.Random(seed), Owners()
    async with coord.testing.ensemble(seed=seed) as ensemble, ensemble.client(session_timeout=60) as client:
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(live, ensemble, random.Random(rng.random()), name, owners)
            await disturb(ensemble, rng, 3)
            await trio.sleep(10)
            with trio.fail_after(120):
                while sorted(owners.at_it) != ITEMS or len(await client.children("/parts/members")) < 3:
                    await ensemble.advance(0.1)
            await trio.sleep(2)
            names = list(owners.at_it.values())
            assert sorted(names.count(name) for name in "abc") == [2, 2, 3]
            moves = owners.moves
            await trio.sleep(5)
            assert owners.moves == moves, "items move though nobody comes or goes"
            nursery.cancel_scope.cancel()
        await trio.sleep(8)
        await client.sync()
        assert await client.children("/parts/owners") == await client.children("/parts/members") == []


@pytest.mark.parametrize("seed", seeds("1-8"))
async def test_no_item_ever_has_two_owners_and_in_the_end_each_has_one(seed, virtual_clock):
    await run_seed(seed)


async def claim_by_plan(partitioner: Partitioner, item: str) -> int:
    """Goes by the plan alone: takes an item over from whoever has it."""
    path = f"{partitioner.path}/owners/{item}"
    while True:
        with suppress(coord.NodeExistsError):
            await partitioner.client.create(path, partitioner.name.encode(), ephemeral=True)
        stat = await partitioner.client.exists(path)
        if stat is not None:
            return stat.czxid


def not_looked_at(partitioner: Partitioner, cache: TreeCache) -> list[str]:
    """Does not look at who has what: the plan is made from the members alone."""
    members = sorted(cache.children(f"{partitioner.path}/members"))
    return [item for place, item in enumerate(ITEMS) if members[place % len(members)] == partitioner.name]


async def serve_and_give_back_at_once(partitioner: Partitioner, owned: Owned, serve: object) -> None:
    """Gives the item back when it is asked to, not when its work has ended."""

    async def give_back() -> None:
        while not owned.scope.cancel_called:  # noqa: ASYNC110  a scope has no event for it
            await trio.sleep(0.001)
        await partitioner.client.delete(owned.path)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back)
        with owned.scope:
            await serve(owned)
    del partitioner.owned[owned.item]


@pytest.mark.parametrize(
    "mutant", [(Partitioner, "_serve", serve_and_give_back_at_once), (Partitioner, "_claim", claim_by_plan)]
)
async def test_a_careless_owner_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 6):
            await run_seed(seed)

    monkeypatch.setattr(*mutant)
    if mutant[1] == "_claim":
        monkeypatch.setattr(Partitioner, "_wanted", not_looked_at)
        monkeypatch.setattr(TreeCache, "__contains__", lambda cache, path: False)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seeds()


async def test_one_more_member_takes_over_no_more_than_its_share(ensemble, virtual_clock):
    owners = Owners()
    async with trio.open_nursery() as nursery, ensemble.client() as one, ensemble.client() as two:
        nursery.start_soon(Partitioner(one, "/parts", ITEMS, name="one").run, owners.serve)
        await ensemble.wait(lambda: len(owners.at_it) == 7)
        async with trio.open_nursery() as inner:
            inner.start_soon(Partitioner(two, "/parts", ITEMS, name="two").run, owners.serve)
            await ensemble.wait(lambda: list(owners.at_it.values()).count("two") == 3)
            await trio.sleep(5)
            assert owners.moves == 7 + 3
            inner.cancel_scope.cancel()
        await ensemble.wait(lambda: list(owners.at_it.values()).count("one") == 7)
        assert owners.moves == 7 + 3 + 3
        nursery.cancel_scope.cancel()


@on_both
async def test_misuse_and_errors_are_told():
    async def fail(owned: Owned) -> None:
        raise ZeroDivisionError(owned.item)

    async with coord.embedded() as client:
        with pytest.raises(ValueError, match="an item is a text"):
            Partitioner(client, "/parts", ["a/b"])
        with pytest.raises(ValueError, match="path of a recipe"):
            Partitioner(client, "parts", ["a"])
        with pytest.raises(ValueError, match="name of a member"):
            Partitioner(client, "/parts", ["a"], name="")
        with pytest.raises(ZeroDivisionError, match="a"):
            await Partitioner(client, "/parts", ["a"]).run(fail)
        assert await client.children("/parts/owners") == await client.children("/parts/members") == []
