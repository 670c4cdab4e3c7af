"""A lease is counted on while the computer sleeps, which the clock of the running library does not tell."""

import pytest
import trio

from coord.client.sessions import ClientSession
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Lease, LockLost
from tests.recipes.contention import ends_with


async def test_a_computer_that_has_slept_finds_its_lease_ended(ensemble, virtual_clock, monkeypatch):
    slept_s = 0.0
    monkeypatch.setattr(ClientSession, "now", property(lambda session: trio.current_time() + slept_s))
    async with ensemble.client() as client:
        with ends_with(LockLost):
            async with Lease(client, "/lease", 30) as lease:
                await trio.sleep(5)
                assert 20 < lease.remaining < 23
                slept_s = 25.0
                woke = trio.current_time()
                with pytest.raises(LockLost, match="has ended, less its margin"):
                    lease.check()
                await trio.sleep(60)
        assert trio.current_time() - woke < 2


async def test_the_session_tells_a_time_that_goes_on(ensemble, virtual_clock):
    async with ensemble.client() as client:
        begun = client.session.now
        await trio.sleep(3)
        assert client.session.now == pytest.approx(begun + 3)
