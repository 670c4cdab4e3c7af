"""A backup file: a state, and the batches after it. README.md has its form byte by byte.

Promises: a file has its name only when it is whole and on the disk. A file in which any byte has changed, or that was
cut off anywhere, is never taken for a backup: `verify` reads all of it; what is read without is checked piece by piece.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

import trio

from coord.codec.batch import decode_batch
from coord.codec.cbor import dump, load
from coord.codec.errors import CodecError
from coord.codec.pieces import HEAD_BYTES, Piece, PieceReader, PieceWriter
from coord.codec.shapes import array, position, raw
from coord.model.entries import Batch
from coord.model.message import message
from coord.past.errors import CannotWrite, PastDamaged, PastError
from coord.past.looking import SILENCE, Progress
from coord.past.source import Overview, StoredSnapshot
from coord.storage.errors import Damaged, OtherVersion
from coord.storage.seal import OVERHEAD, seal, unseal

MAGIC = b"coordbak"
SNAPSHOT, BATCH, END = 1, 2, 3
"""Kinds of pieces: chunks of the state, batches, and one at the end."""

_END = Struct(">QQQQI32s")
"""last zxid, time of the last batch, where the batches begin, their bytes, the crc before them, SHA-256 before this."""
_END_BYTES = HEAD_BYTES + _END.size

READ_BYTES = 1 << 20
HEADER_BYTES_MAX = 1 << 10
NAME_BYTES = 16


@message
class BackupHeader:
    """What a backup says of itself at its beginning."""

    name: bytes  # drawn at random: no two backups have the same
    made_ms: int  # Unix time
    server: int  # that told it
    cluster: int  # its ensemble
    start: int  # zxid of the state; 0: the empty one, without chunks


@message
class BackupEnd:
    """What it says at its end."""

    last: int  # zxid of the last entry
    time_ms: int  # of its batch, 0 without one
    log_offset: int  # in the file
    log_bytes: int
    log_crc: int  # with which the first batch is begun
    sha256: bytes  # of all before


# ---- writing


class BackupWriter:
    """Writes a backup under another name; `finish` gives it its own. PastError for whatever keeps it from that."""

    def __init__(self, path: Path, header: BackupHeader) -> None:
        if os.path.lexists(path):
            raise PastError(f"{path} exists already; name another file, or move that one away")
        self.path = path
        self.size_bytes = 0
        self._part = path.with_name(f"{path.name}.part-{secrets.token_hex(4)}")
        self._sha256 = hashlib.sha256()
        self._log_offset = 0
        self._log_crc = 0
        self._last = header.start
        self._time_ms = 0
        with self._translated():
            self._file: BinaryIO = open(  # noqa: SIM115 - open until finish or abandon
                self._part, "xb", buffering=READ_BYTES, opener=_private
            )
        sealed = seal(MAGIC, dump([header.name, header.made_ms, header.server, header.cluster, header.start]))
        self._pieces = PieceWriter(crc32(sealed))
        self._write(sealed)

    def __repr__(self) -> str:
        return f"<BackupWriter {self.path}, {self.size_bytes} bytes>"

    def add_chunk(self, chunk: bytes) -> None:
        assert not self._log_offset, "the state comes before the batches"
        self._write(*self._pieces.add(SNAPSHOT, chunk))

    def add_batch(self, batch: Batch) -> None:
        if batch.previous != self._last:
            raise PastDamaged(f"the batch {batch.first:#x} does not follow {self._last:#x}: something was left out")
        self._begin_log()
        self._write(*self._pieces.add(BATCH, batch.encoded))
        self._last, self._time_ms = batch.last, batch.time_ms

    async def finish(self) -> BackupEnd:
        """Make it durable, then visible."""
        self._begin_log()
        end = BackupEnd(
            self._last,
            self._time_ms,
            self._log_offset,
            self.size_bytes - self._log_offset,
            self._log_crc,
            self._sha256.digest(),
        )
        body = _END.pack(end.last, end.time_ms, end.log_offset, end.log_bytes, end.log_crc, end.sha256)
        self._write(*self._pieces.add(END, body))
        with self._translated():
            await trio.to_thread.run_sync(self._publish)
        return end

    def abandon(self) -> None:
        """Leave nothing of it. Harmless after `finish`."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _begin_log(self) -> None:
        if not self._log_offset:
            self._log_offset, self._log_crc = self.size_bytes, self._pieces.crc

    def _publish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if os.path.lexists(self.path):
            raise PastError(f"{self.path} was made by somebody else meanwhile; name another file")
        os.rename(self._part, self.path)
        folder = os.open(self.path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, *buffers: bytes) -> None:
        with self._translated():
            for data in buffers:
                self._file.write(data)
                self._sha256.update(data)
                self.size_bytes += len(data)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(
                f"{self.path} cannot be written: {error.strerror or error}; nothing is left of it"
            ) from error


def _private(path: str, flags: int) -> int:
    """It holds every value whatever its ACL: nobody else is to read it."""
    return os.open(path, flags, 0o600)


def _at_once(path: str, flags: int) -> int:
    """A pipe that nobody writes to would be waited for otherwise, and not even Ctrl-C would end that."""
    return os.open(path, flags | os.O_NONBLOCK)


# ---- reading


class BackupSource:
    """A backup file as a source of the past. Raises PastError if it is none, or not whole."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        with self._opened() as file:
            self.size_bytes = os.fstat(file.fileno()).st_size
            self.header, self._begin, self._crc = self._read_header(file)
            self.end = self._read_end(file)

    def __repr__(self) -> str:
        return f"<BackupSource {self._path}>"

    @property
    def name(self) -> str:
        return str(self._path)

    async def overview(self) -> Overview:
        header, end = self.header, self.end
        kept = (StoredSnapshot(header.start, end.log_offset - self._begin),) if header.start else ()
        return Overview(header.server, header.cluster, kept, header.start, end.last, end.log_bytes)

    async def snapshot(self, zxid: int) -> AsyncGenerator[bytes, None]:
        if not zxid or zxid != self.header.start:
            raise PastError(f"{self._path} has the state at {self.header.start:#x}, and not at {zxid:#x}")
        async with aclosing(self._pieces(self._begin, self._crc)) as pieces:
            async for piece in pieces:
                if piece.kind != SNAPSHOT:
                    return
                yield piece.body

    async def batches(self, after: int) -> AsyncGenerator[Batch, None]:
        if after < self.header.start:
            raise PastError(
                f"{self._path} begins at zxid {self.header.start:#x}: what came after {after:#x} is not in it"
            )
        last = self.header.start
        async with aclosing(self._pieces(self.end.log_offset, self.end.log_crc)) as pieces:
            async for piece in pieces:
                if piece.kind == END:
                    return
                batch = self._batch(piece, last)
                last = batch.last
                if last > after:
                    yield batch

    async def verify(self, progress: Progress = SILENCE) -> None:
        """Read all of it. Raises PastDamaged if anything in it is not what was written."""
        progress.begin(f"checking {self._path}", self.size_bytes)
        last, time_ms, log = self.header.start, 0, False
        async with aclosing(self._pieces(self._begin, self._crc, progress)) as pieces:
            async for piece in pieces:
                if piece.kind == SNAPSHOT:
                    if log or not self.header.start:
                        raise self._damaged("it has a part of the state where none should be")
                elif piece.kind != END:
                    log = True
                    batch = self._batch(piece, last)
                    last, time_ms = batch.last, batch.time_ms
        if (last, time_ms) != (self.end.last, self.end.time_ms):
            raise self._damaged(f"it ends at {last:#x}, and says that it ends at {self.end.last:#x}")
        sha256 = hashlib.sha256()
        with self._opened() as file:
            rest = self.size_bytes - _END_BYTES
            while rest and (data := file.read(min(READ_BYTES, rest))):
                sha256.update(data)
                rest -= len(data)
                await trio.lowlevel.checkpoint()
        if rest or sha256.digest() != self.end.sha256:
            raise self._damaged("the checksum over all of it is wrong")

    # ---- the file

    def _batch(self, piece: Piece, last: int) -> Batch:
        if piece.kind != BATCH:
            raise self._damaged(f"it has a piece of the kind {piece.kind} among its batches")
        try:
            batch = decode_batch(piece.body)
        except CodecError as error:
            raise self._damaged(str(error)) from error
        if batch.previous != last:
            raise self._damaged(f"what stands before the batch {batch.first:#x} is missing")
        return batch

    async def _pieces(self, offset: int, crc: int, progress: Progress = SILENCE) -> AsyncGenerator[Piece, None]:
        """From `offset` on to the one that ends the file, that one included."""
        reader = PieceReader(crc=crc)
        with self._opened() as file:
            file.seek(offset)
            while data := file.read(READ_BYTES):
                offset += len(data)
                try:
                    pieces = reader.feed(data)
                except CodecError as error:
                    raise self._damaged(f"{error} (before offset {offset})") from error
                for piece in pieces:
                    yield piece
                    if piece.kind == END:
                        if piece is not pieces[-1] or reader.unread or file.read(1):
                            raise self._damaged("it goes on behind its end")
                        return
                progress.advance(len(data))
                await trio.lowlevel.checkpoint()
        raise self._damaged("it is cut off: its end is missing")

    def _read_header(self, file: BinaryIO) -> tuple[BackupHeader, int, int]:
        """The header, where it ends, and its crc."""
        data = file.read(HEADER_BYTES_MAX)
        if not data.startswith(MAGIC):
            raise PastError(f"{self._path} is no backup of coord: it begins with {data[:8]!r}, a backup with {MAGIC!r}")
        try:
            payload = unseal(MAGIC, data)
            plain = array(load(payload))
            if len(plain) != 5:
                raise CodecError(f"its header has {len(plain)} fields")
            name, *numbers = plain
            header = BackupHeader(raw(name), *map(position, numbers))
        except OtherVersion as other:
            raise PastError(f"{self._path} was made by another version of coord: {other}; use that version") from other
        except (Damaged, CodecError) as error:
            raise self._damaged(str(error)) from error
        size = OVERHEAD + len(payload)
        return header, size, crc32(data[:size])

    def _read_end(self, file: BinaryIO) -> BackupEnd:
        """What stands at the file's end; whether it is true shows when the file is read up to there."""
        if self.size_bytes >= self._begin + _END_BYTES:
            file.seek(-_END_BYTES, os.SEEK_END)
            data = file.read(_END_BYTES)
            if data[:5] == bytes([END]) + _END.size.to_bytes(4, "big"):
                end = BackupEnd(*_END.unpack_from(data, HEAD_BYTES))
                if end.log_offset + end.log_bytes == self.size_bytes - _END_BYTES and end.log_offset >= self._begin:
                    return end
        raise self._damaged("it is cut off, or its end was changed")

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with open(self._path, "rb", opener=_at_once) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise PastError(f"{self._path} is no backup of coord: it is not even a file")
                yield file
        except OSError as error:
            raise PastError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def _damaged(self, how: str) -> PastDamaged:
        return PastDamaged(f"{self._path} is damaged: {how}; take another backup")
