"""The same client for programs without async: scripts, Django, Celery, threads.

`with coord.connect_blocking("h1,h2,h3") as client:` runs an asynchronous client in a thread of its own (on Trio,
through AnyIO's portal: 175 us of processor time a call; on asyncio 240). Its methods are those of `coord.Client` and
mean the same; any number of threads may call them at once.

A client that is still open when the interpreter ends is closed then: later its thread could not run any more, and who
waited for it would wait for ever.

A process that was forked off has no such thread. There every call raises ForkedError, at once; a child connects for
itself.
"""

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from coord.client.calls import SessionState
from coord.client.client import Client, ConnectedServer, page_of_all
from coord.client.connecting import CLOSE_S, connect
from coord.client.events import Event, EventKind
from coord.client.operations import PAGE_MAX, PAGE_OF_ALL, Child, Page
from coord.client.pipeline import Outcome, Pipeline
from coord.client.quotas import Quota, Usage
from coord.client.saved import SavedSession
from coord.client.transaction import Guard, Transaction
from coord.client.watching import Watch
from coord.model.acl import Acl, AclEntry, Identity
from coord.model.errors import ClientClosedError, ForkedError
from coord.model.stat import Stat

T = TypeVar("T")


def connect_blocking(addresses: str | Iterable[str], **options: Any) -> "BlockingClient":
    """As `coord.connect`, with the same options, for a `with` block of a program without async."""
    return BlockingClient(partial(connect, addresses, **options))


class _Asked:
    """A function that runs in the client's thread for another one, which may give it up at any moment.

    A Ctrl-C may come when the function is on its way already and nothing is there yet by which to cancel it.
    """

    __slots__ = ("_given_up", "_portal", "_scope", "_through")

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self._scope: anyio.CancelScope | None = None
        self._given_up = self._through = False

    async def run(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        with anyio.CancelScope() as self._scope:
            if self._given_up:
                self._scope.cancel()
            try:
                return await function(*arguments)
            finally:
                self._through = True

    def give_up(self) -> None:
        self._given_up = True
        if self._scope is not None and not self._through:
            with suppress(RuntimeError):  # the thread has ended
                self._portal.start_task_soon(self._scope.cancel)


INTERRUPTED_WITHIN_S = 0.5
"""A waiting thread looks up so often: an interrupt that comes just before the system puts it to sleep wakes nobody."""


def _result(future: "Future[T]") -> T:
    while True:
        try:
            return future.result(INTERRUPTED_WITHIN_S)
        except TimeoutError:
            if future.done():  # it is the function's own, or it ended just now
                return future.result()


class BlockingClient:
    """Get one by `with coord.connect_blocking(...) as client`. Every method waits until it is answered."""

    def __init__(self, open_client: Callable[[], Any]) -> None:
        self._open_client = open_client
        self._thread: threading.Thread | None = None
        self._portal: BlockingPortal | None = None
        self._client: Client | None = None
        self._pid = os.getpid()
        self._failure: BaseException | None = None  # what ended the thread early

    def __repr__(self) -> str:
        return f"<BlockingClient of {self._client or 'nothing: it is entered with `with`'}>"

    # ---- the thread

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise ClientClosedError("a blocking client is entered once; make another with coord.connect_blocking(...)")
        self._pid = os.getpid()
        opened: Future[tuple[BlockingPortal, Client]] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="coord-client", daemon=True)
        self._thread.start()
        try:
            self._portal, self._client = opened.result()
        except BaseException:
            opened.cancel()
            raise
        atexit.register(self.__exit__, None, None, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.getpid() != self._pid or self._portal is None or self._thread is None:
            return  # in a child there is no thread to wait for, and the session is the parent's
        atexit.unregister(self.__exit__)
        with suppress(RuntimeError):  # the thread has ended by itself
            self._portal.call(self._portal.stop, True)
        self._thread.join()
        self._portal = None
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self, opened: "Future[tuple[BlockingPortal, Client]]") -> None:
        try:
            anyio.run(self._main, opened, backend="trio")
        except BaseException as error:
            if opened.done():
                self._failure = error
            else:
                opened.set_exception(error)

    async def _main(self, opened: "Future[tuple[BlockingPortal, Client]]") -> None:
        async with self._open_client() as client, BlockingPortal() as portal:
            if not opened.set_running_or_notify_cancel():
                return
            opened.set_result((portal, client))
            await portal.sleep_until_stopped()

    def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Call `await function(client, *arguments)` with the asynchronous client, in its thread; what it gives.

        If this thread is interrupted, by Ctrl-C for example, the function is cancelled.
        """
        return self._wait(function, self._asynchronous, *arguments)

    @property
    def _asynchronous(self) -> Client:
        if os.getpid() != self._pid:
            raise ForkedError(
                f"this client was made in process {self._pid} and is used in {os.getpid()}, which was forked off; "
                "its connection belongs to the parent, so connect anew here"
            )
        if self._client is None or self._portal is None:
            raise ClientClosedError(
                "a blocking client is used inside its block: with coord.connect_blocking(...) as client"
            )
        return self._client

    def _wait(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        portal = self._portal
        assert portal is not None
        asked = _Asked(portal)
        try:
            try:
                future = portal.start_task_soon(asked.run, function, *arguments)
            except RuntimeError as error:
                raise ClientClosedError(f"the client's thread has ended: {error}") from error
            answer: T = _result(future)
            return answer
        except CancelledError:
            assert self._thread is not None, "who has a portal has a thread"
            self._thread.join(2 * CLOSE_S)  # it is ending: for a reason of its own, or because it was asked to
            why = "it was closed by another thread while this one was waiting"
            raise ClientClosedError(f"the client has ended: {self._failure or why}") from self._failure
        except BaseException:
            asked.give_up()
            raise

    # ---- the methods of Client

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST."""
        return self.run(_state)

    @property
    def session_id(self) -> int:
        return self._asynchronous.session.id

    @property
    def server(self) -> ConnectedServer | None:
        return self._asynchronous.server

    def wait_state(self, *states: SessionState | str) -> SessionState:
        return self._wait(self._asynchronous.session.wait_state, *states)

    def save_session(self) -> SavedSession:
        return self._asynchronous.session.save()

    def hand_over_session(self) -> SavedSession:
        return self._asynchronous.session.hand_over()

    def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequential: bool = False,
        container: bool = False, ttl: float | None = None, acl: Iterable[AclEntry] | None = None, parents: bool = False,
    ) -> str:  # fmt: skip
        made = partial(
            self._asynchronous.create, path, value, ephemeral=ephemeral, sequential=sequential, container=container,
            ttl=ttl, acl=acl, parents=parents,
        )  # fmt: skip
        return self._wait(made)

    def set(self, path: str, value: bytes, version: int = -1) -> Stat:
        return self._wait(self._asynchronous.set, path, value, version)

    def delete(self, path: str, version: int = -1, *, recursive: bool = False) -> None:
        return self._wait(partial(self._asynchronous.delete, path, version, recursive=recursive))

    def set_acl(self, path: str, acl: Iterable[AclEntry], version: int = -1) -> Stat:
        return self._wait(self._asynchronous.set_acl, path, acl, version)

    def get(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> tuple[bytes, Stat]:
        return self._wait(partial(self._asynchronous.get, path, linearizable=linearizable, at_least=at_least))

    def exists(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> Stat | None:
        return self._wait(partial(self._asynchronous.exists, path, linearizable=linearizable, at_least=at_least))

    def children(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> list[str]:
        return self._wait(partial(self._asynchronous.children, path, linearizable=linearizable, at_least=at_least))

    def children_page(
        self, path: str, after: str = "", limit: int = PAGE_MAX, *, data: bool = False, linearizable: bool = False,
        at_least: int = 0,
    ) -> Page:  # fmt: skip
        read = self._asynchronous.children_page
        made = partial(read, path, after, limit, data=data, linearizable=linearizable, at_least=at_least)
        return self._wait(made)

    def each_child(self, path: str, *, data: bool = False, page: int = PAGE_OF_ALL) -> Iterator[Child]:
        after, more = "", True
        while more:
            found = self.run(page_of_all, path, after, page, data)
            for child in found.children:
                after = child.name
                yield child
            more = found.more

    def get_acl(self, path: str, *, linearizable: bool = False, at_least: int = 0) -> tuple[Acl, Stat]:
        return self._wait(partial(self._asynchronous.get_acl, path, linearizable=linearizable, at_least=at_least))

    def count_descendants(self, path: str) -> int:
        return self._wait(self._asynchronous.count_descendants, path)

    def ephemerals(self, prefix: str = "/") -> list[str]:
        return self._wait(self._asynchronous.ephemerals, prefix)

    def sync(self, path: str = "/") -> None:
        return self._wait(self._asynchronous.sync, path)

    def whoami(self) -> list[Identity]:
        return self._wait(self._asynchronous.whoami)

    def authenticate(self, scheme: str, credentials: bytes | str) -> None:
        return self._wait(self._asynchronous.authenticate, scheme, credentials)

    def get_quota(self, path: str) -> Usage | None:
        return self._wait(self._asynchronous.get_quota, path)

    def set_quota(self, path: str, quota: Quota | None) -> None:
        return self._wait(self._asynchronous.set_quota, path, quota)

    def transaction(self, guard: Guard | None = None) -> "BlockingTransaction":
        """`with client.transaction() as txn: txn.check(...); txn.set(...)`, then `txn.results`."""
        return BlockingTransaction(self, self._asynchronous.transaction(guard))

    def pipeline(self, *, keep_errors: bool = False) -> "BlockingPipeline":
        """`with client.pipeline() as pipe: pipe.set(...); pipe.get(...)`, then `pipe.outcomes`: sent at the end, in
        one go."""
        return BlockingPipeline(self, keep_errors)

    def watch(
        self, path: str, *, recursive: bool = False, kinds: Iterable[EventKind] | None = None, depth: int | None = None,
        since: int | None = None,
    ) -> "BlockingWatch":  # fmt: skip
        """`with client.watch(path) as events: for event in events: ...`"""
        made = self._asynchronous.watch(path, recursive=recursive, kinds=kinds, depth=depth, since=since)
        return BlockingWatch(self, made)


class BlockingTransaction:
    """A transaction; its steps (create, set, delete, set_acl, check) are those of `Transaction`."""

    def __init__(self, client: BlockingClient, made: Transaction) -> None:
        self._client = client
        self._made = made
        self.create, self.set, self.delete = made.create, made.set, made.delete
        self.set_acl, self.check = made.set_acl, made.check

    @property
    def results(self) -> list[str | Stat | None]:
        return self._made.results

    def commit(self) -> list[str | Stat | None]:
        return self._client.run(lambda client: self._made.commit())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and not self._made.committed:
            self.commit()


class BlockingPipeline:
    """Calls that are gathered, sent together when the block is left, and answered in order."""

    def __init__(self, client: BlockingClient, keep_errors: bool) -> None:
        self.outcomes: list[Outcome[Any]] = []
        """One a call, after the block."""
        self._client = client
        self._keep_errors = keep_errors
        self._calls: list[Callable[[Pipeline], Outcome[Any]]] = []

    def create(self, path: str, value: bytes = b"", **options: Any) -> None:
        self._calls.append(lambda pipe: pipe.create(path, value, **options))

    def set(self, path: str, value: bytes, version: int = -1) -> None:
        self._calls.append(lambda pipe: pipe.set(path, value, version))

    def delete(self, path: str, version: int = -1, *, recursive: bool = False) -> None:
        self._calls.append(lambda pipe: pipe.delete(path, version, recursive=recursive))

    def get(self, path: str) -> None:
        self._calls.append(lambda pipe: pipe.get(path))

    def stat(self, path: str) -> None:
        self._calls.append(lambda pipe: pipe.stat(path))

    def children(self, path: str) -> None:
        self._calls.append(lambda pipe: pipe.children(path))

    async def _send(self, client: Client) -> None:
        async with client.pipeline(keep_errors=self._keep_errors) as pipe:
            self.outcomes = [call(pipe) for call in self._calls]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._client.run(self._send)


class BlockingWatch:
    """A watch as an ordinary iterator. What it promises stands at `Watch`."""

    def __init__(self, client: BlockingClient, made: Watch) -> None:
        self._client = client
        self._made = made

    @property
    def zxid(self) -> int:
        return self._made.zxid

    def __enter__(self) -> Self:
        self._client.run(lambda client: self._made.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._client.run(lambda client: self._made.__aexit__(None, None, None))
        except (ForkedError, ClientClosedError):
            if error is None:
                raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._client.run(lambda client: self._made.__anext__())

    def next(self, timeout: float | None = None) -> Event | None:
        """The next event, or None if none comes within so many seconds."""

        async def wait(client: Client) -> Event | None:
            with anyio.move_on_after(timeout):
                return await self._made.__anext__()
            return None

        return self._client.run(wait)

    def take(self) -> tuple[list[Event], int]:
        """All events that are there, without waiting, and a zxid up to which there are no others."""

        async def take(client: Client) -> tuple[list[Event], int]:
            return self._made.take()

        return self._client.run(take)


async def _state(client: Client) -> SessionState:
    return client.session.state
