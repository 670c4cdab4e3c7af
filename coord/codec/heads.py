"""CBOR written by hand, for what is written most: heads of items, integers, and text.

Three times as fast as cbor2's `dumps` where a message is little but heads; what it writes is plain CBOR all the same.
"""

from struct import Struct

from coord.codec.cbor import dump
from coord.codec.shapes import INTEGER_MAX, write_integer

_u32, _u64 = Struct(">BI").pack, Struct(">BQ").pack


def _heads(major: int) -> list[bytes]:
    """Heads of a byte string (2), text (3) or array (4) of 0 .. 255 bytes or items."""
    return [bytes([major << 5 | n]) if n < 24 else bytes([major << 5 | 24, n]) for n in range(256)]


_BYTES, _TEXT, _ARRAY = _heads(2), _heads(3), _heads(4)
_INTEGERS = {n: dump(n) for n in range(-1, 256)}
NULL = b"\xf6"


def integer(value: int) -> bytes:
    return _INTEGERS.get(value) or _long_integer(value)


def _long_integer(value: int) -> bytes:
    if 0xFFFFFFFF < value <= INTEGER_MAX:  # sessions and incarnations: nearly all that are not short
        return _u64(0x1B, value)
    if 0xFFFF < value <= 0xFFFFFFFF:
        return _u32(0x1A, value)
    return dump(write_integer(value))


def _long_head(major: int, length: int) -> bytes:
    if length < 65536:
        return bytes([major << 5 | 25, length >> 8, length & 255])
    return bytes([major << 5 | 26]) + length.to_bytes(4, "big")


def bytes_head(length: int) -> bytes:
    return _BYTES[length] if length < 256 else _long_head(2, length)


def text_head(length: int) -> bytes:
    return _TEXT[length] if length < 256 else _long_head(3, length)


def array_head(length: int) -> bytes:
    return _ARRAY[length] if length < 256 else _long_head(4, length)


def text(value: str) -> bytes:
    encoded = value.encode()
    return text_head(len(encoded)) + encoded


def raw_or_null(value: bytes | None) -> bytes:
    return NULL if value is None else bytes_head(len(value)) + value
