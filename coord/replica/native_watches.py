"""The watches of coord's own protocol: each has its client's number, its kinds and its depth, and stands until removed.

A watch on one znode hears of that znode, and of its children as CHILDREN_CHANGED of the znode; a recursive one hears of
the znode and all below it, each under its own path. Whether the watcher may read is looked at when it is to be told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from coord.model.acl import Acl
from coord.model.paths import parent_of
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Change
from coord.replica.limits import WATCH_COSTS_BYTES

KINDS = 1 << NODE_CREATED | 1 << NODE_DELETED | 1 << DATA_CHANGED | 1 << CHILDREN_CHANGED
_CHILDREN = 1 << CHILDREN_CHANGED


@dataclass(slots=True, eq=False)
class NativeWatch:
    """One watch; `watcher` is whatever hashes by identity: a connection's pipeline."""

    watcher: object
    id: int
    path: str
    recursive: bool
    kinds: int  # bits 1 << kind
    depth_max: int  # below the path; -1: any


Told: TypeAlias = tuple[NativeWatch, int, str, Acl]
"""A watch, and of what it is to be told: kind, path, and the ACL that must let it read."""


class NativeWatches:
    """All of them on one server."""

    __slots__ = ("_bytes", "_recursive", "by_path", "by_watcher")

    def __init__(self) -> None:
        self.by_path: dict[str, dict[NativeWatch, None]] = {}  # never replaced: who fires looks whether it is empty
        self.by_watcher: dict[object, dict[int, NativeWatch]] = {}
        self._bytes: dict[object, int] = {}
        self._recursive = 0  # while it is 0 no ancestor has to be looked up

    def add(self, watch: NativeWatch) -> bool:
        """False if its watcher has one with this number already."""
        own = self.by_watcher.setdefault(watch.watcher, {})
        if watch.id in own:
            return False
        own[watch.id] = watch
        self.by_path.setdefault(watch.path, {})[watch] = None
        self._bytes[watch.watcher] = self._bytes.get(watch.watcher, 0) + len(watch.path) + WATCH_COSTS_BYTES
        self._recursive += watch.recursive
        return True

    def remove(self, watcher: object, id: int) -> bool:
        """False if there was none."""
        own = self.by_watcher.get(watcher, {})
        watch = own.pop(id, None)
        if watch is None:
            return False
        if not own:
            del self.by_watcher[watcher]
        self._bytes[watcher] -= len(watch.path) + WATCH_COSTS_BYTES
        self._drop(watch)
        return True

    def forget(self, watcher: object) -> None:
        """The connection is gone, and its watches with it."""
        self._bytes.pop(watcher, None)
        for watch in self.by_watcher.pop(watcher, {}).values():
            self._drop(watch)

    def _drop(self, watch: NativeWatch) -> None:
        at = self.by_path[watch.path]
        del at[watch]
        if not at:
            del self.by_path[watch.path]
        self._recursive -= watch.recursive

    def bytes_of(self, watcher: object) -> int:
        """What the watcher's watches take in memory, about."""
        return self._bytes.get(watcher, 0)

    def fire(self, change: Change) -> list[Told]:
        """Who is to be told of `change`."""
        kind, path, acl = change.kind, change.path, change.acl
        by_path, bit = self.by_path, 1 << kind
        told: list[Told] = [(watch, kind, path, acl) for watch in by_path.get(path, ()) if watch.kinds & bit]
        if path == "/":
            return told
        parent = parent_of(path)
        if kind != DATA_CHANGED:
            for watch in by_path.get(parent, ()):
                if not watch.recursive and watch.kinds & _CHILDREN:
                    told.append((watch, CHILDREN_CHANGED, parent, change.parent_acl))
        if self._recursive:
            for depth, ancestor in enumerate(_ancestors(path), 1):
                for watch in by_path.get(ancestor, ()):
                    if watch.recursive and watch.kinds & bit and (watch.depth_max < 0 or depth <= watch.depth_max):
                        told.append((watch, kind, path, acl))
        return told

    # ---- what the four-letter words show

    @property
    def count(self) -> int:
        return sum(map(len, self.by_watcher.values()))


def told_of(watch: NativeWatch, change: Change) -> tuple[int, str, Acl] | None:
    """What this one watch is to be told of `change`, by the same rules: (kind, path, the ACL that must let it read)."""
    kind, path = change.kind, change.path
    if path == watch.path:
        return (kind, path, change.acl) if watch.kinds & 1 << kind else None
    if not watch.recursive:
        of_child = kind != DATA_CHANGED and watch.kinds & _CHILDREN and parent_of(path) == watch.path
        return (CHILDREN_CHANGED, watch.path, change.parent_acl) if of_child else None
    root = watch.path if watch.path == "/" else watch.path + "/"
    if not path.startswith(root) or not watch.kinds & 1 << kind:
        return None
    if watch.depth_max >= 0 and path.count("/", len(root)) + 1 > watch.depth_max:
        return None
    return kind, path, change.acl


def _ancestors(path: str) -> Iterator[str]:
    """All that are above `path`, the root last."""
    while path != "/":
        path = parent_of(path)
        yield path
