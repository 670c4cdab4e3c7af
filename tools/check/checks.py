"""All checkers over one history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from coord.model.entries import Batch
from tools.check.history import Operation, Record, operations
from tools.check.linearizability import Budget
from tools.check.once import check_once
from tools.check.replay import entries_of
from tools.check.sessions import check_sessions
from tools.check.unknowns import APPLIED_MAX
from tools.check.verdicts import Findings
from tools.check.watches import check_watches
from tools.check.window import Window, check_linearizable
from tools.check.witness import check_real_time, check_replies


@dataclass(slots=True)
class Report:
    """What all of them found."""

    operations: list[Operation]
    findings: Findings = field(default_factory=Findings)
    windows: list[Window] = field(default_factory=list)


def check(
    records: Sequence[Record],
    batches: Iterable[Batch] | None = None,
    budget: Budget | None = None,
    applied_max: int = APPLIED_MAX,
) -> Report:
    """Judge a history of an ensemble that was empty when it began; with the servers' log nothing is left to guess."""
    found = operations(records)
    report = Report(found)
    log = entries_of(batches) if batches is not None else None
    replies, replayed = check_replies(records, found, log, applied_max)
    report.findings.add(replies)
    report.findings.add(check_real_time(found))
    report.findings.add(check_sessions(records, found))
    report.findings.add(check_once(found, log))
    if replies.violations or replies.undecided:
        report.findings.notes.append(
            "watches were not checked: without a right replay nobody knows what was to be told"
        )
    else:
        report.findings.add(check_watches(records, found, replayed))
    search, report.windows = check_linearizable(found, budget)
    report.findings.add(search)
    return report
