"""What clients do while servers suffer: small requests of many kinds on few znodes, so that a broken promise shows.

The znodes are those of the present generation, a folder of its own every few seconds: a search over all that was ever
done to a znode stays short. All folders are there before the first fault. No two writes write the same value.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TypeAlias

from coord.model.acl import OPEN_ACL
from coord.model.replies import Created, Reply
from coord.model.requests import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    AddWatch,
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Request,
    SetData,
)
from tools.chaos.clients import Client, NoConnectionError
from tools.check.history import WRITES, code_of

ROOT = "/chaos"
QUEUE = "queue"
REGISTERS = 3
PAUSE_S_MAX = 0.08
"""Between two requests of a client, if not told otherwise: the faults are to disturb the machine, not the load."""
BURST_SHARE, BURST_MAX = 0.1, 8
"""How often a client sends several requests in one go, and how many at most."""
MOVE_SHARE = 0.02
"""How often a client goes to another server, which may know less than the one it comes from."""
LEAVE_SHARE = 0.005
"""How often a client leaves for another one to come, so that sessions end and expire and take what is theirs along."""
RETRY_AFTER_S = 0.05

Make: TypeAlias = Callable[[str], Client]


def folder(generation: int) -> str:
    return f"{ROOT}/{generation:04d}"


def folders(generations: int) -> Iterator[str]:
    """What has to be there before the workers begin, in the order in which it can be made."""
    yield ROOT
    for generation in range(generations):
        yield folder(generation)
        yield f"{folder(generation)}/{QUEUE}"


class Worker:
    """A thread that is one client after the other, and does what chance tells it until it is stopped."""

    def __init__(
        self, name: str, make: Make, generation: Callable[[], int], seed: str, pause_s_max: float = PAUSE_S_MAX
    ) -> None:
        self.name = name
        self.acknowledged = 0  # writes that changed something, as their client was told
        self.sessions = 0
        self.defect: BaseException | None = None  # of this program or of a client's library
        self._make = make
        self._generation = generation
        self._random = Random(seed)
        self._pause_s_max = pause_s_max
        self._values = 0
        self._versions: dict[str, int] = {}  # of registers, as last seen
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; `join` waits."""
        self._stopping.set()

    def join(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    client = self._make(f"{self.name}.{self.sessions + 1}")
                except NoConnectionError:
                    self._stopping.wait(RETRY_AFTER_S)
                    continue
                self.sessions += 1
                try:
                    self._work(client)
                finally:
                    client.close()
        except BaseException as defect:
            self.defect = defect

    def _work(self, client: Client) -> None:
        while not self._stopping.is_set():
            if self._random.random() < BURST_SHARE:
                requests = [self._choose(client.watches)[0] for _ in range(self._random.randint(2, BURST_MAX))]
                replies = client.call_all(requests)
            else:
                request, linearizable = self._choose(client.watches)
                requests, replies = [request], [client.call(request, linearizable)]
            for request, reply in zip(requests, replies, strict=True):
                if reply is not None:
                    self._learn(request, reply)
            if None in replies and not client.go_on():
                return
            if self._random.random() < MOVE_SHARE and not client.move():
                return
            if self._random.random() < LEAVE_SHARE:
                if self._random.random() < 0.5:
                    client.end()  # else the session expires, if nobody hears of it in time
                return
            self._stopping.wait(self._random.uniform(0, self._pause_s_max))

    def _learn(self, request: Request, reply: Reply) -> None:
        if type(request) in WRITES and not code_of(reply):
            self.acknowledged += 1
        stat = getattr(reply, "stat", None)
        if stat is not None and not isinstance(reply, Created):
            self._versions[getattr(request, "path", "")] = stat.version

    # ---- what is asked

    def _choose(self, watches: bool) -> tuple[Request, bool]:
        """A request, and whether it is a read that has to show the newest state."""
        here = folder(self._generation())
        choice = self._random.random()
        for share, make in _SHARES:
            if choice < share:
                return make(self, here), False
            choice -= share
        watch = watches and self._random.random() < 0.5
        if choice < LIST_SHARE:
            # Where everything is: a search would have to take all of that together, so the witness has to do.
            return GetChildren(here, watch, True), False
        return self._read(here, watch), self._random.random() < 0.5

    def _value(self) -> bytes:
        self._values += 1
        return f"{self.name} {self._values}".encode()

    def _register(self, here: str) -> str:
        return f"{here}/r{self._random.randrange(REGISTERS)}"

    def _create(self, here: str) -> Request:
        return Create(self._register(here), self._value(), OPEN_ACL)

    def _set(self, here: str) -> Request:
        return SetData(self._register(here), self._value())

    def _compare_and_set(self, here: str) -> Request:
        path = self._register(here)
        return SetData(path, self._value(), self._versions.get(path, 0))

    def _delete(self, here: str) -> Request:
        return Delete(self._register(here))

    def _enqueue(self, here: str) -> Request:
        return Create(f"{here}/{QUEUE}/{self.name}-", self._value(), OPEN_ACL, PERSISTENT_SEQUENTIAL)

    def _appear(self, here: str) -> Request:
        return Create(f"{here}/e-{self.name}", self._value(), OPEN_ACL, EPHEMERAL)

    def _multi(self, here: str) -> Request:
        one, other = self._random.sample(range(REGISTERS), 2)
        first, second = f"{here}/r{one}", f"{here}/r{other}"
        made = Create(second, self._value(), OPEN_ACL) if self._random.random() < 0.3 else None
        checked = CheckVersion(first, self._versions.get(first, 0)) if self._random.random() < 0.5 else None
        return Multi((checked or SetData(first, self._value()), made or SetData(second, self._value())))

    def _read(self, here: str, watch: bool) -> Request:
        kind = self._random.randrange(8)
        if kind < 4:
            return GetData(self._register(here), watch)
        if kind < 6:
            return Exists(self._register(here), watch)
        if kind < 7 or not watch:
            return GetChildren(f"{here}/{QUEUE}", watch, True)
        return AddWatch(here, self._random.randrange(2))


LIST_SHARE = 0.05
_SHARES: Sequence[tuple[float, Callable[[Worker, str], Request]]] = (
    (0.12, Worker._create),
    (0.16, Worker._set),
    (0.12, Worker._compare_and_set),
    (0.06, Worker._delete),
    (0.06, Worker._multi),
    (0.08, Worker._enqueue),
    (0.04, Worker._appear),
)
"""How often a client does what; the rest of the time it reads."""
