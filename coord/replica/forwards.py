"""What this server has forwarded for its clients and not yet seen applied, in order.

Each run carries the server, its incarnation and a sequence number, so that after a leader change exactly those that the
new history lacks are forwarded again (DESIGN 4), and the state machine would refuse one that came twice.
"""

from collections import deque
from dataclasses import dataclass

from coord.replica.pipeline import Pipeline

FORWARD_BYTES_MAX = 1 << 20
"""A longer message to the leader is cut between two runs."""


@dataclass(slots=True)
class Forwarded:
    """One run on its way: its first sequence number, its entries, its bytes, who waits for the replies, since when."""

    sequence: int
    count: int
    runs: bytes
    pipeline: Pipeline | None  # None: nobody waits
    since_s: float = 0.0


class Forwards:
    """The runs under way. `unsent` are those no leader has been given yet."""

    __slots__ = ("_next", "_under_way", "bytes", "unsent")

    def __init__(self) -> None:
        self._next = 1
        self._under_way: deque[Forwarded] = deque()
        self.unsent: list[tuple[int, bytes]] = []  # (entries, a run)
        self.bytes = 0  # under way

    @property
    def next_sequence(self) -> int:
        return self._next

    def add(self, count: int, runs: bytes, pipeline: Pipeline | None, now: float = 0.0) -> None:
        self._under_way.append(Forwarded(self._next, count, runs, pipeline, now))
        self._next += count
        self.unsent.append((count, runs))
        self.bytes += len(runs)

    def take_unsent(self) -> list[tuple[int, bytes]]:
        """What is to be forwarded now, as (entries, runs), in pieces that a peer takes in one message."""
        unsent, self.unsent = self.unsent, []
        if len(unsent) < 2:
            return unsent
        pieces: list[tuple[int, bytes]] = []
        count = size = 0
        runs: list[bytes] = []
        for run_count, run in unsent:
            if runs and size + len(run) > FORWARD_BYTES_MAX:
                pieces.append((count, b"".join(runs)))
                count, size, runs = 0, 0, []
            count += run_count
            size += len(run)
            runs.append(run)
        pieces.append((count, b"".join(runs)))
        return pieces

    def applied(self, sequence: int) -> Forwarded:
        """The run that begins with `sequence` is being applied: it is the oldest one under way."""
        forwarded = self._under_way.popleft()
        assert forwarded.sequence == sequence, (
            f"the run {sequence} was applied, but the oldest under way is {forwarded.sequence}"
        )
        self.bytes -= len(forwarded.runs)
        return forwarded

    def resubmit_after(self, sequence: int) -> int:
        """A new leader: forward again all that begins above `sequence`; how many entries that are."""
        again = [forwarded for forwarded in self._under_way if forwarded.sequence > sequence]
        self.unsent = [(forwarded.count, forwarded.runs) for forwarded in again]
        return sum(forwarded.count for forwarded in again)

    def lost_upto(self, sequence: int) -> list[Forwarded]:
        """Those up to `sequence` that were applied without our seeing it (a snapshot came in their place)."""
        lost: list[Forwarded] = []
        while self._under_way and self._under_way[0].sequence <= sequence:
            forwarded = self._under_way.popleft()
            self.bytes -= len(forwarded.runs)
            lost.append(forwarded)
        return lost

    def __len__(self) -> int:
        return len(self._under_way)
