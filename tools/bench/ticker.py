"""How long a server says nothing: a ping each millisecond to each server, in a process of its own.

`python -m tools.bench.ticker PORT ...` (see beside.py). A ping is answered by whatever loop or thread reads requests,
as soon as it gets to run, so the longest wait for an answer is the longest stall, whatever stalls: a snapshot, the
collector, the disk, or the machine that has too few processors. How late the ticker itself was woken is told as well:
so much of a stall may be the machine's and not the server's.

Pings leave on time whether or not the last was answered: a server that stalls misses none.
"""

import contextlib
import json
import os
import select
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field

from tools.bench.beside import READY
from tools.wire import jute
from tools.wire.client import RawClient
from tools.wire.jute import Op

INTERVAL_S = 0.001
_PING = jute.request(jute.PING_XID, Op.PING)
_PONG_BYTES = 4 + jute.REPLY_HEADER.size
_TIMEOUT_MS = 60_000
_CONNECT_LIMIT_S = 60.0
_NICER_BY = -10  # where it may: the ticker must not be what stalls


@dataclass(slots=True)
class Pinged:
    """One server's connection, the times of the pings on their way, and the longest wait."""

    client: RawClient
    sent_s: deque[float] = field(default_factory=deque)
    received: bytes = b""
    longest_s: float = 0.0
    answers: int = 0

    def ping(self, now: float) -> None:
        self.client.stream.sendall(_PING)
        self.sent_s.append(now)

    def receive(self, now: float) -> bool:
        """Take the answers that have come; whether the connection stands."""
        data = self.client.stream.recv(65_536)
        self.received += data
        while len(self.received) >= _PONG_BYTES:
            (xid,) = struct.unpack_from("!i", self.received, 4)
            assert xid == jute.PING_XID, f"a reply with xid {xid} came to a ping"
            self.received = self.received[_PONG_BYTES:]
            self.longest_s = max(self.longest_s, now - self.sent_s.popleft())
            self.answers += 1
        return bool(data)


def tick(pinged: list[Pinged]) -> float:
    """Ping until standard input ends; how late this process was woken at worst, in seconds."""
    by_fd = {each.client.stream.fileno(): each for each in pinged}
    standard_input = sys.stdin.fileno()
    late_s, due = 0.0, time.perf_counter()
    while True:
        now = time.perf_counter()
        if now >= due:
            late_s = max(late_s, now - due)
            for each in pinged:
                each.ping(now)
            due = max(due + INTERVAL_S, now)
        readable, _, _ = select.select([standard_input, *by_fd], (), (), max(0.0, due - now))
        if standard_input in readable:
            return late_s
        now = time.perf_counter()
        for fd in readable:
            if not by_fd[fd].receive(now):
                raise ConnectionError("a server closed the ticker's connection")


def main() -> None:
    pinged = [Pinged(RawClient(int(port), timeout_ms=_TIMEOUT_MS, wait_s=_CONNECT_LIMIT_S)) for port in sys.argv[1:]]
    with contextlib.suppress(OSError):
        os.nice(_NICER_BY)
    print(READY, flush=True)
    late_s = tick(pinged)
    unanswered_s = [time.perf_counter() - each.sent_s[0] if each.sent_s else 0.0 for each in pinged]
    longest_s = [max(each.longest_s, waited_s) for each, waited_s in zip(pinged, unanswered_s, strict=True)]
    answers = [each.answers for each in pinged]
    print(json.dumps({"longest_s": longest_s, "answers": answers, "ticker_late_s": late_s}))


if __name__ == "__main__":
    main()
