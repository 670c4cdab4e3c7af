"""The state on its way in: chunks of a walk (walk.py, which also describes them) become a machine again.

Whatever the bytes are, nothing is raised but SnapshotError, and no machine is handed out whose counts and digest are
not those that were recorded.
"""

import struct
from collections.abc import Sequence
from typing import Any, TypeAlias, cast
from zlib import crc32

import cbor2

from coord.model.acl import OPEN_ACL, Acl
from coord.state.acl import shared
from coord.state.digest import mark_of
from coord.state.kept import Ledger, reply_of
from coord.state.machine import Machine
from coord.state.sessions import Session
from coord.state.tree import Tree
from coord.state.walk import END, FORMAT, HEADER, NUMBERS, SAME_AS, SESSIONS, WIDTHS, ZNODES
from coord.state.znode import Znode

Body: TypeAlias = list[Any]
"""What a chunk says after its kind: unknown until it is checked."""

_DATA_TYPES = {bytes, type(None)}


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
        listed, paths, data, *packed = body
        acls = [OPEN_ACL, *map(_acl, listed)]
        _check(type(paths) is list and {*map(type, paths)} <= {str}, "what should be paths")
        _check(type(data) is list and {*map(type, data)} <= _DATA_TYPES, "what should be data")
        columns: dict[str, Sequence[int]] = {}
        for name, each in zip(NUMBERS, packed, strict=True):
            columns[name] = columns[SAME_AS[name]] if each is None else _unpacked(each, len(paths))
        _check(not paths or 0 <= min(columns["acl"]) <= max(columns["acl"]) < len(acls), "the number of an ACL")
        sessions = self._machine.sessions
        _check(all([not owner or owner in sessions for owner in columns["ephemeral_owner"]]), "an owner")
        self._machine.tree.restore(paths, self._made(paths, data, acls, *columns.values()))
        self._znodes_missing -= len(paths)

    def _made(
        self,
        paths: list[str],
        data: list[bytes | None],
        acls: list[Acl],
        *columns: Sequence[int],
    ) -> list[Znode]:
        """The znodes. Made without their initialiser, whose call costs as much as all of its stores."""
        new, time_ms = Znode.__new__, self._time_ms
        znodes: list[Znode] = []
        for (
            path,
            content,
            acl,
            czxid,
            mzxid,
            pzxid,
            ctime,
            mtime,
            version,
            creations,
            aversion,
            owner,
            lifetime_ms,
        ) in zip(paths, data, *columns, strict=True):
            znode = new(Znode)
            znode.data = content
            znode.acl = acls[acl]
            znode.czxid = czxid
            znode.mzxid = czxid if mzxid == czxid else mzxid  # equal ones are one object, as they were
            znode.pzxid = czxid if pzxid == czxid else pzxid
            if ctime != time_ms:
                time_ms = ctime
            znode.ctime = time_ms
            znode.mtime = time_ms if mtime == time_ms else mtime
            znode.version = version
            znode.creations = creations
            znode.aversion = aversion
            znode.ephemeral_owner = owner
            znode.lifetime_ms = lifetime_ms
            znode.children = None
            znode.mark = mark_of(path)
            znode.seen = 0
            znodes.append(znode)
        self._time_ms = time_ms
        return znodes

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


def _unpacked(packed: object, count: int) -> Sequence[int]:
    """A column of `count` numbers, as the walk packed it."""
    if packed == 0 and type(packed) is int:
        return [0] * count
    if type(packed) is bytes:
        width = packed[:1].decode()
        _check(width in WIDTHS, "a column of numbers")
        return struct.unpack(f">{count}{width}", packed[1:])
    _check(type(packed) is list and len(packed) == count and {*map(type, packed)} <= {int}, "a column of numbers")
    return cast(list[int], packed)


def _acl(entries: Body) -> Acl:
    for perms, scheme, identifier in entries:
        _check_integers(perms)
        _check(type(scheme) is str and type(identifier) is str, "an ACL")
    return shared(tuple([(perms, scheme, identifier) for perms, scheme, identifier in entries]))
