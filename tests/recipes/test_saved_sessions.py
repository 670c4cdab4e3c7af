"""A program that died and goes on with its saved session finds what it held still held, and can give it back."""

import itertools
from contextlib import suppress

import pytest
import trio

import coord
import recipes.place
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from coord.testing.scheduling import Freezer
from recipes import DoubleBarrier, Group, Lease, Lock, LockLost, Partitioner, PeriodicJob, Semaphore

MAKE = {
    "lock": lambda client: Lock(client, "/x", timeout=2),
    "semaphore": lambda client: Semaphore(client, "/x", 1, timeout=2),
    "group": lambda client: Group(client, "/x").join(name="one"),
}


@pytest.mark.parametrize("name", MAKE)
async def test_what_was_held_stays_held_until_the_next_life_gives_it_back(name, ensemble, virtual_clock, monkeypatch):
    freezer, programs, saved = Freezer(), [], []
    entered, thawed = trio.Event(), trio.Event()
    steps: list[str] = []

    async def first_life() -> None:
        programs.append(trio.lowlevel.current_task())
        with suppress(LockLost, coord.SessionLostError):
            async with ensemble.client() as client, MAKE[name](client) as held:
                saved.append(client.session.save().to_text())
                entered.set()
                while True:
                    await trio.sleep(0.1)
                    held.check()
                    steps.append("first")
        thawed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first_life)
        await entered.wait()
        await trio.sleep(1)
        freezer.freeze(programs[0])
        monkeypatch.setattr(recipes.place, "_ids", itertools.count(1))  # another process counts anew
        async with ensemble.client(session=coord.SavedSession.from_text(saved[0])) as client:
            with pytest.raises((TimeoutError, recipes.MisuseError)):
                async with MAKE[name](client):
                    pass
            for path in await client.ephemerals():
                await client.delete(path)
            async with MAKE[name](client):
                steps.append("second")
                freezer.thaw(programs[0])
                await thawed.wait()
            assert await client.ephemerals() == []
    assert steps[steps.index("second") :].count("first") <= 1, (
        "it is told within a round trip, as of any deletion by hand"
    )


async def test_no_name_comes_again_in_a_later_life(ensemble, virtual_clock, monkeypatch):
    names: list[str] = []
    saved = None
    for _ in range(3):
        monkeypatch.setattr(recipes.place, "_ids", itertools.count(1))
        async with ensemble.client(session=saved) as client:
            names += [PeriodicJob(client, "/x", every=1).name, Partitioner(client, "/x", "a").name]
            async with DoubleBarrier(client, "/d", 1) as party:
                names += party.members
            async with Lease(client, "/l", 10) as lease, Semaphore(client, "/s") as held:
                names += [lease._value.decode(), held.path]
            async with Group(client, "/g").join() as membership:
                names.append(membership.name)
            saved = client.session.hand_over()
    assert len(set(names)) == len(names) == 18


async def test_a_guard_of_another_client_is_as_good_and_one_of_another_namespace_is_refused(ensemble, virtual_clock):
    async with ensemble.client() as one, ensemble.client() as two, ensemble.client(namespace="/other") as three:
        async with Lock(one, "/x") as held:
            async with two.transaction(guard=held) as txn:
                txn.create("/written")
            with pytest.raises(coord.NoNodeError, match="/other/x/lock-0000000000 does not exist"):
                async with three.transaction(guard=held) as txn:
                    txn.create("/written", parents=True)
        assert await one.exists("/other") is None
        with pytest.raises((coord.NoNodeError, coord.BadVersionError)):
            async with two.transaction(guard=held) as txn:
                txn.delete("/written")
        assert await two.exists("/written")


BAD = [
    (ValueError, "the name of a contender is a text", lambda client: Lock(client, "/x", name=5)),
    (ValueError, "the name of a contender is a text", lambda client: Semaphore(client, "/x", name="a\ud800")),
    (ValueError, "is one line of text", lambda client: Lease(client, "/x", 30, name="a\nb\n5")),
    (ValueError, "a timeout is a number of seconds", lambda client: Lock(client, "/x", timeout=-1)),
    (ValueError, "a timeout is a number of seconds", lambda client: Lease(client, "/x", 3, timeout="1")),
    (recipes.MisuseError, "a delay is a number of seconds", lambda client: Lock(client, "/x", delay="1")),
    (recipes.MisuseError, "a margin is a number of seconds", lambda client: Lock(client, "/x", margin="1")),
    (recipes.MisuseError, "for a number of seconds", lambda client: Lease(client, "/x", "3")),
    (recipes.MisuseError, "is a number from 1 to 1,000,000,000, not .3.", lambda client: Semaphore(client, "/x", "3")),
    (
        recipes.MisuseError,
        "a priority is an int of at most",
        lambda client: recipes.Election(client, "/x", priority="high"),
    ),
    (ValueError, "absolute and not the root", lambda client: Lock(client, None)),
]


@pytest.mark.parametrize(("error", "sentence", "make"), BAD)
async def test_what_has_no_meaning_is_told_before_anything_is_made(error, sentence, make, ensemble, virtual_clock):
    async with ensemble.client() as client:
        with pytest.raises(error, match=sentence):
            make(client)
