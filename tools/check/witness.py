"""The exact check: every reply carries its place in the order of all writes, and at that place it must be right.

Two checkers. `check_replies` replays the writes by their zxids and compares every reply of a write or read with the
model's. `check_real_time` holds that order against the clock: what was answered before an operation was called stands
before it. Intervals are closed: ends at the same instant are concurrent. Both take O(n log n).
"""

from collections.abc import Sequence

from coord.model.requests import Sync
from tools.check.history import Operation, Record
from tools.check.replay import Entry, Replayed, replay
from tools.check.unknowns import APPLIED_MAX, place
from tools.check.verdicts import REAL_TIME, WITNESS, Findings, Violation


def check_replies(
    records: Sequence[Record],
    operations: Sequence[Operation],
    log: Sequence[Entry] | None = None,
    applied_max: int = APPLIED_MAX,
) -> tuple[Findings, Replayed]:
    """Every reply is the model's at its zxid. What the replay showed is for the checker of watches."""
    findings = Findings()
    untold = sum(
        each.reply is not None and not each.position and not each.code for each in operations if _of_tree(each)
    )
    if untold:
        findings.notes.append(f"{untold} replies came without a zxid: what they say was not compared with the model")
    exhausted = True
    if log is not None:
        replayed = replay(log, operations, has_log=True)
    else:
        placed = place(records, operations, applied_max)
        replayed, exhausted = placed.replayed, placed.exhausted
    if not exhausted:
        what = "all events"
        if replayed.disagreements:
            first = replayed.disagreements[0]
            what = f"{first.operation}, at zxid {first.operation.position:#x}, where {first.what}"
        findings.undecided.append(
            f"too many writes of unknown outcome to try: none tried so far explains {what}; give the servers' log"
        )
        return findings, replayed
    for each in replayed.disagreements:
        operation = each.operation
        findings.violations.append(
            Violation(WITNESS, f"{operation}, at zxid {operation.position:#x}: {each.what}.", (operation.number,))
        )
    return findings, replayed


def _of_tree(operation: Operation) -> bool:
    return operation.is_write or operation.is_read


def check_real_time(operations: Sequence[Operation]) -> Findings:
    """A write stands after all that was answered before its call, and what is linearizable sees all such writes."""
    findings = Findings()
    told = [each for each in operations if each.return_ns is not None and each.position]
    returns = sorted(told, key=lambda each: each.return_ns or 0)
    latest: Operation | None = None  # of all that were answered by now, the one with the highest zxid
    latest_write: Operation | None = None
    at = 0
    for operation in sorted(told, key=lambda each: each.call_ns):
        while at < len(returns) and (returns[at].return_ns or 0) < operation.call_ns:
            answered = returns[at]
            at += 1
            if latest is None or answered.position > latest.position:
                latest = answered
            if _is_linearizable(answered) and (latest_write is None or answered.position > latest_write.position):
                latest_write = answered
        if operation.is_write:
            if latest is not None and latest.position >= operation.position:
                findings.violations.append(_out_of_order(latest, operation, "is not behind it"))
        elif _is_linearizable(operation) and latest_write is not None and latest_write.position > operation.position:
            findings.violations.append(_out_of_order(latest_write, operation, "is older"))
    return findings


def _is_linearizable(operation: Operation) -> bool:
    return operation.is_write or operation.linearizable or isinstance(operation.request, Sync)


def _out_of_order(earlier: Operation, later: Operation, how: str) -> Violation:
    return Violation(
        REAL_TIME,
        f"{earlier}, at zxid {earlier.position:#x}, was answered before {later} was called, whose zxid "
        f"{later.position:#x} {how}.",
        (earlier.number, later.number),
    )
