"""Replies that a session's numbered writes got, kept until the client is known to have them: exactly once.

A client that lost its connection sends again what was not answered, under the same numbers. What had been done is then
answered from here, and not done again. A number must follow the last one: so nothing can be done out of order either.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from coord.model.errors import ERRORS, BadArgumentsError, CoordError, UnacknowledgedError
from coord.model.replies import Created, Done, Failed, MultiDone, Repeated, Reply, Written
from coord.model.stat import Stat
from coord.state.digest import APPLIED, KEPT_ZXID, MASK, session_mark
from coord.state.znode import Znode

KEPT_REPLIES_MAX = 1000
"""Replies of one session that are kept; a client sends far fewer writes before it acknowledges the first."""
KEPT_REPLIES_BYTES_MAX = 1 << 20
"""And about so many bytes of them. Beyond either the session's next write is refused."""
KEPT_COSTS_BYTES = 300
"""What a kept reply takes beside its text."""

Kept: TypeAlias = tuple[int, Reply, int]
"""The zxid at which a write was done, its reply, and about the bytes that takes."""


class Ledger:
    """One session's writes by number. What is kept are the replies to the numbers acked + 1 .. applied, in order.

    Its part of the digest is that of `applied` and of the zxids of what is kept: what the replies say follows from the
    state at those.
    """

    __slots__ = ("_of_applied", "_of_zxid", "acked", "applied", "bytes", "kept", "session")

    def __init__(self, session: int, applied: int = 0, acked: int = 0) -> None:
        self.session = session
        self.applied = applied  # number of the last write that was done
        self.acked = acked
        self.kept: deque[Kept] = deque()
        self.bytes = 0
        # What each write, and the zxid of each that is kept, count for in the digest.
        self._of_applied = session_mark(session) * APPLIED & MASK
        self._of_zxid = session_mark(session) * KEPT_ZXID & MASK

    def admits(self, number: int) -> bool:
        """Whether the write `number` is the next and may be done."""
        return number == self.applied + 1 and len(self.kept) < KEPT_REPLIES_MAX and self.bytes <= KEPT_REPLIES_BYTES_MAX

    def repeated(self, number: int) -> Repeated:
        """The first reply to the write `number`, which is not admitted; or the error for it."""
        session = f"session {self.session:#x}"
        if number == self.applied + 1:
            raise UnacknowledgedError(
                f"write {number} of {session} is refused: {len(self.kept)} replies wait to be acknowledged; "
                "acknowledge them and send it again"
            )
        if number > self.applied:
            raise BadArgumentsError(f"write {number} of {session} leaves a gap: the last one done is {self.applied}")
        if number <= self.acked:
            raise BadArgumentsError(f"write {number} of {session} was acknowledged: its reply is not kept any more")
        zxid, reply, _ = self.kept[number - self.acked - 1]
        return Repeated(reply, zxid)

    def keep(self, zxid: int, reply: Reply) -> int:
        """The next write was done and got `reply`, which shows nothing live; what that adds to the digest."""
        self.applied += 1
        size = KEPT_COSTS_BYTES if type(reply) is Written else size_of(reply)
        self.kept.append((zxid, reply, size))
        self.bytes += size
        return self._of_applied + self._of_zxid * zxid

    def acknowledge(self, number: int) -> int:
        """Replies up to `number` need not be kept any more; what that adds to the digest."""
        if number > self.applied:
            raise BadArgumentsError(
                f"session {self.session:#x} acknowledges write {number}, and the last one done is {self.applied}"
            )
        kept, zxids = self.kept, 0
        for _ in range(number - self.acked):
            zxid, _, size = kept.popleft()
            zxids += zxid
            self.bytes -= size
        self.acked = number
        return -self._of_zxid * zxids

    def term(self) -> int:
        """The part of all this in the digest."""
        return self._of_applied * self.applied + self._of_zxid * sum([zxid for zxid, _, _ in self.kept]) & MASK

    def restore(self, zxid: int, reply: Reply) -> None:
        """Put back the next reply, of which nothing else changes: as a snapshot says."""
        size = size_of(reply)
        self.kept.append((zxid, reply, size))
        self.bytes += size


def settled(reply: Reply) -> Reply:
    """`reply`, with a copy in the place of the live znode that it shows, so that it stays as it is."""
    if type(reply) is Written or type(reply) is Created:
        if type(reply.stat) is Znode:
            reply.stat = reply.stat.frozen()
    elif type(reply) is MultiDone:
        for each in reply.replies:
            settled(each)
    return reply


def size_of(reply: Reply) -> int:
    """About what it takes in memory."""
    if type(reply) is Created:
        return KEPT_COSTS_BYTES + len(reply.path)
    if type(reply) is Failed:
        return KEPT_COSTS_BYTES + len(str(reply.error))
    if type(reply) is MultiDone:
        return KEPT_COSTS_BYTES + sum(map(size_of, reply.replies))
    return KEPT_COSTS_BYTES


# ---- as plain values, for a snapshot

_STAT_TYPES = ([int] * 11, [int] * 12)
"""A stat's fields; the last is left out where it is 0, as it is for nearly every znode."""


def plain_of(reply: Reply) -> list[Any]:
    """`reply`, which is settled, as a list of plain things that begins with its kind."""
    if type(reply) is Done:
        return [0]
    if type(reply) is Written:
        return [1, _plain_stat(reply.stat)]
    if type(reply) is Created:
        return [2, reply.path, _plain_stat(reply.stat)]
    if type(reply) is Failed:
        return [3, reply.code, str(reply.error)]
    assert type(reply) is MultiDone, f"a {type(reply).__name__} is not what a client's write is answered with"
    return [4, [plain_of(each) for each in reply.replies]]


def reply_of(plain: Any) -> Reply:
    """The reply again; any exception if it is not one."""
    kind, *fields = plain
    read: Callable[..., Reply] = _READERS[kind]
    return read(*fields)


def _plain_stat(stat: Any) -> list[int]:
    fields = [getattr(stat, name) for name in Stat.__slots__]  # type: ignore[attr-defined]
    return fields if stat.lifetime_ms else fields[:-1]


def _stat_of(plain: Any) -> Stat:
    if [*map(type, plain)] not in _STAT_TYPES:
        raise ValueError("a stat is eleven or twelve integers")
    return Stat(*plain)


def _failed(code: int, sentence: str) -> Failed:
    if type(code) is not int or type(sentence) is not str:
        raise ValueError("an error is a code and a sentence")
    return Failed(ERRORS.get(code, CoordError)(sentence))


def _created(path: str, stat: Any) -> Created:
    if type(path) is not str:
        raise ValueError("a path is text")
    return Created(path, _stat_of(stat))


_READERS: list[Callable[..., Reply]] = [
    lambda: Done(),
    lambda stat: Written(_stat_of(stat)),
    _created,
    _failed,
    lambda replies: MultiDone(tuple([reply_of(each) for each in replies])),
]
