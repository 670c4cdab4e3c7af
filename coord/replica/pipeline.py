"""One client's requests, in order.

Writes are forwarded as they come; a read waits only behind its own session's earlier writes, and sees the state in
which the last of them left the tree. Replies leave in the order of the requests.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from coord.codec.calls import Call
from coord.model.acl import Identity
from coord.model.handshake import Greeting, Welcome
from coord.model.replies import Reply
from coord.model.requests import Connect


class ClientCodec(Protocol):
    """How what is said to a client becomes bytes: one implementation a protocol. Empty bytes: it cannot say that."""

    def encode_reply(self, call: Call, zxid: int, reply: Reply) -> bytes: ...
    def restamp(self, frame: bytes, zxid: int) -> bytes: ...
    def encode_welcome(self, welcome: Welcome, connect: Any) -> bytes: ...
    def encode_refusal(self, connect: Any, code: int, reason: str) -> bytes: ...
    def encode_goodbye(self, code: int, reason: str) -> bytes: ...
    def pack(self, messages: Sequence[bytes]) -> bytes:
        """What is to be delivered in one go."""


@dataclass(slots=True)
class Answered:
    """A write's reply that is ready before its turn, because a sync ahead of it is not."""

    frame: bytes
    ends: str = ""  # why the connection ends with it


@dataclass(slots=True)
class Due:
    """What waits for nothing but its turn. It is encoded then, with the zxid of then."""

    call: Call
    reply: Reply


@dataclass(slots=True)
class ConnectionCounters:
    """What the four-letter words tell of a connection."""

    received: int = 0
    sent: int = 0
    last_zxid: int = 0
    last_xid: int = 0
    last_opcode: int = 0


@dataclass(slots=True, eq=False)
class Pipeline:
    """A connection as the replica sees it. Hashes by identity, so it can stand in tables of watchers."""

    connection: int
    codec: ClientCodec
    identities: tuple[Identity, ...]
    address: str
    session: int = 0  # 0 until it is opened
    timeout_ms: int = 0
    connect: Connect | Greeting | None = None  # the handshake, while and after it is answered
    greeted_s: float = 0.0  # when that came
    ending: bool = False  # it has said something that cannot be read: nothing more is taken from it
    number_max: int = 0  # of the numbered writes it has sent, or had done when it was attached
    acked: int = 0  # it has the replies to its writes up to this number
    gone: bool = False  # hung up: nothing is delivered any more
    waiting: "deque[Call | Answered | Due]" = field(default_factory=deque)
    waiting_since_s: "deque[float]" = field(default_factory=deque)  # when those of them came that are not writes
    early: list[Call] = field(default_factory=list)  # sent before the session was open
    out: list[bytes] = field(default_factory=list)  # frames to deliver
    out_bytes: int = 0  # of answers to reads among them
    event_bytes: int = 0  # of events among them, in coord's own protocol
    stalled: bool = False  # the client does not take what it asked for: reads are held back
    counters: ConnectionCounters = field(default_factory=ConnectionCounters)
