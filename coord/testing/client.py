"""A small client for tests: one connection, one session, ZooKeeper's protocol.

It keeps its session alive and tells of events, and that is all: it does not reconnect, it does not repeat a request,
it knows no ACL but "anyone" and no watches but one-shot ones. When the connection ends, or the server has not
answered for two thirds of the session's timeout, every call raises ConnectionLost: what was asked then may have been
done or not. coord's own client library is to replace it.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

import trio

from coord.codec import opcodes as op
from coord.model.acl import OPEN_ACL
from coord.model.errors import ERRORS, CoordError, NoNodeError, SessionExpiredError
from coord.model.message import message
from coord.model.replies import Event
from coord.model.requests import EPHEMERAL, PERSISTENT_SEQUENTIAL, CheckVersion, Create, Delete, SetData

T = TypeVar("T")

EVENTS_MAX = 10_000
"""Events that nobody has taken; with more the client gives up, for a lost event would be worse."""

PASSWORD_BYTES = 16
NOTIFICATION_XID, PING_XID = -1, -2

PINGS_A_TIMEOUT = 3
SILENCE_PART = 2 / 3
"""Of the session's timeout without an answer, and the connection counts as lost."""

Change: TypeAlias = Create | Delete | SetData | CheckVersion
"""What a `multi` is made of."""

_INT, _LONG = struct.Struct("!i"), struct.Struct("!q")
_REQUEST_HEADER = struct.Struct("!ii")
_REPLY_HEADER = struct.Struct("!iqi")
_PART_HEADER = struct.Struct("!i?i")
_STAT = struct.Struct("!qqqqiiiqiiq")


class ConnectionLost(Exception):
    """The connection is gone. What was asked and not answered may have been done or not."""


@message
class Stat:
    """What is known of a znode beside its data."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    children_count: int
    pzxid: int


class Stream(Protocol):
    """What of a connection the client uses."""

    async def receive(self) -> bytes: ...
    async def send_all(self, data: bytes | memoryview) -> None: ...
    def close(self) -> None: ...


class Client:
    """A connected client. Made by `Ensemble.connect`."""

    def __init__(self, stream: Stream, host: str) -> None:
        self.host = host
        """Where it calls from, as the network knows it."""
        self.session = 0
        self.session_timeout_s = 0.0
        self.seen_zxid = 0
        """The latest state that an answer has shown."""
        self._stream = stream
        self._frames = _Frames(stream)
        self._xid = 0
        self._calls: deque[_Call] = deque()  # in the order in which they were sent, as they are answered
        self._lost: str | None = None
        self._ended = trio.Event()
        self._heard_s = trio.current_time()
        self._events_in, self._events = trio.open_memory_channel[Event](EVENTS_MAX)

    def __repr__(self) -> str:
        state = "connected" if self._lost is None else self._lost
        return f"<Client on {self.host}, session {self.session:#x}, {state}>"

    # ---- what can be asked

    async def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False, sequential: bool = False) -> str:
        """Make a znode; its path, with the number it got if it is sequential."""
        kind = ephemeral * EPHEMERAL + sequential * PERSISTENT_SEQUENTIAL
        return (await self._call(op.CREATE, _create(Create(path, data, OPEN_ACL, kind)))).string()

    async def delete(self, path: str, version: int = -1) -> None:
        """Delete a znode that has no children; with a version, only if it is this."""
        await self._call(op.DELETE, _string(path) + _INT.pack(version))

    async def set(self, path: str, data: bytes, version: int = -1) -> Stat:
        """Replace a znode's data; with a version, only if it is this."""
        return (await self._call(op.SET_DATA, _set_data(SetData(path, data, version)))).stat()

    async def get(self, path: str, *, watch: bool = False) -> tuple[bytes, Stat]:
        """A znode's data. A watch makes one event of the next change."""
        answer = await self._call(op.GET_DATA, _string(path) + bytes((watch,)))
        return answer.buffer(), answer.stat()

    async def exists(self, path: str, *, watch: bool = False) -> Stat | None:
        """A znode's Stat, or None. A watch makes one event of its creation, deletion or next change."""
        try:
            return (await self._call(op.EXISTS, _string(path) + bytes((watch,)))).stat()
        except NoNodeError:
            return None

    async def children(self, path: str, *, watch: bool = False) -> list[str]:
        """The names of a znode's children, sorted. A watch makes one event of the next child that comes or goes."""
        answer = await self._call(op.GET_CHILDREN, _string(path) + bytes((watch,)))
        return sorted(answer.string() for _ in range(answer.integer()))

    async def multi(self, *changes: Change) -> list[str | Stat | None]:
        """All of these changes or none: the path for a Create, the Stat for a SetData, None for the others.

        Raises the error of the first that cannot be done.
        """
        body = b"".join(_PART_HEADER.pack(_PARTS[type(each)][0], False, -1) + _encode(each) for each in changes)
        answer = await self._call(op.MULTI, body + _PART_HEADER.pack(op.MULTI_END, True, -1))
        results: list[str | Stat | None] = []
        error = 0
        while not (header := answer.part_header())[1]:
            if header[0] == op.MULTI_ERROR:
                error = error or answer.integer()
                results.append(None)
            elif header[0] == op.CREATE:
                results.append(answer.string())
            else:
                results.append(answer.stat() if header[0] == op.SET_DATA else None)
        if error:
            raise _error(error, "multi")
        return results

    async def sync(self, path: str = "/") -> None:
        """Until the server shows all that was written anywhere before."""
        await self._call(op.SYNC, _string(path))

    async def event(self) -> Event:
        """The next event that was not yet taken. Raises ConnectionLost when there is none and never will be."""
        try:
            return await self._events.receive()
        except trio.EndOfChannel:
            raise ConnectionLost(self._lost) from None

    async def close(self) -> None:
        """End the session and the connection."""
        await self._call(op.CLOSE_SESSION, b"")
        self._lose("closed")

    # ---- its connection

    @property
    def lost(self) -> bool:
        """The connection has ended. The session may live on until its timeout."""
        return self._lost is not None

    async def wait_lost(self) -> None:
        """Until the connection has ended."""
        await self._ended.wait()

    @classmethod
    async def serve(
        cls, stream: Stream, host: str, session_timeout_s: float, *, task_status: "trio.TaskStatus[Client]"
    ) -> None:
        """Open a session and keep it until the connection ends. A task of the ensemble."""
        client = cls(stream, host)
        try:
            await client._open(session_timeout_s)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client._keep_alive)
                nursery.start_soon(client._read)
                task_status.started(client)
                await client._ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            client._lose("the test has ended")

    async def _open(self, session_timeout_s: float) -> None:
        timeout_ms = round(session_timeout_s * 1000)
        greeting = _INT.pack(0) + _LONG.pack(0) + _INT.pack(timeout_ms) + _LONG.pack(0) + _buffer(bytes(PASSWORD_BYTES))
        try:
            await self._stream.send_all(_buffer(greeting + b"\x00"))
            answer = _Answer(await self._frames.next())
        except OSError as error:
            raise ConnectionLost(f"no session was opened: {error}") from error
        answer.integer()
        granted_ms = answer.integer()
        self.session = answer.long()
        if granted_ms <= 0:
            raise SessionExpiredError("the server refused the session")
        self.session_timeout_s = granted_ms / 1000
        self._heard_s = trio.current_time()

    async def _read(self) -> None:
        try:
            while True:
                self._on_frame(await self._frames.next())
        except (OSError, trio.ClosedResourceError) as error:
            self._lose(str(error))

    async def _keep_alive(self) -> None:
        silence_s = self.session_timeout_s * SILENCE_PART
        while True:
            await trio.sleep(self.session_timeout_s / PINGS_A_TIMEOUT)
            if trio.current_time() - self._heard_s >= silence_s:
                return self._lose(f"the server has not answered for {silence_s:g} s")
            try:
                await self._stream.send_all(_frame(PING_XID, op.PING, b""))
            except (OSError, trio.ClosedResourceError) as error:
                return self._lose(str(error))

    def _on_frame(self, payload: bytes) -> None:
        self._heard_s = trio.current_time()
        xid, zxid, error = _REPLY_HEADER.unpack_from(payload)
        if xid == PING_XID:
            return
        answer = _Answer(payload, _REPLY_HEADER.size)
        if xid == NOTIFICATION_XID:
            kind = answer.integer()
            answer.integer()  # the session's state: always connected
            try:
                self._events_in.send_nowait(Event(kind, answer.string(), zxid))
            except trio.WouldBlock:
                self._lose(f"more than {EVENTS_MAX} events were not taken")
            return
        assert self._calls, f"the server answered request {xid}, which was not asked"
        call = self._calls.popleft()
        assert call.xid == xid, f"the server answered request {xid} before request {call.xid}"
        self.seen_zxid = max(self.seen_zxid, zxid)
        call.error, call.answer = error, answer
        call.done.set()

    async def _call(self, operation: int, body: bytes) -> "_Answer":
        if self._lost is not None:
            raise ConnectionLost(self._lost)
        self._xid += 1
        call = _Call(self._xid)
        self._calls.append(call)
        frame = _frame(call.xid, operation, body)
        try:
            # Not to be cut short: half a request would spoil all that come after it.
            with trio.CancelScope(shield=True):
                await self._stream.send_all(frame)
        except (OSError, trio.ClosedResourceError) as error:
            self._lose(str(error))
        await call.done.wait()
        if call.answer is None:
            raise ConnectionLost(self._lost)
        if call.error:
            raise _error(call.error, f"operation {operation}")
        return call.answer

    def _lose(self, why: str) -> None:
        if self._lost is None:
            self._lost = why
            self._stream.close()
            self._events_in.close()
            for call in self._calls:
                call.done.set()
            self._calls.clear()
            self._ended.set()


class _Call:
    """A request that waits for its answer."""

    __slots__ = ("answer", "done", "error", "xid")

    def __init__(self, xid: int) -> None:
        self.xid = xid
        self.error = 0
        self.answer: _Answer | None = None  # stays None if the connection ends before it
        self.done = trio.Event()


class _Frames:
    """The frames that come from a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def next(self) -> bytes:
        size = _INT.unpack(await self._exactly(_INT.size))[0]
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            data = await self._stream.receive()
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._received += data
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


class _Answer:
    """Takes fields off the front of an answer's body."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def integer(self) -> int:
        return int(self._take(_INT)[0])

    def long(self) -> int:
        return int(self._take(_LONG)[0])

    def stat(self) -> Stat:
        return Stat(*self._take(_STAT))

    def part_header(self) -> tuple[int, bool]:
        kind, end, _ = self._take(_PART_HEADER)
        return kind, bool(end)

    def buffer(self) -> bytes:
        start = self._at + _INT.size
        self._at = start + max(0, self.integer())
        return self._data[start : self._at]

    def string(self) -> str:
        return self.buffer().decode()

    def _take(self, shape: struct.Struct) -> tuple[int, ...]:
        fields = shape.unpack_from(self._data, self._at)
        self._at += shape.size
        return fields


# ---- requests to bytes


def _buffer(data: bytes | None) -> bytes:
    return _INT.pack(-1) if data is None else _INT.pack(len(data)) + data


def _string(text: str) -> bytes:
    return _buffer(text.encode())


def _frame(xid: int, operation: int, body: bytes) -> bytes:
    return _buffer(_REQUEST_HEADER.pack(xid, operation) + body)


def _create(create: Create) -> bytes:
    acl = create.acl or OPEN_ACL
    entries = b"".join(_INT.pack(may) + _string(scheme) + _string(who) for may, scheme, who in acl)
    return _string(create.path) + _buffer(create.data) + _INT.pack(len(acl)) + entries + _INT.pack(create.kind)


def _set_data(change: SetData) -> bytes:
    return _string(change.path) + _buffer(change.data) + _INT.pack(change.version)


def _path_and_version(change: Delete | CheckVersion) -> bytes:
    return _string(change.path) + _INT.pack(change.version)


def _encode(change: Change) -> bytes:
    return _PARTS[type(change)][1](change)


def _error(code: int, what: str) -> CoordError:
    kind = ERRORS.get(code, CoordError)
    return kind(f"{what}: {kind.__name__} ({code})")


_PARTS: dict[type, tuple[int, Callable[..., bytes]]] = {
    Create: (op.CREATE, _create),
    Delete: (op.DELETE, _path_and_version),
    SetData: (op.SET_DATA, _set_data),
    CheckVersion: (op.CHECK, _path_and_version),
}
"""How each part of a `multi` is written: operation number, body."""
