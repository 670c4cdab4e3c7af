"""A disk that fails ends its own use; a loader that meets any damage refuses or recovers, and never errs otherwise."""

import errno
from random import Random

import pytest
from storage_model import (
    IDENTITY,
    SERVER,
    append_all,
    make_batch,
    make_batches,
    next_ballot,
    open_store,
    take_snapshot,
)

from coord.model.entries import zxid_of
from coord.paxos.effects import Append, Ballot, InstallSnapshot, SaveBallot, SnapshotPart, TruncateLog
from coord.storage.errors import StorageFailure, StorageRefused
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store, StoreSettings

SETTINGS = StoreSettings(segment_bytes=1500, snapshots_kept=2)


def history(store: Store) -> None:
    """A little of everything."""
    append_all(store, make_batches(5, body=b"x" * 250))
    ballot = Ballot(SERVER, IDENTITY)
    store.perform(
        [SaveBallot(next_ballot(ballot, 2, 1)), TruncateLog(zxid_of(1, 4)), Append(make_batch(zxid_of(1, 4)))]
    )
    take_snapshot(store, zxid_of(1, 3))
    store.perform([SnapshotPart(zxid_of(3, 7), 0, b"part"), InstallSnapshot(zxid_of(3, 7))])
    append_all(store, make_batches(5, previous=zxid_of(3, 7), body=b"x" * 250))
    take_snapshot(store, store.last)
    store.perform([SaveBallot(next_ballot(ballot, 9, 3))])


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_any_operation_that_fails_is_a_storage_failure_and_the_last_one(code: int) -> None:
    """Whichever operation of the disk fails: nothing is tried again, and a new start finds a good state (T21)."""
    failed_at = 0
    said: set[str] = set()
    while True:
        failed_at += 1
        left = failed_at

        def fail(verb: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(code, "no more")

        disk = MemoryDisk()
        store = open_store(disk, SETTINGS)
        disk.before = fail
        try:
            history(store)
        except StorageFailure as failure:
            said.add(str(failure).partition(" failed: ")[2])
            disk.before = lambda verb, name: pytest.fail(f"{verb} of {name} after the failure")
            with pytest.raises(StorageFailure, match="not used any more until a new start"):
                store.perform([])
            disk.before = None
            disk.crash(Random(failed_at))
            open_store(disk, SETTINGS)
        else:
            break
    assert failed_at > 50
    assert said == {f"no more (errno {code})"}


def test_a_start_whose_reading_fails_is_refused_and_whose_repair_fails_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = MemoryDisk()

    def broken(verb: str, name: str) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    disk.before = broken
    with pytest.raises(StorageFailure, match=r"create of ballot\.new failed: disk full"):
        open_store(disk)
    disk.before = None
    open_store(disk).close()

    def unreadable(folder: str) -> list[str]:
        raise StorageFailure(f"listing {folder} failed: Input/output error")

    monkeypatch.setattr(disk, "names", unreadable)
    with pytest.raises(StorageRefused, match="cannot be read: listing"):
        open_store(disk)


def test_whatever_byte_is_damaged_the_start_refuses_or_recovers_everything() -> None:
    """Rot of one to eight bytes anywhere: nothing of the log is lost unseen, and no ballot is older than the last."""
    original = MemoryDisk()
    store = open_store(original, SETTINGS)
    history(store)
    batches = make_batches(3, previous=store.last)
    append_all(store, batches[:1])
    append_all(store, batches[1:])
    store.close()
    whole = open_store(original.copy(), SETTINGS)
    chance = Random(20)
    names = sorted(original.contents())
    refused = 0
    for _ in range(1500):
        disk = original.copy()
        name = chance.choice(names)
        size = min(len(disk.contents()[name]), 700 if chance.random() < 0.8 else 10_000)
        disk.damage(name, chance.randrange(size), chance.randbytes(chance.choice((1, 1, 4, 8))))
        try:
            found = open_store(disk, SETTINGS)
        except StorageRefused:
            refused += 1
            continue
        assert found.ballot == whole.ballot
        assert found.last == whole.last
        everything = found.read_batches(found.recovered.snapshot_zxid, 1 << 20)
        assert everything == found.recovered.batches
        if found.recovered.snapshot_zxid == whole.recovered.snapshot_zxid:
            assert found.recovered.batches == whole.recovered.batches[: len(found.recovered.batches)]
    assert refused > 50


def test_files_of_pure_chance_are_refused() -> None:
    chance = Random(4)
    for name in ("ballot.a", f"log/{zxid_of(1, 1):016x}", f"snapshots/{zxid_of(1, 1):016x}"):
        for size in (0, 1, 20, 60, 5000):
            disk = MemoryDisk()
            open_store(disk).close()
            for copy in ("ballot.a", "ballot.b") if name == "ballot.a" else (name,):
                file = disk.open(copy, create=True)
                file.truncate(0)
                file.write(0, [chance.randbytes(size)])
            with pytest.raises(StorageRefused):
                open_store(disk)


def test_a_missing_file_is_noticed_or_does_not_matter() -> None:
    original = MemoryDisk()
    history(open_store(original, SETTINGS))
    original.close()
    whole = open_store(original.copy(), SETTINGS)
    for name in original.contents():
        disk = original.copy()
        disk.remove(name)
        try:
            found = open_store(disk, SETTINGS)
        except StorageRefused:
            continue
        assert (found.ballot, found.last) == (whole.ballot, whole.last)


def test_a_store_shows_itself() -> None:
    disk = MemoryDisk()
    store = open_store(disk, SETTINGS)
    append_all(store, make_batches(2))
    assert repr(store) == "<Store of server 3, <Log 0x0..0x10000000002 in 1 segments>, snapshots []>"
    statistics = store.statistics()
    assert statistics.syncs.count == 1
    assert statistics.syncs.max_ms >= statistics.syncs.recent_p99_ms > 0
    assert statistics.log_bytes == store.log_bytes > 0
