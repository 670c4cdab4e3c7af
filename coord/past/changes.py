"""What an entry did to znodes: each change with its cause, and what the znode was before. Pure.

The machine tells what it has done in effects; what it does not tell (a new ACL, versions before) is seen here: before
an entry is applied a `Tracker` looks at the znodes that it may touch, afterwards it puts request, reply and effects
together. A write that failed, or came again, changes nothing and is none.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import Enum

from coord.model.acl import Acl, Identity
from coord.model.message import message
from coord.model.replies import (
    CONTAINER_EMPTY,
    DATA_CHANGED,
    NODE_CREATED,
    NODE_DELETED,
    SESSION_CLOSED,
    SESSION_EXPIRED,
    TTL_EXPIRED,
    Created,
    Effect,
    Failed,
    MultiDone,
    Repeated,
    Reply,
    Written,
)
from coord.model.replies import Change as Happened
from coord.model.requests import (
    Check,
    CloseSession,
    Create,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    ReapNode,
    SetAcl,
    SetData,
    Write,
)
from coord.past.replay import Entry, Outcome, Replay, address
from coord.state.acl import fixed
from coord.state.machine import Machine
from coord.state.znode import Znode
from coord.state.znode_writes import check_kind


class What(Enum):
    CREATED = "created"
    SET = "set"
    ACL = "acl"
    DELETED = "deleted"


CAUSES = {
    SESSION_CLOSED: "session closed",
    SESSION_EXPIRED: "session expired",
    TTL_EXPIRED: "time to live over",
    CONTAINER_EMPTY: "container empty",
}
"""Why the servers deleted a znode by themselves."""


@message
class Seen:
    """A znode as it was at one moment."""

    data: bytes
    acl: Acl
    czxid: int
    version: int
    aversion: int
    ephemeral_owner: int
    lifetime_ms: int  # of a TTL znode; CONTAINER_LIFETIME for a container


@message
class Change:
    """One change of one znode.

    `session` is who asked for it, or whose end it was the consequence of; 0 for what the servers did by themselves.
    `client` is that session's address, empty if the log does not tell it. `part` counts from 1 in a multi of several.
    """

    zxid: int
    time_ms: int
    path: str
    what: What
    cause: str  # of a deletion that nobody asked for, else empty
    session: int
    client: str
    identities: tuple[Identity, ...]
    part: int
    before: Seen | None
    after: Seen | None


Wanted = Callable[[str], bool]


def everything(path: str) -> bool:
    return True


def seen(znode: Znode) -> Seen:
    return Seen(
        znode.data or b"",
        znode.acl,
        znode.czxid,
        znode.version,
        znode.aversion,
        znode.ephemeral_owner,
        znode.lifetime_ms,
    )


class Tracker:
    """Takes a replay forward and tells the changes of those paths that are wanted."""

    def __init__(self, replay: Replay, wanted: Wanted = everything) -> None:
        self._replay = replay
        self._wanted = wanted

    def do(self, entry: Entry) -> tuple[Outcome, list[Change]]:
        """Apply a pending entry."""
        machine, wanted = self._replay.machine, self._wanted
        nodes = machine.tree.nodes
        before = {
            path: seen(nodes[path])
            for path in touched(machine, entry.run.session, entry.request)
            if path in nodes and wanted(path)
        }
        outcome = self._replay.do(entry)
        reply = outcome.reply
        if reply is None or type(reply) is Failed or type(reply) is Repeated:
            return outcome, []
        if not outcome.effects and type(entry.request) not in (SetAcl, Multi):
            return outcome, []
        return outcome, list(self._changes(entry, reply, outcome.effects, before))

    def _changes(self, entry: Entry, reply: Reply, effects: list[Effect], before: dict[str, Seen]) -> Iterator[Change]:
        session, client = self._author(entry)
        identities = entry.run.identities
        for part, what, path, after, cause in _steps(entry, reply, effects, before):
            if not self._wanted(path):
                continue
            yield Change(
                entry.zxid, entry.time_ms, path, what, cause, session, client, identities, part, before.get(path), after
            )
            if after is None:
                before.pop(path, None)
            else:
                before[path] = after

    def _author(self, entry: Entry) -> tuple[int, str]:
        session = entry.run.session
        if type(entry.request) is CloseSession and not session:
            session = entry.request.session
        return session, address(entry.run) or self._replay.address_of(session)


def touched(machine: Machine, session: int, request: Write) -> Iterable[str]:
    """The paths of znodes that are there and that a request may change or delete."""
    kind = type(request)
    if kind in (SetData, SetAcl, Delete, DeleteContainer, ReapNode):
        return (request.path,)  # type: ignore[union-attr]
    if kind is DeleteTree:
        return _subtree(machine, request.path)  # type: ignore[union-attr]
    if kind is CloseSession:
        ended = machine.sessions.get(session or request.session)  # type: ignore[union-attr]
        return list(ended.ephemerals) if ended is not None else ()
    if kind is Multi:
        return [path for step in request.requests for path in touched(machine, session, step)]  # type: ignore[union-attr]
    return ()


def _subtree(machine: Machine, top: str) -> list[str]:
    nodes = machine.tree.nodes
    if top not in nodes:
        return []
    paths = [top]  # grows while it is gone through
    for path in paths:
        paths += nodes[path].children or ()
    return paths


Told = tuple[int, What, str, Seen | None, str]
"""Part of the multi, what, path, what the znode is after it, cause."""


def _steps(entry: Entry, reply: Reply, effects: list[Effect], before: dict[str, Seen]) -> Iterator[Told]:
    """What happened, one by one: a request's effects end with that of its own path."""
    happened = iter([effect for effect in effects if type(effect) is Happened])
    request = entry.request
    if type(request) is not Multi:
        yield from _of_request(0, entry, request, reply, happened, before)
        return
    assert type(reply) is MultiDone, f"a multi was answered with {reply}"
    if any(type(each) is Failed for each in reply.replies):
        return
    several = len(request.requests) > 1
    for part, (step, answer) in enumerate(zip(request.requests, reply.replies, strict=True), 1):
        yield from _of_request(part if several else 0, entry, step, answer, happened, before)


def _of_request(
    part: int, entry: Entry, request: Write, reply: Reply, happened: Iterator[Happened], before: dict[str, Seen]
) -> Iterator[Told]:
    """One request's share of what happened. `before` is kept up by the caller from step to step."""
    if type(request) is SetAcl:
        assert type(reply) is Written, f"a set of an ACL was answered with {reply}"
        old = before.get(request.path)
        acl = fixed(request.acl, entry.run.identities, request.path)
        yield part, What.ACL, request.path, old and replace(old, acl=acl, aversion=reply.stat.aversion), ""
        return
    if isinstance(request, Check):
        return
    ends = reply.path if type(reply) is Created else getattr(request, "path", None)  # a session's end has no path
    for change in happened:
        path = change.path
        if change.kind == NODE_CREATED:
            assert isinstance(request, Create), f"{request} has created {path}"
            assert isinstance(reply, Created), f"a create was answered with {reply}"
            made = Seen(b"", change.acl, entry.zxid, 0, 0, 0, 0)
            if path == reply.path:  # the others are missing parents
                owner, lifetime_ms = check_kind(entry.run, request)
                made = replace(made, data=request.data or b"", ephemeral_owner=owner, lifetime_ms=lifetime_ms)
            yield part, What.CREATED, path, made, ""
        elif change.kind == DATA_CHANGED:
            assert isinstance(request, SetData), f"{request} has changed the data of {path}"
            assert isinstance(reply, Written), f"a set was answered with {reply}"
            old = before.get(path)
            yield part, What.SET, path, old and replace(old, data=request.data or b"", version=reply.stat.version), ""
        else:
            assert change.kind == NODE_DELETED, f"nothing is known of a change of kind {change.kind}"
            yield part, What.DELETED, path, None, CAUSES.get(change.cause, "")
        if path == ends:
            return
