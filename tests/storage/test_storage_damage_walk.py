"""A damaged store on a random way: rot, leaders, mending, and power cuts at any operation, of a start too.

The model knows what was acknowledged. Whatever happens, a start shows only what was written, and claims all the rest.
"""

from dataclasses import replace
from random import Random

import pytest
from storage_model import IDENTITY, SERVER, chunks_of, make_batch, take_snapshot

from coord.model.entries import Batch
from coord.paxos.effects import Append, InstallSnapshot, MendLog, SaveBallot, SnapshotPart, Step, TruncateLog
from coord.paxos.mending import Mending
from coord.storage.memory import MemoryDisk, PowerCut
from coord.storage.store import Store, StoreSettings

SETTINGS = StoreSettings(segment_bytes=1200, snapshots_kept=2)


class Walk:
    """`whole`: the history as it was when the log was last whole."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.disk = MemoryDisk()
        self.epoch = 1
        self.whole: list[Batch] = []
        self.ever: set[bytes] = set()  # all that was ever written
        self.acknowledged = 0  # up to here something may have been told to others
        self.committed = 0  # a snapshot is of what no leader lacks
        self.rotten = False
        self.left = -1  # operations until the power goes
        self.disk.before = self._before
        self.store = self._open()
        self._perform([SaveBallot(replace(self.store.ballot, promised=1, promised_to=1, accepted=1))])

    def _before(self, verb: str, name: str) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= self.left > 0

    def _open(self) -> Store:
        return Store.open(self.disk, server=SERVER, identity_if_new=IDENTITY, settings=SETTINGS, has_peers=True)

    def _perform(self, steps: list[Step]) -> None:
        self.store.perform(steps)

    @property
    def damaged(self) -> bool:
        return self.store.ballot.suspect > self.store.last

    # ---- what happens

    def append(self) -> None:
        if self.damaged:
            return
        ballot = self.store.ballot
        self._perform([SaveBallot(replace(ballot, promised=self.epoch, promised_to=1, accepted=self.epoch, suspect=0))])
        for _ in range(self.rng.randint(1, 3)):
            epoch = self.epoch if self.store.last >> 40 != self.epoch else None
            batch = make_batch(self.store.last, epoch=epoch, body=self.rng.randbytes(self.rng.choice((3, 200, 700))))
            self.whole.append(batch)
            self.ever.add(batch.encoded)
            self._perform([Append(batch)])
            self.acknowledged = batch.last

    def follow(self) -> None:
        """A leader cuts the log and gives its own history, perhaps not all of it before it dies."""
        shown = self._shown()
        ends = [batch.last for batch in shown if batch.last >= max(self.committed, self.store.last_snapshot_zxid)]
        to = self.rng.choice(ends[-3:]) if ends and self.rng.random() < 0.5 else self.store.last
        again = Mending(self.committed, self.whole).batches(to) or []
        if to < self.committed and not again:
            return  # only a snapshot can help
        self.epoch += 1
        self._perform([SaveBallot(replace(self.store.ballot, promised=self.epoch, promised_to=2))])
        was_damaged = self.damaged
        history = [batch for batch in shown if batch.last <= to] + again
        if to < self.store.last:
            if not was_damaged:
                self.acknowledged = min(self.acknowledged, to)
                self.whole = [batch for batch in self.whole if batch.last <= to]
            self._perform([TruncateLog(to)])
        self._perform([Append(batch) for batch in again])
        previous = max(to, again[-1].last if again else 0)
        for _ in range(self.rng.choice((0, 0, 1, 3))):
            batch = make_batch(previous, epoch=self.epoch - 1 if previous >> 40 < self.epoch - 1 else None)
            self.ever.add(batch.encoded)
            history.append(batch)
            previous = batch.last
            self._perform([Append(batch)])
        if self.rng.random() < 0.7:
            self.whole, self.acknowledged = history, min(self.acknowledged, previous)
            self._perform([SaveBallot(replace(self.store.ballot, accepted=self.epoch, suspect=0))])
            self.acknowledged = previous

    def mend(self) -> None:
        batches = Mending(self.store.ballot.suspect, self.whole).batches(self.store.last) if self.damaged else None
        if batches:
            self._perform([MendLog(self.store.last, batches), SaveBallot(replace(self.store.ballot, suspect=0))])

    def install(self) -> None:
        zxid = max(self.acknowledged, self.store.last, self.store.ballot.suspect & ~(1 << 39)) + 3
        if zxid >> 40 >= self.epoch + 1:
            return
        self.epoch += 1
        self._perform([SaveBallot(replace(self.store.ballot, promised=self.epoch, promised_to=2))])
        parts = [SnapshotPart(zxid, index, chunk) for index, chunk in enumerate(chunks_of(zxid))]
        self._perform([*parts, InstallSnapshot(zxid)])
        self.whole, self.acknowledged, self.committed = [], zxid, zxid
        self._perform([SaveBallot(replace(self.store.ballot, accepted=self.epoch, suspect=0))])

    def snapshot(self) -> None:
        if self.store.last > self.store.last_snapshot_zxid:
            self.committed = max(self.committed, self.store.last)
            take_snapshot(self.store, self.store.last, chunks_of(self.store.last))

    def rot(self) -> None:
        if self.rotten:
            return
        contents = {name: data.rstrip(b"\0") for name, data in self.disk.contents().items()}
        names = [name for name, data in contents.items() if data and name.startswith(("log/", "snap", "tail"))]
        if names:
            name = self.rng.choice(names)
            at, size = self.rng.randrange(len(contents[name])), self.rng.choice((1, 4, 40, 600))
            self.disk.damage(name, at, bytes(byte ^ 0xA5 or 0xA5 for byte in contents[name][at : at + size]))
            self.rotten = True

    # ---- and what must hold

    def restart(self) -> None:
        """Perhaps a start dies as well."""
        self.left = -1
        self.disk.crash(self.rng) if self.rng.random() < 0.5 else self.disk.close()
        while True:
            self.left = self.rng.randint(0, 12) if self.rng.random() < 0.4 else -1
            try:
                self.store = self._open()
                break
            except PowerCut:
                self.left = -1
                self.disk.crash(self.rng)
        self.left = -1
        self.rotten = False
        store, damage = self.store, self.store.recovered.damage
        self.whole = [batch for batch in self.whole if batch.last <= max(store.last, store.ballot.suspect)]
        self.committed = max(self.committed, store.last_snapshot_zxid)
        self.epoch += 1  # a leader hands out each zxid once
        shown = [*self._shown(), *(damage.later if damage is not None else [])]
        assert all(batch.encoded in self.ever for batch in shown)
        assert max(store.last, store.ballot.suspect) >= self.acknowledged, "something is lost, and unseen"

    def _shown(self) -> list[Batch]:
        batches = self.store.read_batches(self.store.log_start, 1 << 30)
        assert batches is not None
        return batches

    def step(self) -> None:
        happening = self.rng.choice(
            (self.append, self.append, self.append, self.follow, self.mend, self.snapshot, self.rot, self.install)
        )
        self.left = self.rng.randint(0, 20) if self.rng.random() < 0.3 else -1
        try:
            happening()
        except PowerCut:
            self.restart()
        self.left = -1
        if self.rotten or self.rng.random() < 0.2:
            self.restart()
        if self.rng.random() < 0.3:
            self._look_without_rot()

    def _look_without_rot(self) -> None:
        """Nothing has rotted since the last start: the next one sees what this one would."""
        image = self.disk.copy()
        image.crash(self.rng)
        again = Store.open(image, server=SERVER, identity_if_new=IDENTITY, settings=SETTINGS, has_peers=True)
        assert (again.last, again.ballot.suspect > again.last) == (self.store.last, self.damaged)


@pytest.mark.parametrize("seed", range(200))
def test_nothing_that_was_acknowledged_is_lost_unseen(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(60):
        walk.step()
