"""What one server's disk has to hold: the model its real store is held against.

The steps of the protocol are done here too, on plain lists, with the laws that hold for them (I1, I4, I6). What the
real store reads back after a power cut must be the effect of a prefix of the steps, and of all that it said were done.
Where the disk has rotted some of that may be gone, but not unseen: the store says up to where something may be missing.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace

from coord.model.entries import Batch
from coord.model.message import message
from coord.paxos.effects import (
    Append,
    Ballot,
    InstallSnapshot,
    MendLog,
    SaveBallot,
    SnapshotPart,
    Step,
    TruncateLog,
)
from coord.storage.store import Store
from tools.simulate.ghost import Violation, check_successor


@message
class Durable:
    """What was durable when some steps were done."""

    ballot: Ballot
    last: int


class Kept:
    """A ballot and a log that goes on from `base`, or from the snapshot."""

    __slots__ = (
        "_former",
        "_lost",
        "_lost_floor",
        "ballot",
        "base",
        "batches",
        "by_last",
        "installed",
        "snapshot_zxid",
    )

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        self.base = 0  # every batch after this zxid is here
        self.batches: list[Batch] = []
        self.by_last: dict[int, Batch] = {}
        self.snapshot_zxid = 0
        self.installed = 0  # how many states have come from a leader
        self._lost: dict[int, Batch] = {}  # by last zxid: what was here and has rotted
        self._former: dict[int, Batch] = {}  # by last zxid: what a snapshot made void; should that rot, it shows again
        self._lost_floor = 0  # a state up to here was on the disk, and has rotted

    def __repr__(self) -> str:
        return f"<Kept to {self.last:#x}, from {self.base:#x}, snapshot at {self.snapshot_zxid:#x}, {self.ballot}>"

    @property
    def last(self) -> int:
        return self.batches[-1].last if self.batches else self.base

    def holds(self, batch: Batch) -> bool:
        """Whether `batch` would survive a power cut, or would have before it rotted: that is not forgotten."""
        own = self.by_last.get(batch.last) or self._lost.get(batch.last)
        floor = max(self.base, self.snapshot_zxid, self._lost_floor)
        return own.encoded == batch.encoded if own is not None else batch.last <= floor

    @property
    def damaged(self) -> bool:
        """Whether something that was durable is missing."""
        return self.ballot.suspect > self.last

    def durable(self) -> Durable:
        return Durable(self.ballot, self.last)

    def copy(self) -> "Kept":
        other = copy(self)
        other.batches, other.by_last, other._lost = list(self.batches), dict(self.by_last), dict(self._lost)
        return other

    # ---- changes

    def perform(self, step: Step) -> None:
        STEPS[type(step)](self, step)

    def _save(self, step: SaveBallot) -> None:
        old, new = self.ballot, step.ballot
        if new.promised < old.promised or new.accepted < old.accepted or new.accepted > new.promised:
            raise Violation(f"I1: the ballot {old} became {new}")
        if new.promised == old.promised and old.promised_to not in (0, new.promised_to):
            raise Violation(f"I1: the promise of epoch {old.promised} went from {old.promised_to} to {new.promised_to}")
        self.ballot = new

    def _append(self, step: Append) -> None:
        batch = step.batch
        check_successor(self.last, batch)
        if batch.epoch > self.ballot.promised:
            raise Violation(f"I1: a batch of epoch {batch.epoch} is durable before the promise, {self.ballot}")
        self.batches.append(batch)
        self.by_last[batch.last] = batch

    def _truncate(self, step: TruncateLog) -> None:
        if step.to != self.base and step.to not in self.by_last:
            raise Violation(f"I4: the log is cut at {step.to:#x}, where no batch ends")
        if step.to < self.snapshot_zxid:
            raise Violation(f"I6: the log is cut at {step.to:#x}, below the snapshot at {self.snapshot_zxid:#x}")
        while self.last > step.to:
            self._drop_last()

    def _drop_last(self) -> None:
        del self.by_last[self.batches.pop().last]

    def _part(self, step: SnapshotPart) -> None:
        """Of no effect until the whole is installed."""

    def _install(self, step: InstallSnapshot) -> None:
        self.base = self.snapshot_zxid = step.zxid
        self._former = self.by_last
        self.batches, self.by_last = [], {}
        self.installed += 1

    def _mend(self, step: MendLog) -> None:
        """What was lost comes back as it was, wherever it comes from."""
        if step.after != self.last or not step.batches or step.batches[-1].last < self.ballot.suspect:
            raise Violation(f"I4: a log that ends with {self.last:#x} is mended after {step.after:#x}, {self.ballot}")
        for batch in step.batches:
            lost = self._lost.get(batch.last)
            if lost is not None and lost.encoded != batch.encoded:
                raise Violation(f"I12: {batch.last:#x} is mended with another batch than was lost")
            self._append(Append(batch))

    def housekept(self, snapshot_zxid: int, base: int) -> None:
        """The server has published a snapshot of its own, and dropped the log that nobody needs any more."""
        if snapshot_zxid < self.snapshot_zxid or base > snapshot_zxid:
            raise Violation(f"I9: the store has a snapshot at {snapshot_zxid:#x}, log after {base:#x}; it had {self}")
        self.snapshot_zxid = snapshot_zxid
        if base > self.base:
            if base not in self.by_last:
                raise Violation(f"I4: the log begins after {base:#x}, where no batch ends")
            self.base = base
            self.batches = [batch for batch in self.batches if batch.last > base]
            self.by_last = {batch.last: batch for batch in self.batches}

    # ---- after a power cut

    def recovered(self, store: Store, on_the_way: Sequence[Step]) -> None:
        """Become what `store` read back. Raises Violation (I2) if that is not ours after some of the steps."""
        for _ in self._prefixes(on_the_way):
            if self._same_ballot(store) and self.last == store.last and self._same_log(store):
                self.ballot = store.ballot
                self.housekept(store.last_snapshot_zxid, store.log_start)
                return
        raise Violation(
            f"I2: server {self.ballot.server} read back {store.ballot}, log to {store.last:#x}, snapshot "
            f"{store.last_snapshot_zxid:#x}; its disk should hold {self} or less, back to {list(map(type, on_the_way))}"
        )

    def _same_ballot(self, store: Store) -> bool:
        """A mended log needs no mark any more, and a power cut may come before that has been taken away."""
        suspect = store.ballot.suspect
        return replace(self.ballot, suspect=suspect) == store.ballot and (
            suspect == self.ballot.suspect or (suspect == 0 and store.last >= self.ballot.suspect)
        )

    def rotted(self, store: Store, on_the_way: Sequence[Step]) -> None:
        """The disk has rotted: become what `store` still shows. Raises Violation (I2) if more is gone than it says."""
        for _ in self._prefixes(on_the_way):
            same_word = replace(self.ballot, suspect=0) == replace(store.ballot, suspect=0)
            if same_word and max(store.last, store.ballot.suspect) >= self.last and self._has_shown(store):
                self._lose(store)
                return
        raise Violation(
            f"I2: server {self.ballot.server} read back {store.ballot}, log to {store.last:#x}, snapshot "
            f"{store.last_snapshot_zxid:#x} after its disk rotted; it should own up to {self}"
        )

    def _has_shown(self, store: Store) -> bool:
        """Whether all that it shows was here, perhaps before an installed snapshot that has rotted since."""
        here = self._former | self.by_last
        found = store.recovered.batches
        return all(batch.last in here and batch.encoded == here[batch.last].encoded for batch in found)

    def _lose(self, store: Store) -> None:
        self._lost |= {batch.last: batch for batch in self.batches if batch.last > store.last}
        self._lost_floor = max(self._lost_floor, self.base, self.snapshot_zxid)
        self.ballot = store.ballot
        self.base, self.snapshot_zxid = store.log_start, store.last_snapshot_zxid
        here = self._former | self.by_last if store.last not in self.by_last else self.by_last
        self._former = self._former | self.by_last  # the files are there until the log goes on
        self.batches = [here[last] for last in sorted(here) if self.base < last <= store.last]
        self.by_last = {batch.last: batch for batch in self.batches}

    def _prefixes(self, steps: Sequence[Step]) -> Iterator[None]:
        """This goes through all that a power cut may have left of the steps."""
        yield
        for step in steps:
            if isinstance(step, TruncateLog):
                while self.batches and self.last > step.to:  # segment by segment, from the end
                    self._drop_last()
                    yield
            self.perform(step)
            yield

    def _same_log(self, store: Store) -> bool:
        found = store.recovered.batches
        mine = [batch for batch in self.batches if batch.last > store.recovered.snapshot_zxid]
        return len(found) == len(mine) and all(a.encoded == b.encoded for a, b in zip(found, mine, strict=True))


STEPS: dict[type, Callable[..., None]] = {
    SaveBallot: Kept._save,
    Append: Kept._append,
    TruncateLog: Kept._truncate,
    SnapshotPart: Kept._part,
    InstallSnapshot: Kept._install,
    MendLog: Kept._mend,
}
