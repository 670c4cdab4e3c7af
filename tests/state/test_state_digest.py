"""The digest tells states apart by any field, and nothing else moves it."""

import subprocess
import sys
from pathlib import Path

import pytest

from coord.model.acl import OPEN_ACL, READ_ONLY_ACL
from coord.model.requests import Create, Delete, SetAcl, SetData
from coord.state.digest import MASK, acl_number, data_number, mark_of
from coord.state.machine import Machine
from coord.state.znode import Znode
from tests.state.world import World, whole_digest


def test_two_fresh_machines_have_the_same_digest():
    assert Machine().digest == Machine().digest == whole_digest(Machine())


@pytest.mark.parametrize(
    "field",
    ["czxid", "mzxid", "pzxid", "ctime", "mtime", "version", "creations", "aversion", "ephemeral_owner", "lifetime_ms"],
)
@pytest.mark.parametrize("used", [False, True])
def test_each_number_of_a_znode_counts(field, used):
    znode = Znode(b"x", OPEN_ACL, 5 << 40, 1000, 0, 0, mark_of("/a"))
    if used:
        znode.version, znode.mzxid, znode.creations, znode.pzxid, znode.aversion = 3, 6 << 40, 4, 7 << 40, 2
    before = znode.term()
    setattr(znode, field, getattr(znode, field) + 1)
    assert znode.term() != before
    assert 0 <= znode.term() <= MASK


def test_data_path_and_list_of_a_znode_count():
    terms = {
        Znode(data, acl, 5, 5, 0, 0, mark_of(path)).term()
        for data in (None, b"", b"\0", b"x", b"xx")
        for acl in (OPEN_ACL, READ_ONLY_ACL, ((31, "ip", "10.0.0.1"),))
        for path in ("/a", "/b", "/a/b", "/ä")
    }
    assert len(terms) == 5 * 3 * 4


def test_values_that_change_places_change_the_digest():
    one, other = World(), World()
    one.do(Create("/a", b"1", OPEN_ACL)), one.do(Create("/b", b"2", OPEN_ACL))
    other.do(Create("/a", b"2", OPEN_ACL)), other.do(Create("/b", b"1", OPEN_ACL))
    assert one.machine.digest != other.machine.digest


def test_undoing_by_hand_does_not_give_the_same_state_but_the_sum_stays_right():
    world = World()
    world.make("/a", data=b"x")
    before = world.machine.digest
    for request in (SetData("/a", b"x"), SetAcl("/a", READ_ONLY_ACL), SetAcl("/a", OPEN_ACL), Delete("/a")):
        world.do(request)
        assert world.machine.digest == whole_digest(world.machine)
        assert world.machine.digest != before


def test_what_was_written_is_summed_up_whenever_it_is_asked_for():
    world, asked = World(), World()
    for each in (world, asked):
        for request in (
            Create("/a", b"x", OPEN_ACL), SetData("/a", b"y"), SetData("/a", None), SetAcl("/a", READ_ONLY_ACL),
            Create("/b", b"x", OPEN_ACL), SetData("/b", b"zz"), Delete("/b"), SetData("/a", b""), SetData("/a", b"w"),
        ):  # fmt: skip
            each.do(request)
            if each is asked:
                assert each.machine.digest == whole_digest(each.machine)
    assert world.machine.tree.size_bytes == asked.machine.tree.size_bytes
    assert world.machine.digest == asked.machine.digest == whole_digest(world.machine)


def test_the_digest_is_the_same_in_every_process_and_version():
    """Fixed numbers: a change of them is a change of the snapshots' format."""
    assert mark_of("/a") == PINNED["mark"]
    assert data_number(b"data") == PINNED["data"]
    assert acl_number(((31, "ip", "10.0.0.1"),)) == PINNED["acl"]
    assert Machine().digest == PINNED["fresh"]
    program = "from coord.state.machine import Machine; print(Machine().digest)"
    root = Path(__file__).resolve().parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {b"%d\n" % PINNED["fresh"]}


PINNED = {
    "mark": 705125935553359501,
    "data": 2159598749701821735,
    "acl": 2635659037185797962,
    "fresh": 12065690253245675968,
}
