"""Who leads: the canvass, prepare and promise, step by step. Participants joined by lists, each story citing its trap
(RELIABILITY, section 2).
"""

import pytest

from coord.model.entries import zxid_of
from coord.paxos.canvass import Election
from coord.paxos.effects import SaveBallot
from coord.paxos.messages import (
    Canvass,
    Establish,
    History,
    Prepare,
    Promise,
    Refusal,
    Truncate,
)
from coord.paxos.participant import FOLLOWING, LEADING, LOOKING
from coord.paxos.quorum import Majority
from tests.paxos.protocol_group import (
    Group,
    all_durable,
    batch,
    canvass,
    ensemble,
    follower_of,
    inviting,
    log_of,
    make_participant,
    three,
)

# ---- phase 0: the canvass


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
    participant = inviting()
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
    leader = inviting()
    leader.receive(1, canvass(0, 0, choice=2, promised=1), 1.0)  # it has promised, and lost its way: it is asked again
    assert Prepare(1) in all_durable(leader)
    leader.receive(1, Promise(1, 0, 0, ()), 1.0)
    assert not any(isinstance(message, Establish) for message in all_durable(leader))
    leader.receive(1, Promise(1, 0, 0, ()), 1.0)
    assert [message for message in all_durable(leader) if isinstance(message, Establish)] == [Establish(1, 0, 77)]


def test_a_canvass_from_before_the_invitation_does_not_make_a_second_one() -> None:
    leader = inviting()
    leader.receive(1, canvass(0, 0, choice=2), 1.0)
    assert not any(isinstance(message, Prepare) for message in all_durable(leader))


def test_what_was_meant_for_a_broken_connection_does_not_leave_through_the_next() -> None:
    participant = follower_of(5)
    participant.disconnected(2, 0.0)
    participant.connected(2, 0.0)
    assert not any(isinstance(message, Promise) for message in all_durable(participant))


# ---- in networks that are not whole, T47


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


# ---- when a leader's term ends


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
