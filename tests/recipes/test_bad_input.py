"""What has no meaning is told in one sentence, before anything is made, by every recipe."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import (
    Barrier,
    ConfigWatch,
    Counter,
    DoubleBarrier,
    Election,
    Group,
    KeyValueMap,
    Lease,
    Lock,
    MisuseError,
    Partitioner,
    PeriodicJob,
    PriorityQueue,
    Queue,
    ReadWriteLock,
    Semaphore,
    ServiceRegistry,
    TaskQueue,
    TreeCache,
)


async def inside(block: AbstractAsyncContextManager[Any]) -> None:
    async with block:
        pass


async def nothing(*arguments: object) -> None:
    pass


RECIPES = {
    "lock": (lambda client, path: Lock(client, path), inside),
    "read": (lambda client, path: ReadWriteLock(client, path), lambda lock: inside(lock.read())),
    "write": (lambda client, path: ReadWriteLock(client, path), lambda lock: inside(lock.write())),
    "semaphore": (lambda client, path: Semaphore(client, path), inside),
    "election": (lambda client, path: Election(client, path), lambda election: election.run(nothing)),
    "barrier": (lambda client, path: Barrier(client, path), lambda barrier: barrier.close()),
    "double barrier": (lambda client, path: DoubleBarrier(client, path, 1), inside),
    "lease": (lambda client, path: Lease(client, path, 5), inside),
    "counter": (lambda client, path: Counter(client, path), lambda counter: counter.add(1)),
    "queue": (lambda client, path: Queue(client, path), lambda queue: queue.put(b"")),
    "priority queue": (lambda client, path: PriorityQueue(client, path), lambda queue: queue.put(b"", 3)),
    "task queue": (lambda client, path: TaskQueue(client, path), lambda tasks: inside(tasks.take())),
    "group": (lambda client, path: Group(client, path), lambda group: inside(group.join())),
    "service registry": (
        lambda client, path: ServiceRegistry(client, path),
        lambda registry: inside(registry.register("db", "h:1")),
    ),
    "partitioner": (lambda client, path: Partitioner(client, path, "a"), lambda parts: parts.run(nothing)),
    "tree cache": (lambda client, path: TreeCache(client, path), inside),
    "config watch": (lambda client, path: ConfigWatch(client, path, bytes.decode), inside),
    "map": (lambda client, path: KeyValueMap(client, path), lambda entries: entries.put("a", b"")),
    "periodic job": (lambda client, path: PeriodicJob(client, path, every=1), lambda job: job.run(nothing)),
}


async def test_a_path_that_is_none_is_told_when_a_recipe_is_made(ensemble, virtual_clock):
    async with ensemble.client() as client:
        for name, (make, _) in RECIPES.items():
            for path in ["", "x", "/x/", "//x", "/x//y", "/x/..", "/./x", "/x\0", "/\ud800", b"/x", None, 5, "/"]:
                if path != "/" or name != "tree cache":
                    with pytest.raises(ValueError, match="the path of a recipe is"):
                        make(client, path)


@pytest.mark.parametrize("name", RECIPES)
async def test_a_client_that_was_closed_says_so(name, ensemble, virtual_clock):
    make, use = RECIPES[name]
    async with ensemble.client() as client:
        recipe = make(client, "/x")
    with trio.fail_after(5), pytest.raises(coord.ClientClosedError, match="`async with` block has been left"):
        await use(recipe)


HUGE = "x" * (2 << 20)

TOO_LARGE = {
    "lock": lambda client: inside(Lock(client, "/x", name=HUGE)),
    "read": lambda client: inside(ReadWriteLock(client, "/x", name=HUGE).read()),
    "semaphore": lambda client: inside(Semaphore(client, "/x", name=HUGE)),
    "election": lambda client: Election(client, "/x", name=HUGE).run(nothing),
    "double barrier": lambda client: inside(DoubleBarrier(client, "/x", 1, name=HUGE)),
    "lease": lambda client: inside(Lease(client, "/x", 5, name=HUGE)),
    "queue": lambda client: Queue(client, "/x").put(HUGE.encode()),
    "queue with a limit": lambda client: Queue(client, "/x", limit=1).put(HUGE.encode()),
    "task queue": lambda client: TaskQueue(client, "/x").put(HUGE.encode()),
    "group": lambda client: inside(Group(client, "/x").join(HUGE.encode())),
    "service registry": lambda client: inside(ServiceRegistry(client, "/x").register("db", "h:1", data={"x": HUGE})),
    "map": lambda client: KeyValueMap(client, "/x").put("a", HUGE.encode()),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_is_too_large_is_told_and_leaves_nothing(name, ensemble, virtual_clock):
    async with ensemble.client() as client:
        with trio.fail_after(5), pytest.raises(coord.RequestTooLargeError, match="bytes, which is above"):
            await TOO_LARGE[name](client)
        assert await client.ephemerals() == []
        assert await client.exists("/x/holder") is None
        assert await Queue(client, "/x").count() == 0
        assert await TaskQueue(client, "/x").count() == 0


BAD = [
    (MisuseError, "a number from 1 to 1,000,000,000, not -1", lambda client: Semaphore(client, "/x", -1)),
    (MisuseError, "a number from 1 to 1,000,000,000, not True", lambda client: Semaphore(client, "/x", True)),
    (MisuseError, "a number from 1 to 1,000,000,000, not more", lambda client: Semaphore(client, "/x", 10**5000)),
    (MisuseError, "an int of at most 1,000,000,000", lambda client: Election(client, "/x", priority=-(10**5000))),
    (MisuseError, "from 0.001 to 1,000,000,000, not 1e\\+300", lambda client: Lease(client, "/x", 1e300)),
    (MisuseError, "from 0.001 to 1,000,000,000, not nan", lambda client: Lease(client, "/x", float("nan"))),
    (MisuseError, "from 0 to 1,000,000,000, not inf", lambda client: Lock(client, "/x", delay=float("inf"))),
    (MisuseError, "a margin is a number of seconds", lambda client: Lock(client, "/x", margin=float("nan"))),
    (ValueError, "a timeout is a number of seconds", lambda client: Lock(client, "/x", timeout=float("nan"))),
    (ValueError, "a timeout is a number of seconds", lambda client: ReadWriteLock(client, "/x").read(timeout=-1)),
    (MisuseError, "a number of members from 1", lambda client: DoubleBarrier(client, "/x", 0)),
    (ValueError, "is 1 or more items, or None for none", lambda client: Queue(client, "/x", limit=0)),
    (ValueError, "is tried once or more often", lambda client: TaskQueue(client, "/x", tries=0)),
    (ValueError, "an item is a text", lambda client: Partitioner(client, "/x", ["a/b"])),
    (ValueError, "an item is a text", lambda client: Partitioner(client, "/x", ["\ud800"])),
    (ValueError, "the depth of a tree cache", lambda client: TreeCache(client, "/x", depth="1")),
    (ValueError, "the name of a contender is a text", lambda client: PeriodicJob(client, "/x", every=1, name=5)),
    (ValueError, "every so many seconds, a number above 0", lambda client: PeriodicJob(client, "/x", every=0)),
]


@pytest.mark.parametrize(("error", "sentence", "make"), BAD)
async def test_a_number_or_a_name_that_is_none_is_told_when_the_recipe_is_made(
    error, sentence, make, ensemble, virtual_clock
):
    async with ensemble.client() as client:
        with pytest.raises(error, match=sentence):
            make(client)


CALLS = [
    (ValueError, "the name of a member is a text", lambda client: inside(Group(client, "/x").join(name="a/b"))),
    (ValueError, "the name of a service is", lambda client: inside(ServiceRegistry(client, "/x").register("a/b", "h"))),
    (ValueError, "the name of an item is a text", lambda client: TaskQueue(client, "/x").retry("a/b")),
    (ValueError, "an int from 0", lambda client: PriorityQueue(client, "/x").put(b"", -1)),
    (coord.BadArgumentsError, "a value is bytes", lambda client: Queue(client, "/x").put("text")),
    (ValueError, "a key is a text", lambda client: KeyValueMap(client, "/x").put(5, b"")),
    (ValueError, "an int, not 1.5", lambda client: Counter(client, "/x").add(1.5)),
    (ValueError, "at least one number", lambda client: Counter(client, "/x").allocate(-1)),
    (MisuseError, "is a number from 1", lambda client: Semaphore(client, "/x").set_capacity(0)),
]


@pytest.mark.parametrize(("error", "sentence", "call"), CALLS)
async def test_what_a_call_cannot_do_is_told_and_leaves_nothing(error, sentence, call, ensemble, virtual_clock):
    async with ensemble.client() as client:
        with pytest.raises(error, match=sentence):
            await call(client)
        assert not await client.exists("/x") or not await client.children("/x")


MAKES_ZNODES = [name for name in RECIPES if name not in ("tree cache", "config watch")]


@pytest.mark.parametrize("name", MAKES_ZNODES)
async def test_who_may_not_is_told_what_and_leaves_nothing(name, ensemble, virtual_clock):
    make, use = RECIPES[name]
    async with ensemble.client() as client:
        await client.create("/mine", acl=[(coord.Permission.READ, "world", "anyone")])
        path = "/mine/x" if name in ("barrier", "counter") else "/mine"  # these are a znode alone
        with trio.fail_after(5), pytest.raises(coord.NoAuthError, match="the ACL of /mine grants CREATE to none"):
            await use(make(client, path))
        assert await client.children("/mine") == []
        assert await client.ephemerals() == []


@pytest.mark.parametrize("make", [
    lambda client: Lock(client, "/x"), lambda client: Semaphore(client, "/x", 5), lambda client: Lease(client, "/x", 5),
    lambda client: DoubleBarrier(client, "/x", 1),
])  # fmt: skip
async def test_one_object_is_used_by_one_task_at_a_time_and_by_the_next_one_after_it(make, ensemble, virtual_clock):
    async with ensemble.client() as client:
        shared, refused = make(client), []

        async def use() -> None:
            try:
                async with shared:
                    await anyio.sleep(1)
            except MisuseError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(use)
        assert len(refused) == 2
        assert all("object of /x is in use: make another one for each" in each for each in refused)
        await inside(shared)
        assert await client.ephemerals() == []
