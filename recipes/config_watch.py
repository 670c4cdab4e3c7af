"""A value that is configured in one znode and follows it: decoded once, and never a broken one.

If what was written cannot be decoded, the last good value stays, and `error` says why; the next good one replaces it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Self, TypeVar

import anyio
import anyio.lowlevel

import coord
from recipes.errors import RecipeError
from recipes.inside import Block, OneTask, Signal, beside, check_path

T = TypeVar("T")

_MISSING = object()


class ConfigWatch(Block, Generic[T]):
    """`async with ConfigWatch(client, "/config/db", json.loads) as config: config.value`.

    `default`: the value while there is no such znode; without one entering the block waits for the first good value. A
    znode that is deleted later leaves its last value. Iterating gives the value now and each later one; who iterates
    slowly gets the latest. One task iterates. The end of the session ends the block with SessionLostError.
    """

    def __init__(
        self, client: coord.Client, path: str, decode: Callable[[bytes], T], *, default: T | object = _MISSING
    ) -> None:
        self.client = client
        self.path = check_path(path)
        self.zxid = 0
        """Of the write that gave this value; 0 while it is the default."""
        self.version = -1
        """Of the znode when it had this value; -1 while it is the default."""
        self.error: RecipeError | None = None
        """Why what the znode holds now is not the value; None if it is."""
        self._decode = decode
        self._value: T | object = default
        self._read_zxid = 0
        self._changes = 0
        self._told = -1
        self._changed = Signal()
        self._iterating = OneTask()

    def __repr__(self) -> str:
        return f"<ConfigWatch of {self.path}, version {self.version}{', not decodable now' if self.error else ''}>"

    @property
    def value(self) -> T:
        """The last good value."""
        if self._value is _MISSING:
            raise RuntimeError(f"{self.path} has no value yet: use it inside `async with`, or give a default")
        return self._value  # type: ignore[return-value]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        self._need_open()
        with self._iterating:
            await anyio.lowlevel.checkpoint()
            while self._told == self._changes:
                await self._changed.wait()
            self._told = self._changes
            return self.value

    async def wait_checked(self, zxid: int) -> None:
        """Until what was written at this zxid has been looked at: then `value`, or `error`, is not older."""
        self._need_open()
        while self._read_zxid < zxid:
            await self._changed.wait()

    @asynccontextmanager
    async def _inside(self) -> AsyncIterator[None]:
        ready = anyio.Event()

        async def keep() -> None:
            while True:
                try:
                    async with self.client.watch(self.path) as events:
                        await self._read(events.zxid)
                        if self._value is not _MISSING:
                            ready.set()
                        async for event in events:
                            if event.kind is not coord.EventKind.CHILDREN and event.zxid > self._read_zxid:
                                await self._read(event.zxid)
                                if self._value is not _MISSING:
                                    ready.set()
                except coord.WatchWindowLostError:
                    continue

        async with beside(keep):
            await ready.wait()
            yield

    async def _read(self, zxid: int) -> None:
        """What the znode holds, which is not older than this zxid."""
        try:
            data, stat = await self.client.get(self.path)
        except coord.NoNodeError:
            self.error = RecipeError(f"there is no {self.path} now") if self.zxid else None
        except coord.NoAuthError as error:
            self.error = RecipeError(f"{self.path} may not be read by this client: {error}")
        else:
            zxid = max(zxid, stat.mzxid)
            try:
                value = self._decode(data)
            except Exception as error:
                self.error = RecipeError(f"{self.path} holds what cannot be decoded, version {stat.version}: {error}")
                self.error.__cause__ = error
            else:
                self.error = None
                if stat.mzxid != self.zxid:
                    self._value, self.zxid, self.version = value, stat.mzxid, stat.version
                    self._changes += 1
        self._read_zxid = max(self._read_zxid, zxid)
        self._changed.give()
