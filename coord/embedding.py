"""A server within the program: `async with coord.embedded() as client`. For tests and small programs.

It is the server that `coord serve` runs, alone in its ensemble, behind a Unix socket in a folder that only this user
may enter. On Trio it runs in the caller's own loop; on asyncio in a thread with a Trio of its own.
"""

import random
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import sniffio
import trio

from coord.client.blocking import BlockingClient
from coord.client.client import Client
from coord.client.connecting import connect
from coord.client.groups import unwrapped
from coord.net.network import TcpNetwork
from coord.server.config import Config
from coord.server.parsers import Address
from coord.server.serve import serve
from coord.storage.disk import Disk, FolderDisk
from coord.storage.memory import MemoryDisk

MEBIBYTE = 1 << 20
MEMORY = {
    "segment_bytes": 4 * MEBIBYTE,
    "snapshot_after_bytes": 8 * MEBIBYTE,
    "snapshots_kept": 1,
    "past_bytes_max": 0,
    "history_bytes_max": 4 * MEBIBYTE,
}
"""Settings that keep the log of a server in memory short."""


@asynccontextmanager
async def embedded(
    data: str | Path | None = None,
    *,
    namespace: str = "",
    session_timeout: float = 10.0,
    settings: dict[str, Any] | None = None,
) -> AsyncIterator[Client]:
    """A client of a server of its own, which ends with the block.

    `data`: the folder in which it keeps everything, made if it is missing; None: it forgets all at the end. One
    program at a time can have a folder open; `coord serve --data` serves the same. `settings`: fields of
    `coord.server.config.Config`. More clients connect to `client.server.address`.

    Raises coord.storage.errors.StorageRefused if the folder cannot be used.
    """
    folder = Path(tempfile.mkdtemp(prefix="coord-"))
    socket = str(folder / "client.sock")
    disk: Disk = MemoryDisk() if data is None else FolderDisk(data)
    address = Address(socket, 0)  # port 0: a Unix socket
    chosen: dict[str, Any] = {"id": 1, "data": Path(data or "nowhere"), "client": address}
    config = Config(**(chosen | (MEMORY if data is None else {}) | (settings or {})))
    run = partial(serve, config, disk, TcpNetwork(), random.Random(), own_process=False)
    on_trio = sniffio.current_async_library() == "trio"
    try:
        async with (
            _in_this_loop(run) if on_trio else _in_a_thread(run),
            connect(f"unix:{socket}", namespace=namespace, session_timeout=session_timeout) as client,
        ):
            yield client
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _in_this_loop(run: Any) -> AsyncIterator[None]:
    shelter = trio.CancelScope()

    async def serve_within(task_status: trio.TaskStatus[None]) -> None:
        with shelter, unwrapped():
            await run(task_status=task_status)

    with unwrapped():
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_within)
            shelter.shield = True  # who is cancelled here still says goodbye to it
            try:
                yield
            finally:
                shelter.cancel()


@asynccontextmanager
async def _in_a_thread(run: Any) -> AsyncIterator[None]:
    """The same beside asyncio. An error of the server cancels the block and comes out of it, here too."""
    thread = _ServerThread(run)
    thread.start()
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            try:
                await anyio.to_thread.run_sync(thread.wait_open, abandon_on_cancel=True)
                tasks.start_soon(_until_it_fails, thread)
                yield
            finally:
                thread.stop()
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(thread.join)
                tasks.cancel_scope.cancel()


async def _until_it_fails(thread: "_ServerThread") -> None:
    await anyio.to_thread.run_sync(thread.join, abandon_on_cancel=True)
    if thread.failure is not None:
        raise thread.failure


class _ServerThread(threading.Thread):
    """A thread with a server in it."""

    def __init__(self, run: Any) -> None:
        super().__init__(name="coord-embedded", daemon=True)
        self.failure: BaseException | None = None
        self._serve = run
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._open = threading.Event()

    def run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            only = isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1
            self.failure = error.exceptions[0] if only and isinstance(error, BaseExceptionGroup) else error
        finally:
            self._open.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope, unwrapped():
            async with trio.open_nursery() as nursery:
                await nursery.start(self._serve)
                self._open.set()

    def wait_open(self) -> None:
        """Until it takes clients. Raises what keeps it from that."""
        self._open.wait()
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self._open.wait()
        if self._token is not None:
            with suppress(trio.RunFinishedError):  # it has ended by itself
                self._token.run_sync_soon(self._scope.cancel)


def embedded_blocking(
    data: str | Path | None = None,
    *,
    namespace: str = "",
    session_timeout: float = 10.0,
    settings: dict[str, Any] | None = None,
) -> BlockingClient:
    """As `embedded`, for a `with` block of a program without async."""
    options: dict[str, Any] = {"namespace": namespace, "session_timeout": session_timeout, "settings": settings}
    return BlockingClient(partial(embedded, data, **options))
