"""Thrift: a small batch goes at once to as many servers as make a quorum, and to idle spares a little later.

A vote that is not needed costs as much as one that is: two wake-ups, a write and a sync, on processors and disks that the
others wait for. (EPaxos, SOSP'13, calls it thrifty; there the rest is never sent.) So a follower without clients, whose
acknowledgement the quorum can do without, gets small batches a few at a time: with the next that it does get, at the
latest with the leader's next tick. Nothing is weaker for it: who is committed stands on a quorum's disks either way.
"""

LATE_S = 0.005
"""A commit that takes longer might have come sooner with those who were spared."""

GENEROUS_S = 1.0
"""For so long after such a one everybody gets everything at once."""

HELD_BATCHES_MAX = 64
HELD_BYTES_MAX = 16 << 10
"""What is held back from one follower is not more than this."""


class Thrift:
    """Whether followers may be spared, by how long commits took where some were. Times in seconds of one clock."""

    __slots__ = ("_generous_until_s", "_sent_s", "_zxid")

    def __init__(self) -> None:
        self._zxid = 0  # the oldest batch under way that somebody was spared; 0: there is none
        self._sent_s = 0.0
        self._generous_until_s = float("-inf")

    def allowed(self, now: float) -> bool:
        return now >= self._generous_until_s

    def spared(self, zxid: int, now: float) -> None:
        """The batch that ends with `zxid` was sent to some only."""
        if not self._zxid:
            self._zxid, self._sent_s = zxid, now

    def committed(self, commit: int, now: float) -> None:
        if self._zxid and commit >= self._zxid:
            self.look(now)
            self._zxid = 0

    def look(self, now: float) -> None:
        """See whether what is under way takes too long."""
        if self._zxid and now - self._sent_s > LATE_S:
            self._generous_until_s = now + GENEROUS_S
