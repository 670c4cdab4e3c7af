"""Quorums, and the log as the protocol sees it: by calling them, and against logs that a valid process made."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.entries import Batch, zxid_of
from coord.paxos.history import History, common_point
from coord.paxos.quorum import Majority
from tests.paxos.protocol_group import batch, ends_of, log_of

# ---- quorums


@given(st.sets(st.integers(1, 9), min_size=1), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12)))
@settings(max_examples=80)
def test_two_quorums_always_share_a_voter(voters: set[int], some: set[int], others: set[int]) -> None:
    quorum = Majority(voters)
    if quorum.has(some) and quorum.has(others):
        assert some & others & voters


def test_servers_that_do_not_vote_are_not_counted_T42() -> None:
    quorum = Majority({1, 2, 3})
    assert not quorum.has({1, 4, 5, 6})
    assert quorum.has({1, 3, 4})
    assert quorum.reached({1: 10, 4: 99, 5: 99}) == 0


@given(st.dictionaries(st.integers(1, 7), st.integers(1, 50)), st.integers(1, 7))
@settings(max_examples=80)
def test_a_position_is_reached_when_a_quorum_stands_there_or_beyond(positions: dict[int, int], size: int) -> None:
    quorum = Majority(range(1, size + 1))
    reached = quorum.reached(positions)
    assert quorum.has({server for server, position in positions.items() if position >= reached}) or reached == 0
    assert not quorum.has({server for server, position in positions.items() if position > reached})


def test_a_single_voter_is_its_own_quorum() -> None:
    assert Majority({4}).has({4})
    assert Majority({4}).reached({4: 9}) == 9


# ---- where two logs part


@st.composite
def logs_of_a_valid_process(draw: st.DrawFn) -> list[list[Batch]]:
    """Some servers' logs: each epoch's leader starts from the log of one of them, and followers get prefixes of its."""
    logs: list[list[Batch]] = [[] for _ in range(draw(st.integers(2, 4)))]
    for epoch in range(1, draw(st.integers(1, 6)) + 1):
        leader = draw(st.integers(0, len(logs) - 1))
        initial = len(logs[leader])
        previous = logs[leader][-1].last if logs[leader] else 0
        counter = 1
        for _ in range(draw(st.integers(0, 3))):
            entries = draw(st.integers(1, 3))
            logs[leader].append(batch(epoch, counter, previous, entries, body=bytes([epoch])))
            counter, previous = counter + entries, logs[leader][-1].last
        for follower in range(len(logs)):
            if follower != leader and draw(st.booleans()):
                logs[follower] = logs[leader][: draw(st.integers(initial, len(logs[leader])))]
    return logs


def truly_common(mine: list[Batch], theirs: list[Batch]) -> int:
    last = 0
    for one, other in zip(mine, theirs, strict=False):
        if one.encoded != other.encoded:
            break
        last = one.last
    return last


@given(logs_of_a_valid_process())
@settings(max_examples=120, deadline=None)
def test_the_ends_of_the_epochs_tell_where_two_logs_part_T14(logs: list[list[Batch]]) -> None:
    for mine in logs:
        for theirs in logs:
            assert common_point(ends_of(mine), ends_of(theirs)) == truly_common(mine, theirs)


@given(logs_of_a_valid_process(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_shortened_log_knows_the_point_or_says_nothing_T12(logs: list[list[Batch]], data: st.DataObject) -> None:
    """Never a point that is too low, which would cut off what both have."""
    for mine in logs:
        for theirs in logs:
            cut = data.draw(st.integers(0, len(mine)))
            start = mine[cut - 1].last if cut else 0
            known = History(start, mine[cut:], ends_of(mine[max(cut - 1, 0) :]), start, start).ends
            assert common_point(known, ends_of(theirs)) in (truly_common(mine, theirs), 0)


def test_an_epoch_without_entries_leaves_no_trace_T14() -> None:
    assert common_point([(1, zxid_of(1, 5)), (4, zxid_of(4, 2))], [(1, zxid_of(1, 7)), (3, zxid_of(3, 1))]) == zxid_of(
        1, 5
    )
    assert common_point([], [(1, zxid_of(1, 7))]) == 0


# ---- one log


def history(batches: list[Batch], commit: int = 0) -> History:
    return History(0, batches, ends_of(batches), commit)


def test_a_batch_that_leaves_a_gap_is_refused_T8() -> None:
    log = history(log_of((1, 2)))
    with pytest.raises(AssertionError, match="does not follow"):
        log.append(batch(1, 4, zxid_of(1, 3)))


def test_what_is_committed_is_never_cut_off() -> None:
    log = history(log_of((1, 4)), commit=zxid_of(1, 2))
    with pytest.raises(AssertionError, match="below the committed"):
        log.truncate(zxid_of(1, 1))
    log.truncate(zxid_of(1, 2))
    assert (log.last, log.durable, log.ends) == (zxid_of(1, 2), zxid_of(1, 2), ((1, zxid_of(1, 2)),))


def test_a_log_is_cut_only_between_batches() -> None:
    log = history([batch(1, 1, 0, count=3)])
    with pytest.raises(AssertionError, match="no batch ends"):
        log.truncate(zxid_of(1, 2))


def test_cutting_forgets_the_later_epochs() -> None:
    log = history(log_of((1, 3), (2, 2)))
    log.truncate(zxid_of(1, 2))
    assert log.ends == ((1, zxid_of(1, 2)),)
    log.append(batch(3, 1, zxid_of(1, 2)))
    assert log.ends == ((1, zxid_of(1, 2)), (3, zxid_of(3, 1)))


def test_only_what_is_applied_durable_and_committed_leaves_memory() -> None:
    batches = log_of((1, 10))
    for applied, durable, commit, floor in ((3, 9, 9, 3), (9, 3, 9, 3), (9, 9, 3, 3), (10, 10, 10, 10)):
        log = history(batches, commit=zxid_of(1, commit))
        log.durable = zxid_of(1, durable)
        log.trim(zxid_of(1, applied), 0)
        assert log.floor == zxid_of(1, floor)
        assert log.after(log.floor) == batches[floor:]
        assert log.after(zxid_of(1, floor - 1)) is None


def test_after_a_snapshot_the_log_knows_nothing_of_its_own_past_T12() -> None:
    """The ends it had may be those of entries that were never committed, and belong to no common history."""
    log = history(log_of((1, 3), (2, 2)))
    log.reset(zxid_of(4, 7))
    assert (log.floor, log.last, log.commit, log.start) == (zxid_of(4, 7),) * 4
    assert log.ends == ((4, zxid_of(4, 7)),)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=12), st.data())
@settings(max_examples=100, deadline=None)
def test_what_memory_holds_is_what_was_appended(shape: list[tuple[int, int]], data: st.DataObject) -> None:
    log, kept = history([]), []
    for epoch_step, entries in shape:
        previous = log.last
        epoch = (kept[-1].epoch if kept else 1) + (epoch_step == 4)
        counter = kept[-1].first + kept[-1].count - zxid_of(epoch, 0) if kept and kept[-1].epoch == epoch else 1
        kept.append(batch(epoch, counter, previous, entries))
        log.append(kept[-1])
        if data.draw(st.booleans()):
            cut = data.draw(st.integers(0, len(kept)))
            log.truncate(kept[cut - 1].last if cut else 0)
            del kept[cut:]
    assert log.after(0) == kept
    assert list(log.ends) == ends_of(kept)
    for index, each in enumerate(kept):
        assert log.after(each.last) == kept[index + 1 :]
