"""Snapshots: retention, falling back, installing."""

import pytest
from storage_model import SETTINGS, append_all, make_batch, make_batches, open_store, take_snapshot

from coord.model.entries import zxid_of
from coord.paxos.effects import Append, InstallSnapshot, SnapshotPart
from coord.storage.errors import StorageFailure, StorageRefused
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store, StoreSettings


def filled(count: int, settings: StoreSettings = SETTINGS) -> tuple[MemoryDisk, Store]:
    disk = MemoryDisk()
    store = open_store(disk, settings)
    append_all(store, make_batches(count, body=b"x" * 200))
    return disk, store


def grow(store: Store, count: int) -> int:
    append_all(store, make_batches(count, previous=store.last, body=b"x" * 200))
    return store.last


def install(store: Store, zxid: int, *parts: bytes) -> None:
    store.perform([*(SnapshotPart(zxid, index, part) for index, part in enumerate(parts)), InstallSnapshot(zxid)])


def test_a_start_finds_the_newest_snapshot_and_the_batches_after_it() -> None:
    disk, store = filled(10)
    take_snapshot(store, zxid_of(1, 7), (b"one", b"", b"two"))
    assert store.last_snapshot_zxid == zxid_of(1, 7)
    disk.crash()
    store = open_store(disk)
    assert store.recovered.snapshot_zxid == zxid_of(1, 7)
    assert [batch.first for batch in store.recovered.batches] == [zxid_of(1, counter) for counter in (8, 9, 10)]
    assert list(store.snapshot_chunks()) == [b"one", b"", b"two"]
    assert store.recovered.log_start == 0


def test_the_bytes_since_the_newest_snapshot_are_counted() -> None:
    disk, store = filled(10)
    whole = store.bytes_since_snapshot
    take_snapshot(store, zxid_of(1, 7))
    assert store.bytes_since_snapshot == whole * 3 // 10
    store.close()
    assert open_store(disk).bytes_since_snapshot == whole * 3 // 10


def test_the_bytes_of_all_snapshots_are_known_without_asking_the_disk() -> None:
    disk, store = filled(10)

    def on_disk() -> int:
        return sum(disk.open(f"snapshots/{name}").size() for name in disk.names("snapshots"))

    assert store.snapshot_bytes == 0
    for counter in (3, 5, 7, 7):
        take_snapshot(store, zxid_of(1, counter), (b"part",) * counter)
        assert store.snapshot_bytes == on_disk() > 0
    install(store, zxid_of(1, 50), b"one", b"two")
    assert store.snapshot_bytes == store.statistics().snapshot_bytes == on_disk()
    store.close()
    assert open_store(disk).snapshot_bytes == on_disk()


def test_retention_keeps_the_newest_snapshots_and_the_log_above_the_oldest_of_them() -> None:
    disk, store = filled(10)
    taken = [zxid_of(1, 5)]
    take_snapshot(store, taken[0])
    assert store.log_start == 0  # the empty state and the whole log are the other snapshot that is kept
    for _ in range(4):
        grow(store, 10)
        taken.append(store.last - 3)
        take_snapshot(store, taken[-1])
        assert store.snapshot_zxids == taken[-2:]
        assert taken[-2] - 4 <= store.log_start < taken[-2]
        assert store.read_batches(taken[-2], 1 << 20)
    assert disk.names("snapshots") == [f"{zxid:016x}" for zxid in taken[-2:]]


def test_the_batch_at_which_the_oldest_kept_snapshot_ends_stays_in_the_log() -> None:
    """Else a log that lost all after it could not be told from one that never had it."""
    _, store = filled(9, StoreSettings(segment_bytes=900, snapshots_kept=1))
    for zxid in range(zxid_of(1, 1), zxid_of(1, 10)):
        take_snapshot(store, zxid)
        assert store.log_start < zxid


def test_retention_counts_only_snapshots_that_can_be_read() -> None:
    """ZooKeeper once kept three bad ones and removed the only good one (T19)."""
    disk, store = filled(10)
    good, bad, bad_too = zxid_of(1, 4), zxid_of(1, 6), zxid_of(1, 8)
    for zxid in (good, bad, bad_too):
        take_snapshot(store, zxid)
    store.close()
    assert store.snapshot_zxids == [bad, bad_too]
    disk.damage(f"snapshots/{bad:016x}", 60, b"??")
    store = open_store(disk)
    grow(store, 5)
    take_snapshot(store, store.last)
    assert store.snapshot_zxids == [bad_too, store.last]
    assert list(store.snapshot_chunks(bad_too)) == [b"state"]


def test_a_damaged_snapshot_does_not_push_the_last_good_one_out() -> None:
    disk, store = filled(30, StoreSettings(segment_bytes=900, snapshots_kept=2))
    first, second = zxid_of(1, 10), zxid_of(1, 20)
    take_snapshot(store, first)
    take_snapshot(store, second)
    store.close()
    disk.damage(f"snapshots/{first:016x}", 55, b"??")
    store = open_store(disk)
    take_snapshot(store, store.last)
    assert store.snapshot_zxids == [second, store.last]


def test_a_start_falls_back_to_an_older_snapshot_and_the_log_from_there() -> None:
    disk, store = filled(10)
    older, newer = zxid_of(1, 4), zxid_of(1, 8)
    take_snapshot(store, older, (b"older",))
    take_snapshot(store, newer, (b"newer",))
    store.close()
    disk.damage(f"snapshots/{newer:016x}", 57, b"??")
    store = open_store(disk)
    assert store.recovered.snapshot_zxid == older
    assert len(store.recovered.batches) == 6
    assert list(store.snapshot_chunks()) == [b"older"]


def test_a_start_without_any_good_snapshot_uses_the_whole_log_if_there_is_one() -> None:
    disk, store = filled(10)
    take_snapshot(store, zxid_of(1, 4))
    store.close()
    disk.damage(f"snapshots/{zxid_of(1, 4):016x}", 0, b"??")
    assert len(open_store(disk).recovered.batches) == 10


def test_a_start_without_any_good_snapshot_and_without_the_whole_log_is_refused() -> None:
    disk, store = filled(20, StoreSettings(segment_bytes=900, snapshots_kept=1))
    take_snapshot(store, store.last)
    store.close()
    disk.damage(f"snapshots/{store.last:016x}", 0, b"??")
    before = disk.contents()
    with pytest.raises(StorageRefused, match=r"there is no good snapshot.*begins only after.*is damaged"):
        open_store(disk)
    assert disk.contents() == before


def test_a_log_that_ends_before_the_newest_snapshot_is_refused() -> None:
    disk, store = filled(5)
    take_snapshot(store, store.last)
    grow(store, 5)
    store.close()
    for name in disk.names("log"):
        disk.remove(f"log/{name}")
    with pytest.raises(StorageRefused, match="was durable up to 0x1000000000a, and ends with 0x10000000005"):
        open_store(disk)
    disk.remove("tail")
    with pytest.raises(StorageRefused, match="the log is empty, but a snapshot was taken at 0x10000000005"):
        open_store(disk)


@pytest.mark.parametrize("damage", ["bit", "cut", "longer", "empty"])
def test_a_damaged_snapshot_is_never_read_as_a_good_one(damage: str) -> None:
    chunks = (b"a" * 50, b"b" * 50)
    for offset in range(200):
        disk, store = filled(3)
        take_snapshot(store, store.last, chunks)
        name = f"snapshots/{store.last:016x}"
        size = len(disk.contents()[name])
        if damage == "bit" and offset < size:
            disk.damage(name, offset, bytes([disk.contents()[name][offset] ^ 1 << offset % 8]))
        elif damage == "cut" and offset < size:
            disk.open(name).truncate(offset)
        elif damage == "longer" and offset < 3:
            disk.open(name).write(size, [b"\0" * (offset + 1)])
        elif damage == "empty" and offset == 0:
            disk.open(name).truncate(0)
        else:
            break
        given = []
        with pytest.raises(StorageFailure, match="was damaged since the start"):
            given.extend(chunk for chunk in store.snapshot_chunks())
        store.close()
        assert open_store(disk).recovered.snapshot_zxid == 0


# ---- snapshots in the making


def test_an_abandoned_snapshot_leaves_nothing() -> None:
    disk, store = filled(3)
    writer = store.begin_snapshot(store.last)
    assert store.taking_snapshot
    writer.write(b"half")
    writer.abandon()
    assert disk.names("snapshots") == []
    assert not store.taking_snapshot
    take_snapshot(store, store.last)


def test_an_unfinished_snapshot_is_removed_at_the_next_start() -> None:
    disk, store = filled(3)
    store.begin_snapshot(store.last).write(b"half")
    store.perform([SnapshotPart(zxid_of(2, 1), 0, b"half")])
    disk.sync_folder("snapshots")
    disk.crash()
    assert disk.names("snapshots") == ["part.local", "part.received"]
    assert open_store(disk).snapshot_zxids == []
    assert disk.names("snapshots") == []


def test_one_snapshot_at_a_time() -> None:
    _, store = filled(5)
    store.begin_snapshot(zxid_of(1, 3))
    with pytest.raises(AssertionError, match="is begun while"):
        store.begin_snapshot(zxid_of(1, 4))


def test_a_snapshot_of_the_same_zxid_replaces_and_an_older_one_is_dropped() -> None:
    disk, store = filled(5)
    take_snapshot(store, zxid_of(1, 3), (b"first",))
    take_snapshot(store, zxid_of(1, 3), (b"again",))
    take_snapshot(store, zxid_of(1, 2), (b"older",))
    assert list(store.snapshot_chunks()) == [b"again"]
    assert disk.names("snapshots") == [f"{zxid_of(1, 3):016x}"]


def test_a_snapshot_that_waits_for_the_log_gives_way_to_a_newer_one() -> None:
    disk, store = filled(3)
    following = make_batches(2, previous=store.last)
    take_snapshot(store, following[0].last, (b"older",))
    take_snapshot(store, following[1].last, (b"newer",))
    append_all(store, following)
    assert list(store.snapshot_chunks()) == [b"newer"]
    assert disk.names("snapshots") == [f"{following[1].last:016x}"]


def test_a_snapshot_ahead_of_the_log_waits_for_it() -> None:
    """A leader may apply what its followers have written before its own disk has."""
    disk, store = filled(3)
    following = make_batch(store.last)
    take_snapshot(store, following.last)
    assert store.taking_snapshot
    assert store.last_snapshot_zxid == 0
    store.perform([Append(following)])
    assert not store.taking_snapshot
    assert store.last_snapshot_zxid == following.last
    disk.crash()
    assert open_store(disk).recovered.snapshot_zxid == following.last


# ---- installing


def test_an_installed_snapshot_replaces_the_log_and_all_other_snapshots() -> None:
    disk, store = filled(10)
    take_snapshot(store, zxid_of(1, 5))
    target = zxid_of(7, 3)
    install(store, target, b"part one", b"part two")
    assert (store.last, store.log_start, store.last_snapshot_zxid, store.log_bytes) == (target, target, target, 0)
    assert disk.names("log") == []
    assert store.snapshot_zxids == [target]
    following = make_batch(target)
    append_all(store, [following])
    disk.crash()
    store = open_store(disk)
    assert list(store.snapshot_chunks()) == [b"part one", b"part two"]
    assert [batch.encoded for batch in store.recovered.batches] == [following.encoded]
    assert store.recovered.ends == [(7, following.last)]
    assert store.read_batches(zxid_of(1, 5), 100) is None


def test_an_installed_snapshot_alone_is_a_whole_state() -> None:
    disk, store = filled(10)
    install(store, zxid_of(7, 3), b"all")
    disk.crash()
    assert open_store(disk).recovered.ends == [(7, zxid_of(7, 3))]


def test_a_second_snapshot_may_begin_while_the_first_is_being_received() -> None:
    _, store = filled(3)
    store.perform([SnapshotPart(zxid_of(2, 5), 0, b"first"), SnapshotPart(zxid_of(2, 5), 1, b"more")])
    install(store, zxid_of(2, 9), b"second")
    assert list(store.snapshot_chunks()) == [b"second"]


def test_two_snapshots_may_be_installed_in_a_row_even_the_same_one() -> None:
    disk, store = filled(3)
    for content in (b"first", b"again"):
        install(store, zxid_of(2, 9), content)
    install(store, zxid_of(3, 1), b"later")
    disk.crash()
    assert list(open_store(disk).snapshot_chunks()) == [b"later"]


def test_a_snapshot_being_taken_is_dropped_when_another_is_installed() -> None:
    disk, store = filled(5)
    writer = store.begin_snapshot(store.last)
    writer.write(b"mine")
    install(store, zxid_of(2, 9), b"theirs")
    writer.finish()
    assert store.snapshot_zxids == [zxid_of(2, 9)]
    assert disk.names("snapshots") == [f"{zxid_of(2, 9):016x}"]
    assert not store.taking_snapshot


def test_a_snapshot_waiting_for_the_log_is_dropped_when_another_is_installed() -> None:
    disk, store = filled(5)
    take_snapshot(store, zxid_of(1, 6))
    install(store, zxid_of(2, 9), b"theirs")
    assert not store.taking_snapshot
    assert disk.names("snapshots") == [f"{zxid_of(2, 9):016x}"]


def test_parts_out_of_order_are_a_broken_invariant() -> None:
    _, store = filled(1)
    with pytest.raises(AssertionError, match="came without a part 0"):
        store.perform([SnapshotPart(zxid_of(2, 5), 1, b"x")])
    _, store = filled(1)
    with pytest.raises(AssertionError, match="does not follow"):
        store.perform([SnapshotPart(zxid_of(2, 5), 0, b"x"), SnapshotPart(zxid_of(2, 5), 2, b"x")])
    _, store = filled(1)
    with pytest.raises(AssertionError, match="nothing was received"):
        store.perform([InstallSnapshot(zxid_of(2, 5))])


def test_a_snapshot_that_is_being_read_is_read_to_its_end_though_it_is_removed_meanwhile() -> None:
    _, store = filled(10, StoreSettings(segment_bytes=900, snapshots_kept=1))
    take_snapshot(store, zxid_of(1, 4), (b"one", b"two"))
    chunks = store.snapshot_chunks()
    assert next(chunks) == b"one"
    take_snapshot(store, zxid_of(1, 9))
    assert store.snapshot_zxids == [zxid_of(1, 9)]
    assert list(chunks) == [b"two"]
