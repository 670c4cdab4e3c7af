"""`python -m tools.chaos`: real servers and clients under faults, and whether every promise was kept.

Exit status 0: yes. 1: no; history, log, servers' output and a page with pictures are kept, and the text says where.
2: the question could not be decided, or could not be asked.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.chaos.clients import KINDS
from tools.chaos.faults import FAULTS
from tools.chaos.runs import LOG, Options, Outcome, Run, recheck
from tools.chaos.workload import PAUSE_S_MAX

KEPT, BROKEN, UNDECIDED = 0, 1, 2
SHOWN_MAX = 20
NOTES_MAX = 2
SEEDS = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    if given.list:
        for name, fault in FAULTS.items():
            print(f"{name:<40} {(fault.__doc__ or '').strip()}".rstrip())
        return KEPT
    options = Options(
        seed=random.randrange(SEEDS) if given.seed is None else given.seed, seconds=given.seconds,
        servers=given.servers, observers=given.observers, clients=given.clients, faults=given.faults,
        pause_s_max=given.pause, small_disks=given.small_disks,
    )  # fmt: skip
    where = Path(tempfile.mkdtemp(prefix=f"chaos-{options.seed}-", dir=given.data))
    print(f"seed {options.seed}, {options.servers} servers, {options.seconds:g} s, in {where}", flush=True)
    outcome = Run(options, where, lambda sentence: print(sentence, flush=True)).perform()
    print(text(outcome))
    if status(outcome) == KEPT and not given.keep:
        shutil.rmtree(where)
    else:
        print(f"kept in {where}; checked again with\n  {recheck(where, (where / LOG).exists())}")
    return status(outcome)


def status(outcome: Outcome) -> int:
    if outcome.broken:
        return BROKEN
    return UNDECIDED if outcome.undecided else KEPT


def text(outcome: Outcome) -> str:
    lines = outcome.broken[:SHOWN_MAX]
    if len(outcome.broken) > SHOWN_MAX:
        lines.append(f"and {len(outcome.broken) - SHOWN_MAX} more.")
    lines += [f"undecided: {each}." for each in outcome.undecided]
    lines += [f"note: {each}." for each in outcome.notes[:NOTES_MAX]]
    if len(outcome.notes) > NOTES_MAX:
        lines.append(f"note: and {len(outcome.notes) - NOTES_MAX} more such notes.")
    lines.append(", ".join(f"{name} {count}" for name, count in sorted(outcome.deeds.items())))
    verdict = {KEPT: "every promise was kept", BROKEN: "promises were broken", UNDECIDED: "undecided"}
    lines.append(
        f"{outcome.rounds} rounds, {outcome.sessions} sessions, {outcome.operations} operations "
        f"({outcome.unknown} of unknown outcome, {outcome.acknowledged} writes acknowledged), "
        f"{outcome.batches} batches in the log: {verdict[status(outcome)]}."
    )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description="Break real servers, and judge them.")
    parser.add_argument("--seconds", type=float, default=600, help="how long faults are caused (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="which plan (default: any; it is printed)")
    parser.add_argument("--servers", type=int, default=3, help="of the ensemble (default: %(default)s)")
    parser.add_argument("--observers", type=int, default=0, help="so many of them do not vote (default: %(default)s)")
    parser.add_argument(
        "--clients", type=_clients, default=Options(0, 0).clients, metavar="KIND=N,...",
        help=f"how many of which kind, of {', '.join(KINDS)} (default: raw=3,kazoo=2,native=3)",
    )  # fmt: skip
    parser.add_argument(
        "--faults", type=_faults, default=tuple(FAULTS), metavar="NAME,...", help="only these (default: all)"
    )
    parser.add_argument(
        "--pause", type=float, default=PAUSE_S_MAX, metavar="SECONDS",
        help="longest pause of a client between requests (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the faults and do nothing else")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where to make the run's folder (default: /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a run that is right, too")
    parser.add_argument(
        "--small-disks", action="store_true", help="full disks are real ones, a tmpfs a server; needs root"
    )
    return parser


def _clients(given: str) -> tuple[str, ...]:
    kinds: list[str] = []
    for part in given.split(","):
        kind, _, count = part.partition("=")
        if kind not in KINDS or not (count or "1").isdecimal():
            raise argparse.ArgumentTypeError(f"{part!r} is not KIND=N with a kind of {', '.join(KINDS)}")
        kinds += [kind] * int(count or "1")
    return tuple(kinds)


def _faults(given: str) -> tuple[str, ...]:
    names = tuple(given.split(","))
    for name in names:
        if name not in FAULTS:
            raise argparse.ArgumentTypeError(f"{name!r} is not a fault; --list lists them")
    return names


if __name__ == "__main__":
    sys.exit(main())
