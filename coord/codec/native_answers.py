"""coord's own client protocol, from server to client, as the client reads it.

A frame becomes a list of values, in order. An `Answer` is left as it came until whoever knows the request asks
`read_reply` for the model's reply. Whatever the bytes are, nothing but CodecError is raised.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from coord.codec.errors import CodecError
from coord.codec.native_rows import EVENT, GOODBYE, REFUSAL, WELCOME, messages_of
from coord.codec.shapes import Shape, array, identity, integer, raw_or_none, text
from coord.codec.shapes import acl_or_none as acl_of
from coord.model.errors import ERRORS, CoordError
from coord.model.handshake import Goodbye, Refusal, Welcome
from coord.model.message import message
from coord.model.replies import (
    AclReply,
    ChildrenReply,
    CountReply,
    Created,
    DataReply,
    Done,
    EphemeralsReply,
    ExistsReply,
    MultiDone,
    PageReply,
    Reply,
    Synced,
    WatchEvent,
    WhoAmIReply,
    Written,
)
from coord.model.requests import (
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
    Request,
    SetAcl,
    SetData,
    Sync,
    Unwatch,
    Watch,
    WhoAmI,
)
from coord.model.stat import Stat


@message
class Answer:
    """The reply to the request `id`: with code 0 its fields are the reply's, else a sentence (and what follows it)."""

    id: int
    zxid: int
    code: int
    fields: list[Any]


ServerMessage: TypeAlias = Welcome | Refusal | Goodbye | WatchEvent | Answer


def decode_server_message(payload: bytes) -> list[ServerMessage]:
    """The messages of one frame, in order. To be acted on as a whole: events of one zxid always share a frame."""
    return [_answer(each) if each[0] else _special(each) for each in messages_of(payload)]


def _answer(each: list[Any]) -> Answer:
    if len(each) < 3 or not (type(each[0]) is type(each[1]) is type(each[2]) is int):
        raise CodecError("a reply begins with three integers, id, zxid and code, and this does not")
    return Answer(each[0], each[1], each[2], each[3:])


def _special(each: list[Any]) -> ServerMessage:
    shape = _SPECIAL.get(each[1]) if type(each[1]) is int else None
    if shape is None:
        raise CodecError(f"the server said something of the kind {each[1]!r}, which is not known here")
    return cast(ServerMessage, shape.build(each[2 : 2 + len(shape.checks)]))


_SPECIAL: dict[int, Shape[Any]] = {
    WELCOME: Shape(Welcome),
    REFUSAL: Shape(Refusal),
    GOODBYE: Shape(Goodbye),
    EVENT: Shape(WatchEvent),
}


def error_of(answer: Answer) -> CoordError:
    """The error that an answer with a code other than 0 is."""
    sentence = answer.fields[0] if answer.fields and type(answer.fields[0]) is str else f"error {answer.code}"
    return ERRORS.get(answer.code, CoordError)(sentence)


def failed_step_of(answer: Answer) -> int | None:
    """Which step of a multi, from 0, the error of `answer` is about; None if it is about the whole."""
    return answer.fields[1] if len(answer.fields) > 1 and type(answer.fields[1]) is int else None


def read_reply(request: Request, answer: Answer) -> Reply:
    """The reply of an answer to `request` that has the code 0."""
    return _read(request, answer.fields)


def _read(request: Request, fields: list[Any]) -> Reply:
    read = REPLIES[type(request)]
    try:
        return read(request, *fields)
    except TypeError as error:
        raise CodecError(f"the answer to a {type(request).__name__} has other fields than it should: {error}") from None


# ---- one function a reply; a wrong number of fields is caught above


def _stat(value: Any) -> Stat:
    if type(value) is not list or [*map(type, value)] not in _STAT_TYPES:
        raise CodecError("a stat is an array of 11 or 12 integers, and this is not")
    return Stat(*value)


def _created(request: Request, path: Any, stat: Any) -> Created:
    return Created(text(path), _stat(stat))


def _written(request: Request, stat: Any) -> Written:
    return Written(_stat(stat))


def _done(request: Request) -> Done:
    return Done()


def _multi(request: Multi, steps: Any) -> MultiDone:
    if len(array(steps)) != len(request.requests):
        raise CodecError(f"a multi of {len(request.requests)} steps was answered with {len(steps)} results")
    return MultiDone(tuple([_read(step, array(each)) for step, each in zip(request.requests, steps, strict=True)]))


def _exists(request: Request, stat: Any) -> ExistsReply:
    return ExistsReply(_stat(stat))


def _data(request: Request, data: Any, stat: Any) -> DataReply:
    return DataReply(raw_or_none(data), _stat(stat))


def _acl(request: Request, acl: Any, stat: Any) -> AclReply:
    return AclReply(acl_of(array(acl)) or (), _stat(stat))


def _children(request: Request, names: Any, stat: Any) -> ChildrenReply:
    return ChildrenReply([text(name) for name in array(names)], _stat(stat))


def _page(request: Request, children: Any, more: Any, stat: Any) -> PageReply:
    rows: list[tuple[str, Stat | None, bytes | None]] = []
    for each in array(children):
        row = array(each)
        if len(row) != 3:
            raise CodecError("a child in a page is a name, a stat and data, and this is not")
        name, its_stat, data = row
        rows.append((text(name), None if its_stat is None else _stat(its_stat), raw_or_none(data)))
    if type(more) is not bool:
        raise CodecError("whether a page has a next one is true or false, and this is not")
    return PageReply(rows, more, _stat(stat))


def _ephemerals(request: Request, paths: Any) -> EphemeralsReply:
    return EphemeralsReply([text(path) for path in array(paths)])


def _count(request: Request, count: Any) -> CountReply:
    return CountReply(integer(count))


def _who_am_i(request: Request, identities: Any) -> WhoAmIReply:
    return WhoAmIReply([identity(pair) for pair in array(identities)])


def _synced(request: Request) -> Synced:
    return Synced("/")


_STAT_TYPES = ([int] * 11, [int] * 12)

REPLIES: dict[type, Callable[..., Reply]] = {
    Create: _created,
    Delete: _done,
    DeleteTree: _done,
    SetData: _written,
    SetAcl: _written,
    CheckVersion: _done,
    CheckExists: _done,
    CheckCreated: _done,
    CheckData: _done,
    Multi: _multi,
    CloseSession: _done,
    Exists: _exists,
    GetData: _data,
    GetAcl: _acl,
    GetChildren: _children,
    ChildrenPage: _page,
    GetEphemerals: _ephemerals,
    CountDescendants: _count,
    WhoAmI: _who_am_i,
    Sync: _synced,
    AtLeast: _done,
    Ping: _done,
    Authenticate: _done,
    Watch: _done,
    Unwatch: _done,
}
