"""A double barrier of one, names with line ends in them, and members that are all cancelled while they leave."""

import pytest
import trio

from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier
from tests.recipes.cancelling import Cancellable, at_each_checkpoint


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
