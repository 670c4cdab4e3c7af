"""The real folder, and the one in memory against it."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from storage_model import SETTINGS, append_all, make_batches, open_store, take_snapshot

from coord.model.entries import zxid_of
from coord.paxos.effects import SnapshotPart
from coord.storage.disk import Disk, FolderDisk
from coord.storage.errors import StorageFailure, StorageRefused
from coord.storage.memory import MemoryDisk

HOLD_THE_LOCK = """
import sys
from coord.storage.disk import FolderDisk
disk = FolderDisk(sys.argv[1])
disk.lock()
print("locked", flush=True)
sys.stdin.read()
"""


def locked(path: Path) -> FolderDisk:
    disk = FolderDisk(path)
    disk.lock()
    return disk


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_store_on_a_real_folder_survives_being_closed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    batches = make_batches(12, body=b"x" * 200)
    store = open_store(FolderDisk(path))
    append_all(store, batches)
    take_snapshot(store, batches[5].last)
    assert store.statistics().syncs.count > 1
    store.close()
    store = open_store(FolderDisk(path))
    assert [batch.encoded for batch in store.recovered.batches] == [batch.encoded for batch in batches[6:]]
    assert list(store.snapshot_chunks()) == [b"state"]
    store.close()


def test_a_closed_store_leaves_no_file_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    store = open_store(FolderDisk(tmp_path / "data"))
    append_all(store, make_batches(12, body=b"x" * 200))
    take_snapshot(store, store.last - 3)
    store.begin_snapshot(store.last).write(b"half")
    store.perform([SnapshotPart(zxid_of(2, 1), 0, b"half")])
    assert store.read_batches(0, 10_000)
    assert list(store.snapshot_chunks()) == [b"state"]
    next(store.snapshot_chunks())
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_folders_and_files_are_this_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    umask = os.umask(0)
    try:
        store = open_store(FolderDisk(path))
        append_all(store, make_batches(1))
        take_snapshot(store, store.last)
        store.close()
    finally:
        os.umask(umask)
    for folder, _, files in os.walk(path):
        assert mode_of(Path(folder)) == 0o700
        for file in files:
            assert mode_of(Path(folder, file)) == 0o600


def test_an_empty_folder_open_to_others_is_closed_and_a_filled_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    locked(path).close()
    assert mode_of(path) == 0o700
    path.chmod(0o750)
    with pytest.raises(StorageRefused, match=r"open to other users \(mode 0750\).*chmod 700"):
        locked(path)


def test_a_folder_in_use_by_another_process_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(StorageRefused, match=f"in use by the process {holder.pid};"):
            locked(path)
        holder.kill()  # and with the process goes the lock
        holder.wait()
    locked(path).close()


def test_a_folder_in_use_by_another_server_of_this_process_is_refused(tmp_path: Path) -> None:
    disk = locked(tmp_path / "data")
    with pytest.raises(StorageRefused, match=f"in use by the process {os.getpid()};"):
        locked(tmp_path / "data")
    disk.close()
    locked(tmp_path / "data").close()


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("something")
    with pytest.raises(StorageRefused, match="is not a folder"):
        locked(tmp_path / "data")
    with pytest.raises(StorageRefused, match="cannot be used: Not a directory"):
        locked(tmp_path / "data" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o000)
    with pytest.raises(StorageRefused, match="Permission denied"):
        locked(tmp_path / "data")


def test_errors_of_the_system_say_what_was_tried_on_which_file(tmp_path: Path) -> None:
    disk = locked(tmp_path)
    with pytest.raises(StorageFailure, match=rf"opening {tmp_path}/nothing failed: No such file.*\(errno 2\)"):
        disk.open("nothing")
    with pytest.raises(StorageFailure, match=r"removing .*nothing failed"):
        disk.remove("nothing")
    with pytest.raises(StorageFailure, match=r"renaming to other .*nothing failed"):
        disk.rename("nothing", "other")
    disk.sync_folder("nowhere")  # no name was ever given there, so there is nothing to lose
    (tmp_path / "full").symlink_to("/dev/full")
    full = disk.open("full")
    with pytest.raises(StorageFailure, match=r"writing .*full failed: No space left on device \(errno 28\)"):
        full.write(0, [b"x"])
    with pytest.raises(StorageFailure, match=r"truncating .*full failed"):
        full.truncate(3)
    with pytest.raises(StorageFailure, match=r"syncing .*full failed"):
        full.sync()
    full.close()
    disk.close()


def test_a_write_that_the_system_takes_in_parts_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", lambda fd, parts, offset: os.pwrite(fd, b"".join(parts)[:5], offset))
    disk = locked(tmp_path)
    file = disk.open("file", create=True)
    file.write(3, [b"hello", b"", b"world"])
    assert file.read(0, 100) == b"\0\0\0helloworld"
    file.close()
    disk.close()


def test_more_buffers_than_the_system_takes_at_once_are_written(tmp_path: Path) -> None:
    disk = locked(tmp_path)
    file = disk.open("file", create=True)
    file.write(1, [b"%04d" % number for number in range(3000)])
    assert file.read(1 + 4 * 2999, 100) == b"2999"
    file.close()
    disk.close()


def test_a_changed_length_is_followed_by_a_full_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fdatasync need not make a shorter length durable."""
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: calls.append("fdatasync"))
    disk = locked(tmp_path)
    file = disk.open("file", create=True)
    for change in (lambda: file.write(0, [b"abc"]), lambda: file.truncate(1), lambda: file.allocate(9), lambda: None):
        change()
        file.sync()
    assert calls == ["fdatasync", "fsync", "fsync", "fdatasync"]
    file.close()
    disk.close()


def test_both_disks_behave_alike(tmp_path: Path) -> None:
    memory, folder = MemoryDisk(), FolderDisk(tmp_path / "data")
    disks: list[Disk] = [memory, folder]
    for disk in disks:
        disk.lock()
    chance = Random(8)
    names = ["top", "log/one", "log/two", "log/three"]
    for _ in range(600):
        verb = chance.choice(("write", "write", "truncate", "allocate", "read", "rename", "remove", "sync"))
        name, other = chance.choice(names), chance.choice(names[1:])
        offset, size, data = chance.randrange(500), chance.randrange(500), chance.randbytes(chance.randrange(90))
        outcomes = []
        for disk in disks:
            outcome: object = None
            try:
                if verb == "rename":
                    disk.rename(other, "log/new")
                    disk.rename("log/new", name if name != "top" else other)
                elif verb == "remove":
                    disk.remove(name)
                else:
                    file = disk.open(name, create=verb == "write")
                    if verb == "write":
                        file.write(offset, [data, b"", data])
                    elif verb == "truncate":
                        file.truncate(size)
                    elif verb == "allocate":
                        file.allocate(size + 1)
                    elif verb == "sync":
                        file.sync()
                        disk.sync_folder(name.rpartition("/")[0])
                    outcome = (file.size(), file.read(offset, size))
                    file.close()
            except StorageFailure:
                outcome = "failed"
            there = [name for name in disk.names("") if name not in ("lock", "log")]
            outcomes.append((outcome, there, disk.names("log"), disk.names("nowhere")))
        assert outcomes[0] == outcomes[1], verb
    for disk in disks:
        disk.close()


# ---- the disk in memory


def test_memory_forgets_what_was_not_synced_and_keeps_what_was() -> None:
    disk = MemoryDisk()
    file = disk.open("log/a", create=True)
    file.write(0, [b"first"])
    disk.sync_folder("log")
    disk.crash()
    assert disk.contents() == {"log/a": b""}
    file = disk.open("log/a")
    file.write(0, [b"second"])
    file.sync()
    file.write(0, [b"third"])
    disk.rename("log/a", "log/b")
    disk.crash()
    assert disk.contents() == {"log/a": b"second"}


def test_memory_may_keep_any_sectors_of_what_was_not_synced() -> None:
    seen: set[tuple[str, str]] = set()
    for seed in range(400):
        disk = MemoryDisk()
        file = disk.open("f", create=True)
        file.write(0, [b"o" * 1536])
        file.sync()
        disk.sync_folder("")
        file.write(100, [b"n" * 1200])
        disk.rename("f", "g")
        disk.crash(Random(seed))
        ((name, content),) = disk.contents().items()
        sectors = content[100:1300].decode()
        seen.add((name, sectors[0] + sectors[500] + sectors[1000]))
        assert (
            content
            == b"o" * 100 + content[100:101] * 412 + content[512:513] * 512 + content[1024:1025] * 276 + b"o" * 236
        )
    assert {(name, kept) for name in "fg" for kept in ("ooo", "nnn")} < seen
    assert {("f", "noo"), ("g", "ono"), ("f", "oon"), ("g", "non")} < seen


def test_a_file_opened_before_the_power_cut_is_dead() -> None:
    disk = MemoryDisk()
    disk.lock()
    with pytest.raises(StorageRefused, match="in use"):
        disk.lock()
    file = disk.open("f", create=True)
    disk.crash()
    for use in (lambda: file.write(0, [b"x"]), file.sync, lambda: file.read(0, 1)):
        with pytest.raises(StorageFailure, match="before the power was cut"):
            use()
    disk.lock()


def test_memory_fails_where_a_test_says_so() -> None:
    def fail(verb: str, name: str) -> None:
        if (verb, name) == ("sync", "log/a"):
            raise OSError(errno.EIO, "Input/output error")

    disk = MemoryDisk(before=fail)
    file = disk.open("log/a", create=True)
    file.write(0, [b"x"])
    with pytest.raises(StorageFailure, match=r"sync of log/a failed: Input/output error \(errno 5\)"):
        file.sync()


def test_a_store_on_memory_takes_no_more_memory_than_was_written() -> None:
    disk = MemoryDisk()
    store = open_store(disk)
    append_all(store, make_batches(1))
    assert SETTINGS.segment_bytes > 800
    assert len(disk._files[f"log/{store.last:016x}"].visible.data) < 300
