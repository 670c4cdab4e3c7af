"""The znodes, in one dict by path, and everything that is derived from them.

The machine decides, the tree does: four primitives (insert, remove, write, set_acl) change znodes, and each keeps in
step the digest, the sessions' ephemerals, the parents' children, the quotas' numbers, the index of what is due to be
reaped, and a snapshot that is being walked. All of them are given the values that result, so a multi takes back what it
did by calling the opposite one with the values of before.

In `nodes` a parent always stands before its children, and siblings stand as in their parent's `children`: whoever
rebuilds a tree in this order gets the same listings.
"""

from collections.abc import Sequence
from typing import TypeAlias
from zlib import crc32

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL, Acl
from coord.model.requests import SetData
from coord.state.digest import (
    AVERSION,
    CREATIONS,
    DATA,
    MASK,
    MTIME,
    MZXID,
    PZXID,
    VERSION,
    acl_number,
    data_number,
    mark_of,
)
from coord.state.quota import LIMITS_NAME, QUOTA_ROOT, Quota, covering, parse_limits, quota_node, stats_path
from coord.state.reaping import Reaping
from coord.state.sessions import Sessions
from coord.state.znode import Image, Znode, next_version

SPECIAL_PATHS = ("/", "/zookeeper", QUOTA_ROOT, "/zookeeper/config")
"""Made at the start, never deleted."""

_QUOTA_FOLDER = QUOTA_ROOT + "/"
_QUOTA_FOLDER_LENGTH = len(_QUOTA_FOLDER)

_Written: TypeAlias = tuple[bytes | None, int, int, int]
"""What `write` replaced: data, version, mzxid, mtime."""


class Tree:
    """Znodes by path.

    What writes of data add to the digest is put off until somebody asks for it, as a replica does once a batch: the
    checksums of old and new data cost more than all else in a set, and what a batch writes most it writes many times.
    """

    __slots__ = (
        "_bytes",
        "_digest",
        "_written",
        "ephemerals",
        "generation",
        "nodes",
        "notices",
        "quotas",
        "reaping",
        "saved",
        "sessions",
    )

    def __init__(self, sessions: Sessions, notices: list[str]) -> None:
        self.nodes: dict[str, Znode] = {}
        self.sessions = sessions
        self.notices = notices  # for the operator
        self._digest = 0
        self._bytes = 0
        self._written: dict[Znode, _Written] = {}  # since `_digest` and `_bytes` were summed up; as it was then
        self.ephemerals = 0  # how many there are, of all sessions
        self.quotas: dict[str, Quota] = {}  # by the path they are on
        self.reaping = Reaping()
        self.saved: dict[str, Image] | None = None  # while a snapshot is walked: what changed before it got there
        self.generation = 0  # counts the walks

    @classmethod
    def fresh(cls, sessions: Sessions, notices: list[str]) -> "Tree":
        """A tree with nothing but the reserved znodes."""
        tree = cls(sessions, notices)
        for path in SPECIAL_PATHS:
            acl = READ_ONLY_ACL if path == "/zookeeper/config" else OPEN_ACL
            tree.restore([path], [Znode(b"", acl, 0, 0, 0, 0, mark_of(path))])
        return tree

    @property
    def digest(self) -> int:
        """The sum of all znodes' terms."""
        if self._written:
            self._settle()
        return self._digest

    @property
    def size_bytes(self) -> int:
        """Of all paths and data."""
        if self._written:
            self._settle()
        return self._bytes

    # ---- primitives

    def insert(self, path: str, parent_path: str, znode: Znode, pzxid: int, creations: int) -> None:
        """Put `znode` at `path`, which is free; its parent's fields become `pzxid` and `creations`."""
        nodes = self.nodes
        parent = nodes[parent_path]
        if self.saved is not None:
            self._save(parent_path, parent)
            znode.seen = self.generation
        nodes[path] = znode
        if parent.children is None:
            parent.children = {path: None}
        else:
            parent.children[path] = None
        change = PZXID * (pzxid - parent.pzxid) + CREATIONS * (creations - parent.creations)
        self._digest = self._digest + znode.term() + parent.mark * change & MASK
        parent.pzxid = pzxid
        parent.creations = creations
        size = len(znode.data) if znode.data else 0
        self._bytes += len(path) + size
        if znode.ephemeral_owner:
            self.sessions[znode.ephemeral_owner].ephemerals[path] = None
            self.ephemerals += 1
        if znode.lifetime_ms:
            self.reaping.update(path, znode)
        if parent.lifetime_ms:
            self.reaping.update(parent_path, parent)
        if self.quotas:
            self._count(path, 1, size)
        if path[:_QUOTA_FOLDER_LENGTH] == _QUOTA_FOLDER:
            self._quota_changed(path)

    def remove(self, path: str, parent_path: str, znode: Znode, pzxid: int, creations: int) -> None:
        """Take the childless `znode` from `path`; its parent's fields become `pzxid` and `creations`."""
        nodes = self.nodes
        parent = nodes[parent_path]
        if self.saved is not None:
            self._save(parent_path, parent)
            self._save(path, znode)
        children = parent.children
        assert children is not None, "the parent of a znode has children"
        del nodes[path], children[path]
        if not children:
            parent.children = None
        change = PZXID * (pzxid - parent.pzxid) + CREATIONS * (creations - parent.creations)
        self._digest = self._digest - znode.term() + parent.mark * change & MASK
        parent.pzxid = pzxid
        parent.creations = creations
        size = len(znode.data) if znode.data else 0
        self._bytes -= len(path) + size
        if znode.ephemeral_owner:
            del self.sessions[znode.ephemeral_owner].ephemerals[path]
            self.ephemerals -= 1
        if znode.lifetime_ms:
            self.reaping.update(path, None)
        if parent.lifetime_ms:
            self.reaping.update(parent_path, parent)
        if self.quotas:
            self._count(path, -1, -size)
        if path[:_QUOTA_FOLDER_LENGTH] == _QUOTA_FOLDER:
            self._quota_changed(path)

    def write(self, path: str, znode: Znode, data: bytes | None, version: int, mzxid: int, mtime: int) -> None:
        """Give `znode`, which is at `path`, these data, version, zxid and time."""
        if self.saved is not None:
            self._save(path, znode)
        before = znode.data
        if znode not in self._written:
            self._written[znode] = before, znode.version, znode.mzxid, znode.mtime
        znode.data = data
        znode.version = version
        znode.mzxid = mzxid
        znode.mtime = mtime
        if znode.lifetime_ms:
            self.reaping.update(path, znode)
        if self.quotas and (growth := len(data or b"") - len(before or b"")):
            self._count(path, 0, growth)
        if path[:_QUOTA_FOLDER_LENGTH] == _QUOTA_FOLDER:
            self._quota_changed(path)

    def write_all(self, sets: Sequence[SetData], znodes: Sequence[Znode], mzxid: int, mtime: int) -> None:
        """Do each of `sets` to its znode, while there are no quotas: `write`, without a call for each."""
        assert not self.quotas, "what is below a quota is written one by one"
        written, saved = self._written, self.saved
        for request, znode in zip(sets, znodes, strict=True):
            if saved is not None:
                self._save(request.path, znode)
            if znode not in written:
                written[znode] = znode.data, znode.version, znode.mzxid, znode.mtime
            znode.data = request.data
            znode.version = next_version(znode.version)
            znode.mzxid = mzxid
            znode.mtime = mtime
            if znode.lifetime_ms:
                self.reaping.update(request.path, znode)

    def set_acl(self, path: str, znode: Znode, acl: Acl, aversion: int) -> None:
        """Give `znode`, which is at `path`, this list and aversion."""
        if self.saved is not None:
            self._save(path, znode)
        change = AVERSION * (aversion - znode.aversion) + acl_number(acl) - acl_number(znode.acl)
        self._digest = self._digest + znode.mark * change & MASK
        znode.acl = acl
        znode.aversion = aversion

    def restore(self, paths: Sequence[str], znodes: Sequence[Znode]) -> None:
        """Put znodes with all their fields back: parents before their children, the root first of all.

        ValueError: one is there already, or its parent is not; then the tree is of no more use.
        """
        nodes = self.nodes
        for path, znode in zip(paths, znodes, strict=True):
            if path in nodes:
                raise ValueError(f"{path!r} is put back twice")
            if path != "/":
                parent = nodes.get(path[: path.rfind("/")] or "/") if path[:1] == "/" else None
                if parent is None:
                    raise ValueError(f"{path!r} is put back without its parent")
                children = parent.children
                if children is None:
                    parent.children = {path: None}
                else:
                    children[path] = None
            nodes[path] = znode
            if znode.ephemeral_owner:
                self.sessions[znode.ephemeral_owner].ephemerals[path] = None
                self.ephemerals += 1
        self._digest = self._digest + sum(map(Znode.term, znodes)) & MASK
        self._bytes += sum(map(len, paths)) + sum([len(znode.data) for znode in znodes if znode.data])

    def index(self) -> None:
        """After the last `restore`: find the quotas and what is to be reaped."""
        for path, znode in self.nodes.items():
            if znode.lifetime_ms:
                self.reaping.update(path, znode)
        for path in [path for path in self.nodes if path.startswith(_QUOTA_FOLDER)]:
            self._quota_changed(path)

    # ---- reading

    def descendants(self, path: str) -> int:
        """How many znodes are below `path`, which exists."""
        if path == "/":
            return len(self.nodes) - 1
        return self._measure(path)[0] - 1

    def _measure(self, path: str) -> tuple[int, int]:
        """Znodes and bytes of data of the subtree at `path`, itself included."""
        count = size = 0
        waiting = [path] if path in self.nodes else []
        while waiting:
            path = waiting.pop()
            znode = self.nodes[path]
            count += 1
            size += len(znode.data or b"")
            if znode.children is not None:
                waiting += znode.children
        return count, size

    # ---- what is derived

    def _settle(self) -> None:
        """Add to the digest and to the bytes what was written since they were last asked for."""
        change = growth = 0
        for znode, (data, version, mzxid, mtime) in self._written.items():
            now = znode.data
            sum_ = MZXID * (znode.mzxid - mzxid) + MTIME * (znode.mtime - mtime) + VERSION * (znode.version - version)
            if data is not None and now is not None:
                sum_ += DATA * (crc32(now) - crc32(data))
                growth += len(now) - len(data)
            else:
                sum_ += data_number(now) - data_number(data)
                growth += len(now or b"") - len(data or b"")
            change += znode.mark * sum_
        self._written.clear()
        self._digest = self._digest + change & MASK
        self._bytes += growth

    def _save(self, path: str, znode: Znode) -> None:
        """Keep what `znode` was when the walk began, unless the walk has been there or it is younger."""
        if znode.seen != self.generation:
            assert self.saved is not None, "only a walk wants old images"
            self.saved[path] = znode.image()
            znode.seen = self.generation

    def _count(self, path: str, count: int, size: int) -> None:
        for quota in covering(self.quotas, path):
            quota.add(count, size, self.notices)
            self._show(quota)

    def _quota_changed(self, path: str) -> None:
        """A znode below /zookeeper/quota came, went, or was written."""
        found = quota_node(path)
        if found is None:
            return
        prefix, name = found
        znode = self.nodes.get(path)
        if name == LIMITS_NAME:
            if znode is None:
                self.quotas.pop(prefix, None)
            elif prefix in self.quotas:
                self.quotas[prefix].limits = parse_limits(znode.data)
            else:
                self.quotas[prefix] = Quota(prefix, parse_limits(znode.data), *self._measure(prefix))
        if prefix in self.quotas:
            self._show(self.quotas[prefix])

    def _show(self, quota: Quota) -> None:
        """Put the quota's numbers into its zookeeper_stats, if there is one."""
        path = stats_path(quota.prefix)
        znode = self.nodes.get(path)
        if znode is None:
            return
        data = quota.shown()
        if data == znode.data:
            return
        if self.saved is not None:
            self._save(path, znode)
        self._written.setdefault(znode, (znode.data, znode.version, znode.mzxid, znode.mtime))
        znode.data = data
