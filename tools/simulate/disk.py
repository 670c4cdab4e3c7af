"""A server's disk in a simulated ensemble: what is durable, and steps on their way that a power cut may take.

As the real store promises: at every instant the disk holds the effect of a prefix of the steps.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random

from coord.model.entries import Batch, epoch_of
from coord.model.message import message
from coord.paxos.effects import Append, Ballot, InstallSnapshot, SaveBallot, SnapshotPart, Step, TruncateLog
from tools.simulate.ghost import Violation, check_successor


@message
class Durable:
    """What was durable when some steps were done."""

    ballot: Ballot
    last: int


@message
class Snapshot:
    zxid: int
    chunks: list[bytes]


class SimulatedDisk:
    """`after` runs something after a time; `latency_s` is what a sync takes now."""

    def __init__(self, ballot: Ballot, situations: Counter[str]) -> None:
        self.ballot = ballot
        self.snapshot: Snapshot | None = None
        self.base = 0  # every batch after this zxid is here
        self.batches: list[Batch] = []
        self.by_last: dict[int, Batch] = {}
        self.lineage = 0
        self.bytes_since_snapshot = 0
        self.waiting: deque[tuple[Sequence[Step], Callable[[Durable], None]]] = deque()
        self.flushing: list[tuple[Sequence[Step], Callable[[Durable], None]]] = []
        self._received: list[bytes] = []
        self._received_zxid = 0
        self._situations = situations

    @property
    def last(self) -> int:
        return self.batches[-1].last if self.batches else self.base

    @property
    def snapshot_zxid(self) -> int:
        return self.snapshot.zxid if self.snapshot else 0

    def holds(self, batch: Batch) -> bool:
        """Whether `batch` would survive a power cut."""
        own = self.by_last.get(batch.last)
        return own.encoded == batch.encoded if own is not None else batch.last <= max(self.base, self.snapshot_zxid)

    def durable(self) -> Durable:
        return Durable(self.ballot, self.last)

    def begin_flush(self) -> None:
        self.flushing = list(self.waiting)
        self.waiting.clear()

    def end_flush(self) -> list[tuple[Callable[[Durable], None], Durable]]:
        """All that was flushed is durable; whom to tell, and what held when their own steps were done."""
        done = []
        for steps, then in self.flushing:
            for step in steps:
                self.perform(step)
            done.append((then, self.durable()))
        self.flushing = []
        return done

    def crash(self, rng: Random) -> None:
        """A prefix of what was on its way survives."""
        steps = [step for some, _ in (*self.flushing, *self.waiting) for step in some]
        kept = rng.choice((0, len(steps), rng.randint(0, len(steps))))
        if kept < len(steps):
            self._situations["a crash took steps that were not durable"] += 1
        for step in steps[:kept]:
            self.perform(step)
        self.flushing = []
        self.waiting.clear()
        self._received = []

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
        self.bytes_since_snapshot += len(batch.body)

    def _truncate(self, step: TruncateLog) -> None:
        if step.to != self.base and step.to not in self.by_last:
            raise Violation(f"I4: the log is cut at {step.to:#x}, where no batch ends")
        if step.to < self.snapshot_zxid:
            raise Violation(f"I6: the log is cut at {step.to:#x}, below the snapshot at {self.snapshot_zxid:#x}")
        while self.batches and self.batches[-1].last > step.to:
            del self.by_last[self.batches.pop().last]
        self._situations["a log was truncated"] += 1

    def _part(self, step: SnapshotPart) -> None:
        if step.index == 0:
            self._received, self._received_zxid = [], step.zxid
        assert (len(self._received), self._received_zxid) == (step.index, step.zxid), "parts of a snapshot are in order"
        self._received.append(step.data)

    def _install(self, step: InstallSnapshot) -> None:
        assert self._received, "a snapshot is installed that was not received"
        assert self._received_zxid == step.zxid, "another snapshot was received than is installed"
        self.snapshot = Snapshot(step.zxid, self._received)
        self._received = []
        self.base = step.zxid
        self.batches, self.by_last = [], {}
        self.lineage += 1
        self.bytes_since_snapshot = 0
        self._situations["a snapshot was installed"] += 1

    def publish(self, snapshot: Snapshot, keep_log: bool) -> None:
        """The server has taken a snapshot of its own; the log before it, or before the last one, is dropped."""
        base = self.snapshot_zxid if keep_log else snapshot.zxid
        self.snapshot = snapshot
        self.bytes_since_snapshot = 0
        if base > self.base:
            assert base in self.by_last, f"no batch ends at the snapshot {base:#x}"
            self.base = base
            self.batches = [batch for batch in self.batches if batch.last > base]
            self.by_last = {batch.last: batch for batch in self.batches}

    # ---- reading

    def read_batches(self, after: int, count: int) -> list[Batch] | None:
        if after == self.base:
            return self.batches[:count]
        batch = self.by_last.get(after)
        if batch is None:
            return None
        start = self.batches.index(batch) + 1
        return self.batches[start : start + count]

    def ends(self) -> list[tuple[int, int]]:
        """(epoch, last zxid in it) of the log that is here."""
        ends = {epoch_of(self.base): self.base} if self.base else {}
        for batch in self.batches:
            ends[batch.epoch] = batch.last
        return sorted(ends.items())


STEPS: dict[type, Callable[..., None]] = {
    SaveBallot: SimulatedDisk._save,
    Append: SimulatedDisk._append,
    TruncateLog: SimulatedDisk._truncate,
    SnapshotPart: SimulatedDisk._part,
    InstallSnapshot: SimulatedDisk._install,
}
