"""An acceptor and learner: what a server does for the leader of an epoch it has promised.

One code path brings every server into an epoch, in this order: history durable, then `accepted` durable, then
Established (T2-T5). An observer does the same and is merely not counted.
"""

from collections.abc import Callable

from coord.paxos.durable import Durable
from coord.paxos.errors import BrokenOrder
from coord.paxos.messages import (
    Accept,
    Accepted,
    Commit,
    Establish,
    Established,
    Heartbeat,
    HeartbeatReply,
    History,
    Message,
    NeedSnapshot,
    Promise,
    SnapshotChunk,
    Truncate,
)


class Acceptor:
    """Follows `leader` in `epoch`, from the promise on."""

    __slots__ = (
        "_chunks",
        "_durable",
        "_owes_accepted",
        "_with_me",
        "attended",
        "epoch",
        "established",
        "heard_s",
        "leader",
        "serving",
        "touched",
    )

    def __init__(self, durable: Durable, leader: int, epoch: int, now: float) -> None:
        self._durable = durable
        self._owes_accepted = False
        self._with_me = 0  # of what lies up to here, all that is durable here is committed
        self._chunks = -1  # index of the last snapshot chunk received
        self.leader = leader
        self.epoch = epoch
        self.heard_s = now
        self.established = False
        self.serving = False  # the leader has told that the initial history is committed
        self.attended: Callable[[], bool] = _always  # whether clients are connected here
        self.touched: Callable[[], tuple[int, ...]] = tuple  # the sessions heard here since it was last called

    def promise(self) -> None:
        """Make the promise durable, then tell it. All appends before it are durable then, so it is true (I7).

        Whose log is empty belongs to no ensemble yet, though it may have heard of one whose leader came to nothing. It
        forgets that here: with a part of this leader's history it would be taken for the other one's (seed 400152).
        """
        durable = self._durable
        history = durable.history
        cluster = durable.ballot.cluster if history.last or durable.suspect else 0
        durable.save(promised=self.epoch, promised_to=self.leader, cluster=cluster)
        self._reply(Promise(self.epoch, durable.ballot.accepted, history.last, history.ends, durable.suspect))

    def on_truncate(self, message: Truncate) -> None:
        self._require_history_open("a truncation")
        history = self._durable.history
        if message.to >= history.commit and history.has_end(message.to):
            if message.to < history.last:
                self._durable.truncate(message.to)
            return
        # Below what is committed here there is nothing to cut, whoever asks: only a snapshot can bring us together.
        self._durable.output.send_now.append((self.leader, NeedSnapshot(self.epoch)))

    def on_snapshot_chunk(self, message: SnapshotChunk) -> None:
        self._require_history_open("a snapshot")
        if message.index != 0 and message.index != self._chunks + 1:
            raise BrokenOrder(f"snapshot part {message.index} came after part {self._chunks}")
        self._chunks = message.index
        commit = self._durable.history.commit
        if message.zxid < commit:
            raise BrokenOrder(f"the snapshot at {message.zxid:#x} is older than what is committed here, {commit:#x}")
        self._durable.add_snapshot_part(message)

    def on_history(self, message: History) -> None:
        self._append(message)

    def on_establish(self, message: Establish) -> None:
        history = self._durable.history
        if history.last != message.last:
            raise BrokenOrder(f"the initial history ends at {message.last:#x}, but here at {history.last:#x}")
        # The leader's history has all that was ever committed: what this server lost of it is here again.
        self._durable.save(accepted=self.epoch, cluster=message.cluster, suspect=0)
        self.established = True
        self._reply(Established(self.epoch, history.last))

    def on_accept(self, message: Accept) -> None:
        if not self.established:
            raise BrokenOrder("a new batch came before the initial history was complete")
        self._append(message)
        self._owes_accepted = True
        self._learn(message.commit, message.with_you)

    def on_commit(self, message: Commit) -> None:
        self._learn(message.zxid, message.with_you)

    def _learn(self, commit: int, with_me: int) -> None:
        self.learn_commit(commit)
        if self.established and with_me > self._with_me:
            self._with_me = self._known_end(with_me)
            self.advance()

    def advance(self) -> None:
        """Commit what lacked no more than this server's own disk. Called when more is durable, here or with others."""
        history = self._durable.history
        if self._with_me > history.commit < history.durable:
            self.learn_commit(min(self._with_me, history.durable))

    def on_heartbeat(self, message: Heartbeat) -> None:
        if message.commit:
            self.learn_commit(message.commit)
        self._durable.output.send_now.append((self.leader, HeartbeatReply(self.epoch, message.round, self.touched())))

    def report_touched(self) -> None:
        """Tell at once which sessions were heard here, and not only with the next heartbeat."""
        touched = self.touched()
        if touched:
            self._durable.output.send_now.append((self.leader, HeartbeatReply(self.epoch, 0, touched)))

    def learn_commit(self, zxid: int) -> None:
        """Commits of this epoch; they cover nothing that is not in the log here."""
        history = self._durable.history
        if not self.established:
            return
        if zxid > history.commit:
            history.commit = self._known_end(zxid)
        self.serving = True

    def _known_end(self, zxid: int) -> int:
        """`zxid`, or where the log ends if that has not come so far. Beyond the commit it has to be a batch's end."""
        history = self._durable.history
        zxid = min(zxid, history.last)
        if zxid > history.commit and not history.has_end(zxid):
            raise BrokenOrder(f"{zxid:#x} is committed, it says, but no batch ends there")
        return zxid

    def before_take(self) -> None:
        """One acknowledgement for all that was appended in this turn."""
        if self._owes_accepted:
            self._owes_accepted = False
            self._reply(Accepted(self.epoch, self._durable.history.last, self.attended()))

    def _require_history_open(self, what: str) -> None:
        """What was acknowledged with Established must stay."""
        if self.established:
            raise BrokenOrder(f"{what} came after the initial history was complete")

    def _append(self, message: History | Accept) -> None:
        batch, history = message.batch, self._durable.history
        if batch.epoch > self.epoch:
            raise BrokenOrder(f"a batch of epoch {batch.epoch} came in epoch {self.epoch}")
        if batch.last <= history.last:
            return  # seen before a reconnect: legal, and the same (T6)
        if batch.previous != history.last:
            raise BrokenOrder(f"a batch after {batch.previous:#x} came, but the log ends at {history.last:#x}")
        self._durable.append(batch)
        if too_slow := self._durable.too_slow:
            # Begun anew: the next promise waits for all that the disk owes, and nothing more comes before it.
            raise BrokenOrder(too_slow)

    def _reply(self, message: Message) -> None:
        self._durable.output.send_when_durable.append((self.leader, message))


def _always() -> bool:
    return True
