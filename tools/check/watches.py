"""Every watch tells what it was set for: nothing missed, nothing twice, nothing else.

The rules of who hears what are written here a second time, without the server's table: per session, in the order in
which its replies and events came, against the changes the replay found. A watch stands from the reply that confirmed
it (state at that zxid) until it fires, is removed, or its connection is lost. Up to the last reply or event of a
connection every event is due; the order of events is the business of `sessions.py`.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from coord.model.acl import Acl, Identity
from coord.model.paths import parent_of
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Change, Event
from coord.model.requests import AddWatch, Exists, GetChildren, GetData, RemoveWatches, SetWatches
from coord.state.acl import READ, allowed
from tools.check.history import CONNECTED, Invoked, Lost, Notified, Operation, Record, Returned, SessionChanged
from tools.check.replay import Replayed
from tools.check.sessions import words
from tools.check.verdicts import WATCH, Findings, Violation

NO_NODE = -101
CHILDREN, DATA, ANY, PERSISTENT, RECURSIVE = 1, 2, 3, 4, 5  # kinds of watcher a client may remove

Told: TypeAlias = tuple[int, int, str]
"""(zxid, kind, path); zxid -1 for what fires at once when watches are set again."""


class _Watcher:
    """One session: what it watches on its present connection, what it had to be told, and what it was told."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.identities: tuple[Identity, ...] = ()
        self.at = 0  # changes up to this zxid have been looked at
        self.data: dict[str, None] = {}  # one-shot, by getData and exists
        self.children: dict[str, None] = {}  # one-shot, by getChildren
        self.persistent: dict[str, None] = {}
        self.recursive: dict[str, None] = {}
        self.perhaps: set[str] = set()  # watched by a read that was never answered, and so maybe not at all
        self.due: Counter[Told] = Counter()
        self.optional: Counter[Told] = Counter()  # due, but its connection was lost before that shows
        self.pending: Counter[Told] = Counter()  # of the last zxid looked at: due once something later comes
        self.hidden: set[Told] = set()  # happened, but the session may not read it
        self.told: Counter[Told] = Counter()

    @property
    def watches(self) -> bool:
        return bool(self.data or self.children or self.persistent or self.recursive)

    def disconnected(self) -> None:
        self.optional.update(self.pending)  # not +=, which goes through all of it
        self.pending.clear()
        for table in (self.data, self.children, self.persistent, self.recursive):
            table.clear()
        self.perhaps.clear()

    def settle(self) -> None:
        self.due.update(self.pending)
        self.pending.clear()

    def fire(self, zxid: int, change: Change) -> None:
        for kind, path, acl in self._hears(change):
            told = (zxid, kind, path)
            if allowed(acl, READ, self.identities):
                self.pending[told] += 1
            else:
                self.hidden.add(told)
        if change.path in self.perhaps:
            self.optional[zxid, change.kind, change.path] += 1
        if change.kind != DATA_CHANGED and parent_of(change.path) in self.perhaps:
            self.optional[zxid, CHILDREN_CHANGED, parent_of(change.path)] += 1

    def _hears(self, change: Change) -> Iterator[tuple[int, str, Acl]]:
        path, kind = change.path, change.kind
        hit = path in self.persistent or any(above in self.recursive for above in _with_ancestors(path))
        if path in self.data:
            del self.data[path]
            hit = True
        if kind == NODE_DELETED and path in self.children:
            del self.children[path]
            hit = True
        if hit:
            yield kind, path, change.acl
        if kind != DATA_CHANGED and path != "/":
            parent = parent_of(path)
            once = parent in self.children
            if once:
                del self.children[parent]
            if once or parent in self.persistent:
                yield CHILDREN_CHANGED, parent, change.parent_acl


def check_watches(records: Sequence[Record], operations: Sequence[Operation], replayed: Replayed) -> Findings:
    by_number = {operation.number: operation for operation in operations}
    zxids = [zxid for zxid, _ in replayed.changes]
    watchers: dict[int, _Watcher] = {}
    untold: dict[int, None] = {}  # sessions whose events or arming replies carry no zxid

    def look(watcher: _Watcher, zxid: int) -> None:
        """Fire what happened up to `zxid`. All that is below it is due."""
        if zxid <= watcher.at:
            return
        first, end = bisect_right(zxids, watcher.at), bisect_right(zxids, zxid)
        watcher.at = zxid
        if watcher.watches or watcher.perhaps:
            for changed, change in replayed.changes[first:end]:
                if watcher.pending and next(iter(watcher.pending))[0] < changed:
                    watcher.settle()
                watcher.fire(changed, change)
                if not watcher.watches and not watcher.perhaps:
                    break
        if watcher.pending and next(iter(watcher.pending))[0] < zxid:
            watcher.settle()

    for record in records:
        if isinstance(record, Invoked):
            watchers.setdefault(record.session, _Watcher(record.client)).identities = tuple(record.identities)
        elif isinstance(record, Returned):
            operation = by_number[record.operation]
            watcher = watchers[operation.session]
            look(watcher, operation.zxid)
            if operation.zxid > 0:
                watcher.settle()
            if type(operation.request) in _ARMS:
                if operation.zxid <= 0:
                    untold[operation.session] = None
                _ARMS[type(operation.request)](watcher, operation, replayed)
        elif isinstance(record, Lost):
            _on_lost(watchers[by_number[record.operation].session], by_number[record.operation])
        elif isinstance(record, Notified):
            watcher = watchers.setdefault(record.session, _Watcher(record.client))
            event = record.event
            look(watcher, event.zxid)
            watcher.told[event.zxid, event.kind, event.path] += 1
        elif isinstance(record, SessionChanged) and record.state != CONNECTED:
            watchers.setdefault(record.session, _Watcher(record.client)).disconnected()
    findings = Findings()
    happened = _happened(replayed)
    for session, watcher in watchers.items():
        if session in untold:
            findings.notes.append(f"the watches of {watcher.client} were not checked: its replies carry no zxid")
            continue
        _judge(findings, watcher, happened)
    return findings


def _judge(findings: Findings, watcher: _Watcher, happened: set[Told]) -> None:
    possible = watcher.due + watcher.pending + watcher.optional
    for told, count in (watcher.told - possible).items():
        event = words(Event(told[1], told[2], told[0]))
        if told in watcher.hidden:
            what = f"{watcher.client} was told {event}, which it may not read."
        elif possible[told]:
            what = f"{watcher.client} was told {event} {possible[told] + count} times instead of {possible[told]}."
        elif told in happened:
            what = f"{watcher.client} was told {event}, and did not watch it."
        else:
            what = f"{watcher.client} was told {event}, and this did not happen."
        findings.violations.append(Violation(WATCH, what))
    for told in watcher.due - watcher.told:
        event = words(Event(told[1], told[2], told[0]))
        findings.violations.append(Violation(WATCH, f"{watcher.client} watched for {event}, and was not told."))


def _happened(replayed: Replayed) -> set[Told]:
    found = {(zxid, change.kind, change.path) for zxid, change in replayed.changes}
    return found | {
        (zxid, CHILDREN_CHANGED, parent_of(change.path))
        for zxid, change in replayed.changes
        if change.kind != DATA_CHANGED and change.path != "/"
    }


def _with_ancestors(path: str) -> Iterator[str]:
    yield path
    while path != "/":
        path = parent_of(path)
        yield path


# ---- what arms and disarms


def _on_get_data(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    request = operation.request
    assert isinstance(request, GetData)
    if request.watch and not operation.code:
        watcher.data[request.path] = None


def _on_exists(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    request = operation.request
    assert isinstance(request, Exists)
    if request.watch and operation.code in (0, NO_NODE):
        watcher.data[request.path] = None


def _on_get_children(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    request = operation.request
    assert isinstance(request, GetChildren)
    if request.watch and not operation.code:
        watcher.children[request.path] = None


def _on_add_watch(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    request = operation.request
    assert isinstance(request, AddWatch)
    if not operation.code:
        (watcher.recursive if request.mode == 1 else watcher.persistent)[request.path] = None


def _on_remove(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    request = operation.request
    assert isinstance(request, RemoveWatches)
    if not operation.code:
        for table in _tables(watcher, request.kind):
            table.pop(request.path, None)


def _tables(watcher: _Watcher, kind: int) -> list[dict[str, None]]:
    rows = {
        CHILDREN: [watcher.children],
        DATA: [watcher.data],
        ANY: [watcher.children, watcher.data, watcher.persistent, watcher.recursive],
        PERSISTENT: [watcher.persistent],
        RECURSIVE: [watcher.recursive],
    }
    return rows.get(kind, [])


def _on_lost(watcher: _Watcher, operation: Operation) -> None:
    """Nobody knows whether these watches were set, nor whether they fired."""
    request = operation.request
    if isinstance(request, SetWatches):
        for path in (*request.data, *request.exists, *request.children):
            for kind in (NODE_CREATED, NODE_DELETED, DATA_CHANGED, CHILDREN_CHANGED):
                watcher.optional[-1, kind, path] += 1
    elif isinstance(request, AddWatch) or (isinstance(request, GetData | Exists | GetChildren) and request.watch):
        watcher.perhaps.add(request.path)


def _on_set_watches(watcher: _Watcher, operation: Operation, replayed: Replayed) -> None:
    """What fired at once came before this reply, marked with no zxid; the others stand."""
    request = operation.request
    assert isinstance(request, SetWatches)
    if operation.code:
        return
    fired = Counter(replayed.due.get(operation.number, ()))
    for kind, path in fired.elements():
        watcher.due[-1, kind, path] += 1
    for path in request.data:
        if not (fired[NODE_DELETED, path] or fired[DATA_CHANGED, path]):
            watcher.data[path] = None
    for path in request.exists:
        if not fired[NODE_CREATED, path]:
            watcher.data[path] = None
    for path in request.children:
        if not (fired[NODE_DELETED, path] or fired[CHILDREN_CHANGED, path]):
            watcher.children[path] = None
    watcher.persistent.update(dict.fromkeys(request.persistent))
    watcher.recursive.update(dict.fromkeys(request.recursive))


_ARMS: dict[type, Any] = {
    GetData: _on_get_data,
    Exists: _on_exists,
    GetChildren: _on_get_children,
    AddWatch: _on_add_watch,
    RemoveWatches: _on_remove,
    SetWatches: _on_set_watches,
}
