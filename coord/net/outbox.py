"""What is on its way to one receiver: tried at once, bounded, in order.

A send that the kernel takes whole costs no task. Only the rest waits here for a writer task, which the owner runs. A
receiver that does not read, so that more than the limit waits for it, is given up.
"""

from collections import deque
from collections.abc import Callable

import trio

from coord.net.network import Stream

PIECE_BYTES = 64 << 10
"""What is sent at a time, so that one can see whether a slow receiver takes anything."""


class Outbox:
    """`put` never waits and never raises: when the connection fails it closes it, and its reader sees the end."""

    __slots__ = (
        "_drained",
        "_filled",
        "_limit_bytes",
        "_queue",
        "_stream",
        "bytes_waiting",
        "closed",
        "finishing",
        "pieces_sent",
        "why",
    )

    def __init__(self, stream: Stream, limit_bytes: int) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._queue: deque[bytes | memoryview] = deque()
        self._filled = trio.Event()
        self._drained = trio.Event()
        self.bytes_waiting = 0
        self.pieces_sent = 0  # while it grows the receiver takes what it gets
        self.closed = False
        self.finishing = False  # close as soon as all has left
        self.why = ""  # it was closed from this side

    def put(self, data: bytes) -> None:
        if self.closed or self.finishing:
            return
        sent = 0
        if not self.bytes_waiting:
            try:
                sent = self._stream.send_now(data)
            except OSError as error:
                self.close(f"sending failed: {error}")
                return
            if sent == len(data):
                return
        self._queue.append(memoryview(data)[sent:] if sent else data)
        self.bytes_waiting += len(data) - sent
        if self.bytes_waiting > self._limit_bytes:
            self.close(f"it does not read: {self.bytes_waiting} bytes wait for it, the limit is {self._limit_bytes}")
        else:
            self._filled.set()

    async def run(self, drained: Callable[[], None] | None = None) -> None:
        """Send what `put` could not; `drained` is called each time nothing is left."""
        while not self.closed:
            await self._filled.wait()
            while self._queue and not self.closed:
                data = self._queue.popleft()
                if len(data) > PIECE_BYTES:
                    self._queue.appendleft(memoryview(data)[PIECE_BYTES:])
                    data = memoryview(data)[:PIECE_BYTES]
                try:
                    await self._stream.send_all(data)
                except (OSError, trio.ClosedResourceError) as error:
                    self.close(f"sending failed: {error}")
                    return
                self.pieces_sent += 1
                if not self.closed:
                    self.bytes_waiting -= len(data)
            self._filled = trio.Event()
            self._drained.set()
            self._drained = trio.Event()
            if self.finishing:
                self.close(self.why)
            elif drained is not None:
                drained()

    async def wait_drained(self) -> None:
        """Until nothing waits, or the connection is closed: for those who send a lot."""
        if self.bytes_waiting and not self.closed:
            await self._drained.wait()

    def finish(self, why: str) -> None:
        """Close once all that was put has left."""
        self.why = why
        if self.bytes_waiting and not self.closed:
            self.finishing = True
        else:
            self.close(why)

    def close(self, why: str) -> None:
        """Close now; what still waits is dropped."""
        if not self.closed:
            self.closed = True
            self.why = why
            self._queue.clear()
            self.bytes_waiting = 0
            self._stream.close()
            self._filled.set()
            self._drained.set()
