"""A number that tells two states apart: 64 bits, kept up to date write by write.

Every znode adds one term to the digest, its *mark* times a weighted sum of its fields, all modulo 2**64. The mark is
odd and comes from the path, so that a difference in any one field always changes the term, and the same values under
other paths count differently. Because the sum is linear, a write adds only what it changed: the difference of a field
times the field's weight times the mark. Nothing of Python's own hash() is in it: the digest is stored in snapshots and
compared between servers that may run other versions.

It finds divergence by accident (a defect, rotten memory), not forgery.
"""

from functools import lru_cache
from zlib import crc32

from coord.model.acl import OPEN_ACL, Acl

MASK = (1 << 64) - 1

# Weights of the fields: odd, below 2**30 (one digit of a Python integer: a product is cheap), otherwise arbitrary.
BORN_ZXID = 0x2545F491  # of czxid; mzxid and pzxid count as differences from it
BORN_TIME = 0x165667B1  # of ctime; mtime counts as the difference from it
MZXID = 0x1B873593
PZXID = 0x27D4EB2F
MTIME = 0x3C6EF373
VERSION = 0x1E3779B9
CREATIONS = 0x21F0AAAD
AVERSION = 0x335A2D97
OWNER = 0x0BDC3D29
LIFETIME = 0x38B34AE5
DATA = 0x2C1B3C6D
ACL = 0x297A2D39
APPLIED = 0x2F9BE6CD  # of how many numbered writes a session has had; and of the zxids whose replies are kept for it
KEPT_ZXID = 0x1F123BB5
EXISTS = 0x1B56C4E9  # added to every term, through the ACL's number

_SPREAD = 0x9E3779B97F4A7C15
_MARK_BITS = (1 << 60) - 1  # two digits of a Python integer: 32 bytes a znode and not 48
NULL_DATA = DATA << 32  # beside every crc: null data is not empty data


def mark_of(path: str) -> int:
    """The multiplier of the znode at `path`."""
    return crc32(path.encode()) * _SPREAD & _MARK_BITS | 1


def data_number(data: bytes | None) -> int:
    """What a znode's data add to its sum."""
    return NULL_DATA if data is None else DATA * crc32(data)


@lru_cache(maxsize=4096)
def _acl_number(acl: Acl) -> int:
    text = "\n".join(f"{perms} {scheme}:{identifier}" for perms, scheme, identifier in acl)
    return EXISTS + ACL * crc32(text.encode())


OPEN_NUMBER = _acl_number(OPEN_ACL)


def acl_number(acl: Acl) -> int:
    """What a znode's ACL adds to its sum."""
    return OPEN_NUMBER if acl is OPEN_ACL else _acl_number(acl)


def session_mark(session: int) -> int:
    """The multiplier of all that belongs to one session."""
    return (session * _SPREAD ^ _SPREAD) & MASK | 1


def session_term(session: int, password: bytes, timeout_ms: int, owner: int) -> int:
    """The term of one session."""
    return session_mark(session) * (EXISTS + OWNER * owner + MTIME * timeout_ms + DATA * crc32(password)) & MASK
