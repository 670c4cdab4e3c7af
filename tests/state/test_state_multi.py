"""Several writes as one: all or nothing, each seeing those before it."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import Created, Done, MultiDone, Written
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    CheckVersion,
    CloseSession,
    Create,
    Delete,
    DeleteContainer,
    Multi,
    SetData,
)
from tests.state.world import everything


def _create(path: str, kind: int = 0, data: bytes = b"") -> Create:
    return Create(path, data, OPEN_ACL, kind)


def codes(reply: MultiDone) -> list[int]:
    return [each.code for each in reply.replies]


def test_an_empty_multi_is_done(world):
    assert world.do(Multi(())) == MultiDone(())


def test_each_step_sees_those_before_it_under_one_zxid(world):
    reply = world.do(
        Multi((
            _create("/a"),
            _create("/a/n-", PERSISTENT_SEQUENTIAL),
            SetData("/a", b"xy", 0),
            CheckVersion("/a", 1),
            Delete("/a/n-0000000000"),
            _create("/a/n-", PERSISTENT_SEQUENTIAL),
        ))
    )  # fmt: skip
    kinds = [type(each) for each in reply.replies]
    assert kinds == [Created, Created, Written, Done, Done, Created]
    assert reply.replies[5].path == "/a/n-0000000001"
    assert {world.node("/a").czxid, world.node("/a").mzxid, world.node("/a").pzxid} == {world.zxid}
    assert [path for _, path in world.changes()] == [
        "/a",
        "/a/n-0000000000",
        "/a",
        "/a/n-0000000000",
        "/a/n-0000000001",
    ]


def test_each_reply_shows_the_znode_as_it_was_after_its_step(world):
    reply = world.do(Multi((_create("/a"), _create("/a/b"), SetData("/a", b"xyz"))))
    made, _, written = reply.replies
    assert (made.stat.version, made.stat.children_count, made.stat.data_length, made.stat.cversion) == (0, 0, 0, 0)
    assert (written.stat.version, written.stat.children_count, written.stat.data_length) == (1, 1, 3)
    world.do(SetData("/a", b"later"))
    assert written.stat.version == 1


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_one_failure_fails_all_and_leaves_no_trace(world, failing):
    world.make("/old", data=b"kept")
    steps = [_create("/a"), SetData("/old", b"lost"), _create("/a/e", EPHEMERAL)]
    steps.insert(failing, CheckVersion("/old", 77))
    before = everything(world.machine)
    reply = world.do(Multi(tuple(steps)))
    assert codes(reply) == [0] * failing + [-103] + [-2] * (3 - failing)
    assert world.effects == []
    after = everything(world.machine)
    assert {**after, "zxid": 0, "time": 0} == {**before, "zxid": 0, "time": 0}


def test_a_failed_multi_takes_back_deletions_with_all_their_fields(world):
    world.make("/a", "/a/b", data=b"x")
    world.make("/a/e", kind=EPHEMERAL)
    world.do(SetData("/a/b", b"y"))
    digest, images = world.machine.digest, {path: node.image() for path, node in world.machine.tree.nodes.items()}
    reply = world.do(Multi((Delete("/a/e"), Delete("/a/b"), Delete("/a"), _create("/a"), Delete("/none"))))
    assert codes(reply) == [0, 0, 0, 0, -101]
    assert world.machine.digest == digest
    assert {path: node.image() for path, node in world.machine.tree.nodes.items()} == images
    assert set(world.node("/a").children) == {"/a/b", "/a/e"}
    assert list(world.machine.sessions[1].ephemerals) == ["/a/e"]


@pytest.mark.parametrize("step", [DeleteContainer("/c"), CloseSession(), Multi(())])
def test_other_operations_cannot_be_part_of_a_multi(world, step):
    world.make("/c", kind=CONTAINER)
    assert codes(world.do(Multi((_create("/a"), step)))) == [0, -5]
    assert "/a" not in world.machine.tree.nodes


def test_a_delete_and_a_create_of_the_same_path_give_a_new_znode(world):
    world.make("/a")
    world.do(SetData("/a", b"x"))
    assert world.node("/a").version == 1
    world.do(Multi((Delete("/a"), _create("/a"))))
    assert (world.node("/a").version, world.node("/a").czxid) == (0, world.zxid)


def test_ephemerals_made_and_taken_back_leave_their_session(world):
    world.do(Multi((_create("/e", EPHEMERAL), Delete("/none"))))
    assert not world.machine.sessions[1].ephemerals
    world.do(CloseSession())
    assert "/e" not in world.machine.tree.nodes


def test_an_illegal_path_in_a_step_is_that_steps_error(world):
    assert codes(world.do(Multi((_create("/a"), _create("no-slash"), Delete(""), SetData("", b""))))) == [0, -8, -2, -2]
    assert codes(world.do(Multi((SetData("/x/", b""),)))) == [-8]
    assert codes(world.do(Multi((Delete("x"),)))) == [-8]
