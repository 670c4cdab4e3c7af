"""One znode of the tree."""

from collections.abc import Callable
from operator import attrgetter
from typing import Final, TypeAlias
from zlib import crc32

from coord.model.acl import OPEN_ACL, Acl
from coord.model.stat import Shown, Stat
from coord.state.digest import (
    AVERSION,
    BORN_TIME,
    BORN_ZXID,
    CREATIONS,
    DATA,
    LIFETIME,
    MASK,
    MTIME,
    MZXID,
    NULL_DATA,
    OPEN_NUMBER,
    OWNER,
    PZXID,
    VERSION,
    acl_number,
)

INT32_MAX: Final = (1 << 31) - 1

Image: TypeAlias = tuple[bytes | None, Acl, int, int, int, int, int, int, int, int, int, int]
"""A znode's fields at one moment, in the order of `Znode.image`."""


def int32(number: int) -> int:
    """`number` as ZooKeeper's 32-bit counters would hold it."""
    return (number + (1 << 31) & (1 << 32) - 1) - (1 << 31)


def next_version(version: int) -> int:
    """One more, in 32 bits; -1 is left out, since it means 'any' in a request."""
    return version + 1 if -2 != version != INT32_MAX else 0 if version == -2 else int32(version + 1)


class Znode:
    """Mutable, and small: there may be a million. It serves as its own Stat.

    Only the tree changes one, so that digest, indexes and snapshots stay in step.
    """

    __slots__ = (
        "acl",
        "aversion",
        "children",
        "creations",
        "ctime",
        "czxid",
        "data",
        "ephemeral_owner",
        "lifetime_ms",
        "mark",
        "mtime",
        "mzxid",
        "pzxid",
        "seen",
        "version",
    )

    data: bytes | None
    acl: Acl
    czxid: int
    mzxid: int
    pzxid: int
    ctime: int
    mtime: int
    version: int
    creations: int  # children ever made, the next sequence number: ZooKeeper's cversion as it is stored
    aversion: int
    ephemeral_owner: int  # a session, or 0
    lifetime_ms: int  # 0, CONTAINER_LIFETIME, or a TTL
    children: dict[str, None] | None  # their paths, the very strings of the tree, in order; None: it has none
    mark: int  # of its path, see digest.py
    seen: int  # the last snapshot walk that needs nothing more of it

    def __init__(
        self, data: bytes | None, acl: Acl, zxid: int, time_ms: int, owner: int, lifetime_ms: int, mark: int
    ) -> None:
        self.data = data
        self.acl = acl
        self.czxid = self.mzxid = self.pzxid = zxid
        self.ctime = self.mtime = time_ms
        self.version = self.creations = self.aversion = self.seen = 0
        self.ephemeral_owner = owner
        self.lifetime_ms = lifetime_ms
        self.children = None
        self.mark = mark

    @property
    def cversion(self) -> int:
        """Creations and deletions of children, as clients see it."""
        shown = 2 * self.creations - (len(self.children) if self.children else 0)
        return shown if -INT32_MAX <= shown <= INT32_MAX else int32(shown)

    @property
    def data_length(self) -> int:
        return len(self.data) if self.data else 0

    @property
    def children_count(self) -> int:
        return len(self.children) if self.children else 0

    def term(self) -> int:
        """The znode's part of the digest: its mark times the weighted sum of its fields.

        Written as what a znode has from its birth, and what most have not: a leaf costs half of the whole.
        """
        zxid, data, acl = self.czxid, self.data, self.acl
        total = BORN_ZXID * zxid + BORN_TIME * self.ctime
        total += NULL_DATA if data is None else DATA * crc32(data)  # data_number, without its call
        total += OPEN_NUMBER if acl is OPEN_ACL else acl_number(acl)
        if self.version or self.mzxid != zxid or self.mtime != self.ctime:
            total += MZXID * (self.mzxid - zxid) + MTIME * (self.mtime - self.ctime) + VERSION * self.version
        if self.creations or self.pzxid != zxid:
            total += PZXID * (self.pzxid - zxid) + CREATIONS * self.creations
        if self.ephemeral_owner or self.lifetime_ms or self.aversion:
            total += OWNER * self.ephemeral_owner + LIFETIME * self.lifetime_ms + AVERSION * self.aversion
        return self.mark * total & MASK

    def image(self) -> Image:
        """All that a snapshot must know: children and mark follow from the paths."""
        return image_of(self)

    def shown(self) -> Shown:
        """The stat's fields but the lifetime. It does not ask the properties: that would take half as long again."""
        data, children = self.data, len(self.children) if self.children else 0
        cversion = 2 * self.creations - children
        return (
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            cversion if -INT32_MAX <= cversion <= INT32_MAX else int32(cversion),
            self.aversion,
            self.ephemeral_owner,
            len(data) if data else 0,
            children,
            self.pzxid,
        )

    def frozen(self) -> Stat:
        """A copy of the stat, which stays what it is now."""
        return Stat(*self.shown(), self.lifetime_ms)

    def __repr__(self) -> str:
        return (
            f"<Znode {self.data_length} bytes, version {self.version}, {self.children_count} children, "
            f"made at zxid {self.czxid:#x}>"
        )


image_of: Final[Callable[[Znode], Image]] = attrgetter(
    "data",
    "acl",
    "czxid",
    "mzxid",
    "pzxid",
    "ctime",
    "mtime",
    "version",
    "creations",
    "aversion",
    "ephemeral_owner",
    "lifetime_ms",
)
"""`Znode.image`, for who wants many of them: by C code alone."""
