"""The client: what can be asked of the servers, as methods. Made by `connect` (connecting.py).

What holds for every method that asks something:

- While the session lives no call fails because a connection does: it waits, is sent again on the next one, and is
  answered once. A write is done exactly once. SessionLostError is raised when the session ends, CallTimeoutError
  after `call_timeout` without an answer; after either a write may have happened.
- A call can be cancelled wherever it waits, and others are not disturbed. If it was not sent yet it never is. If it
  was, it is done at most once, and its answer is dropped.
- NoNodeError, NoAuthError and so on say what the servers refused. Then nothing was done.
- Any number of tasks may call at the same time. Calls are sent, done and answered in the order in which they were made.
  One exception: a read that is linearizable, or has to be asked again on another connection, may show writes that
  this client made after it without waiting for it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from coord.client.calls import WatchFilter
from coord.client.events import EventKind
from coord.client.operations import PAGE_MAX, PAGE_OF_ALL, Child, Operation, Operations, Page, T
from coord.client.pipeline import Pipeline
from coord.client.quotas import Quota, Usage, limits_path, read_usage, stats_path, write_limits
from coord.client.runtime import Runtime
from coord.client.sessions import ClientSession
from coord.client.transaction import Guard, Transaction
from coord.client.watching import Watch, kinds_mask
from coord.model.acl import Acl, AclEntry, Identity
from coord.model.errors import BadArgumentsError, NodeExistsError, NoNodeError, TooLargeError
from coord.model.message import message
from coord.model.requests import AtLeast, Request, Sync
from coord.model.stat import Stat


@message
class ConnectedServer:
    """The server that serves a client at the moment."""

    id: int
    address: str


class Client:
    """A client with a session of its own. Get one by `async with coord.connect(...) as client`.

    While the session lives no call fails because a connection does, and each write is done exactly once. A call can be
    cancelled wherever it waits: what was not sent is never sent; what was is done at most once, its answer dropped, and
    the other calls go on. After SessionLostError or CallTimeoutError a write may have happened; after any other error
    nothing has. Any number of tasks may use one client.
    """

    def __init__(self, runtime: Runtime, namespace: str) -> None:
        self.session = ClientSession(runtime)
        """The session: its state, its deadline, and how to go on with it elsewhere."""
        self.namespace = namespace
        """What is put before every path, "" if nothing is."""
        self._runtime = runtime
        self._operations = runtime.operations

    def __repr__(self) -> str:
        server = self.server
        where = f"at {server.address}" if server else "not connected"
        return f"<Client {where}, session {self.session.id:#x} {self._runtime.session.state}>"

    @property
    def server(self) -> ConnectedServer | None:
        """Who serves this client now; None while nobody does."""
        address = self._runtime.connection.address
        return None if address is None else ConnectedServer(self._runtime.session.server, str(address))

    # ---- writes

    async def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequential: bool = False,
        container: bool = False, ttl: float | None = None, acl: Iterable[AclEntry] | None = None, parents: bool = False,
    ) -> str:  # fmt: skip
        """Make a znode; the path it got, which for a sequential one ends with a number.

        `ephemeral`: it ends with this session. `container`: it is deleted some time after its last child.
        `ttl`: seconds after which, unchanged and without children, it is deleted. `acl`: None lets anyone do anything.
        `parents`: make what is missing above it too, in the same step, with the same ACL.

        Raises NodeExistsError; NoNodeError if the parent is missing; NoChildrenForEphemeralsError; InvalidAclError.
        """
        return await self._runtime.run(
            self._operations.create(path, value, ephemeral, sequential, container, ttl, acl, parents)
        )

    async def set(self, path: str, value: bytes, version: int = -1) -> Stat:
        """Give a znode another value, if it still has this version (-1: any).

        Raises NoNodeError, and BadVersionError if somebody was faster.
        """
        return await self._runtime.run(self._operations.set(path, value, version))

    async def delete(self, path: str, version: int = -1, *, recursive: bool = False) -> None:
        """Delete a znode, if it still has this version (-1: any).

        `recursive`: with all that is below it, at once: nobody ever sees a part of it gone.

        Raises NoNodeError, BadVersionError; NotEmptyError if there are children; for a tree too large TooLargeError.
        """
        await self._runtime.run(self._operations.delete(path, version, recursive))

    async def set_acl(self, path: str, acl: Iterable[AclEntry], version: int = -1) -> Stat:
        """Replace who may do what with a znode, if `Stat.aversion` is still `version` (-1: any)."""
        return await self._runtime.run(self._operations.set_acl(path, acl, version))

    def transaction(self, guard: Guard | None = None) -> Transaction:
        """Several writes and checks, all or none: `async with client.transaction() as txn: txn.set(...)`.

        With a `guard`, such as a held lock, the servers do them only if the lock is still held.
        """
        return Transaction(self._runtime, guard)

    def pipeline(self, *, keep_errors: bool = False) -> Pipeline:
        """Many calls at once by one task: `async with client.pipeline() as pipe: pipe.set(...); pipe.set(...)`."""
        return Pipeline(self._runtime, keep_errors=keep_errors)

    # ---- reads: what the client's own server shows, unless told otherwise

    async def get(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> tuple[bytes, Stat]:
        """A znode's value and Stat. Raises NoNodeError.

        It is read where this client is connected: never older than what this session has seen before, perhaps a little
        behind others. `linearizable`: not older than anything anyone was told before the call, for a round trip
        among the servers. `at_least`: not older than this zxid, for example another client's `Stat.mzxid`.
        """
        return await self._read(self._operations.get(path), linearizable, at_least)

    async def exists(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> Stat | None:
        """A znode's Stat, None if there is no such znode."""
        try:
            return await self._read(self._operations.exists(path), linearizable, at_least)
        except NoNodeError:
            return None

    async def children(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> list[str]:
        """The names of a znode's children, in no particular order. Raises NoNodeError.

        Where there may be hundreds of thousands read pages (`each_child`): TooLargeError says that they are too many.
        """
        return await self._read(self._operations.children(path), linearizable, at_least)

    async def children_page(
        self, path: str, after: str = "", limit: int = PAGE_MAX, *, data: bool = False, linearizable: bool = False,
        at_least: int = 0,
    ) -> Page:  # fmt: skip
        """At most `limit` children with their Stats, and with their values if `data`, in the order of their names.

        Only those whose names come after `after`: so a million children can be read page by page, in one call each.
        """
        return await self._read(self._operations.children_page(path, after, limit, data), linearizable, at_least)

    async def each_child(self, path: str, *, data: bool = False, page: int = PAGE_OF_ALL) -> AsyncIterator[Child]:
        """All children as an async iterator, read in pages. What changes meanwhile may or may not be shown."""
        after, more = "", True
        while more:
            found = await page_of_all(self, path, after, page, data)
            for child in found.children:
                after = child.name
                yield child
            more = found.more

    async def get_acl(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> tuple[Acl, Stat]:
        """Who may do what with a znode, and its Stat. Raises NoNodeError."""
        return await self._read(self._operations.get_acl(path), linearizable, at_least)

    async def count_descendants(self, path: str) -> int:
        """How many znodes are below this one, at any depth."""
        return await self._runtime.run(self._operations.count_descendants(path))

    async def ephemerals(self, prefix: str = "/") -> list[str]:
        """Paths of this session's ephemeral znodes that begin with `prefix`."""
        return await self._runtime.run(self._operations.ephemerals(prefix))

    async def sync(self, path: str = "/") -> None:
        """Reads after this show all that anyone was told before it. The path has no meaning, as in ZooKeeper."""
        await self._runtime.run(self._operations.sync(path))

    # ---- watches

    def watch(
        self, path: str, *, recursive: bool = False, kinds: Iterable[EventKind] | None = None, depth: int | None = None,
        since: int | None = None,
    ) -> Watch:  # fmt: skip
        """Watch a znode, or with `recursive` all that is below it too; it need not exist. See `Watch`.

        `kinds`: only these kinds of events. `depth`: down to so many levels below the path. `since`: a zxid; what has
        happened after it is told first, or WatchWindowLostError raised if the servers do not remember so much.
        """
        depth_max = -1 if depth is None else depth
        if depth_max < -1 or (depth is not None and not recursive):
            raise BadArgumentsError(f"watch {path}: depth is a number from 0, for a recursive watch; not {depth!r}")
        filter = WatchFilter(self._operations.full(path), recursive, kinds_mask(kinds), depth_max)
        return Watch(self._runtime, filter, since or 0)

    # ---- who I am, and what others may take

    async def whoami(self) -> list[Identity]:
        """The identities of this client, as (scheme, id)."""
        return await self._runtime.run(self._operations.whoami())

    async def authenticate(self, scheme: str, credentials: bytes | str) -> None:
        """Be somebody more, such as ("digest", "ann:secret"); on later connections too. Raises AuthFailedError.

        What has to hold from the first moment is given to `coord.connect(..., auth=...)`.
        """
        secret = credentials.encode() if isinstance(credentials, str) else bytes(credentials)
        await self._runtime.run(self._operations.authenticate(scheme, secret))
        auth = self._runtime.session.auth
        if (scheme, secret) not in auth:
            auth.append((scheme, secret))

    async def get_quota(self, path: str) -> Usage | None:
        """The limits of the subtree at `path` and what it holds; None if it has no quota of its own."""
        full, whole = self._operations.full(path), Operations("")
        try:
            limits, _ = await self._runtime.run(whole.get(limits_path(full)))
            stats, _ = await self._runtime.run(whole.get(stats_path(full)))
        except NoNodeError:
            return None
        return read_usage(limits, stats)

    async def set_quota(self, path: str, quota: Quota | None) -> None:
        """Set or, with None, take away the limits of the subtree at `path`."""
        full, whole, run = self._operations.full(path), Operations(""), self._runtime.run
        where = limits_path(full)
        if quota is None:
            for each in (where, stats_path(full)):
                with suppress(NoNodeError):
                    await run(whole.delete(each, -1, False))
            return
        try:
            await run(whole.create(where, write_limits(quota), False, False, False, None, None, True))
        except NodeExistsError:
            await run(whole.set(where, write_limits(quota), -1))
        with suppress(NodeExistsError):
            await run(whole.create(stats_path(full), b"", False, False, False, None, None, False))

    # ---- helpers

    async def _read(self, operation: Operation[T], linearizable: bool, at_least: int) -> T:
        first: Request | None = None
        if linearizable:
            first = _SYNC
        elif at_least:
            first = AtLeast(at_least)
        return await self._runtime.run(operation, first)


async def page_of_all(client: Client, path: str, after: str, limit: int, data: bool) -> Page:
    """A page of at most so many children, of fewer if the server's reply_bytes_max is too small for them."""
    while True:
        try:
            return await client.children_page(path, after, limit, data=data)
        except TooLargeError:
            if limit == 1:
                raise
            limit = max(1, limit // 10)


_SYNC = Sync("/")
