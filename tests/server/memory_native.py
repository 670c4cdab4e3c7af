"""A client of coord's own protocol on an ensemble in memory: it says what it is told to, and shows what came back."""

import trio
from memory_ensemble import MemoryEnsemble

from coord.codec import native
from coord.model.handshake import Goodbye, Greeting, Refusal, Welcome
from coord.model.replies import Reply, WatchEvent
from coord.model.requests import Request
from coord.testing.network import MemoryStream
from tools.wire.client import HungUpError


class MemoryNative:
    """One connection; its writes are numbered as they are sent."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.said: list[native.ServerMessage] = []  # all of it
        self.number = 0
        self._next_id = 1
        self._asked: dict[int, Request] = {}
        self._received = b""
        self._unread: list[native.ServerMessage] = []

    async def greet(self, session: int = 0, password: bytes = b"", timeout_ms: int = 10_000, seen: int = 0) -> None:
        greeting = Greeting(1, 1, 0, 0, session, password, seen, timeout_ms, 0, (), "a test")
        await self.stream.send_all(native.PREAMBLE + native.encode_frame([native.encode_greeting(greeting)]))

    async def open(self, session: int = 0, password: bytes = b"", timeout_ms: int = 10_000) -> Welcome:
        await self.greet(session, password, timeout_ms)
        welcome = await self.receive()
        assert isinstance(welcome, Welcome), welcome
        return welcome

    async def receive(self) -> native.ServerMessage:
        """The next message; HungUpError at the end."""
        while not self._unread:
            payloads, consumed = native.split_frames(self._received, native.SERVER_FRAME_BYTES_MAX)
            self._received = self._received[consumed:]
            for payload in payloads:
                self._unread += native.decode_server_message(payload)
            if not payloads:
                try:
                    data = await self.stream.receive()
                except OSError as error:
                    raise HungUpError(str(error)) from error
                if not data:
                    raise HungUpError("the server closed the connection")
                self._received += data
        message = self._unread.pop(0)
        self.said.append(message)
        return message

    async def send(self, *requests: Request) -> None:
        """One frame of requests."""
        messages = []
        for request in requests:
            numbered = type(request) in native.WRITE_CLASSES
            self.number += numbered
            self._asked[self._next_id] = request
            messages.append(native.encode_request(self._next_id, request, self.number if numbered else 0))
            self._next_id += 1
        await self.stream.send_all(native.encode_frame(messages))

    async def answer(self) -> Reply | Exception:
        """The next reply; what stands before it is in `said`."""
        while not isinstance(message := await self.receive(), native.Answer):
            pass
        if message.code:
            return native.error_of(message)
        return native.read_reply(self._asked[message.id], message)

    async def do(self, *requests: Request) -> list[Reply | Exception]:
        await self.send(*requests)
        return [await self.answer() for _ in requests]

    async def ended(self) -> Goodbye | Refusal | None:
        """Read until the server hangs up; its last words."""
        try:
            while True:
                await self.receive()
        except HungUpError:
            return self.said[-1] if self.said and isinstance(self.said[-1], Goodbye | Refusal) else None

    @property
    def events(self) -> list[WatchEvent]:
        return [each for each in self.said if isinstance(each, WatchEvent)]


async def dial_native(ensemble: MemoryEnsemble, server: int = 1) -> MemoryNative:
    """A bare connection."""
    return MemoryNative((await ensemble.dial(server)).stream)


async def native_client(
    ensemble: MemoryEnsemble, server: int = 1, timeout_ms: int = 10_000
) -> tuple[MemoryNative, Welcome]:
    client = await dial_native(ensemble, server)
    with trio.fail_after(60):
        return client, await client.open(timeout_ms=timeout_ms)
