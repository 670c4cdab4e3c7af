"""How the log stands in its files: segments, the records in them, and how they are told from anything else.

Only forms here: what may be believed of what is found is `survey.py`'s business, what is written when is `log.py`'s.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field
from struct import Struct
from zlib import crc32

from coord.codec.batch import decode_batch
from coord.codec.errors import CodecError
from coord.model.entries import Batch
from coord.model.message import message
from coord.storage.disk import Disk, File
from coord.storage.errors import Damaged
from coord.storage.seal import OVERHEAD, seal, unseal

FOLDER = "log"
UNFINISHED = "log/next"
"""A segment being made; it gets its name when all that it must hold is durable."""

SEGMENT_MAGIC = b"coordlog"
_SEGMENT = Struct(">QQQQIIB")
"""identity, lineage, base (zxid before the first record), first zxid, chain before it, generation, begins."""
SEGMENT_BYTES = OVERHEAD + _SEGMENT.size

RECORD_MAGIC = b"\xc0\x0d\x1e\x01"
_RECORD = Struct(">4sIQQQQII")
"""magic, body's length, previous zxid, first zxid, last zxid, durable, chain, body's crc."""
_CRC = Struct(">I")
RECORD_BYTES = _RECORD.size + _CRC.size

WINDOW_BYTES = 1 << 20
"""How much is read at once where a file is read from end to end."""


@message
class SegmentHeader:
    """The first bytes of a segment.

    A log that was mended goes on in a segment of a higher `generation`: what stands after its base in segments of a
    lower one is void. If `begins`, all that stands before it is void as well.
    """

    identity: int
    lineage: int
    base: int
    first: int
    seed: int
    generation: int
    begins: bool

    def seal(self) -> bytes:
        return seal(
            SEGMENT_MAGIC,
            _SEGMENT.pack(self.identity, self.lineage, self.base, self.first, self.seed, self.generation, self.begins),
        )


def read_segment_header(data: bytes) -> SegmentHeader:
    """Raises Damaged."""
    payload = unseal(SEGMENT_MAGIC, data)
    if len(payload) != _SEGMENT.size:
        raise Damaged(f"its header holds {len(payload)} bytes instead of {_SEGMENT.size}")
    identity, lineage, base, first, seed, generation, begins = _SEGMENT.unpack(payload)
    return SegmentHeader(identity, lineage, base, first, seed, generation, bool(begins))


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


def seal_record(batch: Batch, durable: int, chain: int, salt: int) -> tuple[bytes, int]:
    """The header that goes before the batch's bytes, and its crc."""
    body = batch.encoded
    header = _RECORD.pack(RECORD_MAGIC, len(body), batch.previous, batch.first, batch.last, durable, chain, crc32(body))
    crc = crc32(header, salt)
    return header + _CRC.pack(crc), crc


def read_record(data: bytes, salt: int) -> Record | None:
    """The record header that `data` is, None if it is none."""
    if len(data) < RECORD_BYTES or not data.startswith(RECORD_MAGIC):
        return None
    (crc,) = _CRC.unpack_from(data, _RECORD.size)
    if crc32(data[: _RECORD.size], salt) != crc:
        return None
    _, length, previous, first, last, durable, chain, body_crc = _RECORD.unpack_from(data)
    return Record(length, previous, first, last, durable, chain, body_crc, crc)


@dataclass(slots=True)
class Segment:
    """One file of the log, and where its records end. The three arrays have one item a record."""

    name: str
    base: int  # zxid of the last record before this segment
    salt: int  # crc of the segment's header: the start value of its records' crcs
    seed: int  # chain before the first record
    size: int  # of the file
    first: int = field(init=False)  # the zxid that it is named by: the first that it was made for
    lasts: "array[int]" = field(default_factory=lambda: array("Q"))
    ends: "array[int]" = field(default_factory=lambda: array("Q"))  # offsets
    chains: "array[int]" = field(default_factory=lambda: array("I"))

    def __post_init__(self) -> None:
        self.first = zxid_named(self.name)

    @property
    def last(self) -> int:
        return self.lasts[-1] if self.lasts else self.base

    @property
    def end(self) -> int:
        return self.ends[-1] if self.ends else SEGMENT_BYTES

    @property
    def chain(self) -> int:
        return self.chains[-1] if self.chains else self.seed

    def end_of(self, zxid: int) -> int | None:
        """The offset behind the record that ends with `zxid` (or of the first one, for the base), None if none does."""
        if zxid == self.base:
            return SEGMENT_BYTES
        index = bisect_left(self.lasts, zxid)
        if index < len(self.lasts) and self.lasts[index] == zxid:
            return self.ends[index]
        return None


@message
class Span:
    """A stretch of whole records in one segment."""

    name: str
    salt: int
    start: int
    end: int


def read_span(disk: Disk, span: Span) -> list[Batch]:
    """Decode the records of a span, which are known to be there. Raises Damaged if they are not."""
    file = disk.open(span.name)
    try:
        data = file.read(span.start, span.end - span.start)
    finally:
        file.close()
    batches: list[Batch] = []
    offset = 0
    while offset < len(data):
        record = read_record(data[offset : offset + RECORD_BYTES], span.salt)
        if record is None:
            raise Damaged(f"at offset {span.start + offset} stands no record")
        body = offset + RECORD_BYTES
        offset = body + record.length
        batches.append(decode_body(record, data[body:offset], span.start + body))
    if span.start + offset != span.end:
        raise Damaged(f"the file ends at offset {span.start + len(data)}, before {span.end}")
    return batches


def decode_body(record: Record, body: bytes, offset: int) -> Batch:
    """The batch of a record. Raises Damaged if it is not the one that the record names."""
    if crc32(body) != record.body_crc:
        raise Damaged(f"the checksum of the batch at offset {offset} is wrong")
    try:
        batch = decode_batch(body)
    except CodecError as error:
        raise Damaged(f"the batch at offset {offset} cannot be decoded: {error}") from error
    if (batch.previous, batch.first, batch.last) != (record.previous, record.first, record.last):
        raise Damaged(f"the batch at offset {offset} is not the one that its record names")
    return batch


class Window:
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
            wanted = min(max(length, WINDOW_BYTES), max(0, self.size - offset))
            self._start, self._data, begin = offset, self._file.read(offset, wanted), 0
        return self._data[begin : begin + length]

    def find(self, pattern: bytes, offset: int) -> int:
        """Where `pattern` stands next, from `offset` on; the file's size if nowhere. Each byte is read about once."""
        while offset + len(pattern) <= self.size:
            self.take(offset, len(pattern))
            at = self._data.find(pattern, offset - self._start)
            if at >= 0:
                return self._start + at
            # One that this piece cuts in two begins in the next one.
            offset = max(offset + 1, self._start + len(self._data) - len(pattern) + 1)
        return self.size


def zxid_named(path: str) -> int:
    """The zxid that a file of the log is named by."""
    return int(path.rpartition("/")[2], 16)


def is_zxid_name(name: str) -> bool:
    """Whether a file is named by a zxid, 16 small hexadecimal digits; all others are none of ours."""
    return len(name) == 16 and all(letter in "0123456789abcdef" for letter in name)
