"""How a server is brought to the history of an epoch (phase 2), step by step, each story citing its trap."""

from coord.model.entries import zxid_of
from coord.paxos.effects import Append, InstallSnapshot, SaveBallot, SnapshotPart, TruncateLog
from coord.paxos.messages import (
    Accept,
    Commit,
    Establish,
    Established,
    Heartbeat,
    History,
    NeedSnapshot,
    Prepare,
    Promise,
    SnapshotChunk,
    Truncate,
)
from coord.paxos.participant import LOOKING
from coord.paxos.proposer import Limits
from tests.paxos.protocol_group import (
    Group,
    all_durable,
    batch,
    follower_of,
    inviting,
    log_of,
    make_participant,
    three,
)


def test_history_then_accepted_then_established_T2_T3() -> None:
    participant = follower_of(5)
    all_durable(participant)
    first = batch(1, 1, 0)
    participant.receive(2, History(5, first), 0.0)
    participant.receive(2, Establish(5, first.last, 77), 0.0)
    output = participant.take()
    assert [type(step) for step in output.steps] == [Append, SaveBallot]
    assert [message for _, message in output.send_when_durable] == [Established(5, first.last)]
    saved = output.steps[-1]
    assert isinstance(saved, SaveBallot)
    assert (saved.ballot.accepted, saved.ballot.cluster) == (5, 77)


def test_a_server_with_an_empty_log_forgets_the_ensemble_of_a_leader_that_came_to_nothing() -> None:
    """Else a part of the next leader's history would be taken for the first one's (found by simulated seed 400152)."""
    participant = follower_of(5)
    participant.receive(2, Establish(5, 0, 77), 0.0)
    all_durable(participant)
    assert participant.ballot.cluster == 77
    participant.connected(3, 0.0)
    participant.receive(3, Prepare(6), 0.0)
    participant.receive(3, History(6, batch(6, 1, 0)), 0.0)
    assert (participant.log.last, participant.ballot.cluster) == (zxid_of(6, 1), 0)
    participant.receive(3, Establish(6, zxid_of(6, 1), 88), 0.0)
    participant.receive(2, Prepare(7), 0.0)
    assert participant.ballot.cluster == 88


def test_an_establish_that_does_not_fit_breaks_the_connection_T7() -> None:
    participant = follower_of(5)
    all_durable(participant)
    participant.receive(2, Establish(5, zxid_of(1, 9), 77), 0.0)
    assert [peer for peer, _ in participant.broken] == [2]
    assert participant.role == LOOKING


def test_a_history_with_a_gap_breaks_the_connection_T8() -> None:
    participant = follower_of(5)
    all_durable(participant)
    participant.receive(2, History(5, batch(1, 2, zxid_of(1, 1))), 0.0)
    assert [peer for peer, _ in participant.broken] == [2]


def test_history_that_came_before_is_passed_over_T6() -> None:
    log = log_of((1, 3))
    participant = follower_of(5, log=log)
    all_durable(participant)
    for each in log:
        participant.receive(2, History(5, each), 0.0)
    participant.receive(2, Establish(5, log[-1].last, 77), 0.0)
    assert participant.broken == []
    assert participant.log.last == log[-1].last


def test_an_accept_before_establish_breaks_the_connection_T4() -> None:
    participant = follower_of(5)
    all_durable(participant)
    participant.receive(2, Accept(5, 0, 0, batch(5, 1, 0)), 0.0)
    assert [peer for peer, _ in participant.broken] == [2]


def test_nothing_is_cut_after_it_was_acknowledged_with_established() -> None:
    log = log_of((1, 3))
    participant = follower_of(5, log=log)
    participant.receive(2, Establish(5, log[-1].last, 77), 0.0)
    participant.receive(2, Truncate(5, log[0].last), 0.0)
    assert [peer for peer, _ in participant.broken] == [2]
    assert participant.log.last == log[-1].last


def test_messages_of_another_epoch_or_from_another_server_are_ignored() -> None:
    participant = follower_of(5, voters=5)
    participant.connected(3, 0.0)
    all_durable(participant)
    for peer, epoch in ((2, 4), (2, 6), (3, 5)):
        participant.receive(peer, History(epoch, batch(1, 1, 0)), 0.0)
        participant.receive(peer, Establish(epoch, 0, 77), 0.0)
        participant.receive(peer, Heartbeat(epoch, 0, 1), 0.0)
    assert all_durable(participant) == []
    assert participant.log.last == 0


def test_a_server_does_not_cut_below_what_it_knows_to_be_committed_T12() -> None:
    log = log_of((1, 4))
    participant = follower_of(5, log=log, commit=log[2].last)
    all_durable(participant)
    participant.receive(2, Truncate(5, log[1].last), 0.0)
    output = participant.take()
    assert [message for _, message in output.send_now] == [NeedSnapshot(5)]
    assert output.steps == []
    assert participant.log.last == log[3].last


def test_a_tail_nobody_else_has_is_cut_and_replaced() -> None:
    common = log_of((1, 2))
    lost = [*common, batch(1, 3, common[-1].last)]
    won = [*common, batch(2, 1, common[-1].last)]
    group = Group(
        make_participant(1, log=lost, accepted=1, promised=1),
        make_participant(2, log=won, accepted=2, promised=2),
        make_participant(3, log=won, accepted=2, promised=2),
    )
    for one, other in ((1, 2), (1, 3), (2, 3)):
        group.connect(one, other)
    group.settle()
    group.settle(1.0)
    assert group.sent(Truncate) == [Truncate(3, common[-1].last)]
    assert TruncateLog(common[-1].last) in group.steps[1]
    assert {member.log.last for member in group.members.values()} == {won[-1].last}
    assert all(member.log.commit == won[-1].last for member in group.members.values())


def test_what_was_under_way_to_the_disk_and_then_cut_is_not_durable_T46() -> None:
    """An append's completion must not be taken for that of what stands in its place now."""
    log = log_of((1, 1))
    participant = follower_of(5, log=log)
    all_durable(participant)
    participant.receive(2, History(5, batch(1, 2, log[0].last)), 0.0)
    first = participant.take()
    participant.receive(2, Truncate(5, log[0].last), 0.0)
    participant.receive(2, History(5, batch(2, 1, log[0].last)), 0.0)
    second = participant.take()
    participant.durable(first.serial, 0.0)
    assert participant.log.durable == log[0].last
    participant.durable(second.serial, 0.0)
    assert participant.log.durable == zxid_of(2, 1)


def test_the_initial_history_is_committed_as_a_whole_and_by_established_only_T44() -> None:
    log = log_of((1, 3))
    group = Group(make_participant(1), make_participant(2), make_participant(3, log=log, accepted=1, promised=1))
    for one, other in ((1, 2), (1, 3), (2, 3)):
        group.connect(one, other)
    group.settle()
    group.now = 1.0
    leader = group[3]
    for server in (1, 2):
        group.take(server)
    assert leader.leads
    assert leader.log.commit == log[-1].last
    assert group.sent(Commit, 3, 1)[0] == Commit(2, log[-1].last, log[-1].last)


def test_a_promise_alone_commits_nothing() -> None:
    log = log_of((1, 3))
    leader = inviting(log=log, accepted=1, promised=1)
    leader.receive(1, Promise(2, 0, 0, ()), 1.0)
    all_durable(leader)
    assert not leader.leads
    assert leader.log.commit == 0
    leader.receive(1, Established(2, log[-1].last), 1.0)
    assert leader.leads
    assert leader.log.commit == log[-1].last


def test_established_counts_only_for_who_was_sent_the_history() -> None:
    leader = inviting(log=log_of((1, 3)), accepted=1, promised=1)
    leader.receive(1, Established(2, zxid_of(1, 3)), 1.0)
    all_durable(leader)
    assert not leader.leads


def test_a_follower_far_behind_is_streamed_and_then_goes_on_from_memory() -> None:
    log = log_of((1, 6))
    limits = Limits(memory_diff_bytes_max=2, gathered_bytes=0)
    group = Group(make_participant(1), make_participant(2, log=log, accepted=1, promised=1, limits=limits))
    group.connect(1, 2)
    group.settle()
    group.settle(1.0)
    ((server, request),) = group.streams
    assert (server, request.peer, request.after, request.snapshot) == (2, 1, 0, False)
    assert group.sent(Establish) == []
    for each in log[:4]:
        group._post(2, 1, History(request.epoch, each))
    group[2].streamed(1, request.epoch, log[3].last, group.now)
    group.settle()
    assert group.sent(Establish, 2, 1) == [Establish(2, log[-1].last, 77)]
    assert group[1].serving
    assert group[1].log.commit == log[-1].last


def test_a_follower_is_not_counted_while_it_is_streamed() -> None:
    group = Group(
        make_participant(1),
        make_participant(
            2, log=log_of((1, 6)), accepted=1, promised=1, limits=Limits(memory_diff_bytes_max=2, gathered_bytes=0)
        ),
    )
    group.connect(1, 2)
    group.settle()
    group.settle(1.0)
    assert not group[2].leads
    assert group[2].log.commit == 0


def test_a_leader_that_does_not_know_where_logs_part_sends_a_snapshot_and_cuts_nothing_T12() -> None:
    """The follower may be one of the few that hold what was committed: its log must stay until it has the snapshot."""
    leader = make_participant(2, accepted=3, promised=3)
    leader.log.reset(zxid_of(3, 1))
    leader.log.durable = zxid_of(3, 1)
    group = Group(make_participant(1, log=log_of((1, 4)), accepted=1, promised=1), leader)
    group.connect(1, 2)
    group.settle()
    group.settle(1.0)
    ((_, request),) = group.streams
    assert request.snapshot
    assert group.sent(Truncate) == []
    assert group[1].log.last == zxid_of(1, 4)


def test_a_snapshot_replaces_the_log_when_it_is_whole() -> None:
    log = log_of((1, 4))
    participant = follower_of(5, log=log, commit=log[1].last)
    all_durable(participant)
    at = zxid_of(3, 9)
    participant.receive(2, SnapshotChunk(5, at, 0, False, b"one"), 0.0)
    assert participant.log.last == log[3].last
    participant.receive(2, SnapshotChunk(5, at, 1, True, b"two"), 0.0)
    participant.receive(2, Establish(5, at, 77), 0.0)
    output = participant.take()
    assert [type(step) for step in output.steps] == [SnapshotPart, SnapshotPart, InstallSnapshot, SaveBallot]
    assert (participant.log.last, participant.log.commit, participant.log.floor) == (at, at, at)
    assert participant.broken == []


def test_a_snapshot_with_a_part_missing_or_too_old_breaks_the_connection_T10_T29() -> None:
    log = log_of((1, 4))
    for chunks in (
        [SnapshotChunk(5, zxid_of(3, 9), 1, False, b"")],
        [SnapshotChunk(5, zxid_of(3, 9), 0, False, b""), SnapshotChunk(5, zxid_of(3, 9), 2, True, b"")],
        [SnapshotChunk(5, log[0].last, 0, True, b"")],
    ):
        participant = follower_of(5, log=log, commit=log[2].last)
        for chunk in chunks:
            participant.receive(2, chunk, 0.0)
        assert [peer for peer, _ in participant.broken] == [2]
        assert participant.log.last == log[3].last


def test_a_follower_that_lost_its_connection_joins_the_same_epoch_again() -> None:
    group = three()
    group.propose(3, 2)
    group.settle()
    group.cut(1, 3)
    group.propose(3, 2)
    group.settle()
    service = group[1].service
    group.connect(1, 3)
    group.settle()
    assert (group[1].leader, group[1].epoch, group[3].epoch) == (3, 1, 1)
    assert group[1].service == service + 1  # what it forwarded is looked through
    assert group[1].log.commit == group[3].log.last == zxid_of(1, 4)
