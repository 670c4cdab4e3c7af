"""ZooKeeper's encoding once more, as naively as possible, for tests to compare with."""

import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from hypothesis import strategies as st


def i(value: int) -> bytes:
    return struct.pack("!i", value)


def q(value: int) -> bytes:
    return struct.pack("!q", value)


def b(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def B(value: bytes | None) -> bytes:
    return i(-1) if value is None else i(len(value)) + value


def S(value: str | None) -> bytes:
    return B(None if value is None else value.encode())


def V(items: Sequence[bytes] | None) -> bytes:
    return i(-1) if items is None else i(len(items)) + b"".join(items)


def acl(entries: Sequence[tuple[int, str, str]] | None) -> bytes:
    return V(None if entries is None else [i(bits) + S(scheme) + S(id_) for bits, scheme, id_ in entries])


def multi(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(i(kind) + b(False) + i(-1) + body for kind, body in parts) + i(-1) + b(True) + i(-1)


def frame(xid: int, opcode: int, body: bytes = b"") -> bytes:
    return B(i(xid) + i(opcode) + body)


@dataclass
class PlainStat:
    """A Stat that is nothing else, its fields in the order of the wire."""

    czxid: int = 1
    mzxid: int = 2
    ctime: int = 3
    mtime: int = 4
    version: int = 5
    cversion: int = 6
    aversion: int = 7
    ephemeral_owner: int = 8
    data_length: int = 9
    children_count: int = 10
    pzxid: int = 11

    def shown(self) -> tuple[int, ...]:
        return astuple(self)

    def wire(self) -> bytes:
        return struct.pack("!qqqqiiiqiiq", *self.shown())


long = st.integers(-(1 << 63), (1 << 63) - 1)
integer = st.integers(-(1 << 31), (1 << 31) - 1)
stats = st.builds(PlainStat, long, long, long, long, integer, integer, integer, long, integer, integer, long)
