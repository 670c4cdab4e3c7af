"""What a server says of itself is true of its disk at that moment (I3, I7): asked of each message as it leaves.

And what a leader answers is true of the whole ensemble (I14).
"""

from collections.abc import Callable, Mapping
from typing import Any

from coord.paxos.messages import Accepted, Barrier, Canvass, Established, Message, Prepare, Promise
from tools.simulate.ghost import Violation
from tools.simulate.kept import Durable


def check_said_now(server: int, message: Canvass, durable: Durable) -> None:
    """I7: a canvass may leave at once, so it tells of nothing that is still on its way to the disk."""
    last = max(durable.last, durable.ballot.suspect)
    if message.accepted > durable.ballot.accepted or message.last > last or message.whole > (last == durable.last):
        raise Violation(f"I7: server {server} says {message}, its disk has {durable}")


def check_said_when_durable(server: int, peer: int, message: Message, durable: Durable) -> None:
    """I3: what leaves only when it is durable is then true of the disk."""
    honest = HONEST.get(type(message))
    if honest is None:
        raise Violation(f"I3: {message} need not wait for the disk")
    if not honest(server, peer, message, durable):
        raise Violation(f"I3: server {server} sends {message}, its disk has {durable}")


def check_barrier(server: int, message: Barrier, epoch: int, asked: Mapping[int, int]) -> None:
    """I14: what a leader answers is not below what anybody had committed when it was asked. `asked`: by ticket."""
    committed = asked.get(message.ticket, 0)
    if message.epoch == epoch and message.zxid < committed:
        raise Violation(f"I14: server {server} gets {message}, but {committed:#x} was committed when it asked")


def _prepare(server: int, peer: int, message: Prepare, durable: Durable) -> bool:
    ballot = durable.ballot
    return (ballot.promised, ballot.promised_to) == (message.epoch, server) or ballot.promised > message.epoch


def _promise(server: int, peer: int, message: Promise, durable: Durable) -> bool:
    ballot = durable.ballot
    if ballot.promised > message.epoch:
        return True  # said late, and true when it was asked
    claimed = max(durable.last, ballot.suspect)
    return (ballot.promised, ballot.promised_to, ballot.accepted, durable.last, claimed) == (
        message.epoch, peer, message.accepted, message.last, message.claimed,
    )  # fmt: skip


def _established(server: int, peer: int, message: Established, durable: Durable) -> bool:
    return durable.ballot.accepted == message.epoch and durable.last >= message.last


def _accepted(server: int, peer: int, message: Accepted, durable: Durable) -> bool:
    return durable.ballot.accepted == message.epoch and durable.last >= message.zxid


HONEST: dict[type, Callable[[int, int, Any, Durable], bool]] = {
    Prepare: _prepare,
    Promise: _promise,
    Established: _established,
    Accepted: _accepted,
}
