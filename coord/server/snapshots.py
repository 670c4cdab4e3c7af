"""Taking a snapshot while serving: the state machine is walked a slice at a time, the slices are written in a thread.

The snapshot is of exactly the zxid at which the walk began; what changes before the walk gets there leaves its old
image behind (coord/state/walk.py).
"""

from functools import partial

import trio

from coord.server.driver import Driver
from coord.server.log_lines import EventLog
from coord.storage.store import SnapshotWriter, Store
from coord.storage.writer import Writer

SLICE_ZNODES = 500
"""Walked at a time: a millisecond or so, in which nobody else is served."""

REST = 4.0
"""A snapshot that nobody waits for rests so many times as long as each slice held the loop: clients come first, also
where several servers share a processor. Three servers with half a million znodes, which began at once on two
processors under 10,000 sets a second, held their loops for up to 123 ms without the rests, never for 25 with twice."""

REST_MAX_S = 0.05
"""But no longer after each: a slice that seems to have taken more was held up itself, by others on the machine."""

LEAST_SHARE = 4
"""A snapshot is due after as much log as the last one has bytes, so that the two cost about the same; after no more log
than the setting says, and no less than this part of it. While the state is small a start then has little to read."""

LOOK_S = 0.5
"""How often it is looked whether a snapshot is due."""


class SnapshotTaker:
    """One snapshot at a time; whoever wants one while it is taken gets that one."""

    def __init__(self, driver: Driver, store: Store, writer: Writer, after_bytes: int, log: EventLog) -> None:
        self._driver = driver
        self._store = store
        self._writer = writer
        self._after_bytes = after_bytes
        self._log = log
        self._turn = trio.Lock()

    async def run(self) -> None:
        """Take one whenever enough log has been written since the last."""
        while True:
            await trio.sleep(LOOK_S)
            enough = self._store.bytes_since_snapshot > self._due_bytes()
            if enough and self._driver.replica.machine.zxid > self._store.last_snapshot_zxid:
                await self.take(rest=REST)

    def _due_bytes(self) -> int:
        """After how much log the next one is due."""
        state = self._store.snapshot_size(self._store.last_snapshot_zxid)
        return min(self._after_bytes, max(state, self._after_bytes // LEAST_SHARE))

    async def take(self, rest: float = 0.0) -> int:
        """Take a snapshot now; the zxid of the newest one when it is done, 0 if the state is still empty."""
        asked_at = self._driver.replica.machine.zxid
        async with self._turn:
            if self._store.last_snapshot_zxid < asked_at:
                taken = await self._take(rest)
                while self._store.last_snapshot_zxid < taken:
                    await self._driver.wait_pumped()  # until the log is durable so far it may not be relied on
            return self._store.last_snapshot_zxid

    async def _take(self, rest: float) -> int:
        """The zxid of the snapshot, 0 if it came to nothing."""
        machine = self._driver.replica.machine
        began, zxid, count = trio.current_time(), machine.zxid, len(machine.tree.nodes)
        walk = machine.begin_walk()
        file: SnapshotWriter | None = None
        done = False
        try:
            file = await self._writer.aside(partial(self._store.begin_snapshot, zxid))
            with self._writer.disk_busy():
                while True:
                    slice_began = trio.current_time()
                    if (chunk := walk.next_chunk(SLICE_ZNODES)) is None:
                        break
                    pause_s = min((trio.current_time() - slice_began) * rest, REST_MAX_S)
                    await self._writer.aside(partial(file.write, chunk))
                    await trio.sleep(pause_s)
                    if self._driver.replica.machine is not machine:
                        return 0  # the state came from the leader meanwhile; this one is history
                with trio.CancelScope(shield=True):
                    await self._writer.aside(file.finish)
            done = True
        finally:
            if not done:
                walk.cancel()  # also if whoever asked for it has gone at once: no later one could begin
                if file is not None:
                    file.abandon()
        seconds = trio.current_time() - began
        self._log.info(f"took a snapshot at {zxid:#x}", znodes=count, seconds=round(seconds, 3))
        return zxid
