"""What is kept to be looked back at: never less than recovery needs, and always with a state to begin from."""

from random import Random

import pytest

from coord.codec.batch import encode_batch
from coord.model.entries import Batch
from coord.paxos.effects import Append
from coord.storage.memory import MemoryDisk
from coord.storage.store import Store, StoreSettings
from tests.storage.storage_model import make_batch, open_store, take_snapshot

SEGMENT = 900


def timed(previous: int, time_ms: int, body: bytes = b"body") -> Batch:
    batch = make_batch(previous, body=body)
    batch.time_ms = time_ms
    encode_batch(batch)
    return batch


def grown(store: Store, batches: int, *, every: int, time_ms: int = 1000) -> list[int]:
    """So many batches, `time_ms` apart, with a snapshot after each `every`; the zxids of all that were taken."""
    taken = []
    for number in range(1, batches + 1):
        store.perform([Append(timed(store.last, number * time_ms))])
        if number % every == 0:
            take_snapshot(store, store.last)
            taken.append(store.last)
    return taken


def settings(**changes: float) -> StoreSettings:
    return StoreSettings(segment_bytes=SEGMENT, snapshots_kept=2, **changes)  # type: ignore[arg-type]


def test_without_a_past_only_what_recovery_needs_is_kept() -> None:
    store = open_store(MemoryDisk(), settings())
    taken = grown(store, 60, every=10)
    assert store.snapshot_zxids == taken[-2:]


def test_older_snapshots_and_the_log_between_them_are_kept_as_far_as_they_fit() -> None:
    room = 6000
    store = open_store(MemoryDisk(), settings(past_bytes_max=room))
    taken = grown(store, 120, every=10)
    kept = store.snapshot_zxids
    assert kept == taken[-len(kept) :]
    assert 2 < len(kept) < len(taken)
    assert store.log_bytes - SEGMENT <= room  # segments go as a whole
    assert room < store.log_bytes + store.snapshot_bytes + 10 * 150  # another one would not have fitted


def test_all_is_kept_while_it_fits_and_the_beginning_counts_as_a_state() -> None:
    store = open_store(MemoryDisk(), settings(past_bytes_max=1 << 20))
    taken = grown(store, 60, every=10)
    assert store.snapshot_zxids == taken
    assert store.log_start == 0


def test_what_is_older_than_the_age_goes_and_what_is_younger_stays() -> None:
    store = open_store(MemoryDisk(), settings(past_bytes_max=1 << 20, past_age_max_s=25))
    taken = grown(store, 120, every=10)  # one every ten seconds
    # The changes of the last 25 seconds begin behind the snapshot that was taken 30 seconds ago.
    assert store.snapshot_zxids == taken[-4:]


def test_what_recovery_needs_is_kept_whatever_its_age() -> None:
    store = open_store(MemoryDisk(), settings(past_bytes_max=1 << 20, past_age_max_s=1))
    taken = grown(store, 60, every=10)
    assert store.snapshot_zxids == taken[-2:]


@pytest.mark.parametrize("seed", range(20))
def test_with_a_past_there_is_always_all_that_there_is_without_one_and_a_state_where_the_log_begins(seed: int) -> None:
    chance = Random(seed)
    with_past = settings(past_bytes_max=chance.choice((1000, 3000, 8000)), past_age_max_s=chance.choice((0, 0, 20)))
    disks = MemoryDisk(), MemoryDisk()
    plain, past = open_store(disks[0], settings()), open_store(disks[1], with_past)
    for number in range(1, 150):
        batch = timed(plain.last, number * chance.randint(100, 2000), bytes(chance.randint(0, 300)))
        for store in (plain, past):
            store.perform([Append(batch)])
        if chance.random() < 0.1:
            state = (bytes(chance.randint(0, 900)),)
            for store in (plain, past):
                take_snapshot(store, batch.last, state)
        if chance.random() < 0.03:
            plain.close(), past.close()
            plain, past = open_store(disks[0], settings()), open_store(disks[1], with_past)
        assert set(plain.snapshot_zxids) <= set(past.snapshot_zxids)
        assert past.log_start <= plain.log_start
        states = [*([0] if past.log_start == 0 else []), *past.snapshot_zxids]
        if states:
            assert past.log_start <= states[0]
            assert past.read_batches(states[0], 1) is not None


def test_a_damaged_snapshot_of_the_past_goes_and_nothing_else_does() -> None:
    disk = MemoryDisk()
    kept = settings(past_bytes_max=1 << 20)
    store = open_store(disk, kept)
    taken = grown(store, 60, every=10)
    store.close()
    disk.damage(f"snapshots/{taken[1]:016x}", 55, b"??")
    store = open_store(disk, kept)
    store.perform([Append(timed(store.last, 61_000))])
    take_snapshot(store, store.last)
    assert store.snapshot_zxids == [taken[0], *taken[2:], store.last]
    assert store.log_start == 0


def test_rot_in_the_past_of_the_log_does_not_end_a_server_that_serves() -> None:
    disk = MemoryDisk()
    store = open_store(disk, settings(past_bytes_max=1 << 20, past_age_max_s=30))
    grown(store, 30, every=10)
    first = min(name for name in disk.contents() if name.startswith("log/"))
    disk.damage(first, 200, bytes(600))
    grown(store, 30, every=10)
    assert store.last_snapshot_zxid == store.last


def test_a_past_that_a_damaged_log_has_lost_is_not_kept_in_snapshots_alone() -> None:
    disk = MemoryDisk()
    kept = settings(past_bytes_max=1 << 20)
    store = open_store(disk, kept)
    taken = grown(store, 60, every=10)
    store.close()
    names = sorted(name for name in disk.contents() if name.startswith("log/"))
    disk.damage(names[len(names) // 2], 200, b"??")  # below the newest snapshot: nothing before that is needed
    store = open_store(disk, kept)
    assert store.log_start == taken[-1]
    later = []
    for _ in range(2):
        store.perform([Append(timed(store.last, 61_000))])
        take_snapshot(store, store.last)
        later.append(store.last)
    assert store.snapshot_zxids == [taken[-1], *later]


def test_a_server_far_behind_is_worth_a_snapshot_if_that_is_shorter_than_the_log() -> None:
    store = open_store(MemoryDisk(), settings(past_bytes_max=1 << 20))
    taken = grown(store, 60, every=10)
    assert not store.worth_streaming(0)
    assert store.worth_streaming(taken[-1])
    take_snapshot(store, store.last, (bytes(1 << 16),))
    assert store.worth_streaming(taken[0])
    without = open_store(MemoryDisk(), settings())
    grown(without, 60, every=10)
    assert without.worth_streaming(without.log_start)
