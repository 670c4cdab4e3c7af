"""The one output of a replica. The order of its fields is the order in which they may be done.

So "durable before sent" is in the shape of the value and not in the driver's care: `send_now` (a leader's batches leave
while it writes its own), then `steps`, and only when those are durable `send_when_durable`; what clients are told
stands last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from coord.paxos.durable import FetchRequest, Output, StreamRequest
from coord.paxos.effects import Step
from coord.paxos.messages import Message
from coord.replica.latencies import Answered


@dataclass(slots=True)
class Ready:
    """What the driver is to do now. A peer or connection that is gone by then is simply skipped."""

    send_now: Sequence[tuple[int, Message]] = ()
    steps: Sequence[Step] = ()
    send_when_durable: Sequence[tuple[int, Message]] = ()
    serial: int = 0  # give it back to `durable` when the steps are; 0: nothing to wait for
    stream: Sequence[StreamRequest] = ()
    fetches: Sequence[FetchRequest] = ()  # batches that another server has lost
    break_peers: Sequence[tuple[int, str]] = ()  # (peer, why)
    deliver: Sequence[tuple[int, bytes]] = ()  # (connection, frames), events and replies in order
    hang_up: Sequence[tuple[int, str]] = ()  # (connection, why), after what is delivered
    last: bool = False  # nothing more is to be done before the next input
    answered: Sequence[Answered] = ()  # whose answers are in `deliver`: how long that took
    notes: Sequence[str] = ()  # sentences for the operator

    def of_protocol(self, output: Output) -> None:
        """Take over what the broadcast wants done."""
        self.send_now, self.steps, self.send_when_durable = output.send_now, output.steps, output.send_when_durable
        self.serial, self.stream, self.fetches = output.serial, output.stream, output.fetches
