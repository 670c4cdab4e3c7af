"""Asking for the past, and what is told: there and back, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.codec import inspection
from coord.codec.cbor import dump
from coord.codec.errors import CodecError
from coord.codec.pieces import PieceReader
from coord.model.inspection import AskBatches, AskOverview, AskSnapshot, Inspection, Told

positions = st.integers(0, (1 << 63) - 1)
auths = st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=20)), max_size=3).map(tuple)
requests = st.builds(
    Inspection,
    st.one_of(st.just(AskOverview()), st.builds(AskSnapshot, positions), st.builds(AskBatches, positions)),
    auths,
)
overviews = st.builds(
    Told, positions, positions, st.lists(st.tuples(positions, positions), max_size=3).map(tuple), positions, positions,
    positions,
)  # fmt: skip


@given(requests)
def test_a_request_comes_back(asked: Inspection) -> None:
    sent = inspection.encode_inspection(asked)
    assert sent.startswith(inspection.PREAMBLE)
    (piece,) = PieceReader(inspection.REQUEST_BYTES_MAX).feed(sent[len(inspection.PREAMBLE) :])
    assert piece.kind == inspection.ASKED
    assert inspection.decode_inspection(piece.body) == asked


@given(overviews, positions, st.text(max_size=50))
def test_what_is_told_comes_back(told: Told, last: int, sentence: str) -> None:
    assert inspection.decode_told(inspection.encode_told(told)) == told
    assert inspection.decode_end(inspection.encode_end(last)) == last
    assert inspection.decode_refused(inspection.encode_refused(sentence)) == sentence


def test_what_a_later_version_adds_to_an_overview_is_passed_over() -> None:
    assert inspection.decode_told(dump([1, 2, [[3, 4]], 5, 6, 7, "more"])) == Told(1, 2, ((3, 4),), 5, 6, 7)


@pytest.mark.parametrize(
    "plain",
    [
        7, [], [2, [], 0], [1], [1, []], [1, [], 3], [1, [], True], [1, [], 1], [1, [], 1, -1], [1, [], 1, "x"],
        [1, [["digest"]], 0], [1, [["digest", "text"]], 0], [1, 7, 0], [1, [], 0, 0],
    ],
)  # fmt: skip
def test_a_request_that_says_nothing_is_refused(plain: object) -> None:
    with pytest.raises(CodecError):
        inspection.decode_inspection(dump(plain))


@given(st.binary(max_size=60))
def test_whatever_the_bytes_are_nothing_but_a_codec_error_comes_of_them(body: bytes) -> None:
    for decode in (
        inspection.decode_inspection, inspection.decode_told, inspection.decode_end, inspection.decode_refused,
    ):  # fmt: skip
        try:
            decode(body)
        except CodecError:
            continue


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(Inspection(AskOverview(), (("digest", b"root:secret"),)))
