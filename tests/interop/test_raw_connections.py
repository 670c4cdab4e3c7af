"""Connections and sessions: connecting, moving, pipelining, and what bad bytes get. Nobody else is ever disturbed."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from tools.ensembles import Ensemble
from tools.ensembles.ports import HOST
from tools.ensembles.resources import resident_bytes
from tools.ensembles.words import ask
from tools.wire import jute
from tools.wire.client import HungUpError, RawClient, SessionRefusedError
from tools.wire.jute import Op, Reader

HANG_UP_S = 60  # within which a server has to have closed a connection


@pytest.fixture
def stream(ensemble: Ensemble) -> Iterator[socket.socket]:
    """A bare connection to the first server."""
    with socket.create_connection((HOST, ensemble.members[1].client_port), HANG_UP_S) as stream:
        yield stream


@pytest.fixture(autouse=True)
def bystander(connect_raw: Callable[..., RawClient]) -> Iterator[RawClient]:
    """Someone else on the same server, who has to be served, on the same connection, after each test."""
    client = connect_raw()
    yield client
    client.ping()


def read_to_end(stream: socket.socket) -> bytes:
    """All that comes until the server closes; a reset is an end as well."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := stream.recv(65536):
            received += part
    return received


# ---- connecting


def test_the_session_and_its_password_are_given_in_the_answer(connect_raw: Callable[..., RawClient]) -> None:
    first, second = connect_raw(), connect_raw(2)
    for client in (first, second):
        assert client.session != 0
        assert len(client.password) == 16
        assert len(client.connect_reply) == 37
    assert first.session != second.session


def test_an_old_client_without_the_read_only_byte_is_served_and_gets_none(
    connect_raw: Callable[..., RawClient], root: str
) -> None:
    client = connect_raw(read_only=None)
    assert len(client.connect_reply) == 36
    client.sync(root)
    client.set(root, b"x")
    again = connect_raw(2, read_only=None, session=client.session, password=client.password)
    assert again.session == client.session


def test_a_client_that_accepts_read_only_service_is_served_fully(connect_raw: Callable[..., RawClient]) -> None:
    client = connect_raw(read_only=True)
    assert client.connect_reply[-1] == 0
    client.close_session()


def test_an_unknown_session_is_refused(connect_raw: Callable[..., RawClient]) -> None:
    with pytest.raises(SessionRefusedError):
        connect_raw(session=0x7FFF_FFFF_0000_0001, password=b"p" * 16)


def test_the_refusal_of_a_session_has_zeros_and_then_the_end(stream: socket.socket) -> None:
    stream.sendall(jute.connect_request(10_000, 0x7FFF_FFFF_0000_0001, b"p" * 16))
    answer = Reader(read_to_end(stream))
    size = answer.int32()
    assert size in (36, 37)
    assert (answer.int32(), answer.int32(), answer.int64(), answer.buffer()) == (0, 0, 0, bytes(16))


def test_a_wrong_password_is_refused_and_the_session_goes_on(connect_raw: Callable[..., RawClient]) -> None:
    owner = connect_raw()
    with pytest.raises(SessionRefusedError):
        connect_raw(2, session=owner.session, password=bytes(byte ^ 1 for byte in owner.password))
    owner.ping()
    owner.sync()


def test_a_closed_session_cannot_be_resumed(connect_raw: Callable[..., RawClient]) -> None:
    client = connect_raw()
    client.close_session()
    client.wait_hung_up()
    with pytest.raises(SessionRefusedError):
        connect_raw(session=client.session, password=client.password)


def test_who_has_seen_more_than_the_server_is_hung_up_on(ensemble: Ensemble, stream: socket.socket) -> None:
    stream.sendall(jute.connect_request(10_000, seen_zxid=(1 << 62)))
    assert read_to_end(stream) == b""


def test_closing_the_session_is_answered_before_the_connection_ends(connect_raw: Callable[..., RawClient]) -> None:
    client = connect_raw()
    client.close_session()
    with pytest.raises(HungUpError):
        client.receive()


def test_a_second_connection_of_a_session_ends_the_first_on_the_same_server(
    connect_raw: Callable[..., RawClient], root: str
) -> None:
    first = connect_raw(1)
    second = connect_raw(1, session=first.session, password=first.password)
    first.wait_hung_up()
    second.sync(root)
    second.set(root, b"x")


@pytest.mark.parametrize("to", ["follower", "leader"])
def test_a_session_that_moved_is_not_served_by_the_old_server(
    ensemble: Ensemble, connect_raw: Callable[..., RawClient], root: str, is_coord: bool, to: str
) -> None:
    """The old connection's write gets SESSIONMOVED (or just the end), and is not done."""
    if not is_coord:
        pytest.skip("ZooKeeper 3.8 mostly does so, but sometimes (one in ten here) takes the old server's write, too")
    old, *_ = followers = ensemble.followers()
    new = followers[1] if to == "follower" else ensemble.wait_leader()
    first = connect_raw(old)
    first.sync(root)
    second = connect_raw(new, session=first.session, password=first.password)
    second.sync(root)
    second.set(root, b"moved")
    with contextlib.suppress(HungUpError, BrokenPipeError):
        assert first.call(Op.SET_DATA, jute.set_data(root, b"never")).error == -118
        first.wait_hung_up()
    assert second.get(root)[0] == b"moved"
    second.ping()


# ---- pipelines


def test_a_thousand_requests_sent_at_once_are_answered_in_order(raw: RawClient, root: str) -> None:
    raw.create(f"{root}/a")
    frames = []
    for xid in range(1, 1001):
        body = (
            (Op.SET_DATA, jute.set_data(f"{root}/a", b"%d" % xid))
            if xid % 2
            else (Op.GET_DATA, jute.path_and_watch(f"{root}/a"))
        )
        frames.append(jute.request(xid, *body))
    raw.stream.sendall(b"".join(frames))
    for xid in range(1, 1001):
        reply = raw.receive_reply()
        assert (reply.xid, reply.error) == (xid, 0)
        if xid % 2 == 0:
            assert reply.reader().buffer() == b"%d" % (xid - 1)


def test_a_read_sees_the_write_that_was_sent_just_before_it(raw: RawClient, root: str) -> None:
    raw.stream.sendall(
        jute.request(101, Op.CREATE, jute.create(f"{root}/a", b"1"))
        + jute.request(102, Op.GET_DATA, jute.path_and_watch(f"{root}/a"))
        + jute.request(103, Op.SET_DATA, jute.set_data(f"{root}/a", b"2", 0))
        + jute.request(104, Op.GET_DATA, jute.path_and_watch(f"{root}/a"))
        + jute.request(105, Op.DELETE, jute.path_and_version(f"{root}/a", 1))
        + jute.request(106, Op.EXISTS, jute.path_and_watch(f"{root}/a"))
    )
    replies = [raw.receive_reply() for _ in range(6)]
    assert [(reply.xid, reply.error) for reply in replies] == [
        (101, 0),
        (102, 0),
        (103, 0),
        (104, 0),
        (105, 0),
        (106, -101),
    ]
    assert replies[1].reader().buffer() == b"1"
    assert replies[3].reader().buffer() == b"2"


def test_a_failed_write_in_a_pipeline_stops_nothing(raw: RawClient, root: str) -> None:
    raw.stream.sendall(
        jute.request(1, Op.CREATE, jute.create(f"{root}/a"))
        + jute.request(2, Op.CREATE, jute.create(f"{root}/a"))
        + jute.request(3, Op.CREATE, jute.create(f"{root}/b"))
        + jute.request(4, Op.GET_CHILDREN, jute.path_and_watch(root))
    )
    assert [raw.receive_reply().error for _ in range(3)] == [0, -110, 0]
    assert sorted(raw.receive_reply().as_only(Reader.strings)) == ["a", "b"]


def test_a_ping_does_not_overtake_what_was_sent_before_it(raw: RawClient, root: str) -> None:
    raw.stream.sendall(
        jute.request(1, Op.SET_DATA, jute.set_data(root, b"x"))
        + jute.request(jute.PING_XID, Op.PING)
        + jute.request(2, Op.GET_DATA, jute.path_and_watch(root))
    )
    assert [raw.receive_reply().xid for _ in range(3)] in ([1, jute.PING_XID, 2], [jute.PING_XID, 1, 2])
    raw.ping()


def test_a_request_that_comes_byte_by_byte_is_understood(raw: RawClient, root: str) -> None:
    raw.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in jute.request(7, Op.EXISTS, jute.path_and_watch(root)):
        raw.stream.sendall(bytes([byte]))
    assert raw.receive_reply().xid == 7


def test_requests_sent_right_behind_the_connect_request_are_served(stream: socket.socket) -> None:
    stream.sendall(jute.connect_request(10_000) + jute.request(1, Op.EXISTS, jute.path_and_watch("/")))
    received = b""
    while len(received) < 41 + 20 + 68:
        part = stream.recv(65536)
        assert part, "the server closed the connection"
        received += part
    assert struct.unpack_from("!iiqi", received, 41)[1] == 1


# ---- bytes that mean nothing


@pytest.mark.parametrize(
    "first",
    [
        struct.pack("!i", -1) + b"x" * 100,
        struct.pack("!i", 0x7FFF_FFFF) + b"x" * 100,
        struct.pack("!i", 2_000_000) + b"x" * 100,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        bytes(range(0x80, 0x100)),
    ],
    ids=["negative length", "greatest length", "two megabytes", "HTTP", "TLS", "noise"],
)
def test_a_connection_that_begins_with_garbage_is_hung_up_on(stream: socket.socket, first: bytes) -> None:
    stream.sendall(first)
    assert read_to_end(stream) == b""


@pytest.mark.parametrize("length", [-1, -(1 << 31), 0x7FFF_FFFF, 1_048_576 + 1024])
def test_an_impossible_length_ends_an_open_connection(raw: RawClient, length: int) -> None:
    raw.stream.sendall(struct.pack("!i", length) + b"x" * 64)
    raw.wait_hung_up()


def test_an_empty_frame_ends_the_connection(raw: RawClient) -> None:
    raw.stream.sendall(struct.pack("!i", 0))
    raw.wait_hung_up()


def test_what_was_asked_before_a_bad_frame_is_still_done(
    raw: RawClient, connect_raw: Callable[..., RawClient], root: str
) -> None:
    raw.stream.sendall(jute.request(1, Op.SET_DATA, jute.set_data(root, b"done")) + struct.pack("!i", -5))
    raw.wait_hung_up()
    other = connect_raw()
    deadline = time.monotonic() + HANG_UP_S
    while other.get(root)[0] != b"done":
        assert time.monotonic() < deadline
        other.sync(root)


@pytest.mark.parametrize("op", [0x7777, 99, -12, 1000])
def test_an_unknown_operation_is_answered_and_the_connection_ended(raw: RawClient, op: int) -> None:
    with contextlib.suppress(HungUpError):
        assert raw.call(op, b"body").error == -6
    raw.wait_hung_up()


def test_check_alone_is_no_operation(raw: RawClient, root: str, is_coord: bool) -> None:
    if not is_coord:
        pytest.skip("ZooKeeper 3.8.0 logs it, and then no follower can read the log: the ensemble is gone")
    with contextlib.suppress(HungUpError):
        assert raw.call(Op.CHECK, jute.path_and_version(root)).error == -6
    raw.wait_hung_up()


@pytest.mark.parametrize(
    ("op", "body"),
    [
        (Op.SET_DATA, b""),
        (Op.CREATE, jute.string("/a") + struct.pack("!i", 1000) + b"short"),
        (Op.CREATE, jute.string("/a") + jute.buffer(b"") + struct.pack("!i", 0x7FFF_FFFF)),
        (Op.DELETE, struct.pack("!i", 0x7FFF_FFFF)),
        (Op.DELETE, struct.pack("!i", -7)),
        (Op.GET_DATA, jute.string("/a")),
        (Op.MULTI, struct.pack("!i?i", 99, False, -1)),
        (Op.GET_CHILDREN, b"\x00"),
    ],
)
def test_a_body_that_cannot_be_read_is_answered_so(raw: RawClient, op: int, body: bytes) -> None:
    assert raw.call(op, body).error == -5
    raw.ping()


def test_bytes_that_make_no_text_are_no_path(raw: RawClient) -> None:
    """Java reads them as replacement characters, of which a path may hold none."""
    assert raw.call(Op.CREATE, jute.buffer(b"/\xff\xfe") + jute.create("")[4:]).error in (-8, -5)
    raw.ping()


def test_reconfig_is_refused_while_it_is_not_enabled(raw: RawClient) -> None:
    body = jute.string(None) + jute.string(None) + jute.string("server.1=x:1:2") + jute.int64(-1)
    assert raw.call(Op.RECONFIG, body).error == -123


def test_a_sasl_token_leads_nowhere(raw: RawClient, is_coord: bool) -> None:
    """Not set up, ZooKeeper answers it with a null token and no error; any error, or the end, is clearer."""
    with contextlib.suppress(HungUpError):
        reply = raw.call(Op.SASL, jute.buffer(b"token"))
        assert reply.error != 0 or (not is_coord and reply.body == jute.buffer(None))


@pytest.mark.parametrize(("scheme", "credentials"), [("nonsense", b"a:b"), ("", b"")])
def test_failed_authentication_is_told_and_the_connection_ended(
    raw: RawClient, scheme: str, credentials: bytes
) -> None:
    reply = raw.call(Op.AUTH, jute.auth(scheme, credentials), xid=jute.AUTH_XID)
    assert reply.error == -115
    raw.wait_hung_up()


def test_random_bytes_on_an_open_connection_disturb_nobody(connect_raw: Callable[..., RawClient]) -> None:
    for _ in range(20):
        client = connect_raw()
        noise = os.urandom(64)
        client.stream.sendall(jute.frame(noise) + noise)
        client.stream.shutdown(socket.SHUT_WR)
        client.wait_hung_up()


# ---- those who are slow


def test_half_a_frame_and_then_silence_is_not_waited_for_forever(
    connect_raw: Callable[..., RawClient], is_coord: bool
) -> None:
    if not is_coord:
        pytest.skip("ZooKeeper waits as long as the session's timeout lets it")
    client = connect_raw(wait_s=HANG_UP_S)
    client.stream.sendall(jute.request(1, Op.EXISTS, jute.path_and_watch("/"))[:10])
    client.wait_hung_up()


def test_a_connection_that_never_says_anything_is_hung_up_on(stream: socket.socket, is_coord: bool) -> None:
    if not is_coord:
        pytest.skip("ZooKeeper waits forever")
    assert read_to_end(stream) == b""


def test_half_a_connect_request_is_not_waited_for_forever(stream: socket.socket, is_coord: bool) -> None:
    if not is_coord:
        pytest.skip("ZooKeeper waits forever")
    stream.sendall(jute.connect_request(10_000)[:20])
    assert read_to_end(stream) == b""


def test_a_client_that_does_not_read_its_replies_costs_little_and_is_dropped(
    ensemble: Ensemble, connect_raw: Callable[..., RawClient], bystander: RawClient, root: str, is_coord: bool
) -> None:
    """Asks for a hundred megabytes and reads none of them, while another is served.

    ZooKeeper keeps all of it for as long as the session lives, so only the other client is looked at there.
    """
    greedy = connect_raw()
    greedy.sync(root)
    greedy.create(f"{root}/big", b"x" * 1_000_000)
    bystander.sync(root)
    before = resident_bytes(ensemble.pid(1))
    for _ in range(100 if is_coord else 30):
        greedy.send(Op.GET_DATA, jute.path_and_watch(f"{root}/big"))
        bystander.get(root)
    if not is_coord:
        return
    session = f"sid=0x{greedy.session & (1 << 64) - 1:x},"

    def dropped() -> bool:
        bystander.ping()
        assert resident_bytes(ensemble.pid(1)) - before < 40_000_000
        return session not in ask(ensemble.members[1].client_port, "cons")

    ensemble.wait_until(dropped, "the client that does not read to be dropped", HANG_UP_S)


def test_a_client_that_resets_its_connection_in_the_middle_disturbs_nobody(
    connect_raw: Callable[..., RawClient], root: str
) -> None:
    for _ in range(10):
        client = connect_raw()
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.stream.sendall(jute.request(1, Op.SET_DATA, jute.set_data(root, b"x")) * 50)
        client.stream.close()
