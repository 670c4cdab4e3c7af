"""Snapshots on the disk: the whole state at one zxid, as chunks that the state machine made.

Promises: a snapshot has its name only when it is whole and durable; no chunk is given out that is not exactly what
was written. What the chunks mean is none of this module's business.
"""

from collections.abc import Iterator
from struct import Struct
from zlib import crc32

from coord.model.message import message
from coord.storage.disk import Disk, File
from coord.storage.errors import Damaged
from coord.storage.records import is_zxid_name
from coord.storage.seal import OVERHEAD, seal, unseal

FOLDER = "snapshots"
LOCAL_PART = "snapshots/part.local"
RECEIVED_PART = "snapshots/part.received"
"""Unfinished snapshots: the one this server takes, and the one its leader sends."""
PARTS = ("part.local", "part.received")

_MAGIC = b"coordsnp"
_HEADER = Struct(">QQQB")
"""identity, lineage, zxid, whether it was installed (the log starts after it)."""
_HEADER_BYTES = OVERHEAD + _HEADER.size

_CHUNK = Struct(">II")
"""length, crc of the chunk."""
_END = Struct(">IQQI")
"""END_MARK, number of chunks, their bytes, crc over all their frames; then the crc of this."""
_END_MARK = 0xFFFFFFFF
_CRC = Struct(">I")
_END_BYTES = _END.size + _CRC.size

_SYNC_BYTES = 2 << 20
"""After so much a snapshot is synced while it is written: one sync of all of it would make the log's syncs wait."""


@message
class Origin:
    """A snapshot's header.

    Each snapshot installed from a leader starts a `lineage` one higher than the last: it makes void, in the moment
    in which it gets its name, all that was written before it, log and snapshots.
    """

    identity: int
    lineage: int
    zxid: int
    installed: bool


def name_of(zxid: int) -> str:
    return f"{FOLDER}/{zxid:016x}"


def zxids(disk: Disk) -> list[int]:
    """Of all snapshots in the folder, good or not, ascending."""
    return [int(name, 16) for name in disk.names(FOLDER) if is_zxid_name(name)]


def size_of(disk: Disk, zxid: int) -> int:
    """The bytes of a snapshot's file."""
    file = disk.open(name_of(zxid))
    try:
        return file.size()
    finally:
        file.close()


class PartialSnapshot:
    """A snapshot being written, under the name of a part."""

    __slots__ = ("_bytes", "_count", "_crc", "_disk", "_file", "_name", "_offset", "_unsynced", "origin")

    def __init__(self, disk: Disk, name: str, origin: Origin) -> None:
        self.origin = origin
        self._disk = disk
        self._name = name
        self._count = 0
        self._bytes = 0
        self._crc = 0
        self._unsynced = 0
        header = seal(_MAGIC, _HEADER.pack(origin.identity, origin.lineage, origin.zxid, origin.installed))
        self._file: File = disk.open(name, create=True)
        self._file.truncate(0)
        self._file.write(0, [header])
        self._offset = len(header)

    def __repr__(self) -> str:
        return f"<PartialSnapshot {self._name} of {self.origin.zxid:#x}, {self._count} chunks, {self._bytes} bytes>"

    @property
    def count(self) -> int:
        """Chunks so far."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Of the file so far."""
        return self._offset

    def write(self, chunk: bytes) -> None:
        assert len(chunk) < _END_MARK, f"a chunk of {len(chunk)} bytes is too long for a snapshot"
        frame = _CHUNK.pack(len(chunk), crc32(chunk))
        self._file.write(self._offset, (frame, chunk))
        self._offset += len(frame) + len(chunk)
        self._count += 1
        self._bytes += len(chunk)
        self._crc = crc32(frame, self._crc)
        self._unsynced += len(chunk)
        if self._unsynced >= _SYNC_BYTES:
            self._file.sync()
            self._unsynced = 0

    def seal(self) -> None:
        """Write the end, and make all of it durable."""
        end = _END.pack(_END_MARK, self._count, self._bytes, self._crc)
        self._file.write(self._offset, (end, _CRC.pack(crc32(end))))
        self._offset += _END_BYTES
        self._file.sync()
        self._file.close()

    def publish(self) -> None:
        """Give a sealed snapshot its name, durably."""
        self._disk.rename(self._name, name_of(self.origin.zxid))
        self._disk.sync_folder(FOLDER)

    def close(self) -> None:
        """Leave it as it is; the next start removes it."""
        self._file.close()

    def discard(self) -> None:
        """Leave nothing of it."""
        self._file.close()
        self._disk.remove(self._name)


def read_origin(disk: Disk, zxid: int) -> Origin:
    """The header of a snapshot. Raises Damaged."""
    file = disk.open(name_of(zxid))
    try:
        return _origin(file, zxid)
    finally:
        file.close()


def read_chunks(disk: Disk, zxid: int) -> Iterator[bytes]:
    """The chunks of a snapshot, each verified before it is given out, the whole before the iteration ends.

    Raises Damaged. The file stays open meanwhile, so a snapshot removed in the middle is still read to its end.
    """
    file = disk.open(name_of(zxid))
    try:
        _origin(file, zxid)
        size = file.size()
        offset = _HEADER_BYTES
        count = total = crc = 0
        while True:
            frame = file.read(offset, _CHUNK.size)
            if len(frame) < _CHUNK.size:
                raise Damaged(f"it ends at offset {offset} without an end mark")
            length, chunk_crc = _CHUNK.unpack(frame)
            if length == _END_MARK:
                _check_end(file.read(offset, _END_BYTES + 1), offset, count, total, crc)
                return
            offset += _CHUNK.size
            if length > size - offset:
                raise Damaged(f"the chunk at offset {offset} says {length} bytes, which is more than there are")
            chunk = file.read(offset, length)
            if crc32(chunk) != chunk_crc:
                raise Damaged(f"the checksum of the chunk at offset {offset} is wrong")
            offset += length
            count += 1
            total += length
            crc = crc32(frame, crc)
            yield chunk
    finally:
        file.close()


def verify(disk: Disk, zxid: int) -> Origin:
    """Read a whole snapshot, for nothing but to know that it is good. Raises Damaged."""
    for _ in read_chunks(disk, zxid):
        pass
    return read_origin(disk, zxid)


def _origin(file: File, zxid: int) -> Origin:
    identity, lineage, found, installed = _fields(unseal(_MAGIC, file.read(0, _HEADER_BYTES)))
    if found != zxid:
        raise Damaged(f"it says that it is the snapshot of {found:#x}")
    return Origin(identity, lineage, found, bool(installed))


def _fields(payload: bytes) -> tuple[int, int, int, int]:
    if len(payload) != _HEADER.size:
        raise Damaged(f"its header holds {len(payload)} bytes instead of {_HEADER.size}")
    identity, lineage, zxid, installed = _HEADER.unpack(payload)
    return identity, lineage, zxid, installed


def _check_end(data: bytes, offset: int, count: int, total: int, crc: int) -> None:
    if len(data) != _END_BYTES:
        raise Damaged(f"the end mark at offset {offset} is not the file's end")
    if crc32(data[: _END.size]) != _CRC.unpack_from(data, _END.size)[0]:
        raise Damaged(f"the checksum of the end mark at offset {offset} is wrong")
    if _END.unpack_from(data)[1:] != (count, total, crc):
        raise Damaged(f"the end mark at offset {offset} speaks of other chunks than were read")
