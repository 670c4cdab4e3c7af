"""Kinds of znodes, paths, sequence numbers, and the fields of a new znode and its parent."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import NODE_CREATED, Created
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
    Create,
    Delete,
    GetChildren,
    SetData,
)
from tests.state.world import World


def test_a_new_machine_holds_the_reserved_znodes_and_the_root_shows_cversion_minus_one(world):
    assert list(world.machine.tree.nodes) == ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"]
    assert world.node("/").cversion == -1
    assert world.node("/zookeeper/config").acl == ((1, "world", "anyone"),)
    assert world.read(GetChildren("/zookeeper")).names == ["quota", "config"]


def test_a_new_znode_carries_the_zxid_and_time_of_its_entry(world):
    reply = world.do(Create("/a", b"xyz", OPEN_ACL))
    assert isinstance(reply, Created)
    assert reply.path == "/a"
    stat = reply.stat
    assert (stat.czxid, stat.mzxid, stat.pzxid) == (world.zxid, world.zxid, world.zxid)
    assert (stat.ctime, stat.mtime) == (world.time_ms, world.time_ms)
    assert (stat.version, stat.cversion, stat.aversion, stat.ephemeral_owner) == (0, 0, 0, 0)
    assert (stat.data_length, stat.children_count) == (3, 0)
    assert world.changes() == [(NODE_CREATED, "/a")]


def test_null_and_empty_data_are_distinct(world):
    world.make("/null", data=None)
    world.make("/empty", data=b"")
    assert world.node("/null").data is None
    assert world.node("/empty").data == b""
    assert world.node("/null").data_length == 0


def test_creations_and_deletions_of_children_move_cversion_and_pzxid_of_the_parent_alone(world):
    world.make("/a", "/a/b")
    first = world.zxid
    assert (world.node("/a").cversion, world.node("/a").pzxid) == (1, first)
    world.make("/a/b/c")
    world.do(SetData("/a/b", b"x"))
    assert (world.node("/a").cversion, world.node("/a").pzxid) == (1, first)
    world.do(Delete("/a/b/c"))
    world.do(Delete("/a/b"))
    assert (world.node("/a").cversion, world.node("/a").pzxid) == (2, world.zxid)
    assert (world.node("/a").mzxid, world.node("/a").version) == (world.node("/a").czxid, 0)


def test_sequence_numbers_count_creations_of_all_kinds_and_are_never_used_again(world):
    world.make("/q")
    assert world.make("/q/x-", kind=PERSISTENT_SEQUENTIAL) == "/q/x-0000000000"
    world.make("/q/plain")
    assert world.make("/q/y-", kind=EPHEMERAL_SEQUENTIAL) == "/q/y-0000000002"
    world.do(Delete("/q/y-0000000002"))
    world.do(Delete("/q/x-0000000000"))
    assert world.make("/q/x-", kind=PERSISTENT_SEQUENTIAL) == "/q/x-0000000003"


def test_a_sequence_number_alone_may_be_the_name(world):
    world.make("/q")
    assert world.make("/q/", kind=PERSISTENT_SEQUENTIAL) == "/q/0000000000"
    assert world.make("/", kind=PERSISTENT_SEQUENTIAL) == "/0000000001"


def test_the_sequence_counter_wraps_as_32_bits_do(world):
    world.make("/q")
    world.node("/q").creations = 2**31 - 1
    assert world.make("/q/n-", kind=PERSISTENT_SEQUENTIAL) == "/q/n-2147483647"
    assert world.make("/q/n-", kind=PERSISTENT_SEQUENTIAL) == "/q/n--2147483648"
    assert world.node("/q").creations == -(2**31) + 1
    assert -(2**31) <= world.node("/q").cversion < 2**31


def test_ephemerals_belong_to_the_session_and_cannot_have_children(world):
    world.make("/e", kind=EPHEMERAL)
    assert world.node("/e").ephemeral_owner == 1
    assert list(world.machine.sessions[1].ephemerals) == ["/e"]
    assert world.code(Create("/e/child", b"", OPEN_ACL)) == -108


def test_containers_and_ttl_znodes_show_no_owner_and_may_have_children_of_all_kinds(world):
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    for parent in ("/c", "/t"):
        assert world.node(parent).ephemeral_owner == 0
        assert world.code(Create(f"{parent}/child", b"", OPEN_ACL, EPHEMERAL)) == 0


@pytest.mark.parametrize("kind", [TTL, TTL_SEQUENTIAL])
@pytest.mark.parametrize(("ttl_ms", "code"), [(-1, -8), (0, -8), (1, 0), (2**40 - 1, 0), (2**40, -8)])
def test_a_ttl_is_from_1_to_forty_bits_of_milliseconds(world, kind, ttl_ms, code):
    assert world.code(Create("/t", b"", OPEN_ACL, kind, ttl_ms)) == code


@pytest.mark.parametrize(("kind", "ttl_ms"), [(-1, -1), (7, -1), (0, 5), (0, 0), (CONTAINER, 5), (EPHEMERAL, 1)])
def test_an_unknown_kind_and_a_ttl_where_none_belongs_are_bad_arguments(world, kind, ttl_ms):
    assert world.code(Create("/x", b"", OPEN_ACL, kind, ttl_ms)) == -8


@pytest.mark.parametrize(
    "path",
    ["/a/../b", "/./b", "/a/..", "/x\x01y", "/x\x7f", "/x\ud800", "/x\uf8ff", "/x\ufff0", "/x\0", "x", "", "/x/"],
)
def test_illegal_paths_are_refused_or_not_found(world, path):
    world.make("/x", "/a")
    before = list(world.machine.tree.nodes)
    assert world.code(Create(path, b"", OPEN_ACL)) in (-8, -101)
    assert list(world.machine.tree.nodes) == before


@pytest.mark.parametrize(
    "name", ["plain", "under_score-dash", "dotted.name", "...", ".hidden", "a:b", "ünï", "日本", "🙂"]
)
def test_names_may_hold_what_zookeeper_allows(world, name):
    assert world.make(f"/{name}") == f"/{name}"


def test_the_root_exists_already(world):
    assert world.code(Create("/", b"", OPEN_ACL)) == -110


def test_other_znodes_may_be_made_below_zookeeper(world):
    assert world.make("/zookeeper/mine") == "/zookeeper/mine"


def test_a_refused_write_takes_its_zxid_and_changes_nothing_else(world):
    before = world.machine.digest
    assert world.code(Create("/no/parent", b"", OPEN_ACL)) == -101
    assert world.machine.zxid == world.zxid
    assert world.machine.time_ms == world.time_ms
    assert world.machine.digest == before
    assert world.effects == []


def test_listings_keep_the_order_of_creation():
    world = World()
    world.make("/p", "/p/z", "/p/a", "/p/m")
    world.do(Delete("/p/a"))
    world.make("/p/a")
    assert world.read(GetChildren("/p")).names == ["z", "m", "a"]
