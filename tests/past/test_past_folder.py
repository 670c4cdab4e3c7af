"""A data folder as a source: what it gives, what it says of damage, and that it leaves everything as it is."""

import os
import threading
from contextlib import aclosing

import pytest

from coord.model.requests import Create, CreateSession, SetData
from coord.past.errors import PastDamaged, PastError
from coord.past.folder import FolderSource
from coord.past.looking import Place, restored, state_at
from coord.past.verify import verify_log
from coord.paxos.effects import Append, InstallSnapshot, SnapshotPart, TruncateLog
from coord.storage.disk import FolderDisk
from coord.storage.store import Store, StoreSettings
from tests.past.scribe import Scribe, run_of
from tests.state.world import PASSWORD, everything
from tests.storage.storage_model import take_snapshot


def written(batches: int, *, snapshot_every: int = 0) -> Scribe:
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 4000)))
    scribe.write(run_of(Create("/n", b"", ((31, "world", "anyone"),)), session=1))
    for number in range(batches - 2):
        scribe.write(run_of(SetData("/n", b"%d" % number * 20), SetData("/n", bytes(number)), session=1))
        if snapshot_every and (number + 3) % snapshot_every == 0:
            scribe.take_snapshot()
    return scribe


def contents(folder) -> dict:
    """All that is in a folder: bytes, modes, and when each file was last written."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        found[str(path)] = (stat.st_mode, stat.st_mtime_ns, path.read_bytes() if path.is_file() else None)
    return found


async def read(folder, after=0):
    async with aclosing(FolderSource(folder).batches(after)) as batches:
        return [batch.encoded async for batch in batches]


def segments(folder):
    return sorted(path for path in (folder / "log").iterdir())


def damage(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_everything_is_shown_and_nothing_is_changed(tmp_path):
    scribe = written(60, snapshot_every=20)
    scribe.save(tmp_path)
    before = contents(tmp_path)
    source = FolderSource(tmp_path)
    assert await read(tmp_path) == [batch.encoded for batch in scribe.batches]
    overview = await source.overview()
    assert (overview.server, overview.log_start, overview.last) == (1, 0, scribe.last)
    assert [each.zxid for each in overview.snapshots] == sorted(scribe.snapshots)
    for zxid, chunks in scribe.snapshots.items():
        assert [chunk async for chunk in source.snapshot(zxid)] == chunks
    assert everything(await state_at(source, Place(scribe.last))) == everything(scribe.machine)
    checked = await verify_log(source)
    assert (checked.batches, checked.last, checked.snapshots) == (60, scribe.last, 3)
    assert contents(tmp_path) == before


async def test_what_follows_a_place_in_the_middle_of_a_batch_begins_with_that_batch(tmp_path):
    scribe = written(30)
    scribe.save(tmp_path)
    for batch in scribe.batches[2:]:
        rest = [each.encoded for each in scribe.batches if each.last > batch.first]
        assert await read(tmp_path, batch.first) == rest
        assert await read(tmp_path, batch.last) == rest[1:]


async def test_a_folder_that_a_server_has_locked_is_read_all_the_same(tmp_path):
    scribe = written(30, snapshot_every=10)
    store = scribe.save(tmp_path, close=False)
    before = contents(tmp_path)
    assert await read(tmp_path) == [batch.encoded for batch in scribe.batches]
    assert contents(tmp_path) == before
    store.close()


async def test_a_folder_without_a_ballot_is_read_too(tmp_path):
    scribe = written(30, snapshot_every=10)
    scribe.save(tmp_path)
    (tmp_path / "ballot.a").unlink()
    (tmp_path / "ballot.b").write_bytes(b"nothing")
    assert await read(tmp_path) == [batch.encoded for batch in scribe.batches]
    assert (await FolderSource(tmp_path).overview()).server == 0


# ---- what is not all there


async def test_a_record_that_was_torn_is_the_end(tmp_path):
    scribe = written(3)
    scribe.save(tmp_path)
    (segment,) = segments(tmp_path)
    (tmp_path / "tail").unlink()
    used = len(segment.read_bytes().rstrip(b"\0"))
    damage(segment, used - 600 if used > 600 else used - 30, bytes(600))
    assert len(await read(tmp_path)) < 3


async def test_a_record_that_was_durable_is_damage_with_its_place(tmp_path):
    scribe = written(40)
    scribe.save(tmp_path, segment_bytes=1 << 20)
    (segment,) = segments(tmp_path)
    where = segment.read_bytes().index(scribe.batches[20].encoded)
    damage(segment, where + 5, b"??")
    before = contents(tmp_path)
    shown = []

    async def gather():
        async for batch in FolderSource(tmp_path).batches(0):
            shown.append(batch.last)

    with pytest.raises(PastDamaged, match=rf"{segment.name} is damaged at offset {where - 52}, after zxid .*later one"):
        await gather()
    assert shown == [batch.last for batch in scribe.batches[:20]]
    with pytest.raises(PastDamaged):
        await verify_log(FolderSource(tmp_path))
    assert contents(tmp_path) == before


async def test_who_meets_damage_is_told_from_where_on_all_is_well(tmp_path):
    scribe = written(40, snapshot_every=30)
    scribe.save(tmp_path, segment_bytes=1 << 20)
    (segment,) = segments(tmp_path)
    damage(segment, segment.read_bytes().index(scribe.batches[10].encoded), b"??")
    (good,) = scribe.snapshots
    source = FolderSource(tmp_path)
    with pytest.raises(PastDamaged, match=f"what came after {good:#x} can be looked at"):
        await state_at(source, Place(scribe.batches[20].last))
    assert everything(await state_at(source, Place(scribe.last))) == everything(scribe.machine)


async def test_the_last_record_is_damaged_if_the_note_of_the_end_says_that_it_was_durable(tmp_path):
    scribe = written(10)
    scribe.save(tmp_path, segment_bytes=1 << 20)
    (segment,) = segments(tmp_path)
    where = segment.read_bytes().index(scribe.batches[-1].encoded)
    damage(segment, where, bytes(1000))
    with pytest.raises(PastDamaged, match="and the log was durable up to"):
        await read(tmp_path)


async def test_damage_at_the_end_of_a_segment_is_seen_by_the_next_one(tmp_path):
    scribe = written(60)
    scribe.save(tmp_path)
    first, second, *_ = segments(tmp_path)
    used = len(first.read_bytes().rstrip(b"\0"))
    damage(first, used - 40, bytes(40))
    with pytest.raises(PastDamaged, match=f"{first.name} is damaged .* the log goes on in log/{second.name}"):
        await read(tmp_path)


async def test_a_segment_whose_header_is_bad_is_damage(tmp_path):
    scribe = written(60)
    scribe.save(tmp_path)
    damage(segments(tmp_path)[1], 3, b"??")
    with pytest.raises(PastDamaged, match="cannot be used"):
        await read(tmp_path)


async def test_a_missing_segment_is_a_hole(tmp_path):
    scribe = written(60)
    scribe.save(tmp_path)
    segments(tmp_path)[1].unlink()
    with pytest.raises(PastDamaged, match="the log goes on in"):
        await read(tmp_path)


async def test_a_damaged_snapshot_gives_way_to_an_older_one(tmp_path):
    scribe = written(40, snapshot_every=10)
    scribe.save(tmp_path)
    newest = max(scribe.snapshots)
    damage(tmp_path / "snapshots" / f"{newest:016x}", 80, b"??")
    notes = []

    class Heard:
        def begin(self, what, total_bytes):
            pass

        def advance(self, size_bytes):
            pass

        def note(self, sentence):
            notes.append(sentence)

    source = FolderSource(tmp_path)
    assert everything(await state_at(source, Place(scribe.last), Heard())) == everything(scribe.machine)
    assert "is damaged" in notes[0]
    with pytest.raises(PastDamaged, match="is damaged"):
        await restored(source, newest)


async def test_what_the_log_does_not_reach_is_said_not_to_be_kept(tmp_path):
    scribe = written(60, snapshot_every=10)
    scribe.save(tmp_path, segment_bytes=1000, snapshots_kept=1)
    source = FolderSource(tmp_path)
    overview = await source.overview()
    assert overview.log_start > 0
    with pytest.raises(PastError, match="not kept any more"):
        await read(tmp_path)
    oldest = overview.snapshots[0].zxid
    with pytest.raises(PastError, match=f"keeps the past from zxid {oldest:#x} on"):
        await state_at(source, Place(oldest - 1))
    assert (await state_at(source, Place(oldest))).zxid == oldest


async def test_a_file_that_goes_while_it_is_read_is_said_to_have_gone(tmp_path):
    scribe = written(60)
    scribe.save(tmp_path)

    async def gather():
        async for batch in FolderSource(tmp_path).batches(0):
            if batch.first == scribe.batches[0].first:
                segments(tmp_path)[1].unlink()

    with pytest.raises(PastError, match="has gone while"):
        await gather()


async def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    for number, name in enumerate(("ballot.a", "tail", "log", "snapshots")):
        folder = tmp_path / str(number)
        written(30, snapshot_every=10).save(folder)
        path = folder / name if not (folder / name).is_dir() else min((folder / name).iterdir())
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(PastError, match=r"cannot be read: reading .* failed"):
            await verify_log(FolderSource(folder))


async def test_what_an_installed_snapshot_or_a_cut_has_made_void_is_not_shown(tmp_path):
    scribe = written(40, snapshot_every=25)
    store = scribe.save(tmp_path, close=False)
    cut = scribe.batches[30]
    store.perform([TruncateLog(cut.last)])
    assert await read(tmp_path) == [batch.encoded for batch in scribe.batches[:31]]
    (old,) = (tmp_path / "snapshots").iterdir()
    void = old.read_bytes()
    other = written(50)
    zxid = other.take_snapshot()
    chunks = other.snapshots[zxid]
    store.perform([*(SnapshotPart(zxid, index, chunk) for index, chunk in enumerate(chunks)), InstallSnapshot(zxid)])
    later = other.write(run_of(SetData("/n", b"new"), session=1))
    store.perform([Append(later)])
    store.close()
    old.write_bytes(void)  # as a power cut may leave it
    assert await read(tmp_path, zxid) == [later.encoded]
    overview = await FolderSource(tmp_path).overview()
    assert ([each.zxid for each in overview.snapshots], overview.log_start) == ([zxid], zxid)
    assert everything(await state_at(FolderSource(tmp_path), Place(later.last))) == everything(other.machine)


# ---- beside a server


async def look(folder):
    """What is said, or what is shown; damage is raised."""
    try:
        source = FolderSource(folder)
        overview = await source.overview()
        return "", [batch async for batch in source.batches(overview.log_start)]
    except PastDamaged:
        raise
    except PastError as error:
        return str(error), []


async def test_beside_a_server_that_writes_takes_snapshots_and_drops_its_log_all_that_is_shown_is_true(tmp_path):
    scribe = written(400, snapshot_every=40)
    known = {batch.first: batch.encoded for batch in scribe.batches}
    settings = StoreSettings(segment_bytes=3000, snapshots_kept=2)
    store = Store.open(FolderDisk(tmp_path), server=1, identity_if_new=0x1DE, settings=settings)
    store.perform([Append(scribe.batches[0])])
    finished = threading.Event()

    def serve() -> None:
        try:
            for batch in scribe.batches[1:]:
                store.perform([Append(batch)])
                if batch.last in scribe.snapshots:
                    take_snapshot(store, batch.last, tuple(scribe.snapshots[batch.last]))
        finally:
            finished.set()

    server = threading.Thread(target=serve)
    server.start()
    looks = 0
    last = 0
    try:
        while not finished.is_set() or looks == 0:
            looks += 1
            sentence, shown = await look(tmp_path)
            if sentence:
                assert "has gone while" in sentence or "not kept any more" in sentence
                continue
            assert all(batch.encoded == known[batch.first] for batch in shown)
            assert [batch.previous for batch in shown[1:]] == [batch.last for batch in shown[:-1]]
            assert not shown or shown[-1].last >= last
            last = shown[-1].last if shown else last
    finally:
        server.join()
        store.close()
    assert (await read(tmp_path, (await FolderSource(tmp_path).overview()).log_start))[-1] == scribe.batches[-1].encoded


# ---- what is no data folder


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "is no data folder of coord"),
        (("other/file",), "is no data folder of coord"),
        (("server-1/log/x", "server-2/ballot.a", "other/y"), "several servers: server-1, server-2; name one of them"),
    ],
)
def test_what_is_no_data_folder_is_refused_with_what_to_do(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(PastError, match=sentence):
        FolderSource(tmp_path)
    with pytest.raises(PastError, match="cannot be read: No such file or directory"):
        FolderSource(tmp_path / "nothing")
