"""What a log folder holds, read and verified without changing anything: the first thing of a start.

The log is what can be read from its base on without a gap. What stands behind the first record that cannot be read is
either what a power cut left of the last write (*torn*: nobody was told of it, and it is cut off) or *damage*: something
was there that this server may have acknowledged. Told apart by these witnesses, the strongest first:
- a whole record behind the bad one that was written when the bad one was already durable, or a later segment;
- the note of the log's end (`tail.py`);
- the bad bytes themselves: a disk writes sectors whole or not at all, so a torn record has a sector of zeros (the bytes
  that stood there before) or a record that was cut off earlier. Bad bytes without such have rotted since.
What these cannot see is a whole sector turned to zeros in the very last write, or rot in one that holds a sector of
zeros by itself, its note lost with it.
"""

from collections.abc import Iterable, Sequence
from zlib import crc32

from coord.model.entries import Batch
from coord.model.message import message
from coord.storage.disk import Disk
from coord.storage.errors import Damaged, OtherVersion, StorageRefused
from coord.storage.records import (
    FOLDER,
    RECORD_BYTES,
    RECORD_MAGIC,
    SEGMENT_BYTES,
    UNFINISHED,
    WINDOW_BYTES,
    Record,
    Segment,
    SegmentHeader,
    Span,
    Window,
    decode_body,
    is_zxid_name,
    read_record,
    read_segment_header,
    read_span,
    zxid_named,
)
from coord.storage.tail import Tail, find_tail

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

_ZEROS = bytes(WINDOW_BYTES)


@message
class Damage:
    """Something that was durable after `after` cannot be read any more; `upto` is the last zxid of it, None if unknown.

    `later` are batches behind the first gap that can be read, ascending, with further gaps perhaps. `files` are
    segments that are no part of the readable log: they go when the log goes on.
    """

    what: str
    after: int
    upto: int | None
    later: list[Batch]
    files: list[str]


@message
class Survey:
    """What the log folder holds. `segments` are those of the readable log, `torn`: behind its end is what must go."""

    segments: list[Segment]
    base: int
    lineage: int
    generation: int
    superfluous: list[str]  # files to remove: of an older lineage or generation, unfinished, or with no record in them
    torn: bool
    cut_short: list[Segment]  # a later segment stands for what they still hold behind their end
    noted: int | None  # up to where the log was durable once, as the note of its end says
    damage: Damage | None = None

    @property
    def last(self) -> int:
        return self.segments[-1].last if self.segments else self.base


def joined(after: int, batches: Iterable[Batch]) -> list[Batch]:
    """Those of `batches` (ascending) that follow `after` without a gap."""
    chain: list[Batch] = []
    for batch in batches:
        if batch.previous == after:
            chain.append(batch)
            after = batch.last
    return chain


def read_survey(disk: Disk, found: Survey, after: int) -> list[Batch]:
    """All batches of the readable log after `after`, a batch's end. Raises StorageRefused if one cannot be decoded."""
    batches: list[Batch] = []
    for segment in found.segments:
        if segment.last <= after:
            continue
        start = segment.end_of(max(after, segment.base))
        if start is None:
            raise StorageRefused(f"no batch in {segment.name} ends at {after:#x}, where the snapshot ends")
        try:
            batches.extend(read_span(disk, Span(segment.name, segment.salt, start, segment.end)))
        except Damaged as damaged:
            raise StorageRefused(f"{segment.name} is damaged: {damaged}") from damaged
    return batches


def survey(disk: Disk, identity: int, lineage: int, base_if_empty: int) -> Survey:
    """Read the log of `lineage`, or of a higher one if there is such. Raises StorageRefused for another's files."""
    files = read_headers(disk, identity)
    lineage = max([lineage, *(file.header.lineage for file in files if file.header is not None)])
    current, superfluous = current_files(files, lineage)
    generation = max([0, *(file.header.generation for file in current if file.header is not None)])
    tail = find_tail(disk)
    if tail is not None and (tail.identity, tail.lineage) != (identity, lineage):
        tail = None
    if UNFINISHED in (f"{FOLDER}/{name}" for name in disk.names(FOLDER)):
        superfluous.append(UNFINISHED)
    found = _Reading(disk, base_if_empty, tail).read(current)
    superfluous += found.empty
    noted = tail.last if tail is not None else None
    return Survey(
        found.segments, found.base, lineage, generation, superfluous, found.torn, found.cut_short, noted, found.damage
    )


# ---- which files count


@message
class SegmentFile:
    """A segment's file; no header: it cannot be read."""

    path: str
    header: SegmentHeader | None
    salt: int
    trouble: str


def read_headers(disk: Disk, identity: int) -> list[SegmentFile]:
    """Every segment in the order of their names. Raises StorageRefused for another's files, or another version's."""
    files: list[SegmentFile] = []
    for name in disk.names(FOLDER):
        if not is_zxid_name(name):
            continue
        path = f"{FOLDER}/{name}"
        file = disk.open(path)
        try:
            data = file.read(0, SEGMENT_BYTES)
        finally:
            file.close()
        try:
            header = read_segment_header(data)
            if path != f"{FOLDER}/{header.first:016x}":
                raise Damaged(f"it says that it begins at {header.first:#x}: it was renamed")
        except OtherVersion as other:
            raise StorageRefused(
                f"{path} was written by another version of coord: {other}; use that version"
            ) from other
        except Damaged as damaged:
            files.append(SegmentFile(path, None, 0, f"the log segment {path} cannot be used: {damaged}"))
            continue
        if header.identity != identity:
            raise StorageRefused(
                f"the log segment {path} belongs to the identity {header.identity:#x}, the ballot here to "
                f"{identity:#x}: files of two servers were mixed; put back the whole folder of one"
            )
        files.append(SegmentFile(path, header, crc32(data), ""))
    return files


def current_files(files: Sequence[SegmentFile], lineage: int) -> tuple[list[SegmentFile], list[str]]:
    """The files that count, in order, and the paths of those that an installed snapshot or a mending made void."""
    current: list[SegmentFile] = []
    void: list[str] = []
    for file in files:
        header = file.header
        if header is None:
            current.append(file)
            continue
        highest = max((other.header.generation for other in current if other.header is not None), default=0)
        if header.lineage < lineage or header.generation < highest:
            void.append(file.path)
            continue
        if header.generation > highest:
            kept = [] if header.begins else [other for other in current if _begins_before(other, header.base)]
            void += [other.path for other in current if other not in kept]
            current = kept
        current.append(file)
    return current, void


def _begins_before(file: SegmentFile, base: int) -> bool:
    """Whether a segment holds something that a later generation's, which goes on after `base`, has left standing."""
    return zxid_named(file.path) <= base


# ---- reading them


class _Reading:
    """Goes through the segments in order, up to the first gap; then gathers what is left behind it."""

    def __init__(self, disk: Disk, base_if_empty: int, tail: Tail | None) -> None:
        self._disk = disk
        self._tail = tail
        self._noted = tail.last if tail is not None else None
        self.base = base_if_empty
        self.segments: list[Segment] = []
        self.empty: list[str] = []
        self.torn = False
        self.cut_short: list[Segment] = []
        self.damage: Damage | None = None
        self._what = ""
        self._later: list[Batch] = []
        self._files: list[str] = []
        self._known = 0  # the highest zxid that is known to have been here
        self._nameless = False  # something that nothing names stands at the end

    @property
    def last(self) -> int:
        return self.segments[-1].last if self.segments else self.base

    def read(self, files: Sequence[SegmentFile]) -> "_Reading":
        for index, file in enumerate(files):
            following = files[index + 1 :]
            if self._what:
                self._gather(file, is_last=not following)
            else:
                self._go_on(file, following)
        if not self._what and self.segments and not self.segments[-1].lasts:
            # Made, and then the power went before its first record was durable.
            self.empty.append(self.segments.pop().name)
            self.torn = False
        if not self._what and self._noted is not None and self._noted > self.last:
            self._what = f"the log was durable up to {self._noted:#x}, and ends with {self.last:#x}"
        if self._what:
            while self.segments and not self.segments[-1].lasts:
                self._files.append(self.segments.pop().name)
            self.torn = False
            self.damage = self._damage()
        return self

    def _damage(self) -> Damage:
        after = self.last
        known = max(self._known, self._noted or 0, *(batch.last for batch in self._later), after)
        named = known > after and not self._nameless
        later = sorted((batch for batch in self._later if batch.last > after), key=lambda batch: batch.first)
        return Damage(self._what, after, known if named else None, later, self._files)

    def _go_on(self, file: SegmentFile, following: Sequence[SegmentFile]) -> None:
        """Take the next segment, if it follows what there is."""
        header = file.header
        if header is None:
            self._what = file.trouble
            self._gather(file, is_last=not following)
            return
        first = not self.segments
        if not first and (header.base, header.seed) != (self.last, self.segments[-1].chain):
            before = self.segments[-1]
            self._what = (
                f"the log has a hole or is damaged: in {before.name} the last good record ends at offset {before.end} "
                f"with zxid {before.last:#x}, but {file.path} goes on after {header.base:#x}"
            )
            behind = look_behind(self._disk, before.name, before.salt, before.end, before.last)
            self._take(before.name, behind, is_last=False)
            self._gather(file, is_last=not following)
            return
        handle = self._disk.open(file.path)
        try:
            window = Window(handle)
            segment = Segment(file.path, header.base, file.salt, header.seed, window.size)
            if first:
                self.base = header.base
            limit = limit_of(header, following)
            _scan(window, segment, limit)
        finally:
            handle.close()
        self.segments.append(segment)
        if limit is not None and segment.last == limit and segment.size > segment.end:
            self.cut_short.append(segment)
        if not following:
            self._judge_tail(segment)

    def _judge_tail(self, segment: Segment) -> None:
        """What stands behind the last good record of the last segment."""
        behind = look_behind(self._disk, segment.name, segment.salt, segment.end, segment.last)
        if behind.clean:
            return
        witness = next((record for _, record in behind.records if record.durable > segment.last), None)
        if witness is not None:
            self._what = (
                f"{segment.name} is damaged at offset {segment.end}, after zxid {segment.last:#x}: the record there "
                f"cannot be read, and a later one (zxid {witness.first:#x}) was written when everything up to "
                f"{witness.durable:#x} was durable"
            )
        elif self._noted is not None and self._noted > segment.last:
            self._what = (
                f"{segment.name} is damaged at offset {segment.end}, after zxid {segment.last:#x}: the record there "
                f"cannot be read, and it was durable, as everything up to {self._noted:#x}"
            )
        elif behind.first_gap_torn:
            self.torn = True
            return
        else:
            self._what = (
                f"{segment.name} is damaged at offset {segment.end}, after zxid {segment.last:#x}: what stands there "
                "was written whole, and cannot be read"
            )
        self._take(segment.name, behind, is_last=True)

    def _gather(self, file: SegmentFile, *, is_last: bool) -> None:
        """What can be read of a segment behind the gap."""
        self._files.append(file.path)
        if file.header is None:
            if is_last:
                self._judge_end(file.path, max(_used(self._disk, file.path), SEGMENT_BYTES))
            return
        self._known = max(self._known, file.header.base)
        behind = look_behind(self._disk, file.path, file.salt, SEGMENT_BYTES, self.last)
        self._take(file.path, behind, is_last=is_last)

    def _take(self, path: str, behind: "Behind", *, is_last: bool) -> None:
        self._later += behind.batches
        self._known = max([self._known, *(record.last for _, record in behind.records)])
        if is_last:
            self._judge_end(path, behind.nameless_end)

    def _judge_end(self, path: str, nameless_end: int) -> None:
        """Bytes that no record names are named by the note, if they do not go beyond the end that it knows."""
        tail = self._tail
        if nameless_end and (tail is None or (tail.segment, tail.end) < (zxid_named(path), nameless_end)):
            self._nameless = True


def limit_of(header: SegmentHeader, following: Sequence[SegmentFile]) -> int | None:
    """Where a later generation goes on in the place of what this segment still holds; None: nowhere."""
    for file in following:
        if file.header is not None and file.header.generation > header.generation:
            return file.header.base
    return None


def _scan(window: Window, segment: Segment, limit: int | None) -> None:
    """Index the segment's records up to the first that is none, or does not follow the one before."""
    salt = segment.salt
    offset, last, chain = segment.end, segment.base, segment.seed
    while last != limit:
        record = read_record(window.take(offset, RECORD_BYTES), salt)
        if record is None or record.previous != last or record.chain != chain:
            return
        end = offset + RECORD_BYTES + record.length
        if end > window.size or crc32(window.take(offset + RECORD_BYTES, record.length)) != record.body_crc:
            return
        offset, last, chain = end, record.last, record.crc
        segment.lasts.append(last)
        segment.ends.append(offset)
        segment.chains.append(chain)


# ---- behind a gap


@message
class Behind:
    """What stands behind the last good record of a file."""

    clean: bool  # zeros only
    records: list[tuple[int, Record]]  # (offset, header) of those whose header can be read
    batches: list[Batch]  # of those that can be read as a whole
    first_gap_torn: bool  # the first bad bytes have a sector of zeros: they were never written whole
    nameless_end: int  # where the last bytes end, if they are no record and were written whole; else 0


def look_behind(disk: Disk, path: str, salt: int, start: int, last: int) -> Behind:
    """Behind `start`, before which the log can be read up to `last`: what follows that is no older."""
    handle = disk.open(path)
    try:
        window = Window(handle)
        used = _used_upto(window, start)
        records: list[tuple[int, Record]] = []
        batches: list[Batch] = []
        named_end = start  # of the last record whose header can be read
        stale = False  # the first gap shows what stood there before
        for offset, record in _records_in(window, start, used, salt):
            named_end = offset + RECORD_BYTES + record.length
            if record.previous < last:
                stale = stale or not records
                continue
            records.append((offset, record))
            try:
                batches.append(decode_body(record, window.take(offset + RECORD_BYTES, record.length), offset))
            except Damaged:
                continue
        nameless = used > named_end and not _has_empty_sector(window, named_end, used)
        torn = stale or _has_empty_sector(window, start, _gap_end(records, start, used))
        return Behind(used <= start, records, batches, torn, used if nameless else 0)
    finally:
        handle.close()


def _gap_end(records: Sequence[tuple[int, Record]], start: int, used: int) -> int:
    """Where the first bad record ends: where it says so itself, or else where the next one begins, or the bytes end."""
    if records and records[0][0] == start:
        return start + RECORD_BYTES + records[0][1].length
    return records[0][0] if records else max(used, start + RECORD_BYTES)


def _used(disk: Disk, path: str) -> int:
    """Behind the last byte of a file that is not zero."""
    handle = disk.open(path)
    try:
        return _used_upto(Window(handle), 0)
    finally:
        handle.close()


def _used_upto(window: Window, start: int) -> int:
    """Behind the last byte that is not zero."""
    used = start
    for offset in range(start, window.size, WINDOW_BYTES):
        data = window.take(offset, WINDOW_BYTES)
        if data != _ZEROS[: len(data)]:  # a comparison is many times faster than to strip a file of zeros
            used = offset + len(data.rstrip(b"\0"))
    return used


def _records_in(window: Window, start: int, end: int, salt: int) -> list[tuple[int, Record]]:
    """All record headers between two offsets, wherever they begin. The bodies of good ones are not searched."""
    found: list[tuple[int, Record]] = []
    offset = start
    while offset < end:
        record = read_record(window.take(offset, RECORD_BYTES), salt)
        if record is not None:
            found.append((offset, record))
            body = window.take(offset + RECORD_BYTES, record.length)
            offset += RECORD_BYTES + (record.length if crc32(body) == record.body_crc else 0)
        else:
            offset = window.find(RECORD_MAGIC, offset + 1)
    return found


def _has_empty_sector(window: Window, start: int, end: int) -> bool:
    """Whether a sector's share of these bytes is zeros from end to end."""
    offset = start
    while offset < end:
        upto = min(end, (offset // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if not any(window.take(offset, upto - offset)):
            return True
        offset = upto
    return False
