"""Who a peer is, and whether its vote counts."""

import pytest

from coord.codec.batch import encode_batch
from coord.codec.entries import encode_run
from coord.model.entries import Batch, Run, zxid_of
from coord.model.requests import RegisterServer
from coord.paxos.effects import Ballot
from coord.paxos.history import History
from coord.paxos.messages import Canvass, Prepare
from coord.paxos.messages import History as HistoryMessage
from coord.paxos.participant import FOLLOWING, LOOKING, PaxosSettings
from coord.replica.replica import PeerIdentity, Replica
from coord.replica.settings import ReplicaSettings
from coord.state.machine import Machine

RIGHTFUL, IMPOSTOR = 222, 999


def registration() -> Batch:
    body = encode_run(Run(0, 0, 0, 0, 0, (), (RegisterServer(2, RIGHTFUL, "server 2"),)))
    batch = Batch(1, zxid_of(1, 1), 1, 0, 1000, 0, 0, body)
    encode_batch(batch)
    return batch


def restarted_with_unapplied_registration() -> Replica:
    """Server 1 of three, whose log says who server 2 is, but not yet that this is committed."""
    batch = registration()
    settings = ReplicaSettings(PaxosSettings(1, frozenset({1, 2, 3}), 5), incarnation=7, identity=111, description="")
    ballot = Ballot(1, 111, cluster=5, promised=1, promised_to=2, accepted=1)
    return Replica(settings, ballot, History(0, [batch], [(1, batch.last)], 0), Machine(), lambda bits: 1, 0.0)


def supported_by_2(identity: int) -> Replica:
    replica = restarted_with_unapplied_registration()
    replica.connected(2, PeerIdentity(identity, "server 2"), 0.0)
    said = Canvass(1, 0, 0, 0, choice=1, leader=0, epoch=0, voter=True)
    replica.receive(2, said, 0.0)
    replica.tick(1.0, 1000)
    return replica


def test_the_vote_of_who_the_log_knows_counts_before_anything_is_applied() -> None:
    assert supported_by_2(RIGHTFUL).participant.role != LOOKING


def test_a_replaced_folder_does_not_count_though_its_registration_is_only_logged_I12() -> None:
    assert supported_by_2(IMPOSTOR).participant.role == LOOKING


def all_durable(replica: Replica, now: float) -> None:
    while (ready := replica.take(now, 1000)) is not None:
        if ready.serial:
            replica.durable(ready.serial, now)


@pytest.mark.parametrize("breaks", [True, False], ids=["its connection breaks", "it falls silent"])
def test_a_replaced_folder_does_not_count_though_its_registration_came_after_it_I12(breaks: bool) -> None:
    settings = ReplicaSettings(PaxosSettings(1, frozenset({1, 2, 3}), 5), incarnation=7, identity=111, description="")
    replica = Replica(settings, Ballot(1, 111), History(0, [], [], 0), Machine(), lambda bits: 1, 0.0)
    replica.connected(2, PeerIdentity(IMPOSTOR, "server 2"), 0.0)
    replica.connected(3, PeerIdentity(333, "server 3"), 0.0)
    replica.receive(3, Prepare(1), 0.0)
    all_durable(replica, 0.0)
    replica.receive(3, HistoryMessage(1, registration()), 0.0)
    all_durable(replica, 0.0)
    assert replica.participant.log.durable == zxid_of(1, 1)
    if breaks:
        replica.disconnected(3, 0.1)
    for tenth in range(1, 30):
        replica.tick(tenth / 10, 1000)
        replica.receive(2, Canvass(1, 0, 0, 0, choice=1, leader=0, epoch=0, voter=True), tenth / 10)
        all_durable(replica, tenth / 10)
        assert replica.participant.role in (LOOKING, FOLLOWING)
    assert replica.participant.role == LOOKING
