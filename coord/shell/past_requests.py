"""Entries of the log as plain values: what was asked, by whom, and what came of it. Passwords are left out."""

import dataclasses
from typing import Any

from coord.model.acl import OPEN_ACL
from coord.model.errors import RolledBackError, RuntimeInconsistencyError
from coord.model.replies import Created, Failed, MultiDone, Repeated
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
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
    ReapNode,
    RegisterServer,
    SetAcl,
    SetData,
    Write,
)
from coord.past.replay import Entry, Outcome, address
from coord.shell.acls import told_acl
from coord.shell.past_values import OK, EntryShown, known
from coord.shell.values import Hex, Moment

NAMES: dict[type, str] = {
    Create: "create",
    Delete: "delete",
    DeleteTree: "delete tree",
    SetData: "set",
    SetAcl: "set acl",
    CheckVersion: "check version",
    CheckExists: "check exists",
    CheckCreated: "check created",
    CheckData: "check value",
    Multi: "multi",
    DeleteContainer: "delete container",
    CloseSession: "close session",
    CreateSession: "create session",
    AttachSession: "attach session",
    ReapNode: "reap",
    RegisterServer: "register server",
}
KINDS = {
    EPHEMERAL: "ephemeral",
    PERSISTENT_SEQUENTIAL: "sequential",
    EPHEMERAL_SEQUENTIAL: "ephemeral sequential",
    CONTAINER: "container",
    TTL: "ttl",
    TTL_SEQUENTIAL: "ttl sequential",
}
HEX_FIELDS = frozenset(("session", "czxid", "mzxid", "pzxid", "identity"))
SECRET_FIELDS = frozenset(("password",))


def entry_shown(entry: Entry, outcome: Outcome | None, values: bool) -> EntryShown:
    """An entry and, if it was replayed, what came of it; the values that it writes only if they are wanted."""
    run = entry.run
    asked = request_shown(entry.request, values)
    reply = outcome.reply if outcome is not None else None
    if isinstance(reply, MultiDone):
        for part, each in zip(asked["parts"], reply.replies, strict=True):
            if type(each) is Created:
                part["result"] = each.path
    return EntryShown(
        Hex(entry.zxid),
        Moment(entry.time_ms),
        run.origin or None,
        Hex(run.session) if run.session else None,
        address(run) or None,
        known(run.identities),
        entry.number or None,
        asked,
        _result(outcome),
    )


def request_shown(request: Write, values: bool) -> dict[str, Any]:
    """A request by the names of its fields; what is not given, or at its default, is left out."""
    shown: dict[str, Any] = {"request": NAMES[type(request)]}
    for each in dataclasses.fields(request):
        name, value = each.name, getattr(request, each.name)
        if name in SECRET_FIELDS or (value == -1 and name in ("version", "ttl_ms")):
            continue
        if name == "requests":
            shown["parts"] = [request_shown(step, values) for step in value]
        elif name == "data":
            shown["size"] = len(value or b"")
            if values:
                shown["value"] = value or b""
        elif name == "acl":
            if value != OPEN_ACL:
                shown["acl"] = told_acl(value or ())
        elif name == "kind":
            if value:
                shown["kind"] = KINDS.get(value, f"of the unknown kind {value}")
        elif name in HEX_FIELDS:
            if value:
                shown[name] = Hex(value)
        elif value is not False or name == "exists":
            shown[name] = value
    return shown


def _result(outcome: Outcome | None) -> str | None:
    if outcome is None:
        return None
    reply = outcome.reply
    if reply is None:
        return "nothing: it had come before"
    if type(reply) is Repeated:
        return f"nothing: it was done at {reply.zxid:#x}"
    if type(reply) is Failed:
        return _error(reply)
    if type(reply) is Created:
        return reply.path
    if type(reply) is MultiDone:
        for part, each in enumerate(reply.replies, 1):
            if type(each) is Failed and not isinstance(each.error, RolledBackError | RuntimeInconsistencyError):
                return f"part {part}: {_error(each)}"
    return OK


def _error(reply: Failed) -> str:
    return f"{type(reply.error).__name__}: {reply.error}"
