"""Whoever was frozen while its session ended is told when it wakes up, and nothing more is done in its body."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from coord.testing.scheduling import Freezer
from recipes import Group, Held, LockLost, Owned, Partitioner, PeriodicJob, Run, TaskQueue

Use = Callable[[Held], Awaitable[None]]


async def take(client: coord.Client, use: Use) -> None:
    async with TaskQueue(client, "/x/tasks").take() as task:
        await use(task)


async def own(client: coord.Client, use: Use) -> None:
    async def serve(owned: Owned) -> None:
        await use(owned)

    await Partitioner(client, "/x/parts", ["a"], name=f"{client.session.id:x}").run(serve)


async def run(client: coord.Client, use: Use) -> None:
    async def work(run: Run) -> None:
        await use(run)

    await PeriodicJob(client, "/x/job", every=1).run(work)


async def join(client: coord.Client, use: Use) -> None:
    async with Group(client, "/x/group").join(name="one", wait=True) as membership:
        await use(membership)


@pytest.mark.parametrize("work", [take, own, run, join])
async def test_who_was_frozen_while_its_session_ended_is_told_by_check(work, ensemble, virtual_clock):
    freezer, log, programs = Freezer(), [], []
    entered, thawed = trio.Event(), trio.Event()

    async def use_first(held: Held) -> None:
        entered.set()
        try:
            while True:
                await trio.sleep(0.1)
                held.check()
                log.append("first")
        finally:
            thawed.set()

    async def program() -> None:
        programs.append(trio.lowlevel.current_task())
        with pytest.raises((LockLost, coord.SessionLostError)):
            async with ensemble.client(session_timeout=4) as client:
                await work(client, use_first)

    async def use_second(held: Held) -> None:
        log.append("second")
        freezer.thaw(programs[0])
        await thawed.wait()
        await trio.sleep(1)
        async with other.transaction(guard=held) as txn:
            txn.set("/written", b"second")
        scope.cancel()

    async with ensemble.client() as other:
        await other.create("/written")
        await TaskQueue(other, "/x/tasks").put(b"work")
        with trio.fail_after(60), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(program)
                await entered.wait()
                await trio.sleep(0.5)
                freezer.freeze(programs[0])
                await work(other, use_second)
        assert log[-1] == "second"
        assert "first" in log
        assert (await other.get("/written"))[0] == b"second"
