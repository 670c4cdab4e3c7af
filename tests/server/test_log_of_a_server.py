"""What a whole server logs as it starts, and in whose words."""

import logging

import pytest
import trio
from memory_ensemble import memory_ensemble


async def test_after_a_restart_every_line_tells_how_far_the_log_goes(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level(logging.INFO, "coord")
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        for _ in range(5):
            await client.create("/n-", flags=2)
        await ensemble.wait_converged()
        for server in (1, 2, 3):
            ensemble.crash(server)
        caplog.clear()
        await ensemble.start(1)
        await trio.sleep(1)
        assert len(caplog.records) >= 2
        for record in caplog.records:
            assert record.speaker["zxid"] >= client.seen_zxid, record.getMessage()
