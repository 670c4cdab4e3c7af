"""A way to a real server that can be cut, on Trio and on asyncio: what is sent meanwhile is held back, as TCP does."""

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
        self._streams: list[anyio.abc.ByteStream] = []

    async def break_off(self) -> None:
        """End the connections, and take no others."""
        self._down = True
        for stream in self._streams:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await stream.aclose()
        self._streams.clear()

    def take(self, *streams: anyio.abc.ByteStream) -> bool:
        """Whether connections are taken now."""
        if not self._down:
            self._streams += streams
        return not self._down

    def cut(self) -> None:
        self._open = anyio.Event()

    def heal(self) -> None:
        self._down = False
        self._open.set()

    async def carry(self, source: anyio.abc.ByteStream, target: anyio.abc.ByteStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                data = await source.receive()
                await self._open.wait()
                await target.send(data)
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await target.aclose()


@asynccontextmanager
async def relayed(server: str) -> AsyncIterator[Relay]:
    """`server`: `unix:<path>`."""
    with tempfile.TemporaryDirectory(prefix="coord-relay-") as folder:
        path = Path(folder, "relay.sock")
        relay = Relay(f"unix:{path}")

        async def serve(stream: anyio.abc.ByteStream) -> None:
            async with (
                stream,
                await anyio.connect_unix(server.removeprefix("unix:")) as target,
                anyio.create_task_group() as tasks,
            ):
                if relay.take(stream, target):
                    tasks.start_soon(relay.carry, stream, target)
                    tasks.start_soon(relay.carry, target, stream)

        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            yield relay
            tasks.cancel_scope.cancel()
