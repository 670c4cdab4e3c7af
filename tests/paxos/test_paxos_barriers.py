"""Heartbeats and barriers: who is alive, and what a leader may still answer for; each story cites its trap."""

from coord.model.entries import zxid_of
from coord.paxos.messages import (
    AskBarrier,
    Heartbeat,
    HeartbeatReply,
    Prepare,
)
from tests.paxos.protocol_group import Group, three


def barrier_group() -> Group:
    group = three()
    group.propose(3)
    group.settle()
    group.said.clear()
    return group


def test_a_barrier_needs_a_round_that_began_after_it_was_asked_T37_T38() -> None:
    group = barrier_group()
    leader = group[3]
    group.now += 0.2
    leader.tick(group.now)
    group.take(3)  # a heartbeat is on its way
    (before,) = {message.round for message in group.sent(Heartbeat)}  # type: ignore[attr-defined]
    leader.ask_barrier(1)
    group.take(3)
    leader.receive(1, HeartbeatReply(1, before, ()), group.now)
    assert leader.take_barriers() == []
    leader.receive(1, HeartbeatReply(1, before + 1, ()), group.now)
    assert leader.take_barriers() == [(1, zxid_of(1, 1))]


def test_barriers_that_come_during_a_round_share_the_next_T38() -> None:
    group = barrier_group()
    leader = group[3]
    leader.ask_barrier(1)
    group.take(3)
    first = leader._proposer.round
    leader.ask_barrier(2)
    leader.ask_barrier(3)
    leader.receive(1, HeartbeatReply(1, first, ()), group.now)
    assert [ticket for ticket, _ in leader.take_barriers()] == [1]
    group.take(3)
    leader.receive(1, HeartbeatReply(1, first + 1, ()), group.now)
    assert [ticket for ticket, _ in leader.take_barriers()] == [2, 3]


def test_a_barrier_is_not_below_what_a_follower_may_have_committed_by_itself() -> None:
    group = barrier_group()
    group.propose(3)
    group.sync(3)  # the followers are told that only their own disks lack
    for follower in (1, 2):
        group.deliver(3, follower)
    group.sync(1)
    assert group[1].log.commit == zxid_of(1, 2)
    group.cut(1, 3)  # nor does its acknowledgement come
    assert group[2].ask_barrier(7)
    group.take(2)
    for one, other in ((2, 3), (3, 2), (2, 3), (3, 2)):
        group.deliver(one, other)
    assert group[3].log.commit == zxid_of(1, 1)
    assert group[2].take_barriers() == [(7, zxid_of(1, 2))]


def test_an_answer_to_a_heartbeat_that_was_never_sent_breaks_the_connection_and_passes_no_barrier_T38() -> None:
    group = barrier_group()
    leader = group[3]
    leader.receive(1, HeartbeatReply(leader.epoch, 1 << 50, ()), group.now)
    assert [peer for peer, _ in leader.broken] == [1]
    assert leader.ask_barrier(1)
    group.take(3)
    assert leader.take_barriers() == []


def test_a_barrier_asked_by_a_follower_comes_back_to_it() -> None:
    group = barrier_group()
    assert group[1].ask_barrier(5)
    group.settle()
    assert group[1].take_barriers() == [(5, zxid_of(1, 1))]


def test_a_leader_that_was_superseded_answers_no_barrier_T37() -> None:
    """Its followers have promised a later epoch, so none of them answers a heartbeat of this one."""
    group = barrier_group()
    for follower in (1, 2):
        group[follower].receive(3 - follower, Prepare(9), group.now)
    group[3].ask_barrier(1)
    group.take(3)
    for follower in (1, 2):
        group.deliver(3, follower)
        group.deliver(follower, 3)
    assert group[3].take_barriers() == []


def test_a_barrier_of_a_connection_that_is_gone_is_forgotten_T38() -> None:
    """The server at its other end may be a new process, whose tickets begin anew."""
    group = barrier_group()
    group[3].receive(1, AskBarrier(1, 7), group.now)
    group[3].take()
    group.cut(1, 3)
    group.connect(1, 3)
    group.said.clear()
    group.settle()
    assert [message for message in group.sent(HeartbeatReply)] == []
    group.settle(0.2)
    assert [type(message).__name__ for message in group.sent(object) if type(message).__name__ == "Barrier"] == []


def test_strangers_do_not_prove_that_a_leader_leads_I12() -> None:
    group = barrier_group()
    group[3].set_strangers(frozenset({1, 2}))
    group[3].ask_barrier(1)
    group.settle()
    assert group[3].take_barriers() == []


def test_a_heartbeats_answer_carries_the_sessions_heard() -> None:
    group = three()
    group[1].touched_here = lambda: (11, 12)
    group.settle(0.2)
    assert sorted(group[3].take_touched()) == [11, 12]
    assert group[3].take_touched() == []


def test_a_leader_that_answers_a_barrier_has_heard_of_the_sessions_heard_before_it() -> None:
    group = three()
    group[1].touched_here = lambda: (11, 12)
    group[1].ask_barrier(1)
    group[1].touched_here = lambda: ()
    group.settle()
    assert [ticket for ticket, _ in group[1].take_barriers()] == [1]
    assert group[3].take_touched() == [11, 12]
