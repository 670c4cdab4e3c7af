"""A margin below 0 would let a body go on after its proof; one of the whole timeout would let none begin."""

import pytest

from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import (
    DoubleBarrier,
    Election,
    Group,
    Lock,
    MisuseError,
    Partitioner,
    PeriodicJob,
    ReadWriteLock,
    Semaphore,
    TaskQueue,
)

MAKE = {
    "lock": lambda client, margin: Lock(client, "/x", margin=margin),
    "read write lock": lambda client, margin: ReadWriteLock(client, "/x", margin=margin),
    "semaphore": lambda client, margin: Semaphore(client, "/x", margin=margin),
    "election": lambda client, margin: Election(client, "/x", margin=margin),
    "double barrier": lambda client, margin: DoubleBarrier(client, "/x", 2, margin=margin),
    "partitioner": lambda client, margin: Partitioner(client, "/x", ["a"], margin=margin),
    "periodic job": lambda client, margin: PeriodicJob(client, "/x", every=1, margin=margin),
    "group": lambda client, margin: Group(client, "/x").join(margin=margin),
    "task queue": lambda client, margin: TaskQueue(client, "/x").take(margin=margin),
}


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("margin", [-1, 4, float("nan")])
async def test_a_margin_that_is_none_is_refused_before_anything_is_taken(name, margin, ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client:
        with pytest.raises(MisuseError, match="/x: a margin is a number of seconds from 0 to less than the session's"):
            async with MAKE[name](client, margin):
                pass
        assert await client.exists("/x") is None
