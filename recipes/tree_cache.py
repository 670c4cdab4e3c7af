"""A copy of a subtree in this process, which equals the servers' tree at a known place in the log.

One recursive watch tells what has changed; the values are read, many at once. A read may show more than the events so
far have told. So what was read waits aside until the events have caught up with it, and only then becomes the copy:
each `zxid` that the copy shows was once the state of the whole subtree, transactions and all.

After a lost connection the servers tell what was missed. If they do not remember so far back, all is read anew.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio

import coord
from recipes.inside import Block, Signal, beside, check_path, name_of, parent_of

READ_AT_ONCE = 500
"""Values that are asked for in one pipeline."""


@dataclass(frozen=True, slots=True)
class CachedNode:
    """A znode as it was at the copy's zxid. What `Stat` tells of children is not here: the copy has the children."""

    value: bytes
    czxid: int
    mzxid: int
    version: int
    ephemeral_owner: int


class TreeCache(Block):
    """`async with TreeCache(client, "/config") as cache: cache["/config/a"].value`.

    Paths are those of the client. When the block is entered everything has been read. Looking takes no time and asks
    nobody; what it shows is the state of the whole subtree at `cache.zxid`, a moment behind the servers. `sync` brings
    it up to date, `wait_change` waits for news. While one znode is written again faster than it can be read the copy
    stays at the last place it could be sure of.

    A path need not exist. Znodes that this client may not read are not in the copy. The end of the session ends the
    block with SessionLostError; a subtree above `znodes_max` with TooLargeError.
    """

    def __init__(
        self, client: coord.Client, path: str, *, depth: int | None = None, znodes_max: int = 1_000_000
    ) -> None:
        self.client = client
        self.path = path if path == "/" else check_path(path)
        if depth is not None and (type(depth) is not int or depth < 0):
            raise ValueError(f"the depth of a tree cache is 0 (the znode alone) or more, not {depth!r}")
        self.depth = depth
        self.znodes_max = znodes_max
        self.zxid = 0
        """The place in the log whose state the copy shows."""
        self.full_reads = 0
        """How often everything was read: once, and again whenever the servers did not remember what was missed."""
        self._nodes: dict[str, CachedNode] = {}
        self._names: dict[str, set[str]] = {}  # children by parent
        self._staged: dict[str, CachedNode | None] = {}  # read, and not yet shown; None: deleted
        self._ahead = 0  # nothing in the copy and aside shows more than this zxid
        self._missing: set[str] = set()  # read as deleted, of which the event is still to come
        self._received: list[coord.Event] = []
        self._events: coord.Watch | None = None
        self._lock = anyio.Lock()
        self._shown = Signal()

    def __repr__(self) -> str:
        return f"<TreeCache of {self.path}, {len(self._nodes)} znodes at {self.zxid:#x}>"

    # ---- looking

    def __getitem__(self, path: str) -> CachedNode:
        node = self._nodes.get(path)
        if node is None:
            raise KeyError(f"there is no {path} in the copy of {self.path} at zxid {self.zxid:#x}")
        return node

    def get(self, path: str) -> CachedNode | None:
        return self._nodes.get(path)

    def __contains__(self, path: object) -> bool:
        return path in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def children(self, path: str) -> list[str]:
        """The names of a znode's children, sorted; none if there is no such znode."""
        return sorted(self._names.get(path, ()))

    def values(self) -> dict[str, bytes]:
        """Every path with its value, as it stands now, as a dict of the caller's own."""
        return {path: node.value for path, node in self._nodes.items()}

    # ---- waiting

    async def wait_change(self, zxid: int | None = None) -> int:
        """Until the copy shows a later place than `zxid` (than now); which. Places where nothing happened count too."""
        self._need_open()
        seen = self.zxid if zxid is None else zxid
        await anyio.lowlevel.checkpoint()
        while self.zxid <= seen:
            await self._shown.wait()
        return self.zxid

    async def sync(self) -> int:
        """Until the copy shows all that anyone was told before now; its zxid."""
        self._need_open()
        await self.client.exists(self.path, linearizable=True)
        wanted = self.client.session.seen_zxid
        async with self._lock:
            if self.zxid < wanted and self._events is not None:
                with suppress(coord.WatchWindowLostError):  # the keeper of the copy finds it too, and reads all
                    await self._catch_up(self._events)
        while self.zxid < wanted:
            await self._shown.wait()
        return self.zxid

    # ---- keeping

    @asynccontextmanager
    async def _inside(self) -> AsyncIterator[None]:
        ready = anyio.Event()

        async def keep() -> None:
            while True:
                try:
                    await self._keep(ready)
                except coord.WatchWindowLostError:
                    continue

        async with beside(keep):
            await ready.wait()
            yield

    async def _keep(self, ready: anyio.Event) -> None:
        """One watch, from a full read until its window is lost."""
        async with self.client.watch(self.path, recursive=True, depth=self.depth) as events:
            async with self._lock:
                self._events = events
                await self._read_all()
                await self._catch_up(events)
            ready.set()
            try:
                async for event in events:
                    self._received.append(event)
                    async with self._lock:
                        await self._catch_up(events)
            finally:
                self._events = None

    async def _catch_up(self, events: coord.Watch) -> None:
        """Show the latest place of which everything is known: for sure that is what an answer has confirmed."""
        confirmed = False
        while True:
            taken, zxid = events.take()
            received, self._received = self._received, []
            changed = self._note([*received, *taken])
            if confirmed and not changed and self._is_complete(zxid):
                self._show(zxid)
                return
            if changed:
                await self._read(changed)
            else:
                await self.client.exists(self.path)
            if confirmed and self._is_complete(zxid):
                self._show(zxid)
            confirmed = True

    def _is_complete(self, zxid: int) -> bool:
        return not self._missing and self._ahead <= zxid

    def _note(self, events: Iterable[coord.Event]) -> list[str]:
        """Take events in; the paths that have to be read because of them."""
        changed: dict[str, None] = {}
        for event in events:
            path, node = event.path, self._known(event.path)
            if event.kind is coord.EventKind.DELETED:
                self._missing.discard(path)
                changed.pop(path, None)
                if node is not None and node.czxid <= event.zxid:  # else it is a later one of this name
                    self._staged[path] = None
            elif node is None or node.mzxid < event.zxid:
                changed[path] = None
        return list(changed)

    def _known(self, path: str) -> CachedNode | None:
        return self._staged[path] if path in self._staged else self._nodes.get(path)

    def _show(self, zxid: int) -> None:
        for path, node in self._staged.items():
            if node is not None:
                self._nodes[path] = node
                if path != "/":
                    self._names.setdefault(parent_of(path), set()).add(name_of(path))
            elif self._nodes.pop(path, None) is not None and path != "/":
                names = self._names[parent_of(path)]
                names.discard(name_of(path))
                if not names:
                    del self._names[parent_of(path)]
        self._staged.clear()
        if len(self._nodes) > self.znodes_max:
            raise coord.TooLargeError(
                f"there are {len(self._nodes)} znodes at {self.path}, and znodes_max = {self.znodes_max}: "
                "give the cache a higher limit, or a smaller depth"
            )
        if zxid > self.zxid:
            self.zxid = zxid
            self._shown.give()

    # ---- reading

    async def _read(self, paths: list[str]) -> None:
        for first in range(0, len(paths), READ_AT_ONCE):
            some = paths[first : first + READ_AT_ONCE]
            async with self.client.pipeline(keep_errors=True) as pipe:
                outcomes = [pipe.get(path) for path in some]
            for path, outcome in zip(some, outcomes, strict=True):
                try:
                    value, stat = outcome.result()
                except coord.NoNodeError:
                    self._staged[path] = None
                    self._missing.add(path)
                except coord.NoAuthError:
                    self._staged[path] = None
                else:
                    self._stage(path, value, stat)

    def _stage(self, path: str, value: bytes, stat: coord.Stat) -> None:
        self._staged[path] = CachedNode(value, stat.czxid, stat.mzxid, stat.version, stat.ephemeral_owner)
        self._ahead = max(self._ahead, stat.mzxid)

    async def _read_all(self) -> None:
        """Every znode, a page of children at a time. What changes meanwhile is told by the watch, armed before."""
        self._received.clear()
        self._missing.clear()
        self._staged = dict.fromkeys(self._nodes)
        self.full_reads += 1
        level, depth = await self._read_root(), 0
        while level and (self.depth is None or depth < self.depth):
            below: list[str] = []
            for parent in level:
                try:
                    async for child in self.client.each_child(parent, data=True):
                        path = f"{parent.rstrip('/')}/{child.name}"
                        if child.stat is not None:
                            self._stage(path, child.data or b"", child.stat)
                            if child.stat.children_count:
                                below.append(path)
                except coord.NoNodeError:
                    self._missing.add(parent)
                except coord.NoAuthError:
                    pass
            level, depth = below, depth + 1
        self._ahead = max(self._ahead, self.client.session.seen_zxid)  # what was not there was not there by then

    async def _read_root(self) -> list[str]:
        try:
            value, stat = await self.client.get(self.path)
        except (coord.NoNodeError, coord.NoAuthError):
            return []
        self._stage(self.path, value, stat)
        return [self.path] if stat.children_count else []
