"""A damaged log or snapshot of a server that has peers: what is still shown, what is claimed, and how it is mended."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest
from storage_model import IDENTITY, SERVER, SETTINGS, append_all, make_batch, make_batches, next_ballot, take_snapshot

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, zxid_of
from coord.paxos.effects import Append, InstallSnapshot, MendLog, SaveBallot, SnapshotPart, TruncateLog
from coord.paxos.mending import Mending
from coord.storage.errors import StorageRefused
from coord.storage.memory import MemoryDisk, MemoryFile, PowerCut
from coord.storage.records import RECORD_MAGIC
from coord.storage.store import Store, StoreSettings

LARGE = StoreSettings(segment_bytes=1 << 16, snapshots_kept=2)
PROMISED = zxid_of(2, 0) - 1
"""What may have been acknowledged by one who has promised no epoch above 1, if nothing names the last of it."""


def opened(disk: MemoryDisk, settings: StoreSettings = LARGE) -> Store:
    return Store.open(disk, server=SERVER, identity_if_new=IDENTITY, settings=settings, has_peers=True)


def written(batches: list[Batch], settings: StoreSettings = LARGE) -> MemoryDisk:
    """A disk on which each batch was made durable by itself, in epoch 1."""
    disk = MemoryDisk()
    store = opened(disk, settings)
    store.perform([SaveBallot(next_ballot(store.ballot, 1, 1))])
    for batch in batches:
        append_all(store, [batch])
    store.close()
    return disk


def hit(disk: MemoryDisk, batch: Batch, offset: int = 5) -> None:
    """Let one byte of a batch's record rot: below 0 in its header."""
    for name, content in disk.contents().items():
        at = content.find(batch.encoded) if name.startswith("log/") else -1
        if at >= 0:
            disk.damage(name, at + offset, bytes([content[at + offset] ^ 0x41]))
            return
    raise AssertionError(f"{batch!r} is not on the disk")


def encoded(batches: list[Batch] | None) -> list[bytes]:
    assert batches is not None
    return [batch.encoded for batch in batches]


@pytest.mark.parametrize("settings", [LARGE, SETTINGS], ids=["one segment", "many segments"])
@pytest.mark.parametrize("offset", [5, -20], ids=["body", "header"])
@pytest.mark.parametrize("lost", [{0}, {3}, {8}, {9}, {2, 3}, {1, 5, 9}, {0, 1, 2}])
def test_what_stands_before_and_behind_the_damage_is_shown_and_the_rest_is_claimed(
    settings: StoreSettings, offset: int, lost: set[int]
) -> None:
    batches = make_batches(10, body=bytes(range(100)))
    disk = written(batches, settings)
    for index in lost:
        hit(disk, batches[index], offset)
    store = opened(disk, settings)
    damage, first = store.recovered.damage, min(lost)
    assert damage is not None
    assert encoded(store.recovered.batches) == encoded(batches[:first])
    assert encoded(damage.later) == encoded([batch for i, batch in enumerate(batches) if i > first and i not in lost])
    assert (damage.after, damage.upto) == (batches[first - 1].last if first else 0, batches[9].last)
    assert store.ballot.suspect == batches[9].last


def test_a_last_record_that_nothing_names_is_claimed_up_to_the_end_of_the_promised_epoch() -> None:
    batches = make_batches(3)
    disk = written(batches)
    hit(disk, batches[2], -20)
    disk.damage("tail", 0, b"rot")
    store = opened(disk)
    assert store.ballot.suspect == PROMISED
    assert store.recovered.damage is not None
    assert store.recovered.damage.upto is None
    store.close()
    assert opened(disk).ballot.suspect == PROMISED


def test_a_second_start_claims_as_much_as_the_first_though_nothing_shows_it_any_more() -> None:
    batches = make_batches(4)
    disk = written(batches)
    hit(disk, batches[2])
    opened(disk).close()
    store = opened(disk)
    other = Batch(2, zxid_of(2, 1), 1, batches[1].last, 0, 0, 0, b"")
    encode_batch(other)
    store.perform([Append(other)])  # a leader's history goes another way; what stood behind is gone with it
    store.close()
    again = opened(disk)
    assert (again.last, again.ballot.suspect) == (other.last, 0)  # beyond what was claimed: the leader has all of it
    again.perform([TruncateLog(batches[1].last), SaveBallot(next_ballot(again.ballot, 2, 1))])
    assert encoded(again.read_batches(0, 1 << 20)) == encoded(batches[:2])


@pytest.mark.parametrize("lost", [{0}, {3}, {4, 5}, {9}])
@pytest.mark.parametrize("settings", [LARGE, SETTINGS], ids=["one segment", "many segments"])
def test_a_mended_log_is_what_it_was_and_goes_on(settings: StoreSettings, lost: set[int]) -> None:
    batches = make_batches(10, body=bytes(range(100)))
    disk = written(batches, settings)
    for index in lost:
        hit(disk, batches[index])
    store = opened(disk, settings)
    after = store.last
    store.perform([MendLog(after, [batch for batch in batches if batch.last > after])])
    more = make_batches(3, previous=batches[-1].last)
    append_all(store, more)
    assert encoded(store.read_batches(0, 1 << 20)) == encoded(batches + more)
    store.close()
    again = opened(disk, settings)
    assert again.recovered.damage is None
    assert again.ballot.suspect == 0
    assert encoded(again.recovered.batches) == encoded(batches + more)
    assert encoded(again.read_back(batches[4].last, batches[1].last, 1 << 20))[-1] == batches[4].encoded


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("power_cut", [True, False])
def test_a_mend_that_is_cut_off_anywhere_leaves_all_that_could_be_shown_before(seed: int, power_cut: bool) -> None:
    batches = make_batches(8, body=bytes(range(200)))
    original = written(batches, SETTINGS)
    hit(original, batches[2])
    for operations in range(40):
        disk, left = original.copy(), operations
        store = opened(disk, SETTINGS)
        shown = {batch.last for batch in store.recovered.batches}
        assert store.recovered.damage is not None
        shown |= {batch.last for batch in store.recovered.damage.later}

        def before(verb: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut

        disk.before = before
        try:
            store.perform([MendLog(store.last, batches[2:])])
            done = True
        except PowerCut:
            done = False
        disk.before = None
        disk.crash(Random(seed * 100 + operations)) if power_cut else disk.close()
        again = opened(disk, SETTINGS)
        damage = again.recovered.damage
        still = {batch.last for batch in again.recovered.batches} | {
            batch.last for batch in (damage.later if damage is not None else [])
        }
        assert still >= shown
        assert damage is not None or encoded(again.read_batches(0, 1 << 20)) == encoded(batches)
        if done:
            assert damage is None
            return
    raise AssertionError("mending takes more operations than this test looks at")


def test_damage_below_the_newest_snapshot_costs_the_older_log_and_nothing_else() -> None:
    batches = make_batches(10)
    disk = written(batches[:6])
    store = opened(disk)
    take_snapshot(store, store.last)
    append_all(store, batches[6:])
    store.close()
    hit(disk, batches[3])
    again = opened(disk)
    assert again.recovered.damage is None
    assert again.recovered.snapshot_zxid == again.log_start == batches[5].last
    assert encoded(again.recovered.batches) == encoded(batches[6:])
    again.close()
    assert encoded(opened(disk).recovered.batches) == encoded(batches[6:])
    disk.close()
    alone = Store.open(disk, server=SERVER, identity_if_new=1, settings=LARGE)  # nobody has to be asked for this
    assert encoded(alone.recovered.batches) == encoded(batches[6:])


def test_damage_that_reaches_over_the_snapshot_is_reported_from_there() -> None:
    batches = make_batches(10)
    disk = written(batches[:6])
    store = opened(disk)
    take_snapshot(store, store.last)
    append_all(store, batches[6:])
    store.close()
    for index in (3, 7):
        hit(disk, batches[index])
    again = opened(disk)
    damage = again.recovered.damage
    assert damage is not None
    assert (damage.after, damage.upto) == (batches[5].last, batches[9].last)
    assert encoded(damage.later) == encoded([batches[6], *batches[8:]])
    mending = Mending(again.ballot.suspect, damage.later)
    assert mending.missing(damage.after) == batches[7].last
    assert mending.add(batches[7], damage.after)
    whole = mending.batches(damage.after)
    assert whole is not None
    again.perform([MendLog(damage.after, whole)])
    again.close()
    last = opened(disk)
    assert (last.recovered.damage, last.log_start) == (None, batches[5].last)
    assert encoded(last.recovered.batches) == encoded(batches[6:])


def test_a_lost_state_is_claimed_and_a_leaders_snapshot_takes_its_place() -> None:
    batches = make_batches(12, body=bytes(range(200)))
    disk = written(batches[:6], SETTINGS)
    store = opened(disk, StoreSettings(segment_bytes=900, snapshots_kept=1))
    take_snapshot(store, store.last)
    append_all(store, batches[6:])
    store.close()
    name = f"snapshots/{batches[5].last:016x}"
    disk.damage(name, 20, b"rot")
    with pytest.raises(StorageRefused, match="there is no good snapshot, but the log begins only after"):
        Store.open(disk.copy(), server=SERVER, identity_if_new=1, settings=SETTINGS)
    again = opened(disk, SETTINGS)
    damage = again.recovered.damage
    assert damage is not None
    assert (again.last, again.recovered.snapshot_zxid, again.recovered.batches) == (0, 0, [])
    assert again.ballot.suspect == batches[11].last
    assert encoded(damage.later)[-6:] == encoded(batches[6:])
    again.perform([SnapshotPart(batches[11].last, 0, b"state"), InstallSnapshot(batches[11].last)])
    assert again.last == batches[11].last
    again.close()
    last = opened(disk, SETTINGS)
    assert (last.recovered.damage, last.recovered.snapshot_zxid) == (None, batches[11].last)


def test_a_segment_whose_header_cannot_be_read_is_a_gap_like_any_other() -> None:
    batches = make_batches(12, body=bytes(range(200)))
    disk = written(batches, SETTINGS)
    second = sorted(name for name in disk.contents() if name.startswith("log/"))[1]
    disk.damage(second, 12, b"rot")
    store = opened(disk, SETTINGS)
    damage = store.recovered.damage
    assert damage is not None
    assert damage.upto == batches[11].last
    gap = [batch for batch in batches if batch.last > damage.after and batch.encoded not in encoded(damage.later)]
    assert gap
    store.perform([MendLog(damage.after, [batch for batch in batches if batch.last > damage.after])])
    store.close()
    assert encoded(opened(disk, SETTINGS).recovered.batches) == encoded(batches)


@pytest.mark.parametrize("appended", [0, 1])
def test_what_a_leader_has_made_an_end_of_is_not_found_again(appended: int) -> None:
    """Its history goes on less far than the damaged log did: neither what stood behind nor the note may come back."""
    batches = make_batches(6)
    for seed in range(8):
        disk = written(batches)
        opened(disk).close()  # makes the note durable
        hit(disk, batches[2])
        store = opened(disk)
        for batch in batches[2 : 2 + appended]:
            store.perform([Append(batch)])
        store.perform([SaveBallot(replace(next_ballot(store.ballot, 2, 1), accepted=2, suspect=0))])
        disk.crash(Random(seed))
        again = opened(disk)
        assert again.recovered.damage is None
        assert (again.last, again.ballot.suspect) == (batches[1 + appended].last, 0)


def test_an_old_note_does_not_name_the_end_of_bytes_that_go_beyond_what_it_saw() -> None:
    batches = make_batches(4)
    disk = written(batches[:3])
    note = disk.contents()["tail"]
    store = opened(disk)
    append_all(store, batches[3:])
    store.close()
    disk.damage("tail", 0, note)  # a power cut has taken the newer one
    for batch in batches[2:]:  # and one bad sector both records
        hit(disk, batch, -20)
    again = opened(disk)
    assert again.recovered.damage is not None
    assert again.ballot.suspect == PROMISED


def test_a_note_from_before_a_snapshot_does_not_name_the_end_of_a_log_that_is_gone() -> None:
    batches = make_batches(6)
    disk = written(batches[:2])
    note = disk.contents()["tail"]
    store = opened(disk)
    append_all(store, batches[2:4])
    take_snapshot(store, store.last)
    append_all(store, batches[4:])
    store.close()
    disk.damage("tail", 0, note)
    for name in [name for name in disk.contents() if name.startswith("log/")]:
        disk.remove(name)
        disk.sync_folder("log")
    assert opened(disk).ballot.suspect == PROMISED


def test_a_second_damage_does_not_make_the_first_forgotten() -> None:
    """What was claimed before is claimed still, though all that is missing now is covered by a snapshot."""
    batches = make_batches(12, body=bytes(range(200)))
    disk = written(batches[:8], SETTINGS)
    store = opened(disk, SETTINGS)
    take_snapshot(store, store.last)
    store.close()
    note = disk.contents()["tail"]
    store = opened(disk, SETTINGS)
    append_all(store, batches[8:])
    store.close()
    hit(disk, batches[10])
    store = opened(disk, SETTINGS)
    assert store.ballot.suspect == batches[11].last
    store.close()
    disk.damage("tail", 0, note)
    for name in sorted(name for name in disk.contents() if name.startswith("log/"))[1:]:
        disk.remove(name)
    disk.sync_folder("log")
    assert opened(disk, SETTINGS).ballot.suspect == batches[11].last


def test_a_survey_reads_garbage_that_is_full_of_beginnings_of_records_about_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client may have written whatever it likes into a record that rots."""
    batches = [*make_batches(1), make_batch(zxid_of(1, 1), body=RECORD_MAGIC * (1 << 17))]
    disk = written(batches)
    hit(disk, batches[1], -20)
    read, amount = MemoryFile.read, 0

    def counted(file: MemoryFile, offset: int, length: int) -> bytes:
        nonlocal amount
        data = read(file, offset, length)
        amount += len(data)
        return data

    monkeypatch.setattr(MemoryFile, "read", counted)
    assert opened(disk).ballot.suspect == batches[1].last
    assert amount < 20 * len(batches[1].encoded)


def test_a_claim_is_given_up_only_when_what_goes_beyond_it_is_durable() -> None:
    """A killed process leaves what can be read, and would not survive a power cut; the next start may end in one."""
    batches = make_batches(4)
    original = written(batches)
    hit(original, batches[2])
    beyond = Batch(2, zxid_of(2, 1), 1, batches[1].last, 0, 0, 0, b"")
    encode_batch(beyond)
    for seed in range(40):
        disk, left = original.copy(), -1
        store = opened(disk)
        disk.lies = lambda verb, name: name.startswith("log/")
        store.perform([Append(beyond)])
        disk.lies = None
        disk.close()

        def before(verb: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut

        left, disk.before = seed % 10, before
        with suppress(PowerCut):
            opened(disk)
        disk.before = None
        disk.crash(Random(seed))
        again = opened(disk)
        assert max(again.last, again.ballot.suspect) >= batches[3].last
