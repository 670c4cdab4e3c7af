"""The ballot: every combination of damage to its two copies."""

from itertools import product
from zlib import crc32

import pytest
from storage_model import IDENTITY, SERVER, append_all, make_batches, next_ballot, open_store

from coord.paxos.effects import Ballot, SaveBallot
from coord.storage.ballot import COPIES
from coord.storage.errors import StorageRefused
from coord.storage.memory import MemoryDisk, PowerCut
from coord.storage.store import Store

NEW = Ballot(SERVER, IDENTITY, 5, 7, SERVER, 6)
OLD = Ballot(SERVER, IDENTITY, 5, 4, SERVER, 4)


def saved_disk() -> MemoryDisk:
    disk = MemoryDisk()
    store = open_store(disk)
    store.perform([SaveBallot(OLD)])
    store.perform([SaveBallot(NEW)])
    store.close()
    return disk


def with_copies(a: str, b: str) -> MemoryDisk:
    """A disk with the copies in these conditions: new, old, damaged, empty, cut, missing."""
    old = MemoryDisk()
    store = open_store(old)
    store.perform([SaveBallot(OLD)])
    disk = saved_disk()
    for name, condition in zip(COPIES, (a, b), strict=True):
        content = disk.contents()[name]
        if condition == "missing":
            disk.remove(name)
        elif condition == "old":
            disk.damage(name, 0, old.contents()[name])
        elif condition == "damaged":
            disk.damage(name, 30, bytes([content[30] ^ 4]))
        elif condition == "empty":
            disk.open(name).truncate(0)
        elif condition == "cut":
            disk.open(name).truncate(40)
    for folder in ("", "log"):
        disk.sync_folder(folder)
    return disk


CONDITIONS = ("new", "old", "damaged", "empty", "cut", "missing")
GRID = [pair for pair in product(CONDITIONS, repeat=2) if pair != ("missing", "missing")]


@pytest.mark.parametrize(("a", "b"), GRID)
def test_the_ballot_is_the_newest_good_copy_and_the_other_is_repaired(a: str, b: str) -> None:
    disk = with_copies(a, b)
    if "new" not in (a, b) and "old" not in (a, b):
        before = disk.contents()
        with pytest.raises(StorageRefused, match="must not vote under its id again"):
            open_store(disk)
        assert disk.contents() == before
        return
    expected = NEW if "new" in (a, b) else OLD
    store = open_store(disk)
    assert store.ballot == expected
    store.close()
    disk.crash()
    for name in COPIES:  # each of them alone is enough now
        alone = disk.copy()
        alone.damage(name, 0, b"?")
        assert open_store(alone).ballot == expected


def test_a_missing_ballot_beside_a_log_is_refused() -> None:
    disk = saved_disk()
    append_all(open_store(disk), make_batches(1))
    disk.close()
    for name in COPIES:
        disk.remove(name)
    with pytest.raises(StorageRefused, match="the ballot is missing"):
        open_store(disk)


def test_an_empty_folder_gets_the_identity_that_was_drawn_and_keeps_it() -> None:
    disk = MemoryDisk()
    assert open_store(disk, identity=2**64 - 1).ballot == Ballot(SERVER, 2**64 - 1)
    disk.crash()
    assert open_store(disk, identity=5).ballot == Ballot(SERVER, 2**64 - 1)


def test_the_folder_of_another_server_is_refused_and_not_touched() -> None:
    disk = saved_disk()
    before = disk.contents()
    with pytest.raises(StorageRefused, match=r"belongs to server 3, but this server has the id 4"):
        Store.open(disk, server=4, identity_if_new=1)
    assert disk.contents() == before
    assert open_store(disk).ballot == NEW  # and the lock was given back


def test_a_ballot_of_a_newer_format_is_refused_as_such() -> None:
    disk = saved_disk()
    newer = b"coordblt" + (2).to_bytes(2, "big") + (4).to_bytes(2, "big") + b"more"
    disk.damage("ballot.a", 0, newer + crc32(newer).to_bytes(4, "big"))
    with pytest.raises(StorageRefused, match="format version 2, and this coord knows version 1 only"):
        open_store(disk)


def test_a_promise_is_never_taken_back() -> None:
    store = open_store(saved_disk())
    with pytest.raises(AssertionError, match="takes back the promise"):
        store.perform([SaveBallot(next_ballot(NEW, 6, 6))])


def test_a_start_makes_what_a_killed_process_left_of_one_copy_durable_before_the_other_may_rot() -> None:
    """Found by simulated seed 2193: one copy was newer in the system's cache only, and the other one rotted later."""
    disk = MemoryDisk()
    store = open_store(disk)
    store.perform([SaveBallot(OLD)])
    writes = 0

    def before(verb: str, name: str) -> None:
        nonlocal writes
        writes += verb == "sync" and name.startswith("ballot")
        if writes:
            raise PowerCut

    disk.before = before
    with pytest.raises(PowerCut):
        store.perform([SaveBallot(NEW)])
    disk.before = None
    disk.close()  # the process is gone, the machine runs on
    assert open_store(disk).ballot == NEW
    disk.crash()
    disk.damage("ballot.b", 30, b"rot")
    assert open_store(disk).ballot == NEW
