"""Sets at a steady rate, all over the znodes that big.py has made, in a process of its own.

`python -m tools.bench.paced PER_SECOND CHILDREN PATH:PORT ...` (see beside.py): each path has CHILDREN znodes, which
are set through the server at that port. A server that stalls has a window of requests in flight waiting for it and is
given what is due later; it is told how many sets there were, and what went wrong.
"""

import json
import select
import sys
import time
from collections.abc import Sequence

from tools.bench.beside import READY
from tools.bench.generator import Flow
from tools.bench.loads import sets_among
from tools.wire.client import RawClient

WINDOW = 200
"""In flight on a connection at most: below what servers bear, and enough for a stall of a tenth of a second."""
VALUE = b"w" * 100
_WAKE_S = 0.002
_TIMEOUT_MS = 60_000
_CONNECT_LIMIT_S = 60.0


def pace(flows: Sequence[Flow], per_second: float, latencies: list[tuple[float, int]]) -> float:
    """Send what is due until standard input ends; for how many seconds that was. `latencies` (s, replies) are added."""
    epoll = select.epoll()
    epoll.register(sys.stdin, select.EPOLLIN)
    by_fd = {flow.fd: flow for flow in flows}
    for flow in flows:
        flow.stream.setblocking(False)
        epoll.register(flow.fd, select.EPOLLIN)
    begin, sent = time.perf_counter(), 0
    while True:
        now = time.perf_counter()
        due = int((now - begin) * per_second) - sent
        for index, flow in enumerate(flows):
            share = due // (len(flows) - index)
            count = min(share, flow.window - flow.in_flight) if not flow.lost else 0
            if flow.unsent:
                flow.send_rest()
            flow.send(count, now)
            due -= share
            sent += count
        for fd, _ in epoll.poll(_WAKE_S):
            if fd == sys.stdin.fileno():
                return time.perf_counter() - begin
            flow = by_fd[fd]
            count = flow.receive()
            flow.latencies(count, time.perf_counter(), latencies)
            if flow.lost:
                epoll.unregister(fd)


def main() -> None:
    per_second, children = float(sys.argv[1]), int(sys.argv[2])
    flows = []
    for place in sys.argv[3:]:
        path, _, port = place.rpartition(":")
        client = RawClient(int(port), timeout_ms=_TIMEOUT_MS, wait_s=_CONNECT_LIMIT_S)
        flows.append(Flow(client.stream, sets_among(path, children, VALUE, WINDOW), WINDOW))
    print(READY, flush=True)
    seconds = pace(flows, per_second, [])
    answered = sum(flow.sent - flow.in_flight for flow in flows)
    errors = sum(flow.error_codes.total() for flow in flows)
    lost = [flow.lost for flow in flows if flow.lost]
    print(json.dumps({"per_second": answered / seconds, "errors": errors, "lost": lost}))


if __name__ == "__main__":
    main()
