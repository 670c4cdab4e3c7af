"""What a seed decides: which faults, when, for how long, and how the servers are set up.

A plan goes on for ever; a run performs as much of it as it has time for. The same seed makes the same plan, but not the
same run: what a fault meets is up to the clocks of real processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType

from coord.model.message import message

TOGETHER = (1, 1, 2, 2, 3, 4)
"""How many faults a round has: one of these."""
BEGINS_WITHIN_S = 2.0
SHORT_S, LONG_S = (0.05, 1.0), (1.0, 6.0)
"""How long a fault lasts: one of the two, before and after which servers give each other up."""
QUIET_S = (0.5, 3.0)

_SMALL = (
    *(
        "--segment-bytes",
        "131072",
        "--snapshot-after-bytes",
        "262144",
        "--snapshots-kept",
        "2",
        "--past-bytes-max",
        "0",
    ),
    *("--history-bytes-max", "32768"),
)
SETUPS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "as delivered": (),
        "logs dropped, snapshots taken and sent within seconds": _SMALL,
        "the same, and every write to the disk in a thread": (*_SMALL, "--write-inline-max-ms", "0"),
        "hasty elections": ("--heartbeat-ms", "50", "--leader-timeout-ms", "400", "--settle-ms", "0"),
    }
)
"""How all servers of a run are set up."""


@message
class Deed:
    """A fault that begins so long after its round does, with chance of its own."""

    fault: str
    begins_s: float
    lasts_s: float
    seed: int

    def __str__(self) -> str:
        return f"{self.fault} at {self.begins_s:.1f} s for {self.lasts_s:.1f} s"


@message
class Round:
    """Faults that overlap; then all is well for a while, and everyone has to get on."""

    deeds: tuple[Deed, ...]
    quiet_s: float

    def __str__(self) -> str:
        return ", ".join(map(str, self.deeds))


def setup(seed: int, small_disks: bool = False) -> str:
    """Which of SETUPS; on small disks one with small files, which alone fit and run out of room within seconds."""
    return Random(f"setup {seed}").choice(
        [name for name in SETUPS if SETUPS[name][:4] == _SMALL[:4] or not small_disks]
    )


def rounds(seed: int, faults: Sequence[str]) -> Iterator[Round]:
    """All faults in a new order, again and again, so that none is left to luck."""
    random = Random(f"plan {seed}")
    deck: list[str] = []
    while True:
        deeds = []
        for _ in range(random.choice(TOGETHER)):
            if not deck:
                deck = random.sample(faults, len(faults))
            begins_s, lasts_s = random.uniform(0, BEGINS_WITHIN_S), random.uniform(*random.choice((SHORT_S, LONG_S)))
            deeds.append(Deed(deck.pop(), begins_s, lasts_s, random.getrandbits(32)))
        yield Round(tuple(sorted(deeds, key=_beginning)), random.uniform(*QUIET_S))


def _beginning(deed: Deed) -> float:
    return deed.begins_s
