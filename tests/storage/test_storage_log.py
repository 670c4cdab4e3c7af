"""The log: what is a torn tail and what is rot, exact cuts, reading beside the writer."""

import threading
from itertools import pairwise
from random import Random
from zlib import crc32

import pytest
from storage_model import IDENTITY, append_all, make_batch, make_batches, open_store

from coord.model.entries import Batch, zxid_of
from coord.paxos.effects import Append, TruncateLog
from coord.storage.errors import StorageFailure, StorageRefused
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store, StoreSettings

LARGE = StoreSettings(segment_bytes=1 << 16)
RECORD_BYTES = 52
"""A record's header, as README.md has it."""


def segments(disk: MemoryDisk) -> list[str]:
    return [f"log/{name}" for name in disk.names("log")]


def encoded(batches: list[Batch] | None) -> list[bytes]:
    assert batches is not None
    return [batch.encoded for batch in batches]


def reopen(disk: MemoryDisk, settings: StoreSettings = LARGE) -> Store:
    disk.crash()
    return open_store(disk, settings)


def written(*groups: list[Batch], settings: StoreSettings = LARGE, power_cut: bool = True) -> MemoryDisk:
    """A disk whose log holds these groups, each written and synced at once. A power cut takes the note of its end."""
    disk = MemoryDisk()
    store = open_store(disk, settings)
    for group in groups:
        append_all(store, group)
    if power_cut:
        disk.crash()
    disk.close()
    return disk


def offset_of(disk: MemoryDisk, batch: Batch) -> tuple[str, int]:
    """Where the batch's bytes stand."""
    for name in segments(disk):
        offset = disk.contents()[name].find(batch.encoded)
        if offset >= 0:
            return name, offset
    raise AssertionError(f"{batch} is not on the disk")


def test_what_was_performed_is_there_after_a_power_cut() -> None:
    batches = make_batches(7, body=b"x" * 200)
    store = reopen(written(batches[:3], batches[3:]))
    assert encoded(store.recovered.batches) == encoded(batches)
    assert store.recovered.log_start == 0
    assert store.recovered.ends == [(1, batches[-1].last)]


def test_the_log_is_preallocated_and_its_zeros_are_its_end() -> None:
    disk = written(make_batches(1))
    assert len(disk.contents()[segments(disk)[0]]) == LARGE.segment_bytes
    assert open_store(disk).last == zxid_of(1, 1)


def test_segments_roll_by_size_and_are_named_by_their_first_zxid() -> None:
    batches = make_batches(6, body=b"x" * 300)
    disk = written(batches, settings=StoreSettings(segment_bytes=1000))
    assert segments(disk) == [f"log/{batches[index].first:016x}" for index in (0, 2, 4)]
    assert encoded(open_store(disk).recovered.batches) == encoded(batches)


def test_a_batch_larger_than_a_segment_gets_one_of_its_own() -> None:
    batches = [make_batch(0), make_batch(zxid_of(1, 1), body=b"y" * 5000), make_batch(zxid_of(1, 2))]
    disk = written(batches, settings=StoreSettings(segment_bytes=1000))
    assert len(segments(disk)) == 3
    assert encoded(open_store(disk).recovered.batches) == encoded(batches)


def test_the_ends_of_all_epochs_are_told() -> None:
    first, second = make_batches(3), [make_batch(zxid_of(1, 3), epoch=4, count=5)]
    third = [make_batch(second[0].last, epoch=9)]
    store = reopen(written(first, second + third))
    assert store.recovered.ends == [(1, zxid_of(1, 3)), (4, zxid_of(4, 5)), (9, zxid_of(9, 1))]


# ---- torn tails and rot


def empty_a_sector(disk: MemoryDisk, batch: Batch) -> tuple[str, int]:
    """As if one of the sectors of `batch`'s record had never been written; the record's file, and where it begins."""
    name, offset = offset_of(disk, batch)
    disk.damage(name, (offset // 512 + 1) * 512, bytes(512))
    return name, offset


def test_the_last_group_torn_in_its_first_record_is_cut_off_though_its_second_survived() -> None:
    batches = make_batches(4, body=bytes([7]) * 1200)
    disk = written(batches[:2], batches[2:])
    empty_a_sector(disk, batches[2])
    store = open_store(disk, LARGE)
    assert encoded(store.recovered.batches) == encoded(batches[:2])


def test_a_torn_tail_is_zeros_before_anything_is_appended() -> None:
    batches = make_batches(3, body=bytes([7]) * 1200)
    disk = written(batches[:1], batches[1:])
    name, offset = empty_a_sector(disk, batches[1])
    open_store(disk, LARGE)
    disk.crash()  # nothing un-synced survives: so the cut was durable
    content = disk.contents()[name]
    assert content[offset - 52 :].strip(b"\0") == b""
    other = make_batch(batches[0].last, epoch=2)
    append_all(open_store(disk, LARGE), [other])
    assert encoded(reopen(disk).recovered.batches) == encoded([batches[0], other])


def test_a_torn_looking_end_that_the_note_says_was_durable_is_refused() -> None:
    batches = make_batches(3, body=bytes([7]) * 1200)
    disk = written(batches[:1], batches[1:], power_cut=False)
    empty_a_sector(disk, batches[1])
    with pytest.raises(StorageRefused, match="and it was durable, as everything up to 0x10000000003"):
        open_store(disk, LARGE)


def test_a_last_record_that_was_written_whole_and_cannot_be_read_is_refused_even_without_the_note() -> None:
    batches = make_batches(3)
    disk = written(batches)
    name, offset = offset_of(disk, batches[2])
    disk.damage(name, offset + 3, b"?")
    with pytest.raises(StorageRefused, match="was written whole, and cannot be read"):
        open_store(disk, LARGE)


def test_a_log_whose_end_is_gone_without_a_trace_is_refused() -> None:
    batches = make_batches(3)
    disk = written(batches[:2], batches[2:], power_cut=False)
    name, offset = offset_of(disk, batches[2])
    disk.damage(name, offset - 52, bytes(600))
    with pytest.raises(StorageRefused, match="was durable up to 0x10000000003, and ends with 0x10000000002"):
        open_store(disk, LARGE)


def test_a_bad_record_that_was_durable_before_a_later_one_was_written_is_refused_and_nothing_touched() -> None:
    batches = make_batches(3)
    disk = written(batches[:1], batches[1:2], batches[2:])
    name, offset = offset_of(disk, batches[1])
    disk.damage(name, offset + 3, b"?")
    before = disk.contents()
    with pytest.raises(StorageRefused, match=rf"{name} is damaged at offset \d+, after zxid 0x10000000001"):
        open_store(disk, LARGE)
    assert disk.contents() == before


def test_rot_that_turned_a_record_to_zeros_is_no_end() -> None:
    batches = make_batches(3)
    disk = written(batches[:1], batches[1:2], batches[2:])
    name, offset = offset_of(disk, batches[1])
    disk.damage(name, offset - RECORD_BYTES, b"\0" * (RECORD_BYTES + len(batches[1].encoded)))
    with pytest.raises(StorageRefused, match="damaged at offset"):
        open_store(disk, LARGE)


def test_a_bad_record_in_a_segment_that_is_not_the_last_is_refused() -> None:
    settings = StoreSettings(segment_bytes=1000)
    batches = make_batches(6, body=b"x" * 300)
    disk = written(batches, settings=settings)
    name, offset = offset_of(disk, batches[1])
    disk.damage(name, offset + 99, b"?")
    with pytest.raises(StorageRefused, match="has a hole or is damaged"):
        open_store(disk, settings)


def test_a_missing_segment_is_refused() -> None:
    settings = StoreSettings(segment_bytes=1000)
    disk = written(make_batches(6, body=b"x" * 300), settings=settings)
    disk.remove(segments(disk)[1])
    with pytest.raises(StorageRefused, match="has a hole"):
        open_store(disk, settings)


def test_a_missing_first_segment_is_refused() -> None:
    settings = StoreSettings(segment_bytes=1000)
    disk = written(make_batches(6, body=b"x" * 300), settings=settings)
    disk.remove(segments(disk)[0])
    with pytest.raises(StorageRefused, match="begins only after"):
        open_store(disk, settings)


def test_a_damaged_segment_header_is_refused() -> None:
    disk = written(make_batches(2))
    disk.damage(segments(disk)[0], 20, b"????")
    with pytest.raises(StorageRefused, match="checksum is wrong"):
        open_store(disk, LARGE)


def test_a_segment_of_a_newer_format_is_refused_as_such() -> None:
    disk = written(make_batches(2))
    name = segments(disk)[0]
    header = bytearray(disk.contents()[name][:56])
    payload = bytes(header[12:48])
    newer = b"coordlog" + (9).to_bytes(2, "big") + (36).to_bytes(2, "big") + payload
    disk.damage(name, 0, newer + crc32(newer).to_bytes(4, "big"))
    with pytest.raises(StorageRefused, match="format version 9"):
        open_store(disk, LARGE)


def test_a_segment_of_another_server_is_refused() -> None:
    disk, other = written(make_batches(2)), MemoryDisk()
    append_all(open_store(other, LARGE, identity=IDENTITY + 1), make_batches(2))
    name = segments(disk)[0]
    disk.damage(name, 0, other.contents()[name])
    with pytest.raises(StorageRefused, match="files of two servers were mixed"):
        open_store(disk, LARGE)


def test_a_renamed_segment_is_refused() -> None:
    disk = written(make_batches(2))
    disk.rename(segments(disk)[0], f"log/{5:016x}")
    with pytest.raises(StorageRefused, match="it was renamed"):
        open_store(disk, LARGE)


def test_a_length_field_beyond_the_file_costs_no_memory_and_is_no_record() -> None:
    batches = make_batches(1)
    disk = written(batches)
    name, offset = offset_of(disk, batches[0])
    content = disk.contents()[name]
    salt = crc32(content[: offset - RECORD_BYTES])
    header = bytearray(content[offset - RECORD_BYTES : offset - 4])
    assert crc32(header, salt).to_bytes(4, "big") == content[offset - 4 : offset]
    header[4:8] = b"\xff\xff\xff\xff"
    disk.damage(name, offset - RECORD_BYTES, bytes(header) + crc32(header, salt).to_bytes(4, "big"))
    assert open_store(disk, LARGE).recovered.batches == []


def test_stale_records_behind_a_cut_are_never_taken_for_new_ones() -> None:
    """Even if the zeros of the cut were lost: only the follower of the very record before is one."""
    batches = make_batches(4)
    disk = written(batches)
    name = segments(disk)[0]
    stale = disk.contents()[name]
    store = open_store(disk, LARGE)
    store.perform([TruncateLog(batches[0].last)])
    other = make_batch(batches[0].last, epoch=2)  # as long as the batch it replaces
    append_all(store, [other])
    fresh = disk.contents()[name]
    _, offset = offset_of(disk, other)
    end = offset + len(other.encoded)
    disk.damage(name, end, stale[end:])
    disk.crash()
    assert disk.contents()[name] == fresh[:end] + stale[end:]
    assert encoded(open_store(disk, LARGE).recovered.batches) == encoded([batches[0], other])


def test_a_file_in_the_log_folder_that_is_not_ours_is_left_alone() -> None:
    disk = written(make_batches(2))
    disk.open("log/notes.txt", create=True).write(0, [b"mine"])
    open_store(disk, LARGE)
    assert disk.contents()["log/notes.txt"] == b"mine"


# ---- cuts


@pytest.mark.parametrize("kept", range(7))
def test_a_truncation_is_durable_and_exact(kept: int) -> None:
    settings = StoreSettings(segment_bytes=1000)
    batches = make_batches(6, body=b"x" * 300)
    disk = written(batches, settings=settings)
    store = open_store(disk, settings)
    to = batches[kept - 1].last if kept else 0
    store.perform([TruncateLog(to)])
    assert store.last == to
    store = reopen(disk, settings)
    assert encoded(store.recovered.batches) == encoded(batches[:kept])
    other = make_batch(to, epoch=2)
    append_all(store, [other])
    assert encoded(reopen(disk, settings).recovered.batches) == encoded([*batches[:kept], other])


def test_a_cut_inside_a_batch_or_beyond_the_end_is_a_broken_invariant() -> None:
    disk = MemoryDisk()
    store = open_store(disk, LARGE)
    append_all(store, [make_batch(0, count=3)])
    for to in (zxid_of(1, 2), zxid_of(1, 9)):
        with pytest.raises(AssertionError, match="cannot be cut"):
            store.perform([TruncateLog(to)])
        store = reopen(disk)


def test_appends_and_a_cut_in_one_perform_are_done_in_their_order() -> None:
    disk = MemoryDisk()
    store = open_store(disk, LARGE)
    batches = make_batches(3)
    other = make_batch(batches[1].last, epoch=2)
    store.perform([*map(Append, batches), TruncateLog(batches[1].last), Append(other)])
    assert encoded(reopen(disk).recovered.batches) == encoded([*batches[:2], other])


def test_a_batch_that_does_not_follow_is_a_broken_invariant() -> None:
    store = open_store(MemoryDisk(), LARGE)
    append_all(store, make_batches(2))
    with pytest.raises(AssertionError, match="but the log ends at 0x10000000002"):
        append_all(store, [make_batch(zxid_of(1, 3))])
    with pytest.raises(StorageFailure, match="not used any more"):
        append_all(store, [make_batch(zxid_of(1, 2))])


# ---- reading


def test_batches_are_read_from_any_end_and_in_the_size_that_was_asked_for() -> None:
    settings = StoreSettings(segment_bytes=1000)
    batches = make_batches(7, body=b"x" * 300)
    store = open_store(MemoryDisk(), settings)
    append_all(store, batches)
    for start in range(8):
        after = batches[start - 1].last if start else 0
        assert encoded(store.read_batches(after, 1 << 20)) == encoded(batches[start:])
        assert encoded(store.read_batches(after, 1)) == encoded(batches[start : start + 1])
        size = 3 * (RECORD_BYTES + len(batches[0].encoded))
        assert encoded(store.read_batches(after, size)) == encoded(batches[start : start + 3])


def test_what_is_no_batchs_end_or_not_on_the_disk_reads_as_none() -> None:
    store = open_store(MemoryDisk(), LARGE)
    append_all(store, [make_batch(0, count=3)])
    assert store.read_batches(zxid_of(1, 2), 100) is None
    assert store.read_batches(zxid_of(1, 4), 100) is None
    assert store.read_batches(zxid_of(1, 3), 100) == []


def test_batches_are_read_beside_the_writer_that_appends_and_cuts() -> None:
    """The reader sees at each time a stretch of the history as it was at some time: contiguous, whole, decoded."""
    store = open_store(MemoryDisk(), StoreSettings(segment_bytes=2000))
    seen: list[list[Batch]] = []
    trouble: list[BaseException] = []
    started, stop = threading.Event(), threading.Event()

    def read() -> None:
        chance = Random(1)
        try:
            while not stop.is_set():
                started.set()
                found = store.read_batches(chance.choice([0, zxid_of(1, 3), store.last]), 1500)
                if found:
                    seen.append(found)
        except BaseException as error:
            trouble.append(error)

    append_all(store, make_batches(5, body=b"x" * 100))
    reader = threading.Thread(target=read)
    reader.start()
    started.wait()
    try:
        for epoch in range(2, 150):
            batch = make_batch(store.last, epoch=epoch, body=b"x" * 100)
            store.perform([Append(batch), Append(make_batch(batch.last, body=b"x" * 300))])
            if epoch % 5 == 0:
                store.perform([TruncateLog(zxid_of(1, 3))])
    finally:
        stop.set()
        reader.join()
    assert trouble == []
    assert all(a.last == b.previous for found in seen for a, b in pairwise(found))


def test_damage_that_is_met_while_serving_ends_the_use_of_the_disk() -> None:
    disk = MemoryDisk()
    store = open_store(disk, LARGE)
    batches = make_batches(2)
    append_all(store, batches)
    name, offset = offset_of(disk, batches[1])
    disk.damage(name, offset + 5, b"?")
    with pytest.raises(StorageFailure, match="damaged since the start"):
        store.read_batches(0, 1 << 20)
