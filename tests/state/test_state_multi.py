"""Several writes as one: all or nothing, each seeing those before it."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import DATA_CHANGED, Created, Done, MultiDone, Written
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    TTL,
    CheckVersion,
    CloseSession,
    Create,
    Delete,
    DeleteContainer,
    Multi,
    SetData,
)
from coord.state.acl import READ, WRITE
from tests.state.world import ANN, everything, restored, whole_digest


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


def test_sets_of_different_znodes_are_done_under_one_zxid_each_with_its_reply(world):
    world.make("/a", "/b", "/c", data=b"old")
    reply = world.do(Multi((SetData("/c", None), SetData("/a", b"longer", 0), SetData("/b", b""))))
    assert [(each.stat.version, each.stat.mzxid, each.stat.data_length) for each in reply.replies] == [
        (1, world.zxid, 0),
        (1, world.zxid, 6),
        (1, world.zxid, 0),
    ]
    assert [world.node(path).data for path in ("/a", "/b", "/c")] == [b"longer", b"", None]
    assert world.changes() == [(DATA_CHANGED, "/c"), (DATA_CHANGED, "/a"), (DATA_CHANGED, "/b")]
    assert world.machine.digest == whole_digest(world.machine)


@pytest.mark.parametrize("versions", [(0, 1), (-1, -1), (0, -1)])
def test_sets_of_one_znode_see_each_other_and_each_reply_is_of_its_own_step(world, versions):
    world.make("/a", "/b")
    first, second = versions
    reply = world.do(Multi((SetData("/a", b"x", first), SetData("/b", b"y"), SetData("/a", b"longer", second))))
    assert [(each.stat.version, each.stat.data_length) for each in reply.replies] == [(1, 1), (1, 1), (2, 6)]


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize(
    ("step", "code"),
    [(SetData("/a", b"", 7), -103), (SetData("/none", b""), -101), (SetData("/locked", b""), -102)],
)
def test_of_sets_alone_either_all_or_none_is_done(world, failing, step, code):
    world.make("/a", "/b", "/c", data=b"kept")
    world.make("/locked", acl=((READ, "world", "anyone"),))
    before = everything(world.machine)
    steps = [SetData("/b", b"lost"), SetData("/c", b"lost")]
    steps.insert(failing, step)
    assert codes(world.do(Multi(tuple(steps)))) == [0] * failing + [code] + [-2] * (2 - failing)
    assert world.effects == []
    assert {**everything(world.machine), "zxid": 0, "time": 0} == {**before, "zxid": 0, "time": 0}


def test_sets_alone_may_need_a_right_that_the_client_has(world):
    world.make("/mine", acl=((READ | WRITE, *ANN),))
    world.make("/a")
    steps = Multi((SetData("/mine", b"x"), SetData("/a", b"x")))
    assert codes(world.do(steps)) == [-102, -2]
    assert [type(each) for each in world.do(steps, ANN).replies] == [Written, Written]
    assert [change.acl for change in world.effects] == [((READ | WRITE, *ANN),), OPEN_ACL]


def test_a_quota_that_a_set_makes_holds_for_the_sets_after_it(world):
    limits = "/zookeeper/quota/app/zookeeper_limits"
    world.make("/app", data=b"")
    world.make("/zookeeper/quota/app", limits)
    steps = (SetData(limits, b"count=-1,bytes=-1=;byteHardLimit=3"), SetData("/app", b"12345"))
    assert codes(world.do(Multi(steps))) == [0, -125]
    assert world.node("/app").data == b""


def test_sets_alone_leave_a_snapshot_that_is_being_taken_as_it_was(world):
    world.make("/a", "/b", data=b"then")
    digest = world.machine.digest
    walk = world.machine.begin_walk()
    world.do(Multi((SetData("/a", b"now"), SetData("/b", b"now"))))
    machine = restored(list(iter(walk.next_chunk, None)))
    assert machine.digest == digest
    assert machine.tree.nodes["/a"].data == b"then"


def test_sets_alone_of_the_same_znodes_again_and_again_are_summed_up_together(world):
    world.make("/a", "/b", data=b"old")
    for data in (b"longer", None, b"x"):
        world.do(Multi((SetData("/a", data), SetData("/b", data))))
    assert world.machine.digest == whole_digest(world.machine)
    assert world.machine.tree.size_bytes == sum(
        len(path) + len(znode.data or b"") for path, znode in world.machine.tree.nodes.items()
    )


@pytest.mark.parametrize(("version", "following"), [(2**31 - 1, -(2**31)), (-2, 0), (-3, -2)])
def test_sets_alone_wrap_the_version_as_a_single_one_does(world, version, following):
    world.make("/a", "/b")
    world.node("/a").version = version
    world.do(Multi((SetData("/b", b""), SetData("/a", b"", version))))
    assert (world.node("/a").version, world.node("/b").version) == (following, 1)


def test_sets_alone_put_off_when_a_ttl_znode_is_due(world):
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    world.make("/a")
    world.time_ms += 4000
    world.do(Multi((SetData("/a", b""), SetData("/t", b""))))
    assert world.machine.reapable(world.time_ms + 5000, 0, 100) == []
    assert [each.path for each in world.machine.reapable(world.time_ms + 5001, 0, 100)] == ["/t"]


def test_sets_alone_of_what_only_looks_like_a_quota_are_done_as_any(world):
    stats = "/zookeeper/quota/app/zookeeper_stats"
    world.make("/app", "/zookeeper/quota/app", stats)
    reply = world.do(Multi((SetData(stats, b"mine"), SetData("/app", b"x"))))
    assert [type(each) for each in reply.replies] == [Written, Written]
    assert world.node(stats).data == b"mine"
    assert world.machine.digest == whole_digest(world.machine)


def test_sets_alone_need_no_reserved_znode(world):
    """A snapshot of others' making may lack them, and an exception would end every server, at each start."""
    world.make("/a", "/b")
    del world.machine.tree.nodes["/zookeeper/quota"]
    reply = world.do(Multi((SetData("/a", b"x"), SetData("/b", b"x"))))
    assert [type(each) for each in reply.replies] == [Written, Written]


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
