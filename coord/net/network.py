"""The network as the server sees it: streams that can be tried without waiting.

`TcpNetwork` works on plain non-blocking sockets and Trio's readiness calls: one recv a wake-up into one shared
buffer, and a send is tried at once, so that a task has to wait only for what the kernel did not take.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterable
from typing import Protocol

import trio

RECEIVE_BYTES_MAX = 256 << 10
"""What one wake-up takes from a socket at most."""

BACKLOG = 1024

UNIX = "unix"
"""The address of whoever connects through a Unix socket."""

_KEEPALIVE_IDLE_S, _KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT = 5, 2, 3
_USER_TIMEOUT_MS = 10_000
"""A peer that does not acknowledge what was sent to it for so long counts as gone."""

_PEER = struct.Struct("iII")
"""Process, user and group at the other end of a Unix socket."""

_buffer = bytearray(RECEIVE_BYTES_MAX)
_view = memoryview(_buffer)


class Stream(Protocol):
    """One connection. Any failure of it is an OSError or reads as its end."""

    @property
    def remote(self) -> tuple[str, int]:
        """Address and port of the other side."""

    async def receive(self) -> bytes:
        """At least one byte, or none at the end."""

    def receive_now(self) -> bytes | None:
        """What has come, without waiting; None if nothing has, or the connection broke, which `receive` tells."""

    def send_now(self, data: bytes | memoryview) -> int:
        """Send as much as can be sent without waiting; how many bytes that were."""

    async def send_all(self, data: bytes | memoryview) -> None: ...

    def fileno(self) -> int:
        """Its file descriptor; below 0 if it has none, or is closed."""

    def keep_alive(self) -> None:
        """Have the connection break by itself when the other machine has vanished."""

    def close(self) -> None: ...


class Listener(Protocol):
    @property
    def address(self) -> tuple[str, int]: ...

    async def accept(self) -> Stream: ...

    def close(self) -> None: ...


class Network(Protocol):
    async def listen(self, host: str, port: int) -> Iterable[Listener]:
        """Listeners on every address that `host` stands for."""

    async def connect(self, host: str, port: int) -> Stream: ...


class TcpStream:
    """A connected TCP socket, or a Unix one."""

    __slots__ = ("_closed", "_socket", "remote")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.remote: tuple[str, int] = (UNIX, 0)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = sock.getpeername()
            self.remote = (name[0], name[1])
        self._socket = sock
        self._closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def keep_alive(self) -> None:
        """Find out by itself when the other machine has vanished."""
        sock = self._socket
        if sock.family == socket.AF_UNIX:
            return  # there is no other machine
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
            ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
            ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
        ):
            if hasattr(socket, option):  # not every system has them all
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def user(self) -> int | None:
        """The number of the user whose process is at the other end of a Unix socket, None if that is not known."""
        if self._socket.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
            return None
        _, user, _ = _PEER.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        return int(user)

    async def receive(self) -> bytes:
        while True:
            if self._closed:
                return b""
            await trio.lowlevel.wait_readable(self._socket)
            try:
                count = self._socket.recv_into(_buffer)
            except BlockingIOError:
                continue
            return bytes(_view[:count])

    def receive_now(self) -> bytes | None:
        try:
            count = self._socket.recv_into(_buffer)
        except OSError:
            return None
        return bytes(_view[:count])

    def send_now(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def send_all(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            await trio.lowlevel.wait_writable(self._socket)
            rest = rest[self.send_now(rest) :]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


def is_owner(stream: Stream) -> bool:
    """Whether the other side is a process of this very user, or of root: known of Unix sockets only, on Linux."""
    return isinstance(stream, TcpStream) and stream.user() in (0, os.geteuid())


class TcpListener:
    """A listening TCP socket, or a Unix one."""

    __slots__ = ("_socket", "address")

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        name = sock.getsockname()
        self.address: tuple[str, int] = (name, 0) if isinstance(name, str) else (name[0], name[1])

    async def accept(self) -> Stream:
        while True:
            try:
                accepted, _ = await self._socket.accept()
                return _stream(accepted)
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    await trio.sleep(0.1)  # others must close theirs first; the backlog keeps who comes meanwhile
                elif error.errno not in _GONE_AGAIN:
                    raise

    def close(self) -> None:
        self._socket.close()
        if self.address[1] == 0:  # a Unix socket: its file would refuse everybody
            with contextlib.suppress(OSError):
                os.unlink(self.address[0])


class TcpNetwork:
    """TCP over the machine's own network. A host that begins with / is the path of a Unix socket."""

    async def listen(self, host: str, port: int) -> Iterable[Listener]:
        if host.startswith("/"):
            return [await _listen_unix(host)]
        try:
            listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
        except UnicodeError as error:
            raise _no_such_host(host) from error
        return [TcpListener(listener.socket) for listener in listeners]

    async def connect(self, host: str, port: int) -> Stream:
        if host.startswith("/"):
            return _stream((await trio.open_unix_socket(host)).socket)
        try:
            stream = await trio.open_tcp_stream(host, port)
        except UnicodeError as error:
            raise _no_such_host(host) from error
        return _stream(stream.socket)


async def _listen_unix(path: str) -> TcpListener:
    """A listener at `path`. What a server that is gone has left there is removed, of one that runs it is not."""
    try:
        await (await trio.open_unix_socket(path)).aclose()
    except (ConnectionRefusedError, FileNotFoundError):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):  # and not somebody's file, which refuses as well
                os.unlink(path)
    else:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return TcpListener(sock)


def _no_such_host(host: str) -> OSError:
    """For a name that could not even be asked for: to the caller it is as unknown as any other."""
    return socket.gaierror(socket.EAI_NONAME, f"{host[:80]!r} cannot be the name of a host")


def _stream(sock: trio.socket.SocketType) -> TcpStream:
    """On the same connection as a plain socket: Trio's own would make a task of each send."""
    plain = socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    try:
        return TcpStream(plain)
    except OSError:  # it broke before it was used
        plain.close()
        raise


_OUT_OF_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_GONE_AGAIN = frozenset((errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENOTCONN))
