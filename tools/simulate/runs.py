"""Seeds told, one or many, in this process or in several: what became of each, and how to see it again."""

import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from time import process_time
from zlib import crc32

from tools.simulate.ghost import Violation
from tools.simulate.world import World


@dataclass(slots=True)
class Story:
    """What became of one seed. Equal seeds have equal stories, but for the time they took."""

    seed: int
    events: int
    trace: int  # a hash over every frame that arrived, in order, and over where time and chance stood in the end
    situations: Counter[str]
    cpu_s: float
    checker: str = ""  # what noticed a failure: an invariant's number, or the kind of exception; empty if all held
    report: str = ""  # the failure in full, with the options the seed drew, the last events, and how to see it again


def tell(seed: int) -> Story:
    """Run one seed to its end."""
    began = process_time()
    world = World(seed)
    checker = report = ""
    try:
        world.run()
    except Exception as error:  # whatever real code or checker raises is what this seed has found
        checker, report = checker_of(error), _report(world, error)
    stage = world.stage
    trace = crc32(repr((stage.events, stage.now, stage.rng.random())).encode(), stage.trace)
    return Story(seed, stage.events, trace, stage.situations, process_time() - began, checker, report)


def tell_all(seeds: Sequence[int], jobs: int) -> Iterator[Story]:
    """In the order of the seeds, whoever is done first."""
    if jobs == 1:
        yield from map(tell, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(tell, seeds, chunksize=4)


def replay_command(seed: int) -> str:
    return f"python -m tools.simulate --first-seed {seed} --seeds 1"


def checker_of(error: Exception) -> str:
    """Which checker raised this: `I8`, or `assert` for one of the real code's own."""
    head, colon, _ = str(error).partition(":")
    if isinstance(error, Violation):
        return head if colon and head[:1] in "IL" and len(head) < 5 else "client"
    return "assert" if isinstance(error, AssertionError) else type(error).__name__


def _report(world: World, error: Exception) -> str:
    events = "\n".join("  " + " ".join(map(str, what)) for what in world.stage.said)
    faults = ", ".join(sorted({fault.__name__ for fault in world.faults}))
    where = "" if isinstance(error, Violation) else "".join(traceback.format_exception(error)[-6:])
    return "\n".join(
        [
            f"seed {world.seed} failed after {world.stage.events} events",
            str(world.plan),
            f"kinds of faults: {faults}",
            f"the last events:\n{events}\n{where}{type(error).__name__}: {error}",
            f"see it again: {replay_command(world.seed)}",
        ]
    )
