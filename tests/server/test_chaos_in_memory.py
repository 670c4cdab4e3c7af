"""Whole servers under random mischief: cut off, without power, with torn connections, while clients write and move.

After it: every server's state is the same, every acknowledged write is there once, no server has ended by itself. A
seed that fails is shown by the test's name; `COORD_TEST_SEEDS=FIRST-LAST` tries others.
"""

import os
import random

import pytest
import trio
from memory_ensemble import MemoryClient, MemoryEnsemble, memory_ensemble

from tools.wire import jute
from tools.wire.client import HungUpError, SessionRefusedError
from tools.wire.jute import NO_PASSWORD, Op, Reader

SMALL = {
    "segment_bytes": 8192,
    "snapshot_after_bytes": 6000,
    "snapshots_kept": 1,
    "past_bytes_max": 0,
    "history_bytes_max": 3000,
}
MISCHIEF_S = 12.0


def seeds() -> range:
    first, _, last = os.environ.get("COORD_TEST_SEEDS", "1-3").partition("-")
    return range(int(first), int(last or first) + 1)


class Wanderer:
    """A client that writes all the while, and goes on with its session at another server when it is hung up on."""

    def __init__(self, ensemble: MemoryEnsemble, rng: random.Random, name: str) -> None:
        self._ensemble = ensemble
        self._rng = rng
        self._name = name
        self._session, self._password = 0, NO_PASSWORD
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self.sessions_lost = 0
        self.stopping = False

    async def run(self) -> None:
        number = 0
        while not self.stopping:
            client = await self._connect()
            if client is None:
                await trio.sleep(0.2)
                continue
            try:
                while not self.stopping:
                    batch = self._rng.randrange(1, 6)
                    names = [f"/{self._name}-{number + each}" for each in range(batch)]
                    number += batch
                    self.unknown += names
                    for name in names:
                        flags = 1 if self._rng.random() < 0.1 else 0
                        await client.send(Op.CREATE, jute.create(name, bytes(self._rng.randrange(200)), flags=flags))
                        if flags:
                            self.unknown.remove(name)  # it may go with its session at any time
                        if self._rng.random() < 0.3:
                            await client.send(Op.SET_DATA, jute.set_data("/shared", name.encode()))
                        if self._rng.random() < 0.2:
                            await client.send(Op.GET_DATA, jute.path_and_watch("/shared", True))
                        if self._rng.random() < 0.1:
                            await client.send(Op.SYNC, jute.string("/"))
                    await client.send(Op.EXISTS, jute.path_and_watch("/shared"), xid=-100)
                    with trio.fail_after(8):
                        while (reply := await client.receive()).xid != -100:
                            assert reply.error == 0, reply
                            if reply.body.startswith(b"\x00\x00\x00") and b"/" + self._name.encode() in reply.body[:20]:
                                path = Reader(reply.body).string()
                                if path in self.unknown:
                                    self.unknown.remove(path)
                                    self.acknowledged.append(path)
                    await trio.sleep(self._rng.random() * 0.5)
            except (HungUpError, OSError, trio.TooSlowError):
                client.stream.close()
        if client is not None:
            client.stream.close()

    async def _connect(self) -> MemoryClient | None:
        server = self._rng.choice(list(self._ensemble.servers))
        try:
            with trio.fail_after(2):
                client = await self._ensemble.dial(server, f"c-{self._name}")
                await client.open(20_000, self._session, self._password)
        except SessionRefusedError:
            self._session, self._password = 0, NO_PASSWORD
            self.sessions_lost += 1
        except (HungUpError, OSError, trio.TooSlowError):
            pass
        else:
            self._session, self._password = client.session, client.password
            return client
        return None


async def make_mischief(ensemble: MemoryEnsemble, rng: random.Random) -> None:
    """One thing after the other for a while; at the end all servers run and all are connected."""
    until_s = trio.current_time() + MISCHIEF_S
    while trio.current_time() < until_s:
        await trio.sleep(rng.random() * 2)
        server = rng.choice(list(ensemble.servers))
        match rng.randrange(6):
            case 0:
                ensemble.cut_off(server)
            case 1:
                one, other = rng.sample(list(ensemble.servers), 2)
                ensemble.network.cut(f"s{one}", f"s{other}")
            case 2:
                ensemble.network.heal()
            case 3:
                one, other = rng.sample(list(ensemble.servers), 2)
                ensemble.network.break_between(f"s{one}", f"s{other}")
            case _:
                if server in ensemble.replicas:
                    ensemble.crash(server, lose_all=rng.random() < 0.5)
                else:
                    await ensemble.start(server)
    ensemble.network.heal()
    for server in ensemble.servers:
        if server not in ensemble.replicas:
            await ensemble.start(server)


@pytest.mark.parametrize("seed", seeds())
async def test_nothing_acknowledged_is_lost_or_done_twice(seed: int, autojump_clock: trio.testing.MockClock) -> None:
    rng = random.Random(seed)
    servers = rng.choice((3, 3, 5))
    async with memory_ensemble(servers, seed=seed, **(SMALL if rng.random() < 0.7 else {})) as ensemble:
        first = await ensemble.client(1)
        await first.create("/shared")
        wanderers = [Wanderer(ensemble, random.Random(rng.getrandbits(32)), f"w{number}") for number in range(4)]
        async with trio.open_nursery() as nursery:
            for wanderer in wanderers:
                nursery.start_soon(wanderer.run)
            await make_mischief(ensemble, rng)
            await ensemble.wait_leader()
            await trio.sleep(3)
            for wanderer in wanderers:
                wanderer.stopping = True
        await ensemble.wait_converged()
        assert not ensemble.failures
        nodes = ensemble.replicas[1].machine.tree.nodes
        for wanderer in wanderers:
            assert wanderer.acknowledged
            missing = [path for path in wanderer.acknowledged if path not in nodes]
            assert not missing
