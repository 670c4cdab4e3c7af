"""The session ends at each checkpoint of each block, and each third of other calls: an error says so, soon, and whoever
comes next gets in."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio

import coord
import coord.testing
import recipes.place
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import DoubleBarrier, Lease, Lock, RecipeError, TaskQueue
from tests.recipes.cancelling import Cancellable, at_each_checkpoint
from tests.recipes.contention import EXCLUSIVE, ends_with
from tests.recipes.test_calls_cancelled import CALLS, Act, Around, first, held, inside, nothing

pytestmark = pytest.mark.long(20)

TIMEOUT_S = 0.5

LIMIT_S = 10
"""Nothing takes so long by far, unless it hangs; three servers that wait for it cost something, too."""

BLOCKS: dict[str, tuple[Act, Around]] = {
    **{name: ((lambda client, make=make: inside(make(client))), held(make)) for name, make in EXCLUSIVE.items()},
    "lease": (lambda client: inside(Lease(client, "/x", TIMEOUT_S)), held(lambda other: Lease(other, "/x", TIMEOUT_S))),
    "lock with a delay": (lambda client: inside(Lock(client, "/x", delay=TIMEOUT_S)), nothing),
    "double barrier": (lambda client: inside(DoubleBarrier(client, "/x", 1)), nothing),
    "task queue": (lambda client: work(client), first(lambda other: TaskQueue(other, "/x").put(b"1"))),
}


async def work(client: coord.Client) -> None:
    tasks = TaskQueue(client, "/x")
    while await tasks.count():
        async with tasks.take():
            await trio.sleep(0.01)


ALL = {**BLOCKS, **CALLS}


def only(error: BaseException) -> BaseException:
    """What a group holds, if it is one error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def end_the_session_everywhere(name: str) -> None:
    act, around = ALL[name]
    async with (
        coord.testing.ensemble(session_timeout_min_ms=100) as ensemble,
        ensemble.client() as other,
        trio.open_nursery() as nursery,
    ):

        async def scenario(cancellable: Cancellable) -> None:
            session = 0
            with suppress(coord.SessionLostError):
                async with ensemble.client(session_timeout=TIMEOUT_S) as client:
                    session = client.session.id

                    async def end_session() -> None:
                        with suppress(KeyError):  # it came to its end, and its client is gone
                            await ensemble.expire_session(client)

                    cancellable.strike = lambda: nursery.start_soon(end_session)
                    async with around(other):
                        with trio.fail_after(LIMIT_S):
                            try:
                                with cancellable:
                                    await act(client)
                            except Exception as error:
                                if not isinstance(only(error), coord.SessionLostError | RecipeError):
                                    raise
            machines = [each.machine for each in ensemble.replicas.values()]
            await ensemble.wait(lambda: all(session not in machine.sessions for machine in machines))
            with trio.fail_after(LIMIT_S):
                if name in BLOCKS:
                    await act(other)
            for path in ("/x", "/x-waiting", "/x-__lock__"):
                with suppress(coord.NoNodeError):
                    await other.delete(path, recursive=True)

        assert await at_each_checkpoint(scenario, step=1 if name in BLOCKS else 3) > 1


@pytest.mark.parametrize("name", ALL)
async def test_a_session_that_ends_at_any_checkpoint_is_told_and_keeps_nobody_out(name, virtual_clock):
    await end_the_session_everywhere(name)


async def test_a_mutant_that_goes_on_giving_back_when_its_session_has_ended_is_found(virtual_clock, monkeypatch):
    async def insist(client: coord.Client, act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(LIMIT_S):
            try:
                return await act()
            except coord.CoordError:
                await trio.sleep(1)
        raise trio.TooSlowError  # or else for ever: it is shielded

    monkeypatch.setattr(recipes.place, "insist", insist)
    with ends_with(trio.TooSlowError):
        await end_the_session_everywhere("lock")
