"""The machine every server runs: entries in, replies and effects out, the same on all of them.

`apply` is a pure function of the state and the entry: no clock, no chance, no order that depends on anything but the
entries. A request that cannot be granted takes its zxid, changes nothing and answers Failed. The table WRITES at the
end says which function serves which request; reads.py and multi.py have READS and STEPS. A new operation is a function
and a row.

A reply may show a live znode as its stat: it is to be encoded before the next entry is applied.
"""

from collections.abc import Callable
from typing import Any

from coord.model.acl import OPEN_ACL, Acl, Identity
from coord.model.entries import Run
from coord.model.errors import CoordError, SessionExpiredError, SessionMovedError
from coord.model.replies import Effect, Failed, Reply
from coord.model.requests import (
    AttachSession,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    Read,
    ReapNode,
    RegisterServer,
    SetAcl,
    SetData,
    Write,
)
from coord.state.acl import READ, allowed
from coord.state.checks import check_created, check_data, check_exists, check_version
from coord.state.digest import MASK
from coord.state.kept import Ledger, settled
from coord.state.multi import multi
from coord.state.quota import covering
from coord.state.reads import read
from coord.state.session_writes import attach_session, close_session, create_session, register_server
from coord.state.sessions import Session, Sessions
from coord.state.tree import Tree
from coord.state.walk import Walk
from coord.state.znode_writes import (
    check_kind,
    create,
    delete,
    delete_container,
    delete_tree,
    reap_node,
    set_acl,
    set_data,
)


class Machine:
    """The replicated state at `zxid`."""

    __slots__ = ("_sessions_digest", "notices", "origins", "servers", "sessions", "time_ms", "tree", "zxid")

    def __init__(self) -> None:
        self.zxid = 0  # of the last entry applied
        self.time_ms = 0  # of its batch
        self.sessions: Sessions = {}
        self.notices: list[str] = []  # sentences for the operator; whoever shows them clears the list
        self.tree = Tree.fresh(self.sessions, self.notices)
        self.origins: dict[int, tuple[int, int]] = {}  # server: (incarnation, last sequence applied)
        self.servers: dict[int, tuple[int, str]] = {}  # server: (identity, description)
        self._sessions_digest = 0

    @property
    def digest(self) -> int:
        """64 bits that depend on the znodes and sessions, and on nothing else."""
        return self.tree.digest + self._sessions_digest & MASK

    def __repr__(self) -> str:
        return f"<Machine at {self.zxid:#x}, {len(self.tree.nodes)} znodes, {len(self.sessions)} sessions>"

    # ---- entries

    def admit(self, run: Run) -> bool:
        """Whether `run` is new. If not, its entries only take their zxids (`skip`). To be asked once a run."""
        if not run.origin:
            return True
        incarnation, last = self.origins.get(run.origin, (0, 0))
        if incarnation == run.incarnation and run.sequence <= last:
            return False
        self.origins[run.origin] = run.incarnation, run.sequence + len(run.requests) - 1
        return True

    def apply(self, zxid: int, time_ms: int, run: Run, request: Write, effects: list[Effect], number: int = 0) -> Reply:
        """Do what `request`, one of `run`, asks; what it did to znodes and sessions is appended to `effects`.

        `number` is that of the request in its session, where the run has numbers.
        """
        self.zxid = zxid
        self.time_ms = time_ms
        try:
            if run.session:
                session = self.sessions.get(run.session)
                if session is None or session.owner != run.origin:
                    raise _no_session(run, request, session)
                if number:
                    return self._apply_once(session, run, request, effects, number)
            return WRITES[type(request)](self, run, request, effects)
        except CoordError as error:
            return Failed(error.with_traceback(None))  # the frames would keep alive all that they saw

    def _apply_once(self, session: Session, run: Run, request: Write, effects: list[Effect], number: int) -> Reply:
        """A numbered write is done if it is the session's next, and answered with its first reply if it was done."""
        ledger = session.ledger
        if ledger is None:
            ledger = session.ledger = Ledger(session.id)
        if run.acked > ledger.acked:
            self._sessions_digest = self._sessions_digest + ledger.acknowledge(run.acked) & MASK
        if not ledger.admits(number):
            return ledger.repeated(number)
        try:
            reply = settled(WRITES[type(request)](self, run, request, effects))
        except CoordError as error:
            reply = Failed(error.with_traceback(None))
        if session.id in self.sessions:  # it may just have been closed
            self._sessions_digest = self._sessions_digest + ledger.keep(self.zxid, reply) & MASK
        return reply

    def skip(self, zxid: int, time_ms: int) -> None:
        """An entry that does nothing still is a log position."""
        self.zxid = zxid
        self.time_ms = time_ms

    # ---- reads

    def read(self, identities: tuple[Identity, ...], session: int, request: Read) -> Reply:
        """Answer `request` of a client that is known by `identities`."""
        return read(self, identities, session, request)

    def may_read(self, identities: tuple[Identity, ...], acl: Acl) -> bool:
        """Whether a watcher with these identities may hear of a znode with this list."""
        return acl is OPEN_ACL or allowed(acl, READ, identities)

    def reapable(self, now_ms: int, never_used_ms: int, limit: int) -> list[ReapNode]:
        """At most `limit` containers and TTL znodes that are due at `now_ms`, for the leader to propose."""
        nodes = self.tree.nodes
        return [
            ReapNode(path, nodes[path].mzxid, nodes[path].pzxid)
            for path in self.tree.reaping.due(now_ms, never_used_ms, limit)
        ]

    # ---- snapshots

    def begin_walk(self) -> Walk:
        """Take a snapshot of the state as it is now, chunk by chunk, while it goes on changing."""
        origins = [[server, *known] for server, known in self.origins.items()]
        servers = [[server, *known] for server, known in self.servers.items()]
        return Walk(self.tree, self.zxid, [self.time_ms, self.digest, origins, servers])

    def recount_sessions(self) -> None:
        """After the sessions were put back from a snapshot: their part of the digest."""
        self._sessions_digest = sum(session.term() for session in self.sessions.values()) & MASK

    # ---- used by the operations below

    def check_quota(self, path: str, count: int, growth: int) -> None:
        """Raise QuotaExceededError if the nearest quota above `path` forbids so much more."""
        quotas = covering(self.tree.quotas, path)
        if quotas:
            quotas[0].check(count, growth)

    def add_session(self, session: Session) -> None:
        self.sessions[session.id] = session
        self._sessions_digest = self._sessions_digest + session.term() & MASK

    def move_session(self, session: Session, timeout_ms: int, owner: int) -> None:
        """The session is served by `owner` from now on, with this timeout."""
        before = session.term()
        session.timeout_ms, session.owner = timeout_ms, owner
        self._sessions_digest = self._sessions_digest + session.term() - before & MASK

    def remove_session(self, session: Session) -> None:
        del self.sessions[session.id]
        self._sessions_digest = self._sessions_digest - session.term() & MASK


def _no_session(run: Run, request: Write, session: Session | None) -> CoordError:
    """The error for a run whose session is not, or not here. ZooKeeper judges the flags of a create before the session.

    Not those of a numbered one: an error that is not the session's would be the last word on its number.
    """
    if isinstance(request, Create) and not run.number:
        try:
            check_kind(run, request)
        except CoordError as error:
            return error
    if session is None:
        return SessionExpiredError(f"session {run.session:#x} does not exist any more; open a new one")
    return SessionMovedError(f"session {run.session:#x} has moved to server {session.owner}; use that connection")


WRITES: dict[type, Callable[[Machine, Run, Any, list[Effect]], Reply]] = {
    Create: create,
    Delete: delete,
    DeleteTree: delete_tree,
    SetData: set_data,
    SetAcl: set_acl,
    CheckVersion: check_version,
    CheckExists: check_exists,
    CheckCreated: check_created,
    CheckData: check_data,
    Multi: multi,
    DeleteContainer: delete_container,
    CloseSession: close_session,
    CreateSession: create_session,
    AttachSession: attach_session,
    ReapNode: reap_node,
    RegisterServer: register_server,
}
