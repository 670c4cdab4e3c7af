"""How batches are proposed, acknowledged and committed (phase 3), step by step, each story citing its trap."""

import pytest

from coord.model.entries import epoch_of, zxid_of
from coord.paxos.messages import (
    Accept,
    Accepted,
    Commit,
    Established,
    Forward,
)
from coord.paxos.participant import OBSERVING
from coord.paxos.proposer import Limits
from tests.paxos.protocol_group import Group, ensemble, follower_of, make_participant, three


def test_a_batch_goes_out_at_once_and_is_counted_when_durable_T27() -> None:
    group = three()
    group.propose(3)
    assert len(group.sent(Accept)) == 2
    for follower in (1, 2):
        group.deliver(3, follower)
    assert group.sent(Accepted) == []
    assert group[3].log.commit == 0
    group.sync(1)
    group.deliver(1, 3)
    assert group[3].log.commit == 0  # the leader's own copy is not durable, so it does not count
    group.sync(3)
    assert group[3].log.commit == zxid_of(1, 1)


def test_a_quorum_without_the_leaders_disk_commits() -> None:
    group = three()
    group.propose(3)
    for follower in (1, 2):
        group.deliver(3, follower)
        group.sync(follower)
        group.deliver(follower, 3)
    assert (group[3].log.commit, group[3].log.durable) == (zxid_of(1, 1), 0)


def test_a_follower_whose_own_disk_was_all_that_lacked_commits_by_itself() -> None:
    group = three()
    group.propose(3)
    group.deliver(3, 1)
    group.sync(1)
    assert group[1].log.commit == 0  # for all it knows it is alone
    group.sync(3)
    group.deliver(3, 1)
    assert group[1].log.commit == zxid_of(1, 1)
    assert group[3].log.commit == 0  # which has not heard of it yet
    group.settle()
    assert group.sent(Commit, 3, 1)[-1] == Commit(1, 0, zxid_of(1, 1))  # once is enough


def test_what_is_not_durable_here_is_not_committed_by_word_that_others_have_it() -> None:
    group = three()
    group.propose(3)
    group.sync(3)
    group.deliver(3, 1)
    group.propose(3)
    group.sync(3)
    group.deliver(3, 1)
    assert group.sent(Commit, 3, 1)[-1] == Commit(1, 0, zxid_of(1, 2))
    assert group[1].log.commit == 0
    group.sync(1)
    assert group[1].log.commit == zxid_of(1, 2)


def test_of_five_a_follower_commits_by_itself_when_two_others_have_it() -> None:
    group = ensemble(*(make_participant(server, 5) for server in range(1, 6)))
    group.propose(5)
    group.sync(5)
    group.deliver(5, 1)
    group.sync(1)
    assert group.sent(Commit, 5)[-1].zxid == 0
    assert all(message.with_you == 0 for message in group.sent(Commit, 5))
    group.deliver(1, 5)
    assert group.sent(Commit, 5, 2)[-1] == Commit(1, 0, zxid_of(1, 1))
    assert group.sent(Commit, 5, 1)[-1].with_you == 0  # only one other has it
    group.deliver(5, 2)
    group.sync(2)
    assert group[2].log.commit == zxid_of(1, 1)


def test_a_follower_with_a_late_disk_is_told_what_is_committed_without_it() -> None:
    group = three()

    def write(late_s: float) -> int:
        """What server 1 has committed when all others are done, and its own disk is not."""
        group.propose(3)
        for other in (3, 2):
            group.deliver(3, other) if other != 3 else group.sync(3)
        group.deliver(3, 1)
        group.sync(2)
        group.deliver(2, 3)
        group.deliver(3, 1)
        committed = group[1].log.commit
        group.now += late_s
        group.sync(1)
        group.deliver(1, 3)
        return committed

    assert write(0.05) == 0  # it may yet come to it by itself
    assert write(0.0) == zxid_of(1, 2)
    assert write(0.0) == zxid_of(1, 2)  # it is quick again


@pytest.mark.parametrize("observes", [True, False], ids=["an observer", "a stranger"])
def test_whose_vote_does_not_count_commits_nothing_by_itself_T42_I12(observes: bool) -> None:
    voters = 3 if observes else 5
    group = ensemble(*(make_participant(server, voters) for server in range(1, 6)))
    leader, who = (3, 5) if observes else (5, 4)
    if not observes:
        group[leader].set_strangers(frozenset({who}))
    needed = 1 if observes else 2
    group.propose(leader)
    group.sync(leader)
    for server in range(1, needed):
        group.deliver(leader, server)
        group.sync(server)
        group.deliver(server, leader)
    group.deliver(leader, who)
    group.sync(who)
    assert (group[who].log.durable, group[who].log.commit) == (zxid_of(1, 1), 0)
    group.deliver(leader, needed)
    group.sync(needed)
    assert group[needed].log.commit == zxid_of(1, 1)  # its vote was all that lacked
    group.deliver(needed, leader)
    group.deliver(leader, who)
    assert group[who].log.commit == zxid_of(1, 1)


def test_word_of_a_commit_where_no_batch_ends_breaks_the_connection() -> None:
    group = three()
    group.propose(3, 2)
    group.deliver(3, 1)
    group[1].receive(3, Commit(1, 0, zxid_of(1, 1)), group.now)
    assert [peer for peer, _ in group[1].broken] == [3]


def test_observers_and_strangers_never_count_T42_I12() -> None:
    group = ensemble(make_participant(1), make_participant(2), make_participant(3), make_participant(4))
    assert group[4].role == OBSERVING
    assert group[4].serving
    group.cut(1, 3)
    group.propose(3)
    group.deliver(3, 4)
    group.sync(4)
    group.deliver(4, 3)
    group.sync(3)
    assert group[3].log.commit == 0
    group[3].set_strangers(frozenset({2}))
    group.deliver(3, 2)
    group.sync(2)
    group.deliver(2, 3)
    assert group[3].log.commit == 0
    group[3].set_strangers(frozenset())
    assert group[3].log.commit == zxid_of(1, 1)


def test_many_batches_are_under_way_and_one_acknowledgement_covers_them() -> None:
    group = three()
    for _ in range(3):
        group.propose(3)
    group.deliver(3, 1)
    group.sync(1)
    assert [message for message in group.sent(Accepted, 1)] == [Accepted(1, zxid_of(1, 3), True)]


def test_a_server_without_clients_learns_of_a_commit_with_what_comes_next() -> None:
    group = three()
    group[1].attended_here = lambda: False
    group.propose(3)
    group.settle()  # the first acknowledgement tells the leader
    group.said.clear()
    group.propose(3)
    group.settle()
    assert group.sent(Commit, 3, 1) == []
    assert group.sent(Commit, 3, 2) == [Commit(1, zxid_of(1, 1), zxid_of(1, 2))]
    assert group[1].log.commit == zxid_of(1, 1)
    group.settle(0.2)  # a heartbeat
    assert group[1].log.commit == zxid_of(1, 2)


def test_a_server_whose_own_request_is_committed_is_told_at_once() -> None:
    group = three()
    group[1].attended_here = lambda: False
    group.propose(3)
    group.settle()
    assert group[1].forward(1, b"x")
    group.take(1)
    group.deliver(1, 3)
    group.propose(3, 0)
    group.settle()
    assert group[1].log.commit == group[3].log.last == zxid_of(1, 2)


def test_a_commit_rides_on_the_next_batch_and_is_sent_alone_only_when_idle() -> None:
    group = three()
    group.said.clear()
    group.propose(3)
    group.settle()
    assert group.sent(Commit, 3, 1) == [Commit(1, 0, zxid_of(1, 1))]
    group.said.clear()
    group.propose(3)
    for follower in (1, 2):
        group.deliver(3, follower)
        group.sync(follower)
    for follower in (1, 2):
        wire = group.wires[follower, 3]
        while wire:
            group[3].receive(follower, wire.popleft(), group.now)
    group.propose(3)
    accept = group.sent(Accept, 3, 1)[-1]
    assert isinstance(accept, Accept)
    assert accept.commit == zxid_of(1, 2)
    assert group.sent(Commit) == []


def test_a_few_wait_for_the_batch_under_way_and_go_together_then() -> None:
    group = three(limits=Limits(gathered_bytes=3))
    group.propose(3)
    group.propose(3)
    group.propose(3)
    assert group[3].log.last == zxid_of(1, 1)
    group.settle()
    group.propose(3, 0)
    group.settle()
    assert group[3].log.commit == zxid_of(1, 3)
    assert [message.batch.count for message in group.sent(Accept, 3, 1)] == [1, 2]  # type: ignore[attr-defined]


def test_many_do_not_wait_for_the_batch_under_way() -> None:
    group = three(limits=Limits(gathered_bytes=3))
    group.propose(3)
    group.propose(3, 2)
    assert group[3].log.last == zxid_of(1, 1)
    group.propose(3)
    assert group[3].log.last == zxid_of(1, 4)


def test_more_than_the_limit_is_not_under_way_at_once() -> None:
    group = three(limits=Limits(uncommitted_bytes_max=3, batch_bytes_max=1, gathered_bytes=0))
    group.propose(3, 20)
    assert group[3].log.last == zxid_of(1, 4)
    group.settle()
    group.propose(3, 1)
    group.settle()
    while group[3].log.commit < group[3].log.last or group[3].log.last < zxid_of(1, 21):
        group.propose(3, 0)
        group.settle()
    assert group[1].log.commit == zxid_of(1, 21)


def test_a_counter_near_its_end_starts_a_new_epoch_and_loses_no_forward_T20() -> None:
    group = three(limits=Limits(counter_max=4, gathered_bytes=0))
    group.propose(3, 3)
    group.settle()
    service = {server: member.service for server, member in group.members.items()}
    assert group[3].forward(2, b"xx")  # would end at 5
    group[3].propose(0, 0, 0, 0.0)
    assert not group[3].leads
    group.settle()
    assert group[3].leads
    assert group[3].epoch == 2
    assert all(member.serving and member.epoch == 2 for member in group.members.values())
    # Everyone is told by a new service to forward again what the history lacks.
    assert all(member.service == service[server] + 1 for server, member in group.members.items())
    group.propose(3, 2)
    group.settle()
    assert group[1].log.commit == zxid_of(2, 2)
    assert group[1].log.ends == ((1, zxid_of(1, 3)), (2, zxid_of(2, 2)))


def test_a_forward_of_a_connection_that_is_gone_is_not_proposed() -> None:
    """The follower forwards it again through the next one, and would do it twice."""
    group = three()
    assert group[1].forward(1, b"x")
    group.take(1)
    group.deliver(1, 3)
    group.cut(1, 3)
    group[3].propose(0, 0, 0, 0.0)
    group.take(3)
    assert group[3].log.last == 0


def test_only_a_server_with_an_established_leader_forwards_and_asks() -> None:
    participant = follower_of(5)
    assert not participant.forward(1, b"x")
    assert not participant.ask_barrier(1)


def test_who_acknowledges_what_was_never_proposed_is_hung_up_on_and_counts_for_nothing() -> None:
    group = three()
    group[3].receive(1, Accepted(1, zxid_of(1, 9), True), 0.0)
    group[3].receive(2, Established(1, zxid_of(1, 9)), 0.0)
    assert [peer for peer, _ in group[3].broken] == [1, 2]
    assert group[3].log.commit == 0


# ---- alone


def test_an_ensemble_of_one_needs_nobody_but_waits_for_its_disk_T27() -> None:
    group = Group(make_participant(1, voters=1))
    group.settle()
    assert group[1].leads
    assert group[1].forward(1, b"x")
    group[1].propose(0, 0, 0, 0.0)
    group.take(1)
    assert group[1].log.commit == 0
    group.sync(1)
    assert group[1].log.commit == zxid_of(1, 1)
    group[1].ask_barrier(1)
    group.take(1)
    assert group[1].take_barriers() == [(1, zxid_of(1, 1))]


def test_a_restarted_leader_takes_a_new_epoch() -> None:
    group = Group(make_participant(1, voters=1, promised=4, promised_to=1, accepted=4))
    group.settle()
    assert group[1].epoch == 5
    assert epoch_of(zxid_of(5, 1)) == 5


def test_forwards_reach_the_leader_in_the_order_in_which_they_were_given() -> None:
    group = three()
    for body in (b"a", b"b", b"c"):
        assert group[1].forward(1, body)
    group.take(1)
    assert [message.runs for message in group.sent(Forward, 1, 3)] == [b"a", b"b", b"c"]  # type: ignore[attr-defined]
    group.deliver(1, 3)
    group[3].propose(0, 0, 0, 0.0)
    group.settle()
    assert [each.body for each in group[2].log.after(0) or ()] == [b"abc"]


def uneven() -> Group:
    """Server 3 leads; of what it proposed last server 2 alone has told that it is durable there."""
    group = three()
    group[1].attended_here = lambda: False
    group.propose(3)
    group.settle()  # so that it is known that server 1 has no clients
    group.propose(3)
    group[3].tick(group.now)  # so that server 1 is spared nothing
    group.take(3)
    group.deliver(3, 2)
    group.sync(2)
    group.deliver(2, 3)
    return group


def test_who_forwards_is_told_at_once_what_is_committed_with_it_though_it_had_no_clients_before() -> None:
    group = uneven()
    alone = group[3].log.last
    assert group[3].log.commit < alone
    before = len(group.sent(Commit, 3, 1))
    assert group[1].forward(1, b"x")
    group.take(1)
    group.wires[3, 1].clear()
    while group.wires[1, 3]:
        group[3].receive(1, group.wires[1, 3].popleft(), group.now)
    group[3].propose(0, 0, 0, 0.0)
    group.take(3)
    told = group.sent(Commit, 3, 1)[before:]
    assert [(each.zxid < alone, each.with_you) for each in told] == [(True, alone)]  # type: ignore[attr-defined]


def test_what_was_acknowledged_through_a_connection_that_is_gone_does_not_count_for_others() -> None:
    group = uneven()
    commit = group[3].log.commit
    group.cut(2, 3)
    group.propose(3)
    accept = group.sent(Accept, 3, 1)[-1]
    assert accept.with_you == commit  # type: ignore[attr-defined]
