"""What servers say to each other about the broadcast: one class a message.

`epoch` is the ballot a message belongs to; one of another epoch than the receiver's is ignored or refused.
Between two servers messages arrive in the order in which they were sent, or the connection breaks.
"""

from collections.abc import Sequence
from typing import TypeAlias

from coord.model.entries import Batch, Run
from coord.model.message import message

# ---- phase 0: canvass (writes nothing)


@message
class Canvass:
    """Where I stand, and whom I would follow. Sent on every change of it, and in answer to one that is looking."""

    promised: int
    accepted: int
    last: int  # zxid of the last durable entry, also if it cannot be read any more
    priority: int
    choice: int  # the server I would have lead; 0: none yet
    leader: int  # the established leader I follow or am; 0: I am looking
    epoch: int  # that leader's epoch, 0 while looking
    voter: bool
    whole: bool = True  # nothing of the log was lost: who is not whole cannot lead


# ---- phase 1: prepare


@message
class Prepare:
    """Promise to take part in `epoch` under me, and in none below. Also invites a late joiner."""

    epoch: int


@message
class Promise:
    """I have promised. `ends` are (epoch, last zxid in it) of my log, ascending: they tell where we agree.

    `suspect` is 0 unless the log was damaged: then it once went up to there, and can be read up to `last` only. Whether
    a history is newer goes by what was in it (RELIABILITY 7.7).
    """

    epoch: int
    accepted: int
    last: int
    ends: tuple[tuple[int, int], ...]
    suspect: int = 0

    @property
    def claimed(self) -> int:
        """Where the log ended before it was damaged, if it was."""
        return max(self.last, self.suspect)


@message
class Refusal:
    """I cannot promise `epoch`: I have promised `promised` to another."""

    epoch: int
    promised: int


# ---- phase 2: synchronize


@message
class Truncate:
    """Cut your log after `to`, a zxid both of us have."""

    epoch: int
    to: int


@message
class SnapshotChunk:
    """One part of the state at exactly `zxid`; parts are numbered from 0, `final` marks the last."""

    epoch: int
    zxid: int
    index: int
    final: bool
    data: bytes


@message
class NeedSnapshot:
    """I cannot truncate to the point you named, my log has not got it: send me a snapshot."""

    epoch: int


@message
class History:
    """A batch of the initial history: append it; it is acknowledged by Established, not by itself."""

    epoch: int
    batch: Batch


@message
class Establish:
    """You have the whole initial history, up to `last`. `cluster` is the ensemble's identity."""

    epoch: int
    last: int
    cluster: int


@message
class Established:
    """History up to `last` and accepted = epoch are durable here, in this order."""

    epoch: int
    last: int


# ---- phase 3: broadcast


@message
class Accept:
    """Append the batch. With it comes what is committed, as with Commit; `with_you` holds for whoever receives it."""

    epoch: int
    commit: int
    with_you: int
    batch: Batch


@message
class Accepted:
    """Everything up to `zxid` is durable here (cumulative). `attended`: there are clients who await each commit."""

    epoch: int
    zxid: int
    attended: bool


@message
class Commit:
    """Everything up to `zxid` is committed. The first one of an epoch tells a follower that it may serve.

    Everything up to `with_you` is durable with so many others that the receiver makes a quorum with them: as much of it
    as is durable with the receiver is committed, and its leader need not say so any more.
    """

    epoch: int
    zxid: int
    with_you: int


# ---- liveness, and reads that must not be stale


@message
class Heartbeat:
    """I lead, and everything up to `commit` is committed (0: the epoch is not established yet).

    `round` numbers the question; an answer proves that I led after I asked.
    """

    epoch: int
    commit: int
    round: int


@message
class HeartbeatReply:
    """I follow. `touched` are the sessions heard here since the last reply. Round 0: nobody asked."""

    epoch: int
    round: int
    touched: tuple[int, ...]


@message
class AskBarrier:
    """Tell me a zxid that is not below anything committed before now. `ticket` comes back in the answer."""

    epoch: int
    ticket: int


@message
class Barrier:
    epoch: int
    ticket: int
    zxid: int


# ---- a damaged log


@message
class Fetch:
    """My log was damaged. Give me the batch that ended with `upto`, and those before it down to `above`, if you can."""

    upto: int
    above: int


@message
class Fetched:
    """A batch that you asked for; later ones come first."""

    batch: Batch


# ---- from follower to leader


@message
class Forward:
    """Runs from my clients, encoded one after the other, `count` entries in all: propose them in this order.

    `read` is not sent: whoever receives it reads the runs to see whether they can be proposed, and keeps what it read.
    """

    epoch: int
    count: int
    runs: bytes
    read: Sequence[Run] = ()


Message: TypeAlias = (
    Canvass | Prepare | Promise | Refusal | Truncate | SnapshotChunk | NeedSnapshot | History | Establish
    | Established | Accept | Accepted | Commit | Heartbeat | HeartbeatReply | AskBarrier | Barrier | Fetch | Fetched
    | Forward
)  # fmt: skip
