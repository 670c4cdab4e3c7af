"""Each acknowledged write is in the log once, each other one at most as often as it was sent.

Without the servers' log only this much can be said: no two writes have the same zxid. (That a write was applied twice
shows in the replies then, as versions and sequence numbers that are too high.)
A client of coord's own protocol numbers its writes and sends them again until they are answered: the log may hold such
a write as often as that, under the one number, and it counts as one.
"""

from collections.abc import Sequence

from coord.model.requests import CloseSession
from tools.check.history import WRITES, Operation, brief
from tools.check.replay import Entry
from tools.check.verdicts import ONCE, Findings, Violation


def check_once(operations: Sequence[Operation], log: Sequence[Entry] | None = None) -> Findings:
    findings = Findings()
    claims: dict[int, Operation] = {}
    for operation in operations:
        if operation.is_write and operation.position:
            other = claims.setdefault(operation.position, operation)
            if other is not operation:
                findings.violations.append(
                    Violation(
                        ONCE,
                        f"{other} and {operation} were both answered at zxid {operation.position:#x}.",
                        (other.number, operation.number),
                    )
                )
    if log is not None:
        _check_log(findings, operations, claims, log)
    return findings


def _check_log(
    findings: Findings, operations: Sequence[Operation], claims: dict[int, Operation], log: Sequence[Entry]
) -> None:
    entries = {entry.zxid: entry for entry in log}
    numbered: set[tuple[int, int]] = set()  # (session, number) of what is accounted for
    for zxid, operation in claims.items():
        entry = entries.get(zxid)
        if entry is None:
            what = "has nothing"
        elif entry.skipped:
            what = f"has only a repetition of {brief(entry.request)}"
        elif entry.run.session != operation.session or entry.request != operation.request:
            what = f"has {brief(entry.request)} of session {entry.run.session:#x}"
        else:
            del entries[zxid]
            if entry.number:
                numbered.add((entry.run.session, entry.number))
            continue
        findings.violations.append(
            Violation(
                ONCE,
                f"{operation} was answered at zxid {zxid:#x}, where the servers' log {what}: the write is lost.",
                (operation.number,),
            )
        )
    _check_unclaimed(findings, operations, claims, list(entries.values()), numbered)


def _check_unclaimed(
    findings: Findings,
    operations: Sequence[Operation],
    claims: dict[int, Operation],
    unclaimed: Sequence[Entry],
    numbered: set[tuple[int, int]],
) -> None:
    """What the sessions of this history wrote and nobody was told of: only what has no answer may be there."""
    allowed: dict[tuple[int, str], list[Operation]] = {}
    everything: dict[tuple[int, str], Operation] = {}
    for operation in operations:
        if operation.is_write:
            key = _key(operation.session, operation.request)
            everything[key] = operation
            if claims.get(operation.position) is not operation:
                allowed.setdefault(key, []).extend([operation] * operation.sends)
    sessions = {operation.session for operation in operations}
    for entry in unclaimed:
        run, request = entry.run, entry.request
        ours = run.session in sessions and type(request) in WRITES and not isinstance(request, CloseSession)
        if entry.skipped or not ours or (run.session, entry.number) in numbered:
            continue
        if entry.number:
            numbered.add((run.session, entry.number))
        key = _key(run.session, request)
        if allowed.get(key):
            allowed[key].pop()
            continue
        operation_asked = everything.get(key)
        if operation_asked is None:
            sentence = f"session {run.session:#x} never asked for {brief(request)}, which the log has at"
            findings.violations.append(Violation(ONCE, f"{sentence} zxid {entry.zxid:#x}."))
        else:
            findings.violations.append(
                Violation(
                    ONCE,
                    f"{operation_asked} is in the log once more than it was sent, at zxid {entry.zxid:#x}.",
                    (operation_asked.number,),
                )
            )


def _key(session: int, request: object) -> tuple[int, str]:
    return session, repr(request)
