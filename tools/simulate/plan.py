"""What a seed draws for its whole run: the size of the ensemble, how much it keeps, and how hard it is hit."""

from dataclasses import dataclass
from random import Random

from coord.paxos.proposer import Limits
from coord.storage.store import StoreSettings

QUICK_S = (0.0, 0.002)
"""How long a good disk takes for a write."""

CLIENTS_MAX = 4
PAST_BYTES = 6000
"""With so many clients an ensemble also keeps that much of the past, which nobody needs but who looks back."""


@dataclass(slots=True)
class Plan:
    """Half of the seeds have windows so tiny that history is sent in every way there is."""

    voters: int
    observers: int
    clients: int
    faults_s: float  # how long faults go on
    fault_every_s: float
    limits: Limits
    history_bytes_max: int
    snapshot_after_bytes: int
    store: StoreSettings
    delay_s: float  # of a message, at most
    latency_s: tuple[float, float]  # of a write to the disk
    walk_s: float  # between two pieces of a snapshot that is being taken, at most
    near_limits: bool  # the ensemble has lived for long, and its numbers are near their ends
    drift: float  # how much faster or slower a monotonic clock may run

    @classmethod
    def draw(cls, rng: Random) -> "Plan":
        tiny = rng.random() < 0.5
        plan = cls(
            voters=rng.choice((1, 3, 3, 3, 3, 5, 5, 7)),
            observers=rng.choice((0, 0, 0, 1)),
            clients=rng.randint(1, CLIENTS_MAX),
            faults_s=rng.uniform(3, 9),
            fault_every_s=rng.choice((0.06, 0.2, 0.5, 1.0)),
            limits=Limits(
                batch_bytes_max=rng.choice((1, 200, 1 << 20)),
                gathered_bytes=rng.choice((0, 0, 300, 16 << 10)),
                uncommitted_bytes_max=(uncommitted := rng.choice((200, 1 << 20))),
                owed_bytes_max=2 * uncommitted + 1000,
                memory_diff_bytes_max=rng.choice((0, 300, 3000)) if tiny else 1 << 20,
                counter_max=rng.choice((160, 300)) if rng.random() < 0.3 else (1 << 40) - 1,
            ),
            history_bytes_max=rng.choice((0, 400, 2000)) if tiny else 1 << 20,
            snapshot_after_bytes=rng.choice((500, 500, 3000)) if tiny else rng.choice((3000, 1 << 20)),
            store=StoreSettings(
                segment_bytes=rng.choice((700, 700, 3000)) if tiny else 1 << 16,
                snapshots_kept=rng.choice((1, 1, 1, 2, 3)),
            ),
            delay_s=rng.choice((0.001, 0.01, 0.06)),
            latency_s=rng.choice((QUICK_S, (0.0, 0.02), (0.01, 0.1))),
            walk_s=rng.choice((0.01, 0.02, 0.2)),
            near_limits=rng.random() < 0.1,
            drift=rng.choice((0.0, 0.0, 0.02, 0.2)),
        )
        if plan.clients == CLIENTS_MAX:
            plan.store.past_bytes_max = PAST_BYTES
        return plan
