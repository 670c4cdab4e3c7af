"""Kinds of client, each of which records what it asks and what it is told.

A client is a session, used by one thread. It moves to another server by itself or when told to (`go_on`), and
is given up when its session has ended: whoever uses it then makes another one, under another name.

To add a kind: a class with these methods, and a row of KINDS.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss, KazooException, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, ZnodeStat
from kazoo.retry import KazooRetry

from coord.model.errors import ERRORS, CoordError
from coord.model.replies import ChildrenReply, Created, DataReply, Done, ExistsReply, Failed, MultiDone, Reply, Written
from coord.model.requests import (
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Request,
    SetData,
)
from tools.chaos.native import NativeKind
from tools.check.history import CONNECTED, EXPIRED, SUSPENDED, UNTOLD, Recorder, StatSeen
from tools.check.recorded import RecordedClient
from tools.ensembles.ports import HOST
from tools.wire.client import HungUpError, SessionRefusedError

ANSWER_WITHIN_S = 4.0
"""A longer silence is taken for a lost connection."""
KAZOO_ANSWER_WITHIN_S = 60.0
"""kazoo itself notices a lost connection; this is for a kazoo that does not."""


class NoConnectionError(Exception):
    """No session could be opened now."""


class Client(Protocol):
    @property
    def watches(self) -> bool:
        """Its events are recorded as well, so it may set watches."""

    def call(self, request: Request, linearizable: bool = False) -> Reply | None:
        """The reply; None if nobody will ever know it."""

    def call_all(self, requests: Sequence[Request]) -> Sequence[Reply | None]:
        """All of them, in one go if the kind can do that."""

    def go_on(self) -> bool:
        """After a None: False if the session has ended, or no server takes it."""

    def move(self) -> bool:
        """To another server, with the same session, as if the connection had broken; as `go_on`."""

    def end(self) -> None:
        """End the session, and leave."""

    def close(self) -> None:
        """Leave; the session may be left to expire."""


class RawKind:
    """ZooKeeper's protocol by hand: zxids, stats and events are all recorded."""

    watches = True

    def __init__(self, recorder: Recorder, name: str, ports: Sequence[int], timeout_ms: int) -> None:
        try:
            self._client = RecordedClient(recorder, name, ports, timeout_ms, ANSWER_WITHIN_S)
        except (HungUpError, SessionRefusedError, OSError) as error:
            raise NoConnectionError(str(error)) from error

    def call(self, request: Request, linearizable: bool = False) -> Reply | None:
        return self._client.call(request, linearizable)

    def call_all(self, requests: Sequence[Request]) -> Sequence[Reply | None]:
        return self._client.call_all(requests)

    def go_on(self) -> bool:
        return self._client.reconnect()

    def move(self) -> bool:
        return self._client.reconnect()

    def end(self) -> None:
        self._client.end()

    def close(self) -> None:
        self._client.close()


class KazooKind:
    """kazoo, which tells no zxid of a reply, and whose watches are set again behind our back: none are set."""

    watches = False

    def __init__(self, recorder: Recorder, name: str, ports: Sequence[int], timeout_ms: int) -> None:
        self._recorder = recorder
        self._name = name
        self._session = 0
        self._ended = False  # set before kazoo opens another session under our hands
        self._client = KazooClient(
            ",".join(f"{HOST}:{port}" for port in ports),
            timeout=timeout_ms / 1000,
            randomize_hosts=False,
            connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=1, max_jitter=0.5),
            logger=_QUIET,
        )
        self._client.add_listener(self._on_state)
        try:
            self._client.start(timeout=10)
        except KazooTimeoutError as error:
            self.close()
            raise NoConnectionError("kazoo found no server within 10 s") from error
        self._session = self._client.client_id[0]

    def call(self, request: Request, linearizable: bool = False) -> Reply | None:
        if self._ended:
            return None
        operation = self._recorder.call(self._name, self._session, request, (), linearizable)
        reply: Reply
        try:
            if linearizable:
                self._client.sync_async("/").get(timeout=KAZOO_ANSWER_WITHIN_S)
            reply = _KAZOO[type(request)](self._client, request)
        except (ConnectionLoss, ConnectionClosedError, SessionExpiredError, KazooTimeoutError) as error:
            self._recorder.lost(operation)
            self._ended = self._ended or isinstance(error, KazooTimeoutError)
            return None
        except KazooException as error:
            reply = Failed(ERRORS.get(error.code, CoordError)(f"error {error.code}"))
        if self._ended:  # it may have been another session that was answered
            self._recorder.lost(operation)
            return None
        self._recorder.returned(operation, reply)
        return reply

    def call_all(self, requests: Sequence[Request]) -> Sequence[Reply | None]:
        return [self.call(each) for each in requests]

    def go_on(self) -> bool:
        """kazoo connects by itself, and what is asked meanwhile waits for it."""
        return not self._ended

    def move(self) -> bool:
        return self.go_on()  # it moves when it has to

    def end(self) -> None:
        self.close()

    def close(self) -> None:
        """kazoo ends its session whenever it stops; nobody needs to be told, who looks at what it left."""
        self._ended = True
        with contextlib.suppress(KazooException, KazooTimeoutError):
            self._client.stop()
        with contextlib.suppress(KazooException, KazooTimeoutError):
            self._client.close()

    def _on_state(self, state: str) -> None:
        """Called by kazoo's own thread, before it goes on."""
        if self._ended:
            return
        if state == KazooState.LOST:
            self._ended = True
        if self._client.client_id is not None:  # else it has no session yet
            self._recorder.session(self._name, self._client.client_id[0], _STATES[state])


def _answered(pending: Any) -> Any:
    return pending.get(timeout=KAZOO_ANSWER_WITHIN_S)


def _stat(seen: ZnodeStat) -> StatSeen:
    return StatSeen(
        seen.czxid, seen.mzxid, seen.ctime, seen.mtime, seen.version, seen.cversion, seen.aversion,
        seen.ephemeralOwner or 0, seen.dataLength, seen.numChildren, seen.pzxid,
    )  # fmt: skip


def _create(client: Any, request: Create) -> Reply:
    pending = client.create_async(
        request.path, request.data, ephemeral=request.kind in (EPHEMERAL, EPHEMERAL_SEQUENTIAL),
        sequence=request.kind in (PERSISTENT_SEQUENTIAL, EPHEMERAL_SEQUENTIAL), include_data=True,
    )  # fmt: skip
    path, stat = _answered(pending)
    return Created(path, _stat(stat))


def _delete(client: Any, request: Delete) -> Reply:
    _answered(client.delete_async(request.path, request.version))
    return Done()


def _set(client: Any, request: SetData) -> Reply:
    return Written(_stat(_answered(client.set_async(request.path, request.data, request.version))))


def _get(client: Any, request: GetData) -> Reply:
    data, stat = _answered(client.get_async(request.path))
    return DataReply(data, _stat(stat))


def _exists(client: Any, request: Exists) -> Reply:
    stat = _answered(client.exists_async(request.path))
    return ExistsReply(_stat(stat)) if stat is not None else Failed(ERRORS[-101]("there is no such znode"))


def _children(client: Any, request: GetChildren) -> Reply:
    names, stat = _answered(client.get_children_async(request.path, include_data=True))
    return ChildrenReply(tuple(names), _stat(stat))


def _multi(client: Any, request: Multi) -> Reply:
    transaction = client.transaction()
    for step in request.requests:
        _STEPS[type(step)](transaction, step)
    answers = _answered(transaction.commit_async())
    return MultiDone(tuple(_step(*each) for each in zip(request.requests, answers, strict=True)))


def _step(request: Request, answer: Any) -> Reply:
    if isinstance(answer, KazooException):
        return Failed(ERRORS.get(answer.code, CoordError)(f"error {answer.code}"))
    if isinstance(request, Create):
        return Created(answer, UNTOLD)
    return Written(_stat(answer)) if isinstance(request, SetData) else Done()


_STEPS: dict[type, Callable[[Any, Any], None]] = {
    Create: lambda transaction, each: transaction.create(each.path, each.data),  # persistent ones only
    SetData: lambda transaction, each: transaction.set_data(each.path, each.data, each.version),
    CheckVersion: lambda transaction, each: transaction.check(each.path, each.version),
}
_KAZOO: dict[type, Callable[[Any, Any], Reply]] = {
    Create: _create,
    Delete: _delete,
    SetData: _set,
    GetData: _get,
    Exists: _exists,
    GetChildren: _children,
    Multi: _multi,
}
_STATES = {KazooState.CONNECTED: CONNECTED, KazooState.SUSPENDED: SUSPENDED, KazooState.LOST: EXPIRED}
_QUIET = logging.getLogger("tools.chaos.kazoo")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

KINDS: Mapping[str, Callable[[Recorder, str, Sequence[int], int], Client]] = MappingProxyType(
    {"raw": RawKind, "kazoo": KazooKind, "native": partial(NativeKind, no_connection=NoConnectionError)}
)
"""By the names that `--clients raw=3,kazoo=2,native=3` uses. Each takes (recorder, name, ports in order,
session timeout in milliseconds) and raises NoConnectionError."""
