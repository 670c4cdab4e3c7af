"""What servers tell of the past while they are cut off, lose power and are led anew: never anything that was not to be.

What one server has told to follow a zxid is what every server tells for ever: it was committed.
"""

import random
from contextlib import aclosing

import pytest
import trio
from memory_ensemble import CLIENT_PORT, MemoryEnsemble, memory_ensemble
from test_chaos_in_memory import SMALL, Wanderer, seeds

from coord.past.errors import PastDamaged, PastError
from coord.past.remote import ServerSource

LOOK_S = 0.05
MISCHIEFS = 5


class Listener:
    """Asks one server again and again for what came after what it has told before."""

    def __init__(self, servers: MemoryEnsemble, server: int, told: dict[int, bytes]) -> None:
        self._servers = servers
        self._source = ServerSource(servers.network.host("asker"), f"s{server}", CLIENT_PORT, f"s{server}")
        self._told = told  # of all servers: what follows each zxid
        self.last = 0
        self.batches = 0
        self.begun_anew = 0

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            try:
                async with aclosing(self._source.batches(self.last)) as batches:
                    async for batch in batches:
                        assert batch.previous >= self.last
                        assert self._told.setdefault(batch.previous, batch.encoded) == batch.encoded
                        self.last = batch.last
                        self.batches += 1
            except PastDamaged:
                raise
            except PastError:  # it does not run, went away, or has forgotten so much
                await self._begin_anew()

    async def _begin_anew(self) -> None:
        try:
            start = (await self._source.overview()).log_start
        except PastError:
            return
        if start > self.last:
            self.last = start
            self.begun_anew += 1


async def make_mischief(servers: MemoryEnsemble, rng: random.Random) -> None:
    """Leaders keep their clients and lose the others, for so long that these elect another; or servers lose power."""
    for _ in range(MISCHIEFS):
        leader = await servers.wait_leader()
        await trio.sleep(rng.random())
        if rng.random() < 0.7:
            servers.cut_off(leader)
            await trio.sleep(2.5 + rng.random())
            servers.network.heal()
        else:
            server = rng.choice(list(servers.servers))
            servers.crash(server, lose_all=rng.random() < 0.5)
            await trio.sleep(rng.random() * 2)
            await servers.start(server)


@pytest.mark.parametrize("seed", seeds())
async def test_what_was_told_once_is_what_every_server_tells(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    rng = random.Random(seed)
    async with memory_ensemble(3, seed=seed, inspect="anyone", **SMALL) as servers:
        await (await servers.client(1)).create("/shared")
        wanderers = [Wanderer(servers, random.Random(rng.getrandbits(32)), f"w{number}") for number in range(3)]
        told: dict[int, bytes] = {}
        listeners = [Listener(servers, server, told) for server in servers.servers]
        async with trio.open_nursery() as nursery:
            for each in (*wanderers, *listeners):
                nursery.start_soon(each.run)
            await make_mischief(servers, rng)
            await servers.wait_leader()
            await trio.sleep(2)
            for wanderer in wanderers:
                wanderer.stopping = True
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        assert not servers.failures
        assert {each.last for each in listeners} == {servers.replicas[1].participant.log.commit}
        assert min(each.batches for each in listeners) > 20
