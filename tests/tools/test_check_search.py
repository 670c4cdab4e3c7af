"""The search, against trying every order; the windows it is cut down to; how histories are cut into parts."""

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.acl import OPEN_ACL
from coord.model.errors import NodeExistsError, NoNodeError
from coord.model.replies import ChildrenReply, Created, DataReply, Done, Failed, Written
from coord.model.requests import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    CloseSession,
    Create,
    Delete,
    GetChildren,
    GetData,
    Multi,
    SetData,
)
from tests.tools.check_ensemble import Ensemble
from tools.check.history import UNTOLD, Operation, operations
from tools.check.linearizability import Budget, Verdict, search
from tools.check.models import RegisterModel, TreeModel
from tools.check.partition import parts_of
from tools.check.window import check_linearizable, smallest_window

K = "/k"
GONE = Failed(NoNodeError())
TAKEN = Failed(NodeExistsError())


def operation(number, request, reply, call, end, client=None, session=1):
    """`end` None: the outcome is unknown."""
    return Operation(
        number, client or f"c{number}", session, request, (), True, call, number,
        reply=None if end is None else reply, return_ns=end,
    )  # fmt: skip


def create(number, data, call, end, reply=None):
    return operation(number, Create(K, data, OPEN_ACL), reply or Created(K, UNTOLD), call, end)


def put(number, data, call, end):
    return operation(number, SetData(K, data), Written(UNTOLD), call, end)


def got(number, data, call, end):
    return operation(number, GetData(K), DataReply(data, UNTOLD) if data is not None else GONE, call, end)


# ---- against every order


def possible(model, history):
    """All orders of all operations with an answer and some of the others."""
    sure = [each for each in history if each.return_ns is not None]
    rest = [each for each in history if each.return_ns is None]
    chosen = [[*sure, *some] for n in range(len(rest) + 1) for some in combinations(rest, n)]
    return any(explains(model, order) for each in chosen for order in permutations(each))


def explains(model, order):
    state = model.initial()
    for index, each in enumerate(order):
        if any(later.return_ns is not None and later.return_ns < each.call_ns for later in order[index + 1 :]):
            return False
        stepped = model.step(state, each)
        if stepped is None:
            return False
        state = stepped[0]
    return True


DATA = st.sampled_from([b"1", b"2"])
REQUESTS = st.one_of(
    DATA.map(lambda data: (Create(K, data, OPEN_ACL), Created(K, UNTOLD))),
    DATA.map(lambda data: (Create(K, data, OPEN_ACL), TAKEN)),
    DATA.map(lambda data: (SetData(K, data), Written(UNTOLD))),
    st.sampled_from([(Delete(K), Done()), (Delete(K), GONE), (GetData(K), GONE)]),
    DATA.map(lambda data: (GetData(K), DataReply(data, UNTOLD))),
)


@st.composite
def tiny_histories(draw):
    found = []
    for number in range(1, draw(st.integers(1, 5)) + 1):
        request, reply = draw(REQUESTS)
        call = draw(st.integers(0, 8))
        end = call + draw(st.integers(0, 5))
        unknown = draw(st.integers(0, 4)) == 0 and not isinstance(request, GetData)
        found.append(operation(number, request, reply, call, None if unknown else end))
    return found


@given(tiny_histories())
@settings(max_examples=400, deadline=None)
def test_the_search_decides_as_trying_every_order_does(history):
    for model in (RegisterModel(), TreeModel()):
        expected = Verdict.LINEARIZABLE if possible(model, history) else Verdict.IMPOSSIBLE
        result = search(model, history)
        assert result.verdict is expected
        if expected is Verdict.LINEARIZABLE:
            assert explains(model, result.order)


@given(tiny_histories())
@settings(max_examples=200, deadline=None)
def test_a_history_fails_in_parts_if_and_only_if_it_fails(history):
    """A second znode's operations, right by themselves, change nothing."""
    others = [
        operation(91, Create("/other", b"", OPEN_ACL), Created("/other", UNTOLD), 0, 3),
        operation(92, GetData("/other"), DataReply(b"", UNTOLD), 4, 5),
    ]
    findings, _ = check_linearizable([*history, *others])
    assert bool(findings.violations) is not possible(RegisterModel(), history)


@given(tiny_histories())
@settings(max_examples=200, deadline=None)
def test_the_smallest_window_still_fails(history):
    model = RegisterModel()
    if search(model, history).verdict is Verdict.IMPOSSIBLE:
        window = smallest_window(model, history)
        assert 1 <= len(window.operations) <= len(history)
        assert {each.number for each in window.operations} <= {each.number for each in history}
        assert {each.number for each in window.order} < {each.number for each in window.operations}


# ---- single cases


def test_ends_at_the_same_instant_are_concurrent():
    history = [create(1, b"1", 0, 1), put(2, b"2", 5, 6), got(3, b"1", 6, 7)]
    assert search(RegisterModel(), history).verdict is Verdict.LINEARIZABLE
    history[2] = got(3, b"1", 7, 8)
    assert search(RegisterModel(), history).verdict is Verdict.IMPOSSIBLE


def test_an_unknown_outcome_can_come_late_and_only_once():
    history = [create(1, b"1", 0, 1), put(2, b"2", 2, None), got(3, b"1", 5, 6), got(4, b"2", 8, 9)]
    assert search(RegisterModel(), history).verdict is Verdict.LINEARIZABLE
    history += [put(5, b"3", 10, 11), got(6, b"2", 12, 13)]
    assert search(RegisterModel(), history).verdict is Verdict.IMPOSSIBLE


def test_a_search_that_is_given_up_says_so():
    history = [create(1, b"0", 0, 1), *(put(n, b"%d" % n, 2, 100) for n in range(2, 30)), got(99, b"x", 200, 201)]
    result = search(RegisterModel(), history, Budget(5000))
    assert result.verdict is Verdict.UNDECIDED
    assert result.steps <= 5001
    findings, windows = check_linearizable(history, Budget(5000))
    assert (len(findings.undecided), findings.violations, windows) == (1, [], [])


def test_a_time_limit_of_nothing_is_undecided():
    history = [create(1, b"0", 0, 1), *(put(n, b"%d" % n, 2, 100) for n in range(2, 30)), got(99, b"x", 200, 201)]
    assert search(RegisterModel(), history, Budget(1 << 20, 0.0)).verdict is Verdict.UNDECIDED


def test_the_window_of_a_long_history_is_short_and_names_the_read():
    history = [create(1, b"0", 0, 1)]
    for n in range(2, 200, 2):
        history += [put(n, b"%d" % n, 10 * n, 10 * n + 1), got(n + 1, b"%d" % n, 10 * n + 5, 10 * n + 6)]
    history[101] = put(history[101].number, b"unseen", history[101].call_ns, history[101].return_ns)
    window = smallest_window(RegisterModel(), history)
    assert [each.number for each in window.operations] == [103]
    assert window.stuck is history[102]
    assert window.starts == ("(b'unseen', 51)",)


def test_operations_that_do_not_matter_are_left_out_of_the_window():
    """Two writes overlap everything, and whatever became of them, nobody can have read what nobody wrote."""
    history = [
        create(1, b"0", 0, 100),
        put(2, b"1", 1, None),
        got(3, b"0", 5, 90),
        put(4, b"2", 10, 20),
        got(5, b"2", 15, 95),
        got(6, b"never", 30, 40),
    ]
    window = smallest_window(RegisterModel(), history)
    assert [each.number for each in window.operations] == [6]
    assert window.freed >= 2


def test_a_write_that_does_not_matter_is_shown_if_it_explains_a_reply():
    """Whatever became of the set, 1 cannot be read before 0; but where did 1 come from?"""
    history = [create(1, b"0", 0, 2), put(2, b"1", 3, 9), got(3, b"1", 4, 5), got(4, b"0", 6, 8), put(5, b"7", 3, None)]
    window = smallest_window(RegisterModel(), history)
    assert [each.number for each in window.operations] == [2, 3, 4]
    assert [each.number for each in window.order] == [2, 3]
    assert window.stuck is history[3]
    assert (window.starts, window.freed) == (("(b'0', 0)",), 1)


# ---- the tree


def test_sequential_names_are_given_once():
    def made(number, path, call, end):
        return operation(number, Create("/q-", b"", OPEN_ACL, PERSISTENT_SEQUENTIAL), Created(path, UNTOLD), call, end)

    right = [made(1, "/q-0000000001", 0, 5), made(2, "/q-0000000000", 1, 6)]
    assert search(TreeModel(), right).verdict is Verdict.LINEARIZABLE
    twice = [made(1, "/q-0000000000", 0, 5), made(2, "/q-0000000000", 1, 6)]
    assert search(TreeModel(), twice).verdict is Verdict.IMPOSSIBLE


def test_a_multi_happens_at_one_moment():
    def listed(number, names, call, end):
        return operation(number, GetChildren("/"), ChildrenReply(names, UNTOLD), call, end)

    both = Multi((Create("/a", b"", OPEN_ACL), Create("/b", b"", OPEN_ACL)))
    unknown = operation(1, both, None, 0, None)
    assert search(TreeModel(), [unknown, listed(2, ("zookeeper",), 1, 2)]).verdict is Verdict.LINEARIZABLE
    assert search(TreeModel(), [unknown, listed(2, ("a", "b", "zookeeper"), 1, 2)]).verdict is Verdict.LINEARIZABLE
    assert search(TreeModel(), [unknown, listed(2, ("a", "zookeeper"), 1, 2)]).verdict is Verdict.IMPOSSIBLE


def test_an_ephemeral_goes_with_its_session_and_not_before():
    def history(*end):
        made = operation(1, Create("/e", b"", OPEN_ACL, EPHEMERAL), Created("/e", UNTOLD), 0, 1)
        return [made, *end, operation(3, GetData("/e"), GONE, 8, 9, session=2)]

    closed = operation(2, CloseSession(), Done(), 3, 5)
    assert check_linearizable(history(closed))[0].violations == []
    late = operation(2, CloseSession(), Done(), 10, 11)
    assert len(check_linearizable(history(late))[0].violations) == 1
    assert check_linearizable(history())[0].violations == []  # it may have expired


def test_a_parent_is_there_even_if_no_reply_to_a_create_says_so():
    """Found by a chaos run: the first create is of unknown outcome, and the second is told that it happened."""
    ephemeral = Create("/there/k", b"1", OPEN_ACL, EPHEMERAL)
    history = [operation(1, ephemeral, None, 0, None), operation(2, ephemeral, TAKEN, 1, 2)]
    findings, windows = check_linearizable(history)
    assert (findings.violations, windows) == ([], [])
    not_there = [*history, operation(3, Create("/there/l", b"", OPEN_ACL, EPHEMERAL), GONE, 3, 4)]
    assert check_linearizable(not_there)[0].violations


def test_parts_are_as_small_as_they_can_be():
    def made(number, path, call, end):
        return operation(number, Create(path, b"", OPEN_ACL), Created(path, UNTOLD), call, end)

    history = [made(1, "/r", 0, 1), made(2, "/r/a", 2, 5), made(3, "/r/b", 3, 5)]
    assert [part.paths for part in parts_of(history)] == [("/r",), ("/r/a",), ("/r/b",)]
    assert all(part.simple for part in parts_of(history))
    listing = operation(4, GetChildren("/r"), ChildrenReply(("a", "b"), UNTOLD), 6, 7)
    assert [set(part.paths) for part in parts_of([*history, listing])] == [{"/r", "/r/a", "/r/b"}]
    gone = operation(5, Delete("/r"), Done(), 8, 9)
    assert len(parts_of([*history, gone])) == 1
    together = operation(6, Multi((SetData("/r/a", b""), SetData("/r/b", b""))), None, 8, None)
    assert len(parts_of([*history, together])) == 2


@given(st.integers(0, 1 << 32))
@settings(max_examples=25, deadline=None)
def test_a_correct_history_has_an_order_in_one_piece_too(seed):
    judged = [each for part in parts_of(operations(Ensemble(seed).run(150).recorder.records))
              for each in part.operations]  # fmt: skip
    assert search(TreeModel(), judged, Budget(20_000)).verdict is not Verdict.IMPOSSIBLE


@pytest.mark.parametrize("reply", [DataReply(b"x", UNTOLD), GONE])
def test_a_read_before_any_write(reply):
    verdict = search(RegisterModel(), [operation(1, GetData(K), reply, 0, 1)]).verdict
    assert verdict is (Verdict.LINEARIZABLE if reply is GONE else Verdict.IMPOSSIBLE)
