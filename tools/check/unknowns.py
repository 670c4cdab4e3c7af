"""Which of the writes that nobody acknowledged took effect, and where, if only the clients can be asked.

Such a write is put into the replay only where something was seen that the acknowledged writes do not explain: an event
or a stat with a zxid no acknowledged write has, or a reply the model contradicts. Then every write that may have
caused it is tried, at every place among the writes it could disturb, until the whole history agrees. The same goes for
what the servers do of their own accord: ending a session that was given up, reaping containers and TTL znodes.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from coord.model.acl import SUPER_SCHEME
from coord.model.entries import Run, counter_of
from coord.model.message import message
from coord.model.paths import parent_of
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Created, DataReply
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
    CloseSession,
    Create,
    Delete,
    SetData,
    SetWatches,
    Write,
)
from tools.check.compare import stat_of
from tools.check.history import CLOSED, Invoked, Notified, Operation, Record, SessionChanged
from tools.check.replay import Disagreement, Entry, Replayed, entry_of, replay, touched
from tools.check.watches import check_watches

APPLIED_MAX = 300_000
"""Entries applied, and records looked at, before the search is given up: some ten seconds."""
NEAR = 64
"""So far from the end a suspect is moved about to please those who watched."""

Placement: TypeAlias = tuple[tuple[int, int], ...]
"""(zxid, which suspect) of those that are taken to have happened."""


@dataclass(slots=True, eq=False)
class Suspect:
    """A write that may have happened, `times` times at most, at a zxid above `after` and below `before`."""

    request: Write
    run: Run
    paths: set[str]
    after: int
    before: int | None
    times: int = 1


@message
class Placed:
    """The writes as they may have been. `exhausted`: nothing better can be found, so disagreements are violations."""

    entries: list[Entry]
    replayed: Replayed
    exhausted: bool


def place(records: Sequence[Record], operations: Sequence[Operation], applied_max: int = APPLIED_MAX) -> Placed:
    """The acknowledged writes, and those others that explain what was seen."""
    return _Search(records, operations, applied_max).run()


class _Search:
    """Depth first over placements; each is judged by a replay up to the first thing it leaves unexplained."""

    def __init__(self, records: Sequence[Record], operations: Sequence[Operation], applied_max: int) -> None:
        self.records = records
        self.operations = operations
        self.by_number = {operation.number: operation for operation in operations}
        self.known: dict[int, Entry] = {}
        for operation in operations:
            if operation.is_write and operation.reply is not None and operation.position:
                self.known.setdefault(operation.position, entry_of(operation, operation.position))
        self.suspects = list(_suspects(records, operations))
        self.told = sorted(
            {
                (each.event.zxid, each.event.path, each.event.kind)
                for each in records
                if isinstance(each, Notified) and each.event.zxid > 0 and each.event.zxid not in self.known
            }
        )
        self.told_at_once = _told_at_once(records)
        self.left = applied_max

    def run(self) -> Placed:
        waiting: list[Placement] = [()]
        tried: set[frozenset[tuple[int, int]]] = set()
        best: tuple[int, Placement] = (-1, ())
        agreeing: Placed | None = None  # every reply is right, if not every event: for the checker of watches to say
        while waiting and self.left > 0:
            placement = waiting.pop()
            if frozenset(placement) in tried:
                continue
            tried.add(frozenset(placement))
            entries = self.entries(placement)
            replayed = replay(entries, self.operations, has_log=False, stop_at_first=True)
            self.left -= replayed.applied + 1
            found = replayed.disagreements[0] if replayed.disagreements else None
            branches = self.branches(placement, entries, replayed, found)
            if found is None:
                if not branches and self.tells_all(replayed):
                    return Placed(entries, replayed, True)
                agreeing = agreeing or Placed(entries, replayed, True)
                branches = branches or self.elsewhere(placement, entries)
            elif found.operation.position > best[0]:
                best = found.operation.position, placement
            waiting += reversed(branches)
        if agreeing is not None:
            return Placed(agreeing.entries, agreeing.replayed, not waiting)
        entries = self.entries(best[1])
        return Placed(entries, replay(entries, self.operations, has_log=False), not waiting)

    def tells_all(self, replayed: Replayed) -> bool:
        self.left -= len(self.records)
        return not check_watches(self.records, self.operations, replayed).violations

    def entries(self, placement: Placement) -> list[Entry]:
        found = list(self.known.values())
        for zxid, index in placement:
            suspect = self.suspects[index]
            found.append(Entry(zxid, 0, suspect.run, suspect.request))
        return sorted(found, key=_zxid_of)

    def branches(
        self, placement: Placement, entries: list[Entry], replayed: Replayed, found: Disagreement | None
    ) -> list[Placement]:
        """What could explain the first event nobody caused, or else what was told on re-arming, or else a reply."""
        limit = found.operation.position if found is not None else 1 << 63
        caused: set[tuple[int, str, int]] = set()
        for zxid, change in replayed.changes:
            caused.add((zxid, change.path, change.kind))
            caused.add((zxid, parent_of(change.path), CHILDREN_CHANGED))
        for told in self.told:
            zxid, path, kind = told
            if zxid < limit and told not in caused:
                explained = [
                    each
                    for each in self.with_one_at(placement, {path, parent_of(path)}, (zxid,), zxid)
                    if could_tell(self.suspects[each[-1][1]], kind, path)
                ]
                if any(each[0] == zxid for each in placement):  # it needs something that was there before
                    explained += self.with_one_before(placement, entries, {path, parent_of(path)}, zxid - 1)
                if explained:
                    return explained
        return self.rearmed(placement, entries, replayed) or (
            self.explanations(placement, entries, found) if found is not None else []
        )

    def rearmed(self, placement: Placement, entries: list[Entry], replayed: Replayed) -> list[Placement]:
        """What explains the first re-arming of watches that told something else than the replay would."""
        for number, due in replayed.due.items():
            told = self.told_at_once[number]
            paths = {path for _, path in (*(told - Counter(due)), *(Counter(due) - told))}
            paths |= {parent_of(path) for path in paths}  # a sequential create names only the beginning of its path
            limit = self.by_number[number].position
            result = list(self.with_one_before(placement, entries, paths, limit)) if paths else []
            if result:
                return result
        return []

    def explanations(self, placement: Placement, entries: list[Entry], found: Disagreement) -> list[Placement]:
        seen = found.operation
        paths = touched(seen.request)
        if isinstance(seen.reply, Created):
            paths.add(seen.reply.path)
        shown = list(_shown(seen))
        placed = dict(placement)
        wanted = [
            (zxid, path, data, made)
            for zxid, path, data, made in shown
            if zxid not in self.known
            and not (zxid in placed and could_show(self.suspects[placed[zxid]], path, data, made))
        ]
        result = [
            each
            for zxid, path, data, made in wanted
            for each in self.with_one_at(placement, paths, (zxid,), seen.position)
            if could_show(self.suspects[each[-1][1]], path, data, made)
        ]
        if not wanted:
            result += self.with_one_before(placement, entries, paths, seen.position)
        data = seen.reply.data if isinstance(seen.reply, DataReply) else None
        return sorted(result, key=lambda each: getattr(self.suspects[each[-1][1]].request, "data", None) != data)

    def elsewhere(self, placement: Placement, entries: list[Entry]) -> list[Placement]:
        """All replies agree, but the events do not: the same suspects at other zxids that nobody was shown."""
        last = max((entry.zxid for entry in entries), default=0)
        taken = {entry.zxid for entry in entries}
        return [
            _put(placement, zxid, each)
            for each in placement
            for zxid in range(last + 1, max(self.suspects[each[1]].after, last - NEAR), -1)
            if zxid not in taken and self.fits(each[1], zxid)
        ]

    def with_one_at(
        self, placement: Placement, paths: set[str], zxids: Sequence[int], limit: int
    ) -> Iterator[Placement]:
        """One more suspect, or one that stands elsewhere, at one of `zxids`; whatever was put there has to go."""
        for zxid in zxids:
            if zxid in self.known or zxid > limit:
                continue
            for index in self.possible(placement, paths):
                if self.fits(index, zxid):
                    yield _put(placement, zxid, (0, index))
            for each in placement:
                if each[0] != zxid and self.suspects[each[1]].paths & paths and self.fits(each[1], zxid):
                    yield _put(placement, zxid, each)

    def with_one_before(
        self, placement: Placement, entries: list[Entry], paths: set[str], limit: int
    ) -> Iterator[Placement]:
        """One more suspect before `limit`, in every place that makes a difference."""
        for index in self.possible(placement, paths):
            for zxid in self.gaps(entries, self.suspects[index], limit):
                if self.fits(index, zxid):
                    yield _put(placement, zxid, (0, index))

    def possible(self, placement: Placement, paths: set[str]) -> Iterator[int]:
        for index, suspect in enumerate(self.suspects):
            if suspect.paths & paths and sum(used == index for _, used in placement) < suspect.times:
                yield index

    def fits(self, index: int, zxid: int) -> bool:
        suspect = self.suspects[index]
        return suspect.after < zxid and (suspect.before is None or zxid < suspect.before)

    def gaps(self, entries: list[Entry], suspect: Suspect, limit: int) -> Iterator[int]:
        """Where below `limit` the suspect can stand, the latest first: between two writes that touch the same paths one
        free zxid is as good as another. Those of other suspects are offered too: they may have to stand elsewhere."""
        at = bisect_right(entries, limit, key=_zxid_of)
        zxid, fresh = limit, True
        while zxid > suspect.after:
            if at and entries[at - 1].zxid == zxid:
                at -= 1
                fresh = fresh or bool(touched(entries[at].request) & suspect.paths)
                if zxid not in self.known:
                    yield zxid
                zxid -= 1
                continue
            below = entries[at - 1].zxid if at else suspect.after
            if counter_of(zxid) == 0 and below + 1 < zxid:
                zxid = below + 1  # from the start of an epoch to the end of the one before
            if fresh and counter_of(zxid):
                yield zxid
                fresh = False
            zxid = below


def _zxid_of(entry: Entry) -> int:
    return entry.zxid


def _put(placement: Placement, zxid: int, moved: tuple[int, int]) -> Placement:
    """`moved`, which may be new, stands at `zxid`, and last; nothing else does."""
    return (*[each for each in placement if each is not moved and each[0] != zxid], (zxid, moved[1]))


def _shown(seen: Operation) -> Iterator[tuple[int, str, bytes | None, bool | None]]:
    """Which zxids a reply shows: (zxid, path, the data that were written, whether the path was created by it).

    None: not known, or of a child.
    """
    replies = (seen.reply, *getattr(seen.reply, "replies", ()))
    requests = (seen.request, *getattr(seen.request, "requests", ()))
    for request, reply in zip(requests, replies, strict=False):
        stat = stat_of(reply) if reply is not None else None
        path = reply.path if isinstance(reply, Created) else getattr(request, "path", None)
        if stat is None or path is None:
            continue
        data = reply.data or b"" if isinstance(reply, DataReply) else None
        yield stat.czxid, path, data if stat.mzxid == stat.czxid else None, True
        if stat.mzxid not in (stat.czxid, seen.position):
            yield stat.mzxid, path, data, False
        if stat.pzxid not in (stat.czxid, seen.position):
            yield stat.pzxid, path, None, None


def could_show(suspect: Suspect, path: str, data: bytes | None, made: bool | None) -> bool:
    """Whether the suspect can have left these data at `path`, by creating it or not; None: a child came or went."""
    request = suspect.request
    for each in (request, *getattr(request, "requests", ())):
        if isinstance(each, Create) and made is not False:
            fits = parent_of(each.path) == path if made is None else path.startswith(each.path)
            if fits and (data is None or data == (each.data or b"")):
                return True
        elif isinstance(each, SetData) and made is not None:
            # Even a path made by the same multi may have been written by a later step.
            several = each is not request
            if each.path == path and (several or not made) and (data is None or data == (each.data or b"")):
                return True
        elif (isinstance(each, Delete) and made is None and parent_of(each.path) == path) or (
            isinstance(each, CloseSession) and made is None
        ):
            return True
    return False


def could_tell(suspect: Suspect, kind: int, path: str) -> bool:
    """Whether a watcher can hear of this event because of the suspect."""
    request = suspect.request
    for each in (request, *getattr(request, "requests", ())):
        if isinstance(each, CloseSession):
            if kind in (NODE_DELETED, CHILDREN_CHANGED):
                return True
        elif isinstance(each, Create):
            if kind == NODE_CREATED and path.startswith(each.path):
                return True
            if kind == CHILDREN_CHANGED and path == parent_of(each.path):
                return True
        elif isinstance(each, Delete):
            if (kind == NODE_DELETED and path == each.path) or (
                kind == CHILDREN_CHANGED and path == parent_of(each.path)
            ):
                return True
        elif isinstance(each, SetData) and kind == DATA_CHANGED and path == each.path:
            return True
    return False


def _told_at_once(records: Iterable[Record]) -> dict[int, Counter[tuple[int, str]]]:
    """By SetWatches: the events (kind, path) without a zxid that came before its answer."""
    found: dict[int, Counter[tuple[int, str]]] = {}
    current: dict[int, int] = {}  # by session
    for record in records:
        if isinstance(record, Invoked) and isinstance(record.request, SetWatches):
            current[record.session] = record.operation
            found[record.operation] = Counter()
        elif isinstance(record, Notified) and record.event.zxid == -1 and record.session in current:
            found[current[record.session]][record.event.kind, record.event.path] += 1
    return found


def _suspects(records: Iterable[Record], operations: Sequence[Operation]) -> Iterator[Suspect]:
    answered = sorted(
        (each.return_ns, max(each.position, each.zxid)) for each in operations if each.return_ns is not None
    )
    heights: list[int] = []
    for _, zxid in answered:
        heights.append(max(zxid, heights[-1] if heights else 0))
    later = sorted((each.call_ns, each.position) for each in operations if each.is_write and each.position)
    depths = [0] * len(later)
    lowest = 1 << 63
    for at in range(len(later) - 1, -1, -1):
        lowest = depths[at] = min(lowest, later[at][1])

    owned: dict[int, list[str]] = {}
    for each in operations:
        requests = [each.request, *getattr(each.request, "requests", ())]
        for request in requests:
            if isinstance(request, Create) and request.kind in (EPHEMERAL, EPHEMERAL_SEQUENTIAL):
                insort(owned.setdefault(each.session, []), _made(each, request))
    for each in operations:
        if not each.is_write or each.position or each.code:
            continue
        below = bisect_left(answered, (each.call_ns, -1))
        after = heights[below - 1] if below else 0
        before = None
        if each.return_ns is not None:
            above = bisect_left(later, (each.return_ns + 1, -1))
            before = depths[above] if above < len(later) else None
        entry = entry_of(each, 0)
        paths = touched(each.request)
        if isinstance(each.request, CloseSession):
            paths |= {above for path in owned.get(each.session, ()) for above in (path, parent_of(path))}
        yield Suspect(entry.request, entry.run, paths, after, before, each.sends)

    ended = {each.session for each in records if isinstance(each, SessionChanged) and each.state == CLOSED}
    ended |= {each.session for each in operations if isinstance(each.request, CloseSession)}
    for session, own in owned.items():
        if session not in ended:
            paths = {above for path in own for above in (path, parent_of(path))}
            answered_at = [
                max(each.position, each.zxid) for each in operations if each.session == session and not each.code
            ]
            last = max(answered_at, default=0)
            request = CloseSession(session, expired=True)
            yield Suspect(request, Run(0, 0, 0, 0, 0, (), (request,)), paths, last, None)
    for each in operations:
        request_made = each.request
        if isinstance(request_made, Create) and request_made.kind in (CONTAINER, TTL, TTL_SEQUENTIAL):
            reap = Delete(_made(each, request_made))
            run = Run(0, 0, 0, 0, 0, ((SUPER_SCHEME, ""),), (reap,))
            yield Suspect(reap, run, touched(reap), each.position, None)


def _made(operation: Operation, request: Create) -> str:
    return operation.reply.path if isinstance(operation.reply, Created) else request.path
