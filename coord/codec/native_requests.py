"""coord's own client protocol, from client to server: greeting and requests, for both ends.

A write is [id, row, number, field ...] and its row and fields are those of the log, so that the log's coders do the
work; anything else is [id, row, field ...]. A frame with one message that cannot be read is refused as a whole.
"""

from collections.abc import Callable
from typing import Any

from coord.codec.calls import Call
from coord.codec.cbor import dump
from coord.codec.entries import DECODERS, ENCODERS
from coord.codec.errors import CodecError
from coord.codec.heads import array_head, integer, text
from coord.codec.native_rows import (
    LENGTH_BYTES,
    OTHERS,
    ROW_OF,
    SILENT,
    STEPS,
    WRITES,
    frame_end,
    messages_of,
)
from coord.codec.shapes import Check, Shape, Write, array, raw
from coord.codec.shapes import text as text_of
from coord.model.handshake import Greeting
from coord.model.requests import (
    Acknowledge,
    AtLeast,
    Authenticate,
    ChildrenPage,
    CloseSession,
    CountDescendants,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    Ping,
    Refused,
    Request,
    Sync,
    Unwatch,
    Watch,
    WhoAmI,
)

NUMBER_MAX = (1 << 62) - 1
"""Of an id, or of a write."""

# ---- the greeting


def _auth(value: object) -> tuple[tuple[str, bytes], ...]:
    pairs = [array(pair) for pair in array(value)]
    if any(len(pair) != 2 for pair in pairs):
        raise CodecError("what a client authenticates with is a list of pairs, and this is not")
    return tuple([(text_of(scheme), raw(credentials)) for scheme, credentials in pairs])


def _unchanged(value: object) -> object:
    return value


_AUTH: dict[object, tuple[Check, Write]] = {tuple[tuple[str, bytes], ...]: (_auth, _unchanged)}
_greeting = Shape(Greeting, also=_AUTH)


def encode_greeting(greeting: Greeting) -> bytes:
    """The message that a client's first frame holds, and nothing else."""
    return dump(_greeting.fields_of(greeting))


def decode_greeting(payload: bytes) -> Greeting:
    """What a later version adds at its end is passed over."""
    first, *more = messages_of(payload)
    if more:
        raise CodecError("the first frame holds the greeting and nothing else, and this holds more")
    return _greeting.build(first[: len(_greeting.checks)])


# ---- requests, to be sent


def encode_request(id: int, request: Request, number: int = 0) -> bytes:
    """One message. `number` is that of a write in its session; nothing else has one."""
    row = ROW_OF[type(request)]
    if row in WRITES:
        assert number > 0, "a write has a number in its session, from 1"
        if row == _CLOSE:
            return b"\x83" + integer(id) + b"\x08" + integer(number)
        parts: list[bytes] = []
        _encoders[type(request)](request, parts)
        entry = b"".join(parts)  # its head and its row are a byte each: see the test
        return bytes((entry[0] + 2,)) + integer(id) + entry[1:2] + integer(number) + entry[2:]
    fields = _FIELDS[row](request)
    return array_head(2 + fields[0]) + integer(id) + integer(row) + fields[1]


def _path_only(request: Any) -> tuple[int, bytes]:
    return 1, text(request.path)


def _prefix(request: GetEphemerals) -> tuple[int, bytes]:
    return 1, text(request.prefix)


def _no_fields(request: Request) -> tuple[int, bytes]:
    return 0, b""


_SHAPES: dict[type, Shape[Any]] = {
    cls: Shape(cls) for cls in (ChildrenPage, AtLeast, Acknowledge, Authenticate, Watch, Unwatch)
}


def _by_shape(request: Request) -> tuple[int, bytes]:
    shape = _SHAPES[type(request)]
    fields = shape.fields_of(request)
    for check, field in zip(shape.checks, fields, strict=True):
        check(field)  # here, where its caller is told: the other end would hang up
    return len(fields), b"".join([dump(field) for field in fields])


# ---- requests, as they come


def decode_requests(payload: bytes) -> list[Call]:
    """The requests of one frame, or CodecError if there is anything wrong with one of them."""
    return [_call(message) for message in messages_of(payload)]


def decode_calls(buffer: bytes, frame_bytes_max: int) -> tuple[list[Call], int]:
    """All whole frames in `buffer`, and how many bytes they took.

    What cannot be read becomes one call that is Refused, after which nothing more is read and all bytes are taken.
    """
    calls: list[Call] = []
    at = 0
    try:
        while end := frame_end(buffer, at, frame_bytes_max):
            calls += decode_requests(buffer[at + LENGTH_BYTES : end])
            at = end
    except CodecError as error:
        calls.append(Call(0, 0, Refused(0, str(error), hang_up=True)))
        return calls, len(buffer)
    return calls, at


def _call(message: list[Any]) -> Call:
    id, row = message[0], message[1]
    if type(id) is not int or type(row) is not int or not 0 <= id <= NUMBER_MAX:
        raise CodecError("a request begins with its id, a whole number from 0, and its row number, and this does not")
    read = _READERS.get(row)
    if read is not None:
        if id == 0 or row == _ACKNOWLEDGE:
            _check_silent(id, row)
        return Call(id, row, read(message))
    if row in WRITES:
        return _write_call(id, row, message)
    raise CodecError(f"request {id} has the row number {row}, which is not known here")


def _check_silent(id: int, row: int) -> None:
    """Only what needs no answer has the id 0, and an acknowledgement has no other."""
    name = OTHERS[row].__name__
    if id:
        raise CodecError(f"an {name} has the id {id}; it is not answered, so its id is 0")
    if OTHERS[row] not in SILENT:
        raise CodecError(f"a {name} has the id 0; only what needs no answer may have that")


def _write_call(id: int, row: int, message: list[Any]) -> Call:
    number = message[2] if len(message) > 2 else 0
    if type(number) is not int or not 1 <= number <= NUMBER_MAX:
        raise CodecError(f"request {id} is a write (row {row}) without the number that it has in its session")
    if not id:
        raise CodecError(f"a write (row {row}) has the id 0; only what needs no answer may have that")
    if row == _CLOSE:
        if len(message) != 3:
            raise CodecError(f"request {id} closes the session and has fields; that has none")
        return Call(id, row, CloseSession(), (), number)
    request = DECODERS[row](message[2:])  # which pass over the first: in the log it is the row
    if row == _MULTI:
        _check_steps(id, request)
    return Call(id, row, request, (), number)


def _check_steps(id: int, multi: Any) -> None:
    for step in multi.requests:
        if type(step) not in _STEP_CLASSES:
            raise CodecError(f"request {id} is a multi that holds a {type(step).__name__}, which may not stand in one")


def _reader_of_text(cls: type) -> Callable[[list[Any]], Request]:
    def read(message: list[Any]) -> Request:
        if len(message) != 3 or type(message[2]) is not str:
            raise CodecError(f"a {cls.__name__} has one field, a text, and this has not")
        return cls(message[2])  # type: ignore[no-any-return]

    return read


def _reader_by_shape(cls: type) -> Callable[[list[Any]], Request]:
    build = _SHAPES[cls].build

    def read(message: list[Any]) -> Request:
        return build(message[2:])  # type: ignore[no-any-return]

    return read


def _reader_of(request: Request) -> Callable[[list[Any]], Request]:
    def read(message: list[Any]) -> Request:
        if len(message) != 2:
            raise CodecError(f"a {type(request).__name__} has no fields, and this has some")
        return request

    return read


_encoders: dict[type, Callable[[Any, list[bytes]], None]] = dict(ENCODERS.items())
_CLOSE, _MULTI, _ACKNOWLEDGE = ROW_OF[CloseSession], ROW_OF[Multi], ROW_OF[Acknowledge]
_STEP_CLASSES = frozenset(STEPS.values())
_TEXTS = {Exists, GetData, GetAcl, GetChildren, GetEphemerals, CountDescendants}
_FIELDLESS: dict[type, Request] = {WhoAmI: WhoAmI(), Sync: Sync("/"), Ping: Ping()}


def _writer(cls: type) -> Callable[[Any], tuple[int, bytes]]:
    if cls is GetEphemerals:
        return _prefix
    return _path_only if cls in _TEXTS else _no_fields if cls in _FIELDLESS else _by_shape


def _reader(cls: type) -> Callable[[list[Any]], Request]:
    if cls in _TEXTS:
        return _reader_of_text(cls)
    return _reader_of(_FIELDLESS[cls]) if cls in _FIELDLESS else _reader_by_shape(cls)


_FIELDS = {row: _writer(cls) for row, cls in OTHERS.items()}
_READERS = {row: _reader(cls) for row, cls in OTHERS.items()}
