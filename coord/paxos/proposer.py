"""A proposer: the leader of one epoch, from Prepare to the end of its term.

It wins a quorum of promises, so its history is the newest there is (phase 1); brings every server that promised to that
history (phase 2); and once a quorum has established the epoch proposes batches, counting acknowledgements of durable
logs, its own among them (phase 3). An entry of an older epoch is never committed by counting: it is part of the
initial history, which the quorum of Established commits as a whole (T44).
"""

from collections import deque
from dataclasses import dataclass

from coord.model.entries import Batch, counter_of, epoch_of, zxid_of
from coord.paxos.durable import Durable, StreamRequest
from coord.paxos.errors import BrokenOrder
from coord.paxos.history import common_point
from coord.paxos.messages import (
    Accept,
    Accepted,
    AskBarrier,
    Barrier,
    Canvass,
    Commit,
    Establish,
    Established,
    Forward,
    Heartbeat,
    HeartbeatReply,
    History,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Truncate,
)
from coord.paxos.pending import Pending
from coord.paxos.progress import Progress
from coord.paxos.quorum import Majority
from coord.paxos.thrift import Thrift

PREPARING, SYNCHRONIZING, ESTABLISHED = "preparing", "synchronizing", "established"


@dataclass(slots=True)
class Limits:
    """How much a leader has under way."""

    batch_bytes_max: int = 1 << 20  # a batch is cut when it has grown beyond this
    gathered_bytes: int = 16 << 10  # less than this waits for the batch under way (`Proposer._gathers`)
    uncommitted_bytes_max: int = 32 << 20  # proposed and not committed: beyond, proposals wait
    owed_bytes_max: int = 64 << 20  # more than what may be uncommitted: beyond, a disk is too slow to lead or follow
    read_bytes_max: int = 4 << 20  # pending and uncommitted runs beyond are kept as bytes only, and read when applied
    memory_diff_bytes_max: int = 4 << 20  # a follower further behind is streamed the log from disk
    counter_max: int = (1 << 40) - 1  # a new epoch starts before the counter passes this


class Proposer:
    """Leads `epoch`. Its Progress table holds the servers that promised; the others are invited as they show up."""

    __slots__ = (
        "_asked",
        "_durable",
        "_limits",
        "_me",
        "_need_snapshot",
        "_newer",
        "_now",
        "_quorum",
        "_round_started",
        "_standing",
        "_thrift",
        "_told",
        "_unanswered",
        "_uncommitted_bytes",
        "_under_way",
        "_untold",
        "_waiting",
        "answered",
        "cluster",
        "epoch",
        "pending",
        "phase",
        "progress",
        "reason_to_withdraw",
        "rolls_over",
        "round",
        "started_s",
        "strangers",
        "touched",
    )  # fmt: skip

    def __init__(
        self, durable: Durable, me: int, quorum: Majority, limits: Limits, epoch: int, cluster: int, now: float
    ) -> None:
        self._durable = durable
        self._me = me
        self._quorum = quorum
        self._limits = limits
        self.epoch = epoch
        self.cluster = cluster
        self.phase = PREPARING
        self.progress: dict[int, Progress] = {}
        self.strangers: frozenset[int] = frozenset()  # not who they were: they may listen, but do not count (I12)
        self.pending = Pending()
        self.started_s = self._now = now
        self.reason_to_withdraw = ""
        self.rolls_over = False  # the counter is used up: lead on in a new epoch
        self.touched: list[int] = []  # sessions that followers have heard
        self.answered: list[tuple[int, int]] = []  # (ticket, zxid) of this server's own barriers
        self.round = 0  # heartbeats are numbered
        self._newer: dict[int, Promise] = {}  # promises that do not count, until a quorum has made our history the one
        self._unanswered: dict[int, int] = {}  # how many Prepares a peer's present connection has yet to answer
        self._asked: list[tuple[int, int]] = []  # (server, ticket) that want a barrier, not yet in a round
        self._waiting: list[tuple[int, int]] = []  # those the round under way answers
        self._round_started = 0
        self._need_snapshot: set[int] = set()  # servers whose next promise is answered with a snapshot
        self._under_way: deque[tuple[int, int, float]] = deque()  # (last zxid, bytes, since when) not yet committed
        self._uncommitted_bytes = 0
        self._standing: dict[int, int] | None = None  # `_positions`, until something has changed
        self._thrift = Thrift(me, quorum)
        self._untold = False  # something has changed since it was looked what is to be told of commits
        self._told = 0  # the highest `with_you`: no follower has committed more than this, or than is committed here

    # ---- phase 1

    def prepare(self, peers: list[int]) -> None:
        """Promise the epoch to oneself; only when that is durable ask the others (ZOOKEEPER-1291, T1)."""
        self._durable.save(promised=self.epoch, promised_to=self._me)
        for peer in peers:
            self.invite(peer)

    def invite(self, peer: int) -> None:
        """Ask a server that has no leader to take part."""
        unanswered = self._unanswered.get(peer, 0)
        self.forget(peer)
        self._unanswered[peer] = unanswered + 1
        self._durable.output.send_when_durable.append((peer, Prepare(self.epoch)))

    def expects_promise(self, peer: int, promised: int) -> bool:
        """Whether a peer that has promised `promised` and is looking will yet get a Prepare of this epoch."""
        return promised < self.epoch and peer in self._unanswered

    def forget(self, peer: int) -> None:
        """The connection broke: whatever it forwarded and is not proposed yet, it will forward again."""
        self.progress.pop(peer, None)
        self._standing = None
        self._newer.pop(peer, None)
        self._unanswered.pop(peer, None)
        self.pending.forget(peer)
        self._asked = [item for item in self._asked if item[0] != peer]
        # Its tickets may begin anew, if its process does: an old answer must not pass for a new one (T38).
        self._waiting = [item for item in self._waiting if item[0] != peer]
        self._send_all_held()  # whom it was thought to vote without: it may be needed now

    def on_promise(self, peer: int, message: Promise, now: float) -> None:
        unanswered = self._unanswered.pop(peer, 0)
        if unanswered > 1:
            # It will promise again, and that will tell where its log stands then; two streams of history to one
            # server would cut each other's entries off, acknowledged ones too.
            self._unanswered[peer] = unanswered - 1
            return
        ballot, history = self._durable.ballot, self._durable.history
        newer = (message.accepted, message.claimed) > (ballot.accepted, history.last)
        if newer and self.phase == PREPARING:
            # Not counted. What it has beyond ours is not committed, should a quorum promise that has it not either.
            self._newer[peer] = message
            if not self._quorum.has(self._counted({self._me, *self.progress, *self._unanswered})):
                self.reason_to_withdraw = (
                    f"server {peer} has a newer history ({message.accepted}, {message.claimed:#x}) than mine "
                    f"({ballot.accepted}, {history.last:#x})"
                )
            return
        # Once a quorum has promised this history is the epoch's, whatever a damaged server of that epoch may claim.
        self.progress[peer] = Progress(message, heard_s=now)
        if self.phase != PREPARING:
            self._synchronize(peer)

    # ---- phase 2

    def _synchronize(self, peer: int) -> None:
        progress, history = self.progress[peer], self._durable.history
        promise = progress.promise
        common = common_point(history.ends, promise.ends)
        if peer in self._need_snapshot or (not common and promise.last and history.start):
            self._need_snapshot.discard(peer)
            # Where the logs part is below what is known here: to cut the follower's to nothing might take committed
            # entries from a disk before others have them there (T12).
            progress.streaming = True
            self._durable.output.stream.append(StreamRequest(peer, self.epoch, promise.last, snapshot=True))
            return
        if common < promise.last:
            self._send(peer, Truncate(self.epoch, common))
        self._bring_up(peer, common)

    def _bring_up(self, peer: int, position: int) -> None:
        """Send `peer`, whose log ends at `position`, the rest of the history, then Establish."""
        progress, history = self.progress[peer], self._durable.history
        missing = history.after(position)
        if missing is None or sum(batch.memory_bytes for batch in missing) > self._limits.memory_diff_bytes_max:
            progress.streaming = True
            self._durable.output.stream.append(StreamRequest(peer, self.epoch, position, snapshot=False))
            return
        for batch in missing:
            self._send(peer, History(self.epoch, batch))
        self._send(peer, Establish(self.epoch, history.last, self.cluster))
        progress.replicating = True

    def on_need_snapshot(self, peer: int, message: NeedSnapshot) -> None:
        """It has nothing to cut to. What was sent after the cut does not fit either: the connection is begun anew."""
        if peer in self.progress:
            self._need_snapshot.add(peer)
            raise BrokenOrder(f"server {peer} needs a snapshot in the place of the log")

    def streamed(self, peer: int, position: int) -> None:
        """The driver has sent `peer` all up to `position`; go on from memory."""
        progress = self.progress.get(peer)
        if progress is not None and progress.streaming:
            progress.streaming = False
            self._bring_up(peer, position)

    def on_established(self, peer: int, message: Established) -> None:
        progress = self.progress.get(peer)
        if progress is None or not progress.replicating:
            return  # of a connection that is gone
        self._check_known(peer, message.last)
        progress.established = True
        progress.match = max(progress.match, message.last)
        if self.phase == ESTABLISHED:
            self._tell_commit(peer, progress, self._durable.history.commit)

    def _check_known(self, peer: int, zxid: int) -> None:
        """What is acknowledged may become the commit, and that is where a batch ends."""
        history = self._durable.history
        if zxid > history.commit and not history.has_end(zxid):
            raise BrokenOrder(f"server {peer} acknowledges {zxid:#x}, where no batch ends that was proposed")

    def advance(self, now: float) -> None:
        """Look whether a quorum has been reached; called after each input that may have changed that."""
        promised = self._durable.saved.promised == self.epoch
        if self.phase == PREPARING and promised and self._quorum.has(self._counted({self._me, *self.progress})):
            self.phase = SYNCHRONIZING
            self._durable.save(accepted=self.epoch, cluster=self.cluster, suspect=0)
            for peer, promise in self._newer.items():
                self.progress[peer] = Progress(promise, heard_s=self.started_s)
            self._newer.clear()
            for peer in list(self.progress):
                self._synchronize(peer)
        if self.phase == SYNCHRONIZING and self._quorum.has(self._counted(self._established())):
            self.phase = ESTABLISHED
            # The quorum holds the whole initial history, so all of it is committed.
            self._commit_to(self._durable.history.last)
            for peer, progress in self.progress.items():
                if progress.established:
                    self._tell_commit(peer, progress, self._durable.history.commit)
        if self.phase == ESTABLISHED:
            self._standing, self._untold = self._positions(), True
            self._note_under_way(now)
            self._commit_to(self._quorum.reached(self._standing))
            self._note_commit(now)

    def _established(self) -> set[int]:
        established = {peer for peer, progress in self.progress.items() if progress.established}
        if self._durable.saved.accepted == self.epoch:  # saved after the history, so that is durable too
            established.add(self._me)
        return established

    def _counted(self, servers: set[int]) -> set[int]:
        return servers - self.strangers

    def _positions(self) -> dict[int, int]:
        strangers = self.strangers
        positions = {
            peer: progress.match
            for peer, progress in self.progress.items()
            if progress.established and peer not in strangers
        }
        if self._durable.saved.accepted == self.epoch:
            positions[self._me] = self._durable.history.durable
        return positions

    # ---- phase 3

    def on_forward(self, peer: int, message: Forward) -> None:
        if self.phase == ESTABLISHED and peer in self.progress:
            self.add(peer, message)

    def add(self, origin: int, forward: Forward) -> None:
        """Have it proposed when its turn comes."""
        if self.pending.size_bytes + self._uncommitted_bytes > self._limits.read_bytes_max:
            forward.read = ()
        self.pending.add(origin, forward)

    def on_accepted(self, peer: int, message: Accepted) -> None:
        progress = self.progress.get(peer)
        if progress is not None and progress.established:
            self._check_known(peer, message.zxid)
            progress.match = max(progress.match, message.zxid)
            progress.attended = message.attended

    def propose(self, time_ms: int, applied: int, digest: int, now: float) -> None:
        """Make batches of all that is pending; they go to the log here and to the followers in parallel."""
        if self.phase != ESTABLISHED or self.rolls_over:
            return
        self._note_under_way(now)
        while self.pending and not self._gathers() and self._uncommitted_bytes <= self._limits.uncommitted_bytes_max:
            gathered = self.pending.gather(self._limits.batch_bytes_max)
            last = self._durable.history.last
            first = last + 1 if epoch_of(last) == self.epoch else zxid_of(self.epoch, 1)
            if counter_of(first) + gathered.count > self._limits.counter_max:
                self.rolls_over = True
                return  # what is pending is resubmitted by those it came from, in the new epoch
            batch = Batch(self.epoch, first, gathered.count, last, time_ms, applied, digest, gathered.runs)
            batch.read = gathered.read
            self._durable.append(batch)
            size = len(gathered.runs)
            self._under_way.append((batch.last, size, now))
            self._uncommitted_bytes += size
            for peer in gathered.origins:
                if peer in self.progress:
                    self.progress[peer].forwarded = batch.last
            self._replicate(batch)

    def _replicate(self, batch: Batch) -> None:
        """The same bytes for all who get it now: what one more vote commits is told as it holds for each of them."""
        # Whose clients wait comes first: a send costs 20 us.
        ordered = sorted(self.progress.items(), key=lambda each: -each[1].forwarded)
        receivers = [(peer, progress) for peer, progress in ordered if progress.replicating]
        history = self._durable.history
        spares = self._thrift.spares(batch, receivers, self.strangers, history.commit, history.durable, self._now)
        for peer in spares:
            self.progress[peer].hold(batch)
        if spares:
            receivers = [each for each in receivers if each[0] not in spares]
        committed_with = [self._committed_with(peer, progress) for peer, progress in receivers]
        with_each = min(committed_with, default=0)
        if with_each < max(committed_with, default=0):
            self._untold = True  # to some there is more to tell
        accept = Accept(self.epoch, history.commit, with_each, batch)
        for peer, progress in receivers:
            self._send_held(peer, progress)
            self._send_accept(peer, progress, accept)

    def _send_held(self, peer: int, progress: Progress) -> None:
        """What it was spared. To come before whatever else tells it of commits: it has to have them in its log."""
        if progress.held:
            commit, with_peer = self._durable.history.commit, self._committed_with(peer, progress)
            for batch in progress.take_held():
                self._send_accept(peer, progress, Accept(self.epoch, commit, with_peer, batch))

    def _send_accept(self, peer: int, progress: Progress, accept: Accept) -> None:
        self._told_commit(progress, accept.with_you)
        progress.note_sent(accept.batch.last, self._now)
        self._send(peer, accept)

    def _send_all_held(self) -> None:
        for peer, progress in self.progress.items():
            self._send_held(peer, progress)

    def _gathers(self) -> bool:
        """Whether what is pending waits for more, while a batch is under way (Nagle, RFC 896).

        A batch costs the servers some 500 us of processor time, whatever is in it: with a hundred clients who each wait
        for one answer this takes 28 % less of it for each write, with a thousand writes under way 15 %.
        """
        return bool(self._under_way) and self.pending.size_bytes < self._limits.gathered_bytes

    def before_take(self) -> None:
        """Tell what is committed, or will be with one more vote, and start a round for those who want a barrier.

        A server without clients learns it from the next batch or heartbeat: to wake it for nothing costs the others
        a tenth of a write's time. One whose own requests are committed is told in any case, and one whose disk is late
        is told a second time, when it is committed without that.
        """
        if self.phase != ESTABLISHED:
            return
        if self._untold:
            self._untold = False
            commit = self._durable.history.commit
            for peer, progress in self.progress.items():
                if progress.established and (progress.attended or progress.forwarded > progress.told_commit):
                    with_peer = self._committed_with(peer, progress)
                    without_it = progress.pace.late and progress.match < commit > progress.told_commit
                    if with_peer > progress.told or without_it:
                        self._tell_commit(peer, progress, with_peer)
        if self._asked and not self._waiting:
            self._waiting, self._asked = self._asked, []
            self.heartbeat()
            self._round_started = self.round
            self._end_round()

    def _committed_with(self, peer: int, progress: Progress) -> int:
        """What is committed as soon as it is durable with `peer`: its own clients need not wait until that has been
        said here and back again (learners count for themselves: Paxos Made Simple, section 2.3).
        """
        history = self._durable.history
        if progress.told == history.last:
            return progress.told  # a shortcut: there is no more to tell
        standing = self._positions() if self._standing is None else self._standing
        if peer in standing:
            standing = {**standing, peer: history.last}
        return max(history.commit, self._quorum.reached(standing))

    def _tell_commit(self, peer: int, progress: Progress, with_peer: int) -> None:
        self._send_held(peer, progress)
        self._told_commit(progress, with_peer)
        self._send(peer, Commit(self.epoch, self._durable.history.commit, with_peer))

    def _told_commit(self, progress: Progress, with_peer: int) -> None:
        progress.told_commit = self._durable.history.commit
        progress.told = max(progress.told, with_peer)
        self._told = max(self._told, with_peer)

    def _commit_to(self, zxid: int) -> None:
        history = self._durable.history
        if zxid > history.commit:
            history.commit = zxid
            while self._under_way and self._under_way[0][0] <= zxid:
                self._uncommitted_bytes -= self._under_way.popleft()[1]

    def _note_under_way(self, now: float) -> None:
        self._now = now
        if self._under_way:
            self._thrift.note_under_way(self._under_way[0][2], now)

    def _note_commit(self, now: float) -> None:
        history = self._durable.history
        self._thrift.pace.note(history.durable, history.commit, now)
        for progress in self.progress.values():
            if progress.established:
                progress.note_commit(history.commit, now)

    # ---- liveness and barriers

    def tick(self, now: float) -> None:
        """Called several times in a heartbeat."""
        if self.phase == ESTABLISHED:
            self._note_under_way(now)
            self._send_all_held()
            self._note_commit(now)

    def heartbeat(self) -> None:
        self._send_all_held()
        self.round += 1
        message = Heartbeat(self.epoch, self._durable.history.commit if self.phase == ESTABLISHED else 0, self.round)
        for peer in self.progress:
            self._send(peer, message)

    def on_heartbeat_reply(self, peer: int, message: HeartbeatReply, now: float) -> None:
        progress = self.progress.get(peer)
        if progress is None:
            return
        if message.round > self.round:
            raise BrokenOrder(f"server {peer} answers heartbeat {message.round}, and {self.round} was the last one")
        progress.heard_s = now
        progress.round = max(progress.round, message.round)
        self.touched.extend(message.touched)
        self._end_round()

    def on_ask_barrier(self, peer: int, message: AskBarrier) -> None:
        self.ask_barrier(peer, message.ticket)

    def ask_barrier(self, server: int, ticket: int) -> None:
        if self.phase == ESTABLISHED:
            self._asked.append((server, ticket))

    def _end_round(self) -> None:
        """Answer the barriers if a quorum has answered a heartbeat sent after they were asked for (T37, T38).

        Somebody may have committed by itself what is not committed here yet (seed 920084).
        """
        if not self._waiting or self.phase != ESTABLISHED:
            return
        heard = {peer for peer, progress in self.progress.items() if progress.round >= self._round_started}
        if self._quorum.has(self._counted({self._me, *heard})):
            zxid = max(self._durable.history.commit, self._told)
            for peer, ticket in self._waiting:
                if peer == self._me:
                    self.answered.append((ticket, zxid))
                else:
                    if peer in self.progress:
                        self._send_held(peer, self.progress[peer])  # it waits for what was proposed meanwhile, too
                    self._send(peer, Barrier(self.epoch, ticket, zxid))
            self._waiting = []

    def has_contact(self, now: float, timeout_s: float) -> bool:
        """Whether a quorum answered lately; without it this server cannot know that it still leads (check-quorum)."""
        recent = {peer for peer, progress in self.progress.items() if now - progress.heard_s <= timeout_s}
        return self._quorum.has(self._counted({self._me, *recent}))

    def outranked_by(self, said: Canvass) -> bool:
        """Whether a peer follows the established leader of a later epoch."""
        return said.leader != 0 and said.leader != self._me and said.epoch > self.epoch

    def _send(self, peer: int, message: Message) -> None:
        self._durable.output.send_now.append((peer, message))
