"""What clients saw of an ensemble: one value a thing that happened, in the order in which they saw it.

All clients of a history share one clock, which only has to be monotonic, and one order of arrival: that of the records.
What a session's records are in order of, so are its requests (as they were sent) and its replies and events (as they
came). Nothing here judges; `operations` only puts each call together with its end.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, cast, get_args

from coord.model.acl import Identity
from coord.model.message import message
from coord.model.replies import Created, Event, Failed, MultiDone, MultiReadDone, Reply, Stat, Written
from coord.model.requests import ClientWrite, Read, Request, SetData, Sync
from coord.model.stat import Shown

# What can become of a session, as its client is told.
CONNECTED, SUSPENDED, EXPIRED, CLOSED = "connected", "suspended", "expired", "closed"
SESSION_STATES = (CONNECTED, SUSPENDED, EXPIRED, CLOSED)

WRITES: frozenset[type] = frozenset(get_args(ClientWrite))
READS: frozenset[type] = frozenset(get_args(Read))

NOT_FROM_THE_TREE = frozenset({-1, -2, -5, -6, -8, -112, -115, -118, -119})
"""Errors a server may answer without asking the log: their reply's zxid is no place in it."""


class HistoryError(Exception):
    """The records do not fit together, or cannot be read."""


@message
class StatSeen:
    """A Stat as a client received it. UNTOLD stands where the client's library did not pass it on."""

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

    @property
    def lifetime_ms(self) -> int:
        """Not seen: ZooKeeper's protocol does not tell it."""
        return 0

    def shown(self) -> Shown:
        return tuple([getattr(self, name) for name in STAT_FIELDS])

    @classmethod
    def of(cls, stat: Stat) -> "StatSeen":
        return cls(*[getattr(stat, name) for name in STAT_FIELDS])


STAT_FIELDS = tuple(field.name for field in fields(StatSeen))
UNTOLD = StatSeen(*[-1] * len(STAT_FIELDS))


# ---- records


@message
class Invoked:
    """A request was sent. `linearizable`: the caller was promised the newest state (a sync stood before the read)."""

    operation: int
    client: str
    session: int
    request: Request
    time_ns: int
    identities: tuple[Identity, ...] = ()
    linearizable: bool = False


@message
class Resent:
    """The request was sent once more, on another connection."""

    operation: int
    time_ns: int


@message
class Returned:
    """The reply came, Failed included. `zxid` is that of its header, 0 if the client's library does not tell."""

    operation: int
    reply: Reply
    zxid: int
    time_ns: int


@message
class Lost:
    """Nobody will ever tell the client what became of the operation."""

    operation: int
    time_ns: int


@message
class Notified:
    """A watch event came. Its zxid is -1 where the server did not say which write it was."""

    client: str
    session: int
    event: Event
    time_ns: int


@message
class SessionChanged:
    """The session's state, one of SESSION_STATES, changed as its client sees it."""

    client: str
    session: int
    state: str
    time_ns: int


Record: TypeAlias = Invoked | Resent | Returned | Lost | Notified | SessionChanged
RECORDS: tuple[type, ...] = get_args(Record)


# ---- recording


class Recorder:
    """Takes down what happens, from any thread. Call `call` where the request is sent and `returned` where its reply
    is read, in the same order: a session's requests and replies are judged by it."""

    def __init__(
        self, clock: Callable[[], int] = time.monotonic_ns, keep: Callable[[Record], object] | None = None
    ) -> None:
        """`keep` is given each record as it comes, under the recorder's lock; without it they are in `records`."""
        self.records: list[Record] = []
        self._keep = self.records.append if keep is None else keep
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def call(
        self,
        client: str,
        session: int,
        request: Request,
        identities: tuple[Identity, ...] = (),
        linearizable: bool = False,
    ) -> int:
        """A request is about to be sent; the operation's number, by which its end is told."""
        with self._lock:
            self._last += 1
            self._keep(Invoked(self._last, client, session, request, self._clock(), identities, linearizable))
            return self._last

    def resent(self, operation: int) -> None:
        with self._lock:
            self._keep(Resent(operation, self._clock()))

    def returned(self, operation: int, reply: Reply, zxid: int = 0) -> None:
        with self._lock:
            self._keep(Returned(operation, lasting(reply), zxid, self._clock()))

    def lost(self, operation: int) -> None:
        with self._lock:
            self._keep(Lost(operation, self._clock()))

    def notified(self, client: str, session: int, event: Event) -> None:
        with self._lock:
            self._keep(Notified(client, session, event, self._clock()))

    def session(self, client: str, session: int, state: str) -> None:
        if state not in SESSION_STATES:
            raise HistoryError(f"{state!r} is no state of a session; the states are {', '.join(SESSION_STATES)}")
        with self._lock:
            self._keep(SessionChanged(client, session, state, self._clock()))


def lasting(reply: Reply) -> Reply:
    """`reply` with its stats copied: those of a machine go on changing with the znode."""
    if isinstance(reply, MultiDone | MultiReadDone):
        return type(reply)(tuple(lasting(each) for each in reply.replies))
    stat = getattr(reply, "stat", None)
    if stat is None or isinstance(stat, StatSeen):
        return reply
    return cast(Reply, replace(cast(Any, reply), stat=StatSeen.of(stat)))


# ---- operations


@dataclass(slots=True, eq=False)
class Operation:
    """A call and its end. `reply` is None while the outcome is unknown, and `return_ns` with it."""

    number: int
    client: str
    session: int
    request: Request
    identities: tuple[Identity, ...]
    linearizable: bool
    call_ns: int
    call_line: int  # which record it was
    sends: int = 1
    reply: Reply | None = None
    zxid: int = 0  # of the reply's header
    return_ns: int | None = None
    return_line: int | None = None
    position: int = 0  # the zxid at which a write took effect, or at which a read looked; 0: nobody told

    @property
    def is_write(self) -> bool:
        return type(self.request) in WRITES

    @property
    def is_read(self) -> bool:
        return type(self.request) in READS

    @property
    def code(self) -> int:
        """0, or the error the reply is."""
        return code_of(self.reply)

    def __str__(self) -> str:
        return f"{self.client}'s operation {self.number}, {brief(self.request)}"


def operations(records: Iterable[Record]) -> list[Operation]:
    """Every call of the history with its end, in the order of the calls."""
    found: dict[int, Operation] = {}
    syncing: dict[int, set[int]] = {}  # session: syncs that are not answered yet
    behind_sync: set[int] = set()
    for line, record in enumerate(records):
        if isinstance(record, Invoked):
            number = record.operation
            if number in found:
                raise HistoryError(f"operation {number} is called twice; give each call a number of its own")
            found[number] = Operation(
                number, record.client, record.session, record.request, tuple(record.identities),
                record.linearizable, record.time_ns, line,
            )  # fmt: skip
            if isinstance(record.request, Sync):
                syncing.setdefault(record.session, set()).add(number)
            elif syncing.get(record.session):
                behind_sync.add(number)
        elif isinstance(record, Returned | Lost | Resent):
            operation = found.get(record.operation)
            if operation is None:
                raise HistoryError(f"operation {record.operation} ends, but was never called")
            if operation.return_line is not None:
                raise HistoryError(f"operation {record.operation} ends twice")
            if isinstance(record, Resent):
                operation.sends += 1
                continue
            syncing.get(operation.session, set()).discard(operation.number)
            operation.return_line = line
            if isinstance(record, Returned):
                if record.time_ns < operation.call_ns:
                    raise HistoryError(f"operation {record.operation} returns before it is called")
                operation.reply, operation.zxid, operation.return_ns = record.reply, record.zxid, record.time_ns
                operation.position = _position(operation, operation.number in behind_sync)
    return list(found.values())


def _position(operation: Operation, was_behind_sync: bool) -> int:
    """Where in the log the operation stands. A reply that waited behind a sync may be stamped with a later zxid."""
    reply = operation.reply
    assert reply is not None, "an operation without a reply has no position"
    if not operation.is_write:
        return max(operation.zxid, 0)
    shown = _shown_position(operation.request, reply)
    if shown > 0:
        return shown
    if was_behind_sync or code_of(reply) in NOT_FROM_THE_TREE:
        return 0
    return max(operation.zxid, 0)


def _shown_position(request: Request, reply: Reply) -> int:
    if isinstance(reply, Created):
        return reply.stat.czxid
    if isinstance(reply, Written) and isinstance(request, SetData):
        return reply.stat.mzxid
    if isinstance(reply, MultiDone):
        # All steps have the multi's one zxid, and it may not hold a SetAcl.
        for each in reply.replies:
            if isinstance(each, Created):
                return each.stat.czxid
            if isinstance(each, Written):
                return each.stat.mzxid
    return 0


def code_of(reply: Reply | None) -> int:
    """0, or the error: for a multi that of the step that failed, -2 if it has only such that were not tried."""
    if isinstance(reply, Failed):
        return reply.code
    if isinstance(reply, MultiDone):
        codes = [each.code for each in reply.replies if isinstance(each, Failed)]
        return next((code for code in codes if code not in (0, -2)), codes[-1] if codes else 0)
    return 0


# ---- how things are named in sentences


def brief(value: object) -> str:
    """A request, reply or record in a few words: what it is, and its fields that are not as usual."""
    if value is None or isinstance(value, bytes):
        return brief_field("", value) or "no data"
    if isinstance(value, Failed):
        return f"error {value.code}"
    if isinstance(value, MultiDone):
        return f"multi [{', '.join(map(brief, value.replies))}]"
    shown = [brief_field(field.name, getattr(value, field.name)) for field in fields(value)]  # type: ignore[arg-type]
    return f"{type(value).__name__}({', '.join(filter(None, shown))})"


def brief_field(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return f"{value[:40]!r}{'...' if len(value) > 40 else ''}"
    if isinstance(value, StatSeen):
        if value == UNTOLD:
            return ""
        return f"version {value.version}, mzxid {value.mzxid:#x}"
    if isinstance(value, str):
        return value if name == "path" else repr(value)
    if name == "acl" or value in (None, -1, False, 0):
        return ""
    if name in ("requests", "replies") and isinstance(value, Sequence):
        return "; ".join(map(brief, value))
    return f"{name} {value:#x}" if name in ("zxid", "session") and isinstance(value, int) else f"{name} {value}"
