"""Who wants to hear of which path. Volatile: a watch lives with its connection, never in the log.

The rules are ZooKeeper's (DataTree, WatchManager): two tables, one of data and one of children; a watcher stands once a
path and table with its modes as bit flags, so it hears of one change once.
"""

from collections.abc import Iterator, KeysView

from coord.model.acl import Acl
from coord.model.paths import parent_of
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_DELETED, Change
from coord.replica.limits import WATCH_COSTS_BYTES

ONE_SHOT, PERSISTENT, RECURSIVE = 1, 2, 4

# What a client may ask about or remove, by ZooKeeper's WatcherType.
CHILDREN_WATCH, DATA_WATCH, ANY_WATCH, PERSISTENT_WATCH, RECURSIVE_WATCH = 1, 2, 3, 4, 5

_ALL_MODES = ONE_SHOT | PERSISTENT | RECURSIVE


class Table:
    """path -> watcher -> modes, and the same turned round so that a watcher can leave."""

    __slots__ = ("_by_watcher", "_bytes", "by_path", "count")

    def __init__(self) -> None:
        self.by_path: dict[str, dict[object, int]] = {}
        self._by_watcher: dict[object, dict[str, None]] = {}
        self._bytes: dict[object, int] = {}  # that each watcher's entries take, about
        self.count = 0  # of entries

    def add(self, path: str, watcher: object, mode: int) -> None:
        watchers = self.by_path.setdefault(path, {})
        had = watchers.get(watcher, 0)
        watchers[watcher] = had | mode
        if not had:
            self._by_watcher.setdefault(watcher, {})[path] = None
            self._bytes[watcher] = self._bytes.get(watcher, 0) + len(path) + WATCH_COSTS_BYTES
            self.count += 1

    def bytes_of(self, watcher: object) -> int:
        """What its entries take, about."""
        return self._bytes.get(watcher, 0)

    def modes(self, path: str, watcher: object) -> int:
        return self.by_path.get(path, {}).get(watcher, 0)

    def remove(self, path: str, watcher: object, modes: int) -> int:
        """Take these modes away; those that were there."""
        watchers = self.by_path.get(path)
        had = watchers.get(watcher, 0) if watchers is not None else 0
        if watchers is None or not had & modes:
            return 0
        if had & ~modes:
            watchers[watcher] = had & ~modes
        else:
            self._drop(path, watchers, watcher)
        return had & modes

    def fire(self, path: str, modes: int) -> list[object]:
        """Those who watch `path` in one of `modes`; one-shot watches are used up by it."""
        watchers = self.by_path.get(path)
        if watchers is None:
            return []
        told = [watcher for watcher, mode in watchers.items() if mode & modes]
        for watcher in told:
            left = watchers[watcher] & ~(ONE_SHOT & modes)
            if left:
                watchers[watcher] = left
            else:
                self._drop(path, watchers, watcher)
        return told

    def forget(self, watcher: object) -> int:
        """The watcher is gone; how many of its entries were recursive."""
        recursive = 0
        self._bytes.pop(watcher, None)
        paths = self._by_watcher.pop(watcher, {})
        self.count -= len(paths)
        for path in paths:
            watchers = self.by_path[path]
            recursive += bool(watchers.pop(watcher) & RECURSIVE)
            if not watchers:
                del self.by_path[path]
        return recursive

    def _drop(self, path: str, watchers: dict[object, int], watcher: object) -> None:
        del watchers[watcher]
        if not watchers:
            del self.by_path[path]
        paths = self._by_watcher[watcher]
        del paths[path]
        self._bytes[watcher] -= len(path) + WATCH_COSTS_BYTES
        self.count -= 1
        if not paths:
            del self._by_watcher[watcher], self._bytes[watcher]

    @property
    def watchers(self) -> KeysView[object]:
        return self._by_watcher.keys()

    def items(self) -> Iterator[tuple[str, list[object]]]:
        for path, watchers in self.by_path.items():
            yield path, list(watchers)


class Watches:
    """All watches of one server. A watcher is whatever hashes by identity: a connection's pipeline."""

    __slots__ = ("_children", "_data", "_recursive", "tables")

    def __init__(self) -> None:
        self._data = Table()  # getData, exists, persistent, recursive
        self._children = Table()  # getChildren, persistent
        self._recursive = 0  # while it is 0 no ancestor has to be looked up
        # Never replaced, so that whoever fires can see at no cost that nobody watches anything.
        self.tables = (self._data.by_path, self._children.by_path)

    def watch_data(self, path: str, watcher: object) -> None:
        self._data.add(path, watcher, ONE_SHOT)

    def watch_children(self, path: str, watcher: object) -> None:
        self._children.add(path, watcher, ONE_SHOT)

    def watch_persistently(self, path: str, watcher: object, recursive: bool) -> None:
        if not recursive:
            self._data.add(path, watcher, PERSISTENT)
            self._children.add(path, watcher, PERSISTENT)
        else:
            self._recursive += not self._data.modes(path, watcher) & RECURSIVE
            self._data.add(path, watcher, RECURSIVE)

    def has(self, path: str, watcher: object, kind: int) -> bool:
        data, children = self._data.modes(path, watcher), self._children.modes(path, watcher)
        in_data, in_children = _KINDS[kind]
        return bool(data & in_data or children & in_children)

    def remove(self, path: str, watcher: object, kind: int) -> bool:
        """Remove the watcher's watches of this kind; False if there were none."""
        in_data, in_children = _KINDS[kind]
        from_data = self._data.remove(path, watcher, in_data)
        self._recursive -= bool(from_data & RECURSIVE)
        return bool(from_data) | bool(self._children.remove(path, watcher, in_children))

    def bytes_of(self, watcher: object) -> int:
        """What the watcher's watches take in memory, about."""
        return self._data.bytes_of(watcher) + self._children.bytes_of(watcher)

    def forget(self, watcher: object) -> None:
        """The connection is gone, and its watches with it."""
        self._recursive -= self._data.forget(watcher)
        self._children.forget(watcher)

    def fire(self, change: Change) -> list[tuple[object, int, str, Acl]]:
        """Who is to be told of `change`: (watcher, kind of event, path, the ACL that must let it read)."""
        kind, path, acl = change.kind, change.path, change.acl
        told = dict.fromkeys(self._data.fire(path, _ALL_MODES))
        if self._recursive:
            for ancestor in _ancestors(path):
                told.update(dict.fromkeys(self._data.fire(ancestor, RECURSIVE)))
        if kind == DATA_CHANGED:
            return [(watcher, DATA_CHANGED, path, acl) for watcher in told]
        if kind == NODE_DELETED:
            told.update(dict.fromkeys(self._children.fire(path, _ALL_MODES)))
        events = [(watcher, kind, path, acl) for watcher in told]
        if path != "/":
            parent = parent_of(path)
            for watcher in self._children.fire(parent, _ALL_MODES):
                events.append((watcher, CHILDREN_CHANGED, parent, change.parent_acl))
        return events

    # ---- what the four-letter words show

    @property
    def count(self) -> int:
        return self._data.count + self._children.count

    @property
    def paths(self) -> set[str]:
        return self._data.by_path.keys() | self._children.by_path.keys()

    @property
    def watcher_count(self) -> int:
        return len(self._data.watchers | self._children.watchers)

    def by_path(self) -> dict[str, list[object]]:
        listing: dict[str, dict[object, None]] = {}
        for table in (self._data, self._children):
            for path, watchers in table.items():
                listing.setdefault(path, {}).update(dict.fromkeys(watchers))
        return {path: list(watchers) for path, watchers in listing.items()}


def _ancestors(path: str) -> Iterator[str]:
    """All that are above `path`, the root last."""
    while path != "/":
        path = parent_of(path)
        yield path


_KINDS = {  # WatcherType -> (modes in the data table, modes in the children table)
    CHILDREN_WATCH: (0, ONE_SHOT),
    DATA_WATCH: (ONE_SHOT, 0),
    ANY_WATCH: (_ALL_MODES, _ALL_MODES),
    PERSISTENT_WATCH: (PERSISTENT, PERSISTENT),
    RECURSIVE_WATCH: (RECURSIVE, 0),
}
WATCH_KINDS = frozenset(_KINDS)
