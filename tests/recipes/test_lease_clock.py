"""A lease is counted on while the computer sleeps, which the clock of the running library does not tell."""

import pytest
import trio

import coord.testing
from coord.client.sessions import ClientSession
from coord.replica.replica import Replica
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Lease, LockLost
from recipes.place import PlaceGone
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import Inside, alone, ends_with


async def test_a_computer_that_has_slept_finds_its_lease_ended(ensemble, virtual_clock, monkeypatch):
    slept_s = 0.0
    monkeypatch.setattr(ClientSession, "now", property(lambda session: trio.current_time() + slept_s))
    async with ensemble.client() as client:
        with ends_with(LockLost):
            async with Lease(client, "/lease", 30) as lease:
                await trio.sleep(5)
                assert 20 < lease.remaining < 23
                slept_s = 25.0
                woke = trio.current_time()
                with pytest.raises(LockLost, match="has ended, less its margin"):
                    lease.check()
                await trio.sleep(60)
        assert trio.current_time() - woke < 2


async def test_the_session_tells_a_time_that_goes_on(ensemble, virtual_clock):
    async with ensemble.client() as client:
        begun = client.session.now
        await trio.sleep(3)
        assert client.session.now == pytest.approx(begun + 3)


async def test_a_lease_is_taken_over_when_its_time_is_over_and_not_when_the_servers_sweep(virtual_clock):
    async with (
        coord.testing.ensemble(reap_interval_s=3600) as ensemble,
        ensemble.client(session_timeout=4) as one,
        ensemble.client() as two,
    ):
        begun = trio.current_time()
        with ends_with(LockLost):
            async with Lease(one, "/lease", 10, name="one"):
                ensemble.isolate(one)
                await trio.sleep(100)
        assert await Lease(two, "/lease", 10).holder() == "one"
        async with Lease(two, "/lease", 10, name="two") as lease:
            assert 10 <= trio.current_time() - begun < 10.1
            assert await Lease(two, "/lease", 10).holder() == "two"
            async with two.transaction(guard=lease) as txn:
                txn.create("/written")


async def test_a_lease_that_was_renewed_is_not_taken_over(virtual_clock):
    entered: list[float] = []
    async with (
        coord.testing.ensemble(reap_interval_s=3600) as ensemble,
        ensemble.client() as one,
        ensemble.client() as two,
        trio.open_nursery() as nursery,
    ):

        async def wait() -> None:
            async with Lease(two, "/lease", 10):
                entered.append(trio.current_time())

        async with Lease(one, "/lease", 10) as lease:
            nursery.start_soon(wait)
            for _ in range(6):
                await trio.sleep(5)
                await lease.renew()
            assert entered == []
        begun = trio.current_time()
        await ensemble.wait(lambda: bool(entered))
        assert entered[0] - begun < 0.1


async def test_what_lies_where_a_lease_should_be_is_waited_for(virtual_clock):
    async with coord.testing.ensemble() as ensemble, ensemble.client() as client:
        await client.create("/lease/holder", b"mine", parents=True)
        with pytest.raises(TimeoutError):
            async with Lease(client, "/lease", 1, timeout=20):
                pass
        await client.delete("/lease/holder")
        async with Lease(client, "/lease", 1, timeout=1):
            pass


async def test_who_waits_for_a_lease_and_has_its_place_deleted_takes_another(ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two:

        async def wait() -> None:
            async with Lease(two, "/lease", 5, timeout=60):
                assert await two.children("/lease/queue") == []

        async with trio.open_nursery() as nursery, Lease(one, "/lease", 5):
            nursery.start_soon(wait)
            await trio.sleep(0.1)
            for place in await one.children("/lease/queue"):
                await one.delete(f"/lease/queue/{place}")
            await trio.sleep(0.1)


async def test_the_servers_clock_may_be_set_while_a_lease_is_waited_for(virtual_clock, monkeypatch):
    """It is set forward by a day, once for all servers."""
    ahead_ms = 0
    take = Replica.take
    monkeypatch.setattr(Replica, "take", lambda replica, now, wall_ms: take(replica, now, wall_ms + ahead_ms))
    inside = Inside(alone)
    async with (
        coord.testing.ensemble(reap_interval_s=3600) as ensemble,
        ensemble.client() as one,
        ensemble.client() as two,
        trio.open_nursery() as nursery,
    ):

        async def hold(client: coord.Client, name: str) -> None:
            with ends_with(LockLost):
                async with Lease(client, "/lease", 30, name=name) as lease, inside.body(name, lease):
                    await trio.sleep(100)

        begun = trio.current_time()
        nursery.start_soon(hold, one, "one")
        await trio.sleep(1)
        nursery.start_soon(hold, two, "two")
        await trio.sleep(5)
        ahead_ms = 86_400_000
        await one.create("/written")
        ensemble.isolate(one)  # it cannot give it back
        await ensemble.wait(lambda: inside.entered == ["one", "two"])
        assert 30 <= trio.current_time() - begun < 30.1


async def test_cancelled_at_any_checkpoint_while_it_takes_a_lease_over_it_leaves_no_znode(virtual_clock):
    async with coord.testing.ensemble(reap_interval_s=3600) as ensemble, ensemble.client() as client:

        async def scenario(cancellable: Cancellable) -> None:
            await client.create("/x/holder", b"dead\nid\n100", ttl=0.1, parents=True)
            with cancellable:
                async with Lease(client, "/x", 10):
                    await trio.sleep(0.01)
            assert await client.ephemerals() == []
            if await client.exists("/x/holder"):
                assert (await client.get("/x/holder"))[0] == b"dead\nid\n100"
                assert cancellable.fired
                await client.delete("/x/holder")

        assert await at_each_checkpoint(scenario) > 10


async def test_who_asks_for_the_time_with_a_place_that_is_gone_leaves_a_later_one_of_its_name_alone(
    ensemble, virtual_clock
):
    async with ensemble.client() as one, ensemble.client() as two:
        lease = Lease(one, "/lease", 10)
        place = await lease._places.take("lock", "one")
        assert await place.before() is None
        await two.delete("/lease/queue", recursive=True)
        other = await Lease(two, "/lease", 10)._places.take("lock", "two")
        assert other.path == place.path
        seen = await one.exists("/lease", linearizable=True)
        with pytest.raises(PlaceGone):
            await lease._ask_left_s(b"holder\nid\n10000", seen, place)
        assert (await two.get(other.path))[0] == other.value
