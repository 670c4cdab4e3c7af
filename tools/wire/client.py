"""One connection to a server, synchronous and thin: it says exactly what it is told to and shows what came back.

No pings, no reconnects, no retries. Events are kept apart from replies, but `arrived` remembers the order in
which both came.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from tools.ensembles.ports import HOST
from tools.wire import jute
from tools.wire.jute import Op, Reader, Stat

T = TypeVar("T")


class RawError(Exception):
    """The server's answer was this error."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the server answered error {code}")
        self.code = code


class HungUpError(Exception):
    """The server closed the connection."""


class SessionRefusedError(Exception):
    """The server did not know the session (timeout 0 in its answer)."""


@dataclass(slots=True, frozen=True)
class Reply:
    xid: int
    zxid: int
    error: int
    body: bytes

    def reader(self) -> Reader:
        """The body's fields; raises RawError if there are none because the request failed."""
        if self.error:
            raise RawError(self.error)
        return Reader(self.body)

    def as_only(self, field: Callable[[Reader], T]) -> T:
        """The body, which is this one field and no byte more."""
        reader = self.reader()
        value = field(reader)
        reader.end()
        return value


@dataclass(slots=True, frozen=True)
class Event:
    kind: int
    state: int
    path: str
    zxid: int


class RawClient:
    """A connection and the session it was given. A context manager that closes the socket, not the session."""

    def __init__(
        self,
        port: int,
        *,
        timeout_ms: int = 30_000,
        session: int = 0,
        password: bytes = jute.NO_PASSWORD,
        seen_zxid: int = 0,
        read_only: bool | None = False,
        wait_s: float = 10.0,
    ) -> None:
        self.stream = socket.create_connection((HOST, port), wait_s)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.arrived: list[Reply | Event] = []
        self.seen_zxid = seen_zxid
        self._received = bytearray()
        self._xid = 0
        try:
            self.stream.sendall(jute.connect_request(timeout_ms, session, password, seen_zxid, read_only))
            self.connect_reply = self.receive_frame()
        except BaseException:
            self.stream.close()
            raise
        answer = Reader(self.connect_reply)
        answer.int32()
        self.timeout_ms = answer.int32()
        self.session = answer.int64()
        self.password = answer.buffer() or b""
        if self.timeout_ms <= 0:
            self.stream.close()
            raise SessionRefusedError(f"session 0x{session:x} is unknown to the server, or expired")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.stream.close()

    @property
    def events(self) -> list[Event]:
        return [each for each in self.arrived if isinstance(each, Event)]

    # ---- frames

    def receive_frame(self) -> bytes:
        """The next frame's payload. Raises HungUpError at the connection's end, TimeoutError if nothing comes."""
        (size,) = struct.unpack("!i", self._receive_exactly(4))
        return self._receive_exactly(size)

    def _receive_exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                part = self.stream.recv(65_536)
            except ConnectionError as error:
                raise HungUpError(f"the server broke the connection: {error}") from None
            if not part:
                raise HungUpError("the server closed the connection")
            self._received += part
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def wait_hung_up(self) -> None:
        """Read until the server closes; what came before it is kept in `arrived`."""
        try:
            while True:
                self.receive()
        except HungUpError:
            return

    # ---- requests and what comes back

    def send(self, op: int, body: bytes = b"", xid: int | None = None) -> int:
        """Send one request; its xid."""
        if xid is None:
            self._xid += 1
            xid = self._xid
        self.stream.sendall(jute.request(xid, op, body))
        return xid

    def send_all(self, requests: Sequence[tuple[int, bytes]]) -> None:
        """Send several requests, (operation, body) each, in one go."""
        frames = []
        for op, body in requests:
            self._xid += 1
            frames.append(jute.request(self._xid, op, body))
        self.stream.sendall(b"".join(frames))

    def receive(self) -> Reply | Event:
        """The next reply or event, in the order in which the server sent them."""
        payload = self.receive_frame()
        xid, zxid, error = jute.REPLY_HEADER.unpack_from(payload)
        self.seen_zxid = max(self.seen_zxid, zxid)
        body = payload[jute.REPLY_HEADER.size :]
        arrived: Reply | Event
        if xid == jute.NOTIFICATION_XID:
            reader = Reader(body)
            arrived = Event(reader.int32(), reader.int32(), reader.string(), zxid)
            reader.end()
        else:
            arrived = Reply(xid, zxid, error, body)
        self.arrived.append(arrived)
        return arrived

    def receive_reply(self) -> Reply:
        """The next reply; events that come before it are kept in `arrived`."""
        while not isinstance(arrived := self.receive(), Reply):
            pass
        return arrived

    def receive_event(self) -> Event:
        """The next thing to come, which must be an event."""
        arrived = self.receive()
        assert isinstance(arrived, Event), f"expected an event, got {arrived}"
        return arrived

    def call(self, op: int, body: bytes = b"", xid: int | None = None) -> Reply:
        """One request and its reply, whose xid must be the request's."""
        sent = self.send(op, body, xid)
        reply = self.receive_reply()
        assert reply.xid == sent, f"the reply to xid {sent} came with xid {reply.xid}"
        return reply

    # ---- the common operations; each raises RawError

    def create(self, path: str, data: bytes | None = b"", acl: jute.Acl | None = jute.OPEN_ACL, flags: int = 0) -> str:
        return self.call(Op.CREATE, jute.create(path, data, acl, flags)).as_only(Reader.string)

    def delete(self, path: str, version: int = -1) -> None:
        self.call(Op.DELETE, jute.path_and_version(path, version)).reader().end()

    def set(self, path: str, data: bytes | None, version: int = -1) -> Stat:
        return self.call(Op.SET_DATA, jute.set_data(path, data, version)).as_only(Reader.stat)

    def get(self, path: str, watch: bool = False) -> tuple[bytes | None, Stat]:
        reader = self.call(Op.GET_DATA, jute.path_and_watch(path, watch)).reader()
        data, stat = reader.buffer(), reader.stat()
        reader.end()
        return data, stat

    def exists(self, path: str, watch: bool = False) -> Stat | None:
        reply = self.call(Op.EXISTS, jute.path_and_watch(path, watch))
        return None if reply.error == -101 else reply.as_only(Reader.stat)

    def children(self, path: str, watch: bool = False) -> list[str]:
        return sorted(self.call(Op.GET_CHILDREN, jute.path_and_watch(path, watch)).as_only(Reader.strings))

    def sync(self, path: str = "/") -> str:
        return self.call(Op.SYNC, jute.string(path)).as_only(Reader.string)

    def ping(self) -> None:
        self.call(Op.PING, xid=jute.PING_XID).reader().end()

    def add_auth(self, scheme: str, credentials: bytes) -> None:
        self.call(Op.AUTH, jute.auth(scheme, credentials), xid=jute.AUTH_XID).reader().end()

    def delete_all(self, path: str) -> None:
        """The znode and everything below it."""
        for name in self.children(path):
            self.delete_all(f"{path}/{name}")
        self.delete(path)

    def close_session(self) -> None:
        self.call(Op.CLOSE_SESSION).reader().end()
