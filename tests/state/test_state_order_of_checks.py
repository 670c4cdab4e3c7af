"""Which error wins when several apply: every row is wrong in all the ways that come after its code."""

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.requests import (
    EPHEMERAL,
    TTL,
    CheckVersion,
    Create,
    Delete,
    DeleteContainer,
    SetAcl,
    SetData,
)
from tests.state.world import World

CLOSED = ((31, "digest", "ann:hash-of-ann"),)
BAD_ACL = ((31, "nonsense", "x"),)
GONE, MOVED = 99, 2


@pytest.fixture
def full() -> World:
    """/closed: only ann may; /ephemeral; /quota: full; /parent has a child."""
    world = World()
    world.open(2, origin=9)
    world.make("/closed", acl=OPEN_ACL)
    world.make("/closed/node")
    world.make("/closed/node/child")
    world.do(SetAcl("/closed/node", CLOSED))
    world.do(SetAcl("/closed", CLOSED))
    world.make("/ephemeral", kind=EPHEMERAL)
    world.make("/parent", "/parent/child")
    world.make("/full")
    world.make("/zookeeper/quota/full")
    world.make("/zookeeper/quota/full/zookeeper_limits", data=b"count=-1,bytes=-1=;byteHardLimit=0;countHardLimit=1")
    return world


CREATES = [
    ("flags before the session", Create("bad\0", b"", BAD_ACL, 99), GONE, -8),
    ("the TTL before the session", Create("bad\0", b"", BAD_ACL, TTL, 0), GONE, -8),
    ("the session before the path", Create("bad\0", b"", BAD_ACL), GONE, -112),
    ("the session before the path", Create("bad\0", b"", BAD_ACL), MOVED, -118),
    ("no slash before the ACL", Create("bad", b"", BAD_ACL), 1, -8),
    ("NUL before the ACL", Create("/missing/\0", b"", BAD_ACL), 1, -8),
    ("the ACL before the parent", Create("/missing/..", b"", BAD_ACL), 1, -114),
    ("the empty ACL before the parent", Create("/missing/..", b"", ()), 1, -114),
    ("the null ACL before the parent", Create("/missing/..", b"", None), 1, -114),
    ("the parent before the whole path", Create("/missing/..", b"", OPEN_ACL), 1, -101),
    ("CREATE before the whole path", Create("/closed/..", b"", OPEN_ACL), 1, -102),
    ("CREATE before existence", Create("/closed/node", b"", OPEN_ACL), 1, -102),
    ("the whole path before an ephemeral parent", Create("/ephemeral/..", b"", OPEN_ACL), 1, -8),
    ("existence before the quota", Create("/full", b"x", OPEN_ACL), 1, -110),
    ("an ephemeral parent before success", Create("/ephemeral/x", b"", OPEN_ACL), 1, -108),
    ("the quota", Create("/full/x", b"", OPEN_ACL), 1, -125),
]
DELETES = [
    ("the session first", Delete("/"), GONE, -112),
    ("the root", Delete("/"), 1, -8),
    ("a reserved znode", Delete("/zookeeper", 77), 1, -8),
    ("a reserved znode", Delete("/zookeeper/quota"), 1, -8),
    ("a reserved znode", Delete("/zookeeper/config"), 1, -8),
    ("no path", Delete("x"), 1, -8),
    ("the parent before all", Delete("/missing/x", 77), 1, -101),
    ("DELETE on the parent before the node", Delete("/closed/missing", 77), 1, -102),
    ("DELETE on the parent before the version", Delete("/closed/node", 77), 1, -102),
    ("the node before the version", Delete("/missing", 77), 1, -101),
    ("the version before the children", Delete("/parent", 77), 1, -103),
    ("the children", Delete("/parent", 0), 1, -111),
]
SETS = [
    ("the session first", SetData("bad", b"", 77), GONE, -112),
    ("the path before the node", SetData("/bad/", b"", 77), 1, -8),
    ("the node before the version", SetData("/missing", b"", 77), 1, -101),
    ("WRITE before the version", SetData("/closed", b"", 77), 1, -102),
    ("the quota before the version", SetData("/full", b"x", 77), 1, -125),
    ("the version", SetData("/parent", b"x", 77), 1, -103),
]
ACLS = [
    ("the session first", SetAcl("bad", BAD_ACL, 77), GONE, -112),
    ("the path before the list", SetAcl("/bad/", BAD_ACL, 77), 1, -8),
    ("the list before the node", SetAcl("/missing", BAD_ACL, 77), 1, -114),
    ("the null list before the node", SetAcl("/missing", None, 77), 1, -114),
    ("the node before the version", SetAcl("/missing", OPEN_ACL, 77), 1, -101),
    ("ADMIN before the version", SetAcl("/closed", OPEN_ACL, 77), 1, -102),
    ("the aversion", SetAcl("/parent", OPEN_ACL, 77), 1, -103),
]
CHECKS = [
    ("the path before the node", CheckVersion("/bad/", 77), 1, -8),
    ("the node before the version", CheckVersion("/missing", 77), 1, -101),
    ("READ before the version", CheckVersion("/closed", 77), 1, -102),
    ("the version", CheckVersion("/parent", 77), 1, -103),
]
CONTAINERS = [
    ("a reserved znode", DeleteContainer("/zookeeper"), 1, -8),
    ("the node", DeleteContainer("/missing"), 1, -101),
    ("the children before the kind", DeleteContainer("/parent"), 1, -111),
    ("an ephemeral is no container", DeleteContainer("/ephemeral"), 1, -103),
    ("a persistent znode is no container", DeleteContainer("/full"), 1, -103),
]


@pytest.mark.parametrize(("why", "request_", "session", "code"), CREATES + DELETES + SETS + ACLS + CHECKS + CONTAINERS)
def test_the_first_failing_check_gives_the_error(full, why, request_, session, code):
    before = full.machine.digest
    assert full.code(request_, session=session) == code, why
    assert full.machine.digest == before
    assert full.effects == []


def test_every_refusal_says_why_in_a_sentence_that_names_the_value(full):
    for _, request, session, _ in CREATES + DELETES + SETS + ACLS + CHECKS + CONTAINERS:
        sentence = str(full.do(request, session=session).error)
        assert len(sentence) > 20
        assert "\0" not in sentence
