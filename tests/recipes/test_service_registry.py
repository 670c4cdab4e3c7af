"""Where services are: whoever resolves sees the healthy instances, and in the end those that live."""

import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import LockLost
from recipes import group as group_module
from recipes.service_registry import ServiceRegistry
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


async def run_seed(seed: int) -> None:
    rng = random.Random(seed)

    async def serve(name: str, rng: random.Random, ensemble: coord.testing.Ensemble, fit: dict[str, str]) -> None:
        """Lives three times; the last life stays, healthy or not."""
        for life in range(3):
            async with ensemble.client(session_timeout=4) as client:
                host = ensemble.host_of(client)
                try:
                    async with ServiceRegistry(client, "/services").register(
                        "db", f"{name}:{life}", name=name, wait=True
                    ) as registration:
                        if life < 2 and rng.random() < 0.4:
                            ensemble.network.isolate(host)
                            await trio.sleep(20)
                        await trio.sleep(rng.uniform(0, 2))
                        await registration.update(health=rng.choice(["healthy", "draining"]), data={"life": life})
                        if life == 2:
                            fit[registration.address] = registration.health
                            await trio.sleep(600)
                except (LockLost, coord.SessionLostError):
                    fit.pop(f"{name}:{life}", None)
                ensemble.network.rejoin(host)

    async with coord.testing.ensemble(seed=seed) as ensemble, ensemble.client(session_timeout=60) as client:
        fit: dict[str, str] = {}
        async with (
            ServiceRegistry(client, "/services").resolve("db") as resolver,
            trio.open_nursery() as nursery,
        ):
            for number in range(4):
                nursery.start_soon(serve, f"i{number}", random.Random(rng.random()), ensemble, fit)
            await disturb(ensemble, rng, 3)
            await trio.sleep(100)
            await resolver.sync()
            assert {each.address: each.health for each in resolver.all} == fit
            assert {each.address for each in resolver.endpoints} == {each for each in fit if fit[each] == "healthy"}
            assert all(each.data == {"life": 2} for each in resolver.all)
            nursery.cancel_scope.cancel()
        await trio.sleep(10)
        await client.sync()
        assert await client.children("/services/db") == []


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_in_the_end_the_endpoints_are_the_instances_that_live(seed, virtual_clock):
    await run_seed(seed)


async def test_an_instance_that_stays_behind_is_found(virtual_clock, monkeypatch):
    async def claim(client: coord.Client, path: str, value: bytes) -> int:
        """Not ephemeral."""
        await client.create(path, value, parents=True)
        return (await client.exists(path)).czxid

    monkeypatch.setattr(group_module, "claim", claim)
    with trio.move_on_after(500), pytest.raises((AssertionError, ExceptionGroup)):
        await run_seed(1)


@on_both
async def test_instances_are_resolved_by_their_health():
    async with coord.embedded() as client:
        registry = ServiceRegistry(client, "/services")
        assert await registry.services() == []
        async with registry.resolve("db") as resolver:
            assert await anext(resolver) == []
            async with registry.register("db", "h1:1", data={"zone": "a"}, name="one") as one:
                found = await resolver.wait()
                assert [(each.name, each.address, each.health, each.data) for each in found] == [
                    ("one", "h1:1", "healthy", {"zone": "a"})
                ]
                assert await anext(resolver) == found
                await one.update(health="draining")
                assert await anext(resolver) == []
                assert [each.health for each in resolver.all] == ["draining"]
                await client.create("/services/db/other", b"not JSON", ephemeral=True)
                assert await resolver.sync() == []
                assert await registry.services() == ["db"]
            assert await resolver.sync() == resolver.all == []


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        registry = ServiceRegistry(client, "/services")
        with pytest.raises(ValueError, match="name of a service"):
            registry.resolve("a/b")
        for arguments, sentence in (
            ({"address": ""}, "address of an instance"),
            ({"address": "h:1", "health": 5}, "health of an instance"),
            ({"address": "h:1", "data": {"x": object()}}, "cannot be written as JSON"),
        ):
            with pytest.raises(ValueError, match=sentence):
                async with registry.register("db", **arguments):
                    pass
        resolver = registry.resolve("db")
        with pytest.raises(RuntimeError, match="was not entered"):
            await resolver.wait()
