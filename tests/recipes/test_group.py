"""Members are those whose sessions live: in the end all see the same, and nothing is left of those who went."""

import random

import anyio
import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import LockLost, MisuseError
from recipes import group as group_module
from recipes.group import Group
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


async def come_and_go(ensemble: coord.testing.Ensemble, rng: random.Random, name: str) -> None:
    """Some leave, some are cancelled, some are cut off until their session has ended."""
    for life in range(4):
        async with ensemble.client(session_timeout=4) as client:
            group = Group(client, "/group")
            with trio.move_on_after(rng.uniform(0, 3)):
                try:
                    async with group.join(b"x", name=f"{name}-{life}"):
                        if rng.random() < 0.3:
                            ensemble.isolate(client)
                            await trio.sleep(20)
                        await trio.sleep(rng.uniform(0, 3))
                except (LockLost, coord.SessionLostError):
                    pass
            ensemble.heal()
            await trio.sleep(rng.uniform(0, 0.5))
            if client.session.state != "LOST":
                assert f"/group/{name}-{life}" not in await client.ephemerals(), "left by a session that lives"


async def run_seed(seed: int) -> None:
    rng = random.Random(seed)
    async with (
        coord.testing.ensemble(seed=seed) as ensemble,
        ensemble.client(session_timeout=60) as watcher,
        ensemble.client(session_timeout=60) as steady,
        Group(watcher, "/group").watch() as view,
        Group(steady, "/group").join(b"steady", name="steady"),
    ):
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(come_and_go, ensemble, random.Random(seed * 10 + number), f"m{number}")
            nursery.start_soon(disturb, ensemble, rng, 3)
        await trio.sleep(10)
        await ensemble.wait_converged()
        living = set(ensemble.replicas[ensemble.leader()].machine.sessions)
        members = await view.sync()
        assert [each.name for each in members] == ["steady"]
        assert {each.session for each in members} <= living
        assert await Group(watcher, "/group").members() == members


@pytest.mark.parametrize("seed", seeds("1-10"))
async def test_in_the_end_the_members_are_those_whose_sessions_live(seed, virtual_clock):
    await run_seed(seed)


async def test_a_member_that_does_not_leave_is_found(virtual_clock, monkeypatch):
    async def release(client, path, token):
        pass

    async def run_seeds() -> None:
        for seed in range(1, 4):
            await run_seed(seed)

    monkeypatch.setattr(group_module, "release", release)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seeds()


@on_both
async def test_members_come_and_go_and_are_told():
    async with coord.embedded() as client:
        group, told = Group(client, "/group"), []
        async with group.watch() as view:
            assert await anext(view) == []
            async with group.join(b"1", name="one") as one:
                told.append([(each.name, each.value) for each in await anext(view)])
                async with group.join(b"2", name="two"):
                    told.append([(each.name, each.value) for each in await anext(view)])
                    await one.set(b"3")
                    told.append([(each.name, each.value) for each in await anext(view)])
                told.append([(each.name, each.value) for each in await anext(view)])
            told.append(await anext(view))
        assert told == [
            [("one", b"1")], [("one", b"1"), ("two", b"2")], [("one", b"3"), ("two", b"2")], [("one", b"3")], [],
        ]  # fmt: skip
        assert await group.members() == []


@on_both
async def test_a_member_that_is_put_out_is_told():
    async def stay(group: Group) -> None:
        async with group.join(name="one") as one:
            await group.client.delete(one.path)
            await anyio.sleep(60)

    async with coord.embedded() as client:
        with pytest.raises(LockLost, match="/group/one is held no more: it was deleted"):
            await stay(Group(client, "/group"))


async def test_a_name_that_is_taken_is_told_or_waited_for(ensemble, virtual_clock):
    async with ensemble.client() as client:
        group = Group(client, "/group")
        async with ensemble.client() as other:
            await other.create("/group/one", ephemeral=True, parents=True)
            await client.sync()
            with pytest.raises(MisuseError, match="'one' is a member of /group already"):
                async with group.join(name="one"):
                    pass
            other.session.hand_over()
        async with group.join(name="one", wait=True) as membership:
            assert [each.token for each in await group.members()] == [membership.token]


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        with pytest.raises(ValueError, match="path of a recipe"):
            Group(client, "group")
        with pytest.raises(ValueError, match="layout is one of"):
            Group(client, "/group", layout="curator")
        for name in ("", "a/b", "..", 7):
            with pytest.raises(ValueError, match="name of a member"):
                async with Group(client, "/group").join(name=name):
                    pass
        with pytest.raises(ValueError, match="no value"):
            async with Group(client, "/group", layout="kazoo").join(b"x"):
                pass
        with pytest.raises(coord.RequestTooLargeError):
            async with Group(client, "/group").join(b"x" * (2 << 20)):
                pass
        assert await Group(client, "/group").members() == []
        async with Group(client, "/group").watch() as view:
            await anext(view)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, view)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(anyio.BusyResourceError):
                    await anext(view)
                tasks.cancel_scope.cancel()
        with pytest.raises(RuntimeError, match="has been left"):
            await anext(view)
