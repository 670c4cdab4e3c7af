"""A follower as its leader sees it."""

from dataclasses import dataclass

from coord.model.message import message
from coord.paxos.messages import Promise


@dataclass(slots=True)
class Progress:
    """From its promise on. `match` counts for commits only once the follower has established the epoch."""

    promise: Promise
    heard_s: float  # when it last answered
    streaming: bool = False  # the driver is sending it log or snapshot
    replicating: bool = False  # it gets each new batch as it is proposed
    established: bool = False
    match: int = 0  # zxid up to which its log is durable and equals ours
    attended: bool = True  # it has clients, who want to see each commit at once
    forwarded: int = 0  # the last zxid of what it forwarded
    told: int = 0  # up to here it was told what is committed, or will be as soon as it is durable there
    round: int = 0  # the last heartbeat round it answered


@message
class Lag:
    """How far a server that follows is behind its leader, by what it has acknowledged as durable."""

    server: int
    entries: int
    ms: int  # since the oldest batch that it lacks was proposed; 0: it lacks none
