"""Containers and TTL znodes: when they are due, and what the leader's ReapNode does."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.replies import CONTAINER_EMPTY, EXPLICIT, TTL_EXPIRED, Done
from coord.model.requests import CONTAINER, EPHEMERAL, TTL, Create, Delete, DeleteContainer, Multi, ReapNode, SetData
from tests.state.world import World

NEVER_USED_MS = 300_000


def due(world: World, later_ms: int = 0, limit: int = 100) -> list[str]:
    return [each.path for each in world.machine.reapable(world.time_ms + later_ms, NEVER_USED_MS, limit)]


def test_a_container_is_due_when_its_last_child_is_gone(world):
    world.make("/c", kind=CONTAINER)
    world.make("/c/x", "/c/y")
    assert due(world, 10**9) == []
    world.do(Delete("/c/x"))
    assert due(world) == []
    world.do(Delete("/c/y"))
    assert due(world) == ["/c"]
    world.make("/c/z")
    assert due(world) == []


def test_a_container_that_was_never_used_is_due_after_a_while_since_it_was_written(world):
    world.make("/c", kind=CONTAINER)
    assert due(world, NEVER_USED_MS) == []
    assert due(world, NEVER_USED_MS + 1) == ["/c"]
    world.do(SetData("/c", b"used"))
    assert due(world, NEVER_USED_MS) == []
    assert world.machine.reapable(10**12, 0, 10) == []


def test_a_ttl_znode_is_due_when_it_was_not_written_for_longer_than_its_ttl(world):
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    assert due(world, 5000) == []
    assert due(world, 5001) == ["/t"]
    world.do(SetData("/t", b""))
    assert due(world, 5000) == []
    assert due(world, 5001) == ["/t"]


def test_a_ttl_znode_with_children_is_not_due(world):
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    world.make("/t/x")
    assert due(world, 10**6) == []
    world.do(Delete("/t/x"))
    assert due(world, 10**6) == ["/t"]


def test_ordinary_znodes_are_never_due(world):
    world.make("/p", "/p/x")
    world.make("/e", kind=EPHEMERAL)
    world.do(Delete("/p/x"))
    assert due(world, 10**12) == []


def test_what_was_deleted_is_not_due_any_more(world):
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 1))
    world.do(Delete("/c"))
    world.do(Delete("/t"))
    assert due(world, 10**12) == []


def test_no_more_are_listed_than_asked_for(world):
    for number in range(5):
        world.make(f"/c{number}", kind=CONTAINER)
        world.make(f"/c{number}/x")
        world.do(Delete(f"/c{number}/x"))
        world.do(Create(f"/t{number}", b"", OPEN_ACL, TTL, 1000 - number))
        world.make(f"/u{number}", kind=CONTAINER)
    everything = due(world, 10**9)
    assert everything[:5] == ["/c0", "/c1", "/c2", "/c3", "/c4"]
    assert everything[5:10] == ["/u0", "/u1", "/u2", "/u3", "/u4"]
    assert len(everything) == 15
    for limit in range(16):
        assert due(world, 10**9, limit) == everything[:limit]


@pytest.mark.parametrize(("kind", "ttl_ms", "cause"), [(CONTAINER, -1, CONTAINER_EMPTY), (TTL, 7, TTL_EXPIRED)])
def test_reaping_deletes_what_is_still_as_it_was_and_says_why(world, kind, ttl_ms, cause):
    world.do(Create("/n", b"", OPEN_ACL, kind, ttl_ms))
    (request,) = world.machine.reapable(10**12, 1, 10)
    assert world.do(request, session=0, origin=0) == Done()
    assert [(effect.path, effect.cause) for effect in world.effects] == [("/n", cause)]
    assert world.node("/").pzxid == world.zxid


def test_reaping_leaves_alone_what_was_used_since_the_leader_looked(world):
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5))
    container, ttl = world.machine.reapable(10**12, 1, 10)
    world.make("/c/x")
    world.do(SetData("/t", b""))
    for request in (container, ttl):
        assert world.do(request, session=0, origin=0) == Done()
        assert world.effects == []
    world.do(Delete("/c/x"))
    assert world.do(container, session=0, origin=0) == Done()
    assert world.effects == []
    assert {"/c", "/t"} <= set(world.machine.tree.nodes)


@pytest.mark.parametrize("path", ["/none", "/plain", "/e", "/", "/zookeeper", "bad"])
def test_reaping_anything_else_does_nothing(world, path):
    world.make("/plain")
    world.make("/e", kind=EPHEMERAL)
    znode = world.machine.tree.nodes.get(path)
    request = ReapNode(path, znode.mzxid if znode else 0, znode.pzxid if znode else 0)
    assert world.do(request, session=0, origin=0) == Done()
    assert world.effects == []


def test_a_client_may_delete_a_container_or_ttl_znode_by_the_operation_made_for_it(world):
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    for path in ("/c", "/t"):
        assert world.do(DeleteContainer(path)) == Done()
        assert [(effect.path, effect.cause) for effect in world.effects] == [(path, EXPLICIT)]


def test_a_failed_multi_leaves_what_is_due_as_it_was(world):
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    before = world.machine.reapable(10**12, 1, 10)
    steps = (
        Create("/c/x", b"", OPEN_ACL),
        SetData("/t", b"y"),
        Create("/d", b"", OPEN_ACL, CONTAINER),
        Delete("/c/x"),
        Delete("/none"),
    )
    world.do(Multi(steps))
    assert world.machine.reapable(10**12, 1, 10) == before
