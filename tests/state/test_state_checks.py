"""The conditions of a multi, and children page by page."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import Failed, PageReply
from coord.model.requests import (
    CheckCreated,
    CheckData,
    CheckExists,
    ChildrenPage,
    Create,
    Delete,
    Multi,
    SetAcl,
    SetData,
)
from coord.state import reads
from tests.state.world import ANN, code_of

ANNS = ((31, *ANN),)


def guarded(world, check, *identities) -> list[int]:
    reply = world.do(Multi((check, Create("/done", b"", OPEN_ACL))), *identities)
    return [code_of(each) for each in reply.replies]


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (CheckExists("/a", True), 0),
        (CheckExists("/a", False), -110),
        (CheckExists("/none", True), -101),
        (CheckExists("/none", False), 0),
        (CheckData("/a", b"x"), 0),
        (CheckData("/a", b"y"), -103),
        (CheckData("/a", None), -103),
        (CheckData("/none", b"x"), -101),
        (CheckCreated("/a", 7), -103),
        (CheckCreated("/none", 7), -101),
        (CheckCreated("no path", 7), -8),
    ],
    ids=repr,
)
def test_a_multi_is_done_if_its_conditions_hold(world, check, code):
    world.make("/a", data=b"x")
    assert guarded(world, check) == ([code, -2] if code else [0, 0])
    assert ("/done" in world.machine.tree.nodes) == (code == 0)


def test_a_guard_holds_for_the_very_znode_and_not_for_another_of_its_name(world):
    world.make("/lock")
    held = CheckCreated("/lock", world.node("/lock").czxid)
    assert guarded(world, held) == [0, 0]
    world.do(Delete("/done"))
    world.do(SetData("/lock", b"changed"))
    assert guarded(world, held) == [0, 0]
    world.do(Delete("/lock"))
    world.make("/lock")
    assert guarded(world, held) == [-103, -2]


@pytest.mark.parametrize(
    "check", [CheckExists("/a", True), CheckExists("/a", False), CheckData("/a", b""), CheckCreated("/a", 1)], ids=repr
)
def test_a_condition_on_what_may_not_be_read_is_refused(world, check):
    world.make("/a")
    world.do(SetAcl("/a", ANNS))
    assert guarded(world, check) == [-102, -2]


def page(world, *args, identities=()) -> PageReply:
    reply = world.read(ChildrenPage(*args), *identities)
    assert isinstance(reply, PageReply), reply
    return reply


def test_pages_give_all_children_in_the_order_of_their_names(world):
    world.make("/a", *[f"/a/{name}" for name in ("c", "a", "e", "b", "d")])
    first = page(world, "/a", "", 2)
    assert [name for name, _, _ in first.children] == ["a", "b"]
    assert first.more
    assert first.stat is world.node("/a")
    second = page(world, "/a", "b", 3)
    assert [name for name, _, _ in second.children] == ["c", "d", "e"]
    assert not second.more
    assert page(world, "/a", "e", 3).children == []
    assert [name for name, _, _ in page(world, "/a", "bb", 1).children] == ["c"]


def test_a_page_has_data_if_asked_for(world):
    world.make("/a")
    world.make("/a/b", data=b"x")
    ((name, stat, data),) = page(world, "/a", "", 10, True).children
    assert (name, stat, data) == ("b", world.node("/a/b"), b"x")
    ((_, stat, data),) = page(world, "/a", "", 10, False).children
    assert (stat, data) == (world.node("/a/b"), None)


def test_the_root_has_pages_too(world):
    world.make("/a")
    assert [name for name, _, _ in page(world, "/", "", 10).children] == ["a", "zookeeper"]


def test_a_page_shows_nothing_but_the_name_of_a_child_that_may_not_be_read(world):
    world.make("/a", "/a/open")
    world.make("/a/shut", data=b"secret", acl=OPEN_ACL)
    world.do(SetAcl("/a/shut", ANNS))
    assert page(world, "/a", "", 10, True).children[1] == ("shut", None, None)
    assert page(world, "/a", "", 10, True, identities=(ANN,)).children[1][2] == b"secret"
    world.do(SetAcl("/a", ANNS))
    assert world.read(ChildrenPage("/a")).code == -102


@pytest.mark.parametrize("limit", [0, -1, reads.PAGE_MAX + 1])
def test_a_page_of_no_size_is_refused(world, limit):
    refused = world.read(ChildrenPage("/", "", limit))
    assert isinstance(refused, Failed)
    assert refused.code == -8


def test_a_page_ends_when_its_bytes_are_many(world, monkeypatch):
    monkeypatch.setattr(reads, "PAGE_BYTES_MAX", 100)
    for number in range(5):
        world.make(f"/n{number}", data=b"x" * 60)
    first = page(world, "/", "", 100, True)
    assert [name for name, _, _ in first.children] == ["n0", "n1"]
    assert first.more
