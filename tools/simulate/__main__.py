"""`python -m tools.simulate`: run many seeds, each an ensemble under faults of its own.

Exit status 0: every invariant held in every seed, and everything was met that many seeds have to meet. 1: not so; each
failing seed is printed with the options it drew, its last events, and the command that runs it again.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from tools.simulate.mutants import blind, hunt_all, table
from tools.simulate.runs import Story, replay_command, tell_all
from tools.simulate.situations import missing

HELD, FAILED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.simulate", description="Ensembles under faults, seed by seed."
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, metavar="M", help="the first (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes (default: %(default)s)")
    parser.add_argument("--mutants", action="store_true", help="print which checker notices which deliberate defect")
    parser.add_argument("--traces", action="store_true", help="print each seed's events and trace hash")
    options = parser.parse_args(arguments)
    if options.mutants:
        return _show_mutants(options.jobs)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    stories: list[Story] = []
    for story in tell_all(seeds, options.jobs):
        stories.append(story)
        if story.report:
            print(story.report, end="\n\n", flush=True)
        if options.traces:
            print(f"seed {story.seed}: {story.events} events, trace {story.trace:08x}", flush=True)
    return _conclude(stories)


def _show_mutants(jobs: int) -> int:
    counts = hunt_all(jobs)
    print(table(counts))
    unnoticed = blind(counts)
    for sentence in unnoticed:
        print(sentence)
    return FAILED if unnoticed else HELD


def _conclude(stories: list[Story]) -> int:
    situations: Counter[str] = Counter()
    for story in stories:
        situations.update(story.situations)
    for situation, times in sorted(situations.items()):
        print(f"{times:10,}  {situation}")
    absent = missing(situations, len(stories))
    for situation in absent:
        print(f"never occurred, but should have: {situation}")
    failed = [story for story in stories if story.report]
    for story in failed:
        print(f"failed ({story.checker}): {replay_command(story.seed)}")
    events, cpu_s = sum(story.events for story in stories), sum(story.cpu_s for story in stories)
    rate = f"{events / cpu_s:,.0f} events/s of processor time" if cpu_s else "no time"
    print(f"{len(stories)} seeds, {len(failed)} failed; {events:,} events, {rate}")
    return FAILED if failed or absent else HELD


if __name__ == "__main__":
    sys.exit(main())
