"""An operator deletes a whole line. It harms those who stood in it, and nobody in the line that is made anew.

Numbers begin anew with it, so names come again.
"""

from contextlib import suppress

import pytest
import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier, Lock, LockLost, MisuseError, ReadWriteLock, Semaphore, TaskQueue
from recipes.place import Entry, Place
from tests.recipes.contention import EXCLUSIVE, ends_with

LINES = {
    "lock": lambda client: Lock(client, "/x"),
    "write": lambda client: ReadWriteLock(client, "/x").write(),
}


async def two_holders_of_one_name(ensemble, make) -> bool:
    """The first one's place is deleted with the line, the second's gets its name; whether the second keeps it."""
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:
        paths: list[str] = []

        async def hold() -> None:
            with ends_with(LockLost):
                async with make(two) as held:
                    paths.append(held.path)
                    await trio.sleep_forever()

        with ends_with(LockLost):
            async with make(one) as lost:
                await two.sync()
                await two.delete("/x", recursive=True)
                nursery.start_soon(hold)
                await trio.sleep(5)
        await two.sync()
        assert paths == [lost.path]
        kept = await two.exists(lost.path) is not None
        nursery.cancel_scope.cancel()
    return kept


@pytest.mark.parametrize("name", LINES)
async def test_who_lost_its_place_with_the_line_leaves_the_later_place_of_its_name_alone(name, ensemble, virtual_clock):
    assert await two_holders_of_one_name(ensemble, LINES[name])


async def test_a_mutant_that_leaves_by_name_is_found(ensemble, virtual_clock, monkeypatch):
    async def leave(place, **_) -> None:
        with trio.CancelScope(shield=True), suppress(coord.NoNodeError):
            await place.client.delete(place.path)

    monkeypatch.setattr(Place, "leave", leave)
    assert not await two_holders_of_one_name(ensemble, LINES["lock"])


async def who_waited_and_was_cut_off(ensemble, make) -> list[str]:
    """It waits in the second place; cut off, it misses that the line is made anew, by two who get the old names."""
    order: list[str] = []
    clients = [ensemble.client(session_timeout=20) for _ in range(4)]
    async with (
        clients[0] as one,
        clients[1] as two,
        clients[2] as three,
        clients[3] as four,
        trio.open_nursery() as nursery,
    ):

        async def stand(name: str, client, done: trio.Event) -> None:
            with suppress(LockLost):
                async with make(client):
                    order.append(name)
                    await done.wait()
                    order.append(f"{name} left")  # here: the next one may be told before this one's answer comes

        ends = [trio.Event() for _ in range(3)]
        for name, client, end in (("one", one, trio.Event()), ("two", two, ends[0])):
            nursery.start_soon(stand, name, client, end)
            await trio.sleep(1)
        ensemble.isolate(two)
        await four.delete("/x", recursive=True)
        for name, client, end in (("three", three, ends[1]), ("four", four, ends[2])):
            nursery.start_soon(stand, name, client, end)
            await trio.sleep(0.5)
        ensemble.heal()
        await trio.sleep(5)
        for end in (ends[1], ends[2], ends[0]):
            end.set()
            await trio.sleep(1)
    return order


@pytest.mark.parametrize("name", LINES)
async def test_who_waits_does_not_take_a_later_place_of_its_name_for_its_own(name, ensemble, virtual_clock):
    assert await who_waited_and_was_cut_off(ensemble, LINES[name]) == [
        "one", "three", "three left", "four", "four left", "two", "two left",
    ]  # fmt: skip


async def test_a_mutant_that_knows_its_place_by_name_is_found(ensemble, virtual_clock, monkeypatch):
    def is_own(place, entry) -> bool:
        if entry.name == place.name:
            place.token = entry.stat.czxid
        return entry.name == place.name

    monkeypatch.setattr(Place, "is_own", is_own)
    order = await who_waited_and_was_cut_off(ensemble, LINES["lock"])
    assert order[:5] != ["one", "three", "three left", "four", "four left"]


WAITING = {
    **EXCLUSIVE,
    "read": lambda client: ReadWriteLock(client, "/x").read(),
    "task queue": lambda client: TaskQueue(client, "/x").take(),
}


@pytest.mark.parametrize("name", WAITING)
async def test_who_waits_in_a_line_that_is_deleted_as_a_whole_stands_in_line_anew(name, ensemble, virtual_clock):
    entered: list[str] = []
    async with ensemble.client() as one, ensemble.client() as two, ensemble.client() as operator:

        async def come(client: coord.Client, which: str, wait_s: float) -> None:
            await trio.sleep(wait_s)
            with suppress(LockLost):
                async with WAITING[name](client):
                    entered.append(which)
                    await trio.sleep(1)

        if name == "task queue":
            await TaskQueue(operator, "/x").put(b"work")
        async with trio.open_nursery() as nursery:
            for number, client in enumerate((one, two, two)):
                nursery.start_soon(come, client, f"{number}", number * 0.1)
            await trio.sleep(0.5)
            await operator.delete("/x", recursive=True)
            if name == "task queue":
                for _ in range(2):
                    await TaskQueue(operator, "/x").put(b"work")
        assert sorted(entered) == ["0", "1", "2"]


async def test_an_attempt_whose_place_is_deleted_has_not_got_it(ensemble, virtual_clock, monkeypatch):
    async with ensemble.client() as client, ensemble.client() as other, Lock(other, "/x"):
        before = Place.before

        async def deleted_before(place: Place) -> Entry | None:
            await other.sync()
            await other.delete(place.path)
            await client.sync()
            return await before(place)

        monkeypatch.setattr(Place, "before", deleted_before)
        async with Lock(client, "/x").attempt() as held:
            assert held is None


async def test_a_double_barrier_whose_members_are_deleted_says_so(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other, trio.open_nursery() as nursery:

        async def come() -> None:
            with pytest.raises(MisuseError, match="was deleted by somebody else while it waited"):
                async with DoubleBarrier(client, "/d", 2):
                    raise AssertionError("it is alone")

        nursery.start_soon(come)
        await trio.sleep(0.5)
        await other.sync()
        await other.delete("/d", recursive=True)
        async with DoubleBarrier(other, "/d", 1):
            pass


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_capacity_is_not_made_smaller_than_the_holders_who_come_meanwhile(
    cancelled, ensemble, virtual_clock, monkeypatch
):
    count, scope = Semaphore._count_below, trio.CancelScope()
    async with ensemble.client() as client, ensemble.client() as other, trio.open_nursery() as nursery:
        counted = trio.Event()

        async def slowly(semaphore: Semaphore, capacity: int) -> None:
            if cancelled and counted.is_set():
                scope.cancel()
            await count(semaphore, capacity)
            if not counted.is_set():
                counted.set()
                await trio.sleep(1)

        async def hold() -> None:
            async with Semaphore(other, "/s", 2):
                await trio.sleep(5)

        async def set_capacity() -> None:
            with scope, pytest.raises(MisuseError, match="/s is held by 2, which is more than 1"):
                await Semaphore(client, "/s", 2).set_capacity(1)

        monkeypatch.setattr(Semaphore, "_count_below", slowly)
        nursery.start_soon(set_capacity)
        await counted.wait()
        nursery.start_soon(hold)
        nursery.start_soon(hold)
        await trio.sleep(2)
        assert await Semaphore(client, "/s").capacity() == 2
        await Semaphore(client, "/s").set_capacity(1, below_holders=True)
        assert await Semaphore(client, "/s").capacity() == 1
