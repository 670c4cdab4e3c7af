"""What one server has promised, accepted and logged, and how much of it would survive a power cut.

The protocol changes the ballot and the history here at once and asks for the steps that make the change durable;
whatever tells others of the change waits for them (`Output.send_when_durable`).
"""

from collections import deque
from dataclasses import dataclass, field, replace

from coord.model.entries import Batch
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
from coord.paxos.history import History
from coord.paxos.messages import Message, SnapshotChunk


@dataclass(slots=True)
class Output:
    """What the protocol wants done, in the order of its fields."""

    send_now: list[tuple[int, Message]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    send_when_durable: list[tuple[int, Message]] = field(default_factory=list)
    stream: list["StreamRequest"] = field(default_factory=list)
    fetches: list["FetchRequest"] = field(default_factory=list)
    serial: int = 0  # to be given back when the steps are durable; 0: there is nothing to wait for


@dataclass(slots=True)
class StreamRequest:
    """Send `peer` what memory no longer has: the log after `after`, or a snapshot if the log does not reach it.

    With `snapshot` a snapshot it is, and `after` is where the peer's log ends: it takes none that is older than
    what it knows to be committed, which may be all of that.
    """

    peer: int
    epoch: int
    after: int
    snapshot: bool  # the peer cannot use the log, whatever we have


@dataclass(slots=True)
class FetchRequest:
    """Look on the disk for the batches that end with `upto`, down to `above`, and send `peer` what is there."""

    peer: int
    upto: int
    above: int


@dataclass(slots=True)
class _Mark:
    """What will be durable when all steps up to `serial` are."""

    serial: int
    last: int
    ballot: Ballot
    appended_bytes: int  # of log, since the mark before


class Durable:
    """The ballot and the history of one server, with the steps that are on their way to its disk."""

    __slots__ = (
        "_appended_bytes", "_marks", "_owed_bytes_max", "_serial", "ballot", "history", "output", "owed_bytes", "saved",
    )  # fmt: skip

    def __init__(self, ballot: Ballot, history: History, owed_bytes_max: int) -> None:
        self.ballot = ballot  # as the protocol stands
        self.saved = ballot  # as the disk stands
        self.history = history
        self.output = Output()
        self.owed_bytes = 0  # of log that is on its way to the disk
        self._owed_bytes_max = owed_bytes_max
        self._appended_bytes = 0  # of that, since the last mark
        self._marks: deque[_Mark] = deque()
        self._serial = 0

    @property
    def owes(self) -> bool:
        """Whether anything is on its way to the disk, or waits there to be told."""
        return bool(self._marks)

    @property
    def too_slow(self) -> str:
        """What is to be said when the disk owes so much that no more may be gathered for it; empty if it does not."""
        if self.owed_bytes <= self._owed_bytes_max:
            return ""
        return f"the disk of this server does not keep up: {self.owed_bytes:,} bytes of log wait for it"

    @property
    def suspect(self) -> int:
        """Up to here this server may have acknowledged what its log cannot show any more; 0: the log is whole.

        Once the log goes beyond that it is a leader's, which holds all that was ever committed.
        """
        return self.ballot.suspect if self.ballot.suspect > self.history.last else 0

    @property
    def claimed(self) -> int:
        """Where the log ends on the disk, or would end had it not been damaged."""
        return max(self.history.durable, self.saved.suspect)

    @property
    def whole(self) -> bool:
        """Whether all that was ever durable can be read."""
        return self.saved.suspect <= self.history.durable

    # ---- changes

    def save(self, **changes: int) -> None:
        """Change fields of the ballot, if they differ."""
        ballot = replace(self.ballot, **changes)
        if ballot != self.ballot:
            assert ballot.promised >= self.ballot.promised, "a promise is never taken back"
            assert ballot.accepted >= self.ballot.accepted, "an accepted epoch is never given up for an older one"
            assert ballot.accepted <= ballot.promised, "what is accepted was promised"
            self.ballot = ballot
            self.output.steps.append(SaveBallot(ballot))

    def append(self, batch: Batch) -> None:
        self.history.append(batch)
        self.output.steps.append(Append(batch))
        size = batch.memory_bytes
        self.owed_bytes += size
        self._appended_bytes += size

    def mend(self, batches: list[Batch]) -> None:
        """What was lost has been found: the log is what it was."""
        self.output.steps.append(MendLog(self.history.last, batches))
        for batch in batches:
            self.history.append(batch)
        self.save(suspect=0)

    def truncate(self, to: int) -> None:
        self.history.truncate(to)
        self.output.steps.append(TruncateLog(to))
        for mark in self._marks:  # their appends are durable, and about to be cut (T46)
            mark.last = min(mark.last, to)

    def add_snapshot_part(self, chunk: SnapshotChunk) -> None:
        self.output.steps.append(SnapshotPart(chunk.zxid, chunk.index, chunk.data))
        if chunk.final:
            self.history.reset(chunk.zxid)
            self.output.steps.append(InstallSnapshot(chunk.zxid))
            for mark in self._marks:
                mark.last = min(mark.last, chunk.zxid)

    def forget(self, peer: int) -> None:
        """The connection to `peer` is gone, and with it what was to be sent through it."""
        output = self.output
        output.send_now = [item for item in output.send_now if item[0] != peer]
        output.send_when_durable = [item for item in output.send_when_durable if item[0] != peer]
        output.stream = [request for request in output.stream if request.peer != peer]
        output.fetches = [request for request in output.fetches if request.peer != peer]

    # ---- out, and back

    def take(self) -> Output | None:
        """Everything asked for since the last call, if there is anything. Its steps come back by their serial, to
        `settle`.
        """
        output = self.output
        waits = output.steps or output.send_when_durable
        if not (waits or output.send_now or output.stream or output.fetches):
            return None
        self.output = Output()
        if waits:
            self._serial += 1
            output.serial = self._serial
            self._marks.append(_Mark(self._serial, self.history.last, self.ballot, self._appended_bytes))
            self._appended_bytes = 0
        return output

    def settle(self, serial: int) -> None:
        """All steps up to `serial` are durable."""
        while self._marks and self._marks[0].serial <= serial:
            mark = self._marks.popleft()
            self.saved = mark.ballot
            self.history.durable = mark.last
            self.owed_bytes -= mark.appended_bytes
