"""What was measured, by its name and by who was measured: every value is kept, medians are taken of them. Pure."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tools.bench.shapes import Row


@dataclass(slots=True, frozen=True)
class Scale:
    """How much of everything. The goals are of the defaults; other counts make rows of other names."""

    seconds: float = 3.0  # of a row of throughput
    trials: int = 2  # of each failover, a turn
    watchers: int = 1_000
    watch_rounds: int = 20
    contenders: int = 1_000  # of a lock, where ten are not enough; none: not measured
    znodes: int = 1_000_000
    sessions: int = 10_000
    snapshot_after_bytes: int = 32 << 20  # of coord's log, where a snapshot is waited for
    snapshot_ends_s: float = 5.0  # ZooKeeper's has its name when it begins: it is given so long to end, coord as well
    idle_s: float = 15.0
    rows: tuple[Row, ...] = ()  # of throughput; none: the issue's


class Report(Protocol):
    """Where a group of rows tells what it has found, as soon as it has."""

    def figure(self, name: str, value: float) -> None: ...

    def note(self, sentence: str) -> None:
        """What makes a figure doubtful, or why it is missing."""


@dataclass(slots=True)
class Figures:
    """`values[name][who]` in the order in which they were measured. A name ends with the unit: "get 1 x 1, p50 ms"."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    notes: list[str] = field(default_factory=list)

    def of(self, name: str, who: str) -> list[float]:
        """All values; none if it was not measured."""
        return self.values[name][who] if name in self.values and who in self.values[name] else []

    def median(self, name: str, who: str) -> float | None:
        found = self.of(name, who)
        return statistics.median(found) if found else None


@dataclass(slots=True)
class Reporter:
    """Reports into `figures` for one of those who are measured."""

    figures: Figures
    who: str
    say: Callable[[str], None]  # progress

    def figure(self, name: str, value: float) -> None:
        self.figures.values[name][self.who].append(value)
        self.say(f"  {name}: {value:,.6g}")

    def note(self, sentence: str) -> None:
        self.figures.notes.append(f"{self.who}: {sentence}")
        self.say(f"  {sentence}")
