"""Creates that make what is missing above them, and deletions of whole subtrees."""

import pytest

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL
from coord.model.errors import (
    BadArgumentsError,
    BadVersionError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    QuotaExceededError,
    TooLargeError,
)
from coord.model.replies import NODE_CREATED, NODE_DELETED, Created, Done
from coord.model.requests import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    Create,
    Delete,
    DeleteTree,
    Multi,
    SetAcl,
    SetData,
)
from coord.state import znode_writes
from tests.state.world import ANN, code_of, error_of, everything, whole_digest

ANNS = ((31, *ANN),)


def with_parents(path: str, data: bytes = b"x", acl=OPEN_ACL, kind: int = 0) -> Create:
    return Create(path, data, acl, kind, -1, True)


def unchanged(world, request, error) -> str:
    """`request` fails with `error` and leaves no trace; its sentence."""
    before = {**everything(world.machine), "zxid": 0, "time": 0}
    reply = world.do(request)
    assert type(error_of(reply)) is error
    assert {**everything(world.machine), "zxid": 0, "time": 0} == before
    assert world.effects == []
    return str(error_of(reply))


# ---- parents


def test_what_is_missing_above_is_made_in_the_same_zxid(world):
    world.make("/a")
    reply = world.do(with_parents("/a/b/c/d"))
    assert isinstance(reply, Created)
    assert reply.path == "/a/b/c/d"
    assert world.changes() == [(NODE_CREATED, path) for path in ("/a/b", "/a/b/c", "/a/b/c/d")]
    for path in ("/a/b", "/a/b/c"):
        node = world.node(path)
        assert (node.data, node.acl, node.czxid, node.ephemeral_owner, node.lifetime_ms) == (
            b"",
            OPEN_ACL,
            world.zxid,
            0,
            0,
        )
    assert world.node("/a").pzxid == world.zxid
    assert world.node("/a").cversion == 1
    assert world.machine.digest == whole_digest(world.machine)


def test_parents_that_exist_are_left_alone(world):
    world.make("/a", "/a/b")
    world.do(with_parents("/a/b/c"))
    assert world.changes() == [(NODE_CREATED, "/a/b/c")]
    unchanged(world, with_parents("/a/b/c"), NodeExistsError)


def test_a_sequential_znode_under_parents_just_made_is_the_first(world):
    assert world.do(with_parents("/q/r/n-", kind=PERSISTENT_SEQUENTIAL)).path == "/q/r/n-0000000000"
    assert world.do(with_parents("/q/r/n-", kind=PERSISTENT_SEQUENTIAL)).path == "/q/r/n-0000000001"


def test_an_ephemeral_may_have_its_parents_made_but_be_none(world):
    world.do(with_parents("/a/b/e", kind=EPHEMERAL))
    assert world.node("/a/b").ephemeral_owner == 0
    assert world.node("/a/b/e").ephemeral_owner == 1
    unchanged(world, with_parents("/a/b/e/f/g"), NoChildrenForEphemeralsError)


def test_parents_need_the_right_to_create_below_the_nearest_that_exists(world):
    world.make("/locked", acl=READ_ONLY_ACL)
    unchanged(world, with_parents("/locked/a/b"), NoAuthError)


def test_parents_have_the_list_of_the_znode(world):
    world.do(with_parents("/a/b", acl=ANNS))
    assert world.node("/a").acl == ANNS


@pytest.mark.parametrize("path", ["/a//b", "/a/b/", "/a/./b", "a/b", "/a/\x01/b", ""])
def test_parents_of_a_wrong_path_are_not_made(world, path):
    unchanged(world, with_parents(path), BadArgumentsError)


def test_the_parents_that_one_create_makes_are_bounded(world):
    depth = znode_writes.PARENTS_MAX
    assert str(depth) in unchanged(world, with_parents("/a" * (depth + 2)), TooLargeError)
    assert code_of(world.do(with_parents("/a" * (depth + 1)))) == 0


def test_a_quota_counts_the_parents_too(world):
    world.make("/app", "/zookeeper/quota/app")
    world.make("/zookeeper/quota/app/zookeeper_limits", data=b"count=-1,bytes=-1,byteHardLimit=5,countHardLimit=4")
    unchanged(world, with_parents("/app/a/b/c/d"), QuotaExceededError)
    unchanged(world, with_parents("/app/a", b"too long"), QuotaExceededError)
    assert code_of(world.do(with_parents("/app/a/b/c"))) == 0
    assert code_of(world.do(Create("/app/d", b"", OPEN_ACL))) == -125


# ---- subtrees


def test_a_subtree_is_deleted_at_once_the_lowest_first(world):
    world.make("/a", "/a/b", "/a/b/c", "/a/d", "/ab")
    assert world.do(DeleteTree("/a")) == Done()
    told = world.changes()
    assert {path for _, path in told} == {"/a", "/a/b", "/a/b/c", "/a/d"}
    assert all(kind == NODE_DELETED for kind, _ in told)
    order = [path for _, path in told]
    assert order.index("/a/b/c") < order.index("/a/b") < order.index("/a") == 3
    assert "/ab" in world.machine.tree.nodes
    assert world.node("/").pzxid == world.zxid
    assert world.machine.digest == whole_digest(world.machine)


def test_ephemerals_in_it_go_as_well(world):
    world.make("/a")
    world.make("/a/e", kind=EPHEMERAL)
    world.do(DeleteTree("/a"))
    assert not world.machine.sessions[1].ephemerals
    assert world.machine.tree.ephemerals == 0


def test_the_version_is_that_of_the_root(world):
    world.make("/a", "/a/b")
    unchanged(world, DeleteTree("/a", 1), BadVersionError)
    world.do(SetData("/a", b"x"))
    assert code_of(world.do(DeleteTree("/a", 1))) == 0


def test_what_is_not_there_or_reserved_is_not_deleted(world):
    unchanged(world, DeleteTree("/none"), NoNodeError)
    for path in ("/", "/zookeeper", "/zookeeper/quota", "x"):
        unchanged(world, DeleteTree(path), BadArgumentsError)


def test_every_parent_in_it_must_allow_it(world):
    world.make("/a", "/a/b", "/a/b/c")
    world.do(SetAcl("/a/b", ANNS))
    unchanged(world, DeleteTree("/a"), NoAuthError)
    assert code_of(world.do(DeleteTree("/a"), ANN)) == 0


def test_a_leaf_that_allows_nothing_is_no_obstacle(world):
    """As for a single delete: what counts is the right on the parent."""
    world.make("/a")
    world.make("/a/b", acl=READ_ONLY_ACL)
    assert code_of(world.do(DeleteTree("/a"))) == 0


def test_what_one_write_deletes_is_bounded(world, monkeypatch):
    monkeypatch.setattr(znode_writes, "TREE_DELETE_MAX", 3)
    world.make("/a", "/a/b", "/a/c", "/a/d")
    assert "more than 3" in unchanged(world, DeleteTree("/a"), TooLargeError)
    world.do(Delete("/a/d"))
    assert code_of(world.do(DeleteTree("/a"))) == 0


def test_in_a_multi_the_bound_is_of_all_its_changes(world, monkeypatch):
    monkeypatch.setattr(znode_writes, "TREE_DELETE_MAX", 3)
    world.make("/a", "/a/b", "/c", "/c/d")
    reply = world.do(Multi((DeleteTree("/a"), DeleteTree("/c"))))
    assert [code_of(each) for each in reply.replies] == [0, TooLargeError.code]
    assert "/a/b" in world.machine.tree.nodes


def test_in_a_multi_all_of_it_is_taken_back(world):
    world.make("/a", "/a/b", "/a/b/c", "/a/d", data=b"x")
    world.make("/a/e", kind=EPHEMERAL)
    world.do(SetData("/a/b", b"y"))
    steps = (
        SetAcl("/a/b", ((31, "world", "anyone"), (1, "ip", "10.0.0.0/8"))),
        with_parents("/p/q/r"),
        with_parents("/a/x/y/z"),
        DeleteTree("/a"),
        with_parents("/a/b/c/d/e"),
        DeleteTree("/p"),
        Delete("/none"),
    )
    images = {path: node.image() for path, node in world.machine.tree.nodes.items()}
    digest = world.machine.digest
    reply = world.do(Multi(steps))
    assert [code_of(each) for each in reply.replies] == [0] * 6 + [-101]
    assert {path: node.image() for path, node in world.machine.tree.nodes.items()} == images
    assert world.machine.digest == digest == whole_digest(world.machine)
    assert list(world.machine.sessions[1].ephemerals) == ["/a/e"]
    assert world.effects == []
    done = world.do(Multi(steps[:-1]))
    assert [code_of(each) for each in done.replies] == [0] * 6
    assert {path for path in world.machine.tree.nodes if not path.startswith("/zookeeper")} == {
        "/",
        "/a",
        "/a/b",
        "/a/b/c",
        "/a/b/c/d",
        "/a/b/c/d/e",
    }
