"""A process with kazoo and one with coord share a lock, a read/write lock, a semaphore, an election and barriers."""

import threading
from collections.abc import Callable
from contextlib import asynccontextmanager

import anyio
import pytest

import coord
from recipes import Barrier, DoubleBarrier, Election, Lock, MisuseError, ReadWriteLock, Semaphore
from tests.client.both import on_both

WAIT_S = 60.0


class Thread:
    """A call of kazoo's in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.done = threading.Event()
        self.result: object = None
        self.error: BaseException | None = None
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self.result = call()
        except BaseException as error:
            self.error = error
        self.done.set()

    async def wait(self) -> object:
        await anyio.to_thread.run_sync(self.done.wait, WAIT_S)
        assert self.done.is_set()
        if self.error is not None:
            raise self.error
        return self.result


async def until(condition: Callable[[], object]) -> None:
    """`condition` asks kazoo, which blocks."""
    with anyio.fail_after(WAIT_S):
        while not await anyio.to_thread.run_sync(condition):  # noqa: ASYNC110  kazoo tells nobody
            await anyio.sleep(0.01)


@asynccontextmanager
async def connected(real, name: str):
    async with coord.connect(real.hosts(), name=name) as client:
        yield client


@on_both
async def test_a_lock_goes_from_one_to_the_other(real, kazoo, request):
    path = f"/kazoo/lock-{request.node.name}"
    async with connected(real, "lock") as client:
        theirs = kazoo.Lock(path, "theirs")
        async with Lock(client, path, name="ours", layout="kazoo") as held:
            await until(lambda: theirs.contenders() == ["ours"])
            assert not theirs.acquire(blocking=False)
            waiting = Thread(lambda: theirs.acquire(timeout=WAIT_S))
            await until(lambda: theirs.contenders() == ["ours", "theirs"])
            assert held.token
        assert await waiting.wait() is True
        ours = Lock(client, path, name="ours", layout="kazoo")
        async with ours.attempt() as none:
            assert none is None
        assert await ours.contenders() == ["theirs"]
        async with anyio.create_task_group() as tasks:

            async def release() -> None:
                await until(lambda: len(theirs.contenders()) == 2)
                await anyio.to_thread.run_sync(theirs.release)

            tasks.start_soon(release)
            async with ours as again:
                assert again.token > held.token
        assert await client.children(path, linearizable=True) == []
        with pytest.raises(MisuseError, match="would not wait for a delay"):
            Lock(client, path, layout="kazoo", delay=1)


@on_both
async def test_readers_share_and_writers_do_not(real, kazoo, request):
    path = f"/kazoo/rw-{request.node.name}"
    async with connected(real, "rw") as client:
        lock = ReadWriteLock(client, path, layout="kazoo")
        reader, writer = kazoo.ReadLock(path), kazoo.WriteLock(path)
        async with lock.read():
            assert reader.acquire(timeout=WAIT_S)
            assert not kazoo.WriteLock(path).acquire(blocking=False)
            reader.release()
            waiting = Thread(lambda: writer.acquire(timeout=WAIT_S))
            await until(lambda: len(writer.contenders()) == 2)
            with pytest.raises(MisuseError):
                async with lock.write():
                    pass
        assert await waiting.wait() is True
        with pytest.raises(TimeoutError):
            async with lock.read(timeout=0.3):
                pass
        writer.release()
        async with lock.write() as held:
            assert not kazoo.ReadLock(path).acquire(blocking=False)
            with pytest.raises(MisuseError, match="downgrade"):
                await held.downgrade()
        assert await client.children(path, linearizable=True) == []


@on_both
async def test_a_semaphore_counts_both(real, kazoo, request):
    path = f"/kazoo/semaphore-{request.node.name}"
    async with connected(real, "semaphore") as client:
        async with Semaphore(client, path, 2, name="ours", layout="kazoo"):
            theirs = kazoo.Semaphore(path, "theirs", max_leases=2)
            assert theirs.acquire(timeout=WAIT_S)
            assert sorted(theirs.lease_holders()) == ["ours", "theirs"]
            assert not kazoo.Semaphore(path, max_leases=2).acquire(blocking=False)
            assert await client.children(path + "-__lock__", linearizable=True) == []
        third = kazoo.Semaphore(path, "third", max_leases=2)
        assert third.acquire(timeout=WAIT_S)
        with pytest.raises(TimeoutError):
            async with Semaphore(client, path, 2, layout="kazoo", timeout=0.3):
                pass
        third.release()
        async with Semaphore(client, path, 2, layout="kazoo"):
            pass
        theirs.release()
        assert await client.children(path, linearizable=True) == []


@on_both
async def test_an_election_is_won_by_one_of_both(real, kazoo, request):
    path = f"/kazoo/election-{request.node.name}"
    leading, resign = threading.Event(), threading.Event()

    def lead() -> None:
        leading.set()
        resign.wait(WAIT_S)

    async with connected(real, "election") as client:
        ours = Election(client, path, name="ours", layout="kazoo")
        theirs = kazoo.Election(path, "theirs")
        async for term in ours:
            async with term:
                waiting = Thread(lambda: theirs.run(lead))
                await until(lambda: theirs.contenders() == ["ours", "theirs"])
                assert not leading.is_set()
                leader = await ours.leader
                assert leader is not None
                assert leader.name == "ours"
            break
        await anyio.to_thread.run_sync(leading.wait, WAIT_S)
        assert leading.is_set()
        resign.set()
        await waiting.wait()
        await client.sync()
        assert await ours.leader is None
        with pytest.raises(MisuseError, match="no priorities"):
            Election(client, path, priority=1, layout="kazoo")


@on_both
async def test_a_barrier_is_opened_for_both(real, kazoo, request):
    path = f"/kazoo/barrier-{request.node.name}"
    async with connected(real, "barrier") as client:
        barrier = Barrier(client, path, layout="kazoo")
        await barrier.close()
        theirs = Thread(lambda: kazoo.Barrier(path).wait(WAIT_S))
        await barrier.open()
        assert await theirs.wait() is True
        kazoo.sync(path)  # kazoo makes it only if its server, which may be behind, does not show it
        kazoo.Barrier(path).create()
        with pytest.raises(TimeoutError):
            await barrier.wait(0.2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(barrier.wait, WAIT_S)
            await anyio.to_thread.run_sync(kazoo.Barrier(path).remove)


@on_both
async def test_a_double_barrier_waits_for_both(real, kazoo, request):
    path = f"/kazoo/double-{request.node.name}"
    steps: list[str] = []
    ended = threading.Event()

    def member() -> None:
        barrier = kazoo.DoubleBarrier(path, 2, "theirs")
        barrier.enter()
        steps.append("theirs in")
        ended.wait(WAIT_S)
        steps.append("theirs out")
        barrier.leave()

    async with connected(real, "double") as client:
        theirs = Thread(member)
        async with DoubleBarrier(client, path, 2, name="ours", layout="kazoo", timeout=WAIT_S):
            await until(lambda: "theirs in" in steps)
            ended.set()
        assert steps == ["theirs in", "theirs out"]
        await theirs.wait()
        assert await client.children(path, linearizable=True) == []
