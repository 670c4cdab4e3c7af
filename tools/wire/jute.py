"""ZooKeeper's records: requests to bytes, bytes to fields. Big-endian, no tags, no padding."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

Acl: TypeAlias = Sequence[tuple[int, str, str]]

OPEN_ACL: Acl = ((31, "world", "anyone"),)
NO_PASSWORD = bytes(16)


class Op(IntEnum):
    """Operation codes."""

    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    RECONFIG = 16
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    DELETE_CONTAINER = 20
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    WHO_AM_I = 107
    CLOSE_SESSION = -11
    ERROR = -1


# The xids that have a meaning of their own.
NOTIFICATION_XID, PING_XID, AUTH_XID, SET_WATCHES_XID = -1, -2, -4, -8

STAT = struct.Struct("!qqqqiiiqiiq")
REPLY_HEADER = struct.Struct("!iqi")


@dataclass(slots=True, frozen=True)
class Stat:
    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    pzxid: int


# ---- fields


def int32(value: int) -> bytes:
    return struct.pack("!i", value)


def int64(value: int) -> bytes:
    return struct.pack("!q", value)


def boolean(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def buffer(value: bytes | None) -> bytes:
    return int32(-1) if value is None else int32(len(value)) + value


def string(value: str | None) -> bytes:
    return buffer(None if value is None else value.encode())


def strings(values: Iterable[str]) -> bytes:
    encoded = [string(value) for value in values]
    return int32(len(encoded)) + b"".join(encoded)


def acl_list(acl: Acl | None) -> bytes:
    if acl is None:
        return int32(-1)
    return int32(len(acl)) + b"".join(int32(perms) + string(scheme) + string(id) for perms, scheme, id in acl)


# ---- frames and headers


def frame(payload: bytes) -> bytes:
    return int32(len(payload)) + payload


def request(xid: int, op: int, body: bytes = b"") -> bytes:
    """A whole frame."""
    return frame(int32(xid) + int32(op) + body)


def connect_request(
    timeout_ms: int,
    session: int = 0,
    password: bytes = NO_PASSWORD,
    seen_zxid: int = 0,
    read_only: bool | None = False,
) -> bytes:
    """The first frame of a connection; `read_only` None leaves the byte out, as clients before 3.4 did."""
    payload = int32(0) + int64(seen_zxid) + int32(timeout_ms) + int64(session) + buffer(password)
    return frame(payload if read_only is None else payload + boolean(read_only))


# ---- bodies, one function a shape


def create(path: str, data: bytes | None = b"", acl: Acl | None = OPEN_ACL, flags: int = 0) -> bytes:
    """create, create2 and createContainer (flags 4)."""
    return string(path) + buffer(data) + acl_list(acl) + int32(flags)


def create_ttl(path: str, data: bytes | None, ttl_ms: int, acl: Acl | None = OPEN_ACL, flags: int = 5) -> bytes:
    return create(path, data, acl, flags) + int64(ttl_ms)


def path_and_version(path: str, version: int = -1) -> bytes:
    """delete and check; checkWatches and removeWatches, where the number is the kind of watcher; addWatch: the mode."""
    return string(path) + int32(version)


def path_and_watch(path: str, watch: bool = False) -> bytes:
    """exists, getData, getChildren, getChildren2."""
    return string(path) + boolean(watch)


def set_data(path: str, data: bytes | None, version: int = -1) -> bytes:
    return string(path) + buffer(data) + int32(version)


def set_acl(path: str, acl: Acl | None, version: int = -1) -> bytes:
    return string(path) + acl_list(acl) + int32(version)


def auth(scheme: str, credentials: bytes) -> bytes:
    return int32(0) + string(scheme) + buffer(credentials)


def set_watches(seen_zxid: int, *lists: Iterable[str]) -> bytes:
    """Three lists (data, exists, children) for setWatches; two more (persistent, recursive) for setWatches2."""
    return int64(seen_zxid) + b"".join(strings(each) for each in lists)


def multi(*parts: tuple[int, bytes]) -> bytes:
    """multi and multiRead: (operation, body) each."""
    header = struct.Struct("!i?i")
    return b"".join(header.pack(op, False, -1) + body for op, body in parts) + header.pack(-1, True, -1)


# ---- replies


class Reader:
    """Takes fields off the front of a reply's body."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __repr__(self) -> str:
        return f"<Reader of {self.rest()!r}>"

    def take(self, size: int) -> bytes:
        assert size >= 0, f"a negative length {size} at byte {self._at}"
        end = self._at + size
        assert end <= len(self._data), f"the reply ends {end - len(self._data)} bytes too early"
        taken, self._at = self._data[self._at : end], end
        return taken

    def rest(self) -> bytes:
        return self._data[self._at :]

    def end(self) -> None:
        """Nothing may be left."""
        assert self._at == len(self._data), f"{len(self._data) - self._at} bytes too many in the reply"

    def int32(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def int64(self) -> int:
        return int.from_bytes(self.take(8), "big", signed=True)

    def boolean(self) -> bool:
        return self.take(1) != b"\x00"

    def buffer(self) -> bytes | None:
        size = self.int32()
        return None if size == -1 else self.take(size)

    def string(self) -> str:
        return (self.buffer() or b"").decode()

    def strings(self) -> list[str]:
        return [self.string() for _ in range(self.int32())]

    def stat(self) -> Stat:
        return Stat(*STAT.unpack(self.take(STAT.size)))

    def acl(self) -> list[tuple[int, str, str]]:
        return [(self.int32(), self.string(), self.string()) for _ in range(self.int32())]
