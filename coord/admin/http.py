"""HTTP itself: hypercorn's Trio worker, one connection at a time, behind an accept loop that knows limits.

Hypercorn shields what it sends from being cancelled, without a deadline: one client that does not read would keep a
server from stopping. So it is given a stream that has one, and that is closed when the server ends.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import cast

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Event, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from coord.admin.app import make_app
from coord.server.console import Console
from coord.server.errors import AddressUnavailable

CONNECTIONS_MAX = 32
"""At a time; more are closed at once. Each scrape takes one."""

HEADER_BYTES_MAX = 16 << 10
"""Of a request, with its first line; more is answered with 431."""

IDLE_TIMEOUT_S = 10.0
"""A connection may say nothing for so long, and a request's header may take so long."""

SEND_TIMEOUT_S = 10.0
"""A client that takes nothing of its answer for so long is hung up on."""

CONNECTION_TIMEOUT_S = 120.0
"""No connection lasts longer, whatever it does."""

ANSWER_TIMEOUT_S = 2.0
"""A client that says nothing more, but may still read, is given its answer for so long."""

RECEIVE_BYTES_MAX = 4 << 10
LINGER_S = 1.0
LINGER_PIECES_MAX = 64

HTTP_2 = b"PRI "
"""How HTTP/2 begins where nobody has asked for it: it is not spoken here."""


async def run_admin(
    console: Console, token: bytes | None, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer on the address of the setting `admin`. Raises AddressUnavailable."""
    address = console.config.admin
    assert address is not None, "who runs the admin has its address"
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        why = error.strerror or error
        raise AddressUnavailable(
            f"cannot listen for HTTP on {address}: {why}; free the port or choose another"
        ) from error
    connections = Connections(console, token)
    console.log.info("answering HTTP", admin=address)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connections.close_at_the_end)
            await nursery.start(partial(trio.serve_listeners, connections.serve, listeners, handler_nursery=nursery))
            task_status.started()
    finally:
        for listener in listeners:
            listener.socket.close()


class Connections:
    """Those that are open, and how each is served."""

    def __init__(self, console: Console, token: bytes | None) -> None:
        self._log = console.log
        self._app = wrap_app(make_app(console, token), BODY_UNUSED, "asgi")  # type: ignore[arg-type]
        self._settings = _settings()
        self._context = WorkerContext(None)
        self._open: set[GuardedStream] = set()

    @property
    def count(self) -> int:
        return len(self._open)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection from its first to its last byte."""
        guarded = GuardedStream(stream)
        if len(self._open) >= CONNECTIONS_MAX:
            guarded.close()
            return
        self._open.add(guarded)
        try:
            with trio.move_on_after(CONNECTION_TIMEOUT_S) as scope:
                server = OneConnection(self._app, self._settings, self._context, ConnectionState({}), guarded)  # type: ignore[arg-type]

                async def end() -> None:
                    await server.idle_task.stop()
                    scope.deadline = min(scope.deadline, trio.current_time() + ANSWER_TIMEOUT_S)

                guarded.on_end = end
                await server
        except Exception as error:  # of a library, about one connection: no reason to end a server
            self._log.warning("a connection over HTTP is given up", error=repr(error))
        except BaseExceptionGroup as group:
            errors, rest = group.split(Exception)
            self._log.warning("a connection over HTTP is given up", error=repr(errors))
            if rest is not None:
                raise rest from None
        finally:
            self._open.discard(guarded)
            guarded.close()

    async def close_at_the_end(self) -> None:
        """What is being sent then is not waited for."""
        try:
            await trio.sleep_forever()
        finally:
            for stream in list(self._open):
                stream.close()


class OneConnection(TCPServer):
    """Two ways of hypercorn that do not suit us.

    It waits for a next request also of a client that has gone, which would take somebody's place. And it goes over to
    HTTP/2 where a client wants it, behind the limits that are set here: who does that is hung up on.
    """

    async def protocol_send(self, event: Event) -> None:
        if isinstance(self.protocol.protocol, H2Protocol):
            cast(GuardedStream, self.stream).close()
        elif isinstance(event, Updated) and cast(GuardedStream, self.stream).ended:
            await self.idle_task.stop()
        else:
            await super().protocol_send(event)


class GuardedStream:
    """What hypercorn uses of trio.SocketStream, with a deadline where it has none."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._begun = False
        self.ended = False  # the client says nothing more
        self.on_end: Callable[[], Awaitable[None]] = _nothing
        self.socket = stream.socket

    async def receive_some(self, bytes_max: int) -> bytes:
        # In small pieces: what comes whole in one is not measured by its parser.
        data = bytes(await self._stream.receive_some(min(bytes_max, RECEIVE_BYTES_MAX)))
        if not self._begun and data.startswith(HTTP_2):
            data = b""
        if not data:
            self.ended = True
            await self.on_end()
        self._begun = True
        return data

    async def send_all(self, data: bytes) -> None:
        try:
            with trio.fail_after(SEND_TIMEOUT_S):
                await self._stream.send_all(data)
        except trio.TooSlowError:
            self.close()
            raise trio.BrokenResourceError("the client does not take its answer") from None
        except trio.BusyResourceError:  # it is just being closed, which hypercorn does not expect
            raise trio.BrokenResourceError("the connection is being closed") from None

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """What the client is still sending is read for a moment: cut off, it might never see its answer."""
        with (
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
            trio.move_on_after(LINGER_S),
        ):
            for _ in range(LINGER_PIECES_MAX):
                if not await self._stream.receive_some(RECEIVE_BYTES_MAX):
                    break
        self.close()

    def close(self) -> None:
        """At once; who waits for it gets trio.ClosedResourceError."""
        self.socket.close()


async def _nothing() -> None:
    pass


def _settings() -> HypercornConfig:
    made = HypercornConfig()
    made.accesslog = None
    made.errorlog = logging.getLogger("coord.admin")
    made.h11_max_incomplete_size = HEADER_BYTES_MAX - RECEIVE_BYTES_MAX  # beyond this it takes no further piece
    made.keep_alive_timeout = IDLE_TIMEOUT_S
    made.include_server_header = False
    made.h2_max_concurrent_streams = 1
    made.max_app_queue_size = 2
    return made


BODY_UNUSED = 0
"""Of wrap_app, for applications of another kind than ours."""
