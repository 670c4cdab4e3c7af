"""A small sealed value: the header of each kind of file, and the ballot.

    magic (8 bytes) | format version (u16) | length (u16) | payload | crc32 of all before it (u32)

This envelope is the same in every format version, so that an older coord can say "this is newer than I am"
instead of "this is damaged". Numbers are big-endian.
"""

import struct
from binascii import crc32

from coord.storage.errors import Damaged, OtherVersion

VERSION = 1

_FRONT = struct.Struct(">8sHH")
_CRC = struct.Struct(">I")
OVERHEAD = _FRONT.size + _CRC.size


def seal(magic: bytes, payload: bytes) -> bytes:
    """The payload in its envelope."""
    data = _FRONT.pack(magic, VERSION, len(payload)) + payload
    return data + _CRC.pack(crc32(data))


def unseal(magic: bytes, data: bytes) -> bytes:
    """The payload at the beginning of `data`. Raises Damaged, or OtherVersion if it is whole but not ours."""
    if len(data) < OVERHEAD:
        raise Damaged(f"it ends after {len(data)} bytes, before the end of its header")
    found, version, length = _FRONT.unpack_from(data)
    if found != magic:
        raise Damaged(f"it begins with {found!r} instead of {magic!r}")
    end = _FRONT.size + length
    if len(data) < end + _CRC.size:
        raise Damaged(f"its header says {length} bytes, but it ends before")
    (expected,) = _CRC.unpack_from(data, end)
    if crc32(data[:end]) != expected:
        raise Damaged("its header's checksum is wrong")
    if version != VERSION:
        raise OtherVersion(f"it has format version {version}, and this coord knows version {VERSION} only")
    return data[_FRONT.size : end]
