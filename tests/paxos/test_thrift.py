"""Who is spared a batch, until when, and what does not hang on it."""

from collections.abc import Sequence

import pytest

from coord.model.entries import Batch, zxid_of
from coord.paxos.messages import Accept, Accepted, Barrier, Commit, Heartbeat, Message, Promise
from coord.paxos.progress import LATE_S, Pace, Progress
from coord.paxos.proposer import Limits
from coord.paxos.quorum import Majority
from coord.paxos.thrift import GENEROUS_BATCHES, GENEROUS_S, HELD_BATCHES_MAX, HELD_BYTES_MAX, Thrift
from tests.paxos.protocol_group import Group, batch, ensemble, make_participant

TICK_S = 0.05


def thrifty(voters: int = 3, *, observers: int = 0, attended: Sequence[int] = (), counter_max: int = 99) -> Group:
    """The highest voter leads; all follow it, and it is known that none but `attended` has clients."""
    servers = range(1, voters + observers + 1)
    limits = Limits(gathered_bytes=0, counter_max=counter_max)
    group = ensemble(*[make_participant(server, voters, limits=limits) for server in servers])
    assert group[voters].leads
    for server in servers:
        group[server].attended_here = lambda here=server in attended: here  # type: ignore[misc]
    group.propose(voters)
    group.move()
    group.propose(voters)  # with this one they learn that it is committed
    group.move()
    group.settle(TICK_S)
    group.said.clear()
    return group


def accepts(group: Group, leader: int = 3) -> dict[int, list[int]]:
    """The counters of the batches that were sent, by server."""
    sent: dict[int, list[int]] = {server: [] for server in group.members if server != leader}
    for _, peer, message in group.said:
        if isinstance(message, Accept):
            sent[peer].append(message.batch.last & 0xFFFF)
    return sent


def tick(group: Group, leader: int = 3, passed_s: float = TICK_S) -> None:
    group.now += passed_s
    group[leader].tick(group.now)
    group.take(leader)


def last_to(group: Group, peer: int) -> Message:
    return [message for _, target, message in group.said if target == peer][-1]


# ---- who is spared, and how it gets what it was spared


def test_of_two_followers_without_clients_one_gets_a_small_batch_at_once_and_the_other_with_the_next_tick() -> None:
    group = thrifty()
    group.propose(3)
    assert accepts(group) == {1: [3], 2: []}
    group.move()
    assert group[3].log.commit == zxid_of(1, 3)
    tick(group)
    assert accepts(group) == {1: [3], 2: [3]}
    group.move()
    assert group[2].log.commit == zxid_of(1, 3)  # which came with it


def test_of_two_who_are_not_late_the_quicker_is_relied_on() -> None:
    group = thrifty()
    group.propose(3)
    group.now += LATE_S / 2  # server 1 takes so long
    group.move()
    tick(group)
    group.move()  # server 2 no time at all
    group.propose(3)
    assert accepts(group) == {1: [3], 2: [3, 4]}


def test_what_a_spare_gets_later_it_gets_in_order_and_with_what_is_committed_by_then() -> None:
    group = thrifty()
    for _ in range(3):
        group.propose(3)
        group.move()
    tick(group)
    assert accepts(group)[2] == [3, 4, 5]
    said = [message for _, peer, message in group.said if peer == 2 and isinstance(message, Accept)]
    assert {(each.commit, each.with_you) for each in said} == {(zxid_of(1, 5), zxid_of(1, 5))}


def test_who_has_clients_is_never_spared_and_makes_the_quorum_with_the_leader() -> None:
    group = thrifty(attended=[2])
    group.propose(3)
    assert accepts(group) == {1: [], 2: [3]}


def test_nobody_is_spared_where_all_have_clients() -> None:
    group = thrifty(attended=[1, 2])
    group.propose(3)
    assert accepts(group) == {1: [3], 2: [3]}


def test_who_forwarded_it_gets_it_at_once_and_all_that_it_was_spared_before() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    assert group[2].forward(1, b"x")
    group.take(2)
    group.deliver(2, 3)
    group[3].propose(0, 0, 0, group.now)
    group.take(3)
    assert accepts(group)[2] == [3, 4]


def test_who_has_got_clients_is_spared_nothing_as_soon_as_that_is_known() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    group[2].attended_here = lambda: True
    tick(group)
    group.move()
    group.propose(3)
    assert accepts(group)[2] == [3, 4]


def test_it_is_told_of_no_commit_before_it_was_sent_what_was_held_back() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    group[3].receive(2, Accepted(1, zxid_of(1, 2), True), group.now)  # it has clients, and says so a moment too early
    group.take(3)
    assert [type(message) for _, peer, message in group.said if peer == 2] == [Accept, Commit]
    group.move()
    assert group[2].log.commit == zxid_of(1, 3)


def test_a_heartbeat_comes_after_what_was_held_back() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    group[3]._proposer.heartbeat()  # type: ignore[union-attr]
    group.take(3)
    kinds = [type(message) for _, peer, message in group.said if peer == 2]
    assert kinds == [Accept, Heartbeat]


def test_no_more_is_held_back_than_so_many_batches() -> None:
    group = thrifty()
    for _ in range(HELD_BATCHES_MAX):
        group.propose(3)
        group.move()
    assert accepts(group)[2] == []
    group.propose(3)
    assert len(accepts(group)[2]) == HELD_BATCHES_MAX + 1


def test_no_more_is_held_back_than_so_many_bytes_and_no_large_batch() -> None:
    group = thrifty()
    group.propose(3, body=bytes(HELD_BYTES_MAX // 2))
    group.move()
    assert accepts(group)[2] == []
    group.propose(3, body=bytes(HELD_BYTES_MAX // 2 + 1))
    assert accepts(group)[2] == [3, 4]
    group.move()
    group.propose(3, body=bytes(HELD_BYTES_MAX + 1))
    assert accepts(group)[2] == [3, 4, 5]


# ---- a quorum is there without them


def test_of_five_two_are_spared_and_of_three_with_an_observer_both_it_and_a_voter() -> None:
    group = thrifty(5)
    group.propose(5)
    assert accepts(group, 5) == {1: [3], 2: [3], 3: [], 4: []}
    group = thrifty(3, observers=1)
    group.propose(3)
    assert accepts(group) == {1: [3], 2: [], 4: []}


def test_when_a_voter_is_lost_the_others_get_at_once_what_they_were_spared_and_are_relied_on() -> None:
    group = thrifty()
    group.propose(3)
    group.cut(1, 3)
    group.take(3)
    assert accepts(group)[2] == [3]
    group.move()
    assert group[3].log.commit == zxid_of(1, 3)
    group.propose(3)
    assert accepts(group)[2] == [3, 4]


def test_when_a_voter_stands_still_a_commit_waits_for_a_tick_at_most_and_no_second_one_does() -> None:
    group = thrifty()
    group.propose(3)  # nothing of it comes to server 1, nor of anything after it
    group.sync(3)
    tick(group)
    assert accepts(group)[2] == [3]
    group.deliver(3, 2)
    group.sync(2)
    group.deliver(2, 3)
    assert group[3].log.commit == zxid_of(1, 3)
    group.now += 2 * GENEROUS_S
    for _ in range(GENEROUS_BATCHES + 2):
        group.propose(3)
        group.sync(3)
        group.deliver(3, 2)
        group.sync(2)
        group.deliver(2, 3)
    assert len(accepts(group)[2]) == GENEROUS_BATCHES + 3
    assert group[3].log.commit == group[3].log.last


def test_a_stranger_or_who_lags_behind_is_not_relied_on() -> None:
    group = thrifty()
    group[3].set_strangers(frozenset({1}))
    group.propose(3)
    assert accepts(group) == {1: [], 2: [3]}
    group = thrifty()
    group[3]._proposer.progress[1].match -= 1  # type: ignore[union-attr]
    group.propose(3)
    assert accepts(group) == {1: [], 2: [3]}


def test_where_the_leaders_own_disk_is_behind_it_takes_both_followers() -> None:
    group = thrifty()
    group[3].log.durable -= 1
    group.propose(3)
    assert accepts(group) == {1: [3], 2: [3]}


@pytest.mark.parametrize("passed_s", [0.0, 2 * GENEROUS_S])
def test_after_a_late_commit_nobody_is_spared_for_so_long_and_for_so_many_batches(passed_s: float) -> None:
    group = thrifty()
    group.propose(3)
    group.now += 2 * LATE_S
    group.move()
    assert group[3].log.commit == zxid_of(1, 3)
    group.now += passed_s
    for _ in range(GENEROUS_BATCHES):
        group.propose(3)
        group.move()
    assert accepts(group)[2][-1] == GENEROUS_BATCHES + 3
    group.propose(3)
    got = sorted(sent[-1] - GENEROUS_BATCHES for sent in accepts(group).values())
    assert got == ([3, 4] if passed_s else [4, 4])
    group.move()
    group.now += 2 * GENEROUS_S
    before = accepts(group)[1]
    group.propose(3)
    assert accepts(group)[1] == before  # it was the slower one


def test_a_batch_that_is_late_counts_as_soon_as_the_next_one_is_proposed() -> None:
    group = thrifty()
    group.propose(3)
    group.now += 2 * LATE_S
    group.propose(3)
    assert accepts(group)[2] == [3, 4]


# ---- who is late with what is committed is not relied on

VOTERS = Majority({1, 2, 3})


def progress_of(match: int, *, late: bool = False, attended: bool = False) -> Progress:
    progress = Progress(Promise(1, 1, 0, ()), 0.0, replicating=True, established=True, match=match, attended=attended)
    progress.pace.late = late
    return progress


def spares(*receivers: Progress, own: int = 9, own_late: bool = False) -> set[int]:
    thrift = Thrift(3, VOTERS)
    thrift.pace.late = own_late
    one = batch(1, 10, zxid_of(1, 9))
    return set(thrift.spares(one, list(enumerate(receivers, 1)), frozenset(), 9, own, 0.0))


@pytest.mark.parametrize(
    ("one", "two", "own_late", "spared"),
    [
        (progress_of(9), progress_of(9), False, {2}),
        (progress_of(9, late=True), progress_of(9), False, {1}),
        (progress_of(9, late=True), progress_of(9, late=True), False, set()),
        (progress_of(9), progress_of(9), True, set()),
        (progress_of(9, late=True, attended=True), progress_of(9), False, set()),
        (progress_of(9, attended=True), progress_of(9), False, {2}),
        (progress_of(8), progress_of(9), False, {1}),
        (progress_of(9), progress_of(10), False, {1}),
        (progress_of(8, attended=True), progress_of(8), False, set()),
    ],
)
def test_relied_on_is_who_has_what_is_committed_and_was_not_late_with_it(
    one: Progress, two: Progress, own_late: bool, spared: set[int]
) -> None:
    assert spares(one, two, own_late=own_late) == spared


def test_pace_is_late_until_it_is_in_time_again() -> None:
    pace = Pace()
    pace.note(0, 1, 0.0)
    pace.note(0, 2, LATE_S)
    assert not pace.late
    pace.note(2, 2, 2 * LATE_S)
    assert pace.late
    pace.note(2, 2, 3 * LATE_S)
    assert pace.late  # nothing more was committed since
    pace.note(3, 3, 4 * LATE_S)
    assert not pace.late
    pace.note(3, 4, 5 * LATE_S)
    pace.note(4, 4, 5.5 * LATE_S)
    assert not pace.late


@pytest.mark.parametrize("slow", [1, 3])
def test_a_slow_disk_be_it_the_leaders_makes_one_write_wait_and_is_not_relied_on_again(slow: int) -> None:
    group = thrifty()
    at_once: list[bool] = []
    for _ in range(3 * GENEROUS_BATCHES):
        group.propose(3)
        for server in group.members:
            if server not in (3, slow):
                group.deliver(3, server)
            if server != slow:
                group.sync(server)
        for follower in (1, 2):
            group.deliver(follower, 3)
        at_once.append(group[3].log.commit == group[3].log.last)
        for passed_s in (0.0, GENEROUS_S):
            tick(group, passed_s=passed_s)  # with which comes what was held back
            group.now += 4 * LATE_S
            group.move()
    assert at_once == [False] + [True] * (len(at_once) - 1)
    assert accepts(group)[1 if slow == 3 else 2] == [*range(3, len(at_once) + 3)]


def test_nobody_is_late_with_what_was_held_back_from_it() -> None:
    group = thrifty()
    for _ in range(3):
        group.propose(3)
        group.move()
        group.now += 4 * LATE_S
    tick(group)
    group.move()
    progress = group[3]._proposer.progress[2]  # type: ignore[union-attr]
    assert progress.match == group[3].log.last
    assert not progress.pace.late


def test_it_is_late_with_what_it_has_still_to_acknowledge_of_what_it_was_sent() -> None:
    progress = progress_of(1)
    progress.note_commit(2, 0.0)
    progress.hold(batch(1, 3, 2))
    progress.match = 2
    progress.note_commit(zxid_of(1, 3), 2 * LATE_S)
    assert progress.pace.late


# ---- barriers


def test_who_asks_for_a_barrier_while_batches_are_held_back_from_it_gets_them_before_the_answer() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    assert group[2].ask_barrier(7)
    group.take(2)
    group.deliver(2, 3)
    assert accepts(group)[2] == [3]
    group.propose(3)  # while the round is under way
    group.sync(3)
    group[3].receive(1, Accepted(1, zxid_of(1, 4), False), group.now)
    assert group[3].log.commit == zxid_of(1, 4)
    assert accepts(group)[2] == [3]
    group.deliver(3, 1)
    group.deliver(1, 3)
    assert accepts(group)[2] == [3, 4]
    answer = last_to(group, 2)
    assert isinstance(answer, Barrier)
    assert answer.zxid == zxid_of(1, 4)
    group.move()
    assert group[2].take_barriers() == [(7, zxid_of(1, 4))]
    assert group[2].log.commit == zxid_of(1, 4)


# ---- what begins anew


def test_a_spare_whose_connection_broke_is_brought_up_from_the_history() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    group.cut(2, 3)
    group.connect(2, 3)
    group.move()
    assert group[2].log.last == zxid_of(1, 3)
    group.propose(3)
    assert accepts(group)[2] == [4]  # until it has acknowledged something it counts as one with clients


def test_a_new_epoch_brings_what_was_held_back_in_the_last_one() -> None:
    group = thrifty(counter_max=4)
    group.propose(3)
    group.move()
    assert group[2].log.last == zxid_of(1, 2)
    for _ in range(3):
        group.propose(3)
        group.move()
    assert group[3].epoch > 1
    group.settle(TICK_S)
    assert group[2].log.last == group[3].log.last


def test_what_a_leader_left_with_its_quorum_alone_is_led_by_who_has_it() -> None:
    group = thrifty()
    group.propose(3)
    group.move()
    committed: list[Batch] = group[3].log.after(0) or []
    group.cut(1, 3)
    group.cut(2, 3)
    for _ in range(4):
        group.settle(1.0)
    assert group[1].leads
    assert (group[2].log.after(0) or [])[: len(committed)] == committed
