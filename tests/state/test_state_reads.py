"""What reads answer."""

from dataclasses import fields

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import ChildrenReply, CountReply, DataReply, EphemeralsReply, ExistsReply, MultiReadDone
from coord.model.requests import (
    EPHEMERAL,
    CountDescendants,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    MultiRead,
)
from coord.model.stat import Stat
from tests.state.world import ANN, code_of


def test_data_and_stat_come_from_the_znode_itself(world):
    world.make("/a", data=b"x")
    assert world.read(GetData("/a")) == DataReply(b"x", world.node("/a"))
    assert world.read(Exists("/a")) == ExistsReply(world.node("/a"))


@pytest.mark.parametrize("creations", [0, 1, 2**30, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("data", [None, b"", b"xyz"])
def test_a_stat_is_shown_copied_and_asked_field_by_field_alike(world, creations, data):
    world.make("/a", "/a/x", "/a/y")
    znode = world.node("/a")
    znode.creations, znode.data = creations, data
    shown = znode.shown()
    assert shown == znode.frozen().shown()
    assert shown == tuple(getattr(znode, field.name) for field in fields(Stat) if field.name != "lifetime_ms")
    assert -(2**31) <= znode.cversion < 2**31


def test_what_is_not_there_is_not_found_whatever_its_path(world):
    for path in ("/none", "/none/x", "bad", "", "/bad/", "/\0"):
        for request in (GetData(path), Exists(path), GetAcl(path), GetChildren(path), CountDescendants(path)):
            assert code_of(world.read(request)) == -101


def test_children_are_names_not_paths(world):
    world.make("/a", "/a/b", "/a/c", "/a/b/d")
    assert world.read(GetChildren("/a")) == ChildrenReply(["b", "c"], world.node("/a"))
    assert world.read(GetChildren("/a/c")).names == []
    assert world.read(GetChildren("/")).names == ["zookeeper", "a"]


def test_descendants_are_counted_without_the_znode_itself(world):
    world.make("/a", "/a/b", "/a/c", "/a/b/d", "/ab")
    assert world.read(CountDescendants("/a")) == CountReply(3)
    assert world.read(CountDescendants("/ab")) == CountReply(0)
    assert world.read(CountDescendants("/")) == CountReply(8)


def test_ephemerals_are_those_of_the_callers_session_by_plain_prefix(world):
    world.open(2)
    world.make("/a")
    world.make("/ab", "/a/e", "/b", kind=EPHEMERAL)
    world.make("/c", kind=EPHEMERAL, session=2)
    assert world.read(GetEphemerals("/a")) == EphemeralsReply(["/ab", "/a/e"])
    assert world.read(GetEphemerals("/")).paths == ["/ab", "/a/e", "/b"]
    assert world.read(GetEphemerals("")).paths == ["/ab", "/a/e", "/b"]
    assert world.read(GetEphemerals("/"), session=2).paths == ["/c"]
    assert world.read(GetEphemerals("/"), session=77).paths == []


def test_each_part_of_a_multi_read_succeeds_or_fails_by_itself(world):
    world.make("/a", data=b"x")
    world.make("/closed", acl=((31, *ANN),))
    reply = world.read(MultiRead((GetData("/a"), GetData("/none"), GetChildren("/closed"), GetChildren("/a"))))
    assert isinstance(reply, MultiReadDone)
    assert [code_of(each) for each in reply.replies] == [0, -101, -102, 0]
    assert reply.replies[0].data == b"x"
    assert world.read(MultiRead(())) == MultiReadDone(())


def test_reading_changes_nothing(world):
    world.make("/a", acl=OPEN_ACL)
    before = world.machine.digest, world.machine.zxid
    world.read(GetData("/a", watch=True))
    assert (world.machine.digest, world.machine.zxid) == before
