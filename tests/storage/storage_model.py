"""A model of what a store may hold, and a walk that cuts the power at every operation of a random history."""

from dataclasses import dataclass, replace
from random import Random

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, zxid_of
from coord.paxos.effects import Append, Ballot, InstallSnapshot, SaveBallot, SnapshotPart, Step, TruncateLog
from coord.storage.disk import Disk
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store, StoreSettings

SERVER = 3
IDENTITY = 0x1DE
SETTINGS = StoreSettings(segment_bytes=900, snapshots_kept=2)


def make_batch(previous: int, *, epoch: int | None = None, count: int = 1, body: bytes = b"body") -> Batch:
    """The batch that follows `previous`, in the same epoch or the first of another."""
    first = previous + 1 if epoch is None else zxid_of(epoch, 1)
    first = max(first, zxid_of(1, 1))
    batch = Batch(first >> 40, first, count, previous, 0, 0, 0, body)
    encode_batch(batch)
    return batch


def make_batches(count: int, *, previous: int = 0, body: bytes = b"body") -> list[Batch]:
    batches: list[Batch] = []
    for _ in range(count):
        batches.append(make_batch(previous, body=body))
        previous = batches[-1].last
    return batches


def open_store(disk: Disk, settings: StoreSettings = SETTINGS, identity: int = IDENTITY) -> Store:
    return Store.open(disk, server=SERVER, identity_if_new=identity, settings=settings)


def append_all(store: Store, batches: list[Batch]) -> None:
    store.perform([Append(batch) for batch in batches])


def take_snapshot(store: Store, zxid: int, chunks: tuple[bytes, ...] = (b"state",)) -> None:
    writer = store.begin_snapshot(zxid)
    for chunk in chunks:
        writer.write(chunk)
    writer.finish()


def chunks_of(zxid: int) -> tuple[bytes, ...]:
    """What the snapshot at `zxid` holds, in every test."""
    return (f"state at {zxid:#x}".encode(), b"", bytes(zxid % 300))


@dataclass(frozen=True)
class State:
    """What a store holds: `log` are all batches after the installed snapshot `base` (0: from the beginning)."""

    ballot: Ballot
    base: int = 0
    log: tuple[Batch, ...] = ()

    @property
    def last(self) -> int:
        return self.log[-1].last if self.log else self.base

    def after(self, step: Step) -> "list[State]":
        """All states through which a disk may go while it does the step; the last one is when it is done."""
        match step:
            case Append(batch):
                return [replace(self, log=(*self.log, batch))]
            case SaveBallot(ballot):
                return [replace(self, ballot=ballot)]
            case TruncateLog(to):
                states = [self]
                while states[-1].last > to:
                    states.append(replace(self, log=states[-1].log[:-1]))
                return states
            case SnapshotPart():
                return [self]
            case InstallSnapshot(zxid):
                return [State(self.ballot, zxid)]
        raise AssertionError(step)

    def shows(self, store: Store) -> bool:
        """Whether this is what the store has recovered."""
        found = store.recovered
        zxid = found.snapshot_zxid
        if store.ballot != self.ballot or (zxid != self.base and all(batch.last != zxid for batch in self.log)):
            return False
        wanted = [batch.encoded for batch in self.log if batch.last > zxid]
        return [batch.encoded for batch in found.batches] == wanted


class Walk:
    """A random history on one disk. At every operation of the disk the power is cut on copies of it."""

    def __init__(self, seed: int, disk: MemoryDisk, *, crashes: int = 2) -> None:
        self.chance = Random(seed)
        self.crashes = crashes
        self.disk = disk
        self.state = State(Ballot(SERVER, IDENTITY))
        self.legal = [self.state]
        self.snapshot = 0  # the newest whose making has returned
        self.snapshot_begun = 0
        self.epoch = 1
        self.checked = 0
        self.store = open_store(disk)
        disk.before = lambda verb, name: self.cut_power()

    def cut_power(self) -> None:
        for seed in (None, *(self.chance.random() for _ in range(self.crashes))):
            disk = self.disk.copy()
            disk.crash(None if seed is None else Random(seed))
            self.check(disk)
            self.checked += 1

    def check(self, disk: MemoryDisk) -> None:
        """What survived must be legal; it must take new batches, and be legal again after one more crash."""
        store = open_store(disk, identity=IDENTITY + 1)
        shown = [state for state in self.legal if state.shows(store)]
        assert shown, f"recovered {store} {store.recovered}, which is none of {self.legal}"
        zxid = store.recovered.snapshot_zxid
        assert zxid in {self.snapshot, self.snapshot_begun, shown[0].base}, f"the snapshot at {zxid:#x}"
        assert zxid >= self.snapshot or zxid == shown[0].base, f"{self.snapshot:#x} was lost"
        if zxid:
            assert tuple(store.snapshot_chunks()) == chunks_of(zxid)
        assert store.recovered.log_start <= zxid
        batch = make_batch(shown[0].last, epoch=self.epoch + 1, body=self.chance.randbytes(20))
        append_all(store, [batch])
        disk.crash(Random(self.checked))
        again = open_store(disk)
        assert replace(shown[0], log=(*shown[0].log, batch)).shows(again), f"{again} after one more batch"

    def perform(self, steps: list[Step]) -> None:
        self.legal = [self.state]
        for step in steps:
            self.legal += self.legal[-1].after(step)
        done = self.legal[-1]
        self.store.perform(steps)
        self.state, self.legal = done, [done]

    # ---- what may happen

    def next_batch(self, previous: int) -> Batch:
        epoch = None
        if self.chance.random() < 0.2 or previous >> 40 != self.epoch:
            self.epoch = epoch = self.epoch + 1
        return make_batch(
            previous,
            epoch=epoch,
            count=self.chance.randint(1, 4),
            body=self.chance.randbytes(self.chance.randrange(300)),
        )

    def next_batches(self) -> list[Batch]:
        batches: list[Batch] = []
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            batches.append(self.next_batch(batches[-1].last if batches else self.state.last))
        return batches

    def append(self) -> None:
        self.perform([Append(batch) for batch in self.next_batches()])

    def save_ballot(self) -> None:
        old = self.state.ballot
        promised = old.promised + self.chance.randint(0, 2)
        ballot = next_ballot(old, promised, self.chance.randint(old.accepted, promised))
        self.perform([*(Append(batch) for batch in self.next_batches()), SaveBallot(ballot)])

    def truncate(self) -> None:
        floor = max(self.snapshot, self.state.base)
        to = self.chance.choice([floor, *(batch.last for batch in self.state.log if batch.last > floor)])
        self.epoch += 1
        batch = make_batch(to, epoch=self.epoch)
        self.perform([TruncateLog(to)] if self.chance.random() < 0.5 else [TruncateLog(to), Append(batch)])

    def take_snapshot(self) -> None:
        choices = [batch.last for batch in self.state.log if batch.last > self.snapshot]
        if choices:
            self.finish_snapshot(self.chance.choice(choices))

    def take_snapshot_ahead(self) -> None:
        """A leader applies what its followers have written, before its own disk has."""
        batch = self.next_batch(self.state.last)
        before = self.snapshot
        self.finish_snapshot(batch.last)
        assert self.store.last_snapshot_zxid == before
        self.snapshot, self.snapshot_begun = before, batch.last
        self.perform([Append(batch)])
        assert self.store.last_snapshot_zxid == batch.last
        self.snapshot = batch.last

    def finish_snapshot(self, zxid: int) -> None:
        self.snapshot_begun = zxid
        take_snapshot(self.store, zxid, chunks_of(zxid))
        self.snapshot = zxid

    def install(self) -> None:
        """Of a newer epoch, or of a history that left ours in the middle of a batch."""
        lasts = [batch.first for batch in self.state.log if batch.first > self.snapshot and batch.first < batch.last]
        if lasts and self.chance.random() < 0.5:
            zxid = self.chance.choice(lasts)
        else:
            zxid = zxid_of(self.epoch + 1, self.chance.randint(1, 9))
        self.epoch += 1
        parts: list[Step] = [SnapshotPart(zxid, index, data) for index, data in enumerate(chunks_of(zxid))]
        if self.chance.random() < 0.3:
            self.perform(parts[:2])
        self.perform([*parts, InstallSnapshot(zxid)])
        self.snapshot = self.snapshot_begun = zxid

    def restart(self) -> None:
        if self.chance.random() < 0.5:
            self.store.close()
        else:
            self.disk.crash(Random(self.chance.random()))
        self.store = open_store(self.disk)
        assert self.state.shows(self.store)

    def run(self, events: int) -> None:
        actions = [self.append, self.append, self.append, self.save_ballot, self.truncate, self.take_snapshot]
        actions += [self.take_snapshot_ahead, self.install, self.restart]
        for _ in range(events):
            self.chance.choice(actions)()
        self.cut_power()


def next_ballot(ballot: Ballot, promised: int, accepted: int) -> Ballot:
    return Ballot(ballot.server, ballot.identity, 5, promised, SERVER, accepted)
