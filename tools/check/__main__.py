"""`python -m tools.check FILE`: is this history one that the ensemble's promises allow?

Exit status 0: yes. 1: no, and one sentence a violation says why. 2: the file cannot be read, or the question could not
be decided; the text says which.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.check.checks import Report, check
from tools.check.history import HistoryError
from tools.check.linearizability import STEPS_MAX, Budget
from tools.check.lines import read_history
from tools.check.picture import page, svg
from tools.check.replay import batches_of

KEPT, BROKEN, UNDECIDED = 0, 1, 2
SHOWN_MAX = 20
"""Violations of one checker that are printed: one mistake early on has many consequences."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.check", description="Check a history recorded by clients.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the history, a JSON object a line")
    parser.add_argument("--log", type=Path, metavar="FILE", help="the servers' log: batches, one after the other")
    parser.add_argument("--svg", type=Path, metavar="OUT", help="where to draw the first window that cannot be ordered")
    parser.add_argument("--html", type=Path, metavar="OUT", help="where to write a page with all findings and windows")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument("--steps", type=int, default=STEPS_MAX, help="limit of the search (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="limit of the search (default: none)")
    options = parser.parse_args(arguments)
    try:
        batches = batches_of(options.log.read_bytes()) if options.log is not None else None
        report = check(list(read_history(options.file)), batches, Budget(options.steps, options.seconds))
        if options.svg is not None and report.windows:
            options.svg.write_text(svg(report.windows[0]), encoding="utf-8")
        if options.html is not None:
            options.html.write_text(page(report.windows, report.findings), encoding="utf-8")
    except HistoryError as error:
        print(f"cannot be checked: {error}", file=sys.stderr)
        return UNDECIDED
    except OSError as error:
        print(f"cannot be checked: {error.filename}: {error.strerror}", file=sys.stderr)
        return UNDECIDED
    print(_as_json(report) if options.json else _as_text(report))
    return status(report)


def status(report: Report) -> int:
    if report.findings.violations:
        return BROKEN
    return UNDECIDED if report.findings.undecided else KEPT


def _as_text(report: Report) -> str:
    findings = report.findings
    lines: list[str] = []
    shown: dict[str, int] = {}
    for each in findings.violations:
        shown[each.check] = shown.get(each.check, 0) + 1
        if shown[each.check] <= SHOWN_MAX:
            lines.append(f"{each.check}: {each.sentence}")
    lines += [f"{name}: and {count - SHOWN_MAX} more." for name, count in shown.items() if count > SHOWN_MAX]
    lines += [f"undecided: {each}." for each in findings.undecided]
    lines += [f"note: {each}." for each in findings.notes]
    verdict = {KEPT: "every promise was kept", BROKEN: "promises were broken", UNDECIDED: "undecided"}[status(report)]
    return "\n".join([*lines, f"{len(report.operations)} operations: {verdict}."])


def _as_json(report: Report) -> str:
    verdict = {KEPT: "kept", BROKEN: "broken", UNDECIDED: "undecided"}[status(report)]
    found = {"verdict": verdict, "operations": len(report.operations), **asdict(report.findings)}
    return json.dumps(found, indent=2)


if __name__ == "__main__":
    sys.exit(main())
