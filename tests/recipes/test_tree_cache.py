"""The copy of a subtree equals the servers' tree at its zxid, whatever happens."""

import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes.tree_cache import TreeCache
from tests.client.both import on_both
from tests.recipes.faults import History, disturb, seeds


async def write_anything(client: coord.Client, rng: random.Random, times: int) -> None:
    """Writes of all kinds at /tree, some of them in transactions, some a hundred at a time."""
    names = [f"/tree/{first}" for first in "abc"] + [f"/tree/{first}/{second}" for first in "abc" for second in "xy"]
    for number in range(times):
        path, other, value = rng.choice(names), rng.choice(names), b"%d" % number
        try:
            match rng.randrange(6):
                case 0:
                    await client.create(path, value, parents=True)
                case 1:
                    await client.delete(path, recursive=True)
                case 2:
                    async with client.transaction() as txn:
                        txn.set(path, value)
                        txn.set(other, value)
                case 3:
                    async with client.pipeline(keep_errors=True) as pipe:
                        for _ in range(20):
                            pipe.set(path, value)
                            pipe.delete(other)
                            pipe.create(other, value)
                case _:
                    await client.set(path, value)
        except coord.CoordError as error:
            if isinstance(error, coord.SessionLostError | coord.CallTimeoutError):
                raise
        if rng.random() < 0.3:
            await trio.sleep(rng.uniform(0, 0.05))


async def compare(cache: TreeCache, history: History, compared: list[int]) -> None:
    while True:
        zxid = await cache.wait_change()
        assert cache.values() == history.at(zxid), f"at {zxid:#x}"
        assert all(cache.children(path) == sorted(names_of(cache, path)) for path in cache)
        compared.append(zxid)


def names_of(cache: TreeCache, path: str) -> list[str]:
    return [each.rpartition("/")[2] for each in cache if each.rpartition("/")[0] == path]


async def run_seed(seed: int, monkeypatch: pytest.MonkeyPatch, *, slow: bool = False) -> int:
    """With faults, or with a client that is far away: while it reads much is written."""
    history = History("/tree", monkeypatch)
    rng, compared = random.Random(seed), []
    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as client,
        ensemble.client(session_timeout=30) as one,
        ensemble.client(session_timeout=30) as other,
        TreeCache(client, "/tree") as cache,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(compare, cache, history, compared)
        async with trio.open_nursery() as writers:
            writers.start_soon(write_anything, one, random.Random(seed + 1), 200)
            writers.start_soon(write_anything, other, random.Random(seed + 2), 200)
            if slow:
                for server in ensemble.servers:
                    ensemble.slow(client, server, (0.01, 0.05))
            else:
                writers.start_soon(disturb, ensemble, rng, 4, [client, one])
            if seed % 3 == 0:
                await trio.sleep(rng.uniform(0, 1))
                for replica in ensemble.replicas.values():
                    replica.window.restart(replica.machine.zxid)
        await cache.sync()
        assert cache.values() == history.states[-1]
        nursery.cancel_scope.cancel()
    return len(compared)


@pytest.mark.parametrize("seed", seeds("1-12"))
async def test_the_copy_equals_the_tree_at_its_zxid(seed, virtual_clock, monkeypatch):
    assert await run_seed(seed, monkeypatch) > 20


@pytest.mark.parametrize("seed", seeds("1-3"))
async def test_the_copy_of_a_client_that_is_far_away_equals_the_tree_at_its_zxid(seed, virtual_clock, monkeypatch):
    assert await run_seed(seed, monkeypatch, slow=True) > 2


def show_at_once(cache: TreeCache, zxid: int) -> bool:
    """Ignores that what was read may be newer than the events."""
    return True


async def note_late(cache: TreeCache, paths: list[str]) -> None:
    """Reads one by one, and lets the copy believe that it has seen no more than the events told."""
    for path in paths:
        try:
            value, stat = await cache.client.get(path)
        except coord.NoNodeError:
            cache._staged[path] = None
        else:
            ahead = cache._ahead
            cache._stage(path, value, stat)
            cache._ahead = ahead


@pytest.mark.parametrize("mutant", [("_is_complete", show_at_once), ("_read", note_late)])
async def test_a_copy_that_is_shown_too_early_is_found(mutant, virtual_clock, monkeypatch):
    monkeypatch.setattr(TreeCache, *mutant)

    async def run_seeds() -> None:
        for seed in range(1, 6):
            await run_seed(seed, monkeypatch, slow=True)

    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seeds()


async def test_what_was_missed_is_told_and_what_was_forgotten_is_read_anew(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=60) as client, ensemble.client() as other:
        await other.create("/tree/a", b"1", parents=True)
        async with TreeCache(client, "/tree") as cache:
            ensemble.isolate(client)
            await trio.sleep(1)
            await other.set("/tree/a", b"2")
            ensemble.heal()
            await ensemble.wait(lambda: cache["/tree/a"].value == b"2")
            assert cache.full_reads == 1
            ensemble.isolate(client)
            await client.session.wait_state("SUSPENDED")
            await other.set("/tree/a", b"3")
            await other.create("/tree/b")
            await ensemble.wait_converged()
            for replica in ensemble.replicas.values():
                replica.window.restart(replica.machine.zxid)
            ensemble.heal()
            await cache.sync()
            assert (cache["/tree/a"].value, cache.children("/tree"), cache.full_reads) == (b"3", ["a", "b"], 2)


async def test_the_end_of_the_session_ends_the_block(ensemble, virtual_clock):
    async def keep(client: coord.Client) -> None:
        async with TreeCache(client, "/tree"):
            ensemble.isolate(client)
            await trio.sleep(60)

    async with ensemble.client(session_timeout=4) as client:
        with pytest.raises(coord.SessionLostError):
            await keep(client)
        ensemble.heal()


@on_both
async def test_a_copy_is_kept_on_both_libraries():
    async with coord.embedded() as client, TreeCache(client, "/tree") as cache:
        assert len(cache) == 0
        await client.create("/tree/a", b"x", parents=True)
        assert await cache.sync() == client.session.seen_zxid
        assert (cache["/tree/a"].value, cache.children("/tree"), list(cache)) == (b"x", ["a"], ["/tree", "/tree/a"])
        before = cache.zxid
        await client.delete("/tree", recursive=True)
        assert await cache.wait_change(before) > before
        assert "/tree" not in cache
        with pytest.raises(KeyError, match="/tree/a"):
            cache["/tree/a"]


@on_both
async def test_a_copy_has_a_depth_and_a_limit():
    async with coord.embedded() as client:
        await client.create("/tree/a/b", b"x", parents=True)
        async with TreeCache(client, "/tree", depth=1) as cache:
            assert sorted(cache) == ["/tree", "/tree/a"]
        with pytest.raises(coord.TooLargeError, match="znodes_max = 2"):
            async with TreeCache(client, "/tree", znodes_max=2):
                pass


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        for path in ("tree", "/tree/", 7):
            with pytest.raises(ValueError, match="path of a recipe is absolute"):
                TreeCache(client, path)
        with pytest.raises(ValueError, match="depth"):
            TreeCache(client, "/tree", depth=-1)
        cache = TreeCache(client, "/tree")
        with pytest.raises(RuntimeError, match="was not entered"):
            await cache.sync()
        async with cache:
            pass
        with pytest.raises(RuntimeError, match="has been left"):
            await cache.wait_change()
        with pytest.raises(RuntimeError, match="entered before"):
            async with cache:
                pass


@on_both
async def test_an_error_of_the_body_comes_out_as_it_is():
    async with coord.embedded() as client:
        with pytest.raises(ZeroDivisionError):
            async with TreeCache(client, "/tree"):
                raise ZeroDivisionError
