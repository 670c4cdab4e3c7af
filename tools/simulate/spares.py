"""L5: what a leader does not send at once to those who follow it (paxos/thrift.py), by what it puts out.

Each batch goes at once to a quorum of the voters, the leader among them. Whoever was spared it gets it in its turn, by
the leader's next tick, and is told of no commit that needs it before.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from coord.model.entries import Batch
from coord.paxos.effects import Append
from coord.paxos.messages import Accept, Commit, Heartbeat
from coord.paxos.progress import Progress
from coord.paxos.proposer import Proposer
from coord.replica.ready import Ready
from tools.simulate.ghost import Violation


@dataclass(slots=True)
class Spared:
    """One follower, from its promise on, and what it is still to be sent."""

    progress: Progress
    batches: deque[tuple[int, int, int]] = field(default_factory=deque)  # (last zxid; ticks and followers as of then)


@dataclass(slots=True)
class Spares:
    """Those of one server, while it leads."""

    ticks: int = 0
    by_peer: dict[int, Spared] = field(default_factory=dict)

    def look(self, me: int, proposer: Proposer | None, ready: Ready, situations: Counter[str]) -> None:
        """Before each output of the server."""
        following = {} if proposer is None else {p: each for p, each in proposer.progress.items() if each.replicating}
        for peer in list(self.by_peer):
            if following.get(peer) is not self.by_peer[peer].progress:
                del self.by_peer[peer]
        if proposer is None:
            return
        for step in ready.steps:
            if isinstance(step, Append) and step.batch.epoch == proposer.epoch:
                self._proposed(me, proposer, following, step.batch, ready)
        for peer, message in ready.send_now:
            spared = self.by_peer.get(peer)
            if spared is None or not spared.batches:
                continue
            zxid, ticks, followers = spared.batches[0]
            told = 0
            if isinstance(message, Accept) and message.batch.last >= zxid:
                if message.batch.last > zxid:
                    raise Violation(f"L5: server {me} passes over {zxid:#x}, which server {peer} was not sent")
                spared.batches.popleft()
                situations["a spare was sent later what it was spared"] += 1
                if len(following) < followers:
                    situations["a spare was sent what it was spared when another was lost"] += 1
                elif ticks < self.ticks:
                    situations["a spare was sent at a tick what it was spared"] += 1
            elif isinstance(message, Heartbeat):
                told = message.commit
            elif isinstance(message, Commit):
                told = max(message.zxid, message.with_you)
            if told >= zxid:
                raise Violation(f"L5: server {me} tells server {peer} of commits to {told:#x}, and not of {zxid:#x}")
        for peer, spared in self.by_peer.items():
            if spared.batches and spared.batches[0][1] < self.ticks:
                late = spared.batches[0][0]
                raise Violation(f"L5: server {me} has not sent {late:#x} to server {peer} by its next tick")

    def _proposed(
        self, me: int, proposer: Proposer, following: dict[int, Progress], batch: Batch, ready: Ready
    ) -> None:
        sent = {peer for peer, message in ready.send_now if isinstance(message, Accept) and message.batch is batch}
        spared = [peer for peer in following if peer not in sent]
        if spared and not proposer._quorum.has({me, *sent} - proposer.strangers):
            raise Violation(f"L5: server {me} sends {batch!r} to {sorted(sent)} only, though more follow it")
        for peer in spared:
            known = self.by_peer.setdefault(peer, Spared(following[peer]))
            known.batches.append((batch.last, self.ticks, len(following)))
