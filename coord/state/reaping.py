"""Which containers and TTL znodes are due to be deleted: an index, so that nobody has to search the tree.

A container goes when it has had children and has none now, or has had none for a given time since it was last
written. A TTL znode goes when it is childless and was not written for longer than its time to live. The index is
derived from the tree; the machine only lists what is due, the leader proposes to delete it.
"""

from sortedcontainers import SortedList

from coord.model.stat import CONTAINER_LIFETIME
from coord.state.znode import Znode


class Reaping:
    """Childless znodes that can be due: kept in step by the tree, with one call for each change of such a znode."""

    __slots__ = ("_emptied", "_expiring", "_places", "_unused")

    def __init__(self) -> None:
        self._emptied: dict[str, None] = {}  # containers that had children
        self._unused = SortedList()  # (last written, path) of containers that never had any
        self._expiring = SortedList()  # (end of life, path) of TTL znodes
        self._places: dict[str, tuple[SortedList, tuple[int, str]]] = {}  # where a path stands in the two lists

    def update(self, path: str, znode: Znode | None) -> None:
        """`znode`, a container or TTL znode, is now what `path` holds; None: nothing."""
        self._emptied.pop(path, None)
        place = self._places.pop(path, None)
        if place is not None:
            place[0].remove(place[1])
        if znode is None or znode.children:
            return
        if znode.lifetime_ms != CONTAINER_LIFETIME:
            self._put(self._expiring, znode.mtime + znode.lifetime_ms, path)
        elif znode.creations:
            self._emptied[path] = None
        else:
            self._put(self._unused, znode.mtime, path)

    def _put(self, listed: SortedList, when_ms: int, path: str) -> None:
        listed.add((when_ms, path))
        self._places[path] = listed, (when_ms, path)

    def due(self, now_ms: int, never_used_ms: int, limit: int) -> list[str]:
        """At most `limit` paths. `never_used_ms` 0 keeps containers for ever that were never used."""
        paths = list(self._emptied)[:limit]
        if never_used_ms > 0:
            paths += _before(self._unused, now_ms - never_used_ms, limit - len(paths))
        return paths + _before(self._expiring, now_ms, limit - len(paths))


def _before(listed: SortedList, when_ms: int, limit: int) -> list[str]:
    """The first `limit` paths whose time is before `when_ms`."""
    if limit <= 0:
        return []
    return [path for _, path in listed.islice(0, min(limit, listed.bisect_left((when_ms, ""))))]
