"""A batch as it goes to the log and over the network: one fixed header, then the runs.

The leader encodes a batch once; everyone writes and forwards those very bytes. Two checksums: one over the header,
which makes its length field trustworthy before anything is read by it, and one over the body.
"""

from struct import Struct
from zlib import crc32

from coord.codec.errors import CodecError
from coord.model.entries import Batch, counter_of, epoch_of

MAGIC = b"cob1"
"""The first bytes of every batch: coord, batch, version 1 of this layout."""

HEADER = Struct(">4sQQIQqQQII")
"""magic, epoch, first, count, previous, time_ms, digest_zxid, digest, body's length, body's crc."""
CRC = Struct(">I")
"""Of the header before it; it ends the header."""

HEADER_BYTES = HEADER.size + CRC.size
BODY_BYTES_MAX = 1 << 30
"""No batch comes near this; a length above it is damage."""


def encode_batch(batch: Batch) -> bytes:
    """Set `batch.encoded`, and return it."""
    body = batch.body
    assert len(body) <= BODY_BYTES_MAX, f"a batch of {len(body)} bytes is too big to be written"
    header = HEADER.pack(
        MAGIC,
        batch.epoch,
        batch.first,
        batch.count,
        batch.previous,
        batch.time_ms,
        batch.digest_zxid,
        batch.digest,
        len(body),
        crc32(body),
    )
    batch.encoded = b"".join((header, CRC.pack(crc32(header)), body))
    batch.unencoded, batch.body_at = b"", HEADER_BYTES
    return batch.encoded


def decode_batch(data: bytes | memoryview) -> Batch:
    """The batch that `data` is, no byte less or more, with both checksums verified. The body stays encoded."""
    encoded = bytes(data)  # no copy, if it is bytes already
    if len(encoded) < HEADER_BYTES:
        raise CodecError(f"a batch is at least {HEADER_BYTES} bytes long, and here are {len(encoded)}")
    header = encoded[: HEADER.size]
    if CRC.unpack_from(encoded, HEADER.size)[0] != crc32(header):
        raise CodecError("the checksum of a batch's header is wrong: it was damaged, or is no batch")
    magic, epoch, first, count, previous, time_ms, digest_zxid, digest, length, body_crc = HEADER.unpack(header)
    if magic != MAGIC:
        raise CodecError(f"a batch starts with {MAGIC!r}, and this with {magic!r}: another version wrote it")
    body_bytes = len(encoded) - HEADER_BYTES
    if body_bytes != length:
        raise CodecError(f"batch {first:#x} has a body of {length} bytes, and here are {body_bytes}")
    if crc32(memoryview(encoded)[HEADER_BYTES:]) != body_crc:
        raise CodecError(f"the checksum of the body of batch {first:#x} is wrong: it was damaged")
    if count < 1 or counter_of(first) < 1 or epoch_of(first) != epoch or epoch_of(first + count - 1) != epoch:
        raise CodecError(f"batch {first:#x} of {count} entries cannot be of epoch {epoch}")
    if previous >= first or digest_zxid > previous:
        raise CodecError(f"batch {first:#x} names what does not lie before it: {previous:#x}, {digest_zxid:#x}")
    return Batch(epoch, first, count, previous, time_ms, digest_zxid, digest, b"", encoded, HEADER_BYTES)
