"""Frames between servers."""

import struct
from contextlib import suppress

import cbor2
import pytest
from codec_strategies import batches, int64, text, unsigned
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.batch import encode_batch
from coord.codec.errors import CodecError
from coord.codec.peer import (
    DECODERS,
    ENCODERS,
    HELLO_BYTES_MAX,
    KINDS,
    Decoder,
    Hello,
    PeerMessage,
    Rejected,
    encode,
)
from coord.codec.shapes import EPOCH_MAX
from coord.model.entries import Batch
from coord.paxos.messages import (
    Accept,
    Accepted,
    AskBarrier,
    Barrier,
    Canvass,
    Commit,
    Establish,
    Established,
    Fetch,
    Fetched,
    Forward,
    Heartbeat,
    HeartbeatReply,
    History,
    Message,
    NeedSnapshot,
    Prepare,
    Promise,
    Refusal,
    SnapshotChunk,
    Truncate,
)

HELLO = Hello(1, 2, 3, 4, (3, 5), (3, 5, 7), "server 3")


def with_bytes(batch: Batch) -> Batch:
    encode_batch(batch)
    return batch


encoded_batches = batches().map(with_bytes)
ids = st.lists(st.integers(1, 255), max_size=5).map(tuple)
epochs = st.integers(0, EPOCH_MAX)
index = st.integers(0, (1 << 32) - 1)
STRATEGIES: dict[type, st.SearchStrategy[PeerMessage]] = {
    Hello: st.builds(Hello, unsigned, unsigned, unsigned, unsigned, ids, ids, text),
    Rejected: st.builds(Rejected, text),
    Canvass: st.builds(
        Canvass, epochs, epochs, unsigned, unsigned, unsigned, unsigned, epochs, st.booleans(), st.booleans()
    ),
    Prepare: st.builds(Prepare, epochs),
    Promise: st.builds(
        Promise, epochs, epochs, unsigned, st.lists(st.tuples(unsigned, unsigned), max_size=3).map(tuple), unsigned
    ),
    Refusal: st.builds(Refusal, epochs, epochs),
    Truncate: st.builds(Truncate, epochs, unsigned),
    SnapshotChunk: st.builds(SnapshotChunk, epochs, unsigned, index, st.booleans(), st.binary(max_size=999)),
    NeedSnapshot: st.builds(NeedSnapshot, epochs),
    History: st.builds(History, epochs, encoded_batches),
    Establish: st.builds(Establish, epochs, unsigned, unsigned),
    Established: st.builds(Established, epochs, unsigned),
    Accept: st.builds(Accept, epochs, unsigned, unsigned, encoded_batches),
    Accepted: st.builds(Accepted, epochs, unsigned),
    Commit: st.builds(Commit, epochs, unsigned, unsigned),
    Heartbeat: st.builds(Heartbeat, epochs, unsigned, unsigned),
    HeartbeatReply: st.builds(HeartbeatReply, epochs, unsigned, st.lists(int64, max_size=5).map(tuple)),
    AskBarrier: st.builds(AskBarrier, epochs, unsigned),
    Barrier: st.builds(Barrier, epochs, unsigned, unsigned),
    Fetch: st.builds(Fetch, unsigned, unsigned),
    Fetched: st.builds(Fetched, encoded_batches),
    Forward: st.builds(Forward, epochs, index, st.binary(max_size=999)),
}
messages = st.one_of([strategy for cls, strategy in STRATEGIES.items() if cls is not Hello])


def greeted(frame_bytes_max: int = 1 << 20) -> Decoder:
    decoder = Decoder(frame_bytes_max)
    assert decoder.feed(encode(HELLO)) == [HELLO]
    return decoder


def test_every_message_has_one_row() -> None:
    every = set(Message.__args__) | {Hello, Rejected}
    assert set(KINDS.values()) == every == set(ENCODERS) == set(STRATEGIES)
    assert len(KINDS) == len(every) == len(DECODERS)


@pytest.mark.parametrize("cls", [cls for cls in STRATEGIES if cls is not Hello], ids=lambda cls: cls.__name__)
def test_every_message_comes_back(cls: type) -> None:
    @settings(max_examples=20)
    @given(STRATEGIES[cls])
    def comes_back(message: PeerMessage) -> None:
        assert greeted().feed(encode(message)) == [message]

    comes_back()


@pytest.mark.parametrize(
    "message",
    [
        Prepare(EPOCH_MAX + 1),
        Refusal(1, EPOCH_MAX + 1),
        Canvass(1 << 62, 0, 0, 0, 0, 0, 0, True),
        Promise(1, 1, 1, ((1, -5),)),
        Truncate(1, -1),
        Commit(1, 1 << 63, 2),
        Commit(1, 2, 1 << 63),
    ],
    ids=repr,
)
def test_numbers_that_would_end_all_counting_are_refused(message: PeerMessage) -> None:
    with pytest.raises(CodecError):
        greeted().feed(encode(message))


@settings(max_examples=40)
@given(STRATEGIES[Hello])
def test_a_hello_comes_back(hello: PeerMessage) -> None:
    assert Decoder().feed(encode(hello)) == [hello]


@settings(max_examples=60)
@given(st.lists(messages, max_size=5), st.data())
def test_a_stream_can_be_cut_anywhere(sent: list[PeerMessage], data: st.DataObject) -> None:
    stream = b"".join(map(encode, [HELLO, *sent]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder, received = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == [HELLO, *sent]


def test_a_stream_can_come_byte_by_byte() -> None:
    sent = [HELLO, Commit(1, 2, 3), Forward(1, 2, b"runs"), Accepted(1, 3, False)]
    decoder, received = Decoder(), []
    for byte in b"".join(map(encode, sent)):
        received += decoder.feed(bytes([byte]))
    assert received == sent


def test_the_bytes_of_frames_are_these() -> None:
    batch = Batch(1, (1 << 40) + 1, 1, 0, 0, 0, 0, b"")
    encoded = encode_batch(batch)
    assert encode(Commit(1, 2, 3)) == bytes.fromhex("00000019 0f 0000000000000001 0000000000000002 0000000000000003")
    assert encode(Accepted(1, 2, True)) == bytes.fromhex("00000012 0e 0000000000000001 0000000000000002 01")
    assert encode(Forward(1, 2, b"x")) == bytes.fromhex("0000000e 14 0000000000000001 00000002 78")
    assert encode(Accept(1, 2, 3, batch)) == (
        struct.pack(">IBQQQ", 25 + len(encoded), 13, 1, 2, 3) + encoded  # the batch as it stands
    )


def test_an_accepts_batch_keeps_the_bytes_that_came() -> None:
    batch = with_bytes(Batch(1, (1 << 40) + 1, 1, 0, 0, 0, 0, b"runs"))
    (accept,) = greeted().feed(encode(Accept(1, 0, 0, batch)))
    assert isinstance(accept, Accept)
    assert accept.batch.encoded == batch.encoded


def test_a_batch_that_was_not_encoded_is_not_sent() -> None:
    with pytest.raises(AssertionError, match="not encoded"):
        encode(Accept(1, 0, 0, Batch(1, 1 << 40, 1, 0, 0, 0, 0, b"")))


def test_a_damaged_batch_in_an_accept_is_refused() -> None:
    frame = bytearray(encode(Accept(1, 0, 0, with_bytes(Batch(1, (1 << 40) + 1, 1, 0, 0, 0, 0, b"runs")))))
    frame[-1] ^= 1
    with pytest.raises(CodecError, match="checksum"):
        greeted().feed(bytes(frame))


@pytest.mark.parametrize("length", [0, 1001, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_an_illegal_length_is_refused_as_soon_as_the_head_is_there(length: int) -> None:
    with pytest.raises(CodecError, match=rf"{length} bytes.*1 to 1000"):
        greeted(frame_bytes_max=1000).feed(struct.pack(">IB", length, 20))


def test_a_frame_of_exactly_the_limit_is_accepted() -> None:
    message = Forward(1, 2, b"x" * (1000 - 13))
    assert greeted(frame_bytes_max=1000).feed(encode(message)) == [message]


def test_the_first_frame_must_be_short() -> None:
    with pytest.raises(CodecError, match=f"1 to {HELLO_BYTES_MAX}"):
        Decoder().feed(encode(Hello(1, 2, 3, 4, (3,), (3,), "x" * HELLO_BYTES_MAX)))


def test_whoever_does_not_greet_first_is_refused() -> None:
    with pytest.raises(CodecError, match="does not greet"):
        Decoder().feed(encode(Commit(1, 2, 2)))


def test_a_peer_may_be_rejected_without_a_hello_or_after_one() -> None:
    rejected = Rejected("there are two servers with the id 3")
    assert Decoder().feed(encode(rejected)) == [rejected]
    assert Decoder().feed(encode(HELLO) + encode(rejected)) == [HELLO, rejected]


def test_a_second_hello_is_refused() -> None:
    with pytest.raises(CodecError, match="second time"):
        greeted().feed(encode(HELLO))


def test_the_longest_ensemble_fits_into_the_first_frame() -> None:
    every = tuple(range(1, 256))
    hello = Hello((1 << 64) - 1, (1 << 64) - 1, 255, (1 << 64) - 1, every, every, "x" * 300)
    assert Decoder().feed(encode(hello)) == [hello]


def test_a_hello_of_a_later_version_may_say_more() -> None:
    body = cbor2.dumps([2, 2, 3, 4, [3, 5], [3, 5, 7], "server 3", "something new"])
    frame = struct.pack(">IB", 1 + len(body), 1) + body
    assert Decoder().feed(frame) == [Hello(2, 2, 3, 4, (3, 5), (3, 5, 7), "server 3")]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(CodecError, match="kind 99"):
        greeted().feed(struct.pack(">IB", 1, 99))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (15, [1]),
        (15, [1, 2, 3]),
        (15, [1, None]),
        (15, [1, 2.0]),
        (15, [True, 2]),
        (15, {}),
        (5, [1, 2, 3, [[1]]]),
        (5, [1, 2, 3, [[1, 2, 3]]]),
        (5, [1, 2, 3, 4]),
        (17, [1, 2, ["a"]]),
        (2, [b"text"]),
        (3, [1, 2, 3, 4, 5, 6, 7, 1]),
    ],
)
def test_fields_that_do_not_fit_the_message_are_refused(kind: int, fields: object) -> None:
    body = cbor2.dumps(fields)
    with pytest.raises(CodecError):
        greeted().feed(struct.pack(">IB", 1 + len(body), kind) + body)


@pytest.mark.parametrize("kind", [8, 10, 13, 20])
@pytest.mark.parametrize("size", [0, 1, 7, 11])
def test_a_frame_shorter_than_its_fixed_header_is_refused(kind: int, size: int) -> None:
    with pytest.raises(CodecError):
        greeted().feed(struct.pack(">IB", 1 + size, kind) + bytes(size) + encode(Commit(1, 2, 2)))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_codec_errors(data: bytes) -> None:
    with suppress(CodecError):
        Decoder().feed(data)
    with suppress(CodecError):
        greeted().feed(data)


@settings(max_examples=200)
@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=200))
def test_random_bodies_raise_nothing_but_codec_errors(kind: int, body: bytes) -> None:
    with suppress(CodecError):
        greeted().feed(struct.pack(">IB", 1 + len(body), kind) + body)
