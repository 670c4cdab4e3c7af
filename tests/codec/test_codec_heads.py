"""CBOR written by hand is what cbor2 writes: nobody has to know who wrote it."""

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coord.codec.heads import array_head, integer, raw_or_null, text
from coord.codec.shapes import INTEGER_MAX, INTEGER_MIN

EDGES = [-1, 0, 23, 24, 255, 256, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x100000000]


@given(st.integers(INTEGER_MIN, INTEGER_MAX))
@example(INTEGER_MIN)
@example(INTEGER_MAX)
def test_an_integer_is_written_in_its_shortest_form(value: int) -> None:
    assert integer(value) == cbor2.dumps(value)


@pytest.mark.parametrize("value", EDGES)
def test_an_integer_at_an_edge_between_two_forms_as_well(value: int) -> None:
    assert integer(value) == cbor2.dumps(value)


@pytest.mark.parametrize("value", [INTEGER_MIN - 1, INTEGER_MAX + 1])
def test_an_integer_of_more_than_64_bits_is_a_defect_of_the_caller(value: int) -> None:
    with pytest.raises(AssertionError, match="does not fit 64 bits"):
        integer(value)


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 0xFFFF, 0x10000])
def test_texts_bytes_and_arrays_of_every_length_have_the_same_heads(length: int) -> None:
    assert text("x" * length) == cbor2.dumps("x" * length)
    assert raw_or_null(b"x" * length) == cbor2.dumps(b"x" * length)
    assert array_head(length) + b"\x00" * length == cbor2.dumps([0] * length)


def test_nothing_is_null() -> None:
    assert raw_or_null(None) == cbor2.dumps(None)
