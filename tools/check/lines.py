"""Histories as files: one JSON object a line, so that a crash costs the last line and any tool can read them.

An object's "is" names its class in tools/check/history.py or coord/model, the other members are its fields; a field
that has its usual value may be left out. Bytes are text in which each character is one byte (Latin-1), a stat is an
object or, if the client was not told it, null; an error is its number.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import TracebackType, UnionType
from typing import Any, Self, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from coord.model.errors import ERRORS, CoordError
from coord.model.replies import Event, Failed, Reply, Stat
from coord.model.requests import Request
from tools.check.history import RECORDS, STAT_FIELDS, UNTOLD, HistoryError, Record, StatSeen

Reader: TypeAlias = Callable[[Any], Any]


class HistoryFile:
    """A file that records are appended to as they come: `Recorder(keep=file.keep)`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def keep(self, record: Record) -> None:
        self._file.write(line_of(record) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def write_history(path: Path, records: Iterable[Record]) -> None:
    with HistoryFile(path) as file:
        for record in records:
            file.keep(record)


def read_history(path: Path) -> Iterator[Record]:
    """The records of a file, one after the other; raises HistoryError, which names the line, for anything else."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield record_of(line)
                    except HistoryError as error:
                        raise HistoryError(f"{path}, line {number}: {error}") from None
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise HistoryError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from None


def line_of(record: Record) -> str:
    return json.dumps(_plain(record), separators=(",", ":"))


def record_of(line: str) -> Record:
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise HistoryError(f"not a JSON object: {error}") from None
    return cast(Record, _tagged(_RECORDS)(found))


# ---- values to plain things


def _plain(value: object) -> object:
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, CoordError):
        return value.code
    if isinstance(value, StatSeen):
        return None if value == UNTOLD else {name: getattr(value, name) for name in STAT_FIELDS}
    named = fields(cast(Any, value))
    return {"is": type(value).__name__, **{field.name: _plain(getattr(value, field.name)) for field in named}}


# ---- plain things to values


def _exactly(kind: type, name: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise HistoryError(f"here should be {name}, and is {_short(value)}")
        return value

    return read


def _bytes(value: Any) -> bytes:
    try:
        return cast(bytes, _exactly(str, "text")(value).encode("latin-1"))
    except UnicodeEncodeError:
        raise HistoryError(f"{_short(value)} is no bytes: it has a character above U+00FF") from None


def _stat(value: Any) -> StatSeen:
    if value is None:
        return UNTOLD
    if type(value) is not dict or set(value) != set(STAT_FIELDS):
        raise HistoryError(f"a stat has the members {', '.join(STAT_FIELDS)}, and here is {_short(value)}")
    return StatSeen(*[_INTEGER(value[name]) for name in STAT_FIELDS])


def _error(value: Any) -> CoordError:
    code = _INTEGER(value)
    error = ERRORS.get(code, CoordError)(f"error {code}")
    if error.code != code:
        raise HistoryError(f"there is no error {code}")
    return error


def _optional(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _many(read: Reader) -> Reader:
    return lambda value: tuple([read(each) for each in _LIST(value)])


def _together(reads: Sequence[Reader]) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if len(_LIST(value)) != len(reads):
            raise HistoryError(f"here should be {len(reads)} things, and are {len(value)}: {_short(value)}")
        return tuple([read(each) for read, each in zip(reads, value, strict=True)])

    return read


def _tagged(classes: dict[str, type]) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not dict or type(value.get("is")) is not str:
            raise HistoryError(f'here should be an object with the member "is", and is {_short(value)}')
        name = value["is"]
        cls = classes.get(name)
        if cls is None:
            raise HistoryError(f"{name!r} is not known here; one of {', '.join(sorted(classes))} could stand here")
        known = _shape(cls)
        unknown = sorted(set(value) - set(known) - {"is"})
        if unknown:
            raise HistoryError(f"{name} has no field {unknown[0]!r}; its fields are {', '.join(known)}")
        given: dict[str, Any] = {}
        for field, (reader, required) in known.items():
            if field in value:
                given[field] = reader(value[field])
            elif required:
                raise HistoryError(f"{name} needs the field {field!r}")
        return cls(**given)

    return read


def _shape(cls: type) -> dict[str, tuple[Reader, bool]]:
    """Reader of each field, and whether it must be there."""
    shape = _shapes.get(cls)
    if shape is None:
        hints = get_type_hints(cls)
        shape = {field.name: (_reader(hints[field.name]), field.default is MISSING) for field in fields(cls)}
        _shapes[cls] = shape
    return shape


def _reader(hint: Any) -> Reader:
    if hint in _READERS:
        return _READERS[hint]
    arguments = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        if type(None) in arguments:
            rest = [each for each in arguments if each is not type(None)]
            assert len(rest) == 1, f"a field may be one thing or nothing, not {hint}"
            return _optional(_reader(rest[0]))
        return _tagged({cls.__name__: cls for cls in arguments})
    if get_origin(hint) is tuple and Ellipsis not in arguments:
        return _together([_reader(each) for each in arguments])
    if arguments:
        return _many(_reader(arguments[0]))
    return _tagged({hint.__name__: hint})


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_INTEGER = _exactly(int, "an integer")
_LIST = _exactly(list, "a list")
_shapes: dict[type, dict[str, tuple[Reader, bool]]] = {}
_RECORDS = {cls.__name__: cls for cls in RECORDS}
_READERS: dict[Any, Reader] = {
    int: _INTEGER,
    bool: _exactly(bool, "true or false"),
    str: _exactly(str, "text"),
    bytes: _bytes,
    Stat: _stat,
    CoordError: _error,
    Request: _tagged({cls.__name__: cls for cls in get_args(Request)}),
    Reply: _tagged({cls.__name__: cls for cls in get_args(Reply)}),
    Event: _tagged({"Event": Event}),
    Failed: _tagged({"Failed": Failed}),
}
"""Readers by the declared type of a field; all others are put together from these."""
