"""Which sessions have been heard, and which are overdue. Kept by the leader only, and anew by each leader.

A session is overdue when nothing was heard of it for its timeout on this leader's monotonic clock, counted from the
leader's own start at the earliest (I17): a new leader gives everyone the full time, since it cannot know.
"""

from collections.abc import Iterable, Mapping
from hmac import compare_digest

from sortedcontainers import SortedDict

from coord.model.entries import Run
from coord.model.requests import AttachSession
from coord.state.sessions import Session

BUCKET_S = 0.25
"""Deadlines are looked at in steps of this: a session ends at most so much late, never early."""


class Liveness:
    """Deadlines in buckets. Hearing of a session costs one dict store; its bucket is corrected when it comes up."""

    __slots__ = ("_buckets", "_heard_s", "_timeout_s")

    def __init__(self) -> None:
        self._heard_s: dict[int, float] = {}
        self._timeout_s: dict[int, float] = {}
        self._buckets: SortedDict[int, dict[int, None]] = SortedDict()  # number of the bucket -> sessions

    def track(self, session: int, timeout_ms: int, now: float) -> None:
        """Follow a session from now on, with its full timeout."""
        former_s = self._timeout_s.get(session)
        self._heard_s[session] = now
        self._timeout_s[session] = timeout_ms / 1000
        if former_s is None or timeout_ms / 1000 < former_s:
            self._file(session)  # where it stood would be too late to look at it

    def hear(self, sessions: Iterable[int], now: float) -> None:
        heard_s = self._heard_s
        for session in sessions:
            if session in heard_s:
                heard_s[session] = now

    def hear_writers(self, runs: Iterable[Run], sessions: Mapping[int, Session], now: float) -> None:
        """These runs have come to be proposed. A follower that commits by itself answers them before this server knows
        that they are committed, and from then on their clients count on the whole timeout.
        """
        for run in runs:
            if run.session:
                self.hear((run.session,), now)
            else:
                for request in run.requests:
                    if isinstance(request, AttachSession):
                        self._hear_attaching(request, sessions.get(request.session), now)

    def _hear_attaching(self, request: AttachSession, session: Session | None, now: float) -> None:
        """Until it is applied the longer of the two timeouts holds: the client may have been told of either."""
        if session is not None and compare_digest(session.password, request.password):
            self.track(session.id, max(session.timeout_ms, request.timeout_ms), now)

    def forget(self, session: int) -> None:
        self._heard_s.pop(session, None)
        self._timeout_s.pop(session, None)

    def overdue(self, now: float) -> list[int]:
        """The sessions whose time is up. They are no longer tracked."""
        ended: list[int] = []
        current = int(now / BUCKET_S)
        while self._buckets and self._buckets.peekitem(0)[0] < current:
            _, sessions = self._buckets.popitem(0)
            for session in sessions:
                if session not in self._timeout_s:
                    continue
                if now >= self._heard_s[session] + self._timeout_s[session]:
                    self.forget(session)
                    ended.append(session)
                else:
                    self._file(session)
        return ended

    def expiring(self) -> list[tuple[float, list[int]]]:
        """By the whole second of this process's clock in which their time is up if nothing more is heard of them."""
        moments: dict[int, list[int]] = {}
        for session, heard_s in self._heard_s.items():
            moments.setdefault(int(heard_s + self._timeout_s[session]) + 1, []).append(session)
        return [(float(moment), moments[moment]) for moment in sorted(moments)]

    def restart(self, now: float) -> None:
        """Everybody gets the full time again: this process was paused, and heard nobody for its own fault (T31)."""
        for session in self._heard_s:
            self._heard_s[session] = now

    def _file(self, session: int) -> None:
        bucket = int((self._heard_s[session] + self._timeout_s[session]) / BUCKET_S) + 1
        sessions = self._buckets.get(bucket)
        if sessions is None:
            sessions = self._buckets[bucket] = {}
        sessions[session] = None

    def __len__(self) -> int:
        return len(self._timeout_s)
