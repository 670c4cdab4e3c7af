"""Frames of a client's stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.errors import CodecError
from coord.codec.frames import first_frame, frame


@settings(max_examples=60)
@given(st.binary(max_size=100), st.binary(max_size=20))
def test_a_frame_comes_back_whatever_follows(payload: bytes, rest: bytes) -> None:
    assert first_frame(frame(payload) + rest, 100) == (payload, len(payload) + 4)


@given(st.integers(0, 13))
def test_a_frame_that_is_not_there_yet_is_waited_for(cut: int) -> None:
    assert first_frame(frame(b"0123456789")[:cut], 100) is None


@pytest.mark.parametrize(
    ("head", "length"), [("ffffffff", -1), ("80000000", -(2**31)), ("00000065", 101), ("7fffffff", 2**31 - 1)]
)
def test_an_illegal_length_is_refused_before_its_frame_is_there(head: str, length: int) -> None:
    with pytest.raises(CodecError, match=f"{length} bytes.*0 to 100"):
        first_frame(bytes.fromhex(head), 100)


def test_the_limit_itself_is_legal() -> None:
    assert first_frame(frame(bytes(100)), 100) == (bytes(100), 104)
    assert first_frame(frame(b""), 100) == (b"", 4)
