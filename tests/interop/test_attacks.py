"""Real servers under attack: what comes in is hostile or far too much, and a bystander must not notice.

These hold for coord alone; the original is not made to pass them.
"""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coord.codec import native
from coord.model.acl import OPEN_ACL
from coord.model.handshake import Greeting
from coord.model.requests import (
    CheckData,
    ChildrenPage,
    Create,
    DeleteTree,
    GetData,
    Multi,
    Request,
    SetData,
    Watch,
)
from tools.ensembles import CoordSoftware, Ensemble, Software
from tools.ensembles.ports import HOST
from tools.ensembles.resources import resident_bytes
from tools.ensembles.words import ask, lines_by_key
from tools.wire import jute
from tools.wire.client import HungUpError, RawClient
from tools.wire.jute import Op

pytestmark = pytest.mark.long(20)

PATIENCE_S = 60.0
"""Who has not answered by then hangs. How fast a server is under attack depends on the machine, and is not tested."""

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def attacked(software: Software, folder: Path) -> Iterator[Ensemble]:
    """Three servers that each test of this module leaves as it found them."""
    if software.name != "coord":
        pytest.skip("these attacks are on coord")
    options = ("--reply-timeout-s", "2", "--log-level", "debug")
    with Ensemble(CoordSoftware(options=options), folder / "attacked") as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        yield ensemble


@pytest.fixture(autouse=True)
def _no_defect_shows(attacked: Ensemble) -> Iterator[None]:
    """Whatever was done, the servers run and no exception stands in a log in the place of a sentence."""
    yield
    for id in attacked.members:
        assert attacked.is_running(id)
        text = attacked.log_text(id)
        for sign in ("Traceback", "unexpected error", "AssertionError"):
            assert sign not in text, text[text.index(sign) - 300 :][:1500]


@contextlib.contextmanager
def bystander(ensemble: Ensemble, server: int = 1) -> Iterator[list[float]]:
    """A client that writes and reads all the while; gives the times its answers took, and fails if one is missing."""
    latencies_s: list[float] = []
    failures: list[BaseException] = []
    stopping = threading.Event()

    def work(client: RawClient, path: str) -> None:
        try:
            number = 0
            while not stopping.is_set():
                number += 1
                began = time.monotonic()
                client.set(path, b"%d" % number)
                assert client.get(path)[0] == b"%d" % number
                latencies_s.append(time.monotonic() - began)
                time.sleep(0.005)
        except BaseException as error:
            failures.append(error)

    with RawClient(ensemble.members[server].client_port, wait_s=PATIENCE_S) as client:
        path = client.create("/bystander-", flags=2)
        thread = threading.Thread(target=work, args=(client, path), daemon=True)
        thread.start()
        try:
            yield latencies_s
            ends_s = time.monotonic() + PATIENCE_S
            while not latencies_s and not failures and time.monotonic() < ends_s:
                time.sleep(0.005)
        finally:
            stopping.set()
            thread.join(PATIENCE_S)
        assert not failures, failures
        assert latencies_s, f"the bystander got no answer within {PATIENCE_S} s after the attack"
        client.delete(path)
        client.close_session()


def hung_up_on(stream: socket.socket, within_s: float = PATIENCE_S) -> bool:
    """Read until the end; whether it comes in time."""
    stream.settimeout(within_s)
    try:
        while stream.recv(65_536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def wait_connections(ensemble: Ensemble, server: int, most: int) -> None:
    """Until the server has at most so many connections; the one that asks is among them."""
    port = ensemble.members[server].client_port

    def count() -> int:
        return int(lines_by_key(ask(port, "mntr"), "\t")["zk_num_alive_connections"])

    ensemble.wait_until(
        lambda: count() <= most, f"at most {most} connections", PATIENCE_S, lambda: f"there are {count()}"
    )


def mutated(rng: random.Random) -> bytes:
    """A plausible stream of requests with some of its bytes changed, cut or repeated."""
    stream = bytearray(jute.connect_request(5_000))
    for xid in range(rng.randrange(1, 12)):
        path = rng.choice(("/", "/a", "/zookeeper/quota", "/b/../c", "//", "a" * rng.randrange(300), "/\ud7ff\x00"))
        op = rng.choice([*(int(op) for op in Op), rng.randrange(-20, 2_000)])
        body = rng.choice(
            (
                jute.create(path, rng.randbytes(rng.randrange(50)), flags=rng.randrange(-1, 8)),
                jute.set_data(path, b"", rng.randrange(-2, 3)),
                jute.path_and_watch(path, True),
                jute.set_watches(rng.randrange(1 << 63), [path], [path], [path], [path], [path]),
                jute.multi((rng.randrange(-2, 30), jute.create(path)), (13, jute.path_and_version(path))),
                rng.randbytes(rng.randrange(100)),
            )
        )
        stream += jute.request(rng.choice((xid, -1, -2, -4, -8, 0, 1 << 30)), op, body)
    return damaged(rng, stream)


def mutated_native(rng: random.Random) -> bytes:
    """The same in coord's own protocol."""
    greeting = Greeting(1, 1, 0, 0, rng.choice((0, 0, 0, 77)), b"", 0, 5_000, 0, (), "an attack")
    stream = bytearray(native.PREAMBLE + native.encode_frame([native.encode_greeting(greeting)]))
    for id in range(rng.randrange(1, 12)):
        path = rng.choice(("/", "/a", "/zookeeper/quota", "/b/../c", "//", "a" * rng.randrange(300), "/\x00"))
        request: Request = rng.choice(
            (
                Create(path, rng.randbytes(rng.randrange(50)), OPEN_ACL, rng.randrange(-1, 8), -1, rng.random() < 0.5),
                SetData(path, b"", rng.randrange(-2, 3)),
                DeleteTree(path),
                Multi((Create(path, b"", OPEN_ACL), CheckData(path, b""), DeleteTree(path))),
                GetData(path),
                ChildrenPage(path, path, rng.randrange(-1, 20_000), True),
                Watch(id, path, rng.random() < 0.5, rng.randrange(40), -1, rng.choice((0, 1, 1 << 41))),
            )
        )
        stream += native.encode_frame([native.encode_request(id or 1, request, rng.choice((id or 1, 1 << 61)))])
    return damaged(rng, stream)


def damaged(rng: random.Random, stream: bytearray) -> bytes:
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(stream))
        fate = rng.randrange(3)
        if fate == 0:
            stream[at] = rng.randrange(256)
        elif fate == 1:
            del stream[at : at + rng.randrange(8)]
        else:
            stream[at:at] = rng.randbytes(rng.randrange(8))
    return bytes(stream)


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_bytes_on_both_ports_disturb_nobody(attacked: Ensemble, seed: int) -> None:
    rng = random.Random(seed)
    member = attacked.members[1]
    with bystander(attacked):
        for number in range(150):
            port = member.peer_port if number % 5 == 0 else member.client_port
            made = mutated_native if number % 5 == 4 else mutated
            data = rng.randbytes(rng.randrange(1, 400)) if number % 5 < 2 else made(rng)
            with socket.create_connection((HOST, port), 5) as stream, contextlib.suppress(ConnectionError):
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)
                assert hung_up_on(stream), (seed, number, data)


def test_two_thousand_connections_at_once_are_served_up_to_the_limit(attacked: Ensemble) -> None:
    address = (HOST, attacked.members[2].client_port)
    streams = []
    with bystander(attacked, server=2), contextlib.ExitStack() as stack:
        for _ in range(2_000):
            stream = stack.enter_context(socket.socket())
            stream.setblocking(False)
            stream.connect_ex(address)
            streams.append(stream)
        opened = refused = 0
        for stream in streams:
            stream.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionError):
                stream.sendall(jute.connect_request(10_000))
        for stream in streams:
            try:
                answered = len(stream.recv(100)) > 30
            except ConnectionError:
                answered = False
            opened += answered
            refused += not answered
        assert opened + refused == 2_000
        assert 990 <= opened <= 1_000  # per address; the bystander has one of them
    lines = [line for line in attacked.log_text(2).splitlines() if "connections_per_address_max" in line]
    assert 1 <= len(lines) <= 10


def test_a_flood_of_reads_of_a_large_znode_costs_bounded_memory(attacked: Ensemble) -> None:
    member = attacked.members[1]
    with RawClient(member.client_port) as client:
        client.create("/large", bytes(MEGABYTE))
        client.close_session()
    read = b"".join(jute.request(xid, Op.GET_DATA, jute.path_and_watch("/large")) for xid in range(1, 2_001))
    before = resident_bytes(attacked.pid(1))
    with bystander(attacked), contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(RawClient(member.client_port)) for _ in range(20)]
        for client in greedy:
            client.stream.sendall(read)
        for xid in range(1, 101):  # these two do read, and get everything in order
            for client in greedy[:2]:
                reply = client.receive_reply()
                assert (reply.xid, len(reply.body)) == (xid, MEGABYTE + 4 + jute.STAT.size)
                client.arrived.clear()
        assert resident_bytes(attacked.pid(1)) - before < 250 * MEGABYTE  # 20 clients asked for 40 GB
        wait_connections(attacked, 1, 2)  # the bystander, and who asks: the two have stopped reading as well


def test_a_flood_of_events_for_a_client_that_does_not_read_ends_it(attacked: Ensemble) -> None:
    member = attacked.members[1]
    before = resident_bytes(attacked.pid(1))
    with bystander(attacked), RawClient(member.client_port) as deaf, RawClient(member.client_port) as writer:
        deaf.call(Op.ADD_WATCH, jute.path_and_version("/", 1))
        long_name = "/" + "x" * 2_000
        writer.create(long_name)
        sets = b"".join(jute.request(xid, Op.SET_DATA, jute.set_data(long_name, b"")) for xid in range(1, 501))
        for _ in range(40):  # 20,000 events of 2 kB
            writer.stream.sendall(sets)
            for _ in range(500):
                assert writer.receive_reply().error == 0
            writer.arrived.clear()
        wait_connections(attacked, 1, 3)  # the bystander, the writer, and who asks
        assert hung_up_on(deaf.stream)
        writer.delete(long_name)
    assert resident_bytes(attacked.pid(1)) - before < 100 * MEGABYTE
    assert "is hung up on: it" in attacked.log_text(1)


def test_a_multi_as_long_as_a_frame_may_be_is_done_and_the_leader_stays(attacked: Ensemble) -> None:
    leader = attacked.leader()
    with bystander(attacked), RawClient(attacked.members[1].client_port) as client:
        parts = [(int(Op.CREATE), jute.create(f"/multi-{number}")) for number in range(15_000)]
        assert client.call(Op.MULTI, jute.multi(*parts)).error == 0
        assert client.exists("/multi-14999")
        removals = [(int(Op.DELETE), jute.path_and_version(f"/multi-{number}")) for number in range(15_000)]
        assert client.call(Op.MULTI, jute.multi(*removals)).error == 0
        client.close_session()
    assert attacked.leader() == leader


def test_thousands_of_connections_that_come_and_go_leave_nothing_open(attacked: Ensemble) -> None:
    member = attacked.members[3]
    files = Path(f"/proc/{attacked.pid(3)}/fd")
    if not files.is_dir():
        pytest.skip("this system shows no open files under /proc")
    before = len(list(files.iterdir()))
    rng = random.Random(3)
    with bystander(attacked, server=3):
        for number in range(1_000):
            with socket.socket() as stream:
                stream.connect((HOST, member.client_port))
                if number % 3:
                    stream.sendall(jute.connect_request(1_000)[: rng.randrange(60)])
                if number % 2:  # a reset instead of an end
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    attacked.wait_until(
        lambda: len(list(files.iterdir())) <= before + 1,
        "the files of those that have gone to be closed",
        PATIENCE_S,
        lambda: f"{len(list(files.iterdir()))} are open, {before} were before",
    )


def test_a_large_session_ends_without_an_election(attacked: Ensemble) -> None:
    leader = attacked.leader()
    assert leader is not None
    with bystander(attacked), RawClient(attacked.members[2].client_port) as client:
        client.stream.settimeout(PATIENCE_S)
        for start in range(0, 20_000, 500):
            client.stream.sendall(
                b"".join(
                    jute.request(xid, Op.CREATE, jute.create(f"/e-{xid}", flags=1)) for xid in range(start, start + 500)
                )
            )
            for _ in range(500):
                assert client.receive_reply().error == 0
            client.arrived.clear()
        client.close_session()
    with RawClient(attacked.members[1].client_port) as client:
        client.sync()
        assert not [name for name in client.children("/") if name.startswith("e-")]
        client.close_session()
    assert attacked.leader() == leader


def test_a_client_that_lies_about_its_xids_gets_them_back_and_no_more(attacked: Ensemble) -> None:
    with bystander(attacked), RawClient(attacked.members[1].client_port) as client:
        for xid in (0, -1 << 31, (1 << 31) - 1, 7, 7, -3, -2, -4, -8):
            reply_of: Callable[[], object] = client.receive_reply
            client.send(Op.EXISTS, jute.path_and_watch("/"), xid=xid)
            assert reply_of().xid == xid  # type: ignore[attr-defined]
        with pytest.raises(HungUpError):  # noqa: PT012  the answer comes first
            client.send(4_711, b"", xid=-2)
            assert client.receive_reply().error == -6
            client.receive()


def test_nobody_but_root_or_the_owner_may_read_the_data(attacked: Ensemble) -> None:
    for member in attacked.members.values():
        data = member.folder / "data"
        assert data.stat().st_mode & 0o077 == 0
        for name in data.rglob("*"):
            assert name.stat().st_mode & 0o077 == 0, name
