"""The broadcast, step by step: participants joined by lists, each story citing its trap (RELIABILITY, section 2)."""

import pytest

from coord.model.entries import epoch_of, zxid_of
from coord.paxos.canvass import Election
from coord.paxos.effects import Append, InstallSnapshot, SaveBallot, SnapshotPart, TruncateLog
from coord.paxos.messages import (
    Accept,
    Accepted,
    AskBarrier,
    Canvass,
    Commit,
    Establish,
    Established,
    Forward,
    Heartbeat,
    HeartbeatReply,
    History,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
    Truncate,
)
from coord.paxos.participant import FOLLOWING, LEADING, LOOKING, OBSERVING, Participant
from coord.paxos.proposer import Limits
from coord.paxos.quorum import Majority
from tests.paxos.protocol_group import Group, batch, ensemble, log_of, make_participant


def three(**of_the_third: object) -> Group:
    """Server 3 leads epoch 1: among equals the highest id."""
    group = ensemble(make_participant(1), make_participant(2), make_participant(3, **of_the_third))  # type: ignore[arg-type]
    assert group[3].leads
    return group


def follower_of(epoch: int, **arguments: object) -> Participant:
    """Server 1, connected with server 2, which it has promised `epoch`; nothing is durable yet."""
    participant = make_participant(1, **arguments)  # type: ignore[arg-type]
    participant.connected(2, 0.0)
    participant.receive(2, Prepare(epoch), 0.0)
    return participant


def all_durable(participant: Participant) -> list[object]:
    """Take everything and let it be durable; all messages, in their order."""
    messages: list[object] = []
    while output := participant.take():
        messages += [message for _, message in output.send_now]
        messages += [message for _, message in output.send_when_durable]
        if output.serial:
            participant.durable(output.serial, 0.0)
    return messages


# ---- phase 0: the canvass


def canvass(accepted: int, last: int, *, choice: int = 0, priority: int = 0, leader: int = 0, **more: int) -> Canvass:
    return Canvass(
        more.get("promised", accepted), accepted, last, priority, choice, leader, 0, bool(more.get("voter", 1))
    )


@pytest.mark.parametrize(
    ("others", "best"),
    [
        ({2: canvass(4, 99), 3: canvass(5, 1)}, 3),  # the later accepted epoch, whatever the length of the log
        ({2: canvass(4, 11), 3: canvass(4, 10)}, 2),
        ({2: canvass(4, 10, priority=1), 3: canvass(4, 10)}, 2),
        ({2: canvass(4, 10), 3: canvass(4, 10)}, 3),
        ({2: canvass(4, 10), 3: canvass(9, 90, voter=0)}, 2),  # an observer is not elected, T42
        ({2: canvass(4, 10), 3: canvass(4, 99, leader=2)}, 2),  # who has a leader does not stand
    ],
)
def test_the_newest_history_is_chosen_then_priority_then_id_T43(others: dict[int, Canvass], best: int) -> None:
    election = Election(1, Majority({1, 2, 3}), 0.1)
    for peer, said in others.items():
        election.hear(peer, said, 0.0)
    election.choose(canvass(4, 9))
    assert election.choice == best


def test_a_chosen_server_waits_only_while_a_reachable_voter_has_not_chosen() -> None:
    election = Election(3, Majority({1, 2, 3}), 0.5)
    election.hear(1, canvass(0, 0, choice=3), 0.0)
    election.choose(canvass(0, 0))
    assert election.won(0.0, reachable=[1])
    assert not election.won(0.4, reachable=[1, 2])
    assert election.won(0.6, reachable=[1, 2])


def test_strangers_neither_stand_nor_support() -> None:
    election = Election(3, Majority({1, 2, 3}), 0.5)
    election.strangers = frozenset({2})
    election.hear(2, canvass(9, 9, choice=3), 0.0)
    election.choose(canvass(0, 0))
    assert election.choice == 3
    assert not election.won(9.0, reachable=[2])


def test_a_server_tells_what_its_disk_holds_and_not_what_it_hopes_for_I7() -> None:
    participant = follower_of(1)
    all_durable(participant)
    participant.receive(2, History(1, batch(1, 1, 0)), 0.0)
    participant.disconnected(2, 0.0)
    participant.connected(3, 0.0)
    output = participant.take()
    said = [message for _, message in output.send_now if isinstance(message, Canvass)][-1]
    assert (said.last, said.accepted) == (0, 0)
    participant.durable(output.serial, 0.0)
    said = [message for message in all_durable(participant) if isinstance(message, Canvass)][-1]
    assert said.last == zxid_of(1, 1)


def test_a_server_that_comes_late_joins_and_does_not_disturb_T47() -> None:
    group = ensemble(make_participant(1), make_participant(2))
    leader = group[2]
    assert leader.leads
    group.members[3] = make_participant(3)
    group.disks[3], group.steps[3] = group.disks[1].__class__(), []
    group.connect(3, 1)
    group.connect(3, 2)
    group.settle()
    assert group[3].role == FOLLOWING
    assert group[3].serving
    assert (leader.leads, leader.epoch) == (True, 1)


def test_a_server_invited_too_early_to_matter_asks_again_when_it_hears_of_the_leader() -> None:
    """Its one Canvass came while the leader had nothing to offer, and nothing changes that would make it say more."""
    follower = make_participant(3, log=log_of((1, 5)), accepted=1, promised=1)
    follower.connected(2, 0.0)
    all_durable(follower)
    follower.receive(2, Canvass(2, 2, zxid_of(1, 1), 0, 2, 2, 2, True), 0.0)
    assert any(isinstance(message, Canvass) and not message.leader for message in all_durable(follower))


# ---- phase 1: prepare and promise


def test_a_leader_asks_for_promises_only_after_its_own_is_durable_T1() -> None:
    group = Group(make_participant(1), make_participant(2))
    group.connect(1, 2)
    group.settle(syncing=False)
    group.settle(1.0, syncing=False)
    assert group[2].role == LEADING
    assert group.sent(Prepare) == []
    group.sync(2)
    assert group.sent(Prepare, 2, 1) == [Prepare(1)]


def test_a_promise_is_durable_before_it_is_told_T1() -> None:
    participant = follower_of(5)
    output = participant.take()
    assert [type(step) for step in output.steps] == [SaveBallot]
    assert [message for _, message in output.send_when_durable] == [Promise(5, 0, 0, ())]
    assert not any(isinstance(message, Promise) for _, message in output.send_now)


def test_an_older_epoch_and_another_leader_of_the_same_are_refused() -> None:
    participant = make_participant(1, promised=5, promised_to=3)
    for peer in (2, 3):
        participant.connected(peer, 0.0)
    participant.receive(2, Prepare(4), 0.0)
    participant.receive(2, Prepare(5), 0.0)
    assert [message for message in all_durable(participant) if isinstance(message, Refusal)] == [
        Refusal(4, 5),
        Refusal(5, 5),
    ]
    participant.receive(3, Prepare(5), 0.0)  # to whom the promise was given
    assert participant.leader == 3


def test_a_refusal_leads_to_a_higher_epoch() -> None:
    group = ensemble(make_participant(1, promised=7, promised_to=3), make_participant(2))
    assert group[2].leads
    assert group[2].epoch == 8  # the canvass told of the 7
    group.cut(1, 2)
    late = make_participant(3, promised=12, promised_to=3)
    group.members[3], group.disks[3], group.steps[3] = late, group.disks[1].__class__(), []
    group.connect(1, 2)
    group.connect(1, 3)
    group.connect(2, 3)
    group.settle()
    group.settle(1.0)
    leaders = [member for member in group.members.values() if member.leads]
    assert len(leaders) == 1
    assert leaders[0].epoch > 12


def test_a_newer_history_in_a_promise_makes_the_proposer_withdraw() -> None:
    participant = make_participant(2)
    participant.connected(1, 0.0)
    participant.receive(1, canvass(0, 0, choice=2), 0.0)
    participant.tick(1.0)
    all_durable(participant)
    assert participant.role == LEADING
    participant.receive(1, Promise(1, 1, zxid_of(1, 1), ((1, zxid_of(1, 1)),)), 1.0)
    assert participant.role == LOOKING


def test_a_follower_that_hears_its_leader_look_looks_too() -> None:
    participant = follower_of(5)
    all_durable(participant)
    participant.receive(2, canvass(0, 0), 0.0)
    assert participant.role == LOOKING


def test_a_proposer_waits_for_the_last_of_several_promises_of_one_server() -> None:
    """Two streams of history to one follower would cut off what it has acknowledged."""
    leader = make_participant(2, voters=3)
    leader.connected(1, 0.0)
    leader.receive(1, canvass(0, 0, choice=2), 0.0)
    leader.tick(1.0)
    all_durable(leader)
    leader.receive(1, canvass(0, 0, choice=2, promised=1), 1.0)  # it has promised, and lost its way: it is asked again
    assert Prepare(1) in all_durable(leader)
    leader.receive(1, Promise(1, 0, 0, ()), 1.0)
    assert not any(isinstance(message, Establish) for message in all_durable(leader))
    leader.receive(1, Promise(1, 0, 0, ()), 1.0)
    assert [message for message in all_durable(leader) if isinstance(message, Establish)] == [Establish(1, 0, 77)]


def test_a_canvass_from_before_the_invitation_does_not_make_a_second_one() -> None:
    leader = make_participant(2, voters=3)
    leader.connected(1, 0.0)
    leader.receive(1, canvass(0, 0, choice=2), 0.0)
    leader.tick(1.0)
    all_durable(leader)
    leader.receive(1, canvass(0, 0, choice=2), 1.0)
    assert not any(isinstance(message, Prepare) for message in all_durable(leader))


def test_what_was_meant_for_a_broken_connection_does_not_leave_through_the_next() -> None:
    participant = follower_of(5)
    participant.disconnected(2, 0.0)
    participant.connected(2, 0.0)
    assert not any(isinstance(message, Promise) for message in all_durable(participant))


# ---- phase 2: synchronize and establish


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
    leader = make_participant(2, log=log, accepted=1, promised=1)
    leader.connected(1, 0.0)
    leader.receive(1, canvass(0, 0, choice=2), 0.0)
    leader.tick(1.0)
    all_durable(leader)
    leader.receive(1, Promise(2, 0, 0, ()), 1.0)
    all_durable(leader)
    assert not leader.leads
    assert leader.log.commit == 0
    leader.receive(1, Established(2, log[-1].last), 1.0)
    assert leader.leads
    assert leader.log.commit == log[-1].last


def test_established_counts_only_for_who_was_sent_the_history() -> None:
    leader = make_participant(2, log=log_of((1, 3)), accepted=1, promised=1)
    leader.connected(1, 0.0)
    leader.receive(1, canvass(0, 0, choice=2), 0.0)
    leader.tick(1.0)
    all_durable(leader)
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


# ---- phase 3: broadcast


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
    group[3].propose(0, 0, 0)
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
    group[3].propose(0, 0, 0)
    group.take(3)
    assert group[3].log.last == 0


def test_only_a_server_with_an_established_leader_forwards_and_asks() -> None:
    participant = follower_of(5)
    assert not participant.forward(1, b"x")
    assert not participant.ask_barrier(1)


# ---- liveness and barriers


def test_a_leader_without_a_quorum_steps_down() -> None:
    group = three()
    group.cut(1, 3)
    group.settle(0.5)
    group.wires.pop((2, 3))  # what server 2 says is lost
    group.settle(1.0)
    assert group[3].leads
    group.settle(1.0)
    assert not group[3].leads
    assert group[3].role == LOOKING


def test_a_follower_gives_up_a_silent_leader_but_not_after_a_pause_of_its_own() -> None:
    group = three()
    group.wires.pop((3, 1))
    for _ in range(3):
        group.settle(0.5)
    assert group[1].role == LOOKING
    follower = three()[2]
    follower.tick(50.0)
    assert follower.role == FOLLOWING


def test_a_leader_that_hears_of_a_later_one_follows_it() -> None:
    group = three()
    group[3].receive(1, Canvass(9, 9, 0, 0, 0, 2, 9, True), group.now)
    assert group[3].role == LOOKING
    group = three()
    group[3].receive(1, Prepare(9), group.now)
    assert (group[3].leader, group[3].epoch) == (1, 9)


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


# ---- alone


def test_an_ensemble_of_one_needs_nobody_but_waits_for_its_disk_T27() -> None:
    group = Group(make_participant(1, voters=1))
    group.settle()
    assert group[1].leads
    assert group[1].forward(1, b"x")
    group[1].propose(0, 0, 0)
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
    group[3].propose(0, 0, 0)
    group.settle()
    assert [each.body for each in group[2].log.after(0) or ()] == [b"abc"]


# ---- elections in networks that are not whole, T47


def test_a_candidate_that_hangs_is_passed_over() -> None:
    """Connected, looking, newest, and silent: the others are a quorum without it."""
    group = Group(make_participant(1), make_participant(2))
    group.connect(1, 2)
    for server in (1, 2):
        group[server].connected(3, 0.0)
        group[server].receive(3, canvass(4, 50, choice=3), 0.0)
    for _ in range(6):
        group.settle(0.5)
    assert group[2].leads
    assert group[1].leader == 2


def test_who_has_passed_over_everybody_begins_anew_and_the_others_go_with_it() -> None:
    """Of five, 1 and 2 are down; 3, 4 and 5, cut off from one another for long, have come to stand for themselves."""
    group = Group(*[make_participant(server, 5) for server in (3, 4, 5)])
    for one, other in ((3, 4), (3, 5), (4, 5)):
        group.connect(one, other)
        group[one].take(), group[other].take()
    for wire in group.wires.values():
        wire.clear()  # nothing gets through: each has only these old words of the others
    for one, other in ((3, 4), (3, 5), (4, 5)):
        group[one].receive(other, canvass(0, 0, choice=other), 0.0)
        group[other].receive(one, canvass(0, 0, choice=one), 0.0)
    for now in (1.0, 2.0, 3.0, 4.0):
        for server, member in group.members.items():
            member.tick(now)
            group.take(server)
        for wire in group.wires.values():
            wire.clear()
    group.now = 4.0
    assert not any(member.leads for member in group.members.values())
    for _ in range(8):
        group.settle(0.5)
    assert group[5].leads
    assert [group[server].leader for server in (3, 4)] == [5, 5]


def test_who_was_passed_over_is_chosen_again_when_somebody_turns_to_it() -> None:
    election = Election(1, Majority({1, 2, 3}), 0.1)
    election.hear(2, canvass(0, 0, choice=2), 0.0)
    election.hear(3, canvass(0, 0, choice=3), 0.0)
    for choice in (3, 2, 1, 3):  # the last one since there is nobody left
        election.choose(canvass(0, 0))
        assert election.choice == choice
        election.pass_over(1.0)
    election.choose(canvass(0, 0))
    assert election.choice == 2
    election.hear(2, canvass(0, 0, choice=3), 2.0)
    election.choose(canvass(0, 0))
    assert election.choice == 3


def test_a_newer_history_that_no_quorum_can_reach_is_left_behind() -> None:
    """Of five, 1 has the newest log and reaches 2 only, and 5 is down: so 2, 3 and 4 are the quorum there is."""
    log = log_of((1, 3))
    kept = {1: 3, 2: 2, 3: 1, 4: 1}
    group = Group(
        *[make_participant(server, 5, log=log[:some], accepted=1, promised=1) for server, some in kept.items()]
    )
    for one, other in ((1, 2), (2, 3), (2, 4), (3, 4)):
        group.connect(one, other)
    for _ in range(8):
        group.settle(0.5)
    assert group[2].leads
    assert all(member.serving for member in group.members.values())
    assert {member.log.last for member in group.members.values()} == {log[1].last}
    assert group.sent(Truncate, 2, 1) == [Truncate(group[2].epoch, log[1].last)]


def test_who_acknowledges_what_was_never_proposed_is_hung_up_on_and_counts_for_nothing() -> None:
    group = three()
    group[3].receive(1, Accepted(1, zxid_of(1, 9), True), 0.0)
    group[3].receive(2, Established(1, zxid_of(1, 9)), 0.0)
    assert [peer for peer, _ in group[3].broken] == [1, 2]
    assert group[3].log.commit == 0
