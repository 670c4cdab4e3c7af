"""Contenders for one recipe in an ensemble in memory, with bodies that are watched in true, simulated time.

`Inside` knows at every moment which bodies run, and what may run together. `Contention` runs the contenders; a
contender whose session is lost comes back with another. `make_mischief` breaks servers, ways and clients by a seed.
"""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import trio

import coord
import coord.testing
from recipes import Election, Held, Lease, Lock, LockLost, ReadWriteLock, Semaphore

TIMEOUT_S = 4.0


def seeds(usual: str) -> range:
    """COORD_TEST_SEEDS=FIRST-LAST tries others."""
    first, _, last = os.environ.get("COORD_TEST_SEEDS", usual).partition("-")
    return range(int(first), int(last or first) + 1)


class Violation(AssertionError):
    """A property of a recipe does not hold."""


class Inside:
    """Which bodies run now. `together(kinds)` says whether bodies of these kinds may run at the same time."""

    def __init__(self, together: Callable[[list[str]], bool], *, ordered: bool = True) -> None:
        self.bodies: dict[str, str] = {}  # by contender: the kind
        self.tokens: list[int] = []
        self.entered: list[str] = []
        self.together = together
        self.ordered = ordered
        """Whether they come in with ever greater tokens."""

    @asynccontextmanager
    async def body(self, name: str, held: Held, kind: str = "") -> AsyncIterator[None]:
        self.come(name, held, kind)
        try:
            yield
        finally:
            self.bodies.pop(name, None)

    def come(self, name: str, held: Held, kind: str) -> None:
        self.bodies[name] = kind
        self.check()
        if held.token in self.tokens:
            raise Violation(f"{name} got the token {held.token:#x} again")
        if self.ordered and self.tokens and held.token < self.tokens[-1]:
            raise Violation(f"{name} got the token {held.token:#x} after {self.tokens[-1]:#x}")
        self.tokens.append(held.token)
        self.entered.append(name)

    def check(self) -> None:
        if not self.together(list(self.bodies.values())):
            raise Violation(f"at {anyio.current_time():.3f} s these bodies run at once: {self.bodies}")


@contextmanager
def ends_with(*errors: type[Exception]) -> Iterator[None]:
    """The block is left with one of these, or with a group of nothing else."""
    try:
        yield
    except errors:
        return
    except BaseExceptionGroup as group:
        if group.split(errors)[1] is not None:
            raise
        return
    raise AssertionError(f"the block ended well, and not with one of {errors}")


def alone(kinds: list[str]) -> bool:
    return len(kinds) <= 1


def readers_or_one_writer(kinds: list[str]) -> bool:
    return len(kinds) <= 1 or "write" not in kinds


def at_most(capacity: int) -> Callable[[list[str]], bool]:
    return lambda kinds: len(kinds) <= capacity


class Leading:
    """An election as a block, so that it can be tried as the locks are."""

    def __init__(self, client: coord.Client, **options: Any) -> None:
        self._election = Election(client, "/x", **options)

    async def __aenter__(self) -> Held:
        self._term = await anext(self._election)
        return await self._term.__aenter__()

    async def __aexit__(self, *error) -> bool | None:
        done = await self._term.__aexit__(*error)
        if done:
            raise LockLost(self._term.lost or "the term has ended by its own check")
        return done


EXCLUSIVE: dict[str, Callable[[coord.Client], Any]] = {
    "lock": lambda client: Lock(client, "/x"),
    "write": lambda client: ReadWriteLock(client, "/x").write(),
    "semaphore": lambda client: Semaphore(client, "/x", 1),
    "lease": lambda client: Lease(client, "/x", 3.0, margin=0.3),
    "election": Leading,
}
"""Each recipe that lets one body run at a time, at the same path."""

Use = Callable[[coord.Client, str, random.Random], Awaitable[None]]


class Contention:
    """`count` contenders that call `use(client, name, rng)` again and again, until the time is over."""

    def __init__(self, ensemble: coord.testing.Ensemble, use: Use, *, count: int = 4, seconds: float = 20.0) -> None:
        self.ensemble = ensemble
        self.use = use
        self.count = count
        self.until_s = trio.current_time() + seconds
        self.clients: dict[str, coord.Client] = {}
        self.tasks: dict[str, trio.lowlevel.Task] = {}
        self.lost = 0
        self.cancelled = 0

    @property
    def over(self) -> bool:
        return trio.current_time() >= self.until_s

    async def run(self, mischief: Callable[["Contention"], Awaitable[None]]) -> None:
        rng = self.ensemble.rng
        async with trio.open_nursery() as nursery:
            for number in range(self.count):
                nursery.start_soon(self._contend, f"c{number}", random.Random(rng.getrandbits(32)))
            await mischief(self)

    async def _contend(self, name: str, rng: random.Random) -> None:
        self.tasks[name] = trio.lowlevel.current_task()
        while not self.over:
            try:
                async with self.ensemble.client(session_timeout=TIMEOUT_S, connect_timeout=5) as client:
                    self.clients[name] = client
                    try:
                        await self._use_often(client, name, rng)
                    finally:
                        del self.clients[name]
            except (coord.SessionLostError, coord.ConnectError):
                self.lost += 1
                await trio.sleep(0.1)

    async def _use_often(self, client: coord.Client, name: str, rng: random.Random) -> None:
        while not self.over:
            patience_s = rng.uniform(0.001, 0.5) if rng.random() < 0.2 else 1000.0
            with trio.move_on_after(patience_s) as scope:
                try:
                    await self.use(client, name, rng)
                except (LockLost, TimeoutError):
                    self.lost += 1
            self.cancelled += scope.cancelled_caught
            await trio.sleep(rng.random() * 0.2)


async def make_mischief(contention: Contention) -> None:
    """Until the time is over; then everything is well again."""
    ensemble = contention.ensemble
    rng = ensemble.rng
    frozen: set[int] = set()
    while not contention.over:
        await trio.sleep(rng.random() * 1.5)
        server = rng.choice(list(ensemble.servers))
        clients = list(contention.clients.values())
        dice = rng.random()
        if dice < 0.25:
            if server in ensemble.replicas:
                frozen.discard(server)
                ensemble.crash(server, lose_all=rng.random() < 0.5)
            else:
                await ensemble.start(server)
        elif dice < 0.35 and server in ensemble.replicas and server not in frozen:
            ensemble.freeze(server)
            frozen.add(server)
            await trio.sleep(rng.random() * 2)
            if server in frozen and server in ensemble.replicas:
                ensemble.thaw(server)
            frozen.discard(server)
        elif dice < 0.45:
            ensemble.isolate(server)
        elif dice < 0.65 and clients:
            ensemble.isolate(rng.choice(clients))
            await trio.sleep(rng.random() * 2 * TIMEOUT_S)
        elif dice < 0.72 and clients:
            client = rng.choice(clients)
            ensemble.network.break_between(ensemble.host_of(client), f"s{server}")
        elif dice < 0.8 and clients:
            ensemble.slow(server, rng.choice(clients), (0.01, 0.5))
        elif dice < 0.85 and clients:
            ensemble.cut(server, rng.choice(clients), one_way=rng.random() < 0.5)
        else:
            ensemble.heal()
            for each in ensemble.servers:
                if each not in ensemble.replicas:
                    await ensemble.start(each)
    ensemble.heal()
    for server in ensemble.servers:
        if server not in ensemble.replicas:
            await ensemble.start(server)


async def wait_nobody_left(
    ensemble: coord.testing.Ensemble, *paths: str, last: Callable[[coord.Client], Awaitable[None]] | None = None
) -> None:
    """No znode is left below these paths once every session that was lost has ended, which takes its timeout."""
    async with ensemble.client() as client:
        await trio.sleep(2 * TIMEOUT_S)
        await client.sync()
        if last is not None:
            await last(client)
        for path in paths:
            if await client.exists(path) is not None:
                left = await client.children(path)
                if left:
                    raise Violation(f"everybody has gone, and below {path} there are {left}")


async def work(held: Held, client: coord.Client, rng: random.Random, seconds: float = 0.5) -> None:
    """A body: it takes a while, and makes guarded writes."""
    for _ in range(rng.randrange(1, 5)):
        await trio.sleep(rng.random() * seconds / 4)
        if rng.random() < 0.5:
            async with client.transaction(guard=held) as txn:
                txn.set("/written", b"%d" % held.token)
