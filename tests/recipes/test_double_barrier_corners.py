"""A double barrier of one, names with line ends in them, and members that are all cancelled while they leave."""

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier, LockLost, MemberDied
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import ends_with


async def test_a_barrier_of_one_that_is_cancelled_anywhere_leaves_no_znode(ensemble, virtual_clock):
    async with ensemble.client() as client:

        async def scenario(cancellable: Cancellable) -> None:
            with cancellable:
                async with DoubleBarrier(client, "/x", 1):
                    await trio.sleep(0.02)
            assert await client.children("/x") == []

        assert await at_each_checkpoint(scenario) > 5


async def test_members_that_are_all_cancelled_while_they_leave_leave_no_znode(ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two:
        for step in range(30):
            after_s = 0.05 + step / 1000

            async def member(client, body_s: float, after_s: float) -> None:
                with trio.move_on_after(after_s):
                    async with DoubleBarrier(client, "/x", 2):
                        await trio.sleep(body_s)

            async with trio.open_nursery() as nursery:
                for client, body_s in ((one, 0.03), (two, 0.05)):
                    nursery.start_soon(member, client, body_s, after_s)
            await one.sync()
            assert await one.children("/x") == [], f"cancelled after {after_s} s"


@pytest.mark.parametrize("name", ["a\rb", "a\x0bb", "a\x85b", "a\u2028b", "a\tb", "", "\u00e9\u732b"])
async def test_a_name_with_anything_in_it_hinders_nobody(name, ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:

        async def member(client, own: str) -> None:
            async with DoubleBarrier(client, "/x", 2, name=own, timeout=5) as party:
                assert sorted(party.members.values()) == sorted([name.replace("\t", " "), "other"])

        nursery.start_soon(member, one, name)
        nursery.start_soon(member, two, "other")


async def test_a_death_is_told_though_the_round_is_longer_than_the_servers_remember(ensemble, virtual_clock):
    told: list[list[str]] = []
    async with (
        ensemble.client(session_timeout=4) as dying,
        ensemble.client() as one,
        ensemble.client() as two,
        trio.open_nursery() as nursery,
    ):

        async def come(client: coord.Client, name: str, stay_s: float) -> None:
            try:
                async with DoubleBarrier(client, "/x", 3, name=name):
                    await trio.sleep(stay_s)
            except MemberDied as error:
                told.append(error.names)

        async def die() -> None:
            with ends_with(LockLost, coord.SessionLostError):
                async with DoubleBarrier(dying, "/x", 3, name="mortal"):
                    ensemble.isolate(dying)
                    await trio.sleep(60)

        nursery.start_soon(die)
        nursery.start_soon(come, one, "one", 30)
        nursery.start_soon(come, two, "two", 40)
        await trio.sleep(20)
        await one.create("/later")
        await ensemble.wait_converged()
        for replica in ensemble.replicas.values():
            replica.window.restart(replica.machine.zxid)
    assert told == [["mortal"], ["mortal"]]
