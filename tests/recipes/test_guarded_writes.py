"""Programs are stopped for as long as it pleases, and wake up in their bodies: what they write comes too late.

They write by way of another's session; their own has ended, and would take no write. The writes that the servers accept
have tokens that never go back, which is looked for in the servers' own state.
"""

import random
from contextlib import suppress
from typing import Any

import pytest
import trio

import coord
import coord.testing
from coord.state.machine import Machine
from coord.testing.fixture import virtual_clock as virtual_clock
from coord.testing.scheduling import Freezer
from recipes import Held
from tests.recipes.contention import EXCLUSIVE, TIMEOUT_S, Contention, Violation, ends_with, seeds


class Written:
    """The tokens in `/written`, as the servers have applied them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.zxid = 0
        self.tokens: list[int] = []
        apply = Machine.apply

        def applied(machine: Machine, zxid: int, *arguments: Any, **options: Any) -> Any:
            reply = apply(machine, zxid, *arguments, **options)
            znode = machine.tree.nodes.get("/written")
            if zxid > self.zxid:
                self.zxid = zxid
                if znode is not None and znode.mzxid == zxid and znode.data:
                    self.tokens.append(int(znode.data))
            return reply

        monkeypatch.setattr(Machine, "apply", applied)

    def check(self) -> None:
        if self.tokens != sorted(self.tokens):
            raise Violation("a holder has written after a later one")


async def stop_programs(contention: Contention) -> None:
    """One after the other stands still for a while, some for longer than their sessions live."""
    freezer, rng = Freezer(), contention.ensemble.rng
    while not contention.over:
        await trio.sleep(rng.random())
        task = rng.choice(list(contention.tasks.values()))
        freezer.freeze(task)
        await trio.sleep(rng.choice([0.2, TIMEOUT_S / 2, 2 * TIMEOUT_S]))
        freezer.thaw(task)


async def run_seed(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> int:
    written = Written(monkeypatch)

    async def use(client: coord.Client, who: str, rng: random.Random) -> None:
        async with EXCLUSIVE[name](client) as held:
            for _ in range(20):
                await write(held)
                await trio.sleep(rng.random() * 0.1)

    async def write(held: Held) -> None:
        with suppress(coord.NoNodeError, coord.BadVersionError):
            async with writer.transaction(guard=held) as txn:
                txn.set("/written", b"%d" % held.token)

    async with coord.testing.ensemble(seed=seed) as ensemble, ensemble.client(session_timeout=100) as writer:
        await writer.create("/written")
        contention = Contention(ensemble, use, count=3, seconds=40)
        await contention.run(stop_programs)
    written.check()
    return len(set(written.tokens))


@pytest.mark.parametrize("seed", seeds("1-2"))
@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_who_was_stopped_writes_nothing_after_a_later_holder(name, seed, virtual_clock, monkeypatch):
    assert await run_seed(name, seed, monkeypatch) > 5


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_a_guard_that_is_not_looked_at_is_found(name, virtual_clock, monkeypatch):
    transaction = coord.Client.transaction

    async def run_seeds() -> None:
        for seed in range(1, 9):
            await run_seed(name, seed, monkeypatch)

    def unguarded(client: coord.Client, guard: Held | None = None) -> coord.Transaction:
        return transaction(client, None if isinstance(guard, Held) else guard)

    monkeypatch.setattr(coord.Client, "transaction", unguarded)
    with ends_with(Violation):
        await run_seeds()
