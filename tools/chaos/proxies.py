"""Local TCP proxies, one for each way of a client or a server to a server, that can be held, slowed and broken.

What a way does to its bytes is what a network can do: they come late (`hold` and `release`, `slow_down`), or the
connection breaks and they never come (`reset`, `close_one_way`). No byte is changed, left out of a stream, or put
elsewhere. While a way is held even the end of a connection does not get through, as behind a switched-off router.

The proxies run on Trio in a thread of their own; every method may be called from any other thread.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

import trio

from tools.ensembles.ports import HOST

T = TypeVar("T")

CHUNK_BYTES = 65_536
_LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset


class Way:
    """One direction of a link. Several faults may hold it at once: it is open again when all have released it."""

    __slots__ = ("_holds", "_open", "delay_s")

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._holds = 0
        self._open = trio.Event()
        self._open.set()

    def hold(self) -> None:
        self._holds += 1
        if self._open.is_set():
            self._open = trio.Event()

    def release(self) -> None:
        self._holds -= 1
        assert self._holds >= 0, "a way was released more often than it was held"
        if not self._holds:
            self._open.set()

    async def passing(self) -> None:
        while self._holds:
            await self._open.wait()


class Link:
    """A port in front of another one. `there` is the direction from who dials, `back` the other one."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.target = target
        self.port = 0
        self.there, self.back = Way(), Way()
        self.connections: dict[_Connection, None] = {}

    def for_each(self, work: "Callable[[_Connection], None]") -> None:
        for connection in list(self.connections):
            work(connection)

    def __repr__(self) -> str:
        return f"<Link {self.name}, {len(self.connections)} connections>"


class _Connection:
    """Two sockets, and what is carried between them until one of them breaks."""

    def __init__(self, link: Link, near: trio.SocketStream, far: trio.SocketStream) -> None:
        self._link = link
        self._near, self._far = near, far
        self._scope = trio.CancelScope()
        self._closed: dict[Way, None] = {}  # ways on which nobody listens any more

    async def carry(self) -> None:
        link = self._link
        link.connections[self] = None
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, self._near, self._far, link.there)
                    nursery.start_soon(self._carry, self._far, self._near, link.back)
        finally:
            del link.connections[self]
            for stream in (self._near, self._far):
                _reset(stream)

    def end(self) -> None:
        """Both ends are told that the connection was reset."""
        self._scope.cancel()

    def close_one_way(self, way: Way) -> None:
        """Who listens on `way` is told that this is the end; the other direction goes on."""
        self._closed[way] = None
        sink = self._far if way is self._link.there else self._near
        try:
            sink.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.end()

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, way: Way) -> None:
        try:
            while data := await source.receive_some(CHUNK_BYTES):
                await way.passing()
                if way.delay_s:
                    await trio.sleep(way.delay_s)
                if way not in self._closed:
                    await sink.send_all(data)
            await way.passing()
            if way not in self._closed:
                await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            if way not in self._closed:
                await way.passing()
                self.end()


class Proxies:
    """All links of a run. A context manager: leaving it closes every port and connection."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="proxies", daemon=True)
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._nursery is not None, "proxies end after they began"
        trio.from_thread.run_sync(self._nursery.cancel_scope.cancel, trio_token=self._token)
        self._thread.join()

    def open(self, name: str, target: int) -> Link:
        """A new link, which listens from now on."""
        link = Link(name, target)
        trio.from_thread.run(self._listen, link, trio_token=self._token)
        self.links.append(link)
        return link

    # ---- what can be done to links

    def hold(self, ways: list[Way]) -> None:
        """Nothing gets through, and nobody is told."""
        self._each(Way.hold, ways)

    def release(self, ways: list[Way]) -> None:
        """What was held comes, late."""
        self._each(Way.release, ways)

    def slow_down(self, ways: list[Way], delay_s: float) -> None:
        """So much later comes each piece of what is sent from now on; 0: as fast as it goes."""
        self._each(lambda way: setattr(way, "delay_s", delay_s), ways)

    def reset(self, links: list[Link]) -> None:
        """All connections that are there end now, and both ends are told."""
        self._each(lambda link: link.for_each(_Connection.end), links)

    def close_one_way(self, link: Link, way: Way) -> None:
        """Who listens on `way` is told that this is the end, on all connections that are there; the rest goes on."""
        self._each(lambda link: link.for_each(lambda connection: connection.close_one_way(way)), [link])

    # ---- in the thread of the proxies

    def _main(self) -> None:
        trio.run(self._run)

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._token = trio.lowlevel.current_trio_token()
            self._ready.set()
            await trio.sleep_forever()

    async def _listen(self, link: Link) -> None:
        assert self._nursery is not None, "links are opened while the proxies run"
        listeners = await trio.open_tcp_listeners(0, host=HOST)
        link.port = listeners[0].socket.getsockname()[1]

        async def serve(near: trio.SocketStream) -> None:
            try:
                far = await trio.open_tcp_stream(HOST, link.target)
            except OSError:
                _reset(near)
                return
            await _Connection(link, near, far).carry()

        self._nursery.start_soon(trio.serve_listeners, serve, listeners)

    def _each(self, work: Callable[[T], None], things: Iterable[T]) -> None:
        """In one go, without anything being carried meanwhile."""

        def do() -> None:
            for each in things:
                work(each)

        trio.from_thread.run_sync(do, trio_token=self._token)


def _reset(stream: trio.SocketStream) -> None:
    """Close without a farewell: what is still in the kernel is dropped, and the other end is told so."""
    with contextlib.suppress(OSError):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    stream.socket.close()
