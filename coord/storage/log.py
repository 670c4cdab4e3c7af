"""The log on the disk: batches in segments, in order, without a hole.

Promises:
- After `sync` everything that was added is durable, and only then is it shown by `last`, `ends` and `read`.
- `add` takes a batch only if it follows what is there.
- What stands behind the end of a damaged log (`survey.py`) is left alone until the log goes on, and `mend` makes it
  void in one moment: when a new segment that holds all of it gets its name.
- What was cut off never comes back: a cut is durable before anything is written after it, and a record is valid
  only as the follower of the very record before it (`chain`) and in the very segment it was written to (`salt`).

Adding, cutting and dropping are for one thread at a time; `read` and the figures may be called by others meanwhile.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from threading import Lock
from time import perf_counter
from zlib import crc32

from coord.model.entries import Batch, epoch_of, zxid_of
from coord.storage.disk import Disk, File
from coord.storage.errors import Damaged, StorageFailure
from coord.storage.records import (
    FOLDER,
    RECORD_BYTES,
    SEGMENT_BYTES,
    UNFINISHED,
    Segment,
    SegmentHeader,
    Span,
    read_span,
    seal_record,
)
from coord.storage.survey import Survey
from coord.storage.tail import TailNote
from coord.storage.timing import SyncTimes

_PIECE_BYTES = 1 << 20
"""So much of a mended log is written at once."""


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
        self._lasts: list[int] = []
        self._ends: list[int] = []
        self._chains: list[int] = []
        self._added = found.last
        self._generation = found.generation
        # Behind the end of a damaged log: files, and whatever the last segment still holds.
        self._behind: list[str] | None = found.damage.files if found.damage is not None else None
        for name in found.superfluous:
            disk.remove(name)
        disk.sync_folder(FOLDER)
        # A process that was killed leaves what it had not synced where it can be read, but would not survive a power
        # cut. From here on all that was read counts as durable, so it is made so.
        if found.torn:
            self._cut_file(self._segments[-1].end)
        elif self._segments:
            self._open_last().sync()
        for segment in found.cut_short:
            self._cut_short(segment)
        self._tail = TailNote(disk, identity)
        if found.damage is None:
            self._settle_tail(found.last)

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
                total += segment.end - (segment.ends[index - 1] if index else SEGMENT_BYTES)
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
        if self._behind is not None:
            self._clear_behind()
        assert body, f"the batch {batch.first:#x} was given to the log without its encoded form"
        assert batch.previous == self._added < batch.first <= last, (
            f"the batch {batch.first:#x}..{last:#x} follows {batch.previous:#x}, but the log ends at {self._added:#x}"
        )
        segment = self._segments[-1] if self._segments else None
        end = self._added_end(segment)
        if segment is None or end + RECORD_BYTES + len(body) > segment.size:
            self.sync()  # all segments but the last are durable as a whole, so only the last one can be torn
            segment = self._new_segment(batch.first, len(body))
            end = segment.end
        chain = self._chains[-1] if self._chains else segment.chain
        header, crc = seal_record(batch, segment.last, chain, segment.salt)
        self._buffers += (header, body)
        self._lasts.append(last)
        self._ends.append(end + RECORD_BYTES + len(body))
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
        self._tail.note(self._lineage, segment.last, segment.first, segment.end)
        self._buffers, self._lasts, self._ends, self._chains = [], [], [], []

    # ---- taking away

    def truncate(self, to: int) -> None:
        """Remove every batch after `to`, durably, and not one more."""
        self.sync()
        assert any(segment.end_of(to) is not None for segment in self._segments) or to == self._base, (
            f"the log cannot be cut at {to:#x}: no batch ends there between {self._base:#x} and {self._added:#x}"
        )
        if self._behind is not None:
            self._clear_behind()
        if to < self.last:
            self._settle_tail(to)
        # From the end, each step durable before the next: whatever a power cut leaves has no hole.
        popped = False
        while self._segments and self._segments[-1].base >= to:
            self._close_last()
            with self._lock:
                self._cuts += 1
                segment = self._segments.pop()
            popped = True
            self._disk.remove(segment.name)
            self._disk.sync_folder(FOLDER)
        if self._segments and (popped or self._segments[-1].last > to):
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
        for name in (*(segment.name for segment in void), *(self._behind or ())):
            self._disk.remove(name)
        self._behind = None
        self._disk.sync_folder(FOLDER)
        self._settle_tail(base)

    def close(self) -> None:
        self._close_last()
        self._tail.close()

    # ---- after damage

    def mend(self, base: int, batches: Sequence[Batch]) -> None:
        """Go on after `base`, the log's end, with `batches`: what was lost, and all that could be read behind it.

        The old is void in the moment in which the new segment, whole and durable, gets its name. Where nothing before
        it is of use any more the log begins with it.
        """
        assert base == self.last, f"a log that ends with {self.last:#x} cannot be mended after {base:#x}"
        assert not self._buffers, "a log is mended while batches wait to be synced"
        before = self._segments[-1] if self._segments else None
        old = set(self._behind or ())
        if batches:
            segment = self._write_mended(base, batches, before)
            old.discard(segment.name)
            with self._lock:
                self._segments.append(segment)
            self._added = segment.last
        self._settle_tail(self._added)
        self._behind = None
        for name in sorted(old, reverse=True):
            self._disk.remove(name)
        self._disk.sync_folder(FOLDER)
        if before is not None:
            self._cut_short(before)

    def settle(self) -> None:
        """The log is what it must be: whatever stood behind a damaged end, or was said of it, is not to be found again.

        Every leader's history is such, however far it goes.
        """
        if self._behind is not None:
            self._clear_behind()
        self._settle_tail(self.last)

    def _cut_short(self, segment: Segment) -> None:
        """A later segment stands for what this one still holds behind its end: leave nothing of that."""
        file = self._disk.open(segment.name)
        try:
            file.truncate(segment.end)
            file.sync()
        finally:
            file.close()
        segment.size = segment.end

    def _write_mended(self, base: int, batches: Sequence[Batch], before: Segment | None) -> Segment:
        """One segment of all of it, of a generation of its own."""
        seed = before.chain if before is not None else 0
        first, generation = batches[0].first, self._generation + 1
        header = SegmentHeader(self._identity, self._lineage, base, first, seed, generation, before is None).seal()
        segment = Segment(f"{FOLDER}/{first:016x}", base, crc32(header), seed, 0)
        self._close_last()
        file = self._disk.open(UNFINISHED, create=True)
        file.truncate(0)
        pieces, offset, chain = [header], 0, seed
        end, last = len(header), base
        for batch in batches:
            assert batch.previous == last < batch.first, f"{batch!r} does not follow {last:#x} in what is mended"
            # Each counts as durable before the next was written: the segment gets its name as a whole.
            record, chain = seal_record(batch, last, chain, segment.salt)
            pieces += (record, batch.encoded)
            end, last = end + len(record) + len(batch.encoded), batch.last
            segment.lasts.append(last)
            segment.ends.append(end)
            segment.chains.append(chain)
            if end - offset > _PIECE_BYTES:
                file.write(offset, pieces)
                pieces, offset = [], end
        file.write(offset, pieces)
        file.sync()
        self._disk.rename(UNFINISHED, segment.name)
        self._disk.sync_folder(FOLDER)
        segment.size = end
        self._generation = generation
        self._file = file
        return segment

    def _clear_behind(self) -> None:
        """The log goes on another way than what stands behind its end."""
        behind, self._behind = self._behind, None
        for name in sorted(behind or (), reverse=True):
            self._disk.remove(name)
            self._disk.sync_folder(FOLDER)
        if self._segments:
            self._cut_file(self._segments[-1].end)

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
                batches = [batch for span in spans for batch in read_span(self._disk, span)]
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

    def end_before(self, zxid: int) -> int | None:
        """Where the last batch ends that ends at or before `zxid`, or the base; None if the log begins after `zxid`."""
        with self._lock:
            if zxid < self._base:
                return None
            for segment in reversed(self._segments):
                if segment.base <= zxid:
                    index = bisect_right(segment.lasts, zxid)
                    return segment.lasts[index - 1] if index else segment.base
            return self._base

    def read_back(self, upto: int, above: int, bytes_max: int) -> list[Batch]:
        """The batches that end with the one whose last zxid is `upto`, back to `above` or to what `bytes_max` allows.

        At least one, if that one is here and can be read; else none. From any thread.
        """
        with self._lock:
            for segment in reversed(self._segments):
                index = bisect_left(segment.lasts, upto)
                if index < len(segment.lasts) and segment.lasts[index] == upto:
                    break
            else:
                return []
            end = segment.ends[index]
            lowest = bisect_right(segment.lasts, above)
            while index > lowest and end - (segment.ends[index - 2] if index > 1 else SEGMENT_BYTES) <= bytes_max:
                index -= 1
            span = Span(segment.name, segment.salt, segment.ends[index - 1] if index else SEGMENT_BYTES, end)
        try:
            return read_span(self._disk, span)
        except (Damaged, StorageFailure):
            return []  # overtaken by a cut, or damaged since: whoever asks, asks others too

    # ---- helpers

    def _spans(self, after: int, bytes_max: int) -> list[Span] | None:
        """Where the batches after `after` stand; None if no batch ends there."""
        if after == (self._segments[-1].last if self._segments else self._base):
            return []
        spans: list[Span] = []
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
            spans.append(Span(segment.name, segment.salt, start, end))
            budget -= end - start
            if budget <= 0 or end < segment.end:
                break
        return spans or None

    def _settle_tail(self, last: int) -> None:
        """Note, durably, that the log ends at `last`."""
        for segment in reversed(self._segments):
            end = segment.end_of(last)
            if end is not None:
                self._tail.settle(self._lineage, last, segment.first, end)
                return
        self._tail.settle(self._lineage, last, 0, 0)

    def _added_end(self, segment: Segment | None) -> int:
        if self._ends:
            return self._ends[-1]
        return segment.end if segment is not None else 0

    def _new_segment(self, first: int, length: int) -> Segment:
        """Make the segment whose first record will be `first`. It gets its name only when its header is durable."""
        chain = self._segments[-1].chain if self._segments else 0
        base = self._added
        header = SegmentHeader(self._identity, self._lineage, base, first, chain, self._generation, False).seal()
        size = max(self._segment_bytes, SEGMENT_BYTES + RECORD_BYTES + length)
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
