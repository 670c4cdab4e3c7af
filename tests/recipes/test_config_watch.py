"""A configured value follows its znode, and what cannot be decoded does not become it."""

import json
import random

import anyio
import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import RecipeError
from recipes.config_watch import ConfigWatch
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


async def run_seed(seed: int) -> None:
    rng = random.Random(seed)
    written: dict[int, int] = {}
    seen: list[tuple[int, int]] = []

    async def write(client: coord.Client) -> None:
        for number in range(100):
            broken = rng.random() < 0.3
            stat = await client.set("/config", b"{" if broken else b"%d" % number)
            if not broken:
                written[stat.mzxid] = number
            await trio.sleep(rng.uniform(0, 0.1))

    async def follow(config: ConfigWatch[int]) -> None:
        async for value in config:
            seen.append((config.zxid, value))

    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as client,
        ensemble.client(session_timeout=30) as other,
    ):
        await other.create("/config", b"-1")
        async with ConfigWatch(client, "/config", json.loads, default=-1) as config, trio.open_nursery() as nursery:
            nursery.start_soon(follow, config)
            async with trio.open_nursery() as writers:
                writers.start_soon(write, other)
                writers.start_soon(disturb, ensemble, rng, 3, [client])
                if seed % 2:
                    await trio.sleep(1)
                    for replica in ensemble.replicas.values():
                        replica.window.restart(replica.machine.zxid)
            last = (await other.set("/config", b"{")).mzxid
            await config.wait_checked(last)
            assert isinstance(config.error, RecipeError)
            assert config.value == list(written.values())[-1], "the last good value is kept"
            last = (await other.set("/config", b"1000")).mzxid
            await config.wait_checked(last)
            assert (config.value, config.zxid, config.error) == (1000, last, None)
            nursery.cancel_scope.cancel()
    zxids = [zxid for zxid, _ in seen]
    assert zxids == sorted(set(zxids)), "a value was told twice, or after a later one"
    assert all(written.get(zxid, value) == value for zxid, value in seen)
    assert len(seen) > 5


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_the_value_is_the_last_good_one_and_never_an_older_one(seed, virtual_clock):
    await run_seed(seed)


async def forgetful(config: ConfigWatch, zxid: int) -> None:
    """Takes whatever is there, decodable or not, and says nothing of errors."""
    data, stat = await config.client.get(config.path)
    config._read_zxid = stat.mzxid
    try:
        config._value = json.loads(data)
    except ValueError:
        config._value = None
    config._changes += 1
    config._changed.give()


async def test_a_watch_that_forgets_the_good_value_is_found(virtual_clock, monkeypatch):
    monkeypatch.setattr(ConfigWatch, "_read", forgetful)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seed(1)


@on_both
async def test_a_value_is_waited_for_followed_and_kept():
    async with coord.embedded() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.create, "/config", b"{")

            async def repair() -> None:
                await anyio.wait_all_tasks_blocked()
                await client.set("/config", b"[1]")

            tasks.start_soon(repair)
            async with ConfigWatch(client, "/config", json.loads) as config:
                assert (config.value, config.version, config.error) == ([1], 1, None)
        async with ConfigWatch(client, "/config", json.loads) as config:
            assert await anext(config) == [1]
            await client.set("/config", b"[2]")
            assert await anext(config) == [2]
            await client.delete("/config")
            await config.wait_checked(client.session.seen_zxid)
            assert config.value == [2]
            assert "there is no /config now" in str(config.error)
            await client.create("/config", b"[3]")
            assert (await anext(config), config.version, config.error) == ([3], 0, None)


@on_both
async def test_a_default_stands_until_there_is_a_value():
    async with coord.embedded() as client, ConfigWatch(client, "/a/b", json.loads, default=None) as config:
        assert (config.value, config.version, config.error) == (None, -1, None)
        assert await anext(config) is None
        await client.create("/a/b", b"5", parents=True)
        assert await anext(config) == 5


async def test_the_end_of_the_session_ends_the_block(ensemble, virtual_clock):
    async def follow(client: coord.Client) -> None:
        async with ConfigWatch(client, "/config", json.loads, default=1):
            ensemble.isolate(client)
            await trio.sleep(60)

    async with ensemble.client(session_timeout=4) as client:
        with pytest.raises(coord.SessionLostError):
            await follow(client)
        ensemble.heal()


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        with pytest.raises(ValueError, match="path of a recipe"):
            ConfigWatch(client, "config", json.loads)
        config = ConfigWatch(client, "/config", json.loads)
        with pytest.raises(RuntimeError, match="has no value yet"):
            _ = config.value
        with pytest.raises(RuntimeError, match="was not entered"):
            await anext(config)
        async with ConfigWatch(client, "/config", json.loads, default=1) as config:
            await anext(config)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, config)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(anyio.BusyResourceError):
                    await anext(config)
                tasks.cancel_scope.cancel()
