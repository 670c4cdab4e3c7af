"""The log on the disk: batches in segments, in order, without a hole.

Promises:
- After `sync` everything that was added is durable, and only then is it shown by `last`, `ends` and `read`.
- `add` takes a batch only if it follows what is there; loading accepts a log only if every record follows the last.
- A torn tail is told from rot: every record says how far the log was durable when it was written (`durable`). A
  record that cannot be read, with a later one behind it that was written when the bad one was already durable, is
  rot; without such a witness it is what a power cut left of the last write, which nobody was told of.
- What was cut off never comes back: a cut is durable before anything is written after it, and a record is valid
  only as the follower of the very record before it (`chain`) and in the very segment it was written to (`salt`).

Adding, cutting and dropping are for one thread at a time; `read` and the figures may be called by others meanwhile.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from threading import Lock
from time import perf_counter
from zlib import crc32

from coord.codec.batch import decode_batch
from coord.codec.errors import CodecError
from coord.model.entries import Batch, epoch_of, zxid_of
from coord.model.message import message
from coord.storage.disk import Disk, File
from coord.storage.errors import Damaged, StorageFailure, StorageRefused
from coord.storage.seal import OVERHEAD, seal, unseal
from coord.storage.timing import SyncTimes

FOLDER = "log"
UNFINISHED = "log/next"
"""A segment being made; it gets its name when its header is durable."""

SEGMENT_MAGIC = b"coordlog"
_SEGMENT = Struct(">QQQQI")
"""identity, lineage, base (zxid before the first record), first zxid, chain before the first record."""
_SEGMENT_BYTES = OVERHEAD + _SEGMENT.size

RECORD_MAGIC = b"\xc0\x0d\x1e\x01"
_RECORD = Struct(">4sIQQQQII")
"""magic, body's length, previous zxid, first zxid, last zxid, durable, chain, body's crc."""
_CRC = Struct(">I")
_RECORD_BYTES = _RECORD.size + _CRC.size

_WINDOW_BYTES = 1 << 20
"""How much is read at once where a file is read from end to end."""
_ZEROS = bytes(_WINDOW_BYTES)


@message
class Record:
    """A record's header. `chain` is the header crc of the record before, `crc` its own."""

    length: int
    previous: int
    first: int
    last: int
    durable: int
    chain: int
    body_crc: int
    crc: int


@dataclass(slots=True)
class Segment:
    """One file of the log, and where its records end. The three arrays have one item a record."""

    name: str
    base: int  # zxid of the last record before this segment
    salt: int  # crc of the segment's header: the start value of its records' crcs
    seed: int  # chain before the first record
    size: int  # of the file
    lasts: "array[int]" = field(default_factory=lambda: array("Q"))
    ends: "array[int]" = field(default_factory=lambda: array("Q"))  # offsets
    chains: "array[int]" = field(default_factory=lambda: array("I"))

    @property
    def last(self) -> int:
        return self.lasts[-1] if self.lasts else self.base

    @property
    def end(self) -> int:
        return self.ends[-1] if self.ends else _SEGMENT_BYTES

    @property
    def chain(self) -> int:
        return self.chains[-1] if self.chains else self.seed

    def end_of(self, zxid: int) -> int | None:
        """The offset behind the record that ends with `zxid` (or of the first one, for the base), None if none does."""
        if zxid == self.base:
            return _SEGMENT_BYTES
        index = bisect_left(self.lasts, zxid)
        if index < len(self.lasts) and self.lasts[index] == zxid:
            return self.ends[index]
        return None


@message
class Survey:
    """What the log folder holds, as read without changing anything."""

    segments: list[Segment]
    base: int
    superfluous: list[str]  # files to remove: of an older lineage, unfinished, or with no record in them
    torn: bool  # behind the last record stands something that is not zeros

    @property
    def last(self) -> int:
        return self.segments[-1].last if self.segments else self.base


def survey(disk: Disk, identity: int, lineage: int, base_if_empty: int) -> Survey:
    """Read and verify the whole log of `lineage`. Raises StorageRefused for anything but a torn tail."""
    segments: list[Segment] = []
    superfluous: list[str] = []
    for name in disk.names(FOLDER):
        path = f"{FOLDER}/{name}"
        if path == UNFINISHED:
            superfluous.append(path)
        elif is_zxid_name(name):
            segment = _survey_segment(disk, path, identity, lineage, segments[-1] if segments else None)
            if segment is None:
                superfluous.append(path)
            else:
                segments.append(segment)
    if segments and not segments[-1].lasts:
        # Made, and then the power went before its first record was durable.
        empty = segments.pop()
        _check_tail(disk, empty)
        superfluous.append(empty.name)
    base = segments[0].base if segments else base_if_empty
    torn = bool(segments) and not _check_tail(disk, segments[-1])
    return Survey(segments, base, superfluous, torn)


def read_survey(disk: Disk, found: Survey, after: int) -> list[Batch]:
    """All batches after `after`, which must be a batch's end. Raises StorageRefused if one cannot be decoded."""
    batches: list[Batch] = []
    for segment in found.segments:
        if segment.last <= after:
            continue
        start = segment.end_of(max(after, segment.base))
        if start is None:
            raise StorageRefused(f"no batch in {segment.name} ends at {after:#x}, where the snapshot ends; {ADVICE}")
        try:
            batches.extend(_read_span(disk, _Span(segment.name, segment.salt, start, segment.end)))
        except Damaged as damaged:
            raise StorageRefused(f"{segment.name} is damaged: {damaged}; {ADVICE}") from damaged
    return batches


class Log:
    """The log, open for adding."""

    def __init__(
        self, disk: Disk, found: Survey, *, identity: int, lineage: int, segment_bytes: int, times: SyncTimes
    ) -> None:
        """Make what was surveyed fit for use: remove the superfluous, cut off a torn tail, make the rest durable."""
        self._disk = disk
        self._identity = identity
        self._lineage = lineage
        self._segment_bytes = segment_bytes
        self._times = times
        self._segments = found.segments
        self._base = found.base
        self._lock = Lock()  # held for moments only, never while the disk works: over what `read` looks at
        self._cuts = 0  # counts everything that takes records away, so that a reader knows that it was overtaken
        self._file: File | None = None  # of the last segment
        # Added and not yet synced: to be written at the last segment's end.
        self._buffers: list[bytes] = []
        self._lasts = array("Q")
        self._ends = array("Q")
        self._chains = array("I")
        self._added = found.last
        for name in found.superfluous:
            disk.remove(name)
        disk.sync_folder(FOLDER)
        # A process that was killed leaves what it had not synced where it can be read, but would not survive a power
        # cut. From here on all that was read counts as durable, so it is made so.
        if found.torn:
            self._cut_file(self._segments[-1].end)
        elif self._segments:
            self._open_last().sync()

    def __repr__(self) -> str:
        return f"<Log {self._base:#x}..{self.last:#x} in {len(self._segments)} segments>"

    @property
    def base(self) -> int:
        """The zxid before the first batch that is on the disk."""
        return self._base

    @property
    def last(self) -> int:
        """The zxid of the last durable entry."""
        with self._lock:
            return self._segments[-1].last if self._segments else self._base

    @property
    def size_bytes(self) -> int:
        """The bytes of all records and headers."""
        with self._lock:
            return sum(segment.end for segment in self._segments)

    def bytes_after(self, zxid: int) -> int:
        """The bytes of the records that end after `zxid`."""
        total = 0
        with self._lock:
            for segment in reversed(self._segments):
                if segment.last <= zxid:
                    break
                index = bisect_right(segment.lasts, zxid)
                total += segment.end - (segment.ends[index - 1] if index else _SEGMENT_BYTES)
        return total

    def epoch_ends(self) -> list[tuple[int, int]]:
        """(epoch, last zxid in it), ascending, the base included unless it is the very beginning."""
        found: dict[int, int] = {}
        with self._lock:
            if self._base:
                found[epoch_of(self._base)] = self._base
            for segment in self._segments:
                index, lasts = 0, segment.lasts
                while index < len(lasts):
                    epoch = epoch_of(lasts[index])
                    index = bisect_left(lasts, zxid_of(epoch + 1, 0), index)
                    found[epoch] = lasts[index - 1]
        return list(found.items())

    # ---- adding

    def add(self, batch: Batch) -> None:
        """Take the next batch. It is durable, and counts, from the next `sync` on."""
        body = batch.encoded
        last = batch.last
        assert body, f"the batch {batch.first:#x} was given to the log without its encoded form"
        assert batch.previous == self._added < batch.first <= last, (
            f"the batch {batch.first:#x}..{last:#x} follows {batch.previous:#x}, but the log ends at {self._added:#x}"
        )
        segment = self._segments[-1] if self._segments else None
        end = self._added_end(segment)
        if segment is None or end + _RECORD_BYTES + len(body) > segment.size:
            self.sync()  # all segments but the last are durable as a whole, so only the last one can be torn
            segment = self._new_segment(batch.first, len(body))
            end = segment.end
        chain = self._chains[-1] if self._chains else segment.chain
        header = _RECORD.pack(
            RECORD_MAGIC, len(body), batch.previous, batch.first, last, segment.last, chain, crc32(body)
        )
        crc = crc32(header, segment.salt)
        self._buffers += (header, _CRC.pack(crc), body)
        self._lasts.append(last)
        self._ends.append(end + _RECORD_BYTES + len(body))
        self._chains.append(crc)
        self._added = last

    def sync(self) -> None:
        """Make all that was added durable: one write, one sync."""
        if not self._buffers:
            return
        segment = self._segments[-1]
        file = self._open_last()
        file.write(segment.end, self._buffers)
        started = perf_counter()
        file.sync()
        self._times.note(perf_counter() - started)
        with self._lock:
            segment.lasts.extend(self._lasts)
            segment.ends.extend(self._ends)
            segment.chains.extend(self._chains)
        self._buffers, self._lasts, self._ends, self._chains = [], array("Q"), array("Q"), array("I")

    # ---- taking away

    def truncate(self, to: int) -> None:
        """Remove every batch after `to`, durably, and not one more."""
        self.sync()
        assert any(segment.end_of(to) is not None for segment in self._segments) or to == self._base, (
            f"the log cannot be cut at {to:#x}: no batch ends there between {self._base:#x} and {self._added:#x}"
        )
        # From the end, each step durable before the next: whatever a power cut leaves has no hole.
        while self._segments and self._segments[-1].base >= to:
            self._close_last()
            with self._lock:
                self._cuts += 1
                segment = self._segments.pop()
            self._disk.remove(segment.name)
            self._disk.sync_folder(FOLDER)
        if self._segments and self._segments[-1].last > to:
            segment = self._segments[-1]
            kept = bisect_right(segment.lasts, to)
            with self._lock:
                self._cuts += 1
                del segment.lasts[kept:], segment.ends[kept:], segment.chains[kept:]
            self._cut_file(segment.end)
        self._added = to

    def drop_before(self, zxid: int) -> None:
        """Remove the segments that end before `zxid`, the oldest first; the batch that ends at `zxid` stays."""
        while True:
            with self._lock:
                if len(self._segments) < 2 or self._segments[0].last >= zxid:
                    return
                self._cuts += 1
                segment = self._segments.pop(0)
                self._base = self._segments[0].base
            self._disk.remove(segment.name)
            self._disk.sync_folder(FOLDER)

    def start_over(self, lineage: int, base: int) -> None:
        """Forget everything: the installed snapshot at `base` has made this log void, durably, by its lineage."""
        assert not self._buffers, "a snapshot is installed while batches wait to be synced"
        self._close_last()
        with self._lock:
            self._cuts += 1
            void, self._segments = self._segments, []
            self._base = self._added = base
            self._lineage = lineage
        for segment in void:
            self._disk.remove(segment.name)
        self._disk.sync_folder(FOLDER)

    def close(self) -> None:
        self._close_last()

    # ---- reading, from any thread

    def read(self, after: int, bytes_max: int) -> list[Batch] | None:
        """The batches that follow `after`, at least one if there is one, else not more than `bytes_max` of them.

        None if no batch that is on the disk ends at `after`. Takes no part in the writer's order: what was
        overtaken by a cut is read again.
        """
        while True:
            with self._lock:
                cuts = self._cuts
                spans = self._spans(after, bytes_max)
            if spans is None:
                return None
            try:
                batches = [batch for span in spans for batch in _read_span(self._disk, span)]
                trouble = None
            except StorageFailure as failure:
                trouble = failure
            except Damaged as damaged:
                trouble = StorageFailure(f"the log was damaged since the start: {damaged}")
            with self._lock:
                if self._cuts != cuts:
                    continue
            if trouble is not None:
                raise trouble
            return batches

    # ---- helpers

    def _spans(self, after: int, bytes_max: int) -> "list[_Span] | None":
        """Where the batches after `after` stand; None if no batch ends there."""
        if after == (self._segments[-1].last if self._segments else self._base):
            return []
        spans: list[_Span] = []
        budget = bytes_max
        for segment in self._segments:
            if segment.last <= after:
                continue
            start = segment.end_of(max(after, segment.base)) if after >= self._base else None
            if start is None:
                return None
            index = bisect_right(segment.ends, start + budget)
            end = segment.ends[index - 1] if index else 0
            if end <= start:  # not even one fits
                if spans:
                    break
                end = segment.ends[bisect_right(segment.ends, start)]
            spans.append(_Span(segment.name, segment.salt, start, end))
            budget -= end - start
            if budget <= 0 or end < segment.end:
                break
        return spans or None

    def _added_end(self, segment: Segment | None) -> int:
        if self._ends:
            return self._ends[-1]
        return segment.end if segment is not None else 0

    def _new_segment(self, first: int, length: int) -> Segment:
        """Make the segment whose first record will be `first`. It gets its name only when its header is durable."""
        chain = self._segments[-1].chain if self._segments else 0
        base = self._added
        header = seal(SEGMENT_MAGIC, _SEGMENT.pack(self._identity, self._lineage, base, first, chain))
        size = max(self._segment_bytes, _SEGMENT_BYTES + _RECORD_BYTES + length)
        name = f"{FOLDER}/{first:016x}"
        self._close_last()
        file = self._disk.open(UNFINISHED, create=True)
        file.truncate(0)
        file.allocate(size)
        file.write(0, [header])
        file.sync()
        self._disk.rename(UNFINISHED, name)
        self._disk.sync_folder(FOLDER)
        segment = Segment(name, base, crc32(header), chain, size)
        with self._lock:
            self._segments.append(segment)
        self._file = file
        return segment

    def _cut_file(self, end: int) -> None:
        """Let the last segment end at `end`, durably, with nothing but zeros behind it."""
        segment = self._segments[-1]
        file = self._open_last()
        file.truncate(end)
        file.sync()
        segment.size = max(self._segment_bytes, end)
        file.allocate(segment.size)

    def _open_last(self) -> File:
        if self._file is None:
            self._file = self._disk.open(self._segments[-1].name)
        return self._file

    def _close_last(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_zxid_name(name: str) -> bool:
    """Whether a file is named by a zxid, 16 small hexadecimal digits; all others are none of ours."""
    return len(name) == 16 and all(letter in "0123456789abcdef" for letter in name)


# ---- verifying

ADVICE = (
    "this server cannot know what it has acknowledged, so it must not start; move its whole data folder away and let "
    "it join under a new id, or restore the folder from a backup"
)


@message
class _Span:
    """A stretch of whole records in one segment."""

    name: str
    salt: int
    start: int
    end: int


class _Window:
    """A file read from front to end in few large pieces."""

    __slots__ = ("_data", "_file", "_start", "size")

    def __init__(self, file: File) -> None:
        self._file = file
        self._start = 0
        self._data = b""
        self.size = file.size()

    def take(self, offset: int, length: int) -> bytes:
        """`length` bytes at `offset`, or as many as the file has: no length found in a file costs more memory."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._data):
            wanted = min(max(length, _WINDOW_BYTES), max(0, self.size - offset))
            self._start, self._data, begin = offset, self._file.read(offset, wanted), 0
        return self._data[begin : begin + length]


def _survey_segment(disk: Disk, path: str, identity: int, lineage: int, before: Segment | None) -> Segment | None:
    """Read the segment that follows `before`; None if it belongs to an older lineage."""
    file = disk.open(path)
    try:
        window = _Window(file)
        header = window.take(0, _SEGMENT_BYTES)
        try:
            owner, found_lineage, base, first, seed = _SEGMENT.unpack(unseal(SEGMENT_MAGIC, header))
        except Damaged as damaged:
            raise StorageRefused(f"the log segment {path} cannot be used: {damaged}; {ADVICE}") from damaged
        if owner != identity:
            raise StorageRefused(
                f"the log segment {path} belongs to the identity {owner:#x}, the ballot here to {identity:#x}: files "
                "of two servers were mixed; put back the whole folder of one"
            )
        if found_lineage < lineage:
            return None
        if found_lineage > lineage:
            raise StorageRefused(
                f"the log segment {path} follows an installed snapshot that is missing or damaged (its lineage is "
                f"{found_lineage}, the best snapshot's {lineage}); {ADVICE}"
            )
        segment = Segment(path, base, crc32(header), seed, window.size)
        _scan(window, segment)
    finally:
        file.close()
    if path != f"{FOLDER}/{first:016x}":
        raise StorageRefused(f"the log segment {path} says that it begins at {first:#x}: it was renamed; {ADVICE}")
    if before is not None and (base, seed) != (before.last, before.chain):
        raise StorageRefused(
            f"the log has a hole or is damaged: in {before.name} the last good record ends at offset {before.end} "
            f"with zxid {before.last:#x}, but {path} goes on after {base:#x}; {ADVICE}"
        )
    return segment


def _scan(window: _Window, segment: Segment) -> None:
    """Index the segment's records up to the first that is none, or does not follow the one before."""
    salt = segment.salt
    offset, last, chain = segment.end, segment.base, segment.seed
    while True:
        record = _header(window.take(offset, _RECORD_BYTES), salt)
        if record is None or record.previous != last or record.chain != chain:
            return
        end = offset + _RECORD_BYTES + record.length
        if end > window.size or crc32(window.take(offset + _RECORD_BYTES, record.length)) != record.body_crc:
            return
        offset, last, chain = end, record.last, record.crc
        segment.lasts.append(last)
        segment.ends.append(offset)
        segment.chains.append(chain)


def _header(data: bytes, salt: int) -> Record | None:
    """The record header that `data` is, None if it is none."""
    if len(data) < _RECORD_BYTES or not data.startswith(RECORD_MAGIC):
        return None
    (crc,) = _CRC.unpack_from(data, _RECORD.size)
    if crc32(data[: _RECORD.size], salt) != crc:
        return None
    _, length, previous, first, last, durable, chain, body_crc = _RECORD.unpack_from(data)
    return Record(length, previous, first, last, durable, chain, body_crc, crc)


def _check_tail(disk: Disk, segment: Segment) -> bool:
    """Whether behind the last good record stand zeros only. Raises StorageRefused if what is there shows rot."""
    clean = True
    file = disk.open(segment.name)
    try:
        window = _Window(file)
        for offset, data in _pieces(window, segment.end):
            if data == _ZEROS[: len(data)]:
                continue
            clean = False
            found = data.find(RECORD_MAGIC)
            while found >= 0:
                record = _header(window.take(offset + found, _RECORD_BYTES), segment.salt)
                if record is not None and record.durable > segment.last:
                    raise StorageRefused(
                        f"{segment.name} is damaged at offset {segment.end}, after zxid {segment.last:#x}: the record "
                        f"there cannot be read, and the one at offset {offset + found} (zxid {record.first:#x}) was "
                        f"written when everything up to {record.durable:#x} was durable; {ADVICE}"
                    )
                found = data.find(RECORD_MAGIC, found + 1)
    finally:
        file.close()
    return clean


def _pieces(window: _Window, offset: int) -> Iterator[tuple[int, bytes]]:
    """The file from `offset` on in pieces that overlap by a record's header, so that none is cut in two unseen."""
    while offset < window.size:
        data = window.take(offset, _WINDOW_BYTES)
        yield offset, data
        if offset + len(data) >= window.size:
            return
        offset += len(data) - _RECORD_BYTES


def _read_span(disk: Disk, span: _Span) -> list[Batch]:
    """Decode the records of a span, which are known to be there. Raises Damaged if they are not."""
    file = disk.open(span.name)
    try:
        data = file.read(span.start, span.end - span.start)
    finally:
        file.close()
    batches: list[Batch] = []
    offset = 0
    while offset < len(data):
        record = _header(data[offset : offset + _RECORD_BYTES], span.salt)
        if record is None:
            raise Damaged(f"at offset {span.start + offset} stands no record")
        body = offset + _RECORD_BYTES
        offset = body + record.length
        try:
            batch = decode_batch(data[body:offset])
        except CodecError as error:
            raise Damaged(f"the batch at offset {span.start + body} cannot be decoded: {error}") from error
        if (batch.previous, batch.first, batch.last) != (record.previous, record.first, record.last):
            raise Damaged(f"the batch at offset {span.start + body} is not the one that its record names")
        batches.append(batch)
    if span.start + offset != span.end:
        raise Damaged(f"the file ends at offset {span.start + len(data)}, before {span.end}")
    return batches
