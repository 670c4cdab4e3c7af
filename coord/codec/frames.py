"""Frames of a client's stream: a length (i32, big-endian) and as many bytes.

A length is judged as soon as its four bytes are there, before anything is kept for it.
"""

from struct import Struct

from coord.codec.errors import CodecError

LENGTH = Struct("!i")


def frame(payload: bytes) -> bytes:
    """`payload` with its length before it."""
    return LENGTH.pack(len(payload)) + payload


def first_frame(buffer: bytes, frame_bytes_max: int) -> tuple[bytes, int] | None:
    """The first frame's payload and the bytes it took with its length; None if it has not all come yet."""
    if len(buffer) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack_from(buffer)
    if not 0 <= length <= frame_bytes_max:
        raise CodecError(illegal_length(length, 0, frame_bytes_max))
    end = LENGTH.size + length
    return (buffer[LENGTH.size : end], end) if end <= len(buffer) else None


def illegal_length(length: int, frame_bytes_min: int, frame_bytes_max: int) -> str:
    """The sentence for it."""
    return f"a frame of {length} bytes was announced; here {frame_bytes_min} to {frame_bytes_max} are accepted"
