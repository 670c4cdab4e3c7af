"""A process with kazoo and one with coord share a counter and a group."""

from functools import partial

import anyio
import pytest

import coord
from recipes import Counter, Group
from tests.client.both import on_both

ADDS = 30


@pytest.mark.parametrize("layout", ["kazoo", "curator"])
def test_both_count_and_nothing_is_lost(real, kazoo, layout):
    path = f"/kazoo/counter-{layout}"
    theirs = kazoo.Counter(path, support_curator=layout == "curator")

    def count() -> None:
        for _ in range(ADDS):
            theirs.__add__(1)

    async def main() -> None:
        async with coord.connect(real.hosts()) as client:
            ours = Counter(client, path, layout=layout)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, count)
                for _ in range(ADDS):
                    await ours.add(1)
            assert await ours.get(linearizable=True) == 2 * ADDS
            await ours.add(-5)
            await client.sync()

    anyio.run(main, backend="trio")
    kazoo.sync(path)
    assert theirs.value == 2 * ADDS - 5


@on_both
async def test_both_are_members_and_see_each_other(real, kazoo, request):
    path = f"/kazoo/party-{request.node.name}"
    theirs = kazoo.Party(path, "theirs")
    in_thread = anyio.to_thread.run_sync
    async with coord.connect(real.hosts()) as client:
        group = Group(client, path, layout="kazoo")
        async with group.watch() as view, group.join(name="ours"):
            await in_thread(theirs.join)
            with anyio.fail_after(20):
                async for members in view:
                    if [each.name for each in members] == ["ours", "theirs"]:
                        break
            await in_thread(partial(kazoo.sync, path))
            assert sorted(await in_thread(lambda: list(theirs))) == ["ours", "theirs"]
            assert await in_thread(len, theirs) == 2
            await in_thread(theirs.leave)
            with anyio.fail_after(20):
                async for members in view:
                    if [each.name for each in members] == ["ours"]:
                        break
        await in_thread(partial(kazoo.sync, path))
        assert await in_thread(lambda: list(theirs)) == []
