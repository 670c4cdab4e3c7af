"""The replica's small parts: who was heard, what is under way, who a client proves to be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.errors import AuthFailedError
from coord.model.requests import Authenticate
from coord.replica.auth import authenticate, digest_of
from coord.replica.forwards import FORWARD_BYTES_MAX, Forwards
from coord.replica.liveness import BUCKET_S, Liveness

# ---- liveness


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["track", "hear", "forget", "wait"]), st.integers(1, 30)),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_a_session_ends_never_early_and_at_most_two_buckets_late_I17(story: list[tuple[int, str, int]]) -> None:
    liveness, now = Liveness(), 50.0
    due: dict[int, float] = {}
    timeout_s = 2.0
    for session, what, tenths in story:
        if what == "track":
            liveness.track(session, int(timeout_s * 1000), now)
            due[session] = now + timeout_s
        elif what == "hear":
            liveness.hear((session,), now)
            if session in due:
                due[session] = now + timeout_s
        elif what == "forget":
            liveness.forget(session)
            due.pop(session, None)
        else:
            now += tenths / 10
        for ended in liveness.overdue(now):
            assert due.pop(ended) <= now
        assert all(now < when + 2 * BUCKET_S for when in due.values())
        assert len(liveness) == len(due)


def test_after_a_pause_of_the_process_everybody_has_the_full_time_T31() -> None:
    liveness = Liveness()
    liveness.track(1, 1000, 0.0)
    liveness.restart(60.0)
    assert liveness.overdue(60.0) == []
    assert liveness.overdue(62.0) == [1]


# ---- forwards


def test_runs_are_applied_in_the_order_in_which_they_were_given() -> None:
    forwards = Forwards()
    for run in (b"a", b"b"):
        forwards.add(2, run, None)
    assert forwards.applied(1).runs == b"a"
    with pytest.raises(AssertionError, match="oldest under way"):
        forwards.applied(5)


def test_only_what_the_new_history_lacks_is_forwarded_again() -> None:
    forwards = Forwards()
    for run in (b"a", b"b", b"c"):
        forwards.add(2, run, None)
    forwards.take_unsent()
    assert forwards.resubmit_after(2) == 4
    assert forwards.take_unsent() == [(4, b"bc")]
    assert len(forwards) == 3  # all still wait to be applied
    assert [lost.runs for lost in forwards.lost_upto(4)] == [b"a", b"b"]
    assert (len(forwards), forwards.bytes, forwards.next_sequence) == (1, 1, 7)


def test_what_is_too_much_for_one_message_is_cut_between_runs() -> None:
    forwards = Forwards()
    big = b"x" * (FORWARD_BYTES_MAX - 10)
    for run in (b"a", big, b"c" * 20, b"d"):
        forwards.add(1, run, None)
    pieces = forwards.take_unsent()
    assert [count for count, _ in pieces] == [2, 2]
    assert b"".join(runs for _, runs in pieces) == b"a" + big + b"c" * 20 + b"d"
    assert forwards.unsent == []


# ---- who a client is


def test_digest_credentials_prove_a_user_and_the_right_one_is_super() -> None:
    proved = digest_of(b"ann:secret")
    assert proved.startswith("ann:")
    assert authenticate(Authenticate("digest", b"ann:secret"), (), "") == [("digest", proved)]
    assert ("super", "") in authenticate(Authenticate("digest", b"ann:secret"), (), proved)
    assert ("super", "") not in authenticate(Authenticate("digest", b"ann:wrong"), (), proved)


def test_an_address_is_not_proved_by_saying_it() -> None:
    granted = authenticate(Authenticate("ip", b"10.9.9.9"), (("ip", "10.0.0.1"),), "")
    assert granted == [("ip", "10.0.0.1")]


@pytest.mark.parametrize("scheme", ["super", "world", "x509", ""])
def test_other_schemes_are_refused(scheme: str) -> None:
    with pytest.raises(AuthFailedError, match="not known here"):
        authenticate(Authenticate(scheme, b""), (), "")


def test_a_session_that_asks_for_less_time_when_it_reconnects_ends_by_that() -> None:
    liveness = Liveness()
    liveness.track(1, 60_000, 0.0)
    liveness.track(1, 1_000, 1.0)
    assert liveness.overdue(1.9) == []
    assert liveness.overdue(2.0 + 2 * BUCKET_S) == [1]


def test_it_is_told_when_sessions_expire_soonest_first() -> None:
    liveness = Liveness()
    liveness.track(1, 60_000, 0.5)
    liveness.track(2, 1_000, 0.5)
    liveness.track(3, 1_000, 0.7)
    assert liveness.expiring() == [(2.0, [2, 3]), (61.0, [1])]
