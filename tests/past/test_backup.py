"""Backups: what they hold, what is refused, and folders made of them."""

import os
import random
import stat
from contextlib import aclosing, suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.acl import OPEN_ACL
from coord.model.entries import epoch_of
from coord.model.requests import CloseSession, Create, CreateSession, SetData
from coord.past.backup import back_up, most_advanced
from coord.past.backup_file import BackupSource
from coord.past.errors import NobodyThere, PastDamaged, PastError
from coord.past.folder import FolderSource
from coord.past.looking import Place, Silence, state_at
from coord.past.restore import EPOCHS_AHEAD, Target, restore
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from coord.storage.disk import FolderDisk
from coord.storage.errors import StorageRefused
from coord.storage.store import Store
from tests.past.scribe import MemorySource, Scribe, run_of
from tests.past.test_past_against_naive import travelled
from tests.state.world import PASSWORD

MADE_MS = 1_800_000_000_000


def written(*, writes=40, snapshots=(10, 25), size=10) -> Scribe:
    """Two sessions, an ephemeral of each, and a znode that is written again and again."""
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 1000)), run_of(CreateSession(2, PASSWORD, 1000)))
    scribe.write(run_of(Create("/a", b"first", OPEN_ACL), Create("/a/mine", b"", OPEN_ACL, 1), session=1))
    scribe.write(run_of(Create("/a/other", b"", OPEN_ACL, 1), session=2))
    for index in range(writes):
        scribe.write(run_of(SetData("/a", b"%d" % index * size), session=1))
        if index in snapshots:
            scribe.take_snapshot()
    return scribe


async def backed_up(scribe: Scribe, path, **options) -> BackupSource:
    await back_up(MemorySource(scribe), path, MADE_MS, **options)
    return BackupSource(path)


def loaded(folder) -> Machine:
    """The state that a server finds in a folder."""
    store = Store.open(FolderDisk(folder), server=1, identity_if_new=1)
    try:
        restoring = Restoring()
        for chunk in store.snapshot_chunks():
            restoring.add(chunk)
        assert not store.recovered.batches
        return restoring.finish()
    finally:
        store.close()


def without_sessions(machine: Machine) -> dict:
    """All znodes but ephemerals, with what a restore leaves as it is."""
    return {
        path: (node.data, node.acl, node.czxid, node.mzxid, node.ctime, node.mtime, node.version, node.aversion)
        for path, node in machine.tree.nodes.items()
        if not node.ephemeral_owner
    }


# ---- round trips


@settings(max_examples=40, deadline=None)
@given(travelled(), st.booleans(), st.data())
def test_any_tree_at_any_place_comes_back_as_it_was(tmp_path_factory, travelled, history, data) -> None:
    folder = tmp_path_factory.mktemp("backup")
    scribe = travelled.scribe

    async def check() -> None:
        source = await backed_up(scribe, folder / "file", history=history)
        await source.verify()
        header, end = source.header, source.end
        assert end.last == scribe.last
        for zxid in sorted(travelled.states):
            if zxid < header.start:
                with pytest.raises(PastError, match="keeps the past from zxid"):
                    await state_at(source, Place(zxid))
                continue
            before = await state_at(source, Place(zxid))
            assert before.digest == (await state_at(MemorySource(scribe), Place(zxid))).digest
        at = data.draw(st.sampled_from([zxid for zxid in sorted(travelled.states) if zxid >= header.start]))
        before = await state_at(source, Place(at))
        told = await restore(source, [Target(1, folder / "data")], random.Random(1), place=Place(at))
        after = loaded(folder / "data")
        assert (told.place, told.digest, told.zxid) == (at, after.digest, after.zxid)
        assert not after.sessions
        assert not after.tree.ephemerals
        if before.sessions:
            assert without_sessions(after) == without_sessions(before)
        else:
            assert after.digest == before.digest

    trio.run(check)


async def test_the_end_of_a_backup_is_the_state_that_was_backed_up(tmp_path) -> None:
    scribe = written()
    source = await backed_up(scribe, tmp_path / "file")
    machine = await state_at(source, Place(source.end.last))
    assert (machine.zxid, machine.digest) == (scribe.last, scribe.machine.digest)
    assert source.end.time_ms == scribe.time_ms


async def test_without_history_only_the_newest_state_and_what_came_after_it_is_kept(tmp_path) -> None:
    scribe = written()
    newest, oldest = max(scribe.snapshots), 0
    assert (await backed_up(scribe, tmp_path / "long")).header.start == oldest
    short = await backed_up(scribe, tmp_path / "short", history=False)
    assert short.header.start == newest
    with pytest.raises(PastError, match=f"keeps the past from zxid {newest:#x}"):
        await state_at(short, Place(newest - 1))
    assert (await state_at(short, Place(scribe.last))).digest == scribe.machine.digest


async def test_a_moment_can_be_restored(tmp_path) -> None:
    scribe = written(snapshots=())
    source = await backed_up(scribe, tmp_path / "file")
    batch = scribe.batches[20]
    told = await restore(source, [Target(1, tmp_path / "data")], random.Random(1), place=Place(None, batch.time_ms + 1))
    assert (told.place, told.time_ms) == (batch.last, batch.time_ms)
    assert loaded(tmp_path / "data").tree.nodes["/a"].data == b"17" * 10


async def test_a_place_in_the_middle_of_a_batch_can_be_restored(tmp_path) -> None:
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 1000)))
    batch = scribe.write(run_of(*[Create(path, b"", OPEN_ACL) for path in ("/a", "/b", "/c")], session=1))
    source = await backed_up(scribe, tmp_path / "file")
    await restore(source, [Target(1, tmp_path / "data")], random.Random(1), place=Place(batch.first + 1))
    nodes = loaded(tmp_path / "data").tree.nodes
    assert "/b" in nodes
    assert "/c" not in nodes


async def test_a_folder_can_be_backed_up_without_a_server(tmp_path) -> None:
    scribe = written()
    scribe.save(tmp_path / "data")
    await back_up(FolderSource(tmp_path / "data"), tmp_path / "file", MADE_MS)
    source = BackupSource(tmp_path / "file")
    await source.verify()
    assert (await state_at(source, Place(scribe.last))).digest == scribe.machine.digest


async def test_the_empty_ensemble_can_be_backed_up(tmp_path) -> None:
    source = await backed_up(Scribe(), tmp_path / "file")
    await source.verify()
    told = await restore(source, [Target(1, tmp_path / "data")], random.Random(1))
    assert told.digest == Machine().digest == loaded(tmp_path / "data").digest


async def test_the_one_who_knows_most_is_backed_up_and_who_does_not_tell_is_known() -> None:
    behind, ahead = written(writes=5), written(writes=9)

    class Mute(MemorySource):
        def __init__(self, error: PastError) -> None:
            super().__init__(behind)
            self.error = error

        async def overview(self):
            raise self.error

    away, wrong = Mute(NobodyThere("nobody answers")), Mute(PastError("who are you?"))
    sources = [MemorySource(behind), away, MemorySource(ahead)]
    assert await most_advanced(sources) == (sources[2], [away.error])
    for mute in ([away, wrong], [wrong, away]):
        with pytest.raises(PastError, match=r"who are you\?"):
            await most_advanced(mute)
    with pytest.raises(PastError, match="nobody answers"):
        await most_advanced([away, away])


# ---- a new ensemble


async def test_a_restored_ensemble_has_no_sessions_and_begins_far_above_the_old_one(tmp_path) -> None:
    scribe = written()
    scribe.machine.servers[1] = 0x1DE, "old"
    scribe.take_snapshot()
    source = await backed_up(scribe, tmp_path / "file", history=False)
    told = await restore(source, [Target(1, tmp_path / "data")], random.Random(1))
    after = loaded(tmp_path / "data")
    assert (told.sessions_ended, told.ephemerals_removed) == (2, 2)
    assert epoch_of(after.zxid) == epoch_of(scribe.last) + EPOCHS_AHEAD
    assert list(after.tree.nodes) == ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/a"]
    assert after.servers == after.origins == {}
    # As if the sessions had been closed, and nothing else.
    for session in (1, 2):
        scribe.write(run_of(CloseSession(session, True)))
    assert without_sessions(after) == without_sessions(scribe.machine)


async def test_the_same_file_gives_the_same_ensemble_everywhere_and_other_names_give_others(tmp_path) -> None:
    scribe = written()
    source = await backed_up(scribe, tmp_path / "file")
    again = await backed_up(scribe, tmp_path / "again")

    async def cluster(file, number, **options) -> tuple[int, int]:
        told = await restore(file, [Target(number, tmp_path / f"{random.random()}")], random.Random(), **options)
        return told.cluster, told.digest

    first = await cluster(source, 1)
    assert await cluster(source, 2) == first
    assert (await cluster(source, 1, name="staging"))[1] == first[1]
    others = [
        await cluster(source, 1, name="staging"),
        await cluster(source, 1, place=Place(scribe.last - 1)),
        await cluster(again, 1),
    ]
    assert len({first[0], *(each[0] for each in others)}) == 4


async def test_several_servers_get_folders_of_their_own(tmp_path) -> None:
    source = await backed_up(written(), tmp_path / "file")
    targets = [Target(server, tmp_path / f"server-{server}") for server in (1, 2, 3)]
    await restore(source, targets, random.Random(1))
    ballots = []
    for target in targets:
        store = Store.open(FolderDisk(target.folder), server=target.server, identity_if_new=1)
        ballots.append(store.ballot)
        store.close()
        assert stat.S_IMODE(target.folder.stat().st_mode) == 0o700
    assert len({ballot.identity for ballot in ballots}) == 3
    assert len({ballot.cluster for ballot in ballots}) == 1


# ---- damage


async def test_every_byte_that_changes_is_found(tmp_path) -> None:
    """Every byte of a small file; each in a way of its own."""
    path = tmp_path / "file"
    await backed_up(written(writes=6, snapshots=(3,)), path, history=False)
    good = path.read_bytes()
    chance = random.Random(1)
    for offset in range(len(good)):
        changed = bytearray(good)
        changed[offset] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(PastError, match=r"is damaged|is no backup of coord|another version") as refused:
            await BackupSource(path).verify()
        assert "\n" not in str(refused.value)
        if offset % 50 == 0:
            with pytest.raises(PastError):
                await restore(BackupSource(path), [Target(1, tmp_path / "data")], random.Random(1))
            assert not (tmp_path / "data").exists()
    path.write_bytes(good)
    await BackupSource(path).verify()


async def test_a_file_cut_off_anywhere_or_gone_on_with_is_refused(tmp_path) -> None:
    path = tmp_path / "file"
    await backed_up(written(writes=6, snapshots=(3,)), path, history=False)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(PastError, match=r"is damaged|is no backup of coord"):
            await BackupSource(path).verify()
    for more in (b"\0", good[-60:], good):
        path.write_bytes(good + more)
        with pytest.raises(PastError, match="is damaged"):
            await BackupSource(path).verify()


async def test_pieces_of_two_backups_do_not_make_one(tmp_path) -> None:
    """The same state and log, told twice: the files differ in their names only, and their pieces do not mix."""
    scribe = written(writes=6, snapshots=(3,))
    for name in "ab":
        await backed_up(scribe, tmp_path / name, history=False)
    one, two = [(tmp_path / name).read_bytes() for name in "ab"]
    assert len(one) == len(two)
    middle = len(one) // 2
    for mixed in (one[:middle] + two[middle:], one[:60] + two[60:]):
        (tmp_path / "c").write_bytes(mixed)
        with pytest.raises(PastDamaged):
            await BackupSource(tmp_path / "c").verify()


@pytest.mark.parametrize(
    "content", [b"", b"coordbak", b"PK\3\4" + bytes(100), b"coordsnp" + bytes(100), b"\xff" * 2000]
)
async def test_a_foreign_file_is_refused(tmp_path, content) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(PastError, match=r"is no backup of coord|is damaged"):
        BackupSource(tmp_path / "file")


async def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PastError, match="is not even a file"):
        BackupSource(tmp_path / "pipe")
    with pytest.raises(PastError, match="cannot be read: Is a directory"):
        BackupSource(tmp_path)


async def test_a_file_of_a_later_version_is_not_called_damaged(tmp_path) -> None:
    from zlib import crc32

    path = tmp_path / "file"
    await backed_up(written(), path)
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[10:12], "big")
    data[8:10] = b"\0\2"
    data[12 + length : 16 + length] = crc32(data[: 12 + length]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(PastError, match="made by another version of coord"):
        BackupSource(path)


async def test_a_state_that_is_damaged_gives_way_to_the_next(tmp_path) -> None:
    scribe = written()

    class Rotten(MemorySource):
        async def snapshot(self, zxid):
            if zxid == min(scribe.snapshots):
                raise PastDamaged("it has rotted")
            async for chunk in super().snapshot(zxid):
                yield chunk

    rotten = Rotten(scribe, log_start=min(scribe.snapshots))
    told = await back_up(rotten, tmp_path / "file", MADE_MS)
    assert told.start == max(scribe.snapshots)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# ---- what is in the way


async def test_an_existing_file_is_left_alone(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(PastError, match="exists already; name another file"):
        await back_up(MemorySource(written()), tmp_path / "file", MADE_MS)
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("", ".", "..", "/", "a" * 300, "missing/file"):
        with pytest.raises(PastError, match=r"exists already|cannot be written"):
            await back_up(MemorySource(written()), Path(name), MADE_MS)
    assert not list(tmp_path.iterdir())


async def test_a_link_that_leads_nowhere_is_left_alone(tmp_path) -> None:
    (tmp_path / "file").symlink_to("nowhere")
    with pytest.raises(PastError, match="exists already"):
        await back_up(MemorySource(written()), tmp_path / "file", MADE_MS)
    assert (tmp_path / "file").is_symlink()


async def test_a_backup_is_its_owners_alone(tmp_path) -> None:
    await backed_up(written(), tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


async def test_a_backup_that_fails_leaves_nothing(tmp_path) -> None:
    class Gone(MemorySource):
        async def batches(self, after):
            yield next(batch for batch in self._scribe.batches if batch.last > after)
            raise PastError("it went away")

    with pytest.raises(PastError, match="it went away"):
        await back_up(Gone(written()), tmp_path / "file", MADE_MS)
    with pytest.raises(PastError, match="cannot be written: No such file or directory"):
        await back_up(MemorySource(written()), tmp_path / "missing" / "file", MADE_MS)
    assert not list(tmp_path.iterdir())


async def test_a_backup_that_is_interrupted_leaves_nothing(tmp_path) -> None:
    class Endless(MemorySource):
        async def batches(self, after):
            async with aclosing(super().batches(after)) as batches:
                async for batch in batches:
                    yield batch
                    interrupted.cancel()
                    await trio.lowlevel.checkpoint()

    with trio.CancelScope() as interrupted:
        await back_up(Endless(written()), tmp_path / "file", MADE_MS)
    assert interrupted.cancelled_caught
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
class Told(Silence):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


async def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch) -> None:
    real, told = os.open, Told()

    def full(path, flags, mode=0o777, **options):
        return real("/dev/full", os.O_WRONLY) if ".part-" in str(path) else real(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(PastError, match="file cannot be written: No space left on device; nothing is left of it"):
        await back_up(MemorySource(written()), tmp_path / "file", MADE_MS, progress=told)
    assert told.notes == []  # another state would not fit either
    assert not list(tmp_path.iterdir())


async def test_a_folder_that_holds_anything_is_left_alone(tmp_path) -> None:
    source = await backed_up(written(), tmp_path / "file")
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    (full / "log").write_bytes(b"")
    with pytest.raises(PastError, match="full is not empty: it holds log; name a folder that is empty"):
        await restore(source, [Target(1, empty), Target(2, full)], random.Random(1))
    assert not list(empty.iterdir())
    with pytest.raises(PastError, match="cannot be used as a data folder: Not a directory"):
        await restore(source, [Target(1, tmp_path / "file")], random.Random(1))
    await restore(source, [Target(1, empty)], random.Random(1))
    with pytest.raises(PastError, match=r"not empty: it holds ballot.a, ballot.b, lock and more"):
        await restore(source, [Target(1, empty)], random.Random(1))


async def test_a_restore_that_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    from coord.storage.disk import FolderFile
    from coord.storage.errors import StorageFailure

    source = await backed_up(written(), tmp_path / "file")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "lost+found").mkdir()  # the folder is a disk of its own

    def fail(self) -> None:
        raise StorageFailure("syncing failed: No space left on device")

    monkeypatch.setattr(FolderFile, "sync", fail)
    with pytest.raises(PastError, match=r"restoring into .*data failed, and nothing is left there.*No space left"):
        await restore(source, [Target(1, tmp_path / "data")], random.Random(1))
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["lost+found"]
    monkeypatch.undo()
    await restore(source, [Target(1, tmp_path / "data")], random.Random(1))
    assert loaded(tmp_path / "data").tree.nodes["/a"].data


async def test_a_restore_that_fails_at_a_later_folder_says_which_are_whole(tmp_path) -> None:
    class Meddling(Silence):
        def begin(self, what: str, total_bytes: int) -> None:
            if what.endswith("first"):
                (tmp_path / "second").mkdir()
                (tmp_path / "second" / "mine").touch()

    source = await backed_up(written(), tmp_path / "file")
    targets = [Target(1, tmp_path / "first"), Target(2, tmp_path / "second")]
    with pytest.raises(PastError, match=r"second is not empty.*first was made before and is whole"):
        await restore(source, targets, random.Random(1), progress=Meddling())
    assert loaded(tmp_path / "first").tree.nodes["/a"].data
    assert [path.name for path in (tmp_path / "second").iterdir()] == ["mine"]


async def test_no_server_starts_with_a_folder_that_was_only_half_made(tmp_path, monkeypatch) -> None:
    """A killed restore leaves what it has written. At whatever write that was."""
    source = await backed_up(written(), tmp_path / "file")
    from coord.past import restore as module
    from coord.storage.disk import FolderFile

    class Killed(BaseException):
        pass

    real, left = FolderFile.write, 0

    def write(self, offset, buffers) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real(self, offset, buffers)

    monkeypatch.setattr(FolderFile, "write", write)
    monkeypatch.setattr(module, "_clear", lambda folder: None)
    refused = 0
    for writes in range(1, 50):
        left = writes
        folder = tmp_path / f"data-{writes}"
        with suppress(Killed):
            await restore(source, [Target(1, folder)], random.Random(1))
            break
        left = 1000
        if (folder / "ballot.a").exists():
            continue  # the one copy says all that the other will
        with pytest.raises(StorageRefused, match="the ballot is missing"):
            Store.open(FolderDisk(folder), server=1, identity_if_new=1)
        refused += 1
    assert refused > 3
    left = 1000
    assert loaded(folder).tree.nodes["/a"].data == b"39" * 10


async def test_a_place_that_is_not_in_the_backup_is_refused_before_anything_is_written(tmp_path) -> None:
    scribe = written()
    source = await backed_up(scribe, tmp_path / "file", history=False)
    for place, sentence in (
        (Place(scribe.last + 1), f"the log of .*file ends with {scribe.last:#x}"),
        (Place(5), "keeps the past from zxid"),
        (Place(scribe.last + (1 << 39)), f"ends with {scribe.last:#x}"),
        (Place(None, 5), "1970-01-01T00:00:00Z cannot be shown"),
    ):
        with pytest.raises(PastError, match=sentence):
            await restore(source, [Target(1, tmp_path / "data")], random.Random(1), place=place)
    assert not (tmp_path / "data").exists()
