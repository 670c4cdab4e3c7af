"""What a lock costs: recipes' Lock on coord, kazoo's on ZooKeeper (and on coord).

Uncontended: one client takes the lock and gives it back, again and again. Contended: ten contenders of two clients pass
it round; a hand-over is the time from the end of one body to the beginning of the next. With coord's also a thousand
contenders, each of whom holds it once: a release should cost as much as with ten.

And all this with `confirm=False`: whoever leaves goes on while its release is on its way. In the uncontended row each
release then travels with the next take, so it is one round trip and not two; a hand-over still waits for the release to
be done, but the one who leaves stands in line again sooner. kazoo has no such option, so these rows have no goal.
"""

import statistics
import threading
import time

import anyio
from kazoo.client import KazooClient

import coord
from coord.model.message import message
from recipes import Lock
from tools.bench.figures import Report, Scale
from tools.bench.goals import (
    COORD,
    HANDOVER_MANY,
    HANDOVER_P50,
    HANDOVER_P99,
    KAZOO,
    LIBRARIES,
    TAKEN,
    UNCONFIRMED,
    lock_row,
)
from tools.ensembles import Ensemble

PATH = "/bench-locks"
CONTENDERS = 10


@message
class LockRates:
    """Of one library. Hand-overs in milliseconds; the last is None where it was not measured."""

    per_second: float
    handover_p50_ms: float
    handover_p99_ms: float
    handover_many_p50_ms: float | None


class Baton:
    """Notes the hand-overs of a lock that is passed round in one process."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._left_s = 0.0

    def take(self) -> None:
        if self._left_s:
            self.times_s.append(time.perf_counter() - self._left_s)

    def leave(self) -> None:
        self._left_s = time.perf_counter()


def locks(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """By the library's name; coord's own only where the servers speak its protocol."""
    ensemble.wait_leader()
    address = ensemble.members[(ensemble.followers() or list(ensemble.members))[0]].client_address
    _tell(report, KAZOO, _kazoo(address, scale.seconds))
    if ensemble.software.name == COORD:
        for backend, library in zip(("trio", "asyncio"), LIBRARIES, strict=True):
            _tell(report, library, anyio.run(_recipes, address, scale, True, backend=backend), scale.contenders)
            _tell(
                report,
                UNCONFIRMED.format(library=library),
                anyio.run(_recipes, address, scale, False, backend=backend),
            )


def _tell(report: Report, library: str, rates: LockRates, many: int = 0) -> None:
    report.figure(lock_row(library, TAKEN), rates.per_second)
    report.figure(lock_row(library, HANDOVER_P50), rates.handover_p50_ms)
    report.figure(lock_row(library, HANDOVER_P99), rates.handover_p99_ms)
    if rates.handover_many_p50_ms is not None and rates.handover_p50_ms:
        report.figure(
            lock_row(library, HANDOVER_MANY.format(many=many)), rates.handover_many_p50_ms / rates.handover_p50_ms
        )


def _rates(per_second: float, times_s: list[float], many_s: list[float] | None) -> LockRates:
    cuts = statistics.quantiles(times_s, n=100) if len(times_s) > 1 else [0.0] * 99
    many_ms = statistics.median(many_s) * 1000 if many_s else None
    return LockRates(per_second, cuts[49] * 1000, cuts[98] * 1000, many_ms)


def _kazoo(address: str, seconds: float) -> LockRates:
    clients = [KazooClient(hosts=address) for _ in range(2)]
    for client in clients:
        client.start(timeout=30)
    try:
        lock = clients[0].Lock(PATH + "/kazoo-alone")
        done, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            with lock:
                done += 1
        per_second = done / (time.perf_counter() - begin)
        return _rates(per_second, _kazoo_handovers(clients, seconds), None)
    finally:
        for client in clients:
            client.stop()
            client.close()


def _kazoo_handovers(clients: list[KazooClient], seconds: float) -> list[float]:
    baton, end = Baton(), time.perf_counter() + seconds

    def contend(client: KazooClient) -> None:
        while time.perf_counter() < end:
            with client.Lock(PATH + "/kazoo"):
                baton.take()
                baton.leave()

    threads = [threading.Thread(target=contend, args=(clients[number % 2],)) for number in range(CONTENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return baton.times_s


async def _recipes(address: str, scale: Scale, confirm: bool) -> LockRates:
    seconds = scale.seconds
    async with coord.connect(address) as one, coord.connect(address) as two:
        lock = Lock(one, PATH + "/alone", confirm=confirm)
        done, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            async with lock:
                done += 1
        per_second = done / (time.perf_counter() - begin)
        few = await _handovers([one, two], CONTENDERS, seconds, confirm)
        many = await _handovers([one, two], scale.contenders, 0.0, True) if confirm and scale.contenders else None
        return _rates(per_second, few, many)


async def _handovers(clients: list[coord.Client], contenders: int, seconds: float, confirm: bool) -> list[float]:
    baton, end = Baton(), time.perf_counter() + seconds
    path = f"{PATH}/of-{contenders}"

    async def contend(client: coord.Client) -> None:
        while True:
            async with Lock(client, path, confirm=confirm):
                baton.take()
                baton.leave()
            if time.perf_counter() >= end:
                return

    first = Lock(clients[0], path)
    async with anyio.create_task_group() as tasks, first:  # until all stand in the line
        for number in range(contenders):
            tasks.start_soon(contend, clients[number % 2])
        while len(await clients[0].children(path)) <= contenders:  # noqa: ASYNC110  znodes that others make
            await anyio.sleep(0.05)
    return baton.times_s
