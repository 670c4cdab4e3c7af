"""Versions, data, deletion: what setData, setACL and delete change, and what they leave alone."""

import pytest

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL
from coord.model.replies import DATA_CHANGED, EXPLICIT, NODE_DELETED, Change, Done, Written
from coord.model.requests import CheckVersion, Delete, SetAcl, SetData


def test_set_data_moves_version_mtime_and_mzxid_and_nothing_else(world):
    world.make("/a", data=b"old")
    before = world.node("/a").image()
    reply = world.do(SetData("/a", b"newer", 0))
    assert isinstance(reply, Written)
    znode = world.node("/a")
    assert (znode.data, znode.version, znode.mzxid, znode.mtime) == (b"newer", 1, world.zxid, world.time_ms)
    assert (znode.czxid, znode.pzxid, znode.ctime) == (before[2], before[4], before[5])
    assert (znode.cversion, znode.aversion) == (0, 0)
    assert world.effects == [Change(DATA_CHANGED, "/a", OPEN_ACL)]


def test_a_reply_shows_the_znode_itself(world):
    world.make("/a")
    assert world.do(SetData("/a", b"x")).stat is world.node("/a")


def test_set_data_may_make_data_null(world):
    world.make("/a", data=b"x")
    world.do(SetData("/a", None))
    assert world.node("/a").data is None


def test_minus_one_matches_every_version_and_another_number_only_itself(world):
    world.make("/a")
    assert world.code(SetData("/a", b"", -1)) == 0
    assert world.code(SetData("/a", b"", 1)) == 0
    assert world.code(SetData("/a", b"", 1)) == -103
    assert world.code(SetData("/a", b"", -2)) == -103
    assert world.code(CheckVersion("/a", 2)) == 0
    assert world.code(CheckVersion("/a", -1)) == 0
    assert world.code(CheckVersion("/a", 1)) == -103


@pytest.mark.parametrize(("version", "following"), [(-2, 0), (2**31 - 1, -(2**31)), (0, 1), (-(2**31), -(2**31) + 1)])
def test_versions_wrap_as_32_bits_do_and_leave_out_minus_one(world, version, following):
    world.make("/a")
    world.node("/a").version = world.node("/a").aversion = version
    world.do(SetData("/a", b""))
    world.do(SetAcl("/a", OPEN_ACL))
    assert (world.node("/a").version, world.node("/a").aversion) == (following, following)


def test_set_acl_moves_aversion_alone_and_tells_no_watcher(world):
    world.make("/a")
    before = world.node("/a").image()
    reply = world.do(SetAcl("/a", READ_ONLY_ACL, 0))
    assert isinstance(reply, Written)
    after = world.node("/a").image()
    assert [index for index in range(len(before)) if before[index] != after[index]] == [1, 9]
    assert (after[1], after[9]) == (READ_ONLY_ACL, 1)
    assert world.effects == []


def test_delete_takes_the_znode_and_tells_why(world):
    world.make("/a", "/a/b")
    assert world.do(Delete("/a/b", 0)) == Done()
    assert "/a/b" not in world.machine.tree.nodes
    assert world.node("/a").children is None
    assert world.effects == [Change(NODE_DELETED, "/a/b", OPEN_ACL, OPEN_ACL, EXPLICIT)]


def test_a_change_carries_the_lists_of_the_znode_and_its_parent(world):
    own = ((31, "world", "anyone"), (1, "ip", "10.0.0.0/8"))
    world.make("/a")
    world.make("/a/b", acl=own)
    assert (world.effects[0].acl, world.effects[0].parent_acl) == (own, OPEN_ACL)
    world.do(Delete("/a/b"))
    assert (world.effects[0].acl, world.effects[0].parent_acl) == (own, OPEN_ACL)


def test_the_tree_counts_the_bytes_of_paths_and_data(world):
    start = world.machine.tree.size_bytes
    world.make("/ab", data=b"12345")
    assert world.machine.tree.size_bytes == start + 3 + 5
    world.do(SetData("/ab", None))
    assert world.machine.tree.size_bytes == start + 3
    world.do(Delete("/ab"))
    assert world.machine.tree.size_bytes == start
