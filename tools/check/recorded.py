"""A raw connection whose every request, reply and event goes into a history, and which lives through lost connections.

One thread a client. It keeps its session, moves to the next server when a connection ends, and sets its watches again
as client libraries do. What was under way then is lost: nobody retries anything.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from coord.model.acl import OPEN_ACL
from coord.model.errors import ERRORS, CoordError
from coord.model.replies import (
    ChildrenReply,
    Created,
    DataReply,
    Done,
    Event,
    ExistsReply,
    Failed,
    MultiDone,
    Reply,
    Synced,
    Written,
)
from coord.model.requests import (
    AddWatch,
    CheckVersion,
    CloseSession,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Request,
    SetData,
    SetWatches,
    Sync,
)
from tools.check.history import CLOSED, CONNECTED, EXPIRED, SUSPENDED, Recorder, StatSeen
from tools.wire import jute
from tools.wire.client import Event as WireEvent
from tools.wire.client import HungUpError, RawClient, SessionRefusedError
from tools.wire.client import Reply as WireReply
from tools.wire.jute import Op, Reader

RETRY_AFTER_S = 0.02


class RecordedClient:
    """A session, and one connection to one of the servers at a time."""

    def __init__(
        self, recorder: Recorder, name: str, ports: Sequence[int], timeout_ms: int = 30_000, wait_s: float = 10.0
    ) -> None:
        """`ports` are tried in turn, the first one first. A silence of `wait_s` is taken for a lost connection."""
        self.name = name
        self._recorder = recorder
        self._ports = list(ports)
        self._timeout_ms = timeout_ms
        self._wait_s = wait_s
        self._armed: dict[tuple[str, str], None] = {}  # (list of SetWatches, path)
        self._client = RawClient(self._ports[0], timeout_ms=timeout_ms, wait_s=wait_s)
        self.session = self._client.session
        recorder.session(name, self.session, CONNECTED)

    def close(self) -> None:
        """End the connection; the session is left to expire."""
        self._client.stream.close()

    def end(self) -> None:
        """End the session; if the connection is lost meanwhile nobody knows whether that was heard."""
        if self.call(CloseSession()) is not None:
            self._recorder.session(self.name, self.session, CLOSED)
        self.close()

    def call(self, request: Request, linearizable: bool = False) -> Reply | None:
        """The reply; None if the connection ended first. A linearizable read stands behind a sync."""
        operation = self._recorder.call(self.name, self.session, request, (), linearizable)
        try:
            if linearizable:
                self._client.send(Op.SYNC, jute.string("/"))
                while not isinstance(self._receive(), WireReply):
                    pass
            op, body, read = _WIRE[type(request)](request)
            self._client.send(op, body)
            while not isinstance(arrived := self._receive(), WireReply):
                pass
        except (HungUpError, OSError):
            self._recorder.lost(operation)
            return None
        reply = read(arrived.reader()) if not arrived.error else Failed(_error(arrived.error))
        self._recorder.returned(operation, reply, arrived.zxid)
        self._remember(request, reply)
        return reply

    def call_all(self, requests: Sequence[Request]) -> list[Reply | None]:
        """The replies to requests that are sent in one go; None for each that no reply came to."""
        sent = [(self._recorder.call(self.name, self.session, each), each) for each in requests]
        replies: list[Reply | None] = []
        try:
            bodies = [_WIRE[type(each)](each) for each in requests]
            self._client.send_all([(op, body) for op, body, _ in bodies])
            for (operation, request), (_, _, read) in zip(sent, bodies, strict=True):
                while not isinstance(arrived := self._receive(), WireReply):
                    pass
                reply = read(arrived.reader()) if not arrived.error else Failed(_error(arrived.error))
                self._recorder.returned(operation, reply, arrived.zxid)
                self._remember(request, reply)
                replies.append(reply)
        except (HungUpError, OSError):
            for operation, _ in sent[len(replies) :]:
                self._recorder.lost(operation)
                replies.append(None)
        return replies

    def listen(self) -> bool:
        """Wait for one more event; False if none came in time, or the connection has ended."""
        try:
            return isinstance(self._receive(), WireEvent)
        except (HungUpError, OSError):
            return False

    def reconnect(self, within_s: float = 30.0) -> bool:
        """Go on with the session at the next server that takes it; False if it has expired or none did."""
        self._recorder.session(self.name, self.session, SUSPENDED)
        before = self._client
        before.stream.close()
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            self._ports.append(self._ports.pop(0))
            try:
                self._client = RawClient(
                    self._ports[0], timeout_ms=self._timeout_ms, session=self.session, password=before.password,
                    seen_zxid=before.seen_zxid, wait_s=self._wait_s,
                )  # fmt: skip
                self._client.seen_zxid = before.seen_zxid
            except SessionRefusedError:
                self._recorder.session(self.name, self.session, EXPIRED)
                return False
            except (HungUpError, OSError):
                time.sleep(RETRY_AFTER_S)
                continue
            self._recorder.session(self.name, self.session, CONNECTED)
            if not self._armed:
                return True
            lists = [tuple(path for each, path in self._armed if each == table) for table in _TABLES]
            if self.call(SetWatches(before.seen_zxid, *lists)) is not None:
                return True
            before.seen_zxid = max(before.seen_zxid, self._client.seen_zxid)
            self._recorder.session(self.name, self.session, SUSPENDED)
            self._client.stream.close()
        return False

    def _receive(self) -> WireReply | WireEvent:
        arrived = self._client.receive()
        self._client.arrived.clear()
        if isinstance(arrived, WireEvent):
            self._recorder.notified(self.name, self.session, Event(arrived.kind, arrived.path, arrived.zxid))
            for table in ("data", "exists", "children"):
                self._armed.pop((table, arrived.path), None)
        return arrived

    def _remember(self, request: Request, reply: Reply) -> None:
        failed = isinstance(reply, Failed)
        if isinstance(request, AddWatch) and not failed:
            self._armed["recursive" if request.mode else "persistent", request.path] = None
        elif isinstance(request, Exists) and request.watch:
            self._armed["exists" if failed else "data", request.path] = None
        elif isinstance(request, GetData) and request.watch and not failed:
            self._armed["data", request.path] = None
        elif isinstance(request, GetChildren) and request.watch and not failed:
            self._armed["children", request.path] = None


_TABLES = ("data", "exists", "children", "persistent", "recursive")


def _error(code: int) -> CoordError:
    return ERRORS.get(code, CoordError)(f"error {code}")


def _stat(reader: Reader) -> StatSeen:
    stat = reader.stat()
    return StatSeen(
        stat.czxid, stat.mzxid, stat.ctime, stat.mtime, stat.version, stat.cversion, stat.aversion,
        stat.ephemeral_owner, stat.data_length, stat.num_children, stat.pzxid,
    )  # fmt: skip


def _create(request: Create) -> tuple[Op, bytes, Callable[[Reader], Reply]]:
    body = jute.create(request.path, request.data, request.acl or OPEN_ACL, request.kind)
    return Op.CREATE2, body, lambda reader: Created(reader.string(), _stat(reader))


def _multi(request: Multi) -> tuple[Op, bytes, Callable[[Reader], Reply]]:
    steps = [_WIRE[type(each)](each) for each in request.requests]

    def read(reader: Reader) -> Reply:
        return MultiDone(tuple(_step(reader, read_one) for _, _, read_one in steps))

    return Op.MULTI, jute.multi(*((op, body) for op, body, _ in steps)), read


def _step(reader: Reader, read: Callable[[Reader], Reply]) -> Reply:
    """One step of a multi's reply: a header (operation, whether it is the end, error), and what it says itself."""
    operation = reader.int32()
    reader.boolean()
    reader.int32()
    return Failed(_error(reader.int32())) if operation == Op.ERROR else read(reader)


_WIRE: dict[type, Callable[[Any], tuple[Op, bytes, Callable[[Reader], Reply]]]] = {
    Create: _create,
    Delete: lambda each: (Op.DELETE, jute.path_and_version(each.path, each.version), lambda reader: Done()),
    SetData: lambda each: (
        Op.SET_DATA,
        jute.set_data(each.path, each.data, each.version),
        lambda reader: Written(_stat(reader)),
    ),
    GetData: lambda each: (
        Op.GET_DATA,
        jute.path_and_watch(each.path, each.watch),
        lambda reader: DataReply(reader.buffer(), _stat(reader)),
    ),
    Exists: lambda each: (
        Op.EXISTS,
        jute.path_and_watch(each.path, each.watch),
        lambda reader: ExistsReply(_stat(reader)),
    ),
    GetChildren: lambda each: (
        Op.GET_CHILDREN2,
        jute.path_and_watch(each.path, each.watch),
        lambda reader: ChildrenReply(tuple(reader.strings()), _stat(reader)),
    ),
    CheckVersion: lambda each: (Op.CHECK, jute.path_and_version(each.path, each.version), lambda reader: Done()),
    CloseSession: lambda each: (Op.CLOSE_SESSION, b"", lambda reader: Done()),
    Multi: _multi,
    Sync: lambda each: (Op.SYNC, jute.string(each.path), lambda reader: Synced(reader.string())),
    AddWatch: lambda each: (Op.ADD_WATCH, jute.path_and_version(each.path, each.mode), lambda reader: Done()),
    SetWatches: lambda each: (
        Op.SET_WATCHES2,
        jute.set_watches(each.seen_zxid, *(getattr(each, table) for table in _TABLES)),
        lambda reader: Done(),
    ),
}
"""Request: operation, body, and how its reply is read. A request that has no row is none this client can make."""
