"""The table that coord is to fill: each row's name, its goal, and whether what was measured meets it. Pure.

A goal is a ratio to somebody else's number of the same run, or a number of its own. The names are those under which the
groups of rows report their figures (figures.py); they end with the unit.
"""

from dataclasses import dataclass

from tools.bench.figures import Figures, Scale
from tools.bench.shapes import LIMIT_ROWS, SLOW_DISK_ROWS, SLOW_FOLLOWER_ROW, SMALL_ROWS, Row

COORD, ZOOKEEPER, ETCD, LIMIT = "coord", "zookeeper", "etcd", "limit"
"""Who is measured. The limit is the bare skeleton in limit/."""

KAZOO, LIBRARIES = "kazoo", ("recipes on trio", "recipes on asyncio")

MET, MISSED, OPEN = "met", "MISSED", "not measured"


@dataclass(slots=True, frozen=True)
class Goal:
    """One row. `against` "" means that the bound is in the row's own unit, else it is a ratio to who is named there."""

    row: str
    bound: float
    at_least: bool
    against: str = ZOOKEEPER
    theirs: str = ""  # the name of their figure, where it is another

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.bound:g} x {self.against}" if self.against else f"{sign} {self.bound:,g}"


@dataclass(slots=True, frozen=True)
class Verdict:
    goal: Goal
    reached: float | None  # the ratio, or the number itself; None: it was not measured

    @property
    def word(self) -> str:
        if self.reached is None:
            return OPEN
        met = self.reached >= self.goal.bound if self.goal.at_least else self.reached <= self.goal.bound
        return MET if met else MISSED


def judge(goal: Goal, figures: Figures) -> Verdict:
    """By the medians."""
    ours = figures.median(goal.row, COORD)
    if ours is None or not goal.against:
        return Verdict(goal, ours)
    theirs = figures.median(goal.theirs or goal.row, goal.against)
    return Verdict(goal, ours / theirs if theirs else None)


# ---- the names of rows

LAST_EVENT = "watchers of one znode: set to last event, ms"
OUTAGE = "writes through a survivor stand still, ms"
RESIDENT = "resident memory of a server, MB"
STALL = "longest stall while a snapshot is taken under 10,000 set/s, ms"
RESTART = "restart to serving, s"
NEW_FOLLOWER = "a new, empty follower in sync with writes going on, s"
IDLE_CPU = "idle sessions (10 s timeout): cpu of all servers, % of one core"
SETS_KEPT = "set throughput with {many:,} znodes / with 1,000, ratio"

FROZEN, SLOWED = "a follower frozen", "a follower with a fifth of the time"
SLOW_DISK, SLOW_LEADER = "a follower's syncs 50 ms longer", "the leader's syncs 50 ms longer"
KEPT = "of the undisturbed throughput, ratio"
LONG_VALUES = "beside values of 1 MB"


def counted(count: int, rest: str) -> str:
    """A row's name that begins with how many there were: other counts are other rows, and have no goal."""
    return f"{count:,} {rest}"


def of_znodes(znodes: int, rest: str) -> str:
    return f"{znodes:,} znodes of 100 B: {rest}"


def disturbed(row: Row, what: str) -> str:
    return f"{row}, {what}"


def lock_row(library: str, rest: str) -> str:
    return f"Lock of {library}: {rest}"


UNCONFIRMED = "{library}, confirm=False"
"""The same recipe, whose holder does not wait for the answer to its release. Beside the others, and without a goal."""

TAKEN, HANDOVER_P50, HANDOVER_P99 = "take and give back, /s", "hand-over p50, ms", "hand-over p99, ms"
HANDOVER_MANY = "hand-over p50 with {many:,} contenders / with 10, ratio"

_SCALE = Scale()


def _throughput(operation: str, connections: int, window: int, unit: str, bound: float, value_bytes: int = 100) -> Goal:
    return Goal(f"{Row(operation, connections, window, value_bytes)}, {unit}", bound, at_least=unit == "/s")


def _absolute(row: str, bound: float, at_least: bool = False) -> Goal:
    return Goal(row, bound, at_least, against="")


def _kept(row: Row, what: str) -> Goal:
    return _absolute(f"{disturbed(row, what)}, {KEPT}", 0.9, at_least=True)


def _locks(library: str) -> tuple[Goal, ...]:
    return (
        Goal(lock_row(library, TAKEN), 2, True, theirs=lock_row(KAZOO, TAKEN)),
        Goal(lock_row(library, HANDOVER_P50), 0.5, False, theirs=lock_row(KAZOO, HANDOVER_P50)),
        Goal(lock_row(library, HANDOVER_P99), 0.5, False, theirs=lock_row(KAZOO, HANDOVER_P99)),
        _absolute(lock_row(library, HANDOVER_MANY.format(many=_SCALE.contenders)), 1.5),
    )


GOALS: tuple[Goal, ...] = (
    _throughput("set", 10, 100, "/s", 3.5),
    _throughput("set", 100, 100, "/s", 3.5),
    _throughput("create", 10, 100, "/s", 3),
    _throughput("get", 10, 100, "/s", 4),
    _throughput("mix", 30, 100, "/s", 2.5, value_bytes=1024),
    _throughput("set", 100, 1, "/s", 1.5),
    _throughput("set", 1, 1, "p50 ms", 1),
    _throughput("set", 1, 1, "p99 ms", 1),
    _throughput("get", 1, 1, "p50 ms", 0.7),
    _throughput("multi", 10, 20, "/s", 3),
    Goal(counted(_SCALE.watchers, LAST_EVENT), 0.5, at_least=False),
    _absolute(f"leader killed: {OUTAGE}", 100),
    _absolute(f"leader frozen: {OUTAGE}", 1_500),
    Goal(f"{disturbed(SMALL_ROWS[0], LONG_VALUES)}, p99 ms", 1, at_least=False),
    _kept(SLOW_FOLLOWER_ROW, FROZEN),
    _kept(SLOW_FOLLOWER_ROW, SLOWED),
    _kept(SLOW_DISK_ROWS[0], SLOW_DISK),
    _kept(SLOW_DISK_ROWS[0], SLOW_LEADER),
    _absolute(of_znodes(_SCALE.znodes, RESIDENT), 700),
    _absolute(of_znodes(_SCALE.znodes, STALL), 30),
    _absolute(of_znodes(_SCALE.znodes, RESTART), 6),
    _absolute(of_znodes(_SCALE.znodes, NEW_FOLLOWER), 10),
    _absolute(counted(_SCALE.sessions, IDLE_CPU), 10),
    _absolute(SETS_KEPT.format(many=_SCALE.znodes), 0.85, at_least=True),
    *(Goal(f"{row}, /s", 0.5, at_least=True, against=LIMIT) for row in LIMIT_ROWS),
    *(goal for library in LIBRARIES for goal in _locks(library)),
)
