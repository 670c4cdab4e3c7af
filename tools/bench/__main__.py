"""`python -m tools.bench`: measure coord, and ZooKeeper where it is installed, and print the tables.

One software at a time, all of its rows in one go, then the other: two ensembles at once would disturb each
other. With --repeat the turns alternate, and each number is the median.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import types
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tools.bench import loads, table
from tools.bench.ceiling import ceiling
from tools.bench.failover import FAULTS, Trial, trial
from tools.bench.libraries import Rates, measure_libraries, medians
from tools.bench.locks import LockRates, measure_locks
from tools.bench.locks import median as median_of_locks
from tools.bench.memory import Memory, memory
from tools.bench.rows import Measurement, Row, measure, median, rows, warm_up
from tools.ensembles import CoordSoftware, Ensemble, EnsembleError, Software, ZooKeeperSoftware
from tools.wire.client import HungUpError


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _end)  # so that servers and folders are cleaned up on the way out
    softwares = [each for each in (CoordSoftware(), ZooKeeperSoftware()) if options.only in (None, each.name)]
    for software in softwares[:]:
        if (sentence := software.missing()) is not None:
            say(sentence)
            softwares.remove(software)
    if not softwares:
        return 2
    folder = Path(tempfile.mkdtemp(prefix="coord-bench-", dir=options.data))
    try:
        if options.memory:
            print(table.memory({each.name: measure_memory(each, folder, options) for each in softwares}))
        else:
            measure_all(softwares, folder, options)
    except (EnsembleError, HungUpError, OSError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure ZooKeeper-protocol servers.")
    parser.add_argument("--servers", type=int, default=3, help="servers of each ensemble (3)")
    parser.add_argument("--seconds", type=float, help="of each row (3; with --quick 1)")
    parser.add_argument("--repeat", type=int, default=1, help="turns of each software; medians are shown (1)")
    parser.add_argument("--quick", action="store_true", help="fewer rows and trials, shorter")
    parser.add_argument("--rows", default=",".join(loads.OPERATIONS), help="operations, comma-separated (all)")
    parser.add_argument("--only", choices=["coord", "zookeeper"], help="measure this one alone (both)")
    parser.add_argument("--trials", type=int, help="of each failover (5; with --quick 1; 0: none)")
    parser.add_argument("--memory", type=int, metavar="N", help="instead of all else: create N znodes, show the memory")
    parser.add_argument(
        "--data", type=Path, help="folder for the servers' data; a tmpfs makes syncs free (a temporary one)"
    )
    parser.add_argument("--no-libraries", action="store_true", help="leave the client libraries out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there, too")
    options = parser.parse_args(arguments)
    options.rows = options.rows.split(",") if options.rows else []
    if unknown := set(options.rows) - set(loads.OPERATIONS):
        parser.error(f"--rows: {', '.join(sorted(unknown))} unknown; there are {', '.join(loads.OPERATIONS)}")
    if options.seconds is None:
        options.seconds = 1.0 if options.quick else 3.0
    if options.trials is None:
        options.trials = 1 if options.quick else 5
    return options


def measure_all(softwares: Sequence[Software], folder: Path, options: argparse.Namespace) -> None:
    print(f"{os.cpu_count()} processors shared by servers and generator, load {os.getloadavg()[0]:.1f} at the start,")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}, data in {folder}")
    for connections, window in ((10, 100), (100, 1)):
        alone = ceiling("get", connections, window, 100, 1.0)
        cost_us = alone.generator_cpu_s / alone.replies * 1e6
        print(f"The generator alone, get {connections}x{window}: {alone.per_second:,.0f}/s, {cost_us:.1f} us a request")
    measurements: dict[str, dict[Row, list[Measurement]]] = {each.name: defaultdict(list) for each in softwares}
    trials: dict[str, dict[str, list[Trial]]] = {each.name: defaultdict(list) for each in softwares}
    rates: dict[str, list[dict[str, Rates]]] = {each.name: [] for each in softwares}
    locks: dict[str, list[dict[str, LockRates]]] = {each.name: [] for each in softwares}
    for turn in range(options.repeat):
        for software in softwares:
            with started(software, folder / f"{software.name}-{turn}", options.servers) as ensemble:
                say(f"turn {turn + 1} of {options.repeat}: {ensemble}")
                if options.rows:
                    warm_up(ensemble, 4 * options.seconds)
                for row in rows(options.rows, options.quick):
                    measured = measure(ensemble, row, options.seconds)
                    measurements[software.name][row].append(measured)
                    say(f"  {row}: {measured.per_second:,.0f}/s, p50 {measured.p50_ms:.2f} ms {measured.error_text}")
                if not options.no_libraries:
                    say("  client libraries")
                    rates[software.name].append(measure_libraries(ensemble, options.seconds))
                    say("  locks")
                    locks[software.name].append(measure_locks(ensemble, options.seconds))
                if options.servers > 1:
                    for fault in FAULTS:
                        for _ in range(options.trials):
                            try:
                                done = trial(ensemble, fault)
                            except HungUpError as error:  # a server that is not itself again; the others count
                                say(f"  leader {fault}: this trial came to nothing, {error}")
                                ensemble.wait_serving()
                                continue
                            trials[software.name][fault].append(done)
                            lost = f"{done.connections_lost} connections lost"
                            say(f"  leader {fault}: {done.gap_s * 1000:.0f} ms, {lost}")
    found = {name: {row: median(each) for row, each in by_row.items()} for name, by_row in measurements.items()}
    if options.rows:
        print(f"\n{table.throughput(found)}\n{table.errors(found)}")
    if any(rates.values()):
        print(f"\n{table.libraries({name: medians(each) for name, each in rates.items()})}")
    if any(locks.values()):
        print(f"\n{table.locks({name: median_of_locks(each) for name, each in locks.items()})}")
    if any(trials.values()):
        print(f"\nWrites on surviving servers stand still when the leader is\n{table.failover(trials)}")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(measurements, trials, rates), indent=1) + "\n")


def measure_memory(software: Software, folder: Path, options: argparse.Namespace) -> Memory:
    with started(software, folder / software.name, options.servers) as ensemble:
        say(str(ensemble))
        return memory(ensemble, options.memory)


def started(software: Software, folder: Path, servers: int) -> Ensemble:
    """An ensemble that serves; as a context manager it ends the servers."""
    ensemble = Ensemble(software, folder, servers)
    try:
        ensemble.start_all()
        ensemble.wait_serving()
    except BaseException:
        ensemble.close()
        raise
    return ensemble


def as_json(
    measurements: dict[str, dict[Row, list[Measurement]]],
    trials: dict[str, dict[str, list[Trial]]],
    rates: dict[str, list[dict[str, Rates]]],
) -> dict[str, object]:
    return {
        name: {
            "libraries": [
                {
                    library: [
                        {"operation": operation, "window": window, "per_second": rate}
                        for (operation, window), rate in by_row.items()
                    ]
                    for library, by_row in turn.items()
                }
                for turn in rates[name]
            ],
            "rows": [
                {**dataclasses.asdict(row), "runs": [dataclasses.asdict(run) for run in runs]}
                for row, runs in by_row.items()
            ],
            "failover": {
                fault: {
                    "median_s": statistics.median(each.gap_s for each in done),
                    "trials": [dataclasses.asdict(each) for each in done],
                }
                for fault, done in trials[name].items()
            },
        }
        for name, by_row in measurements.items()
    }


def say(line: str) -> None:
    """Progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


def _end(number: int, frame: types.FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
