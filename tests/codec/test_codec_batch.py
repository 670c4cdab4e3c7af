"""Batches: header, body, checksums."""

from dataclasses import replace

import pytest
from codec_strategies import batches
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.batch import HEADER_BYTES, decode_batch, encode_batch
from coord.codec.errors import CodecError
from coord.model.entries import Batch, zxid_of


def a_batch(**changes: object) -> Batch:
    first = zxid_of(2, 5)
    batch = Batch(2, first, 3, zxid_of(2, 4), 1_700_000_000_000, zxid_of(2, 1), 77, b"the runs")
    return replace(batch, **changes)  # type: ignore[arg-type]


@settings(max_examples=150)
@given(batches())
def test_a_batch_comes_back_with_its_very_bytes(batch: Batch) -> None:
    encoded = encode_batch(batch)
    assert encoded is batch.encoded
    decoded = decode_batch(encoded)
    assert decoded == batch
    assert decoded.encoded is encoded


def test_a_batch_is_read_from_a_view_of_a_bigger_buffer() -> None:
    batch = a_batch()
    buffer = bytearray(b"before" + encode_batch(batch) + b"after")
    with memoryview(buffer) as view:
        decoded = decode_batch(view[6:-5])
    buffer[:] = bytes(len(buffer))  # a batch holds on to nothing of the buffer
    assert decoded == batch


def test_the_bytes_of_a_batch_are_these() -> None:
    assert encode_batch(a_batch()).hex() == (
        "636f6231"
        "0000000000000002"
        "0000020000000005"
        "00000003"
        "0000020000000004"
        "0000018bcfe56800"
        "0000020000000001"
        "000000000000004d"
        "00000008"
        "cde7576f"
        "4b3615ed"
        "7468652072756e73"
    )


@pytest.mark.parametrize("cut", [*range(HEADER_BYTES + 8)])
def test_a_batch_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(CodecError):
        decode_batch(encode_batch(a_batch())[:cut])


@pytest.mark.parametrize("position", range(HEADER_BYTES + 8))
@pytest.mark.parametrize("flipped", [1, 128])
def test_every_flipped_bit_is_noticed(position: int, flipped: int) -> None:
    damaged = bytearray(encode_batch(a_batch()))
    damaged[position] ^= flipped
    with pytest.raises(CodecError):
        decode_batch(bytes(damaged))


def test_bytes_after_a_batch_are_refused() -> None:
    with pytest.raises(CodecError, match="8 bytes, and here are 9"):
        decode_batch(encode_batch(a_batch()) + b"x")


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"epoch": 3},
        {"first": zxid_of(2, 0), "previous": 0, "digest_zxid": 0},
        {"first": zxid_of(2, (1 << 40) - 1), "count": 2},
        {"previous": zxid_of(2, 5)},
        {"digest_zxid": zxid_of(2, 5)},
    ],
    ids=repr,
)
def test_a_header_that_contradicts_itself_is_refused_though_its_checksum_is_right(changes: dict[str, int]) -> None:
    encoded = encode_batch(a_batch(**changes))
    with pytest.raises(CodecError, match="batch"):
        decode_batch(encoded)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_random_bytes_are_no_batch(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_batch(data)
