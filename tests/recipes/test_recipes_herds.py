"""What comes wakes one or a few of those who wait for it, however many they are."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

import coord
import coord.testing
import recipes.items
import recipes.queue
import recipes.task_queue
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Lock, Queue, TaskQueue
from recipes.place import Entry, Place
from recipes.waiting import few
from tests.recipes.costs import Costs

LONG_S = 600.0
"""A session's timeout with which no ping falls into what is counted."""


@asynccontextmanager
async def clients(ensemble, count: int) -> AsyncIterator[list[coord.Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ensemble.client(session_timeout=LONG_S)) for _ in range(count)]


async def cost_of_releases(waiters: int, monkeypatch) -> Costs:
    """Five releases of a lock for which so many wait, in ten programs."""
    costs = Costs().record(monkeypatch)
    async with coord.testing.ensemble(session_timeout_max_ms=600_000) as ensemble, clients(ensemble, 10) as ten:
        gates = [trio.Event() for _ in range(waiters + 1)]
        entered: list[int] = []

        async def contend(number: int) -> None:
            async with Lock(ten[number % 10], "/lock"):
                entered.append(number)
                await gates[number].wait()

        async with trio.open_nursery() as nursery:
            for number in range(waiters + 1):
                nursery.start_soon(contend, number)
                if number % 50 == 0:
                    await trio.sleep(0.05)
            await trio.sleep(2)
            with costs.count():
                for turn in range(1, 6):
                    gates[entered[-1]].set()
                    await ensemble.wait(lambda turn=turn: len(entered) > turn)
                    await trio.sleep(0.2)
            assert len(set(entered)) == 6
            nursery.cancel_scope.cancel()
    return costs


async def test_a_release_costs_the_servers_the_same_with_ten_who_wait_and_with_a_thousand(virtual_clock, monkeypatch):
    ten, thousand = await cost_of_releases(10, monkeypatch), await cost_of_releases(1000, monkeypatch)
    print("five releases:", ten, thousand)
    assert thousand.events == ten.events == 5, "each release wakes one"
    assert thousand.requests < 1.2 * ten.requests
    assert thousand.client_bytes < 1.2 * ten.client_bytes


async def test_a_mutant_whose_waiters_all_watch_the_holder_is_found(virtual_clock, monkeypatch):
    def holder(ahead, own):
        return ahead[0] if ahead else None

    monkeypatch.setattr(Place, "before", lambda place: place.among_all(holder))
    ten, hundred = await cost_of_releases(10, monkeypatch), await cost_of_releases(100, monkeypatch)
    assert hundred.events > 5 * ten.events
    assert hundred.requests > 5 * ten.requests


async def cost_of_items(programs: int, waiters: int, work: bool, monkeypatch) -> Costs:
    """Of ten items that come one after the other, when so many wait for them."""
    costs = Costs().record(monkeypatch)
    got: list[bytes] = []
    async with coord.testing.ensemble(session_timeout_max_ms=600_000) as ensemble, clients(ensemble, programs) as all:

        async def wait(client: coord.Client) -> None:
            if work:
                while True:
                    async with TaskQueue(client, "/queue").take() as task:
                        got.append(task.value)
            while True:
                got.append(await Queue(client, "/queue").get())

        async with trio.open_nursery() as nursery:
            for number in range(waiters):
                nursery.start_soon(wait, all[number % programs])
            await trio.sleep(2)
            with costs.count():
                for number in range(10):
                    await (TaskQueue if work else Queue)(all[0], "/queue").put(b"%d" % number)
                    await ensemble.wait(lambda number=number: len(got) > number)
                    await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
    assert got == [b"%d" % number for number in range(10)]
    print(f"{waiters} wait for {'tasks' if work else 'items'} in {programs} programs, for ten:", costs)
    return costs


@pytest.mark.parametrize("work", [False, True])
async def test_an_item_wakes_a_few_of_a_hundred_who_wait(work, virtual_clock, monkeypatch):
    ten = await cost_of_items(10, 10, work, monkeypatch)
    hundred = await cost_of_items(20, 100, work, monkeypatch)
    assert hundred.requests < 1.5 * ten.requests < 10 * 100  # without the line there are more than 500 an item
    assert hundred.client_bytes < 4 * ten.client_bytes, "of a long line the head is read"


@pytest.mark.parametrize("work", [False, True])
async def test_a_mutant_that_wakes_them_all_is_found(work, virtual_clock, monkeypatch):
    @asynccontextmanager
    async def among_all(client: coord.Client, path: str, kind: str) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(recipes.task_queue if work else recipes.queue, "among_few", among_all)
    assert (await cost_of_items(20, 100, work, monkeypatch)).requests > 10 * 300


def entry(number: int, session: int) -> Entry:
    return Entry(f"get-{number}", "get", coord.Stat(number, number, 0, 0, 0, 0, 0, session, 0, 0, 0))


@pytest.mark.parametrize(
    ("sessions", "waited_for"),
    [
        ([], {0: None}),
        ([1], {1: 0, 2: None}),
        ([1, 2], {1: 0, 2: 1, 3: None}),
        ([1, 2, 3], {1: 0, 3: 2, 4: 0}),
        ([1, 1, 1, 2, 1], {1: 4, 2: 3, 3: None}),
        ([1, 2, 1, 3, 2, 4], {4: 5, 5: 1}),
    ],
)
def test_one_of_each_of_the_first_three_sessions_watches_and_the_others_wait_in_line(sessions, waited_for):
    line = [entry(number, session) for number, session in enumerate(sessions)]
    for session, place in waited_for.items():
        assert few(line, entry(99, session)) == (None if place is None else line[place]), session


async def test_when_a_program_dies_with_all_who_wait_in_it_others_are_awake(virtual_clock):
    got: list[str] = []
    async with (
        coord.testing.ensemble() as ensemble,
        ensemble.client() as putter,
        ensemble.client() as dying,
        ensemble.client() as living,
        trio.open_nursery() as nursery,
    ):

        async def wait(client: coord.Client, name: str) -> None:
            await Queue(client, "/queue").get()
            got.append(name)

        for _ in range(5):
            nursery.start_soon(wait, dying, "dying")
        await trio.sleep(1)
        nursery.start_soon(wait, living, "living")
        await trio.sleep(1)
        ensemble.isolate(dying)
        await Queue(putter, "/queue").put(b"item")
        begun = trio.current_time()
        await ensemble.wait(lambda: got == ["living"])
        assert trio.current_time() - begun < 0.1
        ensemble.heal()
        nursery.cancel_scope.cancel()


async def test_of_a_line_in_which_somebody_has_waited_nothing_stays(virtual_clock):
    async with coord.testing.ensemble(reap_interval_s=5) as ensemble, ensemble.client() as client:
        before = await client.children("/")
        for _ in range(2):
            with trio.move_on_after(1):
                await Queue(client, "/queue").get()
            with trio.move_on_after(1):
                async with TaskQueue(client, "/tasks").take():
                    pass
            await trio.sleep(60)
        assert sorted(await client.children("/")) == sorted([*before, "queue", "tasks"])
        assert await client.children("/tasks") == ["items"]


async def test_who_may_not_make_a_line_beside_a_queue_waits_in_one_that_was_made_for_him(virtual_clock):
    async with coord.testing.ensemble() as ensemble, ensemble.client() as operator, ensemble.client() as client:
        for path in ("/shut", "/shut/queue", "/shut/queue-waiting"):
            await operator.create(path)
        await operator.set_acl("/shut", [(coord.Permission.READ, "world", "anyone")])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Queue(client, "/shut/queue").get)
            await trio.sleep(1)
            await Queue(operator, "/shut/queue").put(b"item")
