"""Ten thousand sessions that do nothing but live: what do they cost the servers?

Each has a timeout of 10 s and pings three times in it, as client libraries do; the pings are spread evenly over time,
the sessions over the servers. Every ping must have been answered, and no connection lost.
"""

import resource
import select
import socket
import time
from collections.abc import Sequence

from tools.bench.figures import Report, Scale
from tools.bench.goals import IDLE_CPU, counted
from tools.ensembles import Ensemble
from tools.ensembles.ports import HOST
from tools.ensembles.resources import cpu_s
from tools.wire import jute
from tools.wire.client import HungUpError
from tools.wire.jute import Op

TIMEOUT_MS = 10_000
PINGS_PER_TIMEOUT = 3
_SETTLE_SHARE = 0.3
_AT_A_TIME = 100  # sessions opened in one go
_PING = jute.request(jute.PING_XID, Op.PING)
_PONG_BYTES = 4 + jute.REPLY_HEADER.size
_FILES_RESERVED = 100


def idle(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """The servers' share of one core, in percent, after a while to settle."""
    _allow_files(scale.sessions + _FILES_RESERVED)
    ports = [member.client_port for member in ensemble.members.values()]
    begin = time.perf_counter()
    streams: list[socket.socket] = []
    try:
        while len(streams) < scale.sessions:
            first = len(streams)
            streams += _opened(ports, first, min(_AT_A_TIME, scale.sessions - first))
        report.figure(counted(scale.sessions, "sessions opened, /s"), scale.sessions / (time.perf_counter() - begin))
        pids = [ensemble.pid(id) for id in ensemble.members]
        pinging = Pinging(streams)
        pinging.go_on(scale.idle_s * _SETTLE_SHARE)
        before = sum(map(cpu_s, pids))
        took_s = pinging.go_on(scale.idle_s)
        used = sum(map(cpu_s, pids)) - before
        pinging.expect_answers()
    finally:
        for stream in streams:
            stream.close()
    report.figure(counted(scale.sessions, IDLE_CPU), used / took_s * 100)


class Pinging:
    """Pings on all streams in turn, each three times in its session's timeout."""

    def __init__(self, streams: Sequence[socket.socket]) -> None:
        self._streams = streams
        self._by_fd = {stream.fileno(): stream for stream in streams}
        self._epoll = select.epoll()
        for stream in streams:
            self._epoll.register(stream, select.EPOLLIN)
        self._per_second = len(streams) * PINGS_PER_TIMEOUT / (TIMEOUT_MS / 1000)
        self._sent = 0
        self._answered_bytes = 0

    def go_on(self, seconds: float) -> float:
        """Ping for so long; how long it was. Raises HungUpError if a server closes a connection."""
        begin = time.perf_counter()
        sent_before = self._sent
        while (passed := time.perf_counter() - begin) < seconds:
            due = sent_before + int(passed * self._per_second)
            while self._sent < due:
                self._streams[self._sent % len(self._streams)].sendall(_PING)
                self._sent += 1
            self._receive(0.01)
        return passed

    def expect_answers(self) -> None:
        """Until each ping was answered."""
        deadline = time.perf_counter() + TIMEOUT_MS / 1000
        while self._answered_bytes < self._sent * _PONG_BYTES:
            if time.perf_counter() > deadline:
                answered = self._answered_bytes // _PONG_BYTES
                raise HungUpError(f"{self._sent - answered} of {self._sent} pings of idle sessions were not answered")
            self._receive(0.1)
        self._epoll.close()

    def _receive(self, wait_s: float) -> None:
        for fd, _ in self._epoll.poll(wait_s):
            data = self._by_fd[fd].recv(4096)
            if not data:
                raise HungUpError("a server closed the connection of an idle session")
            self._answered_bytes += len(data)


def _opened(ports: Sequence[int], first: int, count: int) -> list[socket.socket]:
    """Open so many sessions in one go; number `first` and the following."""
    request = jute.connect_request(TIMEOUT_MS)
    streams = []
    for number in range(first, first + count):
        stream = socket.create_connection((HOST, ports[number % len(ports)]), 30)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(request)
        streams.append(stream)
    for stream in streams:
        reply = jute.Reader(_frame(stream))
        reply.int32()
        if (granted_ms := reply.int32()) != TIMEOUT_MS:
            raise HungUpError(f"a session with a timeout of {TIMEOUT_MS} ms was asked for, and {granted_ms} granted")
    return streams


def _frame(stream: socket.socket) -> bytes:
    received = b""
    while len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
        part = stream.recv(4096)
        if not part:
            raise HungUpError("a server closed the connection of a new session")
        received += part
    return received[4:]


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        if wanted < count:
            raise OSError(f"{count} open files are needed, and only {hard} allowed; raise the limit (ulimit -n)")
