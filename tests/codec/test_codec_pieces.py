"""Pieces in a row: what comes back, and that nothing else does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.errors import CodecError
from coord.codec.pieces import HEAD_BYTES, Piece, PieceReader, PieceWriter

pieces = st.lists(st.builds(Piece, st.integers(0, 255), st.binary(max_size=50)), max_size=6)


def written(wanted: list[Piece], crc: int = 0) -> bytes:
    writer = PieceWriter(crc)
    return b"".join(data for piece in wanted for data in writer.add(piece.kind, piece.body))


def read(data: bytes, step: int = 1000, crc: int = 0) -> tuple[list[Piece], PieceReader]:
    reader = PieceReader(1000, crc)
    found = [piece for start in range(0, len(data), step) for piece in reader.feed(data[start : start + step])]
    return found, reader


@settings(max_examples=60)
@given(pieces, st.integers(1, 40), st.integers(0, (1 << 32) - 1))
def test_pieces_come_back_in_whatever_steps_their_bytes_come(wanted: list[Piece], step: int, crc: int) -> None:
    found, reader = read(written(wanted, crc), step, crc)
    assert found == wanted
    assert (reader.count, reader.unread, reader.begun) == (len(wanted), 0, bool(wanted))


@settings(max_examples=60)
@given(pieces.filter(bool), st.data())
def test_a_changed_bit_anywhere_is_found_or_waits_for_bytes_that_never_come(wanted: list[Piece], data) -> None:
    good = written(wanted)
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    changed = bytearray(good)
    changed[at // 8] ^= 1 << at % 8
    try:
        found, reader = read(bytes(changed))
    except CodecError:
        return
    assert reader.unread  # a longer piece was announced
    assert found == wanted[: len(found)] != wanted


@settings(max_examples=60)
@given(st.lists(st.builds(Piece, st.integers(0, 9), st.binary(max_size=9)), min_size=2, max_size=5), st.data())
def test_a_piece_left_out_or_told_twice_is_found(wanted: list[Piece], data) -> None:
    writer = PieceWriter()
    parts = [b"".join(writer.add(piece.kind, piece.body)) for piece in wanted]
    at = data.draw(st.integers(0, len(parts) - 1))
    with pytest.raises(CodecError, match="is wrong, or one before it is missing"):
        read(b"".join([*parts[: at + 1], *parts[at:]]))
    if at < len(parts) - 1:
        with pytest.raises(CodecError, match="is wrong, or one before it is missing"):
            read(b"".join([*parts[:at], *parts[at + 1 :]]))


def test_a_length_over_the_limit_is_refused_before_its_bytes_are_there() -> None:
    assert read(written([Piece(1, bytes(1000))]))[0] == [Piece(1, bytes(1000))]
    with pytest.raises(CodecError, match="1001 bytes was announced; here up to 1000"):
        read(written([Piece(1, bytes(1001))])[:HEAD_BYTES])


def test_no_more_pieces_are_taken_than_are_wanted() -> None:
    reader = PieceReader()
    assert reader.feed(written([Piece(1, b"a"), Piece(2, b"b")]), 1) == [Piece(1, b"a")]
    assert reader.feed(b"", 1) == [Piece(2, b"b")]
