"""Quotas as zkCli sets them: what they count, what they refuse, what they tell."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.requests import EPHEMERAL, CloseSession, Create, Delete, GetData, Multi, SetData
from coord.state.quota import NOTICES_MAX, Limits, parse_limits
from tests.state.world import World, everything, whole_digest

FOLDER = "/zookeeper/quota/app"
LIMITS = FOLDER + "/zookeeper_limits"
STATS = FOLDER + "/zookeeper_stats"


def set_quota(world: World, text: bytes) -> None:
    """What zkCli's setquota sends."""
    world.make(FOLDER)
    world.make(LIMITS, data=text)
    world.make(STATS, data=b"count=0,bytes=0")


def stats(world: World) -> bytes | None:
    return world.read(GetData(STATS)).data


@pytest.fixture
def app() -> World:
    """/app with 2 bytes, /app/x with 3."""
    world = World()
    world.make("/app", data=b"ab")
    world.make("/app/x", data=b"cde")
    return world


def test_a_new_quota_shows_what_is_there_already_the_znode_itself_included(app):
    set_quota(app, b"count=10,bytes=100")
    assert stats(app) == b"count=2,bytes=5"


def test_the_numbers_follow_every_write_below(app):
    set_quota(app, b"count=10,bytes=100")
    app.make("/app/y", data=b"12345")
    assert stats(app) == b"count=3,bytes=10"
    app.do(SetData("/app/x", b""))
    assert stats(app) == b"count=3,bytes=7"
    app.do(SetData("/app", None))
    assert stats(app) == b"count=3,bytes=5"
    app.do(Delete("/app/y"))
    assert stats(app) == b"count=2,bytes=0"


def test_ephemerals_that_go_with_their_session_are_taken_off(app):
    set_quota(app, b"count=10,bytes=100")
    app.make("/app/e", kind=EPHEMERAL, data=b"1")
    assert stats(app) == b"count=3,bytes=6"
    app.do(CloseSession())
    assert stats(app) == b"count=2,bytes=5"


def test_neighbours_with_a_like_name_do_not_count(app):
    set_quota(app, b"count=10,bytes=100")
    app.make("/apple", data=b"x")
    assert stats(app) == b"count=2,bytes=5"


def test_showing_the_numbers_moves_no_version_and_fires_no_watch(app):
    set_quota(app, b"count=10,bytes=100")
    before = app.node(STATS).image()[1:]
    app.make("/app/y")
    assert app.node(STATS).image()[1:] == before
    assert [path for _, path in app.changes()] == ["/app/y"]


def test_what_a_client_writes_over_the_numbers_is_replaced(app):
    set_quota(app, b"count=10,bytes=100")
    app.do(SetData(STATS, b"count=0,bytes=0"))
    assert stats(app) == b"count=2,bytes=5"
    assert app.node(STATS).version == 1


def test_a_hard_count_refuses_creations_but_no_other_writes(app):
    set_quota(app, b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3")
    assert app.code(Create("/app/y", b"", OPEN_ACL)) == 0
    assert app.code(Create("/app/z", b"", OPEN_ACL)) == -125
    assert app.code(SetData("/app/x", b"x" * 1000)) == 0
    assert app.code(Delete("/app/y")) == 0
    assert app.code(Create("/app/z", b"", OPEN_ACL)) == 0


def test_hard_bytes_refuse_what_would_grow_and_let_shrink(app):
    set_quota(app, b"count=-1,bytes=-1=;byteHardLimit=8;countHardLimit=-1")
    assert app.code(Create("/app/y", b"1234", OPEN_ACL)) == -125
    assert app.code(SetData("/app/x", b"cdefgh")) == 0
    assert app.code(SetData("/app/x", b"cdefghi")) == -125
    assert app.code(Create("/app/y", b"", OPEN_ACL)) == 0
    app.do(SetData(LIMITS, b"byteHardLimit=1"))
    assert app.code(SetData("/app/x", b"cdefg")) == 0
    assert app.code(SetData("/app/x", b"cdefgh")) == -125


def test_a_soft_limit_is_told_once_when_it_is_first_exceeded(app):
    set_quota(app, b"count=2,bytes=6")
    app.make("/app/y")
    app.make("/app/z")
    app.do(SetData("/app/y", b"1234"))
    assert app.machine.notices == [
        "/app now holds 3 znodes, its soft quota is 2",
        "/app now holds 9 bytes, its soft quota is 6",
    ]


def test_notices_do_not_pile_up_without_end(app):
    set_quota(app, b"count=2,bytes=-1")
    for _ in range(NOTICES_MAX + 10):
        app.make("/app/y")
        app.do(Delete("/app/y"))
    assert len(app.machine.notices) == NOTICES_MAX


def test_changing_the_limits_counts_at_once(app):
    set_quota(app, b"count=10,bytes=-1")
    app.do(SetData(LIMITS, b"count=-1,bytes=-1=;countHardLimit=2"))
    assert app.code(Create("/app/y", b"", OPEN_ACL)) == -125


def test_without_its_limits_there_is_no_quota(app):
    set_quota(app, b"countHardLimit=2")
    app.do(Delete(LIMITS))
    assert app.code(Create("/app/y", b"", OPEN_ACL)) == 0
    assert app.machine.tree.quotas == {}
    assert stats(app) == b"count=2,bytes=5"


def test_limits_set_again_count_anew(app):
    set_quota(app, b"count=10,bytes=-1")
    app.do(Delete(LIMITS))
    app.make("/app/y")
    app.make(LIMITS, data=b"count=10,bytes=-1")
    assert stats(app) == b"count=3,bytes=5"


def test_a_quota_may_be_set_before_its_subtree_exists():
    world = World()
    set_quota(world, b"countHardLimit=1")
    assert stats(world) == b"count=0,bytes=0"
    assert world.code(Create("/app", b"x", OPEN_ACL)) == 0
    assert stats(world) == b"count=1,bytes=1"
    assert world.code(Create("/app/y", b"", OPEN_ACL)) == -125


def test_the_nearest_quota_decides_and_all_show_their_numbers(app):
    set_quota(app, b"countHardLimit=3")
    app.make(FOLDER + "/x")
    app.make(FOLDER + "/x/zookeeper_limits", data=b"countHardLimit=5")
    app.make("/app/x/1", "/app/x/2")
    assert stats(app) == b"count=4,bytes=5"
    assert app.code(Create("/app/y", b"", OPEN_ACL)) == -125


def test_there_is_no_quota_on_the_root_nor_on_zookeeper(world):
    world.make("/zookeeper/quota/zookeeper_limits", data=b"countHardLimit=1")
    world.make("/zookeeper/quota/zookeeper", "/zookeeper/quota/zookeeper/quota")
    world.make("/zookeeper/quota/zookeeper/zookeeper_limits", data=b"countHardLimit=1")
    world.make("/zookeeper/quota/zookeeper/quota/zookeeper_limits", data=b"countHardLimit=1")
    assert world.machine.tree.quotas == {}
    world.make("/a", "/zookeeper/b")


def test_a_failed_multi_leaves_numbers_quotas_and_notices_as_they_were(app):
    set_quota(app, b"count=2,bytes=-1=;countHardLimit=4")
    before = everything(app.machine)
    steps = (Create("/app/y", b"123", OPEN_ACL), SetData(LIMITS, b""), SetData("/app", b"longer"), Delete("/none"))
    app.do(Multi(steps))
    assert {**everything(app.machine), "zxid": 0, "time": 0} == {**before, "zxid": 0, "time": 0}
    assert app.machine.notices == []
    app.do(Multi((Delete(LIMITS), Create("/app/y", b"123", OPEN_ACL), Delete("/none"))))
    assert app.machine.digest == before["digest"]
    assert stats(app) == b"count=2,bytes=5"
    assert app.machine.digest == whole_digest(app.machine)


def test_a_multi_counts_its_own_steps(app):
    set_quota(app, b"countHardLimit=3")
    reply = app.do(Multi((Create("/app/y", b"", OPEN_ACL), Create("/app/z", b"", OPEN_ACL))))
    assert [each.code for each in reply.replies] == [0, -125]
    assert stats(app) == b"count=2,bytes=5"


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (b"count=4,bytes=5=;byteHardLimit=6;countHardLimit=7", Limits(4, 5, 7, 6)),
        (b"count=4,bytes=-1", Limits(4, -1, -1, -1)),
        (b"bytes=9", Limits(-1, 9, -1, -1)),
        (b"count=,bytes=x;countHardLimit=1.5", Limits()),
        (b"\xff\xfe", Limits()),
        (b"count=" + b"9" * 5000, Limits()),
        (b"count=--5", Limits()),
        (b"count=-", Limits()),
        (b"", Limits()),
        (None, Limits()),
    ],
)
def test_limits_are_read_from_zookeepers_text_and_nonsense_limits_nothing(text, limits):
    assert parse_limits(text) == limits
