"""coord's own client protocol: what both directions share. README.md has it byte by byte.

A frame is a length (u32, big-endian) and that many bytes: CBOR items, one after the other, each an array and a message.
A request begins with its id and its row number. The rows of writes are those of the log (entries.py), whose fields they
share; the others are here.
"""

from collections.abc import Sequence
from typing import Any

from coord.codec import opcodes as op
from coord.codec.cbor import load_sequence
from coord.codec.errors import CodecError
from coord.codec.frames import illegal_length
from coord.model.requests import (
    Acknowledge,
    AtLeast,
    Authenticate,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    ChildrenPage,
    CloseSession,
    CountDescendants,
    Create,
    Delete,
    DeleteTree,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    Ping,
    SetAcl,
    SetData,
    Sync,
    Unwatch,
    Watch,
    WhoAmI,
)

PREAMBLE = bytes.fromhex("c00dc101")
"""What a client sends before its first frame: as a length it would be negative, and as a four-letter word not ASCII."""

LENGTH_BYTES = 4

SERVER_FRAME_BYTES_MAX = 256 << 20
"""No server sends a longer frame."""

CLIENT_FRAME_BYTES = 64 << 10
"""A client puts what is waiting into one frame up to about this; a single longer message stands alone."""

WELCOME, REFUSAL, GOODBYE, EVENT = range(4)
"""What a server's message is that begins with the id 0."""

WRITES: dict[int, type] = {
    1: Create,
    2: Delete,
    3: SetData,
    4: SetAcl,
    6: Multi,
    8: CloseSession,
    13: DeleteTree,
}
"""What has a number in its session. The row numbers are the log's."""

STEPS: dict[int, type] = {
    1: Create,
    2: Delete,
    3: SetData,
    4: SetAcl,
    5: CheckVersion,
    13: DeleteTree,
    14: CheckExists,
    15: CheckCreated,
    16: CheckData,
}
"""What may stand inside a multi."""

OTHERS: dict[int, type] = {
    32: Exists,
    33: GetData,
    34: GetAcl,
    35: GetChildren,
    36: ChildrenPage,
    37: GetEphemerals,
    38: CountDescendants,
    39: WhoAmI,
    64: Sync,
    65: AtLeast,
    66: Ping,
    67: Acknowledge,
    68: Authenticate,
    69: Watch,
    70: Unwatch,
}
"""Reads, and what concerns the connection."""

SILENT = frozenset((Sync, AtLeast, Ping, Acknowledge))
"""Those that may have the id 0, so that they are not answered. An Acknowledge always has it."""

WRITE_CLASSES = frozenset(WRITES.values())
ROW_OF: dict[type, int] = {cls: row for row, cls in (WRITES | OTHERS).items()}

LIKE: dict[type, int] = {
    Create: op.CREATE,
    Delete: op.DELETE,
    DeleteTree: op.DELETE,
    SetData: op.SET_DATA,
    SetAcl: op.SET_ACL,
    Multi: op.MULTI,
    CloseSession: op.CLOSE_SESSION,
    Exists: op.EXISTS,
    GetData: op.GET_DATA,
    GetAcl: op.GET_ACL,
    GetChildren: op.GET_CHILDREN,
    ChildrenPage: op.GET_CHILDREN,
    GetEphemerals: op.GET_EPHEMERALS,
    CountDescendants: op.GET_ALL_CHILDREN_NUMBER,
    WhoAmI: op.WHO_AM_I,
    Sync: op.SYNC,
    AtLeast: op.SYNC,
    Ping: op.PING,
    Acknowledge: op.PING,
    Authenticate: op.AUTH,
    Watch: op.ADD_WATCH,
    Unwatch: op.REMOVE_WATCHES,
}
OPCODE_OF_ROW: dict[int, int] = {row: LIKE[cls] for row, cls in (WRITES | OTHERS).items()}
"""Which of ZooKeeper's operations a request is like, for words that tell of both kinds of clients."""


def encode_frame(messages: Sequence[bytes]) -> bytes:
    """One frame of these messages, of which there is at least one."""
    payload = b"".join(messages)
    assert payload, "a frame holds at least one message"
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def frame_end(buffer: bytes, at: int, frame_bytes_max: int) -> int:
    """Where the frame that begins at `at` ends, 0 if it has not all come; CodecError for a length that may not be."""
    if len(buffer) - at < LENGTH_BYTES:
        return 0
    length = int.from_bytes(buffer[at : at + LENGTH_BYTES], "big")
    if not 1 <= length <= frame_bytes_max:
        raise CodecError(illegal_length(length, 1, frame_bytes_max))
    end = at + LENGTH_BYTES + length
    return end if end <= len(buffer) else 0


def split_frames(buffer: bytes, frame_bytes_max: int, frames_max: int = 1 << 30) -> tuple[list[bytes], int]:
    """The payloads of whole frames at the beginning of `buffer`, and how many bytes they took with their lengths."""
    payloads: list[bytes] = []
    at = 0
    while len(payloads) < frames_max and (end := frame_end(buffer, at, frame_bytes_max)):
        payloads.append(buffer[at + LENGTH_BYTES : end])
        at = end
    return payloads, at


def messages_of(payload: bytes) -> list[list[Any]]:
    """The arrays that a frame holds, not yet looked into."""
    messages = load_sequence(payload)
    if not messages:
        raise CodecError("a frame holds at least one message, and this holds none")
    for message in messages:
        if type(message) is not list or len(message) < 2:
            raise CodecError("a message is an array of at least two things, and this is not")
    return messages  # type: ignore[return-value]
