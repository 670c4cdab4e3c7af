"""What a replica is told at its start."""

from dataclasses import dataclass

from coord.paxos.participant import PaxosSettings


@dataclass(slots=True)
class ReplicaSettings:
    """What a replica is told beside the ensemble's timeouts. Times in seconds unless the name says otherwise."""

    paxos: PaxosSettings
    incarnation: int  # of this process, drawn at its start
    identity: int  # of this server, drawn at its first start
    description: str  # for the ensemble's operator: where this server is
    session_timeout_min_ms: int = 1000
    session_timeout_max_ms: int = 60000
    history_bytes_max: int = 64 << 20
    apply_entries_max: int = 2_000  # in one turn; then peers and disk get theirs
    reap_interval_s: float = 60.0
    container_never_used_s: float = 300.0
    reaped_at_once_max: int = 10_000
    super_digest: str = ""
    watch_window_bytes: int = 16 << 20
    frame_bytes_max: int = (1 << 20) - 1  # of a client's request, as its door has it
    answer_bytes_max: int = 14 << 20  # of coord's own protocol: a longer answer is refused with an error
