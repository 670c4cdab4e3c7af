"""Who a peer is, and whether its vote counts."""

from coord.codec.batch import encode_batch
from coord.codec.entries import encode_run
from coord.model.entries import Batch, Run, zxid_of
from coord.model.requests import RegisterServer
from coord.paxos.effects import Ballot
from coord.paxos.history import History
from coord.paxos.messages import Canvass
from coord.paxos.participant import LOOKING, PaxosSettings
from coord.replica.replica import PeerIdentity, Replica
from coord.replica.settings import ReplicaSettings
from coord.state.machine import Machine

RIGHTFUL, IMPOSTOR = 222, 999


def restarted_with_unapplied_registration() -> Replica:
    """Server 1 of three, whose log says who server 2 is, but not yet that this is committed."""
    body = encode_run(Run(0, 0, 0, 0, 0, (), (RegisterServer(2, RIGHTFUL, "server 2"),)))
    batch = Batch(1, zxid_of(1, 1), 1, 0, 1000, 0, 0, body)
    encode_batch(batch)
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
