"""ZooKeeper's client protocol, from the client: frames -> calls.

A frame is a length, an xid, an operation number and the operation's fields, all big-endian; text and byte strings have
their length before them, -1 for null. Fields are read from the one buffer that came from the socket, and every
length is held against the end of its frame, so a frame cannot reach into the next one. As in ZooKeeper, bytes that
follow the last field are passed over, and null text is empty text.

What cannot be read is still answered in its turn: it becomes a call with a Refused request.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError
from typing import TypeAlias

from coord.codec import opcodes as op
from coord.codec.calls import Call
from coord.codec.errors import CodecError
from coord.codec.frames import illegal_length
from coord.model.acl import OPEN_ACL, Acl, AclEntry
from coord.model.errors import AuthFailedError, MarshallingError, ReconfigDisabledError, UnimplementedError
from coord.model.requests import (
    CONTAINER,
    PERSISTENT,
    TTL,
    TTL_SEQUENTIAL,
    AddWatch,
    Authenticate,
    CheckVersion,
    CheckWatches,
    CloseSession,
    Connect,
    CountDescendants,
    Create,
    Delete,
    DeleteContainer,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    MultiRead,
    Ping,
    Refused,
    RemoveWatches,
    Request,
    SetAcl,
    SetData,
    SetWatches,
    Sync,
    WhoAmI,
)

HEADER = Struct("!iii")  # length, xid, operation number
_header = HEADER.unpack_from
_int = Struct("!i").unpack_from
_long = Struct("!q").unpack_from
_connect = Struct("!iqiqi").unpack_from  # protocol version, last zxid seen, timeout, session, password's length
CONNECT_BYTES = 28
MULTI_HEADER = Struct("!i?i")
_multi_header = MULTI_HEADER.unpack_from
MULTI_HEADER_BYTES = MULTI_HEADER.size

REQUEST_HEADER_BYTES = 8
NO_KIND = -1
"""A kind of znode that the state machine refuses as a bad argument."""

_OPEN_ACL_BYTES = bytes.fromhex("00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65")
_ACL_ENTRY_BYTES_MIN, _STRING_BYTES_MIN = 12, 4


def decode_connect(payload: bytes) -> Connect:
    """What a client says first. Clients older than 3.4 do not send the last byte."""
    if len(payload) < CONNECT_BYTES:
        raise CodecError(f"a connect request has at least {CONNECT_BYTES} bytes, and this has {len(payload)}")
    _, seen_zxid, timeout_ms, session, length = _connect(payload)
    end = CONNECT_BYTES + max(length, 0)
    if length < -1 or end > len(payload):
        raise CodecError(f"a session password of {length} bytes does not fit a connect request of {len(payload)}")
    has_flag = end < len(payload)
    return Connect(seen_zxid, timeout_ms, session, payload[CONNECT_BYTES:end], has_flag and payload[end] != 0, has_flag)


def decode_calls(buffer: bytes, frame_bytes_max: int) -> tuple[list[Call], int]:
    """All whole frames in `buffer`, and how many bytes they took.

    After a call that is Refused with `hang_up` nothing more is read, and all bytes are taken.
    """
    calls: list[Call] = []
    at, size = 0, len(buffer)
    while size - at >= HEADER.size:
        length, xid, opcode = _header(buffer, at)
        end = at + 4 + length
        if end > size or not REQUEST_HEADER_BYTES <= length <= frame_bytes_max:
            break
        try:
            if opcode in READERS:
                calls.append(Call(xid, opcode, READERS[opcode](buffer, at + HEADER.size, end)[0]))
            elif opcode in INNER_READERS:
                calls.append(_read_multi(xid, opcode, buffer, at + HEADER.size, end))
            else:
                calls.append(Call(xid, opcode, HANG_UP.get(opcode) or _unknown(opcode)))
                return calls, size
        except (StructError, IndexError, ValueError) as error:  # CodecError and wrong UTF-8 are ValueErrors
            reason = f"request {xid} (operation {opcode}) cannot be read: {error}"
            calls.append(Call(xid, opcode, Refused(MarshallingError.code, reason)))
        at = end
    if size - at >= 4:
        (length,) = _int(buffer, at)
        if not REQUEST_HEADER_BYTES <= length <= frame_bytes_max:
            reason = illegal_length(length, REQUEST_HEADER_BYTES, frame_bytes_max)
            calls.append(Call(0, 0, Refused(0, reason, hang_up=True)))
            return calls, size
    return calls, at


def _unknown(opcode: int) -> Refused:
    return Refused(UnimplementedError.code, f"operation {opcode} is not known here", hang_up=True)


# ---- the commonest bodies. Each takes the buffer, where its body starts and where its frame ends, and gives the
# request and where its body ended. Slices beyond the frame are harmless, as long as the end is checked before return.


def _read_set_data(buffer: bytes, at: int, end: int) -> tuple[SetData, int]:
    start = at + 4
    length_at = start + _int(buffer, at)[0]
    if start <= length_at:
        data_at = length_at + 4
        version_at = data_at + _int(buffer, length_at)[0]
        if data_at <= version_at <= end - 4:
            version = _int(buffer, version_at)[0]
            return SetData(buffer[start:length_at].decode(), buffer[data_at:version_at], version), version_at + 4
    path, at = _string(buffer, at, end)
    data, at = _bytes(buffer, at, end)
    version, at = _integer(buffer, at, end)
    return SetData(path, data, version), at


def _read_get_data(buffer: bytes, at: int, end: int) -> tuple[GetData, int]:
    start = at + 4
    watch_at = start + _int(buffer, at)[0]
    if start <= watch_at < end:
        return GetData(buffer[start:watch_at].decode(), buffer[watch_at] != 0), watch_at + 1
    path, at = _string(buffer, at, end)
    watch, at = _boolean(buffer, at, end)
    return GetData(path, watch), at


def _read_exists(buffer: bytes, at: int, end: int) -> tuple[Exists, int]:
    start = at + 4
    watch_at = start + _int(buffer, at)[0]
    if start <= watch_at < end:
        return Exists(buffer[start:watch_at].decode(), buffer[watch_at] != 0), watch_at + 1
    path, at = _string(buffer, at, end)
    watch, at = _boolean(buffer, at, end)
    return Exists(path, watch), at


def _read_create(buffer: bytes, at: int, end: int) -> tuple[Create, int]:
    """create and create2. Through these a container comes out as a plain znode, as in ZooKeeper."""
    path, data, acl, flags, at = _create_fields(buffer, at, end)
    return Create(path, data, acl, PERSISTENT if flags == CONTAINER else flags), at


def _read_create_container(buffer: bytes, at: int, end: int) -> tuple[Create, int]:
    path, data, acl, flags, at = _create_fields(buffer, at, end)
    return Create(path, data, acl, CONTAINER if flags in (CONTAINER, PERSISTENT) else NO_KIND), at


def _read_create_ttl(buffer: bytes, at: int, end: int) -> tuple[Create, int]:
    path, data, acl, flags, at = _create_fields(buffer, at, end)
    ttl_ms, at = _long_integer(buffer, at, end)
    return Create(path, data, acl, flags if flags in (TTL, TTL_SEQUENTIAL) else NO_KIND, ttl_ms), at


def _create_fields(buffer: bytes, at: int, end: int) -> tuple[str, bytes | None, Acl | None, int, int]:
    path, at = _string(buffer, at, end)
    data, at = _bytes(buffer, at, end)
    acl, at = _acl(buffer, at, end)
    flags, at = _integer(buffer, at, end)
    return path, data, acl, flags, at


# ---- all other bodies


def _read_delete(buffer: bytes, at: int, end: int) -> tuple[Delete, int]:
    path, at = _string(buffer, at, end)
    version, at = _integer(buffer, at, end)
    return Delete(path, version), at


def _read_check(buffer: bytes, at: int, end: int) -> tuple[CheckVersion, int]:
    path, at = _string(buffer, at, end)
    version, at = _integer(buffer, at, end)
    return CheckVersion(path, version), at


def _read_get_acl(buffer: bytes, at: int, end: int) -> tuple[GetAcl, int]:
    path, at = _string(buffer, at, end)
    return GetAcl(path), at


def _read_set_acl(buffer: bytes, at: int, end: int) -> tuple[SetAcl, int]:
    path, at = _string(buffer, at, end)
    acl, at = _acl(buffer, at, end)
    version, at = _integer(buffer, at, end)
    return SetAcl(path, acl, version), at


def _read_get_children(buffer: bytes, at: int, end: int) -> tuple[GetChildren, int]:
    path, at = _string(buffer, at, end)
    watch, at = _boolean(buffer, at, end)
    return GetChildren(path, watch), at


def _read_get_children_2(buffer: bytes, at: int, end: int) -> tuple[GetChildren, int]:
    path, at = _string(buffer, at, end)
    watch, at = _boolean(buffer, at, end)
    return GetChildren(path, watch, with_stat=True), at


def _read_sync(buffer: bytes, at: int, end: int) -> tuple[Sync, int]:
    path, at = _string(buffer, at, end)
    return Sync(path), at


def _read_ping(buffer: bytes, at: int, end: int) -> tuple[Ping, int]:
    return Ping(), at


def _read_who_am_i(buffer: bytes, at: int, end: int) -> tuple[WhoAmI, int]:
    return WhoAmI(), at


def _read_close_session(buffer: bytes, at: int, end: int) -> tuple[CloseSession, int]:
    return CloseSession(), at


def _read_delete_container(buffer: bytes, at: int, end: int) -> tuple[DeleteContainer, int]:
    path, at = _string(buffer, at, end)
    return DeleteContainer(path), at


def _read_get_ephemerals(buffer: bytes, at: int, end: int) -> tuple[GetEphemerals, int]:
    prefix, at = _string(buffer, at, end)
    return GetEphemerals(prefix), at


def _read_get_all_children_number(buffer: bytes, at: int, end: int) -> tuple[CountDescendants, int]:
    path, at = _string(buffer, at, end)
    return CountDescendants(path), at


def _read_auth(buffer: bytes, at: int, end: int) -> tuple[Authenticate, int]:
    _, at = _integer(buffer, at, end)  # a type that no server ever looked at
    scheme, at = _string(buffer, at, end)
    credentials, at = _bytes(buffer, at, end)
    return Authenticate(scheme, credentials or b""), at


def _read_set_watches(buffer: bytes, at: int, end: int) -> tuple[SetWatches, int]:
    seen_zxid, at = _long_integer(buffer, at, end)
    data, at = _strings(buffer, at, end)
    exists, at = _strings(buffer, at, end)
    children, at = _strings(buffer, at, end)
    return SetWatches(seen_zxid, data, exists, children), at


def _read_set_watches_2(buffer: bytes, at: int, end: int) -> tuple[SetWatches, int]:
    request, at = _read_set_watches(buffer, at, end)
    request.persistent, at = _strings(buffer, at, end)
    request.recursive, at = _strings(buffer, at, end)
    return request, at


def _read_add_watch(buffer: bytes, at: int, end: int) -> tuple[AddWatch, int]:
    path, at = _string(buffer, at, end)
    mode, at = _integer(buffer, at, end)
    if mode not in (0, 1):
        raise CodecError(f"a watch of mode {mode} was asked for; 0 is persistent, 1 recursive, and there is no other")
    return AddWatch(path, mode), at


def _read_check_watches(buffer: bytes, at: int, end: int) -> tuple[CheckWatches, int]:
    path, kind, at = _watcher_type(buffer, at, end)
    return CheckWatches(path, kind), at


def _read_remove_watches(buffer: bytes, at: int, end: int) -> tuple[RemoveWatches, int]:
    path, kind, at = _watcher_type(buffer, at, end)
    return RemoveWatches(path, kind), at


def _watcher_type(buffer: bytes, at: int, end: int) -> tuple[str, int, int]:
    path, at = _string(buffer, at, end)
    kind, at = _integer(buffer, at, end)
    if not 1 <= kind <= 5:
        raise CodecError(f"watches of type {kind} were named; the types are 1 to 5")
    return path, kind, at


def _read_reconfig(buffer: bytes, at: int, end: int) -> tuple[Refused, int]:
    return Refused(ReconfigDisabledError.code, "the ensemble's membership cannot be changed through this server"), at


def _read_multi(xid: int, opcode: int, buffer: bytes, at: int, end: int) -> Call:
    readers = INNER_READERS[opcode]
    requests: list[Request] = []
    kinds: list[int] = []
    last = end - MULTI_HEADER_BYTES
    while at <= last:
        kind, done, _ = _multi_header(buffer, at)
        at += MULTI_HEADER_BYTES
        if done:
            return Call(xid, opcode, _MULTIS[opcode](tuple(requests)), tuple(kinds))
        reader = readers.get(kind)
        if reader is None:
            raise CodecError(f"operation {kind} cannot stand inside a multi of this kind")
        request, at = reader(buffer, at, end)
        requests.append(request)
        kinds.append(kind)
    raise CodecError("a multi stops before its end mark")


# ---- fields: each gives its value and where it ended


def _integer(buffer: bytes, at: int, end: int) -> tuple[int, int]:
    if at + 4 > end:
        raise CodecError(_SHORT)
    return _int(buffer, at)[0], at + 4


def _long_integer(buffer: bytes, at: int, end: int) -> tuple[int, int]:
    if at + 8 > end:
        raise CodecError(_SHORT)
    return _long(buffer, at)[0], at + 8


def _boolean(buffer: bytes, at: int, end: int) -> tuple[bool, int]:
    if at >= end:
        raise CodecError(_SHORT)
    return buffer[at] != 0, at + 1


def _string(buffer: bytes, at: int, end: int) -> tuple[str, int]:
    start = at + 4
    length = _int(buffer, at)[0]
    stop = start + length
    if start <= stop <= end:
        return buffer[start:stop].decode(), stop
    if length == -1 and start <= end:
        return "", start
    raise CodecError(f"text of {length} bytes does not fit into its frame")


def _bytes(buffer: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    start = at + 4
    length = _int(buffer, at)[0]
    stop = start + length
    if start <= stop <= end:
        return buffer[start:stop], stop
    if length == -1 and start <= end:
        return None, start
    raise CodecError(f"{length} bytes do not fit into their frame")


def _strings(buffer: bytes, at: int, end: int) -> tuple[tuple[str, ...], int]:
    count, at = _count(buffer, at, end, _STRING_BYTES_MIN)
    strings: list[str] = []
    for _ in range(count):
        string, at = _string(buffer, at, end)
        strings.append(string)
    return tuple(strings), at


def _acl(buffer: bytes, at: int, end: int) -> tuple[Acl | None, int]:
    """Nearly always the open one: its bytes are known, and it is the model's own object."""
    if buffer.startswith(_OPEN_ACL_BYTES, at, end):
        return OPEN_ACL, at + len(_OPEN_ACL_BYTES)
    count, at = _count(buffer, at, end, _ACL_ENTRY_BYTES_MIN)
    if count < 0:
        return None, at
    acl: list[AclEntry] = []
    for _ in range(count):
        permissions, at = _integer(buffer, at, end)
        scheme, at = _string(buffer, at, end)
        id_, at = _string(buffer, at, end)
        acl.append((permissions, scheme, id_))
    return tuple(acl), at


def _count(buffer: bytes, at: int, end: int, item_bytes_min: int) -> tuple[int, int]:
    """Of a list's items, -1 for null; never more than the frame has room for."""
    count, at = _integer(buffer, at, end)
    if count < -1 or count * item_bytes_min > end - at:
        raise CodecError(f"a list of {count} does not fit into its frame")
    return count, at


_SHORT = "the frame ends in the middle of a field"

# ---- which body belongs to which operation

Reader: TypeAlias = Callable[[bytes, int, int], tuple[Request, int]]

READERS: dict[int, Reader] = {
    op.CREATE: _read_create,
    op.DELETE: _read_delete,
    op.EXISTS: _read_exists,
    op.GET_DATA: _read_get_data,
    op.SET_DATA: _read_set_data,
    op.GET_ACL: _read_get_acl,
    op.SET_ACL: _read_set_acl,
    op.GET_CHILDREN: _read_get_children,
    op.SYNC: _read_sync,
    op.PING: _read_ping,
    op.GET_CHILDREN_2: _read_get_children_2,
    op.CREATE_2: _read_create,
    op.RECONFIG: _read_reconfig,
    op.CHECK_WATCHES: _read_check_watches,
    op.REMOVE_WATCHES: _read_remove_watches,
    op.CREATE_CONTAINER: _read_create_container,
    op.DELETE_CONTAINER: _read_delete_container,
    op.CREATE_TTL: _read_create_ttl,
    op.AUTH: _read_auth,
    op.SET_WATCHES: _read_set_watches,
    op.GET_EPHEMERALS: _read_get_ephemerals,
    op.GET_ALL_CHILDREN_NUMBER: _read_get_all_children_number,
    op.SET_WATCHES_2: _read_set_watches_2,
    op.ADD_WATCH: _read_add_watch,
    op.WHO_AM_I: _read_who_am_i,
    op.CLOSE_SESSION: _read_close_session,
}

INNER_READERS: dict[int, dict[int, Reader]] = {
    op.MULTI: {
        op.CREATE: _read_create,
        op.DELETE: _read_delete,
        op.SET_DATA: _read_set_data,
        op.CHECK: _read_check,
        op.CREATE_2: _read_create,
        op.CREATE_CONTAINER: _read_create_container,
        op.CREATE_TTL: _read_create_ttl,
    },
    op.MULTI_READ: {
        op.GET_DATA: _read_get_data,
        op.GET_CHILDREN: _read_get_children,
    },
}
"""What may stand inside a multi, and inside a multiRead."""

_MULTIS: dict[int, Callable[..., Multi | MultiRead]] = {op.MULTI: Multi, op.MULTI_READ: MultiRead}

HANG_UP: dict[int, Refused] = {
    op.CHECK: Refused(UnimplementedError.code, "a check stands alone; it belongs into a multi", hang_up=True),
    op.SASL: Refused(
        AuthFailedError.code, "this server has no SASL; authenticate with the scheme digest", hang_up=True
    ),
}
"""Operations that are known, and end the connection, as all unknown ones do."""
