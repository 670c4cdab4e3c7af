"""Pieces in a row, each checksummed together with all before it: what a server tells of its past, and a backup file.

A piece is a kind (u8), a length (u32), a crc (u32) and so many bytes. The crc is over kind, length and bytes, and begun
with the crc of the piece before (the first one with a seed, 0 unless said otherwise): one that is missing, twice there
or in another place is found as surely as a bit that has changed. All numbers are big-endian.
"""

from struct import Struct
from zlib import crc32

from coord.codec.errors import CodecError
from coord.model.message import message

_FRONT = Struct(">BI")
"""kind, length; the crc follows."""
_CRC = Struct(">I")
HEAD_BYTES = _FRONT.size + _CRC.size

PIECE_BYTES_MAX = (1 << 30) + (1 << 20)
"""A batch with its header is no longer, and nothing else comes near: a length above it is damage."""


@message
class Piece:
    kind: int
    body: bytes


class PieceWriter:
    """Makes the bytes of pieces, in their order."""

    __slots__ = ("crc",)

    def __init__(self, crc: int = 0) -> None:
        self.crc = crc  # of the last piece

    def add(self, kind: int, body: bytes) -> tuple[bytes, bytes]:
        """The bytes of the next piece, as two buffers so that a long body is not copied."""
        assert len(body) <= PIECE_BYTES_MAX, f"a piece of {len(body)} bytes is too long to be read again"
        front = _FRONT.pack(kind, len(body))
        self.crc = crc32(body, crc32(front, self.crc))
        return front + _CRC.pack(self.crc), body


class PieceReader:
    """Takes bytes as they come, gives whole pieces. After a CodecError it is of no more use."""

    __slots__ = ("_buffer", "_bytes_max", "_crc", "_wanted", "count")

    def __init__(self, piece_bytes_max: int = PIECE_BYTES_MAX, crc: int = 0) -> None:
        self._buffer = bytearray()
        self._bytes_max = piece_bytes_max
        self._wanted = HEAD_BYTES  # so many bytes must be there before it is worth to look again
        self._crc = crc
        self.count = 0

    @property
    def begun(self) -> bool:
        """Whether anything has come at all."""
        return bool(self.count or self._buffer)

    @property
    def unread(self) -> int:
        """How many bytes of a piece that is not whole yet have come."""
        return len(self._buffer)

    def feed(self, data: bytes, pieces_max: int = 1 << 62) -> list[Piece]:
        """The pieces that are whole now, at most so many. Raises CodecError for what is damaged."""
        buffer = self._buffer
        buffer += data
        pieces: list[Piece] = []
        while len(pieces) < pieces_max and len(buffer) >= self._wanted:
            kind, length = _FRONT.unpack_from(buffer)
            if length > self._bytes_max:
                raise CodecError(f"a piece of {length} bytes was announced; here up to {self._bytes_max} are accepted")
            self._wanted = HEAD_BYTES + length
            if len(buffer) < self._wanted:
                break
            body = bytes(buffer[HEAD_BYTES : self._wanted])
            crc = crc32(body, crc32(buffer[: _FRONT.size], self._crc))
            if _CRC.unpack_from(buffer, _FRONT.size)[0] != crc:
                raise CodecError(f"the checksum of piece {self.count + 1} is wrong, or one before it is missing")
            del buffer[: self._wanted]
            self._wanted = HEAD_BYTES
            self._crc = crc
            self.count += 1
            pieces.append(Piece(kind, body))
        return pieces
