"""What commands about the past give, made of what `coord/past` finds."""

from typing import Any

from coord.model.acl import OPEN_ACL, Acl, Identity
from coord.model.message import message
from coord.past.changes import Change, Seen, What
from coord.past.differences import Difference
from coord.past.history import Standing
from coord.past.verify import Checked
from coord.shell.acls import told_acl
from coord.shell.kinds import kind_named
from coord.shell.values import Hex, Moment

OK = "ok"
"""The result of an entry that was done and has nothing to tell."""

THERE = "there"
"""What is said of a znode that was there before what is kept."""


@message
class ChangeShown:
    """A row of `history`. None: it does not apply, or the log does not tell."""

    zxid: Hex
    time: Moment
    what: str  # created, set, acl, deleted, there
    path: str
    kind: str  # persistent, ephemeral, container, ttl
    version_from: int | None
    version_to: int | None
    size_from: int | None
    size_to: int | None
    acl: str | None  # the new one of `acl`, and of a `created` if it is not open to all
    cause: str | None  # of a deletion that no client asked for
    session: Hex | None
    client: str | None
    identities: list[str]
    part: int | None  # in a multi of several
    value: bytes | None  # on demand: the new one, or the last one of what was deleted


@message
class DifferenceShown:
    """A row of `diff` and of `snapshot compare`."""

    path: str
    what: list[str]  # created, deleted, made anew; or value, acl, version
    version_from: int | None
    version_to: int | None
    size_from: int | None
    size_to: int | None
    acl_from: str | None
    acl_to: str | None
    value_from: bytes | None  # on demand
    value_to: bytes | None


@message
class EntryShown:
    """A row of `log dump`."""

    zxid: Hex
    time: Moment
    server: int | None  # that took it; None: the leader itself
    session: Hex | None
    client: str | None
    identities: list[str]
    number: int | None  # of a client that numbers its writes
    request: dict[str, Any]
    result: str | None  # ok, the path that was made, or the error; None: not known, nothing was replayed


@message
class LogChecked:
    """`log verify`."""

    sentence: str
    log_start: Hex
    last: Hex
    batches: int
    entries: int
    bytes: int
    replayed_from: Hex | None
    digests_compared: int
    snapshots_compared: int


@message
class SnapshotShown:
    """The head of `snapshot dump`, and a row of `snapshot verify`."""

    zxid: Hex
    time: Moment | None
    znodes: int | None
    sessions: int | None
    bytes: int
    digest: Hex | None
    problem: str | None


@message
class ZnodeShown:
    """A row of `snapshot dump`."""

    path: str
    kind: str
    owner: Hex | None
    version: int
    aversion: int
    size: int
    children: int
    czxid: Hex
    mzxid: Hex
    pzxid: Hex
    ctime: Moment
    mtime: Moment
    acl: str
    value: bytes | None  # on demand


@message
class SessionKept:
    """A row of `snapshot dump`: a session that was open."""

    session: Hex
    timeout_ms: int
    server: int
    ephemerals: int


# ---- made of what was found


def change_shown(change: Change, values: bool) -> ChangeShown:
    before, after = change.before, change.after
    now = after or before
    assert now is not None, f"{change} changes nothing"
    acl = told_acl(after.acl) if after is not None and _tells_acl(change.what, after.acl) else None
    return ChangeShown(
        Hex(change.zxid),
        Moment(change.time_ms),
        change.what.value,
        change.path,
        kind_named(now.ephemeral_owner, now.lifetime_ms),
        _version(before, change.what),
        _version(after, change.what),
        None if before is None else len(before.data),
        None if after is None else len(after.data),
        acl,
        change.cause or None,
        Hex(change.session) if change.session else None,
        change.client or None,
        known(change.identities),
        change.part or None,
        now.data if values and change.what is not What.ACL else None,
    )


def _tells_acl(what: What, acl: Acl) -> bool:
    return what is What.ACL or (what is What.CREATED and acl != OPEN_ACL)


def _version(seen: Seen | None, what: What) -> int | None:
    """Of the ACL where that was changed, else of the value."""
    if seen is None:
        return None
    return seen.aversion if what is What.ACL else seen.version


def standing_shown(standing: Standing, values: bool) -> ChangeShown:
    seen = standing.seen
    return ChangeShown(
        Hex(standing.zxid),
        Moment(standing.time_ms),
        THERE,
        standing.path,
        kind_named(seen.ephemeral_owner, seen.lifetime_ms),
        None,
        seen.version,
        None,
        len(seen.data),
        None if seen.acl == OPEN_ACL else told_acl(seen.acl),
        None,
        Hex(seen.ephemeral_owner) if seen.ephemeral_owner else None,
        None,
        [],
        None,
        seen.data if values else None,
    )


def difference_shown(found: Difference, values: bool) -> DifferenceShown:
    first, second = found.first, found.second
    return DifferenceShown(
        found.path,
        _what_differs(first, second),
        None if first is None else first.version,
        None if second is None else second.version,
        None if first is None else len(first.data),
        None if second is None else len(second.data),
        None if first is None else told_acl(first.acl),
        None if second is None else told_acl(second.acl),
        first.data if values and first is not None else None,
        second.data if values and second is not None else None,
    )


def _what_differs(first: Seen | None, second: Seen | None) -> list[str]:
    if first is None:
        return ["created"]
    if second is None:
        return ["deleted"]
    if first.czxid != second.czxid:
        return ["made anew"]
    found = [("value", first.data != second.data), ("acl", first.acl != second.acl)]
    return [name for name, differs in found if differs] or ["version"]


def checked_shown(checked: Checked) -> LogChecked:
    replayed = (
        f"replayed from {checked.from_zxid:#x}, {checked.digests} digests and {checked.snapshots} snapshots compared"
        if checked.from_zxid is not None
        else "not replayed"
    )
    return LogChecked(
        f"{checked.batches} batches with {checked.entries} entries after {checked.first:#x} up to {checked.last:#x} "
        f"are as they were written; {replayed}",
        Hex(checked.first),
        Hex(checked.last),
        checked.batches,
        checked.entries,
        checked.size_bytes,
        None if checked.from_zxid is None else Hex(checked.from_zxid),
        checked.digests,
        checked.snapshots,
    )


def known(identities: tuple[Identity, ...]) -> list[str]:
    """Who a client was, beside its address; of a password's hash nothing is told."""
    return [
        f"{scheme}:{name.partition(':')[0] if scheme == 'digest' else name}".rstrip(":")
        for scheme, name in identities
        if scheme not in ("ip", "world")
    ]
