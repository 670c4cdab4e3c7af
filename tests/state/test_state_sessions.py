"""Opening, moving, closing and expiring sessions, and the runs of each server."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.entries import Run
from coord.model.replies import (
    NODE_DELETED,
    SESSION_CLOSED,
    SESSION_EXPIRED,
    Change,
    Done,
    SessionEnded,
    SessionMoved,
    SessionOpened,
)
from coord.model.requests import (
    EPHEMERAL,
    AttachSession,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    Multi,
    RegisterServer,
    SetAcl,
    SetData,
)
from tests.state.world import PASSWORD, code_of, error_of


def test_a_session_is_opened_once_and_belongs_to_the_server_that_took_it(world):
    assert world.open(5, origin=3) == SessionOpened(5, PASSWORD, 4000)
    assert world.effects == [SessionMoved(5, 3)]
    assert world.machine.sessions[5].owner == 3
    assert code_of(world.open(5, origin=3)) == -1
    assert world.machine.sessions[5].owner == 3


def test_a_password_is_not_shown(world):
    assert "sixteen" not in repr(world.machine.sessions[1])


@pytest.mark.parametrize(
    "request_",
    [Create("/a", b"", OPEN_ACL), Delete("/"), SetData("/", b""), SetAcl("/", OPEN_ACL), Multi(()), CloseSession()],
)
def test_no_write_is_done_for_a_session_that_is_gone_or_served_elsewhere(world, request_):
    before = world.machine.digest
    assert world.code(request_, session=77) == -112
    assert world.code(request_, session=1, origin=2) == -118
    assert world.machine.digest == before


def test_a_session_moves_to_the_server_its_client_reached(world):
    assert world.do(AttachSession(1, PASSWORD, 9000), session=0, origin=2) == SessionOpened(1, PASSWORD, 9000)
    assert world.effects == [SessionMoved(1, 2)]
    assert (world.machine.sessions[1].owner, world.machine.sessions[1].timeout_ms) == (2, 9000)
    assert world.code(SetData("/", b""), origin=1) == -118
    assert world.code(SetData("/", b""), origin=2) == 0


def test_attaching_keeps_the_ephemerals_and_says_where_the_session_is_even_if_it_stayed(world):
    world.make("/e", kind=EPHEMERAL)
    world.do(AttachSession(1, PASSWORD, 5000), session=0, origin=1)
    assert world.effects == [SessionMoved(1, 1)]
    assert list(world.machine.sessions[1].ephemerals) == ["/e"]


def test_a_wrong_password_or_a_dead_session_is_told_that_it_expired_and_nothing_changes(world):
    before = world.machine.digest
    wrong = world.do(AttachSession(1, b"x" * 16, 9000), session=0, origin=2)
    gone = world.do(AttachSession(77, PASSWORD, 9000), session=0, origin=2)
    assert [code_of(wrong), code_of(gone)] == [-112, -112]
    assert world.machine.digest == before
    assert world.effects == []
    assert world.machine.sessions[1].owner == 1
    assert "password" not in str(error_of(gone))


def test_closing_deletes_the_ephemerals_in_path_order_under_one_zxid(world):
    world.make("/p")
    world.make("/p/c", "/p/a", "/z", "/p/b", kind=EPHEMERAL)
    assert world.do(CloseSession()) == Done()
    assert world.effects == [
        *[Change(NODE_DELETED, path, OPEN_ACL, OPEN_ACL, SESSION_CLOSED) for path in ("/p/a", "/p/b", "/p/c", "/z")],
        SessionEnded(1, False),
    ]
    assert (world.node("/p").pzxid, world.node("/").pzxid) == (world.zxid, world.zxid)
    assert world.node("/p").cversion == 6
    assert 1 not in world.machine.sessions
    assert not [znode for znode in world.machine.tree.nodes.values() if znode.ephemeral_owner]


def test_a_session_that_expired_says_so(world):
    world.make("/e", kind=EPHEMERAL)
    world.do(CloseSession(1, expired=True), session=0, origin=0)
    assert [effect.cause for effect in world.effects if isinstance(effect, Change)] == [SESSION_EXPIRED]
    assert world.effects[-1] == SessionEnded(1, True)


def test_a_client_can_close_its_own_session_only(world):
    world.open(2)
    world.do(CloseSession(2))
    assert list(world.machine.sessions) == [2]


def test_closing_what_is_closed_fails_without_effect(world):
    assert world.code(CloseSession(77, expired=True), session=0, origin=0) == -112
    assert world.effects == []


def test_nothing_is_created_for_a_session_after_its_end(world):
    world.do(CloseSession())
    assert world.code(Create("/e", b"", OPEN_ACL, EPHEMERAL)) == -112
    assert world.code(Create("/e", b"", OPEN_ACL, EPHEMERAL), session=0) == -112


def test_a_deleted_ephemeral_leaves_its_session(world):
    world.make("/e", "/f", kind=EPHEMERAL)
    world.do(Delete("/e"))
    assert list(world.machine.sessions[1].ephemerals) == ["/f"]


def test_another_session_may_delete_an_ephemeral(world):
    world.open(2)
    world.make("/e", kind=EPHEMERAL)
    assert world.code(Delete("/e"), session=2) == 0
    assert not world.machine.sessions[1].ephemerals


def test_a_server_is_remembered_with_its_identity(world):
    assert world.do(RegisterServer(3, 0xABC, "three"), session=0, origin=0) == Done()
    assert world.machine.servers == {3: (0xABC, "three")}


def _run(origin: int, incarnation: int, sequence: int, count: int = 1) -> Run:
    return Run(origin, incarnation, sequence, 1, 0, (), tuple([SetData("/", b"")] * count))


def test_a_run_is_admitted_once(world):
    machine = world.machine
    assert machine.admit(_run(1, 50, 1, count=3))
    assert not machine.admit(_run(1, 50, 1, count=3))
    assert machine.origins[1] == (50, 3)
    assert machine.admit(_run(1, 50, 4))
    assert not machine.admit(_run(1, 50, 1, count=3))


def test_a_gap_in_the_sequence_is_fine_and_each_server_counts_for_itself(world):
    assert world.machine.admit(_run(1, 50, 10))
    assert world.machine.admit(_run(2, 50, 1))
    assert world.machine.origins == {1: (50, 10), 2: (50, 1)}


def test_a_server_that_started_anew_counts_from_the_beginning(world):
    world.machine.admit(_run(1, 50, 10))
    assert world.machine.admit(_run(1, 51, 1))
    assert world.machine.origins[1] == (51, 1)


def test_the_leaders_own_runs_are_always_admitted(world):
    assert world.machine.admit(_run(0, 0, 0))
    assert world.machine.admit(_run(0, 0, 0))
    assert 0 not in world.machine.origins


def test_a_skipped_entry_takes_its_zxid_and_does_nothing(world):
    before = world.machine.digest
    world.machine.skip(5000, 7)
    assert (world.machine.zxid, world.machine.time_ms, world.machine.digest) == (5000, 7, before)


def test_opening_and_closing_leaves_the_digest_as_it_was(world):
    before = world.machine.digest
    world.do(CreateSession(8, PASSWORD, 1000), session=0)
    assert world.machine.digest != before
    world.do(CloseSession(8), session=0)
    assert world.machine.digest == before
