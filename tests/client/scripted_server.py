"""A server on the loopback address that speaks coord's own protocol, does what a test says, and keeps a model of the
state."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc

from coord.codec import native
from coord.model.handshake import Goodbye, Greeting, Refusal
from tests.client.model_server import ModelServer

FRAME_BYTES_MAX = 1 << 22


class Talk:
    """One connection, at the server's end."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def greeting(self) -> Greeting:
        while len(self.buffer) < 8:
            self.buffer += await self.stream.receive()
        assert self.buffer[:4] == native.PREAMBLE
        self.buffer = self.buffer[4:]
        return native.decode_greeting((await self.payloads(1))[0])

    async def payloads(self, count: int = 0) -> list[bytes]:
        """The next `count` payloads, or whatever there is, one at least."""
        while True:
            found, consumed = native.split_frames(self.buffer, FRAME_BYTES_MAX)
            if found:
                if count:
                    consumed = sum(4 + len(each) for each in found[:count])
                self.buffer = self.buffer[consumed:]
                return found[:count] if count else found
            self.buffer += await self.stream.receive()

    async def say(self, *messages: bytes) -> None:
        await self.stream.send(native.encode_frame(messages))

    async def refuse(self, refusal: Refusal) -> None:
        greeting = await self.greeting()
        await self.say(native.encode_refusal(greeting, refusal.code, refusal.reason))

    async def part(self, goodbye: Goodbye) -> None:
        await self.say(native.encode_goodbye(goodbye.code, goodbye.reason))

    async def serve(self, model: ModelServer, requests: int | None = None) -> None:
        """As a good server does, for so many requests, or for as long as the client is there."""
        greeting = await self.greeting()
        await self.say(native.encode_welcome(model.connect(greeting)))
        served = 0
        while requests is None or served < requests:
            for payload in await self.payloads():
                calls = native.decode_requests(payload)
                served += sum(call.xid > 0 for call in calls)
                for call in calls:
                    model.answer(call)
            frames = []
            while frame := model.next_frame():
                frames.append(frame)
            if frames:
                await self.stream.send(b"".join(frames))


Script = Callable[[Talk], Awaitable[Any]]


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """The address of a server that does one script after the other, one a connection, the last one again and again."""
    left = list(scripts)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await script(Talk(stream))

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield f"127.0.0.1:{port}"
        tasks.cancel_scope.cancel()
