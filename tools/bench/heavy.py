"""Long values, written or read through one server at a steady rate, in a process of its own.

`python -m tools.bench.heavy OPERATION PER_SECOND BYTES PATH:PORT` (see beside.py), OPERATION being `set` or `get`.
What is due leaves whether or not the last was answered, unless the server has a few of them to answer yet. It is told
how many there were, how long they took, and what went wrong.
"""

import json
import sys

from tools.bench.beside import READY
from tools.bench.generator import Flow, Outcome
from tools.bench.loads import load
from tools.bench.paced import pace
from tools.wire.client import RawClient

WINDOW = 4
_TIMEOUT_MS = 60_000
_CONNECT_LIMIT_S = 60.0


def main() -> None:
    operation, per_second, value_bytes, place = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    path, _, port = place.rpartition(":")
    client = RawClient(int(port), timeout_ms=_TIMEOUT_MS, wait_s=_CONNECT_LIMIT_S)
    flow = Flow(client.stream, load(operation, path, bytes(value_bytes), WINDOW), WINDOW)
    print(READY, flush=True)
    outcome = Outcome()
    seconds = pace([flow], per_second, outcome.latencies)
    p50_s, p99_s = outcome.percentiles(0.50, 0.99)
    found = {
        "per_second": (flow.sent - flow.in_flight) / seconds,
        "p50_ms": p50_s * 1000,
        "p99_ms": p99_s * 1000,
        "errors": flow.error_codes.total(),
        "lost": flow.lost,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
