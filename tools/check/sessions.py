"""What one session sees, over all its connections: it never goes back, and nothing overtakes.

- The zxids of its replies and events never decrease.
- A read sees the session's own earlier writes.
- Replies come in the order of the requests (pings and authentication are answered out of turn).
- An event for a write comes before any reply that shows that write or a later one.
- A reply shows nothing newer than the zxid of its own header.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Event
from coord.model.requests import Authenticate, Ping
from tools.check.compare import stat_of
from tools.check.history import Notified, Operation, Record, Returned
from tools.check.verdicts import SESSION, Findings, Violation

EVENT_NAMES = {
    NODE_CREATED: "created",
    NODE_DELETED: "deleted",
    DATA_CHANGED: "data changed",
    CHILDREN_CHANGED: "children changed",
}


@dataclass(slots=True)
class _Seen:
    """What a session has seen so far."""

    zxid: int = 0
    by: str = ""  # which reply or event
    replied_zxid: int = 0  # of replies alone
    replied: Operation | None = None
    newest_call: Operation | None = None  # of those that were answered, the one called last


def check_sessions(records: Sequence[Record], operations: Sequence[Operation]) -> Findings:
    findings = Findings()
    by_number = {operation.number: operation for operation in operations}
    sessions: dict[int, _Seen] = {}
    for record in records:
        if isinstance(record, Returned):
            operation = by_number[record.operation]
            _on_reply(findings, sessions.setdefault(operation.session, _Seen()), operation)
        elif isinstance(record, Notified):
            _on_event(findings, sessions.setdefault(record.session, _Seen()), record)
    _check_own_writes(findings, operations)
    return findings


def _on_reply(findings: Findings, seen: _Seen, operation: Operation) -> None:
    number = operation.number
    if operation.zxid > 0:
        if operation.zxid < seen.zxid:
            findings.violations.append(
                Violation(
                    SESSION,
                    f"{operation} was answered at zxid {operation.zxid:#x}, after session {operation.session:#x} had "
                    f"seen {seen.zxid:#x} ({seen.by}).",
                    (number,),
                )
            )
        else:
            seen.zxid, seen.by = operation.zxid, str(operation)
        if operation.zxid > seen.replied_zxid:
            seen.replied_zxid, seen.replied = operation.zxid, operation
        stat = stat_of(operation.reply) if operation.reply is not None else None
        shown = max(stat.czxid, stat.mzxid, stat.pzxid) if stat is not None else 0
        if shown > operation.zxid:
            findings.violations.append(
                Violation(
                    SESSION,
                    f"{operation} was answered at zxid {operation.zxid:#x} and shows {shown:#x}, which is later.",
                    (number,),
                )
            )
    if isinstance(operation.request, Ping | Authenticate):
        return
    before = seen.newest_call
    if before is not None and before.call_line > operation.call_line:
        findings.violations.append(
            Violation(
                SESSION, f"{operation} was called before {before} and answered after it.", (before.number, number)
            )
        )
    else:
        seen.newest_call = operation


def _on_event(findings: Findings, seen: _Seen, record: Notified) -> None:
    event = record.event
    if event.zxid <= 0:  # made on re-arming, or by a server that does not tell
        return
    if seen.replied is not None and event.zxid <= seen.replied_zxid:
        findings.violations.append(
            Violation(
                SESSION,
                f"{record.client} was told {words(event)} after {seen.replied} had been answered at zxid "
                f"{seen.replied_zxid:#x}, which shows it.",
                (seen.replied.number,),
            )
        )
    elif event.zxid < seen.zxid:
        findings.violations.append(
            Violation(SESSION, f"{record.client} was told {words(event)} after {seen.by} at zxid {seen.zxid:#x}.")
        )
    if event.zxid > seen.zxid:
        seen.zxid, seen.by = event.zxid, f"the event {words(event)}"


def _check_own_writes(findings: Findings, operations: Sequence[Operation]) -> None:
    latest: dict[int, Operation] = {}  # by session: its acknowledged write with the highest zxid, so far
    for operation in sorted(operations, key=lambda each: each.call_line):
        own = latest.get(operation.session)
        if not operation.position:
            continue
        if operation.is_write:
            if own is None or own.position < operation.position:
                latest[operation.session] = operation
            else:
                sentence = f"{operation} was called after {own}, and applied before it ({operation.position:#x} and "
                findings.violations.append(
                    Violation(SESSION, f"{sentence}{own.position:#x}).", (own.number, operation.number))
                )
        elif operation.is_read and own is not None and operation.position < own.position:
            findings.violations.append(
                Violation(
                    SESSION,
                    f"{operation} looked at zxid {operation.position:#x} and so does not see {own}, of the same "
                    f"session at {own.position:#x}.",
                    (own.number, operation.number),
                )
            )


def words(event: Event) -> str:
    at = f" at zxid {event.zxid:#x}" if event.zxid > 0 else ""
    return f'"{event.path} {EVENT_NAMES.get(event.kind, event.kind)}"{at}'
