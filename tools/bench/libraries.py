"""What one program reaches with a client library: coord's own against coord, kazoo against ZooKeeper (and coord).

One client, connected to one follower. Pipelined: 100 requests are under way all the time, by kazoo's `_async` calls,
by a hundred tasks with coord's, or by one `client.pipeline()` of a hundred calls after the other. Or one at a time. The
client is the measuring process itself, so its own work is part of the number: that is what a user gets.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
from kazoo.client import KazooClient

import coord
from tools.bench.figures import Report, Scale
from tools.bench.goals import COORD
from tools.ensembles import Ensemble

WINDOW = 100
VALUE = b"v" * 100
PATH = "/bench-libraries"
ROWS = tuple((operation, window) for operation in ("set", "get") for window in (WINDOW, 1))

Rates: TypeAlias = dict[tuple[str, int], float]
"""(operation, requests under way): operations a second."""


def libraries(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """By the library's name; coord's own only where the servers speak its protocol."""
    ensemble.wait_leader()
    address = ensemble.members[(ensemble.followers() or list(ensemble.members))[0]].client_address
    _tell(report, "kazoo", _kazoo(address, scale.seconds))
    if ensemble.software.name == COORD:
        for backend in ("trio", "asyncio"):
            _tell(report, f"coord, tasks on {backend}", anyio.run(_tasks, address, scale.seconds, backend=backend))
            rates = anyio.run(_pipeline, address, scale.seconds, backend=backend)
            _tell(report, f"coord, pipeline on {backend}", rates)


def _tell(report: Report, library: str, rates: Rates) -> None:
    for (operation, window), rate in rates.items():
        report.figure(f"one client with {library}: {operation} x {window}, /s", rate)


def _kazoo(address: str, seconds: float) -> Rates:
    client = KazooClient(hosts=address)
    client.start(timeout=30)
    try:
        client.ensure_path(PATH)
        client.set(PATH, VALUE)
        calls: dict[str, Callable[[], Any]] = {
            "set": lambda: client.set_async(PATH, VALUE),
            "get": lambda: client.get_async(PATH),
        }
        return {row: _kazoo_rate(calls[row[0]], row[1], seconds) for row in ROWS}
    finally:
        client.delete(PATH)
        client.stop()
        client.close()


def _kazoo_rate(call: Callable[[], Any], window: int, seconds: float) -> float:
    waiting: deque[Any] = deque()
    done, begin = 0, time.perf_counter()
    while time.perf_counter() < begin + seconds:
        waiting.append(call())
        if len(waiting) >= window:
            waiting.popleft().get()
            done += 1
    elapsed = time.perf_counter() - begin
    for each in waiting:
        each.get()
    return done / elapsed


async def _tasks(address: str, seconds: float) -> Rates:
    found: Rates = {}
    async with coord.connect(address) as client:
        await client.create(PATH, VALUE)
        for operation, window in ROWS:
            done, end = 0, time.perf_counter() + seconds

            async def work(operation: str = operation, end: float = end) -> None:
                nonlocal done
                while time.perf_counter() < end:
                    if operation == "set":
                        await client.set(PATH, VALUE)
                    else:
                        await client.get(PATH)
                    done += 1

            begin = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for _ in range(window):
                    tasks.start_soon(work)
            found[operation, window] = done / (time.perf_counter() - begin)
        await client.delete(PATH)
    return found


async def _pipeline(address: str, seconds: float) -> Rates:
    found: Rates = {}
    async with coord.connect(address) as client:
        await client.create(PATH, VALUE)
        for operation in ("set", "get"):
            done, begin = 0, time.perf_counter()
            while time.perf_counter() < begin + seconds:
                async with client.pipeline() as pipe:
                    for _ in range(WINDOW):
                        if operation == "set":
                            pipe.set(PATH, VALUE)
                        else:
                            pipe.get(PATH)
                done += WINDOW
            found[operation, WINDOW] = done / (time.perf_counter() - begin)
        await client.delete(PATH)
    return found
