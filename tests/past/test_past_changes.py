"""Corners of what an entry did, told by hand: several steps on one znode, what came twice, and states that differ."""

from dataclasses import replace

import pytest

from coord.codec.batch import encode_batch
from coord.codec.entries import decode_runs
from coord.model.acl import OPEN_ACL
from coord.model.requests import Create, CreateSession, Delete, DeleteTree, Multi, SetAcl, SetData
from coord.past.changes import everything
from coord.past.errors import PastDamaged, PastError
from coord.past.history import history
from coord.past.looking import Place, state_at
from coord.past.replay import entries_of
from coord.past.verify import verify_log
from tests.past.scribe import MemorySource, Scribe, run_of
from tests.state.world import PASSWORD

READ_ONLY = ((1, "world", "anyone"),)


def begun() -> Scribe:
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 4000)))
    return scribe


async def told(scribe, wanted=everything):
    """(what, path, version before, version after, part) of each change."""
    found = history(MemorySource(scribe), wanted)
    return [
        (
            each.what.value,
            each.path,
            None if each.before is None else each.before.version,
            None if each.after is None else each.after.version,
            each.part,
        )
        async for some in found
        for each in some
    ]


async def test_the_steps_of_a_multi_on_one_znode_are_told_one_by_one():
    scribe = begun()
    steps = (
        Create("/a/b/c", b"1", OPEN_ACL, parents=True),
        SetData("/a/b/c", b"2"),
        SetData("/a/b/c", b"3"),
        SetAcl("/a/b/c", READ_ONLY),
        DeleteTree("/a/b"),
        Create("/a/b", b"", OPEN_ACL),
    )
    scribe.write(run_of(Multi(steps), session=1))
    assert await told(scribe) == [
        ("created", "/a", None, 0, 1),
        ("created", "/a/b", None, 0, 1),
        ("created", "/a/b/c", None, 0, 1),
        ("set", "/a/b/c", 0, 1, 2),
        ("set", "/a/b/c", 1, 2, 3),
        ("acl", "/a/b/c", 2, 2, 4),
        ("deleted", "/a/b/c", 2, None, 5),
        ("deleted", "/a/b", 0, None, 5),
        ("created", "/a/b", None, 0, 6),
    ]
    assert await told(scribe, lambda path: path == "/a/b/c") == [
        row for row in await told(scribe) if row[1] == "/a/b/c"
    ]


async def test_a_write_that_came_again_under_its_number_is_no_second_change():
    scribe = begun()
    scribe.write(run_of(Create("/n", b"", OPEN_ACL), SetAcl("/n", READ_ONLY), session=1, number=1))
    scribe.write(run_of(SetAcl("/n", READ_ONLY), SetData("/n", b"x"), session=1, number=2))
    assert [row[0] for row in await told(scribe)] == ["created", "acl"]


async def test_the_numbers_of_a_run_go_on_from_request_to_request():
    scribe = begun()
    scribe.write(run_of(Create("/n", b"", OPEN_ACL), SetData("/n", b"1"), SetData("/n", b"2"), session=1, number=1))
    assert [entry.number for entry in entries_of(scribe.batches[-1])] == [1, 2, 3]
    assert [row[0] for row in await told(scribe)] == ["created", "set", "set"]


async def test_a_run_that_was_logged_twice_is_done_once():
    scribe = begun()
    scribe.write(run_of(Create("/n", b"", OPEN_ACL), SetData("/n", b"1"), session=1))
    (run,) = decode_runs(scribe.batches[-1].body)
    scribe.write_as_it_is(run)
    assert [row[0] for row in await told(scribe)] == ["created", "set"]
    assert (await state_at(MemorySource(scribe), Place(scribe.last))).zxid == scribe.last


def spoiled(scribe, index, **fields):
    """One batch says something else, with a checksum that is right."""
    old = scribe.batches[index]
    batch = scribe.batches[index] = replace(old, **{"unencoded": old.body, "encoded": b"", "body_at": 0, **fields})
    encode_batch(batch)


async def test_a_state_that_is_not_its_leaders_is_damage():
    scribe = begun()
    for number in range(5):
        scribe.write(run_of(Create(f"/n{number}", b"", OPEN_ACL), session=1))
    spoiled(scribe, 4, digest=scribe.batches[4].digest ^ 1)
    with pytest.raises(PastDamaged, match=f"at zxid {scribe.batches[3].last:#x} the state has the digest"):
        await state_at(MemorySource(scribe), Place(scribe.last))


async def test_a_snapshot_that_is_not_what_the_log_leads_to_is_damage():
    scribe, other = begun(), begun()
    for each in (scribe, other):
        each.write(run_of(Create("/n", b"", OPEN_ACL), session=1))
    other.write(run_of(SetData("/n", b"other"), session=1))
    scribe.write(run_of(SetData("/n", b"one"), session=1))
    scribe.snapshots[scribe.last] = other.snapshots[other.take_snapshot()]
    with pytest.raises(PastDamaged, match="the snapshot there says"):
        await verify_log(MemorySource(scribe))


async def test_a_batch_that_does_not_hold_what_it_says_is_damage():
    scribe = begun()
    spoiled(scribe, 0, count=2)
    with pytest.raises(PastDamaged, match="says 2 entries, and holds 1"):
        await verify_log(MemorySource(scribe))
    spoiled(scribe, 0, count=1, unencoded=b"\x01")
    with pytest.raises(PastDamaged, match="cannot be understood"):
        await verify_log(MemorySource(scribe))


async def test_a_log_without_a_state_to_begin_with_is_read_and_not_replayed():
    scribe = begun()
    for _ in range(5):
        scribe.write(run_of(Delete("/n"), session=1))
    source = MemorySource(scribe, log_start=scribe.batches[1].last)
    checked = await verify_log(source)
    assert (checked.from_zxid, checked.batches) == (None, 4)
    with pytest.raises(PastError, match=r"has no good snapshot from zxid .* on, where its log begins"):
        await state_at(source, Place(scribe.last))
