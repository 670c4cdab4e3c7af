"""The log's entries: runs of writes as CBOR, one item a run.

A run is the array [origin, incarnation, sequence, session, number, acked, identities, requests]; a request is the array
[row number, its fields in the order of declaration ...]; identities are a byte string that holds the CBOR of a
list of pairs, so that they are taken apart once and not in every run of the same connection. Where all requests of a
run, or of a multi, are of one of the three commonest kinds, and more than one, they are one array: the row number, and
then the fields of each.

The three commonest writes are encoded and checked by hand (three times as fast as by shape and cbor2, measured
with runs of 100), and what they write is plain CBOR too: `decode_runs` reads all of it with one call of C code.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, TypeAlias

from coord.codec.cbor import dump, load, load_sequence
from coord.codec.errors import CodecError
from coord.codec.heads import array_head, bytes_head, integer, text_head
from coord.codec.shapes import Shape, acl_or_none, array, identity
from coord.model.acl import OPEN_ACL, Identity
from coord.model.entries import Run
from coord.model.requests import (
    AttachSession,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    ReapNode,
    RegisterServer,
    SetAcl,
    SetData,
    Write,
)

Parts: TypeAlias = list[bytes]
"""What is to be joined in the end: one join costs less than many additions."""

IDENTITIES_KEPT_MAX = 4096
"""Lists of identities remembered, so that equal ones are one object; then it starts afresh."""
IDENTITIES_KEPT_BYTES_MAX = 512
"""Longer lists are not remembered: memory stays below 4096 times this."""


def encode_run(run: Run) -> bytes:
    """One CBOR item. A log's body is such items, one after the other."""
    requests = run.requests
    parts = [
        b"\x88",
        integer(run.origin),
        integer(run.incarnation),
        integer(run.sequence),
        integer(run.session),
        integer(run.number),
        integer(run.acked),
        _identities_head(run.identities),
    ]
    _encode_writes(requests, parts)
    return b"".join(parts)


def decode_runs(body: bytes) -> list[Run]:
    """The runs of a body, in order. Equal lists of identities, and open ACLs, come as one shared object."""
    return [_run(item) for item in load_sequence(body)]


def _run(item: object) -> Run:
    if type(item) is not list or len(item) != 8:
        raise CodecError("a run is a list of 8 things, and this is not")
    origin, incarnation, sequence, session, number, acked, identities, requests = item
    if type(requests) is not list or type(identities) is not bytes:
        raise CodecError("a run ends with identities (a byte string) and requests (a list), and this does not")
    if not (type(origin) is type(incarnation) is type(sequence) is type(session) is type(number) is type(acked) is int):
        raise CodecError("a run starts with six integers, and this does not")
    known = _known_identities.get(identities)
    if known is None:
        known = _read_identities(identities)
    return Run(origin, incarnation, sequence, session, number, known, _writes(requests), acked)


def _encode_writes(requests: Sequence[Write], parts: Parts) -> None:
    alike = None
    if len(requests) > 1 and len(kinds := {*map(type, requests)}) == 1:
        alike = ALIKE.get(kinds.pop())
    if alike is None:
        parts.append(array_head(len(requests)))
        for request in requests:
            ENCODERS[type(request)](request, parts)
    else:
        number, types, encode, _ = alike
        parts += (array_head(1 + len(types) * len(requests)), integer(number))
        for request in requests:
            encode(request, parts)


def _writes(items: list[Any]) -> tuple[Write, ...]:
    if items and type(items[0]) is int:
        return _writes_alike(items)
    return tuple([_write(item) for item in items])


def _writes_alike(items: list[Any]) -> tuple[Write, ...]:
    """Fields by C code alone, where all are of the types they nearly always have; else request by request."""
    number = items[0]
    cls = ROWS.get(number)
    if cls not in ALIKE:
        raise CodecError(f"an array of nothing but requests of the row {number}, which stand each in its own")
    _, types, _, build = ALIKE[cls]
    width = len(types)
    count, rest = divmod(len(items) - 1, width)
    if rest or count < 2:
        raise _unfit(cls.__name__)
    columns = [items[1 + place :: width] for place in range(width)]
    if [*map(type, items)][1:] == types * count and (requests := build(columns)) is not None:
        return tuple(requests)
    return tuple([DECODERS[number]([number, *fields]) for fields in zip(*columns, strict=True)])


def _write(item: object) -> Write:
    if type(item) is list and item and type(item[0]) is int:
        decode = DECODERS.get(item[0])
        if decode is not None:
            return decode(item)
        raise CodecError(f"no request has the row number {item[0]}: another version wrote it")
    raise CodecError("a request is a list that starts with the number of its row, and this is not")


# ---- what a run's requests have in common


def _read_identities(encoded: bytes) -> tuple[Identity, ...]:
    identities = tuple([identity(pair) for pair in array(load(encoded))])
    if len(encoded) <= IDENTITIES_KEPT_BYTES_MAX:
        if len(_known_identities) >= IDENTITIES_KEPT_MAX:
            _known_identities.clear()
        _known_identities[encoded] = identities
    return identities


def _identities_head(identities: tuple[Identity, ...]) -> bytes:
    head = _known_heads.get(identities)
    if head is None:
        encoded = dump(identities)
        head = dump(encoded)
        if len(encoded) <= IDENTITIES_KEPT_BYTES_MAX:
            if len(_known_heads) >= IDENTITIES_KEPT_MAX:
                _known_heads.clear()
            _known_heads[identities] = head
    return head


_known_identities: dict[bytes, tuple[Identity, ...]] = {}
_known_heads: dict[tuple[Identity, ...], bytes] = {}

# ---- the common writes, by hand


def _encode_set_data(request: SetData, parts: Parts) -> None:
    path, data = request.path.encode(), request.data
    if data is None:
        parts += (text_head(len(path)), path, b"\xf6", integer(request.version))
    else:
        parts += (text_head(len(path)), path, bytes_head(len(data)), data, integer(request.version))


def _decode_set_data(item: list[Any]) -> SetData:
    try:
        _, path, data, version = item
    except ValueError:
        raise _unfit("SetData") from None
    if type(path) is str and (type(data) is bytes or data is None) and type(version) is int:
        return SetData(path, data, version)
    raise _unfit("SetData")


def _encode_create(request: Create, parts: Parts) -> None:
    path, data, acl = request.path.encode(), request.data, request.acl
    parts += (text_head(len(path)), path)
    if data is None:
        parts.append(b"\xf6")
    else:
        parts += (bytes_head(len(data)), data)
    parts += (b"\x00" if acl == OPEN_ACL else dump(acl), integer(request.kind), integer(request.ttl_ms))
    parts.append(b"\xf5" if request.parents else b"\xf4")


def _decode_create(item: list[Any]) -> Create:
    try:
        _, path, data, acl, kind, ttl_ms, parents = item
    except ValueError:
        raise _unfit("Create") from None
    if (
        type(path) is str
        and (type(data) is bytes or data is None)
        and type(kind) is type(ttl_ms) is int
        and type(parents) is bool
    ):
        return Create(path, data, acl_or_none(acl), kind, ttl_ms, parents)
    raise _unfit("Create")


def _creates(columns: list[list[Any]]) -> Iterable[Create] | None:
    paths, data, acls, *others = columns
    return None if any(acls) else map(Create, paths, data, repeat(OPEN_ACL), *others)


def _encode_delete(request: Delete, parts: Parts) -> None:
    path = request.path.encode()
    parts += (text_head(len(path)), path, integer(request.version))


def _decode_delete(item: list[Any]) -> Delete:
    try:
        _, path, version = item
    except ValueError:
        raise _unfit("Delete") from None
    if type(path) is str and type(version) is int:
        return Delete(path, version)
    raise _unfit("Delete")


def _unfit(name: str) -> CodecError:
    return CodecError(f"the fields of a {name} are not as many, or not of the types, as it is declared with")


# ---- a multi, whose requests are rows themselves


def _encode_multi(request: Multi, parts: Parts) -> None:
    assert Multi not in map(type, request.requests), "a multi inside a multi cannot be written to the log"
    parts.append(b"\x82\x06")
    _encode_writes(request.requests, parts)


def _decode_multi(item: list[Any]) -> Multi:
    if len(item) != 2 or type(item[1]) is not list:
        raise _unfit("Multi")
    requests = _writes(item[1])
    if Multi in map(type, requests):
        raise CodecError("a multi stands inside a multi")
    return Multi(requests)


# ---- all others, by their shape

Encode: TypeAlias = Callable[[Any, Parts], None]
Decode: TypeAlias = Callable[[list[Any]], Write]
Build: TypeAlias = Callable[[list[list[Any]]], Iterable[Write] | None]


def _in_an_array(cls: type[Write]) -> Encode:
    number, types, fields, _ = ALIKE[cls]
    head = array_head(1 + len(types)) + integer(number)

    def encode(request: Write, parts: Parts) -> None:
        parts.append(head)
        fields(request, parts)

    return encode


def _by_shape(number: int, cls: type[Write]) -> tuple[Encode, Decode]:
    shape: Shape[Write] = Shape(cls)

    def encode(request: Write, parts: Parts) -> None:
        parts.append(dump([number, *shape.fields_of(request)]))

    def decode(item: list[Any]) -> Write:
        return shape.build(item[1:])

    return encode, decode


ROWS: dict[int, type[Write]] = {
    1: Create,
    2: Delete,
    3: SetData,
    4: SetAcl,
    5: CheckVersion,
    6: Multi,
    7: DeleteContainer,
    8: CloseSession,
    9: CreateSession,
    10: AttachSession,
    11: ReapNode,
    12: RegisterServer,
    13: DeleteTree,
    14: CheckExists,
    15: CheckCreated,
    16: CheckData,
}
"""One row a write. A number once given is never given to another: logs and peers of other versions know it."""

ALIKE: dict[type[Write], tuple[int, list[type], Encode, Build]] = {
    Create: (1, [str, bytes, int, int, int, bool], _encode_create, _creates),
    Delete: (2, [str, int], _encode_delete, lambda columns: map(Delete, *columns)),
    SetData: (3, [str, bytes, int], _encode_set_data, lambda columns: map(SetData, *columns)),
}
"""Those that stand in one array if they are alone: row number, the types that their fields nearly always have, how
the fields of one are written, and how many are made of the columns of their fields (None: one by one, by the row)."""

BY_HAND: dict[type[Write], tuple[Encode, Decode]] = {
    Create: (_in_an_array(Create), _decode_create),
    Delete: (_in_an_array(Delete), _decode_delete),
    SetData: (_in_an_array(SetData), _decode_set_data),
    Multi: (_encode_multi, _decode_multi),
}

_CODECS = {number: BY_HAND.get(cls) or _by_shape(number, cls) for number, cls in ROWS.items()}
ENCODERS: dict[type[Write], Encode] = {cls: _CODECS[number][0] for number, cls in ROWS.items()}
DECODERS: dict[int, Decode] = {number: codec[1] for number, codec in _CODECS.items()}
