"""How a message class stands in CBOR: its fields in the order of declaration, each checked by its declared type.

The declaration is the only description: a class gets its shape from its annotations, once, at import. A
value that does not fit its annotation raises CodecError. An access control list that lets anyone do
anything, as nearly all do, is written as 0.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, TypeAlias, TypeVar, cast, get_type_hints

from coord.codec.errors import CodecError
from coord.model.acl import OPEN_ACL, Acl, AclEntry, Identity
from coord.model.entries import COUNTER_BITS

T = TypeVar("T")
Check: TypeAlias = Callable[[object], object]
"""Takes what CBOR held, gives what the model wants; raises CodecError."""
Write: TypeAlias = Callable[[Any], object]
"""Takes the model's value, gives what CBOR is to hold."""

INTEGER_MIN, INTEGER_MAX = -(1 << 64), (1 << 64) - 1
"""What CBOR says without a tag. Tags being refused, no decoded integer lies outside."""


EPOCH_MAX = (1 << 63 - COUNTER_BITS) - 1000


class Shape(Generic[T]):
    """Values of `cls` <-> lists of plain things."""

    __slots__ = ("checks", "cls", "names", "writes")

    def __init__(
        self,
        cls: type[T],
        also: dict[object, tuple[Check, Write]] | None = None,
        by_name: dict[str, Check] | None = None,
    ) -> None:
        """`also` has rows for types that only the caller knows, `by_name` narrower checks of single fields."""
        table = CHECKS | (also or {})
        hints = get_type_hints(cls)
        self.cls = cls
        self.names = [field.name for field in fields(cast(Any, cls))]
        self.checks = [(by_name or {}).get(name, table[hints[name]][0]) for name in self.names]
        self.writes = [table[hints[name]][1] for name in self.names]

    def fields_of(self, value: T) -> list[object]:
        return [write(getattr(value, name)) for name, write in zip(self.names, self.writes, strict=True)]

    def build(self, values: list[object]) -> T:
        if len(values) != len(self.checks):
            raise CodecError(f"{self.cls.__name__} has {len(self.checks)} fields, and here are {len(values)}")
        return self.cls(*[check(value) for check, value in zip(self.checks, values, strict=True)])


def integer(value: object) -> int:
    if type(value) is not int:
        raise _wrong("an integer", value)
    return value


def position(value: object) -> int:
    """A number between servers: a zxid, a count, an identity. None is negative, and none has a 64th bit."""
    number = integer(value)
    if not 0 <= number < 1 << 63:
        raise CodecError(f"{number} is not a number that servers tell each other; those have 63 bits")
    return number


def epoch(value: object) -> int:
    """Of as many epochs as zxids have room for, the last thousand are left to the servers' own counting."""
    number = position(value)
    if number > EPOCH_MAX:
        raise CodecError(f"{number} is no epoch; they go up to {EPOCH_MAX}")
    return number


def boolean(value: object) -> bool:
    if type(value) is not bool:
        raise _wrong("true or false", value)
    return value


def text(value: object) -> str:
    if type(value) is not str:
        raise _wrong("text", value)
    return value


def raw(value: object) -> bytes:
    if type(value) is not bytes:
        raise _wrong("bytes", value)
    return value


def raw_or_none(value: object) -> bytes | None:
    return None if value is None else raw(value)


def array(value: object) -> list[object]:
    if type(value) is not list:
        raise _wrong("a list", value)
    return value


def acl_or_none(value: object) -> Acl | None:
    if value == 0 and type(value) is int:
        return OPEN_ACL
    if value is None:
        return None
    acl = tuple([_acl_entry(entry) for entry in array(value)])
    return OPEN_ACL if acl == OPEN_ACL else acl


def write_acl(acl: Acl | None) -> object:
    return 0 if acl == OPEN_ACL else acl


def identity(value: object) -> Identity:
    pair = array(value)
    if len(pair) != 2:
        raise CodecError(f"an identity is a scheme and an id, and here are {len(pair)} things")
    return text(pair[0]), text(pair[1])


def integers(value: object) -> tuple[int, ...]:
    return tuple([integer(item) for item in array(value)])


def pairs(value: object) -> tuple[tuple[int, int], ...]:
    return tuple([_pair(item) for item in array(value)])


def position_pairs(value: object) -> tuple[tuple[int, int], ...]:
    return tuple([(position(one), position(other)) for one, other in pairs(value)])


def _pair(value: object) -> tuple[int, int]:
    pair = integers(value)
    if len(pair) != 2:
        raise CodecError(f"here should be two integers, and are {len(pair)}")
    return pair[0], pair[1]


def _acl_entry(value: object) -> AclEntry:
    entry = array(value)
    if len(entry) != 3:
        raise CodecError(f"an ACL entry is permissions, scheme and id, and here are {len(entry)} things")
    return integer(entry[0]), text(entry[1]), text(entry[2])


def _wrong(expected: str, value: object) -> CodecError:
    return CodecError(f"here should be {expected}, and is a {type(value).__name__}")


def write_integer(value: int) -> int:
    assert INTEGER_MIN <= value <= INTEGER_MAX, f"the integer {value} does not fit 64 bits, and cannot be encoded"
    return value


def _as_it_is(value: object) -> object:
    return value


CHECKS: dict[object, tuple[Check, Write]] = {
    int: (integer, write_integer),
    bool: (boolean, _as_it_is),
    str: (text, _as_it_is),
    bytes: (raw, _as_it_is),
    bytes | None: (raw_or_none, _as_it_is),
    Acl | None: (acl_or_none, write_acl),
    tuple[int, ...]: (integers, _as_it_is),
    tuple[tuple[int, int], ...]: (pairs, _as_it_is),
}
"""One row a type that a message's field may have."""
