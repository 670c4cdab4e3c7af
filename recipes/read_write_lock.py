"""A lock that many may hold to read, or one to write.

- A writer's body runs alone. Readers' bodies run beside each other.
- Fair: a reader waits for the writers that came before it, a writer for all that came before it; nobody overtakes, so
  neither kind starves the other.
- A writer may become a reader without letting another writer in between (`await held.downgrade()`). A reader cannot
  become a writer: two that tried would wait for each other for ever.
- Loss, tokens, guards and what is left behind: as with `Lock`.

A downgraded writer's znode is known by its version: nobody else ever sets the data of a place.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import coord
from recipes.errors import LockLost, MisuseError
from recipes.holding import USES, Held, body, check_margin
from recipes.inside import check_contender, check_timeout
from recipes.place import COORD, Entry, Place, Places, acquire

KINDS = {"coord": ("read", "write"), "kazoo": ("rlock", "lock")}


class HeldToWrite(Held):
    """A lock held to write."""

    def __init__(self, client: coord.Client, place: Place, name: str, margin: float | None, layout: str) -> None:
        super().__init__(client, place.path, place.token, name, margin)
        self._value = place.value
        self._layout = layout

    async def downgrade(self) -> None:
        """Hold it to read from now on: the readers behind this one are let in, up to the next writer.

        Raises LockLost if it was not held any more.
        """
        if self._layout != COORD:
            raise MisuseError(f"{self.path}: a process with kazoo would not notice a downgrade; use coord's layout")
        try:
            async with self._client.transaction(guard=self) as txn:
                txn.set(self.path, self._value)
        except (coord.NoNodeError, coord.BadVersionError) as error:
            raise LockLost(f"{self.path} is held no more: {error}") from error


class ReadWriteLock:
    """`async with lock.read() as held: ...` and `async with lock.write() as held: ...`

    Options as those of `Lock`. Any number of tasks may use one object.
    """

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        name: str = "",
        timeout: float | None = None,
        margin: float | None = None,
        confirm: bool = True,
        layout: str = COORD,
    ) -> None:
        self._places = Places(client, path, KINDS.get(layout, ()), layout)
        self.client = client
        self.path = path
        self.name = check_contender(path, name)
        self._timeout = check_timeout(path, timeout)
        self._margin = check_margin(client, path, margin)
        self._confirm = confirm
        self._read, self._write = KINDS[layout]

    def __repr__(self) -> str:
        return f"<ReadWriteLock {self.path}>"

    async def contenders(self) -> list[str]:
        """The names of the holders and of those who wait, in order."""
        return await self._places.contenders()

    def read(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[Held]:
        """To read. `timeout`: another one than the lock's."""
        return self._hold_to_read(self._timeout if timeout is None else check_timeout(self.path, timeout))

    def write(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[HeldToWrite]:
        """To write. `timeout`: another one than the lock's."""
        return self._hold_to_write(self._timeout if timeout is None else check_timeout(self.path, timeout))

    @asynccontextmanager
    async def _hold_to_read(self, timeout_s: float | None) -> AsyncIterator[Held]:
        kinds = (coord.EventKind.CHANGED,)

        async def look(place: Place) -> Entry | None:
            return await place.among_all(self._writer_ahead)

        with USES.use(self.client, self.path, "reading"):
            place = await acquire(self._places, self._read, self.name, timeout_s, look=look, kinds=kinds)
            try:
                held = Held(self.client, place.path, place.token, self.name, self._margin)
                held.check()
                async with body(held):
                    yield held
            finally:
                await place.leave(confirm=self._confirm)

    @asynccontextmanager
    async def _hold_to_write(self, timeout_s: float | None) -> AsyncIterator[HeldToWrite]:
        with USES.use(self.client, self.path, "writing"):
            place = await acquire(self._places, self._write, self.name, timeout_s)
            try:
                held = HeldToWrite(self.client, place, self.name, self._margin, self._places.layout)
                held.check()
                async with body(held):
                    yield held
            finally:
                await place.leave(confirm=self._confirm)

    def _writer_ahead(self, ahead: Sequence[Entry], own: Entry) -> Entry | None:
        """The nearest writer before it that has not become a reader."""
        for entry in reversed(ahead):
            if entry.kind == self._write and not entry.stat.version:
                return entry
        return None
