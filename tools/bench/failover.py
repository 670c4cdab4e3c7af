"""How long writes stand still when the leader is killed, or frozen.

One client on each surviving server writes without a pause, one request in flight. The gap is the longest time
between two of its acknowledgements around the fault: what a user of that server would have waited. A client
whose connection is closed goes on with its session on the same server, as any client library would; each such
loss is counted.
"""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.bench.figures import Report, Scale
from tools.bench.goals import OUTAGE
from tools.ensembles import Ensemble, EnsembleError
from tools.wire.client import HungUpError, RawClient, RawError, SessionRefusedError

_BEFORE_S = 0.5
_ANSWERS_AFTER = 20  # more than what may have been on its way when the fault struck
_LIMIT_S = 60.0
_RECONNECT_PAUSE_S = 0.005

FAULTS: dict[str, tuple[Callable[[Ensemble, int], None], Callable[[Ensemble, int], None]]] = {
    "killed": (Ensemble.kill9, Ensemble.start),
    "frozen": (Ensemble.sigstop, Ensemble.sigcont),
}
"""What is done to the leader, and what undoes it."""


@dataclass(slots=True, frozen=True)
class Trial:
    """One fault: the worst survivor's gap, and how many of the survivors' connections were lost."""

    gap_s: float
    connections_lost: int


class Prober:
    """Writes on one server and notes when each write was acknowledged."""

    def __init__(self, port: int, path: str) -> None:
        self.answered: list[float] = []
        self.connections_lost = 0
        self.trouble = ""
        self._port = port
        self._path = path
        self._stopping = threading.Event()
        self._client = RawClient(port, wait_s=_LIMIT_S)
        self._client.create(path, b"")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(_LIMIT_S)

    def _run(self) -> None:
        client = self._client
        try:
            while not self._stopping.is_set():
                try:
                    client.set(self._path, b"x" * 100)
                    self.answered.append(time.perf_counter())
                except (HungUpError, OSError):
                    self.connections_lost += 1
                    client.stream.close()
                    client = self._reconnect(client)
            client.delete(self._path)
            client.close_session()
        except (RawError, SessionRefusedError, HungUpError, OSError) as error:
            self.trouble = f"{type(error).__name__}: {error}"
        finally:
            client.stream.close()

    def _reconnect(self, lost: RawClient) -> RawClient:
        while True:
            try:
                return RawClient(
                    self._port,
                    session=lost.session,
                    password=lost.password,
                    seen_zxid=lost.seen_zxid,
                    wait_s=_LIMIT_S,
                )
            except (HungUpError, OSError):
                if self._stopping.is_set():
                    raise
                time.sleep(_RECONNECT_PAUSE_S)


def failover(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """Each trial of each fault is a figure."""
    for fault in FAULTS:
        for _ in range(scale.trials):
            try:
                done = trial(ensemble, fault)
            except HungUpError as error:  # a server that is not itself again; the others count
                report.note(f"leader {fault}: a trial came to nothing, {error}")
                ensemble.wait_serving()
                continue
            report.figure(f"leader {fault}: {OUTAGE}", done.gap_s * 1000)
            report.figure(f"leader {fault}: connections of survivors lost", done.connections_lost)


def trial(ensemble: Ensemble, fault: str) -> Trial:
    """Strike the leader, measure, undo, and wait until all servers serve again."""
    strike, undo = FAULTS[fault]
    leader = ensemble.wait_leader()
    survivors = [member for id, member in ensemble.members.items() if id != leader]
    probers = [Prober(member.client_port, f"/bench-{member.id}") for member in survivors]
    try:
        time.sleep(_BEFORE_S)
        struck_at = time.perf_counter()
        strike(ensemble, leader)
        _wait_resumed(probers, struck_at)
    finally:
        for prober in probers:
            prober.stop()
    undo(ensemble, leader)
    ensemble.wait_serving()
    troubles = [prober.trouble for prober in probers if prober.trouble]
    if troubles:
        raise EnsembleError(f"a client did not get over the leader being {fault}: {'; '.join(troubles)}")
    gap_s = max(longest_gap(prober.answered, struck_at) for prober in probers)
    return Trial(gap_s, sum(prober.connections_lost for prober in probers))


def longest_gap(answered: list[float], struck_at: float) -> float:
    """The longest time between two answers, from the last one before the fault on."""
    first = max((index for index, at in enumerate(answered) if at <= struck_at), default=0)
    around = answered[first:]
    return max((later - earlier for earlier, later in itertools.pairwise(around)), default=float("inf"))


def _wait_resumed(probers: list[Prober], struck_at: float) -> None:
    deadline = time.perf_counter() + _LIMIT_S
    for prober in probers:
        while sum(at > struck_at for at in prober.answered[-2 * _ANSWERS_AFTER :]) < _ANSWERS_AFTER:
            if prober.trouble:
                return
            if time.perf_counter() > deadline:
                prober.trouble = f"no writes on port {prober._port} within {_LIMIT_S:g} s"
                return
            time.sleep(0.01)
