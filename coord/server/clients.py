"""Client connections: bytes in, calls to the replica, frames out. One task a connection reads; nothing waits to send
but a writer task, and that only for what the kernel did not take.

The first four bytes tell who is there: a four-letter word, the length of ZooKeeper's connect request, the preamble of
coord's own protocol, or that of somebody who asks for the past (inspection.py).
"""

import itertools
from collections import Counter
from collections.abc import Callable

import trio

from coord.codec import inspection, jute, native
from coord.codec.errors import CodecError
from coord.codec.frames import LENGTH, first_frame
from coord.model.handshake import MALFORMED, Greeting
from coord.model.requests import Connect
from coord.net.crowd import Crowd
from coord.net.network import Listener, Stream
from coord.net.outbox import Outbox
from coord.replica.pipeline import Pipeline
from coord.server.config import Config
from coord.server.driver import Driver
from coord.server.inspection import Inspections
from coord.server.log_lines import EventLog

SWEEP_S = 0.5
"""How often it is looked who keeps the server waiting, and whom the server keeps waiting."""

CONNECT_BYTES_MAX = 1024
"""A longer first frame is not a connect request."""

GREETING_BYTES_MAX = 64 << 10
"""A longer first frame is not a greeting of coord's own protocol."""

COMPLAIN_EVERY_S = 5.0
"""Refused connections are counted and logged so often at most."""

RESUME_BELOW = 2
"""Reading goes on when the unanswered requests are down to the limit divided by this."""

EARLY_BYTES_MAX = 2 << 20
"""What a client may send before its session is open."""

FORWARDS_BYTES_MAX = 64 << 20
"""With so many bytes of writes on their way to the leader, or waiting for one, no more is read from those who write."""

Words = Callable[[bytes], bytes | None]
"""The answer to a four-letter word, None if the bytes are not one."""


class ClientConnection:
    """One client's socket, its outbox and its place in the replica."""

    __slots__ = (
        "_driver", "_frame_bytes_max", "_unsettled", "half_since_s", "held", "outbox", "pieces_seen", "pipeline",
        "rest", "resume", "since_s", "stuck_since_s",
    )  # fmt: skip

    def __init__(
        self,
        driver: Driver,
        pipeline: Pipeline,
        outbox: Outbox,
        frame_bytes_max: int,
        unsettled: "dict[ClientConnection, None]",
        now: float,
    ) -> None:
        self._driver = driver
        self._frame_bytes_max = frame_bytes_max
        self._unsettled = unsettled  # where the sweep looks
        self.pipeline = pipeline
        self.outbox = outbox
        self.rest = b""  # what `hear` has left over: the beginning of a request
        self.since_s = now
        self.half_since_s: float | None = now  # when a frame that is not whole yet began; at first the handshake
        self.pieces_seen = 0  # of the outbox, when it was last looked at
        self.stuck_since_s = now  # since when it has taken nothing
        self.held = False  # nothing more is read from it until some of its requests are answered
        self.resume: trio.Event | None = None  # set when the reader may go on
        unsettled[self] = None

    def unsettle(self) -> None:
        """It keeps the server waiting, or the server keeps it waiting: have the sweep look at it until that is over."""
        if self not in self._unsettled:
            self._unsettled[self] = None
            self.pieces_seen, self.stuck_since_s = self.outbox.pieces_sent, trio.current_time()

    @property
    def settled(self) -> bool:
        return self.half_since_s is None and not self.held and not self.outbox.bytes_waiting

    def deliver(self, frames: bytes) -> None:
        """Frames of the replica. Backpressure: reads are held back while the client does not take what it got."""
        outbox, pipeline = self.outbox, self.pipeline
        outbox.put(frames)
        if outbox.bytes_waiting:
            pipeline.stalled = True
            self.unsettle()
        elif pipeline.stalled:
            self._go_on()
        if self.resume is not None:
            self.resume.set()

    def take(self, buffer: bytes) -> bytes:
        """Give the replica all whole requests, and the client the answers that wait for nobody; what is left over."""
        driver, pipeline = self._driver, self.pipeline
        decode = native.decode_calls if pipeline.codec is native else jute.decode_calls
        calls, consumed = decode(buffer, self._frame_bytes_max)
        rest = buffer[consumed:]
        if calls:
            driver.replica.now = driver.now_s()
            driver.replica.submit(pipeline, calls)
        if calls or not rest:
            self.half_since_s = None
        if rest and self.half_since_s is None:
            self.half_since_s = trio.current_time()
            self.unsettle()
        if calls:
            driver.submitted(pipeline, self)
        return rest

    def hear(self, data: bytes) -> bool:
        """Take what comes from a client that pings; whether it still does no more than that."""
        if data == jute.PING and self._driver.answered_ping(self.pipeline, self):
            return True
        self.rest = self.take(data)  # at once: what comes after a pause is not to wait for its reader to wake up
        return False

    def drained(self) -> None:
        """The outbox is empty again."""
        if self.pipeline.stalled and not self.pipeline.gone:
            self._go_on()
        if self.resume is not None:
            self.resume.set()

    def _go_on(self) -> None:
        self._driver.replica.clients.resume(self.pipeline)
        self._driver.feed()

    def hang_up(self, why: str) -> None:
        self.outbox.finish(why)


class ClientPort:
    """Accepts clients and serves each of them, within the limits of the configuration."""

    def __init__(self, config: Config, driver: Driver, log: EventLog, words: Words, inspections: Inspections) -> None:
        self._config = config
        self._driver = driver
        self._log = log
        self._words = words
        self._inspections = inspections
        self._numbers = itertools.count(1)
        self._by_address: Counter[str] = Counter()
        self.connections: dict[int, ClientConnection] = {}
        self._unsettled: dict[ClientConnection, None] = {}  # those of them that the sweep looks at
        self._open = 0
        self._refused = 0  # since that was last logged
        self._complain_again_s = 0.0

    async def run(self, listener: Listener) -> None:
        crowd = Crowd()  # of those that ping, and do little else
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crowd.run)
            while True:
                stream = await listener.accept()
                refusal = self._refusal(stream.remote[0])
                if refusal:
                    stream.close()
                    self._complain(refusal, stream.remote[0])
                else:
                    nursery.start_soon(self._serve, stream, crowd)

    def _complain(self, refusal: str, address: str) -> None:
        """Not a line for each: who can make thousands of connections must not fill the log with them."""
        self._refused += 1
        if trio.current_time() >= self._complain_again_s:
            self._log.warning(refusal, client=address, refused=self._refused)
            self._complain_again_s = trio.current_time() + COMPLAIN_EVERY_S
            self._refused = 0

    def _refusal(self, address: str) -> str:
        config = self._config
        if self._open >= config.connections_max:
            return f"a client is hung up on: there are connections_max = {config.connections_max} already"
        limit = config.connections_per_address_max
        if limit and self._by_address[address] >= limit:
            return f"a client is hung up on: its address has connections_per_address_max = {limit} already"
        return ""

    async def _serve(self, stream: Stream, crowd: Crowd) -> None:
        """One connection from its first to its last byte."""
        address = stream.remote[0]
        self._open += 1
        self._by_address[address] += 1
        number = next(self._numbers)
        outbox = Outbox(stream, self._config.reply_bytes_max)
        pipeline = self._driver.replica.attach(number, jute, (("ip", address),), f"{address}:{stream.remote[1]}")
        client = ClientConnection(
            self._driver, pipeline, outbox, self._config.frame_bytes_max, self._unsettled, trio.current_time()
        )
        self.connections[number] = self._driver.clients[number] = client
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, client, nursery.cancel_scope)
                await self._read(stream, client, crowd)
                nursery.cancel_scope.cancel()
        finally:
            if outbox.why:
                self._log.debug(f"client {pipeline.address} is hung up on: {outbox.why}")
            outbox.close("the client has gone")
            del self.connections[number], self._driver.clients[number]
            self._unsettled.pop(client, None)
            if not pipeline.gone:
                self._driver.replica.detach(pipeline)
            self._open -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    async def _write(self, client: ClientConnection, connection: trio.CancelScope) -> None:
        """Send what waits. When that ends the connection is closed, whatever its reader is waiting for."""
        await client.outbox.run(client.drained)
        connection.cancel()

    async def _read(self, stream: Stream, client: ClientConnection, crowd: Crowd) -> None:
        try:
            rest = await self._greet(stream, client)
            if rest is not None:
                await self._read_calls(stream, client, crowd, rest)
        except CodecError as error:
            client.outbox.close(str(error))
        except (OSError, trio.ClosedResourceError) as error:
            client.outbox.close(f"the connection broke: {error}")
        if client.outbox.finishing:
            await client.outbox.wait_drained()

    async def _greet(self, stream: Stream, client: ClientConnection) -> bytes | None:
        """Read what a client says first; the bytes after it, or None if that was all, or nothing."""
        buffer = b""
        while True:
            data = await stream.receive()
            if not data:
                return None
            buffer += data
            if len(buffer) < 4:
                continue
            if buffer[:4] == native.PREAMBLE:
                client.pipeline.codec = native
                return await self._greet_native(stream, client, buffer[4:])
            if buffer[:4] == inspection.PREAMBLE:
                await self._tell_past(stream, client, buffer[4:])
                return None
            answer = self._words(buffer[:4])
            if answer is not None:
                client.outbox.put(answer)
                client.outbox.finish("a four-letter word was answered")
                return None
            frame = first_frame(buffer, CONNECT_BYTES_MAX)
            if frame is not None:
                payload, consumed = frame
                self._let_in(client, jute.decode_connect(payload))
                return buffer[consumed:]

    async def _greet_native(self, stream: Stream, client: ClientConnection, buffer: bytes) -> bytes | None:
        """Read the greeting; the bytes after it, or None if it cannot be read, or is not all there."""
        try:
            while True:
                payloads, consumed = native.split_frames(buffer, GREETING_BYTES_MAX, 1)
                if payloads:
                    self._let_in(client, native.decode_greeting(payloads[0]))
                    return buffer[consumed:]
                data = await stream.receive()
                if not data:
                    return None
                buffer += data
        except CodecError as error:
            client.outbox.put(native.pack([native.encode_refusal(None, MALFORMED, str(error))]))
            client.outbox.finish(str(error))
            return None

    async def _tell_past(self, stream: Stream, client: ClientConnection, buffer: bytes) -> None:
        """One request for the past, and its answer. What is sent does not go through the outbox: it is paced here."""
        inspections = self._inspections
        try:
            asked = await inspections.read_request(stream, buffer)
        except CodecError as error:
            await inspections.refuse(stream, f"what was asked for cannot be read: {error}")
            raise
        client.half_since_s = None
        if asked is not None:
            client.outbox.close(await inspections.answer(stream, asked))

    def _let_in(self, client: ClientConnection, connect: Connect | Greeting) -> None:
        self._driver.replica.clients.open(client.pipeline, connect)
        self._driver.feed()
        client.half_since_s = None

    async def _read_calls(self, stream: Stream, client: ClientConnection, crowd: Crowd, buffer: bytes) -> None:
        pipeline, forwards = client.pipeline, self._driver.replica.forwards
        waiting, requests_max = pipeline.waiting, self._config.outstanding_requests_max
        early_bytes = 0
        while True:
            pings = pipeline.session and buffer == jute.PING  # and will do little else for a while
            if buffer:
                rest = client.take(buffer)
                if pipeline.early:
                    early_bytes += len(buffer) - len(rest)
                buffer = rest
            if pipeline.early and early_bytes > EARLY_BYTES_MAX:
                await self._wait_for_room(client, 0)
            if len(waiting) + len(pipeline.early) >= requests_max:
                await self._wait_for_room(client, requests_max // RESUME_BELOW)
            if waiting and forwards.bytes > FORWARDS_BYTES_MAX:
                await self._wait_for_forwards(client)
            if buffer:
                buffer = await _receive_frame(stream, buffer)
            elif pings:
                if not await crowd.listen(stream, client.hear):
                    return
                buffer, client.rest = client.rest, b""
                continue
            else:
                buffer = await stream.receive()
            if not buffer:
                return

    async def _wait_for_room(self, client: ClientConnection, low: int) -> None:
        """Stop reading while too many requests are unanswered."""
        pipeline = client.pipeline
        half_since_s = self._hold(client)
        while len(pipeline.waiting) + len(pipeline.early) > low and not client.outbox.closed:
            client.resume = trio.Event()
            await client.resume.wait()
        client.resume = None
        self._let_go(client, half_since_s)

    async def _wait_for_forwards(self, client: ClientConnection) -> None:
        """Stop reading while too much is on its way to the leader."""
        half_since_s = self._hold(client)
        while self._driver.replica.forwards.bytes > FORWARDS_BYTES_MAX and not client.outbox.closed:
            await self._driver.wait_pumped()
        self._let_go(client, half_since_s)

    def _hold(self, client: ClientConnection) -> float | None:
        """Nothing is read from the client for a while, by this server's wish: a half sent frame is not its fault."""
        half_since_s, client.half_since_s, client.held = client.half_since_s, None, True
        client.unsettle()
        return half_since_s

    def _let_go(self, client: ClientConnection, half_since_s: float | None) -> None:
        client.half_since_s, client.held = None if half_since_s is None else trio.current_time(), False

    async def run_sweep(self) -> None:
        """Hang up on those who do not finish a handshake or a frame in time.

        Those from whom this server does not read keep their sessions: their pings would have come. Nobody looks at
        those who are settled: of ten thousand that are idle, seven would be looked at for each ping that comes.
        """
        config = self._config
        while True:
            await trio.sleep(SWEEP_S)
            now = trio.current_time()
            for client in list(self._unsettled):
                if client.settled:
                    del self._unsettled[client]
                    continue
                self._look_for_stuck(client, now)
                if client.held and not client.pipeline.stalled:
                    self._driver.replica.clients.touch(client.pipeline)
                since = client.half_since_s
                if since is None:
                    continue
                if client.pipeline.connect is None:
                    if now - since > config.handshake_timeout_s:
                        client.outbox.close(f"no handshake within {config.handshake_timeout_s:g} s")
                elif now - since > config.frame_timeout_s:
                    client.outbox.close(f"a request stayed half sent for {config.frame_timeout_s:g} s")

    def _look_for_stuck(self, client: ClientConnection, now: float) -> None:
        """A client that takes nothing of what waits for it is not kept for ever."""
        outbox, limit_s = client.outbox, self._config.reply_timeout_s
        if not outbox.bytes_waiting or outbox.pieces_sent != client.pieces_seen:
            client.pieces_seen, client.stuck_since_s = outbox.pieces_sent, now
        elif now - client.stuck_since_s > limit_s:
            outbox.close(f"it has taken none of {outbox.bytes_waiting} waiting bytes for {limit_s:g} s")


async def _receive_frame(stream: Stream, begun: bytes) -> bytes:
    """Go on to receive until the frame that has begun is whole; nothing if the stream ends before.

    A long frame in tiny pieces is gathered here and looked at once: decoding it anew with each piece would cost
    the server much more than its sender.
    """
    data = await stream.receive()
    size = LENGTH.size + LENGTH.unpack_from(begun)[0] if len(begun) >= LENGTH.size else LENGTH.size
    if not data or len(begun) + len(data) >= size:
        return begun + data if data else b""
    gathered = bytearray(begun)
    gathered += data
    while len(gathered) < size:
        data = await stream.receive()
        if not data:
            return b""
        gathered += data
    return bytes(gathered)
