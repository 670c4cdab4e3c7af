"""`python -m tools.bench`: measure coord, ZooKeeper, etcd and the bare skeleton, and hold the goals against it.

One software at a time, all of its rows in one go, then the next: two ensembles at once would disturb each other. The
turns alternate; each number is the median of all turns.
"""

import argparse
import contextlib
import dataclasses
import json
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.bench import etcd, ground, svg, table
from tools.bench.big import FEW, big
from tools.bench.ceiling import ceiling
from tools.bench.failover import failover
from tools.bench.figures import Figures, Report, Reporter, Scale
from tools.bench.goals import COORD, ETCD, LIMIT, ZOOKEEPER
from tools.bench.idle import idle
from tools.bench.libraries import libraries
from tools.bench.limit.measure import limit
from tools.bench.loads import OPERATIONS
from tools.bench.locks import locks
from tools.bench.neighbours import neighbours
from tools.bench.rows import throughput, warm_up
from tools.bench.shapes import Row
from tools.bench.slow import slow
from tools.bench.watchers import watchers
from tools.ensembles import CoordSoftware, Ensemble, EnsembleError, Software, ZooKeeperSoftware, slow_disk
from tools.wire.client import HungUpError, RawError, SessionRefusedError

Group = Callable[[Ensemble, Scale, Report], None]


def beside(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """What must not slow the small and the quick: long values, and servers that are slow."""
    neighbours(ensemble, scale, report)
    slow(ensemble, scale, report)


TOGETHER: dict[str, Group] = {
    "throughput": throughput,
    "watchers": watchers,
    "locks": locks,
    "libraries": libraries,
    "failover": failover,
}
"""Groups of rows that are measured one after the other on one ensemble, in every turn."""

ALONE: dict[str, Group] = {"beside": beside, "big": big, "idle": idle}
"""Groups that take long and need an ensemble of their own: once."""

GROUPS = (*TOGETHER, *ALONE)
QUICK_GROUPS = ("throughput", "watchers", "locks", "failover")
WHO = (COORD, ZOOKEEPER, ETCD, LIMIT)

WARM_UP_S = {COORD: 2.0, ZOOKEEPER: 15.0}
"""The Java virtual machine is not at its best before it has had so much load; to be fair it is given it."""

SOFTWARES: dict[str, dict[str, Software]] = {
    COORD: {"": CoordSoftware(), "idle": CoordSoftware(("--connections-per-address-max", "0"))},
    ZOOKEEPER: {"": ZooKeeperSoftware(), "big": ZooKeeperSoftware(jvm=("-Xmx2g",))},
}
"""By group, where it is not the same for all: ten thousand clients of one address; a million znodes want a heap."""

PANELS = (
    ("set, 100 B, three servers", [Row("set", *shape) for shape in ((1, 1), (100, 1), (10, 100), (100, 100))]),
    ("get, 100 B, three servers", [Row("get", *shape) for shape in ((1, 1), (100, 1), (10, 100), (100, 100))]),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _end)  # so that servers and folders are cleaned up, and what was found is told
    try:
        folder = ground.data_folder(options.data)
    except OSError as error:
        say(f"error: {error}")
        return 2
    figures, facts = Figures(), ground.facts(folder) | {"settings": settings(options)}
    print("\n".join(f"{name}: {text}" for name, text in facts.items()), flush=True)
    print_ceiling()
    bench = Bench(options, folder, figures, facts)
    try:
        bench.run()
    except KeyboardInterrupt:
        figures.notes.append("interrupted: this is not all")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_report(figures, facts)
    write_files(options, figures, facts)
    return 1 if figures.notes else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure coord against its goals.")
    parser.add_argument("--quick", action="store_true", help="one short turn without the groups that take long")
    parser.add_argument(
        "--only-rows", metavar="GROUP,...", help=f"these groups of rows: {', '.join(GROUPS)} (all; with --quick fewer)"
    )
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        metavar="OPERATION:CxW[:BYTES]",
        help="instead of the rows of throughput this one: C connections with W in flight each; may be repeated",
    )
    parser.add_argument("--only", metavar="WHO,...", help=f"measure these alone: {', '.join(WHO)} (all)")
    parser.add_argument("--seconds", type=float, help="of each row (3; with --quick 0.7)")
    parser.add_argument("--repeat", type=int, help="turns of each software; medians are shown (3; with --quick 1)")
    parser.add_argument("--trials", type=int, help="of each failover in a turn (2; with --quick 1)")
    parser.add_argument("--znodes", type=int, default=Scale().znodes, help="of the group big (1,000,000)")
    parser.add_argument("--sessions", type=int, default=Scale().sessions, help="of the group idle (10,000)")
    parser.add_argument("--data", type=Path, help="folder for the servers' data, on a disk (a temporary one)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value there, too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw throughput against latency there")
    options = parser.parse_args(arguments)
    options.groups = _chosen(
        parser, "--only-rows", options.only_rows, GROUPS, QUICK_GROUPS if options.quick else GROUPS
    )
    options.who = _chosen(parser, "--only", options.only, WHO, WHO)
    try:
        options.rows = tuple(Row.parse(each) for each in options.row)
    except ValueError:
        parser.error(
            f"--row: {' '.join(options.row)} is not of the form set:10x100 or set:10x100:1024; "
            f"operations are {', '.join(OPERATIONS)}"
        )
    for name, usual, quick in (("seconds", 3.0, 0.7), ("repeat", 3, 1), ("trials", 2, 1)):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    for name, least in (("seconds", 0.05), ("repeat", 1), ("trials", 0), ("znodes", FEW), ("sessions", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name}: {getattr(options, name)} is too few, {least:,} is the least")
    return options


def _chosen(
    parser: argparse.ArgumentParser, option: str, text: str | None, known: Sequence[str], default: Sequence[str]
) -> list[str]:
    names = list(default) if text is None else text.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: {', '.join(unknown)} unknown; there are {', '.join(known)}")
    return names


class Bench:
    """What is to be measured, in turns."""

    def __init__(self, options: argparse.Namespace, folder: Path, figures: Figures, facts: dict[str, str]) -> None:
        self._options = options
        self._folder = folder
        self._figures = figures
        self._facts = facts
        quick = Scale(watch_rounds=5, contenders=0, idle_s=5.0) if options.quick else Scale()
        self._scale = dataclasses.replace(
            quick,
            seconds=options.seconds,
            trials=options.trials,
            znodes=options.znodes,
            sessions=options.sessions,
            rows=options.rows,
        )
        missing = {ZOOKEEPER: ZooKeeperSoftware().missing(), ETCD: etcd.missing()}
        self._who = []
        for who in options.who:
            if (sentence := missing.get(who)) is not None:
                facts[who] = f"left out: {sentence}"
                print(f"{who}: {facts[who]}", flush=True)
            else:
                self._who.append(who)
        if "beside" in options.groups and (sentence := slow_disk.missing()) is not None:
            facts["slow disks"] = f"left out: {sentence}"
            print(f"slow disks: {facts['slow disks']}", flush=True)

    def run(self) -> None:
        groups = self._options.groups
        together = {name: group for name, group in TOGETHER.items() if name in groups}
        for turn in range(self._options.repeat if together else 0):
            for who in self._who:
                say(f"turn {turn + 1} of {self._options.repeat}: {who}")
                self._turn(who, turn, together)
        for name, alone in ALONE.items():
            if name in groups:
                for who in self._who:
                    if who in SOFTWARES:
                        say(f"{name}: {who}")
                        self._measure(who, self._folder / f"{who}-{name}", {name: alone}, name)

    def _turn(self, who: str, turn: int, together: dict[str, Group]) -> None:
        folder = self._folder / f"{who}-{turn}"
        report = self._reporter(who)
        if who in SOFTWARES:
            self._measure(who, folder, together, "")
        elif "throughput" in together and who == LIMIT:
            with self._noting(report, "throughput"):
                limit(folder, self._scale, report)
        elif "throughput" in together:
            self._facts.setdefault(ETCD, ground.etcd_facts())
            with self._noting(report, "throughput"), etcd.started(folder) as ensemble:
                etcd.etcd(ensemble, folder, self._scale, report)
        shutil.rmtree(folder, ignore_errors=True)

    def _measure(self, who: str, folder: Path, groups: dict[str, Group], name: str) -> None:
        """Groups of rows on one ensemble, which is warmed up before."""
        report = self._reporter(who)
        software = SOFTWARES[who].get(name, SOFTWARES[who][""])
        with self._noting(report, "ensemble"), Ensemble(software, folder) as ensemble:
            ensemble.start_all()
            ensemble.wait_serving()
            if who == ZOOKEEPER:
                self._facts.setdefault(who, ground.zookeeper_facts(ground.version(ensemble)))
            if name != "idle":
                warm_up(ensemble, WARM_UP_S[who])
            for each, group in groups.items():
                with self._noting(report, each):
                    group(ensemble, self._scale, report)
        shutil.rmtree(folder, ignore_errors=True)

    def _reporter(self, who: str) -> Reporter:
        return Reporter(self._figures, who, say)

    @contextlib.contextmanager
    def _noting(self, report: Report, group: str) -> Iterator[None]:
        """What goes wrong in one group must not take the other figures with it."""
        begin = time.perf_counter()
        try:
            yield
            say(f"  ({group} took {time.perf_counter() - begin:.0f} s)")
        except (EnsembleError, HungUpError, RawError, SessionRefusedError, OSError) as error:
            report.note(f"{group} ended early: {error}")


def settings(options: argparse.Namespace) -> str:
    warm_up = ", ".join(f"{who} {seconds:g} s" for who, seconds in WARM_UP_S.items())
    return (
        f"three servers, {options.seconds:g} s a row, turns: {options.repeat}, failovers a turn: "
        f"{options.trials}, load before the first row: {warm_up}; ZooKeeper's heap 1 GB (big: 2 GB)"
    )


def print_ceiling() -> None:
    for connections, window in ((10, 100), (100, 1)):
        alone = ceiling("get", connections, window, 100, 1.0)
        cost_us = alone.generator_cpu_s / alone.replies * 1e6
        print(f"generator: alone, get {connections} x {window}: {alone.per_second:,.0f}/s, {cost_us:.1f} us a request")


def print_report(figures: Figures, facts: dict[str, str]) -> None:
    verdicts = table.judged(figures)
    for who in (ZOOKEEPER, ETCD):
        if who in facts and "left out" not in facts[who]:
            print(f"{who}: {facts[who]}")
    print(f"\n{table.goals(figures, verdicts)}\n\n{table.others(figures)}\n")
    for note in figures.notes:
        print(f"note: {note}")
    print(table.missed(verdicts), flush=True)


def write_files(options: argparse.Namespace, figures: Figures, facts: dict[str, str]) -> None:
    for path in (options.json, options.svg):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(options, figures, facts), indent=1) + "\n")
    if options.svg is not None:
        options.svg.write_text(svg.picture(figures, PANELS))


def as_json(options: argparse.Namespace, figures: Figures, facts: dict[str, str]) -> dict[str, object]:
    shown = ("groups", "who", "seconds", "repeat", "trials", "znodes", "sessions", "quick")
    return {
        "facts": facts,
        "settings": {name: getattr(options, name) for name in shown} | {"warm_up_s": WARM_UP_S},
        "goals": [
            {"row": each.goal.row, "goal": str(each.goal), "reached": each.reached, "verdict": each.word}
            for each in table.judged(figures)
        ],
        "figures": figures.values,
        "notes": figures.notes,
    }


def say(line: str) -> None:
    """Progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


def _end(number: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
