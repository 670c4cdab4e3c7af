"""Runs of writes as CBOR."""

from contextlib import suppress
from dataclasses import fields

import cbor2
import pytest
from codec_strategies import runs
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec import entries
from coord.codec.entries import DECODERS, ENCODERS, ROWS, decode_runs, encode_run
from coord.codec.errors import CodecError
from coord.model.acl import ANYONE, OPEN_ACL
from coord.model.entries import Run
from coord.model.requests import ClientWrite, Create, Delete, Multi, ServerWrite, SetAcl, SetData

IDENTITIES = (ANYONE, ("ip", "127.0.0.1"))


def run_of(*requests: object) -> Run:
    return Run(1, 2, 3, 4, 5, IDENTITIES, requests)  # type: ignore[arg-type]


@settings(max_examples=150)
@given(st.lists(runs, max_size=4))
def test_runs_come_back_as_they_were_written(written: list[Run]) -> None:
    assert decode_runs(b"".join(map(encode_run, written))) == written


@settings(max_examples=50)
@given(runs)
def test_a_run_is_one_plain_cbor_item(run: Run) -> None:
    """What is encoded by hand is what cbor2 reads, and no shorter or longer."""
    item = cbor2.loads(encode_run(run))
    assert item[:6] == [run.origin, run.incarnation, run.sequence, run.session, run.number, run.acked]
    assert tuple(map(tuple, cbor2.loads(item[6]))) == run.identities
    numbers = [number for request in run.requests for number, cls in ROWS.items() if cls is type(request)]
    if len(numbers) > 1 and {*numbers} in ({1}, {2}, {3}):
        assert item[7][0] == numbers[0]
        assert len(item[7]) == 1 + len(numbers) * len(fields(run.requests[0]))
    else:
        assert [request[0] for request in item[7]] == numbers


def test_the_bytes_of_a_run_are_these() -> None:
    """Logs hold them: a change here needs another version in the batch's header."""
    run = Run(1, 300, 3, -4, 0, (ANYONE,), (SetData("/a", b"x", -1), Create("/b", None, OPEN_ACL), Delete("/c", 7)))
    assert encode_run(run) == bytes.fromhex(
        "88 01 19012c 03 23 00 00"  # origin, incarnation, sequence, session, number, acked
        "4f 81 82 65 776f726c64 66 616e796f6e65"  # 15 bytes: [["world", "anyone"]]
        "83"  # three requests
        "84 03 62 2f61 41 78 20"
        "87 01 62 2f62 f6 00 00 20 f4"
        "83 02 62 2f63 07"
    )


def test_requests_alike_stand_in_one_array() -> None:
    sets = (SetData("/a", b"x", -1), SetData("/b", None, 7))
    encoded = bytes.fromhex("87 03 62 2f61 41 78 20 62 2f62 f6 07")
    assert encode_run(run_of(*sets)).endswith(encoded)
    assert encode_run(run_of(Multi(sets))).endswith(b"\x81\x82\x06" + encoded)
    assert encode_run(run_of(Multi(sets[:1]))).endswith(bytes.fromhex("81 82 06 81 84 03 62 2f61 41 78 20"))
    creates = (Create("/a", b"x", OPEN_ACL), Create("/b", b"y", OPEN_ACL, 1, -1, True))
    assert encode_run(run_of(*creates)).endswith(
        bytes.fromhex("8d 01 62 2f61 41 78 00 00 20 f4 62 2f62 41 79 00 01 20 f5")
    )
    deletes = (Delete("/a", 7), Delete("/b"))
    assert encode_run(run_of(*deletes)).endswith(bytes.fromhex("85 02 62 2f61 07 62 2f62 20"))
    other = Create("/c", None, ((1, "ip", "10.0.0.1"),), 5, 1000)
    for requests in (
        *(sets, creates, deletes, (*creates, other), (other, other), (Create("/d", b"", None),) * 2),
        *((*sets, *deletes), (*creates, *sets), sets[:1], creates[:1], deletes[:1]),
    ):
        assert decode_runs(encode_run(run_of(*requests))) == [run_of(*requests)]
        assert decode_runs(encode_run(run_of(Multi(requests)))) == [run_of(Multi(requests))]


def test_an_open_acl_is_the_shared_object_in_requests_alike_too() -> None:
    (run,) = decode_runs(encode_run(run_of(*[Create("/a", b"x", ((31, "world", "anyone"),))] * 2)))
    assert [create.acl is OPEN_ACL for create in run.requests] == [True, True]  # type: ignore[union-attr]


def test_requests_alike_that_stand_each_in_an_array_are_read_as_well() -> None:
    """So logs of before have them."""
    body = cbor2.dumps([1, 2, 3, 4, 5, 0, cbor2.dumps([]), [SET, SET]])
    assert decode_runs(body)[0].requests == (SetData("/a", b"x", -1),) * 2


@pytest.mark.parametrize(
    "requests",
    [
        [3],
        [3, "/a", b"x"],
        [3, "/a", b"x", -1, "/b"],
        [3, "/a", b"x", -1, "/b", b"y", None],
        [3, "/a", b"x", -1, b"/b", b"y", -1],
        [3, "/a", b"x", -1, "/b", "y", -1],
        [3, "/a", b"x", True, "/b", b"y", -1],
        [3.0, "/a", b"x", -1, "/b", b"y", -1],
        [True, "/a", b"x", 0, 0, -1, False, "/b", b"x", 0, 0, -1, False],
        [1, "/a", b"x", 0, 0, -1, False],
        [1, "/a", b"x", 0, 0, -1, False, "/b", b"x", 1, 0, -1, False],
        [1, "/a", b"x", 0, 0, -1, False, "/b", b"x", 0, 0, -1, 0],
        [2, "/a", -1],
        [2, "/a", -1, "/b", -1, "/c"],
        [2, "/a", -1, "/b", None],
        [4, "/a", 0, -1, "/b", 0, -1],
        [6, [], []],
        [99, "/a", -1, "/b", -1],
        [3, [3, "/a", b"x", -1]],
        [3, [3], [3], [3]],
    ],
    ids=repr,
)
def test_an_array_of_requests_alike_that_does_not_hold_the_fields_of_each_is_refused(requests: list[object]) -> None:
    for each in (requests, [[6, requests]]):
        with pytest.raises(CodecError):
            decode_runs(cbor2.dumps([1, 2, 3, 4, 5, 0, cbor2.dumps([]), each]))


def test_every_write_has_one_row() -> None:
    writes = set(ClientWrite.__args__) | set(ServerWrite.__args__)
    assert set(ROWS.values()) == writes == set(ENCODERS)
    assert len(ROWS) == len(writes) == len(DECODERS)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65535, 65536, 1 << 20])
def test_text_and_bytes_of_every_length_of_length_come_back(length: int) -> None:
    run = run_of(
        SetData("p" * length, b"d" * length), Create("é" * length, b"d" * length, OPEN_ACL), Delete("p" * length)
    )
    assert decode_runs(encode_run(run)) == [run]


def test_a_run_of_very_many_requests_comes_back() -> None:
    run = run_of(*[Delete(f"/{n}") for n in range(70_000)])
    assert decode_runs(encode_run(run)) == [run]


def test_equal_identities_and_open_acls_are_shared_objects() -> None:
    body = encode_run(run_of(Create("/a", b"", ((31, "world", "anyone"),)))) * 2
    first, second = decode_runs(body)
    assert first.identities is second.identities
    request = first.requests[0]
    assert isinstance(request, Create)
    assert request.acl is OPEN_ACL


def test_an_open_acl_written_at_length_is_read_as_the_shared_one() -> None:
    body = cbor2.dumps([1, 2, 3, 4, 5, 0, cbor2.dumps([]), [[4, "/a", [[31, "world", "anyone"]], -1]]])
    (request,) = decode_runs(body)[0].requests
    assert isinstance(request, SetAcl)
    assert request.acl is OPEN_ACL


def test_the_memory_of_identities_is_bounded() -> None:
    many = entries.IDENTITIES_KEPT_MAX + 10
    for n in range(many):
        decode_runs(encode_run(Run(1, 2, 3, 4, 5, (("digest", f"user{n}"),), ())))
    assert len(entries._known_identities) <= entries.IDENTITIES_KEPT_MAX
    assert len(entries._known_heads) <= entries.IDENTITIES_KEPT_MAX
    long = (("digest", "x" * entries.IDENTITIES_KEPT_BYTES_MAX),)
    assert decode_runs(encode_run(Run(1, 2, 3, 4, 5, long, ())))[0].identities == long
    assert long not in entries._known_heads


def test_an_empty_body_holds_no_runs() -> None:
    assert decode_runs(b"") == []


SET = [3, "/a", b"x", -1]


def body_of(request: object) -> bytes:
    return cbor2.dumps([1, 2, 3, 4, 5, 0, cbor2.dumps([]), [request]])


def test_the_plain_request_that_the_next_test_damages_is_legal() -> None:
    assert decode_runs(body_of(SET))[0].requests == (SetData("/a", b"x", -1),)


@pytest.mark.parametrize(
    "request_",
    [
        [],
        None,
        7,
        "text",
        {3: 4},
        [0, "/a", b"x", -1],
        [99, "/a", b"x", -1],
        [3.0, "/a", b"x", -1],
        [True, "/a", b"x", 0, 0, -1],
        [[3], "/a", b"x", -1],
        [3, "/a", b"x"],
        [3, "/a", b"x", -1, 0],
        [3, b"/a", b"x", -1],
        [3, "/a", "x", -1],
        [3, "/a", b"x", None],
        [3, "/a", b"x", 1.0],
        [3, "/a", b"x", True],
        [3, "/a", b"x", 1 << 64],
        [1, "/a", b"x", 1, 0, -1, False],
        [1, "/a", b"x", False, 0, -1, False],
        [1, "/a", b"x", 0, 0, -1, 0],
        [1, "/a", b"x", 0, 0, -1],
        [1, "/a", b"x", [[31, "world"]], 0, -1, False],
        [1, "/a", b"x", [31, "world", "anyone"], 0, -1, False],
        [1, "/a", b"x", 0, "0", -1, False],
        [1, "/a", b"x", 0, 0],
        [2, "/a"],
        [2, None, 1],
        [5, "/a"],
        [5, "/a", "1"],
        [6],
        [6, SET],
        [6, [[6, []]]],
        [6, [[]]],
        [8, 1, 0],
        [9, 1, "password", 5],
        [12, 1, 2],
    ],
    ids=repr,
)
def test_a_request_that_does_not_fit_its_row_is_refused(request_: object) -> None:
    with pytest.raises(CodecError):
        decode_runs(body_of(request_))


@pytest.mark.parametrize(
    "item",
    [
        [1, 2, 3, 4, 5, 0, b"\x80"],
        [1, 2, 3, 4, 5, 0, b"\x80", [], 8],
        [1, 2, 3, 4, 5, None, b"\x80", []],
        [1, 2, 3, 4, 5, True, b"\x80", []],
        [1, 2, 3, 4, 5, 0, [], []],
        [1, 2, 3, 4, 5, 0, b"", []],
        [1, 2, 3, 4, 5, 0, b"\x01", []],
        [1, 2, 3, 4, 5, 0, cbor2.dumps([["a"]]), []],
        [1, 2, 3, 4, 5, 0, cbor2.dumps([["a", 1]]), []],
        [1, 2, 3, 4, 5, 0, cbor2.dumps([]) * 2, []],
        [1, 2, 3, 4, 5, 0, b"\x80", {}],
        {"a": 1},
        5,
    ],
    ids=repr,
)
def test_a_run_that_is_not_eight_things_of_their_types_is_refused(item: object) -> None:
    with pytest.raises(CodecError):
        decode_runs(cbor2.dumps(item))


@pytest.mark.parametrize(
    "body",
    [
        b"\x9b" + b"\xff" * 8,  # a list of 2**64 - 1
        b"\x5b\x7f" + b"\xff" * 7,  # bytes of 2**63 - 1
        b"\x7b\x7f" + b"\xff" * 7,  # text of as much
        b"\x81" * 100_000,
        b"\x9f" * 100_000,
        b"\xff",
        b"\xff\x00",
        b"\xff" + encode_run(run_of(Delete("/a"))),  # an end, and more after it
        encode_run(run_of(Delete("/a"))) + b"\xff" + encode_run(run_of(Delete("/b"))),
        encode_run(run_of(Delete("/a")))[:-1],
        encode_run(run_of(Delete("/a"))) + b"\x00",
        b"\xc2\x41\x01",  # a tagged number
        b"\xd8\x23\x61(",  # a tagged regular expression
        b"\xd9\xd9\xf7" + encode_run(run_of(Delete("/a"))),
        b"\xf9\x7e\x00",
        b"\xf7",
        b"\x61\xff",
    ],
)
def test_hostile_cbor_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode_runs(body)


@settings(max_examples=150)
@given(st.binary(max_size=100))
def test_random_bytes_raise_nothing_but_codec_errors(body: bytes) -> None:
    with suppress(CodecError):
        decode_runs(body)


@settings(max_examples=150)
@given(runs, st.integers(0, 1 << 16), st.integers(0, 255))
def test_a_changed_byte_raises_nothing_but_codec_errors(run: Run, position: int, byte: int) -> None:
    body = bytearray(encode_run(run))
    body[position % len(body)] = byte
    with suppress(CodecError):
        decode_runs(bytes(body))


def test_a_multi_inside_a_multi_is_not_written() -> None:
    with pytest.raises(AssertionError, match="multi inside a multi"):
        encode_run(run_of(Multi((Multi(()),))))


def test_a_number_beyond_64_bits_is_not_written() -> None:
    with pytest.raises(AssertionError, match="64 bits"):
        encode_run(run_of(Delete("/a", 1 << 64)))
