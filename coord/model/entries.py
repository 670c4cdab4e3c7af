"""What is replicated: entries, gathered in runs by their session and in batches by the leader.

A *run* holds consecutive writes of one session, as one server took them from one connection in one go; what
they have in common is said once. A *batch* is a list of runs under one header: the unit of the log and of
the broadcast. Each entry takes one zxid, so a batch of n entries covers the zxids first .. first + n - 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from coord.model.acl import Identity
from coord.model.message import message
from coord.model.requests import Write

COUNTER_BITS = 40
"""A zxid is epoch << 40 | counter: ten years at 3,000 writes a second in one epoch, and 8 million epochs."""


def zxid_of(epoch: int, counter: int) -> int:
    """The log position `counter` of `epoch`; counters start at 1."""
    return epoch << COUNTER_BITS | counter


def epoch_of(zxid: int) -> int:
    return zxid >> COUNTER_BITS


def counter_of(zxid: int) -> int:
    return zxid & (1 << COUNTER_BITS) - 1


@message
class Run:
    """Consecutive writes of one session.

    `origin` and `incarnation` name the process that took them (0, 0: the leader itself, for expiry and
    reaping), `sequence` numbers the first of them among all that process forwarded: by these a run is
    recognised after a leader change and never applied twice. `number` is the client's own number of the first
    request, the others follow it one by one; 0 where the protocol has none. `acked` is the last number whose reply
    the client is known to have got: what was kept up to it may go.
    """

    origin: int
    incarnation: int
    sequence: int
    session: int
    number: int
    identities: tuple[Identity, ...]
    requests: tuple[Write, ...]
    acked: int = 0


@dataclass(slots=True)
class Batch:
    """Entries under one header. The leader makes it, `encoded` is written and sent as it stands by everyone."""

    epoch: int
    first: int  # zxid of the first entry
    count: int  # entries, at least 1
    previous: int  # zxid of the last entry before this batch, of whatever epoch: the log has no holes
    time_ms: int  # the leader's wall clock, never going back
    digest_zxid: int  # up to here the leader had applied, so everything up to here is committed
    digest: int  # of its state there
    unencoded: bytes  # the runs, until they are in `encoded`; a second copy of the log's end would cost memory
    encoded: bytes = field(default=b"", repr=False)  # header and body as they go to log and network
    body_at: int = field(default=0, repr=False)  # where in `encoded` the body begins
    read: Sequence[Run] = field(default=(), repr=False, compare=False)  # the runs, where they were read to be proposed
    last: int = field(init=False, repr=False)  # zxid of the last entry
    memory_bytes: int = field(init=False, repr=False, compare=False)  # about: its body, encoded or not yet

    def __post_init__(self) -> None:
        self.last = self.first + self.count - 1
        self.memory_bytes = len(self.encoded) - self.body_at + len(self.unencoded)

    @property
    def body(self) -> bytes:
        """The runs, one after the other. A copy: not to be asked for twice."""
        return self.encoded[self.body_at :] if self.body_at else self.unencoded
