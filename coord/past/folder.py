"""A data folder as a source of the past: nothing is locked and nothing is changed, so a server may use it meanwhile.

What a running server does to its folder is told from damage: a record that is only half there is the end of the log,
as long as nothing proves that it was durable once; a segment or a snapshot that has gone is said to have gone. What
was durable and cannot be read any more is PastDamaged, with the place.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from zlib import crc32

import trio

from coord.model.entries import Batch
from coord.past.errors import PastDamaged, PastError
from coord.past.source import Overview, StoredSnapshot
from coord.paxos.effects import Ballot
from coord.storage import snapshots
from coord.storage.ballot import COPIES, read_ballot
from coord.storage.disk import FolderDisk
from coord.storage.errors import Damaged, StorageFailure, StorageRefused
from coord.storage.records import (
    FOLDER,
    RECORD_BYTES,
    SEGMENT_BYTES,
    Record,
    Window,
    decode_body,
    is_zxid_name,
    read_record,
    read_segment_header,
    zxid_named,
)
from coord.storage.snapshots import Origin
from coord.storage.survey import SegmentFile, current_files, limit_of, look_behind, read_headers
from coord.storage.tail import Tail, find_tail

LOOKS = 5
LOOK_AGAIN_S = 0.05
"""What cannot be read at the end of the log is looked at so often: a server may be writing it."""
BREATH_BATCHES = 256
"""After so many batches others, such as Ctrl-C, get their turn."""


class FolderSource:
    """The folder of one server. Raises PastError if it is none."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._disk = FolderDisk(self._path, read_only=True)
        _require_data(self._path)

    def __repr__(self) -> str:
        return f"<FolderSource {self._path}>"

    @property
    def name(self) -> str:
        return str(self._path)

    async def overview(self) -> Overview:
        with self._translated():
            files, origins = self._current()
            ballot = self._ballot()
            tail = find_tail(self._disk)
            newest = max(origins, default=0)
            log_start = _base(files[0]) if files else newest
            sizes = [self._size(file.path) for file in files]
            kept = tuple([StoredSnapshot(zxid, snapshots.size_of(self._disk, zxid)) for zxid in sorted(origins)])
        if files and tail is not None and tail.segment == zxid_named(files[-1].path):
            sizes[-1], last = tail.end, tail.last
        else:
            last = max(log_start, newest)
            if files:
                with suppress(PastDamaged):  # told when it is read
                    async for batch in self.batches(_base(files[-1])):
                        last = batch.last
        who, cluster = (ballot.server, ballot.cluster) if ballot is not None else (0, 0)
        return Overview(who, cluster, kept, log_start, last, sum(sizes))

    async def snapshot(self, zxid: int) -> AsyncGenerator[bytes, None]:
        try:
            with self._translated():
                for chunk in snapshots.read_chunks(self._disk, zxid):
                    yield chunk
                    await trio.lowlevel.checkpoint()
        except Damaged as damaged:
            raise PastDamaged(f"{self._path / snapshots.name_of(zxid)} is damaged: {damaged}") from damaged

    async def batches(self, after: int) -> AsyncGenerator[Batch, None]:
        with self._translated():
            files, _ = self._current()
            if files and after < _base(files[0]):
                raise PastError(
                    f"the log in {self._path} goes back to zxid {_base(files[0]):#x}: what came after {after:#x} is "
                    "not kept any more"
                )
            start = max((number for number, file in enumerate(files) if _base(file) <= after), default=0)
            breath = count(1)
            for number in range(start, len(files)):
                reading = _Reading(self._disk, self._path, files[number], files[number + 1 :])
                while True:
                    for batch in reading.good(after):
                        yield batch
                        if next(breath) % BREATH_BATCHES == 0:
                            await trio.lowlevel.checkpoint()
                    if not await reading.goes_on():
                        break

    # ---- what is in the folder

    def _ballot(self) -> Ballot | None:
        """Without it much can be shown all the same."""
        try:
            found = read_ballot(self._disk)
        except StorageRefused:
            return None
        return found.ballot if found is not None else None

    def _current(self) -> tuple[list[SegmentFile], dict[int, Origin | None]]:
        """The segments and the snapshots that count; None is the origin of a snapshot whose header cannot be read."""
        for _ in range(LOOKS - 1):
            try:
                return self._list()
            except StorageFailure as failure:
                if not isinstance(failure.__cause__, FileNotFoundError):
                    raise  # else a server has removed what it does not need any more: that list was out of date
        return self._list()

    def _list(self) -> tuple[list[SegmentFile], dict[int, Origin | None]]:
        origins: dict[int, Origin | None] = {}
        for zxid in snapshots.zxids(self._disk):
            try:
                origins[zxid] = snapshots.read_origin(self._disk, zxid)
            except Damaged:
                origins[zxid] = None
        identity = self._identity(origins)
        files = read_headers(self._disk, identity)
        headers = [file.header for file in files if file.header is not None]
        known = [origin.lineage for origin in origins.values() if origin is not None]
        lineage = max([0, *known, *(header.lineage for header in headers)])
        current, _ = current_files(files, lineage)
        return current, {
            zxid: origin for zxid, origin in origins.items() if origin is None or origin.lineage == lineage
        }

    def _identity(self, origins: dict[int, Origin | None]) -> int:
        """Whose files these are: the ballot says it, or without one the newest file."""
        ballot = self._ballot()
        if ballot is not None:
            return ballot.identity
        for origin in reversed(origins.values()):
            if origin is not None:
                return origin.identity
        return _first_identity(self._disk)

    def _size(self, name: str) -> int:
        file = self._disk.open(name)
        try:
            return file.size()
        finally:
            file.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the storage says, as what it means here."""
        try:
            yield
        except StorageFailure as failure:
            if isinstance(failure.__cause__, FileNotFoundError):
                raise PastError(
                    f"{failure.__cause__.filename} has gone while {self._path} was read: the server that uses this "
                    "folder keeps only so much of the past; look again"
                ) from failure
            raise PastError(f"{self._path} cannot be read: {failure}") from failure
        except StorageRefused as refused:
            raise PastError(f"{self._path} cannot be read: {refused}") from refused


class _Reading:
    """One segment, from its beginning to the end of what can be read in it."""

    def __init__(self, disk: FolderDisk, path: Path, file: SegmentFile, following: Sequence[SegmentFile]) -> None:
        if file.header is None:
            raise PastDamaged(f"{path}: {file.trouble}")
        self._disk = disk
        self._path = path
        self._file = file
        self._following = following
        self._limit = limit_of(file.header, following)
        self._offset = SEGMENT_BYTES
        self._last = file.header.base
        self._chain = file.header.seed
        self._looks = 0

    def good(self, after: int) -> Iterator[Batch]:
        """From where it stood on, batch by batch, up to what is no good record; those up to `after` are passed over."""
        file = self._disk.open(self._file.path)
        try:
            window = Window(file)
            while self._last != self._limit:
                record = self._record(window)
                if record is None:
                    return
                start = self._offset + RECORD_BYTES
                if record.last <= after:
                    self._step(record)
                    continue
                body = window.take(start, record.length)
                if crc32(body) != record.body_crc:
                    return
                try:
                    batch = decode_body(record, body, start)
                except Damaged as damaged:
                    raise PastDamaged(f"{self._path / self._file.path} is damaged: {damaged}") from damaged
                self._step(record)
                yield batch
        finally:
            file.close()

    async def goes_on(self) -> bool:
        """Whether more can be read than a moment ago. Raises PastDamaged if something that was durable cannot be."""
        if self._last == self._limit:
            return False
        while True:
            if self._goes_on_elsewhere():
                return False
            # The witnesses first: what they speak for was there before them.
            tail = find_tail(self._disk)
            behind = look_behind(self._disk, self._file.path, self._file.salt, self._offset, self._last)
            if self._is_good_now():
                return True
            proof = self._proof(tail, [record for _, record in behind.records])
            if not proof and (behind.clean or behind.first_gap_torn):
                return False
            if behind.clean and self._following and self._following[0].header is None:
                return False  # that one is what is damaged
            self._looks += 1
            if self._looks >= LOOKS:
                raise PastDamaged(
                    f"{self._path / self._file.path} is damaged at offset {self._offset}, after zxid {self._last:#x}: "
                    f"the record there cannot be read, {proof or 'and it was written whole'}"
                )
            await trio.sleep(LOOK_AGAIN_S)

    def _record(self, window: Window) -> Record | None:
        """The header of the next record, if it is the one that follows and all of it is there."""
        record = read_record(window.take(self._offset, RECORD_BYTES), self._file.salt)
        if record is None or (record.previous, record.chain) != (self._last, self._chain):
            return None
        return record if self._offset + RECORD_BYTES + record.length <= window.size else None

    def _step(self, record: Record) -> None:
        self._offset += RECORD_BYTES + record.length
        self._last, self._chain = record.last, record.crc
        self._looks = 0

    def _is_good_now(self) -> bool:
        file = self._disk.open(self._file.path)
        try:
            window = Window(file)
            record = self._record(window)
            if record is None:
                return False
            return crc32(window.take(self._offset + RECORD_BYTES, record.length)) == record.body_crc
        finally:
            file.close()

    def _goes_on_elsewhere(self) -> bool:
        """Whether another segment goes on where this one ends, perhaps one made since the folder was listed."""
        assert self._file.header is not None
        others = self._following or read_headers(self._disk, self._file.header.identity)
        joint = self._last, self._chain
        return any(file.header is not None and (file.header.base, file.header.seed) == joint for file in others)

    def _proof(self, tail: Tail | None, behind: Sequence[Record]) -> str:
        """What shows that the record that cannot be read had been durable; empty if nothing does."""
        if self._following:
            return f"and the log goes on in {self._following[0].path}"
        if any(record.durable > self._last for record in behind):
            return "and a later one was written when it was durable"
        header = self._file.header
        assert header is not None
        if tail is None or (tail.identity, tail.lineage) != (header.identity, header.lineage):
            return ""
        return f"and the log was durable up to {tail.last:#x}" if tail.last > self._last else ""


def _base(file: SegmentFile) -> int:
    """The zxid before a segment; about that, where its header cannot be read."""
    return file.header.base if file.header is not None else zxid_named(file.path) - 1


def _first_identity(disk: FolderDisk) -> int:
    """Of the first segment that says it, 0 if none does: then there is nothing to be read either."""
    for name in filter(is_zxid_name, disk.names(FOLDER)):
        file = disk.open(f"{FOLDER}/{name}")
        try:
            return read_segment_header(file.read(0, SEGMENT_BYTES)).identity
        except Damaged:
            continue
        finally:
            file.close()
    return 0


def _require_data(path: Path) -> None:
    """Raise PastError, with a hint, unless this is a data folder."""
    try:
        names = {each.name for each in path.iterdir()}
    except OSError as error:
        raise PastError(f"the data folder {path} cannot be read: {error.strerror}; name one with --data") from error
    marks = {*COPIES, FOLDER, snapshots.FOLDER}
    if names & marks:
        return
    inner = sorted(name for name in names if any((path / name / mark).exists() for mark in marks))
    if inner:
        raise PastError(
            f"{path} holds the data folders of several servers: {', '.join(inner)}; name one of them, such as "
            f"--data {path / inner[0]}"
        )
    raise PastError(f"{path} is no data folder of coord: it holds neither a log nor snapshots; name one with --data")
