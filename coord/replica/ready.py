"""The one output of a replica. The order of its fields is the order in which they may be done.

So "durable before sent" is in the shape of the value and not in the driver's care: `send_now` (a leader's batches leave
while it writes its own), then `steps`, and only when those are durable `send_when_durable`; what clients are told
stands last.
"""

from dataclasses import dataclass, field

from coord.paxos.durable import FetchRequest, StreamRequest
from coord.paxos.effects import Step
from coord.paxos.messages import Message
from coord.replica.latencies import Answered


@dataclass(slots=True)
class Ready:
    """What the driver is to do now. A peer or connection that is gone by then is simply skipped."""

    send_now: list[tuple[int, Message]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    send_when_durable: list[tuple[int, Message]] = field(default_factory=list)
    serial: int = 0  # give it back to `durable` when the steps are; 0: nothing to wait for
    stream: list[StreamRequest] = field(default_factory=list)
    fetches: list[FetchRequest] = field(default_factory=list)  # batches that another server has lost
    break_peers: list[tuple[int, str]] = field(default_factory=list)  # (peer, why)
    deliver: list[tuple[int, bytes]] = field(default_factory=list)  # (connection, frames), events and replies in order
    hang_up: list[tuple[int, str]] = field(default_factory=list)  # (connection, why), after what is delivered
    last: bool = False  # nothing more is to be done before the next input
    answered: list[Answered] = field(default_factory=list)  # whose answers are in `deliver`: how long that took
    notes: list[str] = field(default_factory=list)  # sentences for the operator
