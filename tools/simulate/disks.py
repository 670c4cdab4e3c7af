"""A server's disk: the real store on a disk in memory, and a model beside it of what must be there.

Steps wait, are written together after a time, and are durable then. A server that dies meanwhile dies at some
operation of that write, and at some operation of the snapshot that it takes: what was not synced survives a power cut
in pieces of any kind, or not at all (coord/storage/memory.py).
"""

import errno
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random

from coord.paxos.effects import Ballot, InstallSnapshot, MendLog, SnapshotPart, Step, TruncateLog
from coord.storage.errors import StorageFailure, StorageRefused
from coord.storage.memory import MemoryDisk, PowerCut
from coord.storage.store import SnapshotWriter, Store, StoreSettings
from tools.simulate.ghost import Violation
from tools.simulate.kept import Durable, Kept

OPERATIONS_AHEAD = 12
"""A server dies at one of so many operations of its disk, or after the last of them."""

WRITING = ("write", "allocate", "create")
"""What a full disk refuses."""

Told = Callable[[Durable], None]


class ServerDisk:
    """`store` is None while the server is down."""

    def __init__(self, server: int, identity: int, settings: StoreSettings, situations: Counter[str]) -> None:
        self.server = server
        self.identity = identity
        self.memory = MemoryDisk(before=self._before)
        self.kept = Kept(Ballot(server, identity))
        self.store: Store | None = None
        self.taking: SnapshotWriter | None = None
        self.written = False  # the snapshot being taken: it may be finished
        self.full = False
        self.rotten = False  # and nobody has noticed yet
        self.eio_next = False  # the next sync fails
        self.eio_in = -1  # after so many operations, of any kind, one fails; -1: none does
        self._settings = settings
        self._situations = situations
        self._waiting: deque[tuple[Sequence[Step], Told]] = deque()
        self._flushing: list[tuple[Sequence[Step], Told]] = []
        self._unsure: list[Step] = []  # were on their way when the server died
        self._cut_after = -1  # operations until the power goes off; -1: it stays on

    def __repr__(self) -> str:
        return f"<ServerDisk {self.kept}>"

    def _before(self, verb: str, name: str) -> None:
        if self._cut_after >= 0:
            if self._cut_after == 0:
                raise PowerCut
            self._cut_after -= 1
        if self.full and verb in WRITING:
            raise OSError(errno.ENOSPC, "the simulated disk is full")
        if self.eio_in >= 0:
            self.eio_in -= 1
            if self.eio_in < 0:
                raise OSError(errno.EIO, "the simulated disk does not do it")
        if self.eio_next and verb in ("sync", "sync_folder"):
            self.eio_next = False
            raise OSError(errno.EIO, "the simulated disk does not take it")

    # ---- life and death

    def open(self, cut_after: int = -1) -> Store:
        """Start: read everything back. Raises StorageFailure if the disk fails there, PowerCut if the power does."""
        self._cut_after = cut_after
        try:
            store = self._reopen(self.memory)
        finally:
            self._cut_after = -1
        self._read_back(store, self.kept, self._unsure)
        self.rotten = False
        self._unsure = []
        self.store = store
        return store

    def begin(self, steps: Sequence[Step]) -> None:
        """What is on the disk before its server is ever started."""
        store = Store.open(self.memory, server=self.server, identity_if_new=self.identity, settings=self._settings)
        store.perform(steps)
        for step in steps:
            self.kept.perform(step)
        self.memory.close()

    def die(self, rng: Random, *, power_cut: bool) -> None:
        """The server stops here and now. Without a power cut the system still writes what it was given."""
        if self.store is not None:
            self._unsure = [step for some, _ in (*self._flushing, *self._waiting) for step in some]
        if self.store is not None and rng.random() < 0.7:
            self._cut_after = rng.randint(0, OPERATIONS_AHEAD)
            try:
                if self.taking is not None and self.written and rng.random() < 0.5:
                    self.taking.finish()
                self.store.perform(self._unsure)
            except (PowerCut, StorageFailure):
                self._situations["a server died between two operations of its disk"] += 1
            self._cut_after = -1
        if any(isinstance(step, TruncateLog) for step in self._unsure):
            self._situations["a server died while its log was cut"] += 1
        if any(isinstance(step, SnapshotPart | InstallSnapshot) for step in self._unsure):
            self._situations["a server died while it received a snapshot"] += 1
        if self._unsure:
            self._situations["a crash took steps that were not durable"] += 1
        self._flushing = []
        self._waiting.clear()
        self.store = self.taking = None
        self.eio_next, self.eio_in = False, -1
        if power_cut:
            self.memory.crash(rng)
        else:
            self.memory.close()

    def wipe(self, identity: int) -> None:
        """Another, empty disk."""
        assert self.store is None, "a disk is replaced while its server is down"
        self.identity = identity
        self.memory = MemoryDisk(before=self._before)
        self.kept = Kept(Ballot(self.server, identity))
        self._unsure = []
        self.rotten = False

    def rot(self, rng: Random) -> str:
        """Some bytes of one file change by themselves; which file, "" if there is none to speak of."""
        contents = {name: content.rstrip(b"\0") for name, content in self.memory.contents().items()}
        kind = rng.choice(("log/", "log/", "snapshots/", "tail", "ballot.a", "ballot.b"))
        names = [name for name, content in contents.items() if name.startswith(kind) and content]
        if not names:
            return ""
        name = rng.choice(names)
        at, size = rng.randrange(len(contents[name])), rng.choice((1, 1, 4, 40))
        flipped = bytes(byte ^ 0xA5 or 0xA5 for byte in contents[name][at : at + size])
        self.memory.damage(name, at, flipped)
        self.rotten = True
        return name

    def _read_back(self, store: Store, kept: Kept, on_the_way: Sequence[Step]) -> None:
        if not self.rotten:
            if store.recovered.damage is not None and not kept.damaged:
                raise Violation(
                    f"I2: server {self.server} finds damage where nothing has rotted: {store.recovered.damage.what}"
                )
            kept.recovered(store, on_the_way)
            return
        kept.rotted(store, on_the_way)
        if kept.damaged:
            self._situations["a disk had rotted, and entries were lost"] += 1
        else:
            self._situations["a disk had rotted, and nothing was lost"] += 1

    # ---- steps

    def submit(self, steps: Sequence[Step], told: Told) -> bool:
        """True if a write begins now; it is to be ended with `end_flush`."""
        self._waiting.append((steps, told))
        return not self._flushing and self.begin_flush()

    def begin_flush(self) -> bool:
        self._flushing = list(self._waiting)
        self._waiting.clear()
        return bool(self._flushing)

    def end_flush(self) -> list[tuple[Told, Durable]]:
        """What was being written is durable: whom to tell, and what held when their own steps were done.

        Raises StorageFailure if the disk fails: the server must then stop.
        """
        assert self.store is not None, "a server that is down writes nothing"
        self.store.perform([step for steps, _ in self._flushing for step in steps])
        done = []
        for steps, told in self._flushing:
            for step in steps:
                self.kept.perform(step)
                if type(step) in TOLD:
                    self._situations[TOLD[type(step)]] += 1
                    if self.taking is not None:
                        self._situations[TOLD[type(step)] + " while a snapshot was being taken"] += 1
            done.append((told, self.kept.durable()))
        self._flushing = []
        self.look()
        return done

    def look(self) -> None:
        """Learn of the snapshots that the store has published, and hold the rest against the model."""
        store, kept = self.store, self.kept
        assert store is not None
        if store.last_snapshot_zxid != kept.snapshot_zxid or store.log_start != kept.base:
            kept.housekept(store.last_snapshot_zxid, store.log_start)
        if store.last != kept.last or store.ballot != kept.ballot:
            raise Violation(f"I2: server {self.server} has {store!r}, {store.ballot} on its disk, not {kept}")

    # ---- what would survive

    def check_image(self, rng: Random) -> None:
        """I2: cut the power of a copy, in the middle of what it is just writing, and read it back."""
        steps = [step for some, _ in self._flushing for step in some]
        if self.store is None or any(isinstance(step, SnapshotPart | InstallSnapshot) for step in steps):
            return  # what was received of a snapshot so far is known to the real store only
        image, kept = self.memory.copy(), self.kept.copy()
        image.crash(rng)
        store = self._reopen(image)
        self._read_back(store, kept, ())
        if self.rotten:
            return  # who starts on it does not go on with what its former life was about to write
        operations = rng.randint(0, OPERATIONS_AHEAD)

        def before(verb: str, name: str) -> None:
            nonlocal operations
            operations -= 1
            if operations < 0:
                raise PowerCut

        image.before = before
        try:
            store.perform(steps)
        except PowerCut:
            self._situations["an image was cut between two operations"] += 1
        image.before = None
        image.crash(rng)
        self._read_back(self._reopen(image), kept, steps)
        self._situations["an image was read back"] += 1

    def _reopen(self, image: MemoryDisk) -> Store:
        try:
            return Store.open(
                image, server=self.server, identity_if_new=self.identity, settings=self._settings, has_peers=True
            )
        except StorageRefused as refused:
            raise Violation(f"I2: server {self.server} does not start: {refused}") from refused


TOLD: dict[type, str] = {
    TruncateLog: "a log was truncated",
    InstallSnapshot: "a snapshot was installed",
    MendLog: "a log was mended with what other servers had",
}
