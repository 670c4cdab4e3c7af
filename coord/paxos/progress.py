"""A follower as its leader sees it."""

from dataclasses import dataclass, field

from coord.model.entries import Batch
from coord.model.message import message
from coord.paxos.messages import Promise

LATE_S = 0.005
"""Whose disk takes so much longer than the quorum's does not make its clients wait for that, nor anybody else's."""


@dataclass(slots=True)
class Pace:
    """Whether a server has what is committed about as soon as the quorum has."""

    late: bool = False  # what it had last was committed without it more than LATE_S before
    behind: int = 0  # committed, and not yet durable with it when that was looked at; 0: nothing
    behind_since_s: float = 0.0
    looked_at: int = 0  # what was committed then

    def note(self, durable: int, commit: int, now: float) -> None:
        """Called whenever either of the two may have grown."""
        if self.behind:
            if durable < self.behind:
                return
            self.late, self.behind = now - self.behind_since_s > LATE_S, 0
        elif durable >= commit > self.looked_at:
            self.late = False  # it has it as soon as the quorum
        if durable < commit:
            self.behind, self.behind_since_s = commit, now
        self.looked_at = commit


@dataclass(slots=True)
class Progress:
    """From its promise on. `match` counts for commits only once the follower has established the epoch."""

    promise: Promise
    heard_s: float  # when it last answered
    streaming: bool = False  # the driver is sending it log or snapshot
    replicating: bool = False  # it gets each new batch as it is proposed
    established: bool = False
    match: int = 0  # zxid up to which its log is durable and equals ours
    attended: bool = True  # it has clients, who want to see each commit at once
    forwarded: int = 0  # the last zxid of what it forwarded
    told: int = 0  # up to here it was told what is committed, or will be as soon as it is durable there
    told_commit: int = 0  # up to here it was told what is committed, wherever it is durable
    pace: Pace = field(default_factory=Pace)
    held: list[Batch] = field(default_factory=list)  # proposed, and to be sent to it a little later (thrift.py)
    held_bytes: int = 0
    asked: int = 0  # a batch that was sent and is not acknowledged yet; 0: none is measured
    asked_since_s: float = 0.0
    takes_s: float = 0.0  # so long that took lately, about
    round: int = 0  # the last heartbeat round it answered

    def can_wait_for(self, batch: Batch, batches_max: int, bytes_max: int) -> bool:
        """Whether no client of its waits for this one, and no more than that is held back from it."""
        return (
            not self.attended
            and self.forwarded != batch.last
            and len(self.held) < batches_max
            and self.held_bytes + batch.memory_bytes <= bytes_max
        )

    def hold(self, batch: Batch) -> None:
        self.held.append(batch)
        self.held_bytes += batch.memory_bytes

    def take_held(self) -> list[Batch]:
        """What is to be sent to it now, the oldest first."""
        held, self.held, self.held_bytes = self.held, [], 0
        return held

    def note_sent(self, zxid: int, now: float) -> None:
        if not self.asked:
            self.asked, self.asked_since_s = zxid, now

    def note_commit(self, commit: int, now: float) -> None:
        """See how long it takes it to acknowledge what is committed without it, from when it was sent to it."""
        if self.asked and self.match >= self.asked:
            self.takes_s += (now - self.asked_since_s - self.takes_s) / 4
            self.asked = 0
        self.pace.note(self.match, min(commit, self.held[0].previous) if self.held else commit, now)


@message
class Lag:
    """How far a server that follows is behind its leader, by what it has acknowledged as durable."""

    server: int
    entries: int
    ms: int  # since the oldest batch that it lacks was proposed; 0: it lacks none
