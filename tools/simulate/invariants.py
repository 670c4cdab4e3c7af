"""What must hold after every event, one function each, of the server that the event touched.

Each is called with all servers, that server, and the output it is about to perform (None after an input). It raises
Violation, beginning with the invariant's number. More is checked where it happens: what a server says of its disk
(honesty.py), what the disk holds (kept.py), what is committed (ghost.py), what clients are told (clients.py), and
that all comes to rest (world.py).
"""

from collections.abc import Callable

from coord.codec.entries import decode_runs
from coord.model.entries import Batch
from coord.model.requests import CloseSession
from coord.paxos.effects import Append
from coord.paxos.messages import Accept
from coord.replica.ready import Ready
from coord.replica.replica import Replica
from tools.simulate.ghost import Violation
from tools.simulate.servers import SimulatedServer

Servers = dict[int, SimulatedServer]
Invariant = Callable[[Servers, SimulatedServer, Replica, Ready | None], None]


def check_all(servers: Servers, server: SimulatedServer, ready: Ready | None) -> None:
    replica = server.replica
    if replica is not None:
        for invariant in AFTER_OUTPUT if ready is not None else AFTER_INPUT:
            invariant(servers, server, replica, ready)


# ---- after every input and before every output


def promises_only_grow(servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None) -> None:
    """I1."""
    promised = replica.participant.ballot.promised
    if promised < server.seen.promised:
        raise Violation(f"I1: server {server.number} went back from its promise of epoch {server.seen.promised}")
    server.seen.promised = promised


def only_what_is_committed_is_applied(
    servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None
) -> None:
    """I6."""
    log = replica.participant.log
    if not replica.machine.zxid <= log.commit <= log.last:
        raise Violation(f"I6: server {server.number} has applied {replica.machine.zxid:#x}, its log is {log!r}")


def one_history_is_committed(servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None) -> None:
    """I8, and I3 for what is committed first: it is durable on a quorum of the voters that kept their disks."""
    log, ghost, seen = replica.participant.log, server.stage.ghost, server.seen
    if log.commit == seen.commit:
        return
    if log.commit < seen.commit:
        raise Violation(f"I6: the commit of server {server.number} went back from {seen.commit:#x}")
    for batch in log.after(seen.commit, log.commit) or ():
        if ghost.compare(server.number, batch):
            _check_quorum_holds(servers, server.voters, batch)
            ghost.extend(batch)
    if log.commit not in ghost.crcs:
        raise Violation(f"I8: server {server.number} commits up to {log.commit:#x}, which is nobody's")
    seen.commit = log.commit


def states_are_equal(servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None) -> None:
    """I9, I10; of a state that was read back from a snapshot, or received, the whole is looked at."""
    zxid, seen = replica.machine.zxid, server.seen
    if replica.machine is not seen.machine:
        seen.machine = replica.machine
        if zxid:
            server.stage.ghost.check_digest(server.number, zxid, replica.machine.digest)
            server.stage.ghost.check_state(server.number, replica.machine)
    if zxid == seen.applied:
        return
    if zxid < seen.applied:
        raise Violation(f"I9: the state of server {server.number} went back from {seen.applied:#x} to {zxid:#x}")
    server.stage.ghost.check_digest(server.number, zxid, replica.machine.digest)
    seen.applied = zxid


def leaders_are_rightful(servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None) -> None:
    """I11, I12, I9, I3: an epoch has one leader, who has all that was committed, and a quorum has accepted it."""
    participant = replica.participant
    if not participant.leads or participant.epoch == server.seen.leading:
        return
    ghost, log = server.stage.ghost, participant.log
    ghost.check_leader(participant.epoch, server.number, server.life)
    if server.former is not None:
        raise Violation(f"I12: server {server.number} leads epoch {participant.epoch}, its promises are lost")
    if server.number not in server.voters:
        raise Violation(f"I11: server {server.number} leads epoch {participant.epoch} and is an observer")
    batches = log.after(log.floor)
    assert batches is not None, "memory reaches back to its own floor"
    # One who slept may find itself established when a later epoch has long committed more: that is not its to know.
    before = ghost.last_before(participant.epoch)
    if log.last < before or (log.floor < before and all(batch.last != before for batch in batches)):
        raise Violation(f"I9: server {server.number} leads epoch {participant.epoch}, its log lacks {before:#x}")
    for batch in batches:
        if batch.last <= before and ghost.compare(server.number, batch):
            raise Violation(f"I9: server {server.number} leads with {batch.last:#x}, which is not the committed one")
    holders = [n for n in server.voters if servers[n].vouched.ballot.accepted >= participant.epoch]
    if len(holders) * 2 <= len(server.voters):
        raise Violation(f"I3: epoch {participant.epoch} is established, but durably accepted by {holders} only")
    server.seen.leading, server.seen.leading_since_s = participant.epoch, server.now
    server.seen.heard_s.clear()
    server.seen.overdue.clear()


# ---- before an output is performed


def leaders_know_what_came_before(
    servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None
) -> None:
    """I13p: when an epoch's leader broadcasts first, all that was ever committed in earlier ones is committed to it."""
    assert ready is not None, "this is asked of outputs"
    for _, message in ready.send_now:
        if isinstance(message, Accept) and message.epoch != server.seen.broadcast:
            server.seen.broadcast = message.epoch
            commit = replica.participant.log.commit
            if commit < server.stage.ghost.last_before(message.epoch):
                raise Violation(f"I13p: server {server.number} broadcasts in epoch {message.epoch} at {commit:#x}")


def leaders_hand_out_each_zxid_once(
    servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None
) -> None:
    """I12: a position of an epoch belongs to one batch, which its leader made."""
    assert ready is not None, "this is asked of outputs"
    ghost = server.stage.ghost
    for step in ready.steps:
        if isinstance(step, Append) and ghost.leaders.get(step.batch.epoch) == (server.number, server.life):
            ghost.propose(server.number, step.batch)


def sessions_expire_in_their_time(
    servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None
) -> None:
    """I17: a leader lets a session expire only after it has heard nothing of it for the whole timeout, on its clock."""
    assert ready is not None, "this is asked of outputs"
    if not replica.participant.leads:
        return
    epoch, sessions = replica.participant.epoch, server.stage.ghost.machine.sessions
    for step in ready.steps:
        if not isinstance(step, Append) or step.batch.epoch != epoch:
            continue
        for run in decode_runs(step.batch.body):
            if run.session:
                continue
            for request in run.requests:
                expired = isinstance(request, CloseSession) and request.expired and request.session
                if expired in sessions and expired not in server.seen.overdue:
                    raise Violation(f"I17: server {server.number} lets {expired:#x} expire before its time")


def who_is_spared_is_not_forgotten(
    servers: Servers, server: SimulatedServer, replica: Replica, ready: Ready | None
) -> None:
    """L5."""
    assert ready is not None, "this is asked of outputs"
    server.seen.spares.look(server.number, replica.participant._proposer, ready, server.stage.situations)


def _check_quorum_holds(servers: Servers, voters: frozenset[int], batch: Batch) -> None:
    holders = [number for number in voters if servers[number].vouched.holds(batch)]
    if len(holders) * 2 <= len(voters):
        raise Violation(f"I3: the batch {batch!r} is committed, but durable on the servers {holders} only")


AFTER_INPUT: list[Invariant] = [
    promises_only_grow,
    only_what_is_committed_is_applied,
    one_history_is_committed,
    states_are_equal,
    leaders_are_rightful,
]
AFTER_OUTPUT: list[Invariant] = [
    *AFTER_INPUT,
    leaders_know_what_came_before,
    leaders_hand_out_each_zxid_once,
    sessions_expire_in_their_time,
    who_is_spared_is_not_forgotten,
]
