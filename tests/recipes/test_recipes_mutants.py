"""A recipe with one thing left out, for each thing that it promises: the scenario that looks for it must find it.

| property | scenario | mutant of each exclusive recipe (lock, write, semaphore, lease, election) |
|---|---|---|
| one body at a time | who holds it is cut off | does not see the deadline or the end (test_recipes_directed.py) |
| tokens only grow | the same | a token that is made up |
| a late holder's guarded write is refused | its znode was deleted | the guard is not looked at |
| fairness, in order of places | eight ask in turn | asks again and again, and does not stay in line |
| nothing is left behind | cancelled at each checkpoint | leaving can be cancelled |
"""

import math
from contextlib import asynccontextmanager

import anyio
import pytest
import trio

import coord
import recipes.shielded
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Held, Lease, ReadWriteLock, Semaphore
from tests.recipes.contention import EXCLUSIVE, Inside, Violation, alone, at_most, ends_with, readers_or_one_writer
from tests.recipes.test_recipes_cancelled import MAKE, cancel_a_double_barrier_everywhere, cancel_everywhere
from tests.recipes.test_recipes_directed import a_holder_is_cut_off, entered_in_turn, late_write


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_a_token_that_is_made_up_is_found(name, ensemble, virtual_clock, monkeypatch):
    """It counts backwards, and nothing else about what is held is another."""

    def real(held: Held, token: int) -> None:
        held.real = token

    async def never(held: Held) -> str:
        await trio.sleep_forever()

    monkeypatch.setattr(Held, "token", property(lambda held: -held.real, real), raising=False)
    monkeypatch.setattr(Held, "_wait_deleted", never)

    with ends_with(Violation):
        await a_holder_is_cut_off(ensemble, EXCLUSIVE[name])


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_a_guard_that_is_not_looked_at_is_found(name, ensemble, virtual_clock, monkeypatch):
    transaction = coord.Client.transaction
    monkeypatch.setattr(coord.Client, "transaction", lambda client, guard=None: transaction(client))
    assert await late_write(ensemble, EXCLUSIVE[name]) == b"too late"


@pytest.mark.parametrize("name", EXCLUSIVE)
async def test_who_does_not_stay_in_line_is_found(name, ensemble, virtual_clock):
    @asynccontextmanager
    async def impatient(client: coord.Client):
        while True:
            with trio.CancelScope(deadline=trio.current_time() + ensemble.rng.uniform(0.02, 0.05)) as scope:
                async with EXCLUSIVE[name](client) as held:
                    await trio.lowlevel.checkpoint_if_cancelled()
                    scope.deadline = math.inf
                    yield held
                    return
            await trio.sleep(ensemble.rng.uniform(0, 0.1))

    assert await entered_in_turn(ensemble, impatient) != list("01234567")


class Unshielded:
    """AnyIO for `recipes.shielded`, whose shields keep nothing out."""

    @staticmethod
    def CancelScope(*, shield: bool) -> anyio.CancelScope:
        return anyio.CancelScope()


@pytest.mark.parametrize("name", MAKE)
async def test_a_block_that_can_be_cancelled_while_it_leaves_is_found(name, ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(recipes.shielded, "anyio", Unshielded)
    with ends_with(AssertionError, trio.TooSlowError, coord.CoordError):
        await cancel_everywhere(ensemble, MAKE[name])


async def test_a_double_barrier_that_can_be_cancelled_while_it_leaves_is_found(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(recipes.shielded, "anyio", Unshielded)
    with ends_with(AssertionError, trio.TooSlowError, coord.CoordError):
        await cancel_a_double_barrier_everywhere(ensemble)


# ---- who may be inside together


async def crowd(ensemble, make, together) -> None:
    """Ten go in and out, as fast as they may, from two programs."""
    inside = Inside(together, ordered=False)
    async with ensemble.client() as one, ensemble.client() as two:

        async def go(number: int) -> None:
            kind = ("read", "write")[number % 2]
            for _ in range(3):
                async with make((one, two)[number % 3 == 0], kind) as held, inside.body(f"{number}", held, kind):
                    await trio.sleep(ensemble.rng.uniform(0, 0.1))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(go, number)
    assert len(inside.entered) == 30


def read_or_write(client: coord.Client, kind: str):
    lock = ReadWriteLock(client, "/x")
    return lock.read() if kind == "read" else lock.write()


def two_at_once(client: coord.Client, kind: str):
    return Semaphore(client, "/x", 2)


async def test_readers_go_in_together_and_writers_alone(ensemble, virtual_clock):
    await crowd(ensemble, read_or_write, readers_or_one_writer)
    with ends_with(Violation):  # they do come in together
        await crowd(ensemble, read_or_write, alone)


async def test_a_reader_that_does_not_wait_for_writers_is_found(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(ReadWriteLock, "_writer_ahead", lambda lock, ahead, own: None)
    with ends_with(Violation):
        await crowd(ensemble, read_or_write, readers_or_one_writer)


async def test_a_writer_that_waits_for_writers_alone_is_found(ensemble, virtual_clock, monkeypatch):
    def last_writer(ahead, own):
        return next((entry for entry in reversed(ahead) if entry.kind == "write"), None)

    monkeypatch.setattr("recipes.place.predecessor", last_writer)
    with ends_with(Violation):
        await crowd(ensemble, read_or_write, readers_or_one_writer)


async def test_a_semaphore_lets_in_as_many_as_its_capacity(ensemble, virtual_clock):
    await crowd(ensemble, two_at_once, at_most(2))
    with ends_with(Violation):
        await crowd(ensemble, two_at_once, alone)


async def test_a_semaphore_that_lets_in_one_more_is_found(ensemble, virtual_clock, monkeypatch):
    read = Semaphore._read

    async def one_more(semaphore: Semaphore) -> tuple[int, coord.Stat]:
        capacity, stat = await read(semaphore)
        return capacity + 1, stat

    monkeypatch.setattr(Semaphore, "_read", one_more)
    with ends_with(Violation):
        await crowd(ensemble, two_at_once, at_most(2))


async def test_a_lease_that_is_taken_over_before_its_end_is_found(ensemble, virtual_clock, monkeypatch):
    async def nothing_left(lease, before, seen, place) -> float:
        return 0.0

    monkeypatch.setattr(Lease, "_left_s", nothing_left)
    with ends_with(Violation):
        await crowd(ensemble, lambda client, kind: Lease(client, "/x", 30), alone)
