"""What one server's disk has to hold: the model its real store is held against.

The steps of the protocol are done here too, on plain lists, with the laws that hold for them (I1, I4, I6). What the
real store reads back after a power cut must be the effect of a prefix of the steps, and of all that it said were done.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy

from coord.model.entries import Batch
from coord.model.message import message
from coord.paxos.effects import Append, Ballot, InstallSnapshot, SaveBallot, SnapshotPart, Step, TruncateLog
from coord.storage.store import Store
from tools.simulate.ghost import Violation, check_successor


@message
class Durable:
    """What was durable when some steps were done."""

    ballot: Ballot
    last: int


class Kept:
    """A ballot and a log that goes on from `base`, or from the snapshot."""

    __slots__ = ("ballot", "base", "batches", "by_last", "installed", "snapshot_zxid")

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot
        self.base = 0  # every batch after this zxid is here
        self.batches: list[Batch] = []
        self.by_last: dict[int, Batch] = {}
        self.snapshot_zxid = 0
        self.installed = 0  # how many states have come from a leader

    def __repr__(self) -> str:
        return f"<Kept to {self.last:#x}, from {self.base:#x}, snapshot at {self.snapshot_zxid:#x}, {self.ballot}>"

    @property
    def last(self) -> int:
        return self.batches[-1].last if self.batches else self.base

    def holds(self, batch: Batch) -> bool:
        """Whether `batch` would survive a power cut."""
        own = self.by_last.get(batch.last)
        return own.encoded == batch.encoded if own is not None else batch.last <= max(self.base, self.snapshot_zxid)

    def durable(self) -> Durable:
        return Durable(self.ballot, self.last)

    def copy(self) -> "Kept":
        other = copy(self)
        other.batches, other.by_last = list(self.batches), dict(self.by_last)
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
        self.batches, self.by_last = [], {}
        self.installed += 1

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
            if self.ballot == store.ballot and self.last == store.last and self._same_log(store):
                self.housekept(store.last_snapshot_zxid, store.log_start)
                return
        raise Violation(
            f"I2: server {self.ballot.server} read back {store.ballot}, log to {store.last:#x}, snapshot "
            f"{store.last_snapshot_zxid:#x}; its disk should hold {self} or less, back to {list(map(type, on_the_way))}"
        )

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
}
