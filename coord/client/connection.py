"""Keeps a session on a connection: dials, greets, reads, writes, and begins anew when that ends.

Two tasks a connection, none a request: one reads, one sends what waits, packed into frames. A third looks at the clock.
Every decision is the session's (session.py); here bytes and time are brought to it, and tasks are woken.
"""

import os
import random
from collections.abc import Sequence

import anyio

from coord.client.addresses import Address
from coord.client.alarms import Alarms
from coord.client.calls import StateWaiter, Waitable
from coord.client.dialing import ByteStream, Dialer
from coord.client.session import CONNECTED, ProtocolError, Session
from coord.client.waiting import Waiting
from coord.codec import native
from coord.codec.errors import CodecError
from coord.model.errors import AuthFailedError, ConnectError
from coord.model.handshake import AUTH_FAILED, Refusal, Welcome

BACK_OFF_FIRST_S, BACK_OFF_MAX_S = 0.02, 2.0
"""The pause after a round through the addresses that came to nothing, or a connection shorter than the second of these,
which is also bounded by the session's timeout."""

TRIES_IN_SENTENCE = 6


class Connection:
    """Whatever connection the session has at the moment."""

    def __init__(
        self,
        session: Session,
        addresses: Sequence[Address],
        dialer: Dialer,
        waiting: Waiting,
        rng: random.Random,
    ) -> None:
        self.address: Address | None = None
        """Of the server that serves the session now."""
        self._session = session
        self._addresses = addresses
        self._dialer = dialer
        self._waiting = waiting
        self._rng = rng
        self._stream: ByteStream | None = None  # of the present connection, if things can be sent at once
        self._rest = b""  # of a frame that was sent in part
        self._outgoing = Waitable()  # the writer waits for something to send
        self._ticking = StateWaiter()  # the clock waits for its time, an earlier alarm or another state
        session.state_waiters.append(self._ticking)
        self.alarms = Alarms(lambda: waiting.wake((self._ticking,)))
        self._scope: anyio.CancelScope | None = None  # of the present connection, or of the attempt at one
        self._tries: dict[str, str] = {}  # how the last attempt at each address ended
        self._last: Address | None = None
        self._rounds = 0  # through all addresses since a server took the session

    # ---- for callers

    def kick(self) -> None:
        """Something waits to be sent. While nothing is under way it leaves at once, else with all that is asked for in
        one turn.

        For one call at a time that saves a turn of Trio's loop, about a quarter of all its time.
        """
        session = self._session
        if self._outgoing.waiter is None or not session.has_to_send:
            return
        if self._stream is not None and session.is_idle:
            frame = session.take(self._waiting.clock())
            self._rest = frame[self._stream.send_now(frame) :]
            if not self._rest and not session.ready and not session.has_to_send:
                return
        self._waiting.wake((self._outgoing,))

    def kick_later(self) -> None:
        """Something waits to be sent for which nobody waits: it leaves with all that is asked for in this turn."""
        self._waiting.wake((self._outgoing,))

    def flush(self) -> None:
        """Wake those whose time has come."""
        session = self._session
        if session.ready:
            ready, session.ready = session.ready, []
            self._waiting.wake(ready)

    def break_off(self) -> None:
        """Leave the present connection; another is made as long as the session lives."""
        if self._scope is not None:
            self._scope.cancel()

    def failure(self, patience_s: float) -> ConnectError:
        """Why there is no connection."""
        tries = [f"{address}: {how}" for address, how in list(self._tries.items())[:TRIES_IN_SENTENCE]]
        if self._last is not None and str(self._last) not in self._tries:
            tries.append(f"{self._last}: it has not answered yet")
        what = "; ".join(tries) or "no name was found yet"
        return ConnectError(f"no server took this client within {patience_s:g} s ({what})")

    # ---- tasks

    async def run(self) -> None:
        """From one connection to the next, until the session is lost."""
        session, clock = self._session, self._waiting.clock
        while session.lost is None:
            served, began_s = False, clock()
            for address in await self._candidates():
                began_s = clock()
                with anyio.CancelScope() as self._scope:
                    await self._try(address)
                served = self.address is not None
                session.disconnected()
                self.address = None
                self.flush()
                if session.lost is not None:
                    return
                if served:
                    break  # names are looked up anew, and all others asked before this one
            if served and clock() - began_s > BACK_OFF_MAX_S:
                self._rounds = 0
            else:
                await anyio.sleep(self._pause_s())

    async def run_clock(self) -> None:
        """Tell the session of the time, leave a server that says nothing, and ring alarms."""
        session, clock = self._session, self._waiting.clock
        try:
            while session.lost is None:
                now = clock()
                session.tick(now)
                if session.is_silent(now):
                    self._note(self.address, "it has said nothing for a third of the session's timeout")
                    self.break_off()
                self.flush()
                if session.has_to_send:
                    self.kick()
                self.alarms.ring(now)
                with anyio.move_on_after(min(session.next_tick_s(now), self.alarms.looked_for_s) - now):
                    await self._waiting.wait(self._ticking)
                self._ticking.seen.clear()
        finally:
            self.alarms.end()
        self.break_off()

    # ---- one connection

    async def _candidates(self) -> list[Address]:
        """All addresses in a random order, the last one that was used at the end."""
        found: list[Address] = []
        for address in self._addresses:
            try:
                with anyio.fail_after(self._patience_s()):
                    found += await self._dialer.resolve(address)
            except (OSError, TimeoutError) as error:
                self._note(address, _sentence(error, "its name was not found in time"))
        self._rng.shuffle(found)
        found.sort(key=lambda each: each == self._last)
        return found

    def _patience_s(self) -> float:
        """For one attempt: some for each address within a third of the timeout, more with each round that failed."""
        third_s = self._session.timeout_s / 3
        longest_s = third_s * (1 if self._session.id else 2)
        return float(min(longest_s, third_s / min(len(self._addresses), 3) * 2.0 ** min(self._rounds, 9)))

    def _pause_s(self) -> float:
        longest_s = min(BACK_OFF_MAX_S, self._session.timeout_s / 10)
        pause_s = min(longest_s, BACK_OFF_FIRST_S * 2.0 ** min(self._rounds, 9))
        self._rounds += 1
        return pause_s * self._rng.uniform(0.5, 1.0)

    async def _try(self, address: Address) -> None:
        """Connect, be welcomed, and talk until the connection ends."""
        stream = None
        self._last = address
        try:
            with anyio.fail_after(self._patience_s()):
                stream = await self._dialer.connect(address)
                reader = _FrameReader(stream)
                await self._greet(address, stream, reader)
            if self._session.state == CONNECTED:
                self.address = address
                await self._talk(stream, reader)
        except (OSError, TimeoutError, ProtocolError, CodecError) as error:
            self._note(address, _sentence(error, "no answer in time"))
        finally:
            if stream is not None:
                with anyio.CancelScope(shield=True):
                    await stream.close()

    async def _greet(self, address: Address, stream: ByteStream, reader: "_FrameReader") -> None:
        session, clock = self._session, self._waiting.clock
        greeting = native.encode_greeting(session.greeting(clock()))
        await stream.send(native.PREAMBLE + native.encode_frame((greeting,)))
        payloads: list[bytes] = []
        try:
            while not payloads:
                payloads = await reader.frames()
            first, *rest = [each for payload in payloads for each in native.decode_server_message(payload)]
        except CodecError as error:
            raise ProtocolError(f"it does not answer as a server of coord does: {error}") from error
        if isinstance(first, Refusal):
            self._note(address, first.reason)
            session.refused(first)
            if first.code == AUTH_FAILED:
                session.lose(AuthFailedError(first.reason))
        elif isinstance(first, Welcome):
            session.welcomed(first, clock())
            if rest:
                session.receive(rest, clock())
        else:
            raise ProtocolError(f"the server greets with {type(first).__name__}")
        self.flush()

    async def _talk(self, stream: ByteStream, reader: "_FrameReader") -> None:
        ended: list[Exception] = []
        self._stream, self._rest = stream, b""
        try:
            await self._exchange(stream, reader, ended)
        finally:
            self._stream = None
        if ended:
            raise ended[0]

    async def _exchange(self, stream: ByteStream, reader: "_FrameReader", ended: list[Exception]) -> None:
        async with anyio.create_task_group() as tasks:

            async def until_it_breaks(loop: str) -> None:
                try:
                    await (self._read(reader) if loop == "read" else self._write(stream))
                except (OSError, ProtocolError, CodecError) as error:
                    ended.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_it_breaks, "write")
            await until_it_breaks("read")

    async def _read(self, reader: "_FrameReader") -> None:
        session, clock = self._session, self._waiting.clock
        decode, frames = native.decode_server_message, reader.frames
        try:
            while session.lost is None:
                for payload in await frames():
                    session.receive(decode(payload), clock())
                session.heard(clock())
                self.flush()
                if session.has_to_send:  # what had to wait for answers to those before it
                    self.kick()
        finally:
            self.flush()

    async def _write(self, stream: ByteStream) -> None:
        session, clock = self._session, self._waiting.clock
        while session.lost is None:
            frame = self._rest or session.take(clock())
            self._rest = b""
            if session.ready:
                self.flush()
            if frame:
                await stream.send(frame)
            else:
                await self._waiting.wait(self._outgoing)

    def _note(self, address: Address | None, how: str) -> None:
        if address is not None:
            self._tries.pop(str(address), None)
            self._tries[str(address)] = how


class _FrameReader:
    """Frames out of a stream of bytes."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._rest = b""  # an incomplete frame

    async def frames(self) -> list[bytes]:
        """All that one receive completes, perhaps none; a long frame that has begun is waited for."""
        data = await self._gather(self._rest)
        payloads, consumed = native.split_frames(data, native.SERVER_FRAME_BYTES_MAX)
        self._rest = data[consumed:]
        return payloads

    async def _gather(self, begun: bytes) -> bytes:
        """Receive once, or until what has begun is whole: the pieces of a long frame are put together only once."""
        data = await self._more()
        if not begun:
            return data
        size_bytes = 4 + int.from_bytes(begun[:4], "big") if len(begun) >= 4 else 4
        if len(begun) + len(data) >= size_bytes:
            return begun + data
        gathered = bytearray(begun)
        gathered += data
        while len(gathered) < size_bytes:
            gathered += await self._more()
        return bytes(gathered)

    async def _more(self) -> bytes:
        data = await self._stream.receive()
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        return data


def _sentence(error: BaseException, timed_out: str) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return timed_out
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio has texts of its own, with the address once more
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
