"""A way to a real server that can be cut, on Trio and on asyncio: what is sent meanwhile is held back, as TCP does.

No stream is closed here while somebody receives from it. On asyncio AnyIO's Unix streams forget their number only a
turn of the loop later, and a new socket that has got it by then is never read: its reader waits for ever.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc


class Relay:
    """Between clients, which connect to `address`, and a server. Made by `relayed`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._open = anyio.Event()
        self._open.set()
        self._down = False
        self._connections: list[anyio.CancelScope] = []

    def break_off(self) -> None:
        """End the connections, and take no others."""
        self._down = True
        for connection in self._connections:
            connection.cancel()
        self._connections.clear()

    def cut(self) -> None:
        self._open = anyio.Event()

    def heal(self) -> None:
        self._down = False
        self._open.set()

    async def join(self, one: anyio.abc.ByteStream, other: anyio.abc.ByteStream) -> None:
        """Carry bytes both ways until one of the two ends."""
        if self._down:
            return
        async with anyio.create_task_group() as tasks:
            self._connections.append(tasks.cancel_scope)
            for source, target in ((one, other), (other, one)):
                tasks.start_soon(self._carry, source, target, tasks.cancel_scope)

    async def _carry(
        self, source: anyio.abc.ByteStream, target: anyio.abc.ByteStream, connection: anyio.CancelScope
    ) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                data = await source.receive()
                await self._open.wait()
                await target.send(data)
        connection.cancel()


@asynccontextmanager
async def relayed(server: str) -> AsyncIterator[Relay]:
    """`server`: `unix:<path>`."""
    with tempfile.TemporaryDirectory(prefix="coord-relay-") as folder:
        path = Path(folder, "relay.sock")
        relay = Relay(f"unix:{path}")

        async def serve(stream: anyio.abc.ByteStream) -> None:
            async with stream, await anyio.connect_unix(server.removeprefix("unix:")) as target:
                await relay.join(stream, target)

        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield relay
            tasks.cancel_scope.cancel()
