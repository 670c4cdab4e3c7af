"""Asking a server for its past: one request, one answer of many pieces (pieces.py). README.md has it byte by byte.

    client: PREAMBLE, a piece ASKED
    server: OVERVIEW, or pieces SNAPSHOT or BATCH; then END and up to where that was. Or, at any time, REFUSED.

Then the server hangs up. What does not end with END or REFUSED is not whole.
"""

from typing import Any

from coord.codec.cbor import dump, load
from coord.codec.errors import CodecError
from coord.codec.pieces import PieceWriter
from coord.codec.shapes import Shape, array, position, raw, text
from coord.model.inspection import AskBatches, AskOverview, AskSnapshot, Auth, Inspection, Told

PREAMBLE = bytes.fromhex("c00dc102")
"""What a client sends first: as a length it would be negative, and as a four-letter word not ASCII."""

VERSION = 1

REQUEST_BYTES_MAX = 16 << 10
"""A longer one does not ask for anything: it holds a few numbers and credentials."""

ASKED, OVERVIEW, SNAPSHOT, BATCH, END, REFUSED = range(6)
"""Kinds of pieces."""

_SHAPES: dict[int, Shape[Any]] = {
    0: Shape(AskOverview),
    1: Shape(AskSnapshot, by_name={"zxid": position}),
    2: Shape(AskBatches, by_name={"after": position}),
}
_ROWS = {shape.cls: row for row, shape in _SHAPES.items()}


def encode_inspection(asked: Inspection) -> bytes:
    """All that the client sends."""
    row = _ROWS[type(asked.wanted)]
    auth = [[scheme, credentials] for scheme, credentials in asked.auth]
    body = dump([VERSION, auth, row, *_SHAPES[row].fields_of(asked.wanted)])
    return b"".join((PREAMBLE, *PieceWriter().add(ASKED, body)))


def decode_inspection(body: bytes) -> Inspection:
    """What the piece ASKED says."""
    plain = array(load(body))
    if not plain or plain[0] != VERSION:
        raise CodecError(f"this server tells its past in version {VERSION}, and is asked in version {plain[:1]}")
    if len(plain) < 3:
        raise CodecError("a version, credentials and what is wanted make a request, and here is less")
    _, auth, row, *fields = plain
    shape = _SHAPES.get(row) if type(row) is int else None
    if shape is None:
        raise CodecError(f"there is nothing of the kind {row!r} to be asked for")
    return Inspection(shape.build(fields), _auth(auth))


def _auth(value: object) -> Auth:
    pairs = [array(pair) for pair in array(value)]
    if any(len(pair) != 2 for pair in pairs):
        raise CodecError("credentials are pairs of scheme and bytes, and these are not")
    return tuple([(text(scheme), raw(credentials)) for scheme, credentials in pairs])


def encode_told(told: Told) -> bytes:
    """The body of the piece OVERVIEW."""
    snapshots = [[zxid, size_bytes] for zxid, size_bytes in told.snapshots]
    return dump([told.server, told.cluster, snapshots, told.log_start, told.last, told.log_bytes])


def decode_told(body: bytes) -> Told:
    """What a later version adds at its end is passed over."""
    plain = array(load(body))
    if len(plain) < 6:
        raise CodecError(f"an overview has 6 fields, and here are {len(plain)}")
    server, cluster, snapshots, log_start, last, log_bytes = plain[:6]
    pairs = [array(pair) for pair in array(snapshots)]
    if any(len(pair) != 2 for pair in pairs):
        raise CodecError("a snapshot is a zxid and a size, and this is not")
    return Told(
        position(server),
        position(cluster),
        tuple([(position(zxid), position(size_bytes)) for zxid, size_bytes in pairs]),
        position(log_start),
        position(last),
        position(log_bytes),
    )


def encode_end(last: int) -> bytes:
    """The body of the piece END: the zxid up to which the pieces before it told."""
    return dump(last)


def decode_end(body: bytes) -> int:
    """The zxid."""
    return position(load(body))


def encode_refused(sentence: str) -> bytes:
    """The body of the piece REFUSED."""
    return dump(sentence)


def decode_refused(body: bytes) -> str:
    """The sentence."""
    return text(load(body))
