"""What the generator can do at most: its rate against a server that costs next to nothing (echo.py)."""

import subprocess
import sys

from tools.bench import loads
from tools.bench.generator import Flow, Outcome, run
from tools.wire.client import RawClient

_PATH = "/bench/c000"


def ceiling(operation: str, connections: int, window: int, value_bytes: int, seconds: float) -> Outcome:
    """Run the generator as for a row, with the echo as the only server."""
    command = [sys.executable, "-m", "tools.bench.echo", operation, str(value_bytes), str(len(_PATH)), str(window)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        port = int(echo.stdout.readline())
        clients = [RawClient(port) for _ in range(connections)]
        value = b"v" * value_bytes
        outcome = run(
            [Flow(each.stream, loads.load(operation, _PATH, value, window), window) for each in clients], seconds
        )
        for client in clients:
            client.stream.close()
        echo.stdin.close()  # by which it ends
    return outcome
