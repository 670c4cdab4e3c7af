"""Numbered writes: done once, in order, answered again from what is kept until it is acknowledged."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.errors import BadArgumentsError, BadVersionError, SessionMovedError, UnacknowledgedError
from coord.model.replies import Created, Done, Failed, MultiDone, Repeated, Reply, Written
from coord.model.requests import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    AttachSession,
    CloseSession,
    Create,
    Delete,
    Multi,
    SetData,
)
from coord.state import kept
from coord.state.kept import KEPT_REPLIES_MAX
from tests.state.world import PASSWORD, World, code_of, error_of, everything, restored, whole_digest


def ledger(world: World):
    found = world.machine.sessions[1].ledger
    assert found is not None
    return found


def chunks_of(machine) -> list[bytes]:
    return list(iter(machine.begin_walk().next_chunk, None))


def first_of(reply: Reply) -> Reply:
    assert isinstance(reply, Repeated), reply
    return reply.reply


def test_a_write_that_comes_again_is_answered_with_its_first_reply_and_not_done_again(world):
    first = world.do(Create("/q-", b"", OPEN_ACL, PERSISTENT_SEQUENTIAL), number=1)
    assert isinstance(first, Created)
    done_at = world.zxid
    again = world.do(Create("/q-", b"", OPEN_ACL, PERSISTENT_SEQUENTIAL), number=1)
    assert again == Repeated(first, done_at)
    assert world.effects == []
    assert [path for path in world.machine.tree.nodes if path.startswith("/q-")] == [first.path]


def test_what_is_kept_does_not_change_with_the_znode(world):
    world.make("/a")
    first = world.do(SetData("/a", b"1"), number=1)
    assert isinstance(first, Written)
    world.do(SetData("/a", b"2"), number=2)
    assert first.stat.version == 1
    assert first_of(world.do(SetData("/a", b"1"), number=1)) == first


def test_an_error_is_kept_too(world):
    world.make("/a")
    failed = world.do(SetData("/a", b"x", 7), number=1)
    assert isinstance(error_of(failed), BadVersionError)
    world.do(SetData("/a", b"x"), number=2)
    assert first_of(world.do(SetData("/a", b"x", 1), number=1)) is failed


def test_a_gap_is_refused_and_changes_nothing(world):
    world.make("/a")
    before = everything(world.machine)
    assert isinstance(error_of(world.do(SetData("/a", b"x"), number=2)), BadArgumentsError)
    after = everything(world.machine)
    assert {**after, "zxid": 0, "time": 0, "sessions": 0} == {**before, "zxid": 0, "time": 0, "sessions": 0}
    assert code_of(world.do(SetData("/a", b"x"), number=1)) == 0


def test_what_was_acknowledged_is_not_kept_and_cannot_come_again(world):
    world.make("/a")
    for number in (1, 2, 3):
        world.do(SetData("/a", b"x"), number=number)
    world.do(SetData("/a", b"x"), number=4, acked=2)
    assert (ledger(world).acked, ledger(world).applied, len(ledger(world).kept)) == (2, 4, 2)
    assert "acknowledged" in str(error_of(world.do(SetData("/a", b"y"), number=2)))
    assert world.node("/a").data == b"x"
    assert isinstance(world.do(SetData("/a", b"x"), number=3, acked=2), Repeated)


def test_an_acknowledgement_of_the_future_is_refused(world):
    world.make("/a")
    world.do(SetData("/a", b"x"), number=1)
    assert "acknowledges write 2" in str(error_of(world.do(SetData("/a", b"y"), number=2, acked=2)))
    assert ledger(world).applied == 1
    assert world.node("/a").data == b"x"


def test_a_write_that_the_session_may_not_do_here_does_not_use_up_its_number(world):
    world.make("/a")
    moved = world.do(SetData("/a", b"x"), number=1, origin=2)
    assert isinstance(error_of(moved), SessionMovedError)
    assert code_of(world.do(SetData("/a", b"x"), number=1)) == 0


def test_a_numbered_write_whose_session_is_elsewhere_fails_for_that_and_nothing_else(world):
    """Another error would be taken for the outcome of its number, which it has not used up."""
    wrong = Create("/a", b"", OPEN_ACL, 99)
    assert code_of(world.do(wrong, origin=2)) == -8
    assert code_of(world.do(wrong, origin=2, number=1)) == SessionMovedError.code
    assert code_of(world.do(wrong, number=1)) == -8
    assert code_of(world.do(Create("/a", b"", OPEN_ACL), number=2)) == 0


def test_numbers_go_on_where_the_session_goes_on(world):
    world.make("/a")
    world.do(SetData("/a", b"x"), number=1)
    opened = world.do(AttachSession(1, PASSWORD, 5000), session=0, origin=2)
    assert opened.applied == 1
    assert isinstance(world.do(SetData("/a", b"x"), number=1, origin=2), Repeated)
    assert code_of(world.do(SetData("/a", b"y"), number=2, origin=2)) == 0


def test_a_session_may_write_with_numbers_and_without(world):
    """ZooKeeper's clients have none; a session is the same whichever protocol its client speaks."""
    world.make("/a")
    world.do(SetData("/a", b"1"), number=1)
    world.do(SetData("/a", b"2"))
    assert code_of(world.do(SetData("/a", b"3"), number=2)) == 0


def test_a_session_without_numbers_has_nothing_kept(world):
    world.make("/a")
    assert world.machine.sessions[1].ledger is None


def test_closing_the_session_is_a_numbered_write_and_the_last(world):
    world.make("/e", kind=EPHEMERAL)
    assert world.do(CloseSession(), number=1) == Done()
    assert 1 not in world.machine.sessions
    assert world.machine.digest == whole_digest(world.machine)
    assert code_of(world.do(CloseSession(), number=1)) == -112


def test_too_many_replies_that_are_not_acknowledged_refuse_the_next_write(world, monkeypatch):
    monkeypatch.setattr(kept, "KEPT_REPLIES_MAX", 5)
    world.make("/a")
    for number in range(1, 6):
        assert code_of(world.do(SetData("/a", b"x"), number=number)) == 0
    refused = world.do(SetData("/a", b"y"), number=6)
    assert isinstance(error_of(refused), UnacknowledgedError)
    assert isinstance(error_of(world.do(SetData("/a", b"y"), number=7)), BadArgumentsError)
    assert world.node("/a").data == b"x"
    assert code_of(world.do(SetData("/a", b"y"), number=6, acked=1)) == 0
    assert KEPT_REPLIES_MAX == 1000


def test_long_replies_count_by_their_bytes(world, monkeypatch):
    monkeypatch.setattr(kept, "KEPT_REPLIES_BYTES_MAX", 20_000)
    done = 0
    for number in range(1, 100):
        reply = world.do(Create("/" + "n" * 2000 + str(number), b"", OPEN_ACL), number=number)
        if isinstance(reply, Failed):
            assert isinstance(reply.error, UnacknowledgedError)
            break
        done = number
    assert 5 < done < 12
    assert ledger(world).bytes > 20_000
    assert code_of(world.do(Delete("/x"), number=done + 1, acked=done)) == -101
    assert ledger(world).bytes < 1000


@pytest.mark.parametrize("with_acks", [False, True])
def test_kept_replies_are_in_snapshots_and_in_the_digest(world, with_acks):
    world.make("/a")
    writes = [
        Create("/a/b", b"x", OPEN_ACL),
        SetData("/a/b", b"y"),
        Delete("/none"),
        Multi((Create("/m", b"", OPEN_ACL), Delete("/m"), SetData("/a", b"z"))),
        Multi((Create("/m", b"", OPEN_ACL), Delete("/none"), Delete("/m"))),
        Create("/t", b"", OPEN_ACL, TTL, 5000),
    ]
    for number, write in enumerate(writes, 1):
        before = world.machine.digest
        world.do(write, number=number, acked=max(0, number - 3) if with_acks else 0)
        assert world.machine.digest == whole_digest(world.machine) != before
    machine = restored(chunks_of(world.machine))
    assert everything(machine) == everything(world.machine)
    for number in range(4, 7):
        one, other = (
            first_of(each.apply(500, 5, world.run(Delete("/x")), Delete("/x"), [], number))
            for each in (machine, world.machine)
        )
        assert repr(one) == repr(other)


def test_how_far_a_session_is_counts_in_the_digest_even_if_nothing_is_kept(world):
    world.make("/a")
    world.do(SetData("/a", b"x"), number=1)
    ours = ledger(world)
    assert ours.term() != 0
    ours.acknowledge(1)
    one = ours.term()
    ours.applied = ours.acked = 2
    assert one != ours.term()


def test_a_multi_that_failed_is_answered_the_same_again(world):
    steps = Multi((Create("/m", b"", OPEN_ACL), Delete("/none"), Delete("/m")))
    first = world.do(steps, number=1)
    assert isinstance(first, MultiDone)
    assert first_of(world.do(steps, number=1)) is first
