"""Phase 0, the canvass: who should try to lead? Nothing is written, no epoch is used up (a pre-vote).

Every server tells where it stands and whom it would follow: the one with the newest history among those it can
reach and that look for a leader, then by priority, then by id. Who is chosen by a quorum may prepare an epoch. When
all reachable voters agree there is nothing to wait for; while one of them has not chosen, a settle delay runs, in which
it may still turn up with a newer history. A candidate that does not get to lead (it hangs, or too few reach it) is
passed over after a while, since others may have the quorum that it has not (T47); but not for ever, and not by oneself:
who finds nobody left to follow, or hears that somebody turns to a candidate, gives it another chance. Else all could
come to stand for themselves, each having passed over the others while there was no way to them.
"""

from collections.abc import Iterable

from coord.paxos.messages import Canvass
from coord.paxos.quorum import Majority


class Election:
    """What the servers around this one have said, and what follows from it."""

    __slots__ = (
        "_me", "_passed_over", "_quorum", "_settle_s", "choice", "highest_promised", "since_s", "strangers", "views",
    )  # fmt: skip

    def __init__(self, me: int, quorum: Majority, settle_s: float) -> None:
        self._me = me
        self._quorum = quorum
        self._settle_s = settle_s
        self.views: dict[int, Canvass] = {}  # by connected server
        self.choice = 0
        self.strangers: frozenset[int] = frozenset()  # not who they were: neither candidates nor supporters
        self.highest_promised = 0  # learned from refusals
        self.since_s = 0.0  # when the set of candidates last changed
        self._passed_over: set[int] = set()

    def restart(self, now: float) -> None:
        """A leader is needed again."""
        self.choice = 0
        self._passed_over.clear()
        self.since_s = now

    def hear(self, peer: int, said: Canvass, now: float) -> None:
        before = self.views.get(peer)
        self.views[peer] = said
        if before is None or (before.accepted, before.last, before.leader) != (said.accepted, said.last, said.leader):
            self.since_s = now
        if said != before:
            self._passed_over.discard(peer)
        if before is not None and said.choice != before.choice:
            self._passed_over.discard(said.choice)  # whoever another turns to may get its quorum now

    def pass_over(self, now: float) -> None:
        """The chosen one does not lead: choose another, until there is news of it. If nobody is left, begin anew."""
        if self.choice in (0, self._me):
            self._passed_over.clear()
        else:
            self._passed_over.add(self.choice)
        self.since_s = now

    def forget(self, peer: int, now: float) -> None:
        self._passed_over.discard(peer)
        if self.views.pop(peer, None) is not None:
            self.since_s = now

    def choose(self, mine: Canvass) -> bool:
        """Find the best candidate; whether that is another one than before."""
        standings = {
            peer: said
            for peer, said in self.views.items()
            if said.voter and not said.leader and peer not in self.strangers and peer not in self._passed_over
        }
        if mine.voter:
            standings[self._me] = mine
        best = max(
            standings,
            key=lambda server: (
                standings[server].accepted,
                standings[server].last,
                standings[server].priority,
                server,
            ),
            default=0,
        )
        changed = best != self.choice
        self.choice = best
        return changed

    def won(self, now: float, reachable: Iterable[int]) -> bool:
        """Whether this server has been chosen and should prepare now."""
        if self.choice != self._me:
            return False
        supporters = {peer for peer, said in self.views.items() if not said.leader and said.choice == self._me}
        supporters.add(self._me)
        supporters -= self.strangers
        if not self._quorum.has(supporters):
            return False
        undecided = self._quorum.voters.intersection(reachable) - supporters - self.strangers
        return not undecided or now >= self.since_s + self._settle_s

    def epoch_above(self, promised: int) -> int:
        """A new epoch: above all that anyone around is known to have promised."""
        return max([promised, self.highest_promised, *(said.promised for said in self.views.values())]) + 1
