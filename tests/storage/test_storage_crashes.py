"""The power is cut at every operation of random histories: what survives is what was promised, or the step at hand.

And with a disk or a store that breaks one rule, the same walks must find it: else they would prove nothing.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from storage_model import Walk, append_all, make_batches, open_store

from coord.paxos.effects import Append, Ballot, Step
from coord.storage import memory, survey
from coord.storage.ballot import COPIES, BallotFile
from coord.storage.errors import StorageRefused
from coord.storage.log import Log
from coord.storage.memory import MemoryDisk, PowerCut
from coord.storage.snapshots import PartialSnapshot
from coord.storage.store import Store

SEEDS = range(16)
EVENTS = 14


@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_at_any_operation_leaves_a_state_that_was_promised(seed: int) -> None:
    walk = Walk(seed, MemoryDisk())
    walk.run(EVENTS)
    assert walk.checked > EVENTS


@pytest.mark.parametrize("operations", range(1, 12))
def test_what_a_killed_process_had_not_synced_is_made_durable_by_the_next_start(operations: int) -> None:
    """It can still be read, so it counts, and a power cut must not take it any more (found by simulated seed 13)."""
    disk = MemoryDisk()
    store = open_store(disk)
    append_all(store, make_batches(2))
    left = operations

    def before(verb: str, name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut

    disk.before = before
    with contextlib.suppress(PowerCut):
        append_all(store, make_batches(6, previous=store.last, body=bytes(300)))
    disk.before = None
    disk.close()  # the process is gone, the machine runs on
    last = open_store(disk).last
    disk.crash()
    assert open_store(disk).last == last


def found_in_some_walk(disk: Callable[[], MemoryDisk] = MemoryDisk, first_seed: int = 0) -> str:
    """How a defect shows first: as a wrong state, or as a folder that is refused though nothing in it rotted."""
    for seed in range(first_seed, first_seed + 60):
        try:
            Walk(seed, disk(), crashes=3).run(EVENTS)
        except (AssertionError, StorageRefused) as error:
            return str(error)
    return ""


@pytest.mark.parametrize("verb", ["sync", "sync_folder"])
@pytest.mark.parametrize("where", ["ballot", "log", "snapshots"])
def test_a_disk_that_lies_about_a_sync_is_found_out(verb: str, where: str) -> None:
    def lies(asked: str, name: str) -> bool:
        return asked == verb and (name.startswith(where) or (name == "" and where == "ballot"))

    assert found_in_some_walk(lambda: MemoryDisk(lies=lies))


class Unsynced:
    """A file, or a disk with its files, whose content is not made durable; its names are."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def sync(self) -> None:
        pass

    def open(self, name: str, *, create: bool = False) -> "Unsynced":
        return Unsynced(self.real.open(name, create=create))


def test_a_ballot_saved_before_the_appends_ahead_of_it_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(store: Store, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Append):
                store._log.add(step.batch)
            else:
                store._do(step)
        store._log.sync()
        store._publish_waiting()

    monkeypatch.setattr(Store, "perform", hasty)
    assert "none of" in found_in_some_walk()


def test_a_ballot_written_into_both_copies_at_once_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that tears a write at any byte: a ballot is smaller than a sector."""
    monkeypatch.setattr(memory, "SECTOR_BYTES", 1)
    monkeypatch.setattr(survey, "SECTOR_BYTES", 1)

    def save(self: BallotFile, ballot: Ballot) -> None:
        self._generation += 1
        disk, self._disk = self._disk, Unsynced(self._disk)
        for name in COPIES:
            self._write(name, self._generation, ballot)
        self._disk = disk
        for name in COPIES:
            disk.open(name).sync()
        self.ballot = ballot

    monkeypatch.setattr(BallotFile, "save", save)
    assert "no copy of the ballot" in found_in_some_walk(first_seed=3)


def test_an_install_that_takes_the_log_away_first_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PartialSnapshot.publish

    def publish(self: PartialSnapshot) -> None:
        if self.origin.installed:
            for name in self._disk.names("log"):
                self._disk.remove(f"log/{name}")
            self._disk.sync_folder("log")
        honest(self)

    monkeypatch.setattr(PartialSnapshot, "publish", publish)
    monkeypatch.setattr(Log, "start_over", forget_only)
    assert found_in_some_walk()


def forget_only(self: Log, lineage: int, base: int) -> None:
    self._close_last()
    self._segments, self._base, self._added, self._lineage = [], base, base, lineage


def test_an_install_without_a_new_lineage_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Store._receive

    def receive(self: Store, zxid: int, index: int, data: bytes) -> None:
        self._lineage -= 1
        try:
            honest(self, zxid, index, data)
        finally:
            self._lineage += 1

    monkeypatch.setattr(Store, "_receive", receive)
    assert found_in_some_walk()


def test_a_snapshot_named_before_it_is_durable_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = PartialSnapshot.seal

    def seal(self: PartialSnapshot) -> None:
        self._file = Unsynced(self._file)
        honest(self)

    monkeypatch.setattr(PartialSnapshot, "seal", seal)
    assert "snapshot" in found_in_some_walk()


def test_a_cut_that_is_not_synced_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Log._cut_file

    def cut(self: Log, end: int) -> None:
        self._file = Unsynced(self._open_last())
        honest(self, end)
        self._file = self._file.real

    monkeypatch.setattr(Log, "_cut_file", cut)
    assert found_in_some_walk(first_seed=6)


def test_retention_that_keeps_too_little_log_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(self: Log, zxid: int) -> None:
        while len(self._segments) > 1:
            segment = self._segments.pop(0)
            self._base = self._segments[0].base
            self._disk.remove(segment.name)
            self._disk.sync_folder("log")

    monkeypatch.setattr(Log, "drop_before", drop)
    assert "the log begins only after" in found_in_some_walk()
