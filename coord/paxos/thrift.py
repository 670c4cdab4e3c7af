"""Thrift: a small batch goes at once to as many servers as make a quorum, and to idle spares a little later.

A vote that is not needed costs as much as one that is: two wake-ups, a write and a sync, on processors and disks that
the others wait for. (EPaxos, SOSP'13, calls it thrifty; there the rest hear of the commit only.) So a follower without
clients, whose acknowledgement the quorum can do without, gets small batches a few at a time: with the next that it does
get, at the latest with the leader's next tick. No commit is weaker for it: it stands on a quorum's disks either way.

What it costs: nobody stands in for a voter that stumbles, until the next tick. So after a commit that came late
everybody gets everything at once for a while, which also shows who it was: whose pace is late is not relied on.
"""

from collections.abc import Collection, Sequence

from coord.model.entries import Batch
from coord.paxos.progress import LATE_S, Pace, Progress
from coord.paxos.quorum import Majority

GENEROUS_S = 0.25
GENEROUS_BATCHES = 16
"""After a commit that took longer than LATE_S nobody is spared for so long, and so many batches."""

HELD_BATCHES_MAX = 16
HELD_BYTES_MAX = 16 << 10
"""What is held back from one follower is not more than this: 64 batches at once keep a processor busy for so long that
other writes show it.
"""


class Thrift:
    """Whom a leader spares. Times in seconds of one clock."""

    __slots__ = ("_generous_batches", "_generous_until_s", "_me", "_quorum", "pace")

    def __init__(self, me: int, quorum: Majority) -> None:
        self._me = me
        self._quorum = quorum
        self._generous_until_s = float("-inf")
        self._generous_batches = 0
        self.pace = Pace()  # of the leader's own disk

    def note_under_way(self, proposed_s: float, now: float) -> None:
        """The oldest batch that is not committed yet was proposed then: if that is long ago, it is late."""
        if now - proposed_s > LATE_S:
            self._generous_until_s, self._generous_batches = now + GENEROUS_S, GENEROUS_BATCHES

    def spares(
        self,
        batch: Batch,
        receivers: Sequence[tuple[int, Progress]],
        strangers: frozenset[int],
        commit: int,
        durable: int,
        now: float,
    ) -> Collection[int]:
        """Those who can get this batch later: nobody waits for them, neither a client nor the quorum.

        Relied on is who has what is committed, and was not late with it; of several whoever takes least time lately.
        `durable`: how far the leader's own disk is.
        """
        if now < self._generous_until_s or self._generous_batches > 0:
            self._generous_batches -= 1
            return ()
        idle, voting, may_vote = set(), set(), []
        if durable >= commit and not self.pace.late:
            voting.add(self._me)
        for peer, progress in receivers:
            relied_on = progress.match >= commit and not progress.pace.late and peer not in strangers
            if progress.can_wait_for(batch, HELD_BATCHES_MAX, HELD_BYTES_MAX):
                idle.add(peer)
                if relied_on and peer in self._quorum.voters:
                    may_vote.append((-progress.match, progress.takes_s, peer))
            elif relied_on:
                voting.add(peer)
        if not idle:
            return ()
        for _, _, peer in sorted(may_vote):
            if self._quorum.has(voting):
                break
            voting.add(peer)
        return idle - voting if self._quorum.has(voting) else ()
