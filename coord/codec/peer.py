"""What servers send each other: one frame a message.

A frame is its length (u32, of all that follows it), a kind (u8) and a body. Most bodies are the CBOR array of the
message's fields; what carries a batch, runs or a part of a snapshot has a fixed header and then those bytes as they
stand, so that a batch is copied, never encoded again. What every batch is answered with is of fixed length, too. Each
side's first frame is a Hello, or a Rejected before it hangs up; who does not like the other's Hello sends Rejected too.

A frame's length is looked at before anything is kept for it, and the first frame may only be short: nobody
has shown yet who he is.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from struct import Struct
from typing import Any, TypeAlias, cast

from coord.codec.batch import decode_batch
from coord.codec.cbor import dump, load
from coord.codec.errors import CodecError
from coord.codec.shapes import Check, Shape, Write, array, epoch, position, position_pairs, write_integer
from coord.model.message import message
from coord.paxos.messages import (
    Accept,
    Accepted,
    AskBarrier,
    Barrier,
    Canvass,
    Commit,
    Establish,
    Established,
    Fetch,
    Fetched,
    Forward,
    Heartbeat,
    HeartbeatReply,
    History,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
    Truncate,
)

PROTOCOL_VERSION = 4
"""Changed when a server of the version before could not follow any more."""

FRAME_BYTES_MAX = 64 << 20
"""Unless the settings say otherwise."""

HELLO_BYTES_MAX = 4096
"""The first frame's limit."""


@message
class Hello:
    """Who I am. Frames of later versions may have more fields, which are passed over."""

    protocol_version: int
    cluster: int  # the ensemble's identity; 0: not known yet
    server: int
    identity: int  # drawn at the server's first start
    voters: tuple[int, ...]  # whose promises count, as my settings have it: servers that differ in it would each
    servers: tuple[int, ...]  # have a majority of their own
    description: str


@message
class Rejected:
    """I do not talk to you, and this is why: a sentence for your operator. The connection ends here."""

    reason: str


PeerMessage: TypeAlias = Message | Hello | Rejected


def encode(message: PeerMessage) -> bytes:
    """The whole frame, as one object that can be sent to any number of followers."""
    return ENCODERS[type(message)](message)


class Decoder:
    """Takes a stream in pieces of any size, gives the messages that are complete."""

    __slots__ = ("_buffer", "_greeted", "_limit", "_needed")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()  # a part of one frame
        self._needed = 0  # bytes in the buffer before it is worth looking again
        self._greeted = False  # has the first frame come?
        self._limit = frame_bytes_max

    def feed(self, data: bytes) -> list[PeerMessage]:
        """Messages completed by `data`. CodecError: the stream makes no sense from here on; hang up."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
        messages: list[PeerMessage] = []
        at, end = 0, len(data)
        self._needed = 0
        while end - at >= HEAD.size:
            length, kind = HEAD.unpack_from(data, at)
            self._check_head(length, kind)
            if end - at < LENGTH_BYTES + length:
                self._needed = LENGTH_BYTES + length
                break
            start, at = at + HEAD.size, at + LENGTH_BYTES + length
            messages.append(DECODERS[kind](data, start, at))
            self._greeted = True
        if at < end or self._buffer:
            self._buffer = bytearray(data[at:])
        return messages

    def _check_head(self, length: int, kind: int) -> None:
        """Raises CodecError where it cannot be taken."""
        limit = self._limit if self._greeted else min(self._limit, HELLO_BYTES_MAX)
        if not 1 <= length <= limit:
            raise CodecError(f"a frame of {length} bytes comes from a peer; here 1 to {limit} are accepted")
        if kind not in DECODERS:
            raise CodecError(f"a frame of the unknown kind {kind} comes from a peer of another version")
        if self._greeted and kind == HELLO:
            raise CodecError("a peer greets a second time")
        if not self._greeted and kind not in (HELLO, REJECTED):
            raise CodecError(f"a peer's first frame is of kind {kind}; it does not greet")


HEAD = Struct(">IB")
LENGTH_BYTES = 4
KIND_BYTES = 1

Encode: TypeAlias = Callable[[Any], bytes]
Decode: TypeAlias = Callable[[bytes, int, int], PeerMessage]
"""Of a buffer, from the body's first byte up to the one after its last."""

# ---- messages in CBOR

POSITIONS: dict[object, tuple[Check, Write]] = {int: (position, write_integer)}
BOUNDED: dict[str, Check] = {"epoch": epoch, "promised": epoch, "accepted": epoch, "ends": position_pairs}
"""What comes from outside and is counted on from: a number too large would be promised, and end all counting."""


def _by_shape(kind: int, cls: type[PeerMessage]) -> tuple[Encode, Decode]:
    shape: Shape[PeerMessage] = Shape(cls, also=POSITIONS, by_name=BOUNDED)

    def encode(message: PeerMessage) -> bytes:
        body = dump(shape.fields_of(message))
        return HEAD.pack(KIND_BYTES + len(body), kind) + body

    def decode(buffer: bytes, start: int, end: int) -> PeerMessage:
        return shape.build(array(load(buffer[start:end])))

    return encode, decode


_HELLO_SHAPE = Shape(Hello)


def _decode_hello(buffer: bytes, start: int, end: int) -> Hello:
    return _HELLO_SHAPE.build(array(load(buffer[start:end]))[: len(_HELLO_SHAPE.names)])


# ---- messages of fixed length: with each batch one of them is read and written, in a tenth of the time of CBOR


def _of_fixed_length(kind: int, cls: type[PeerMessage], fields: Struct) -> tuple[Encode, Decode]:
    """`fields` packs the message's fields in their order."""
    whole = Struct(HEAD.format + fields.format.lstrip(">"))
    length, names = KIND_BYTES + fields.size, tuple(field.name for field in dataclasses.fields(cls))
    fields_of, make = attrgetter(*names), cast(Callable[..., PeerMessage], cls)

    def encode(message: PeerMessage) -> bytes:
        return whole.pack(length, kind, *fields_of(message))

    def decode(buffer: bytes, start: int, end: int) -> PeerMessage:
        if end - start != fields.size:
            raise CodecError(f"a frame of kind {kind} has {end - start} bytes, not {fields.size}")
        values = fields.unpack_from(buffer, start)
        position(max(map(int, values)))
        return make(*values)

    return encode, decode


# ---- messages with a payload: a fixed header, then the payload's own bytes


def _with_payload(
    kind: int, header: Struct, split: Callable[[Any], tuple[tuple[int, ...], bytes]], join: Callable[..., PeerMessage]
) -> tuple[Encode, Decode]:
    """`split` gives a message's header fields and its payload, `join` takes them back."""
    head = Struct(HEAD.format + header.format.lstrip(">"))

    def encode(message: PeerMessage) -> bytes:
        numbers, payload = split(message)
        return head.pack(KIND_BYTES + header.size + len(payload), kind, *numbers) + payload

    def decode(buffer: bytes, start: int, end: int) -> PeerMessage:
        body = start + header.size
        if body > end:
            raise CodecError(f"a frame of kind {kind} has {end - start} bytes, fewer than its header")
        return join(*header.unpack_from(buffer, start), buffer[body:end])

    return encode, decode


def _split_accept(message: Accept) -> tuple[tuple[int, ...], bytes]:
    assert message.batch.encoded, "an Accept carries a batch that was not encoded"
    return (message.epoch, message.commit, message.with_you), message.batch.encoded


def _join_accept(epoch: int, commit: int, with_you: int, encoded: bytes) -> Accept:
    return Accept(epoch, commit, with_you, decode_batch(encoded))


def _split_history(message: History) -> tuple[tuple[int, ...], bytes]:
    assert message.batch.encoded, "a History carries a batch that was not encoded"
    return (message.epoch,), message.batch.encoded


def _join_history(epoch: int, encoded: bytes) -> History:
    return History(epoch, decode_batch(encoded))


def _split_fetched(message: Fetched) -> tuple[tuple[int, ...], bytes]:
    assert message.batch.encoded, "a Fetched carries a batch that was not encoded"
    return (), message.batch.encoded


def _join_fetched(encoded: bytes) -> Fetched:
    return Fetched(decode_batch(encoded))


def _split_chunk(message: SnapshotChunk) -> tuple[tuple[int, ...], bytes]:
    return (message.epoch, message.zxid, message.index, message.final), message.data


def _split_forward(message: Forward) -> tuple[tuple[int, ...], bytes]:
    return (message.epoch, message.count), message.runs


HELLO, REJECTED = 1, 2

KINDS: dict[int, type[PeerMessage]] = {
    HELLO: Hello,
    REJECTED: Rejected,
    3: Canvass,
    4: Prepare,
    5: Promise,
    6: Refusal,
    7: Truncate,
    8: SnapshotChunk,
    9: NeedSnapshot,
    10: History,
    11: Establish,
    12: Established,
    13: Accept,
    14: Accepted,
    15: Commit,
    16: Heartbeat,
    17: HeartbeatReply,
    18: AskBarrier,
    19: Barrier,
    20: Forward,
    21: Fetch,
    22: Fetched,
}
"""One row a message. A number once given is never given to another."""

PAYLOADS: dict[type[PeerMessage], tuple[Struct, Callable[[Any], tuple[tuple[int, ...], bytes]], Callable[..., Any]]] = {
    Accept: (Struct(">QQQ"), _split_accept, _join_accept),
    History: (Struct(">Q"), _split_history, _join_history),
    SnapshotChunk: (Struct(">QQI?"), _split_chunk, SnapshotChunk),
    Forward: (Struct(">QI"), _split_forward, Forward),
    Fetched: (Struct(">"), _split_fetched, _join_fetched),
}
"""Header, and how message and header with payload become each other."""

FIXED: dict[type[PeerMessage], Struct] = {Accepted: Struct(">QQ?"), Commit: Struct(">QQQ")}
"""The fields of those, in their order."""


def _codec(kind: int, cls: type[PeerMessage]) -> tuple[Encode, Decode]:
    if cls in PAYLOADS:
        return _with_payload(kind, *PAYLOADS[cls])
    return _of_fixed_length(kind, cls, FIXED[cls]) if cls in FIXED else _by_shape(kind, cls)


_CODECS = {kind: _codec(kind, cls) for kind, cls in KINDS.items()}
ENCODERS: dict[type[PeerMessage], Encode] = {cls: _CODECS[kind][0] for kind, cls in KINDS.items()}
DECODERS: dict[int, Decode] = {kind: codec[1] for kind, codec in _CODECS.items()} | {HELLO: _decode_hello}
