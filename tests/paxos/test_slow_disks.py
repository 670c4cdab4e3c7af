"""A disk that stands still, or is slower than the others': what waits for it is bounded, and nobody else waits."""

from coord.model.entries import zxid_of
from coord.paxos.messages import Promise
from coord.paxos.participant import FOLLOWING, LOOKING
from coord.paxos.proposer import Limits
from tests.paxos.protocol_group import Group, ensemble, make_participant

OWED_MAX = 3
LIMITS = Limits(owed_bytes_max=OWED_MAX)


def three() -> Group:
    """Server 3 leads epoch 1; each batch is of one byte."""
    return ensemble(*(make_participant(server, limits=LIMITS) for server in (1, 2, 3)))


def propose_and_deliver(group: Group, slow: int, number: int = 1) -> None:
    """So many batches that reach everyone, and every disk but one."""
    for _ in range(number):
        group.propose(3)
        followers = [follower for follower in (1, 2) if (3, follower) in group.wires]
        for follower in followers:
            group.deliver(3, follower)
        for server in group.members:
            if server != slow:
                group.sync(server)
        for follower in followers:
            group.deliver(follower, 3)


def test_a_follower_takes_no_more_than_its_disk_may_owe() -> None:
    group = three()
    propose_and_deliver(group, slow=1, number=OWED_MAX)
    assert group[1].role == FOLLOWING
    propose_and_deliver(group, slow=1)
    assert group[1].role == LOOKING
    assert [(peer, "does not keep up: 4 bytes" in why) for peer, why in group[1].broken] == [(3, True)]
    assert group[3].log.commit == zxid_of(1, OWED_MAX + 1)  # the others do not wait for it


def test_a_follower_that_was_too_slow_promises_when_its_disk_has_all_and_gets_the_rest() -> None:
    group = three()
    propose_and_deliver(group, slow=1, number=OWED_MAX + 1)
    group.cut(1, 3)
    propose_and_deliver(group, slow=1, number=5)
    promises = len(group.sent(Promise, source=1))
    group.connect(1, 3)
    for _ in range(20):
        for server in (3, 1):
            group.take(server)
            group.deliver(server, 4 - server)
        group.sync(3)
        group.now += 0.5
        group[1].tick(group.now)
    assert group[1].leader == 3  # whose silence is no fault: it waits for the promise
    assert len(group.sent(Promise, source=1)) == promises
    assert group[1].log.last == zxid_of(1, OWED_MAX + 1)
    group.settle()
    assert group[1].log.durable == group[1].log.commit == zxid_of(1, OWED_MAX + 6)
    assert group[1].leader == 3


def test_a_leader_whose_disk_is_too_slow_gives_way_and_nothing_is_lost() -> None:
    group = three()
    propose_and_deliver(group, slow=3, number=OWED_MAX)
    assert group[3].leads
    group.propose(3)
    assert group[3].role == LOOKING
    assert any("does not keep up" in note for note in group[3].notes)
    for _ in range(8):
        for one, other in list(group.wires):
            group.deliver(one, other)
        for server in (1, 2):
            group.sync(server)
        group.now += 0.2
        for server in (1, 2):
            group[server].tick(group.now)
            group.take(server)
    assert group[2].leads
    assert group[2].log.commit == zxid_of(1, OWED_MAX + 1)
    assert group[3].log.durable == 0
    group.settle()
    assert group[3].leader == 2
    assert group[3].log.durable == group[3].log.commit == zxid_of(1, OWED_MAX + 1)


def test_a_leader_that_needs_its_own_disk_waits_for_it() -> None:
    """What is not committed is bounded by itself: an ensemble of one has nobody to give way to."""
    limits = Limits(batch_bytes_max=1, uncommitted_bytes_max=OWED_MAX - 1, owed_bytes_max=OWED_MAX)
    group = ensemble(make_participant(1, voters=1, limits=limits))
    group.propose(1, 20)
    group.propose(1, 20)
    assert group[1].leads
    while group[1].log.commit < zxid_of(1, 40):
        group.settle()
        group.propose(1, 0)
    assert group[1].leads


def test_what_a_disk_owes_is_counted_down_as_it_becomes_durable() -> None:
    group = three()
    for _ in range(10):
        propose_and_deliver(group, slow=0, number=OWED_MAX)
    assert [group[server]._durable.owed_bytes for server in group.members] == [0, 0, 0]
    assert group[3].leads
