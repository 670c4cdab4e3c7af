"""The load generator against a pretended server at the other end of a socket pair: it must miss no mistake."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tools.bench.generator import Flow, Outcome, run
from tools.bench.loads import OPERATIONS, load, sets_among
from tools.wire import jute
from tools.wire.jute import Op

VALUE = b"v" * 100


@dataclass
class Pair:
    """The generator's flow, and the server's end of its connection."""

    flow: Flow
    server: socket.socket

    def requests(self) -> list[bytes]:
        """The frames that have come."""
        data, frames = self.server.recv(1 << 20), []
        while data:
            (size,) = struct.unpack_from("!i", data)
            frames.append(data[4 : 4 + size])
            data = data[4 + size :]
        return frames

    def reply(self, *xids: int, error: int = 0) -> None:
        """Answer as a server does; an error has no body."""
        for xid in xids:
            body = bytes(self.flow.ring.reply_bytes[xid - 1] - 20) if not error else b""
            self.server.sendall(jute.frame(jute.REPLY_HEADER.pack(xid, 7, error) + body))


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    operation, window = request.param
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield Pair(Flow(ours, load(operation, "/p", VALUE, window), window), theirs)


def with_flow(operation: str, window: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [(operation, window)], indirect=True, ids=[f"{operation} {window}"])


@with_flow("set", 4)
def test_a_window_leaves_in_one_go_and_the_ring_comes_round(pair: Pair) -> None:
    expected = [jute.request(xid, Op.SET_DATA, jute.set_data("/p", VALUE))[4:] for xid in (1, 2, 3, 4)]
    pair.flow.send(3, 0.0)
    assert pair.requests() == expected[:3]
    pair.flow.send(4, 0.0)
    assert pair.requests() == [expected[3], *expected[:3]]
    assert (pair.flow.sent, pair.flow.in_flight) == (7, 7)


@with_flow("create", 4)
def test_each_creation_has_a_path_of_its_own(pair: Pair) -> None:
    for first in (0, 3):
        pair.flow.send(3, 0.0)
        numbers = [f"/p/{number:010d}" for number in range(first, first + 3)]
        assert [frame[8:] for frame in pair.requests()] == [jute.create(path, VALUE) for path in numbers]


def test_sets_all_over_a_tree_come_to_each_znode_before_any_comes_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        pair = Pair(Flow(ours, sets_among("/p", 10, VALUE, 20), 20), theirs)
        pair.flow.send(20, 0.0)
        frames = [frame[8:] for frame in pair.requests()]
    assert set(frames[:10]) == {jute.set_data(f"/p/{number:010d}", VALUE) for number in range(10)}
    assert frames[10:] == frames[:10]


@with_flow("multi", 2)
def test_a_multi_sets_ten_znodes(pair: Pair) -> None:
    pair.flow.send(1, 0.0)
    parts = [(Op.SET_DATA, jute.set_data(f"/p/m{index}", VALUE)) for index in range(10)]
    assert pair.requests() == [jute.request(1, Op.MULTI, jute.multi(*parts))[4:]]


@with_flow("mix", 10)
def test_the_mix_has_one_set_in_ten(pair: Pair) -> None:
    pair.flow.send(10, 0.0)
    kinds = [struct.unpack_from("!ii", frame)[1] for frame in pair.requests()]
    assert kinds == [Op.GET_DATA] * 9 + [Op.SET_DATA]


@pytest.mark.parametrize("pair", [(operation, 10) for operation in OPERATIONS], indirect=True)
def test_replies_are_counted_as_they_come_in_whatever_pieces(pair: Pair) -> None:
    pair.flow.send(10, 0.0)
    pair.reply(1, 2, 3)
    assert pair.flow.receive() == 3
    whole = b"".join(
        jute.frame(jute.REPLY_HEADER.pack(xid, 7, 0) + bytes(pair.flow.ring.reply_bytes[xid - 1] - 20))
        for xid in (4, 5)
    )
    counts = []
    for cut in (whole[:3], whole[3:30], whole[30:-1], whole[-1:]):
        pair.server.sendall(cut)
        counts.append(pair.flow.receive())
    assert sum(counts) == 2
    assert counts[-1] == 1
    assert (pair.flow.in_flight, pair.flow.lost, pair.flow.error_codes) == (5, "", {})


@with_flow("set", 5)
def test_an_error_among_good_replies_is_counted(pair: Pair) -> None:
    pair.flow.send(5, 0.0)
    pair.reply(1, 2)
    pair.reply(3, error=-101)
    pair.reply(4, 5)
    assert pair.flow.receive() == 5
    assert pair.flow.error_codes == {-101: 1}
    assert pair.flow.lost == ""


@with_flow("set", 5)
def test_an_error_in_a_reply_of_the_usual_length_is_counted(pair: Pair) -> None:
    pair.flow.send(5, 0.0)
    pair.server.sendall(jute.frame(jute.REPLY_HEADER.pack(1, 7, -110) + bytes(jute.STAT.size)))
    assert pair.flow.receive() == 1
    assert pair.flow.error_codes == {-110: 1}


@with_flow("get", 5)
def test_a_reply_out_of_order_ends_the_flow(pair: Pair) -> None:
    pair.flow.send(5, 0.0)
    pair.reply(1, 3)
    assert pair.flow.receive() == 1
    assert "xid 3 came where 2 was next" in pair.flow.lost


@with_flow("get", 5)
def test_a_reply_of_a_wrong_length_ends_the_flow(pair: Pair) -> None:
    pair.flow.send(5, 0.0)
    pair.server.sendall(jute.frame(jute.REPLY_HEADER.pack(1, 7, 0) + b"short"))
    assert pair.flow.receive() == 0
    assert "25 bytes" in pair.flow.lost


@with_flow("get", 5)
def test_the_servers_hanging_up_is_noticed(pair: Pair) -> None:
    pair.flow.send(5, 0.0)
    pair.requests()
    pair.server.close()
    assert pair.flow.receive() == 0
    assert pair.flow.lost == "closed by the server"


@with_flow("get", 5)
def test_latencies_are_counted_from_the_sending_of_each_request(pair: Pair) -> None:
    pair.flow.send(2, 10.0)
    pair.flow.send(3, 11.0)
    found: list[tuple[float, int]] = []
    pair.flow.latencies(1, 12.0, found)
    pair.flow.latencies(3, 13.0, found)
    assert found == [(2.0, 1), (3.0, 1), (2.0, 2)]


def test_a_budget_is_kept_and_the_run_ends_when_it_is_spent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        flow = Flow(ours, load("set", "/p", VALUE, 5), 5, budget=3)
        for xid in (1, 2, 3):  # the answers are there already
            theirs.sendall(jute.frame(jute.REPLY_HEADER.pack(xid, 7, 0) + bytes(jute.STAT.size)))
        outcome = run([flow], seconds=60)
    assert (outcome.replies, outcome.errors, flow.sent) == (3, 0, 3)


def test_percentiles_are_weighted_by_replies() -> None:
    outcome = Outcome(latencies=[(0.5, 1), (0.1, 98), (0.9, 1)])
    assert outcome.percentiles(0.5, 0.98, 0.99, 1.0) == [0.1, 0.1, 0.5, 0.9]
    assert Outcome().percentiles(0.5) == [0.0]
