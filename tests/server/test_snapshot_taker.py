"""A snapshot that comes to nothing stands in the way of no later one."""

from types import SimpleNamespace
from typing import Any

import trio
import trio.testing
from memory_ensemble import memory_ensemble

from coord.server.snapshots import SnapshotTaker


async def test_who_asks_for_a_snapshot_and_has_gone_before_it_begins_leaves_no_walk_under_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        replica = ensemble.replicas[1]

        async def aside(function: Any) -> Any:
            await trio.lowlevel.checkpoint()
            raise AssertionError("nothing is begun for who has gone")

        driver, store = SimpleNamespace(replica=replica), SimpleNamespace(begin_snapshot=int)
        taker = SnapshotTaker(driver, store, SimpleNamespace(aside=aside), 0, None)  # type: ignore[arg-type]
        with trio.CancelScope() as gone:
            gone.cancel()
            await taker._take(0.0)
        assert gone.cancelled_caught
        await client.set("/", b"later")  # which would be kept as it was before, for a walk that goes on
        replica.machine.begin_walk().cancel()
