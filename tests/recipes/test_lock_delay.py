"""A lock that stays closed for a while after a holder that went without a release: for whom, for how long."""

import math

import pytest
import trio

from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Lock, LockLost, MisuseError
from tests.recipes.contention import ends_with


async def leave_without_release(ensemble, delay: float) -> None:
    """A holder's session is ended, and the mark stays."""
    async with ensemble.client() as holder, ensemble.client() as other:
        with ends_with(LockLost):
            async with Lock(holder, "/lock", delay=delay) as held:
                await other.sync()
                await other.delete(held.path)
                await trio.sleep(5)
        assert await other.children("/lock") == ["delay"]


async def test_attempts_alone_see_it_opened_when_its_delay_is_over(ensemble, virtual_clock):
    await leave_without_release(ensemble, 20)
    async with ensemble.client() as client:
        begun = trio.current_time()
        for _ in range(200):
            async with Lock(client, "/lock", delay=20).attempt() as held:
                if held is not None:
                    break
            await trio.sleep(1)
        assert held is not None
        assert 20 <= trio.current_time() - begun <= 100
        assert await client.children("/lock") == []


async def seconds_until_it_is_in(ensemble) -> float:
    """After a holder with a delay of 20 seconds, and an attempt in vain."""
    await leave_without_release(ensemble, 20)
    async with ensemble.client() as client:
        begun = trio.current_time()
        async with Lock(client, "/lock").attempt() as held:
            assert held is None
        async with Lock(client, "/lock"):
            entered = trio.current_time()
        assert await client.children("/lock") == []
    return entered - begun


async def test_who_waits_after_an_attempt_waits_out_the_delay_and_no_longer(ensemble, virtual_clock):
    assert 20 <= await seconds_until_it_is_in(ensemble) <= 21


async def test_a_mutant_that_does_not_wait_out_the_delay_is_found(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr(Lock, "_seconds", lambda lock, value: 0.0)
    assert await seconds_until_it_is_in(ensemble) < 1


async def test_the_timeout_counts_the_delay_too(ensemble, virtual_clock):
    await leave_without_release(ensemble, 20)
    async with ensemble.client() as client:
        begun = trio.current_time()
        with pytest.raises(TimeoutError, match="within 5 s: it was held by others, closed after one"):
            async with Lock(client, "/lock", timeout=5):
                pass
        assert trio.current_time() - begun < 6
        assert await client.children("/lock") == ["delay"]


@pytest.mark.parametrize("delay", [-1, math.inf, math.nan])
async def test_a_delay_that_is_no_time_is_refused(delay, ensemble, virtual_clock):
    async with ensemble.client() as client:
        with pytest.raises(MisuseError, match="a delay is a number of seconds from 0"):
            Lock(client, "/lock", delay=delay)


async def test_a_mark_that_somebody_has_spoiled_is_told_and_no_place_is_left(ensemble, virtual_clock):
    async with ensemble.client() as client:
        await client.create("/lock/delay", b"soon", parents=True)
        with pytest.raises(MisuseError, match="/lock/delay holds b'soon'"):
            async with Lock(client, "/lock"):
                pass
        with pytest.raises(MisuseError, match="/lock/delay holds b'soon'"):
            async with Lock(client, "/lock").attempt():
                pass
        assert await client.children("/lock") == ["delay"]
