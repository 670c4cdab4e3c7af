"""On asyncio, with a timeout around everything, at any moment: nothing is lost, nobody is cancelled late."""

import asyncio
import random
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import coord
import recipes.shielded
from recipes import Election, Lease, Lock, Queue, Semaphore, Term
from tests.recipes.contention import Violation, seeds

WORKERS = 12
SECONDS = 1.5
PATIENCE_S = 0.03
"""About as long as it takes to get in."""


class Crowd:
    """Workers that use everything in turn, each time for a moment, and with little patience."""

    def __init__(self, clients: list[coord.Client], rng: random.Random) -> None:
        self.rng = rng
        self.clients = clients
        self.inside: dict[str, int] = {}
        self.put: set[bytes] = set()
        self.got: list[bytes] = []
        self.ended = 0
        self._values = 0

    async def work(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        end = loop.time() + SECONDS
        while loop.time() < end:
            act = self.rng.choice((self.lock, self.semaphore, self.lead, self.lease, self.take, self.add))
            try:
                async with asyncio.timeout(self.rng.uniform(0, PATIENCE_S)):
                    await act(self.rng.choice(self.clients))
            except TimeoutError:
                pass
            if task.cancelling():
                raise Violation(f"{act.__name__}: {task.cancelling()} cancellations are still counted")
        self.ended += 1

    async def hold(self, name: str, most: int, block: AbstractAsyncContextManager[Any]) -> None:
        async with block:
            await self.body(name, most)

    async def body(self, name: str, most: int) -> None:
        self.inside[name] = self.inside.get(name, 0) + 1
        try:
            if self.inside[name] > most:
                raise Violation(f"{self.inside[name]} are inside the {name}")
            await asyncio.sleep(self.rng.uniform(0, 0.003))
        finally:
            self.inside[name] -= 1

    async def lock(self, client: coord.Client) -> None:
        await self.hold("lock", 1, Lock(client, "/lock", confirm=self.rng.random() < 0.5))

    async def semaphore(self, client: coord.Client) -> None:
        await self.hold("semaphore", 2, Semaphore(client, "/semaphore", 2, confirm=self.rng.random() < 0.5))

    async def lease(self, client: coord.Client) -> None:
        await self.hold("lease", 1, Lease(client, "/lease", 30))

    async def lead(self, client: coord.Client) -> None:
        async def serve(term: Term) -> None:
            await self.body("election", 1)

        await Election(client, "/election", confirm=self.rng.random() < 0.5).run(serve)

    async def take(self, client: coord.Client) -> None:
        self.got.append(await Queue(client, "/queue", limit=3).get())

    async def add(self, client: coord.Client) -> None:
        self._values += 1
        value = b"%d" % self._values
        await Queue(client, "/queue", limit=3).put(value)
        self.put.add(value)


async def crowd(seed: int) -> None:
    async with coord.embedded() as one, coord.connect(one.server.address) as two:
        crowd = Crowd([one, two], random.Random(seed))
        workers = [asyncio.create_task(crowd.work()) for _ in range(WORKERS)]
        _, going_on = await asyncio.wait(workers, timeout=30)
        for worker in workers:
            worker.cancel()
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, Exception)]
        if failures:
            raise failures[0]
        if going_on or crowd.ended < WORKERS:
            raise Violation(f"{len(going_on)} hang, and {WORKERS - crowd.ended - len(going_on)} were cancelled late")
        queue = Queue(one, "/queue")
        there = crowd.got + [await queue.get_nowait() for _ in range(await queue.count())]
        assert len(there) == len(set(there)), "an item was taken twice"
        assert crowd.put <= set(there), "an item was lost"
        assert await one.ephemerals() == await two.ephemerals() == []
        assert await one.exists("/lease/holder") is None
        assert crowd.got


@pytest.mark.parametrize("seed", seeds("1-2"))
def test_with_a_timeout_at_any_moment_nothing_is_lost_and_nobody_is_cancelled_late(seed):
    asyncio.run(crowd(seed))


def test_a_mutant_that_cancels_again_what_was_taken_back_is_found(monkeypatch):
    monkeypatch.setattr(recipes.shielded, "_cancel_again", lambda task, requests: task.cancel())
    with pytest.raises(Violation):
        asyncio.run(crowd(1))
