"""Who is there: each member is an ephemeral znode, which goes with its session.

In coord's layout the znode is `<path>/<name>` and its data are the member's value. In kazoo's (`layout="kazoo"`, its
Party) it is `<path>/<id>__party__` with the name as data, and there is no value.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

import anyio
import anyio.lowlevel

import coord
from recipes.claim import claim, ensure_container, release
from recipes.errors import MisuseError
from recipes.holding import Held, body, check_margin
from recipes.inside import Block, OneTask, check_name, check_path
from recipes.place import COORD, KAZOO, LAYOUTS, unique_id, wait_gone
from recipes.tree_cache import TreeCache

PARTY = "__party__"


@dataclass(frozen=True, slots=True)
class Member:
    """One who is there, as it was read."""

    name: str
    value: bytes
    token: int
    """The zxid of its joining: smaller is older."""
    session: int


class Membership(Held):
    """What `group.join()` gives. `client.transaction(guard=membership)` writes only while it is a member."""

    async def set(self, value: bytes) -> None:
        """Give the member another value."""
        async with self._client.transaction(guard=self) as txn:
            txn.set(self.path, value)


class Group:
    """`group = Group(client, "/workers")`, then `async with group.join(b"host:port"): ...`.

    Whoever is in the block is a member, others see it, and it leaves with the block, or with the session. The body is
    cancelled and LockLost raised when the membership is lost or cannot be proved any more.
    """

    def __init__(self, client: coord.Client, path: str, *, layout: str = COORD) -> None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout is one of {', '.join(map(repr, LAYOUTS))}, not {layout!r}")
        self.client = client
        self.path = check_path(path)
        self.layout = layout

    def __repr__(self) -> str:
        return f"<Group {self.path}, {self.layout}'s layout>"

    @asynccontextmanager
    async def join(
        self, value: bytes = b"", *, name: str | None = None, wait: bool = False, margin: float | None = None
    ) -> AsyncIterator[Membership]:
        """Be a member within the block.

        `name`: one that nobody else has; without it one is made up. If it is taken MisuseError is raised; with `wait`
        until its session has ended, as after a restart. `margin`: seconds before the session's deadline at which the
        body is cancelled.
        """
        check_margin(self.client, self.path, margin)
        id = unique_id(self.client)
        name = id if name is None else check_name(name, "the name of a member")
        if self.layout == KAZOO:
            if value:
                raise ValueError("a member in kazoo's layout has a name and no value")
            path, value = f"{self.path}/{id}{PARTY}", name.encode()
        else:
            path = f"{self.path}/{name}"
        token = await self._claim(path, name, value, wait)
        try:
            membership = Membership(self.client, path, token, name, margin)
            membership.check()
            async with body(membership):
                yield membership
        finally:
            await release(self.client, path, token)

    async def _claim(self, path: str, name: str, value: bytes, wait: bool) -> int:
        while True:
            try:
                return await claim(self.client, path, value)
            except coord.NodeExistsError:
                stat = await self.client.exists(path)
                if stat is not None and (not wait or stat.ephemeral_owner == self.client.session.id):
                    raise MisuseError(
                        f"{name!r} is a member of {self.path} already, of session {stat.ephemeral_owner:#x}: "
                        "take another name, or join with wait=True if it is an earlier life of this program"
                    ) from None
                await wait_gone(self.client, path, stat)

    async def members(self) -> list[Member]:
        """Those who are there, the oldest first, as this client's server knows it."""
        found = []
        with suppress(coord.NoNodeError):
            async for child in self.client.each_child(self.path, data=True):
                if child.stat is not None:
                    member = self._member(child.name, child.data or b"", child.stat.czxid, child.stat.ephemeral_owner)
                    if member is not None:
                        found.append(member)
        return sorted(found, key=lambda each: each.token)

    def watch(self) -> "Members":
        """The members at any moment, and each change: `async with group.watch() as view: async for members in view`."""
        return Members(self)

    def _member(self, node: str, value: bytes, token: int, session: int) -> Member | None:
        if not session:
            return None  # somebody has put it there by hand
        if self.layout == KAZOO:
            return Member(value.decode(errors="replace"), b"", token, session) if PARTY in node else None
        return Member(node, value, token, session)


class Members(Block):
    """A group as it is seen. Iterating gives the members now, and again whenever they have changed.

    One task iterates. Who iterates slowly is not told what has come and gone in between. `members` asks nobody: it is
    the state at `zxid`. The end of the session ends the block with SessionLostError.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._cache = TreeCache(group.client, group.path, depth=1)
        self._told: list[Member] | None = None
        self._iterating = OneTask()

    def __repr__(self) -> str:
        return f"<Members of {self._group.path}>"

    @property
    def zxid(self) -> int:
        return self._cache.zxid

    @property
    def members(self) -> list[Member]:
        """The oldest first."""
        cache, path = self._cache, self._group.path
        found = []
        for name in cache.children(path):
            node = cache[f"{path}/{name}"]
            member = self._group._member(name, node.value, node.czxid, node.ephemeral_owner)
            if member is not None:
                found.append(member)
        return sorted(found, key=lambda each: each.token)

    async def sync(self) -> list[Member]:
        """The members as of now, and not a moment before."""
        await self._cache.sync()
        return self.members

    async def wait_change(self, zxid: int) -> int:
        """Until the state is that of a later place than `zxid`; which."""
        self._need_open()
        return await self._cache.wait_change(zxid)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Member]:
        self._need_open()
        with self._iterating:
            await anyio.lowlevel.checkpoint()
            zxid = self._cache.zxid
            while self._told is not None and self.members == self._told:
                zxid = await self._cache.wait_change(zxid)
            self._told = self.members
            return list(self._told)

    @asynccontextmanager
    async def _inside(self) -> AsyncIterator[None]:
        await ensure_container(self._group.client, self._group.path)
        async with self._cache:
            yield
