"""One server's part in the broadcast: looking for a leader, following one, or leading. The heart of the protocol.

Plain methods: an input comes in, `take()` gives what is to be done, in the order in which it may be done. Time is an
argument (seconds of any monotonic clock); there is no chance, no I/O, and nothing here knows what an entry means.

    looking  --chosen by a quorum-->  leading(preparing -> synchronizing -> established)
    looking  --Prepare-->             following(promised -> established -> serving)
    leading, following  --contact lost, a better one found-->  looking
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coord.model.entries import Batch, Run, epoch_of, zxid_of
from coord.paxos.acceptor import Acceptor
from coord.paxos.canvass import Election
from coord.paxos.durable import Durable, FetchRequest, Output
from coord.paxos.effects import Ballot
from coord.paxos.errors import BrokenOrder
from coord.paxos.history import History as Log
from coord.paxos.mending import Mending
from coord.paxos.messages import (
    Accept,
    Accepted,
    AskBarrier,
    Barrier,
    Canvass,
    Commit,
    Establish,
    Established,
    Fetch,
    Fetched,
    Forward,
    Heartbeat,
    HeartbeatReply,
    History,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
    Truncate,
)
from coord.paxos.progress import Lag
from coord.paxos.proposer import ESTABLISHED, Limits, Proposer
from coord.paxos.quorum import Majority

FETCH_BYTES_MAX = 1 << 20
"""What a server whose log was damaged gets in answer to one question."""

LOOKING, FOLLOWING, LEADING, OBSERVING = "looking", "following", "leading", "observing"


@dataclass(slots=True)
class PaxosSettings:
    """What one server knows of the ensemble, and its timeouts in seconds."""

    server: int
    voters: frozenset[int]
    cluster_if_new: int  # the ensemble's identity if this server turns out to be its very first leader
    priority: int = 0
    heartbeat_s: float = 0.1
    leader_timeout_s: float = 1.2
    settle_s: float = 0.15
    limits: Limits = field(default_factory=Limits)


class Participant:
    """The broadcast as one server takes part in it."""

    __slots__ = (
        "_acceptor", "_asked_s", "_barriers", "_beat_s", "_durable", "_election", "_mending", "_now", "_peers",
        "_proposer", "_quorum", "_said", "_settings", "_strangers", "_ticked_s", "attended_here", "broken", "elections",
        "leads", "log", "notes", "service", "serving", "strangers_here", "touched_here",
    )  # fmt: skip

    def __init__(
        self, settings: PaxosSettings, ballot: Ballot, log: Log, now: float, remains: Iterable[Batch] = ()
    ) -> None:
        """`remains`: what can still be read of a damaged log, behind the end of `log`."""
        self._settings = settings
        self._quorum = Majority(settings.voters)
        self._durable = Durable(ballot, log, settings.limits.owed_bytes_max)
        self._election = Election(settings.server, self._quorum, settings.settle_s)
        self._election.restart(now)
        self._peers: dict[int, None] = {}  # connected
        self._strangers: frozenset[int] = frozenset()
        self._acceptor: Acceptor | None = None
        self._proposer: Proposer | None = None
        self._said: Canvass | None = None  # what we last told everyone
        self._mending = Mending(ballot.suspect, remains) if self._durable.suspect else None
        self._asked_s = 0.0  # when a peer was last asked for what is missing
        self._beat_s = now
        self._now = self._ticked_s = now
        self._barriers: list[tuple[int, int]] = []
        self.log = log
        self.leads = False  # an established epoch
        self.serving = False  # the epoch is established, and this server has its whole initial history
        self.service = 0  # how often this server has begun to serve under a leader: forwards are then sent anew
        self.elections = 1  # how often this server has begun to look for a leader
        self.broken: list[tuple[int, str]] = []  # (peer, why): connections to break
        self.notes: list[str] = []  # sentences for the operator
        self.attended_here: Callable[[], bool] = lambda: True  # whether clients are connected here
        self.strangers_here: Callable[[], frozenset[int]] = lambda: self._strangers  # by what the log says now
        self.touched_here: Callable[[], tuple[int, ...]] = tuple  # sessions heard here, asked for by the leader
        self._evaluate()

    # ---- what others may know

    @property
    def role(self) -> str:
        if self._proposer is not None:
            return LEADING
        if self._acceptor is not None:
            return FOLLOWING if self._settings.server in self._quorum.voters else OBSERVING
        return LOOKING

    @property
    def ballot(self) -> Ballot:
        return self._durable.ballot

    @property
    def suspect(self) -> int:
        """Up to here the log went before it was damaged, and cannot be read as a whole; 0: nothing is missing."""
        return self._durable.suspect

    @property
    def epoch(self) -> int:
        """Of the leader followed or of the own leadership, 0 while looking."""
        if self._proposer is not None:
            return self._proposer.epoch
        return self._acceptor.epoch if self._acceptor is not None else 0

    @property
    def leader(self) -> int:
        """The server that leads this one, 0 while there is none."""
        if self._proposer is not None:
            return self._settings.server
        return self._acceptor.leader if self._acceptor is not None else 0

    @property
    def wants_to_propose(self) -> bool:
        """Whether this server leads and there is something pending, for `propose`."""
        return self.leads and self._proposer is not None and bool(self._proposer.pending)

    @property
    def synced_peers(self) -> tuple[int, ...]:
        """On the leader: those that have established its epoch."""
        if self._proposer is None:
            return ()
        return tuple(peer for peer, progress in self._proposer.progress.items() if progress.established)

    @property
    def streaming(self) -> int:
        """On the leader: how many servers are being sent the log from disk, or a snapshot."""
        return 0 if self._proposer is None else sum(each.streaming for each in self._proposer.progress.values())

    def lags(self, wall_ms: int) -> list[Lag]:
        """On the leader: how far those that follow are behind it. By its clock, which stamped the batches."""
        log, found = self.log, []
        for peer in self.synced_peers:
            assert self._proposer is not None, "only a proposer has peers that follow"
            match = self._proposer.progress[peer].match
            lacking = log.first_after(match)
            entries = log.last - max(match, zxid_of(epoch_of(log.last), 0)) if lacking is not None else 0
            ms = max(0, wall_ms - lacking.time_ms) if lacking is not None else 0
            found.append(Lag(peer, entries, ms))
        return found

    def unready(self, now: float) -> str:
        """Why no write could be committed through this server at this moment, as far as it knows; empty if it could."""
        patience_s = self._settings.leader_timeout_s
        if not self.serving:
            if self._proposer is not None:
                return f"this server prepares to lead epoch {self.epoch} and no quorum has followed it yet"
            if self._acceptor is not None:
                return f"this server is not yet brought up to its leader, server {self.leader}"
            return "this server knows of no leader: no quorum of the voters has found one yet"
        if self._proposer is not None and not self._proposer.has_contact(now, patience_s):
            return f"this server leads, and no quorum has answered it for {patience_s:g} s"
        if self._acceptor is not None and now - self._acceptor.heard_s > patience_s:
            return f"the leader, server {self.leader}, was not heard for {now - self._acceptor.heard_s:.1f} s"
        return ""

    def take_barriers(self) -> list[tuple[int, int]]:
        """(ticket, zxid) of the barriers that came back."""
        if self._proposer is not None and self._proposer.answered:
            self._barriers += self._proposer.answered
            self._proposer.answered = []
        barriers, self._barriers = self._barriers, []
        return barriers

    def take_touched(self) -> list[int]:
        """Sessions that followers have heard since the last call; on the leader only."""
        if self._proposer is None:
            return []
        touched, self._proposer.touched = self._proposer.touched, []
        return touched

    # ---- inputs

    def connected(self, peer: int, now: float) -> None:
        """A connection to another server stands, and it is who it should be."""
        self._now = now
        self.disconnected(peer, now)
        self._peers[peer] = None
        self._send(peer, self._canvass())

    def disconnected(self, peer: int, now: float) -> None:
        self._now = now
        if self._peers.pop(peer, 0) == 0:
            return
        self._durable.forget(peer)
        self._election.forget(peer, now)
        if self._proposer is not None:
            self._proposer.forget(peer)
        if self._acceptor is not None and self._acceptor.leader == peer:
            self._become_looking(f"the connection to the leader, server {peer}, broke")
        self._evaluate()

    def set_strangers(self, strangers: frozenset[int]) -> None:
        """Servers that run under an id whose identity is another's: they may follow, but never count."""
        self._strangers = self._election.strangers = strangers
        if self._proposer is not None:
            self._proposer.strangers = strangers
            self._advance()

    def receive(self, peer: int, message: Message, now: float) -> None:
        """A message of a connected peer. One of another epoch is out of date, and ignored."""
        if peer not in self._peers:
            return
        self._now = now
        kind = type(message)
        if kind in _TO_ACCEPTOR:
            acceptor = self._acceptor
            if acceptor is not None and acceptor.leader == peer and acceptor.epoch == message.epoch:  # type: ignore[union-attr]
                acceptor.heard_s = now
                served = acceptor.serving
                try:
                    _TO_ACCEPTOR[kind](acceptor, message)
                except BrokenOrder as reason:
                    self.broken.append((peer, str(reason)))
                    self._become_looking(str(reason))
                    return
                if acceptor.serving and not served:
                    self._serves()
        elif kind in _TO_PROPOSER:
            proposer = self._proposer
            if proposer is not None and proposer.epoch == message.epoch:  # type: ignore[union-attr]
                try:
                    _TO_PROPOSER[kind](proposer, peer, message)
                except BrokenOrder as reason:
                    self.broken.append((peer, str(reason)))
                if kind is not Forward:  # which brings no quorum nearer
                    self._advance()
        else:
            try:
                _TO_PARTICIPANT[kind](self, peer, message)
            except BrokenOrder as reason:
                self.broken.append((peer, str(reason)))

    def durable(self, serial: int, now: float) -> None:
        """All steps up to this serial are durable."""
        self._now = now
        self._durable.settle(serial)
        self._advance()
        if self._acceptor is not None:
            self._acceptor.advance()
        elif self._proposer is None:
            self._evaluate()
        if self._mending is not None and not self._durable.suspect:
            # A leader has brought it; should the next one cut that off again, nothing that counts is lost by that.
            self._mending = None
            self._durable.save(suspect=0)
            self.notes.append("a leader has brought what the damaged log had lost")

    def streamed(self, peer: int, epoch: int, position: int, now: float) -> None:
        """A stream that was asked for has been sent, up to `position`."""
        self._now = now
        if self._proposer is not None and self._proposer.epoch == epoch:
            self._proposer.streamed(peer, position)

    def forward(self, count: int, runs: bytes, read: Sequence[Run] = ()) -> bool:
        """Have the leader propose these runs of this server's clients; False if there is no leader to do it.

        `read`: the same runs as they were read from these bytes, if they were.
        """
        if self.leads:
            assert self._proposer is not None
            self._proposer.add(self._settings.server, Forward(self._proposer.epoch, count, runs, read))
        elif self._acceptor is not None and self._acceptor.serving:
            self._send(self._acceptor.leader, Forward(self._acceptor.epoch, count, runs))
        else:
            return False
        return True

    def ask_barrier(self, ticket: int) -> bool:
        """Ask for a zxid not below anything committed before now; False if there is no leader to ask.

        When it is answered, the leader has heard of all sessions that were heard here before.
        """
        if self.leads:
            assert self._proposer is not None
            self._proposer.ask_barrier(self._settings.server, ticket)
        elif self._acceptor is not None and self._acceptor.serving:
            self._acceptor.report_touched()
            self._send(self._acceptor.leader, AskBarrier(self._acceptor.epoch, ticket))
        else:
            return False
        return True

    def tick(self, now: float) -> None:
        """Time has passed. Called several times in a heartbeat."""
        proposer, acceptor, settings = self._proposer, self._acceptor, self._settings
        if acceptor is not None and now - self._ticked_s > settings.leader_timeout_s / 2:
            acceptor.heard_s = now  # it was this server that stood still; the leader's words may wait unread
        elif acceptor is not None and not acceptor.established and self._durable.owes:
            acceptor.heard_s = now  # until it has the promise, the leader has nothing to say
        self._now = self._ticked_s = now
        if proposer is not None:
            proposer.tick(now)
            patience = settings.leader_timeout_s
            if now - proposer.started_s > patience and not proposer.has_contact(now, patience):
                self._become_looking("no quorum has answered for too long")
            elif now - self._beat_s >= settings.heartbeat_s:
                self._beat_s = now
                proposer.heartbeat()
        elif acceptor is not None:
            if now - acceptor.heard_s > settings.leader_timeout_s:
                self._become_looking(f"the leader, server {acceptor.leader}, was silent for too long")
        else:
            election = self._election
            if now - election.since_s > settings.leader_timeout_s:
                election.pass_over(now)
            self._evaluate()
            if self._mending is not None and now - self._asked_s > settings.heartbeat_s:
                self._ask_for_missing()

    def was_stopped(self, now: float) -> None:
        """This server did not run for a while. Silence is counted from now on: after a stop of all, nobody need be
        elected anew, and one who leads no more is told so by the others.
        """
        self._now = now
        if self._proposer is not None:
            self._proposer.started_s = now
        elif self._acceptor is not None:
            self._acceptor.heard_s = now

    def propose(self, time_ms: int, applied: int, digest: int, now: float) -> None:
        """If this server leads: make batches of what is pending. `applied`, `digest`: its state as it stands."""
        if self._proposer is not None:
            self._proposer.propose(time_ms, applied, digest, now)
            if self._proposer.rolls_over:
                self.notes.append(f"the counter of epoch {self._proposer.epoch} is used up: preparing a new epoch")
                self._become_preparing()
            elif self.leads and (too_slow := self._durable.too_slow):
                self._become_looking(too_slow)  # the others commit without this disk, and can do so under one of them

    def take(self) -> Output | None:
        """What is to be done, if anything, in the order of the output's fields."""
        if self._proposer is not None:
            self._proposer.before_take()
        elif self._acceptor is not None:
            self._acceptor.before_take()
        return self._durable.take()

    # ---- changes of role

    def _become_looking(self, reason: str) -> None:
        if self._proposer is not None or self._acceptor is not None:
            self.notes.append(f"looking for a leader: {reason}")
            self.elections += 1
        self._take_role()
        self._barriers.clear()
        self.set_strangers(self.strangers_here())
        self._election.restart(self._now)
        self._said = None
        self._evaluate()

    def _become_preparing(self) -> None:
        """Begin an epoch of one's own, above all that anyone here is known to have promised."""
        settings, ballot = self._settings, self._durable.ballot
        epoch = self._election.epoch_above(ballot.promised)
        cluster = ballot.cluster or settings.cluster_if_new
        proposer = Proposer(self._durable, settings.server, self._quorum, settings.limits, epoch, cluster, self._now)
        proposer.strangers = self._strangers
        self._take_role(proposer=proposer)
        self._beat_s = self._now
        self.notes.append(f"preparing epoch {epoch}")
        proposer.prepare(list(self._peers))
        self._advance()

    def _become_following(self, leader: int, epoch: int) -> None:
        if (self.leader, self.epoch) != (leader, epoch):  # invitations may cross
            self.notes.append(f"following server {leader} in epoch {epoch}")
        acceptor = Acceptor(self._durable, leader, epoch, self._now)
        acceptor.touched = lambda: self.touched_here()
        acceptor.attended = lambda: self.attended_here()
        self._take_role(acceptor=acceptor)
        acceptor.promise()

    def _take_role(self, *, proposer: Proposer | None = None, acceptor: Acceptor | None = None) -> None:
        """One of the two, or neither. In a new role a server does not serve yet."""
        self._proposer, self._acceptor = proposer, acceptor
        self.leads = self.serving = False

    def _serves(self) -> None:
        self.leads, self.serving = self._proposer is not None, True
        self.service += 1
        self._said = None
        self._tell_everyone()

    # ---- the canvass

    def _canvass(self) -> Canvass:
        """Where this server stands: what its disk holds, not what it hopes for (I7)."""
        durable, settings = self._durable, self._settings
        leader = self.leader if self.serving else 0
        return Canvass(
            promised=durable.ballot.promised,
            accepted=durable.saved.accepted,
            last=durable.claimed,
            priority=settings.priority,
            choice=self._election.choice,
            leader=leader,
            epoch=self.epoch if leader else 0,
            voter=settings.server in self._quorum.voters and settings.server not in self._strangers,
            whole=durable.whole,
        )

    def _evaluate(self) -> None:
        """While looking: choose, tell the others if that changed, and prepare once chosen by a quorum."""
        if self._proposer is not None or self._acceptor is not None:
            return
        self._election.choose(self._canvass())
        self._tell_everyone()
        if self._election.won(self._now, self._peers):
            self._become_preparing()

    def _tell_everyone(self) -> None:
        said = self._canvass()
        if said != self._said:
            self._said = said
            for peer in self._peers:
                self._send(peer, said)

    def _on_canvass(self, peer: int, message: Canvass) -> None:
        self._election.hear(peer, message, self._now)
        proposer = self._proposer
        if proposer is not None:
            if proposer.outranked_by(message):
                self._become_looking(f"server {peer} follows server {message.leader} in epoch {message.epoch}")
            elif not message.leader and not proposer.expects_promise(peer, message.promised):
                progress = proposer.progress.get(peer)
                if progress is not None and progress.streaming:
                    self.broken.append((peer, "it looks for a leader while its history is streamed to it"))
                else:
                    proposer.invite(peer)
        elif self._acceptor is not None:
            if peer == self._acceptor.leader and not message.leader:
                self._become_looking(f"server {peer} does not lead any more")
        else:
            if message.leader == peer:
                self._send(peer, self._canvass())  # so that it invites this server; what it heard before may be old
            self._evaluate()

    def _on_prepare(self, peer: int, message: Prepare) -> None:
        ballot = self._durable.ballot
        if message.epoch < ballot.promised or (message.epoch == ballot.promised and ballot.promised_to != peer):
            self._send(peer, Refusal(message.epoch, ballot.promised))
            return
        self._become_following(peer, message.epoch)

    def _on_refusal(self, peer: int, message: Refusal) -> None:
        proposer = self._proposer
        if proposer is None or proposer.epoch != message.epoch or message.promised < proposer.epoch:
            return
        self._election.highest_promised = max(self._election.highest_promised, message.promised)
        self.notes.append(f"server {peer} has promised epoch {message.promised}: preparing one above it")
        self._become_preparing()

    def _on_barrier(self, peer: int, message: Barrier) -> None:
        if self._acceptor is not None and (self._acceptor.leader, self._acceptor.epoch) == (peer, message.epoch):
            self._barriers.append((message.ticket, message.zxid))

    # ---- leading

    def _on_promise(self, peer: int, message: Promise) -> None:
        proposer = self._proposer
        if proposer is not None and proposer.epoch == message.epoch:
            proposer.on_promise(peer, message, self._now)
            if proposer.reason_to_withdraw:
                said = self._election.views.get(peer)
                if said is not None:  # which was said before all of its log was durable
                    news = replace(said, accepted=message.accepted, last=message.claimed)
                    self._election.hear(peer, news, self._now)
                self._become_looking(proposer.reason_to_withdraw)
            self._advance()

    def _on_heartbeat_reply(self, peer: int, message: HeartbeatReply) -> None:
        if self._proposer is not None and self._proposer.epoch == message.epoch:
            self._proposer.on_heartbeat_reply(peer, message, self._now)

    def _advance(self) -> None:
        proposer = self._proposer
        if proposer is not None:
            established = proposer.phase == ESTABLISHED
            proposer.advance(self._now)
            if proposer.phase == ESTABLISHED and not established:
                self.notes.append(f"leading epoch {proposer.epoch}, history to {self.log.last:#x}")
                self._serves()

    # ---- a damaged log

    def _ask_for_missing(self) -> None:
        """While there is no leader who would bring it: ask the peers in turns for the latest batch that is missing."""
        mending, last = self._mending, self.log.last
        if mending is None or self._proposer is not None or self._acceptor is not None:
            return
        upto = mending.missing(last)
        if upto and self._peers:
            self._asked_s = self._now
            peer = next(iter(self._peers))
            self._peers[peer] = self._peers.pop(peer)  # the next one's turn
            self._send(peer, Fetch(upto, last))

    def _on_fetch(self, peer: int, message: Fetch) -> None:
        here = self._mending.back_from(message.upto, message.above, FETCH_BYTES_MAX) if self._mending else []
        for batch in here:
            self._send(peer, Fetched(batch))
        if not here:
            self._durable.output.fetches.append(FetchRequest(peer, message.upto, message.above))

    def _on_fetched(self, peer: int, message: Fetched) -> None:
        mending, last = self._mending, self.log.last
        if mending is None or self._proposer is not None or self._acceptor is not None:
            return  # a leader brings it
        if not mending.add(message.batch, last) or mending.missing(last):
            return
        batches = mending.batches(last)
        if batches is not None:
            self._mending = None
            self._durable.mend(batches)
            self.set_strangers(self.strangers_here())
            self.notes.append(f"the log is whole again up to {self.log.last:#x}")

    def _send(self, peer: int, message: Message) -> None:
        self._durable.output.send_now.append((peer, message))

    def __repr__(self) -> str:
        serving = "" if self.serving else ", not serving"
        return f"<Participant {self._settings.server} {self.role}, epoch {self.epoch}{serving}, {self.log!r}>"


_TO_ACCEPTOR: dict[type, Callable[[Acceptor, Any], None]] = {
    Truncate: Acceptor.on_truncate,
    SnapshotChunk: Acceptor.on_snapshot_chunk,
    History: Acceptor.on_history,
    Establish: Acceptor.on_establish,
    Accept: Acceptor.on_accept,
    Commit: Acceptor.on_commit,
    Heartbeat: Acceptor.on_heartbeat,
}
_TO_PROPOSER: dict[type, Callable[[Proposer, int, Any], None]] = {
    NeedSnapshot: Proposer.on_need_snapshot,
    Established: Proposer.on_established,
    Accepted: Proposer.on_accepted,
    Forward: Proposer.on_forward,
    AskBarrier: Proposer.on_ask_barrier,
}
_TO_PARTICIPANT: dict[type, Callable[[Participant, int, Any], None]] = {
    Canvass: Participant._on_canvass,
    Prepare: Participant._on_prepare,
    Promise: Participant._on_promise,
    Refusal: Participant._on_refusal,
    Fetch: Participant._on_fetch,
    Fetched: Participant._on_fetched,
    Barrier: Participant._on_barrier,
    HeartbeatReply: Participant._on_heartbeat_reply,
}
