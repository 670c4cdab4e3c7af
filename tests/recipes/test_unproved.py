"""What was got, and cannot be proved any more when the answer comes, has no body that begins; nor is anything left."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import (
    DoubleBarrier,
    Group,
    Held,
    Lock,
    LockLost,
    Partitioner,
    PeriodicJob,
    ReadWriteLock,
    Semaphore,
    TaskQueue,
)
from recipes import barrier as barrier_module
from recipes import semaphore as semaphore_module

MARGIN_S = 3.9
"""Of a session's timeout of 4 s: it is proved for 0.1 s, and an answer takes 0.3 s or more."""

Ran = list[str]


def block(make: Callable[[coord.Client], object]) -> Callable[[coord.Client, Ran], Awaitable[None]]:
    async def enter(client: coord.Client, ran: Ran) -> None:
        async with make(client):
            ran.append("body")

    return enter


async def own(client: coord.Client, ran: Ran) -> None:
    async def serve(owned: object) -> None:
        ran.append("body")

    await Partitioner(client, "/x", ["a"], margin=MARGIN_S).run(serve)


async def run(client: coord.Client, ran: Ran) -> None:
    async def work(run: object) -> None:
        ran.append("body")

    await PeriodicJob(client, "/x", every=1, margin=MARGIN_S).run(work)


USES = {
    "lock": block(lambda client: Lock(client, "/x", margin=MARGIN_S)),
    "read": block(lambda client: ReadWriteLock(client, "/x", margin=MARGIN_S).read()),
    "write": block(lambda client: ReadWriteLock(client, "/x", margin=MARGIN_S).write()),
    "semaphore": block(lambda client: Semaphore(client, "/x", margin=MARGIN_S)),
    "double barrier": block(lambda client: DoubleBarrier(client, "/x", 1, margin=MARGIN_S)),
    "task queue": block(lambda client: TaskQueue(client, "/tasks").take(margin=MARGIN_S)),
    "group": block(lambda client: Group(client, "/x").join(margin=MARGIN_S)),
    "partitioner": own,
    "periodic job": run,
}


async def bodies_that_begin_unproved(ensemble, name: str, ending: AbstractContextManager[object]) -> Ran:
    ran: Ran = []
    async with ensemble.client(session_timeout=4) as client:
        await TaskQueue(client, "/tasks").put(b"work")
        for server in ensemble.servers:
            ensemble.slow(client, server, (0.3, 0.3))
        await trio.sleep(5)
        with ending:
            await USES[name](client, ran)
        assert await client.ephemerals() == []
    return ran


@pytest.mark.parametrize("name", USES)
async def test_no_body_begins_that_cannot_be_proved(name, ensemble, virtual_clock):
    told = pytest.raises(LockLost, match="cannot be proved to be held")
    assert await bodies_that_begin_unproved(ensemble, name, told) == []


@pytest.mark.parametrize("name", [name for name in USES if name not in ("partitioner", "periodic job")])  # ask more
async def test_a_mutant_that_does_not_ask_for_the_proof_is_found(name, ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(Held, "check", lambda held: None)
    assert await bodies_that_begin_unproved(ensemble, name, suppress(LockLost)) == ["body"]


@pytest.mark.parametrize("name", ["semaphore", "double barrier"])
async def test_no_body_begins_whose_znode_was_deleted_by_hand(name, ensemble, virtual_clock, monkeypatch):
    module = semaphore_module if name == "semaphore" else barrier_module
    token_of = module.token_of
    async with ensemble.client() as client, ensemble.client() as other:

        async def deleted_before(client: coord.Client, path: str) -> int:
            await other.sync()
            await other.delete(path)
            await client.sync()
            return await token_of(client, path)

        monkeypatch.setattr(module, "token_of", deleted_before)
        ran: Ran = []
        with pytest.raises(LockLost, match="was deleted before its body began"):
            async with Semaphore(client, "/x") if name == "semaphore" else DoubleBarrier(client, "/x", 1):
                ran.append("body")
        assert ran == []
        assert await client.ephemerals() == []
