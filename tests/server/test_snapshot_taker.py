"""When a snapshot is due; and one that comes to nothing stands in the way of no later one."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from memory_ensemble import memory_ensemble

from coord.server.snapshots import LOOK_S, REST, SnapshotTaker


@pytest.mark.parametrize(
    ("state", "log", "due"),
    [
        (0, 25, False),
        (0, 26, True),
        (25, 26, True),
        (60, 60, False),
        (60, 61, True),
        (500, 100, False),
        (500, 101, True),
    ],
)
async def test_a_snapshot_is_due_after_as_much_log_as_the_state_has_bytes_within_bounds(
    state: int, log: int, due: bool, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    store = SimpleNamespace(bytes_since_snapshot=log, last_snapshot_zxid=5, snapshot_size=lambda zxid: state)
    driver = SimpleNamespace(replica=SimpleNamespace(machine=SimpleNamespace(zxid=9)))
    taken: list[float] = []

    class Noting(SnapshotTaker):
        async def take(self, rest: float = 0.0) -> int:
            taken.append(rest)
            return 9

    nursery.start_soon(Noting(driver, store, None, 100, None).run)  # type: ignore[arg-type]
    await trio.sleep(LOOK_S * 1.5)
    nursery.cancel_scope.cancel()
    assert taken == [REST] * due


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
