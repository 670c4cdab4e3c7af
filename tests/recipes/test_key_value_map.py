"""A dictionary on the servers: every change is made once, and none is overwritten unseen."""

import json
import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import RecipeError
from recipes.key_value_map import KeyValueMap
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


async def run_seed(seed: int) -> None:
    rng = random.Random(seed)
    added: list[str] = []
    swapped: list[tuple[str, str]] = []

    async def change(client: coord.Client, rng: random.Random, name: str) -> None:
        entries = KeyValueMap(client, "/map", encode=json.dumps, decode=json.loads)
        for number in range(20):
            mine = f"{name}{number}"
            await entries.update("log", lambda log, mine=mine: [*(log or []), mine])
            added.append(mine)
            before = await entries.get("chain")
            if await entries.compare_and_set("chain", before, mine):
                swapped.append((before, mine))
            await trio.sleep(rng.uniform(0, 0.2))

    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=30) as one,
        ensemble.client(session_timeout=30) as two,
    ):
        async with trio.open_nursery() as nursery:
            for name, client in (("a", one), ("b", two), ("c", two)):
                nursery.start_soon(change, client, random.Random(rng.random()), name)
            nursery.start_soon(disturb, ensemble, rng, 3, [one, two])
        entries = KeyValueMap(one, "/map", encode=json.dumps, decode=json.loads)
        log = await entries.get("log", linearizable=True)
        assert sorted(log) == sorted(added)
        assert len({before for before, _ in swapped}) == len(swapped), "two have replaced the same value"


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_every_update_is_made_once_and_each_value_is_replaced_by_one(seed, virtual_clock):
    await run_seed(seed)


async def put_blindly(entries: KeyValueMap, key: str, expected: object, value: object) -> bool:
    await entries.put(key, value)
    return True


async def update_blindly(entries: KeyValueMap, key: str, change: object) -> object:
    value = change(await entries.get(key))
    await entries.put(key, value)
    return value


@pytest.mark.parametrize("mutant", [("compare_and_set", put_blindly), ("update", update_blindly)])
async def test_a_map_that_does_not_compare_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 4):
            await run_seed(seed)

    monkeypatch.setattr(KeyValueMap, *mutant)
    with pytest.raises(ExceptionGroup):
        await run_seeds()


@on_both
async def test_entries_are_put_got_compared_and_taken_out():
    async with coord.embedded() as client:
        entries = KeyValueMap(client, "/a/map")
        assert (await entries.get("x"), await entries.get("x", b"?"), await entries.keys()) == (None, b"?", [])
        assert [each async for each in entries.items()] == []
        await entries.put("x", b"1")
        await entries.put("x", b"2")
        assert not await entries.add("x", b"3")
        assert await entries.add("y", b"3")
        assert await entries.has("y")
        assert not await entries.compare_and_set("x", b"1", b"4")
        assert not await entries.compare_and_set("x", None, b"4")
        assert await entries.compare_and_set("x", b"2", b"4")
        assert await entries.compare_and_set("y", b"3", None)
        assert await entries.compare_and_set("z", None, b"5")
        assert await entries.compare_and_set("none", None, None)
        assert {key: value async for key, value in entries.items()} == {"x": b"4", "z": b"5"}
        assert await entries.update("x", lambda value: value + b"!") == b"4!"
        assert await entries.update("x", lambda value: None) is None
        assert not await entries.delete("x")
        assert await entries.delete("z")
        assert await entries.count() == 0
        await entries.clear()
        await entries.clear()


@on_both
async def test_a_key_is_any_text():
    keys = ["a", ".", "..", "a/b", "100%", "%2F", " ", "ä€", "\n", "zookeeper", "a=b&c", "\x00"]
    async with coord.embedded() as client:
        entries = KeyValueMap(client, "/map")
        for key in keys:
            await entries.put(key, key.encode())
        assert await entries.keys() == sorted(keys)
        assert {key: value.decode() async for key, value in entries.items()} == {key: key for key in keys}
        assert "a=b&c" in await client.children("/map")


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        entries = KeyValueMap(client, "/map")
        for key in ("", 7, b"x"):
            with pytest.raises(ValueError, match="a key is a text"):
                await entries.get(key)
        with pytest.raises(ValueError, match="more than 1000"):
            await entries.put("x" * 1001, b"")
        with pytest.raises(ValueError, match="surrogate"):
            await entries.put("\ud800", b"")
        with pytest.raises(ValueError, match="the value of 'x' is bytes"):
            await entries.put("x", 7)
        with pytest.raises(coord.RequestTooLargeError):
            await entries.put("x", b"x" * (2 << 20))
        with pytest.raises(ValueError, match="both of encode and decode"):
            KeyValueMap(client, "/map", encode=json.dumps)
        await entries.put("x", b"{")
        with pytest.raises(RecipeError, match="the value of 'x' in /map cannot be decoded"):
            await KeyValueMap(client, "/map", encode=json.dumps, decode=json.loads).get("x")
