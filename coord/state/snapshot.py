"""The state on its way in: chunks of a walk (walk.py, which also describes them) become a machine again.

Whatever the bytes are, nothing is raised but SnapshotError, and no machine is handed out whose counts and digest are
not those that were recorded.
"""

from typing import Any, TypeAlias
from zlib import crc32

import cbor2

from coord.model.acl import OPEN_ACL, Acl
from coord.model.paths import parent_of
from coord.state.acl import shared
from coord.state.digest import mark_of
from coord.state.kept import Ledger, reply_of
from coord.state.machine import Machine
from coord.state.sessions import Session
from coord.state.tree import Tree
from coord.state.walk import END, FORMAT, HEADER, SESSIONS, ZNODES
from coord.state.znode import Znode

Body: TypeAlias = list[Any]
"""What a chunk says after its kind: unknown until it is checked."""

_DATA_TYPES = (bytes, type(None))
_NUMBER_TYPES = [int] * 10


class SnapshotError(ValueError):
    """A snapshot cannot be used: its bytes are not what a walk wrote, or not all of it, or of another version."""


def read_head(chunk: bytes) -> tuple[int, int, int]:
    """(zxid, time in Unix milliseconds, digest) of the snapshot that begins with this chunk."""
    restoring = Restoring()
    restoring.add(chunk)
    return restoring.head()


class Restoring:
    """Takes the chunks in order; `finish` gives the machine. After a SnapshotError it is of no more use."""

    def __init__(self) -> None:
        self._machine = Machine()
        self._machine.tree = Tree(self._machine.sessions, self._machine.notices)
        self._started = False
        self._ended = False
        self._crc = 0
        self._digest = 0
        self._znodes_missing = 0
        self._sessions_missing = 0
        self._time_ms = 0  # the last one read, as an object: neighbours in the tree often share theirs

    def add(self, chunk: bytes) -> None:
        """Take the next chunk."""
        if self._ended:
            raise SnapshotError("the snapshot goes on after its end")
        if len(chunk) < 5 or crc32(chunk[4:]) != int.from_bytes(chunk[:4], "big"):
            raise SnapshotError(f"a chunk of {len(chunk)} bytes is damaged: its crc is wrong")
        try:
            kind, *body = cbor2.loads(chunk[4:])
            if kind == HEADER:
                self._header(body)
            elif not self._started:
                raise SnapshotError("the snapshot does not begin with a header")
            elif kind == SESSIONS:
                self._sessions(body)
            elif kind == ZNODES:
                self._znodes(body)
            elif kind == END:
                self._end(body)
            else:
                raise SnapshotError(f"a chunk is of the unknown kind {kind!r}")
        except SnapshotError:
            raise
        except Exception as error:  # the decoder and the shapes can fail in any way: this is the border
            raise SnapshotError(f"a chunk does not hold what it should: {error!r}") from error
        self._crc = crc32(chunk, self._crc)

    def head(self) -> tuple[int, int, int]:
        """(zxid, time in Unix milliseconds, digest), as the first chunk says."""
        return self._machine.zxid, self._machine.time_ms, self._digest

    def finish(self) -> Machine:
        """The machine as it was, to the bit."""
        if not self._ended:
            raise SnapshotError("the snapshot is not complete: its end is missing")
        if self._znodes_missing or self._sessions_missing:
            raise SnapshotError(
                f"the snapshot lacks {self._znodes_missing} znodes and {self._sessions_missing} sessions"
            )
        machine = self._machine
        machine.tree.index()
        machine.recount_sessions()
        if machine.digest != self._digest:
            raise SnapshotError(
                f"the state at zxid {machine.zxid:#x} has the digest {machine.digest:016x}, "
                f"its snapshot says {self._digest:016x}"
            )
        return machine

    def _header(self, body: Body) -> None:
        if self._started:
            raise SnapshotError("the snapshot has two headers")
        if not body or body[0] != FORMAT:
            raise SnapshotError(f"the snapshot has the format {body[:1]}, this version of coord reads {FORMAT!r}")
        _, zxid, time_ms, digest, origins, servers, znodes, sessions = body
        _check_integers(zxid, time_ms, digest, znodes, sessions)
        machine = self._machine
        machine.zxid, machine.time_ms, self._digest = zxid, time_ms, digest
        self._znodes_missing, self._sessions_missing = znodes, sessions
        for server, incarnation, last in origins:
            _check_integers(server, incarnation, last)
            machine.origins[server] = incarnation, last
        for server, identity, description in servers:
            _check_integers(server, identity)
            _check(type(description) is str, "a server's description")
            machine.servers[server] = identity, description
        self._started = True

    def _sessions(self, body: Body) -> None:
        sessions = self._machine.sessions
        (rows,) = body
        for session, password, timeout_ms, owner, applied, acked, kept in rows:
            _check_integers(session, timeout_ms, owner, applied, acked)
            _check(type(password) is bytes and session not in sessions, "a session")
            sessions[session] = Session(session, password, timeout_ms, owner)
            _check(0 <= acked <= applied and len(kept) == applied - acked, "what is kept for a session")
            if applied:
                ledger = sessions[session].ledger = Ledger(session, applied, acked)
                for zxid, reply in kept:
                    _check_integers(zxid)
                    ledger.restore(zxid, reply_of(reply))
        self._sessions_missing -= len(rows)

    def _znodes(self, body: Body) -> None:
        listed, rows = body
        acls = [OPEN_ACL, *map(_acl, listed)]
        tree, sessions = self._machine.tree, self._machine.sessions
        nodes = tree.nodes
        for path, data, acl, *numbers in rows:
            if type(path) is not str or path[:1] != "/" or path in nodes or type(data) not in _DATA_TYPES:
                raise SnapshotError(f"a znode in the snapshot has the path {path!r} and data of {type(data).__name__}")
            parent = nodes.get(parent_of(path))
            if parent is None and path != "/":
                raise SnapshotError(f"the snapshot has the znode {path!r}, but not its parent")
            if [*map(type, numbers)] != _NUMBER_TYPES or type(acl) is not int or not 0 <= acl < len(acls):
                raise SnapshotError(f"the snapshot has the znode {path!r} with the fields {acl!r}, {numbers!r}")
            czxid, mzxid, pzxid, ctime, mtime, version, creations, aversion, owner, lifetime_ms = numbers
            if owner and owner not in sessions:
                raise SnapshotError(f"the snapshot has {path!r} of session {owner:#x}, but not that session")
            if ctime == self._time_ms:
                ctime = self._time_ms
            else:
                self._time_ms = ctime
            znode = Znode(data, acls[acl], czxid, ctime, owner, lifetime_ms, mark_of(path))
            if mzxid:
                znode.mzxid = czxid + mzxid
            if pzxid:
                znode.pzxid = czxid + pzxid
            if mtime:
                znode.mtime = ctime + mtime
            znode.version, znode.creations, znode.aversion = version, creations, aversion
            tree.restore(path, znode, parent)
        self._znodes_missing -= len(rows)

    def _end(self, body: Body) -> None:
        if body != [self._crc]:
            raise SnapshotError("the crc of the whole snapshot is wrong: a chunk is missing, or of another snapshot")
        self._ended = True


def _check(right: bool, what: str) -> None:
    if not right:
        raise SnapshotError(f"{what} in the snapshot is not what it should be")


def _check_integers(*values: object) -> None:
    for value in values:
        if type(value) is not int:
            raise SnapshotError(f"the snapshot holds {value!r} where an integer should be")


def _acl(entries: Body) -> Acl:
    for perms, scheme, identifier in entries:
        _check_integers(perms)
        _check(type(scheme) is str and type(identifier) is str, "an ACL")
    return shared(tuple([(perms, scheme, identifier) for perms, scheme, identifier in entries]))
