"""Snapshots: one exact moment, whatever happens while it is taken; and nothing but that is ever restored."""

from zlib import crc32

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.acl import OPEN_ACL
from coord.model.entries import Run
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    TTL,
    CloseSession,
    Create,
    CreateSession,
    Delete,
    Multi,
    RegisterServer,
    SetAcl,
    SetData,
)
from coord.state.machine import Machine
from coord.state.snapshot import Restoring, SnapshotError
from coord.state.walk import CHUNK_BYTES, END, FORMAT, HEADER, NUMBERS, SESSIONS, ZNODES
from tests.state.strategies import histories
from tests.state.world import PASSWORD, World, everything, numbers, restored, whole_digest


def chunks_of(machine: Machine, znodes_max: int = 1000) -> list[bytes]:
    walk = machine.begin_walk()
    return list(iter(lambda: walk.next_chunk(znodes_max), None))


def restore(restoring: Restoring, chunks: list[bytes]) -> None:
    for chunk in chunks:
        restoring.add(chunk)
    restoring.finish()


def sealed(*body: object) -> bytes:
    """A chunk whose crc is right, whatever it says."""
    encoded = cbor2.dumps(list(body))
    return crc32(encoded).to_bytes(4, "big") + encoded


@pytest.fixture
def full() -> World:
    """Something of everything."""
    world = World()
    world.open(2, origin=7)
    world.make("/a", "/a/b", "/a/null", data=None)
    world.make("/a/e", kind=EPHEMERAL, data=b"mine")
    world.make("/c", kind=CONTAINER)
    world.do(Create("/t", b"", OPEN_ACL, TTL, 5000))
    world.make("/acl", "/acl2", acl=((31, "ip", "10.1.2.3"), (1, "world", "anyone")))
    world.do(SetData("/a", b"second"))
    world.do(SetAcl("/a/b", ((1, "world", "anyone"),)))
    world.make("/zookeeper/quota/a")
    world.make("/zookeeper/quota/a/zookeeper_limits", data=b"count=2,bytes=-1=;countHardLimit=9")
    world.make("/zookeeper/quota/a/zookeeper_stats", data=b"")
    world.do(RegisterServer(7, 0xABCDEF, "seven"), session=0)
    world.machine.admit(Run(7, 1234, 50, 2, 0, (), ()))
    return world


@pytest.mark.parametrize("znodes_max", [1, 3, 1000])
def test_everything_comes_back(full, znodes_max):
    chunks = chunks_of(full.machine, znodes_max)
    machine = restored(chunks)
    assert everything(machine) == everything(full.machine)
    assert machine.digest == whole_digest(machine)
    assert everything(restored(chunks_of(machine))) == everything(full.machine)


def test_numbers_of_any_size_come_back(full):
    tree = full.machine.tree
    for size in (7, 31, 63):
        for number in (1 - (1 << size), -(1 << size), -(1 << size) - 1, (1 << size) - 1, 1 << size):
            tree.write("/a/b", tree.nodes["/a/b"], b"x", number, number, number)
            tree.set_acl("/a", tree.nodes["/a"], OPEN_ACL, number)
            assert everything(restored(chunks_of(full.machine))) == everything(full.machine)


def test_what_was_shared_is_shared_again(full):
    machine = restored(chunks_of(full.machine))
    assert machine.tree.nodes["/a"].acl is OPEN_ACL
    assert machine.tree.nodes["/acl"].acl is machine.tree.nodes["/acl2"].acl
    znode = machine.tree.nodes["/a/e"]
    assert znode.czxid is znode.mzxid is znode.pzxid
    assert znode.ctime is znode.mtime
    assert next(iter(machine.tree.nodes["/a"].children)) in machine.tree.nodes


def test_a_restored_machine_goes_on_like_the_original(full):
    machine = restored(chunks_of(full.machine))
    for zxid, request in enumerate((SetData("/a/e", b"x"), Create("/a/f", b"", OPEN_ACL), CloseSession()), 1000):
        for each in (machine, full.machine):
            each.apply(zxid, 5, full.run(request), request, [])
    assert everything(machine) == everything(full.machine)


def test_the_walk_shows_the_moment_of_its_beginning_though_all_is_changed_meanwhile(full):
    before = everything(full.machine)
    walk = full.machine.begin_walk()
    assert walk.zxid == full.zxid
    chunks = [walk.next_chunk(1), walk.next_chunk(1), walk.next_chunk(3)]
    full.do(Multi((Delete("/a/b"), Create("/a/b", b"another", OPEN_ACL), Create("/new", b"", OPEN_ACL))))
    full.do(SetData("/a/b", b"and again"))
    full.do(Multi((Delete("/a/null"), SetData("/acl", b"x"), Delete("/none"))))
    full.do(SetAcl("/acl2", OPEN_ACL))
    full.do(CloseSession(2, True), session=0)
    chunks.append(walk.next_chunk(2))
    full.do(SetData("/t", b"later"))
    full.do(Delete("/c"))
    full.do(Delete("/new"))
    chunks += iter(lambda: walk.next_chunk(2), None)
    assert everything(restored(chunks)) == before
    assert full.machine.digest == whole_digest(full.machine)


@settings(max_examples=150, deadline=None)
@given(histories, st.integers(0, 40), st.integers(1, 4), st.data())
def test_a_walk_among_random_writes_is_the_state_at_its_start(history, start, znodes_max, data):
    machine, copy = Machine(), Machine()
    entries = [(1, 0, CreateSession(1, PASSWORD, 1000)), *history]
    start = min(start, len(entries))

    def apply(to: Machine, index: int) -> None:
        origin, session, request = entries[index]
        number, acked = numbers(to, session, (None, 1, 1, 0)[index % 4], index % 5)
        to.apply(index + 1, index * 50, Run(origin, 0, 0, session, number, (), (), acked), request, [], number)

    for index in range(start):
        apply(machine, index)
        apply(copy, index)
    walk, chunks = machine.begin_walk(), []
    for index in range(start, len(entries)):
        for _ in range(data.draw(st.integers(0, 2), label="chunks before the next entry")):
            if (chunk := walk.next_chunk(znodes_max)) is not None:
                chunks.append(chunk)
        apply(machine, index)
    chunks += iter(lambda: walk.next_chunk(znodes_max), None)
    again = restored(chunks)
    assert everything(again) == everything(copy)
    for index in range(start, len(entries)):
        apply(again, index)
    assert everything(again) == everything(machine)


def test_nothing_is_saved_of_what_the_walk_has_seen_or_what_is_younger(full):
    walk = full.machine.begin_walk()
    for _ in range(3):
        walk.next_chunk()
    full.make("/new")
    full.do(SetData("/new", b"x"))
    full.do(SetData("/a", b"x"))
    full.do(Delete("/c"))
    assert full.machine.tree.saved == {}
    walk.cancel()


def test_there_is_one_walk_at_a_time_and_a_cancelled_one_leaves_nothing_behind(full):
    before = everything(full.machine)
    walk = full.machine.begin_walk()
    walk.next_chunk()
    full.do(SetData("/t", b"x"))
    with pytest.raises(AssertionError, match="under way"):
        full.machine.begin_walk()
    walk.cancel()
    walk.cancel()
    assert walk.next_chunk() is None
    assert full.machine.tree.saved is None
    full.do(SetData("/t", b""))
    chunks_of(full.machine)
    assert full.machine.tree.saved is None
    assert before["znodes"] != everything(full.machine)["znodes"]


def test_a_cancelled_walk_does_not_end_the_next_one(full):
    first = full.machine.begin_walk()
    first.cancel()
    second = full.machine.begin_walk()
    first.cancel()
    full.do(SetData("/t", b"changed"))
    chunks = list(iter(second.next_chunk, None))
    assert restored(chunks).tree.nodes["/t"].data == b""


def test_chunks_keep_to_their_size(world):
    for number in range(40):
        world.make(f"/n{number}", data=b"x" * 20_000)
    sizes = [len(chunk) for chunk in chunks_of(world.machine)]
    assert len(sizes) > 4
    assert max(sizes) < CHUNK_BYTES + 25_000


def test_many_sessions_take_several_chunks(world):
    for number in range(2, 4500):
        world.open(number)
    machine = restored(chunks_of(world.machine))
    assert everything(machine) == everything(world.machine)


# ---- what is refused


def refused(chunks: list[bytes]) -> str:
    with pytest.raises(SnapshotError) as caught:
        restored(chunks)
    return str(caught.value)


def test_a_snapshot_without_all_its_chunks_is_refused(full):
    chunks = chunks_of(full.machine, 3)
    for missing in range(len(chunks)):
        assert refused(chunks[:missing] + chunks[missing + 1 :])
    assert "end is missing" in refused(chunks[:-1])
    assert "header" in refused(chunks[1:])


def test_chunks_twice_in_another_order_or_after_the_end_are_refused(full):
    chunks = chunks_of(full.machine, 3)
    for index in range(len(chunks)):
        assert refused([*chunks[: index + 1], *chunks[index:]])
    assert refused([*chunks[:2], chunks[3], chunks[2], *chunks[4:]])
    assert "after its end" in refused([*chunks, chunks[1]])


def test_a_flipped_bit_is_refused_anywhere(full):
    chunks = chunks_of(full.machine)
    for number, chunk in enumerate(chunks):
        for position in range(0, len(chunk), 7):
            broken = bytearray(chunk)
            broken[position] ^= 4
            assert refused([*chunks[:number], bytes(broken), *chunks[number + 1 :]])


def test_another_format_is_named(full):
    kind, _, *rest = cbor2.loads(chunks_of(full.machine)[0][4:])
    assert "coord state 9" in refused([sealed(kind, "coord state 9", *rest)])


def test_a_state_that_does_not_have_the_recorded_digest_is_refused(full):
    kind, name, zxid, time_ms, digest, *rest = cbor2.loads(chunks_of(full.machine)[0][4:])
    header = sealed(kind, name, zxid, time_ms, digest ^ 1, *rest)
    middle = chunks_of(full.machine)[1:-1]
    crc = 0
    for chunk in (header, *middle):
        crc = crc32(chunk, crc)
    assert f"{digest:016x}" in refused([header, *middle, sealed(END, crc)])


HEAD = sealed(HEADER, FORMAT, 5, 5, 0, [], [], 1, 0)
ROW = (
    {"path": "/", "data": b""}
    | dict.fromkeys(NUMBERS, 0)
    | {"czxid": 1, "mzxid": 1, "pzxid": 1, "ctime": 1, "mtime": 1}
)


def row(**changed: object) -> bytes:
    """A chunk of one znode, each of whose columns holds one thing."""
    return sealed(ZNODES, [], *([value] for value in {**ROW, **changed}.values()))


def columns(**changed: object) -> bytes:
    """The same with whole columns changed."""
    return sealed(ZNODES, [], *{**{name: [value] for name, value in ROW.items()}, **changed}.values())


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"\0\0\0\0",
        sealed(),
        sealed(9),
        sealed("x"),
        sealed(HEADER),
        sealed(HEADER, FORMAT),
        HEAD,
        sealed(SESSIONS),
        sealed(SESSIONS, 5),
        sealed(SESSIONS, [[1, b"", 5, 5]]),
        sealed(SESSIONS, [[1, "text", 5, 5, 0, 0, []]]),
        sealed(SESSIONS, [["1", b"", 5, 5, 0, 0, []]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 0, 0, []], [1, b"", 5, 5, 0, 0, []]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, []]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 2, []]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, -1, [[5, [0]], [5, [0]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [["x", [0]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [[5, [9]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [[5, [1, [1, 2, 3]]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [[5, [2, b"/a", [0] * 11]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [[5, [3, "x", "y"]]]]]),
        sealed(SESSIONS, [[1, b"", 5, 5, 1, 0, [[5, [4, [[4, 5]]]]]]]),
        sealed(ZNODES),
        sealed(ZNODES, [], [[]]),
        sealed(ZNODES, [[1]], []),
        sealed(ZNODES, [[[1, 2, "x"]]], []),
        row(path=5),
        row(path="/a"),
        row(path="a"),
        row(path=""),
        row(data="text"),
        row(acl=1),
        row(acl=-1),
        row(acl=None),
        row(czxid="x"),
        row(mtime=1.5),
        row(version=None),
        row(ephemeral_owner=99),
        row(lifetime_ms=True),
        columns(path=["/", "/a"]),
        columns(path="/"),
        columns(data=[]),
        columns(data=None),
        columns(acl=None),
        columns(czxid=None),
        columns(mzxid=1),
        columns(ctime=False),
        columns(ctime=b""),
        columns(ctime=b"q1234567"),
        columns(ctime=b"q" + bytes(16)),
        columns(ctime=b"b12"),
        columns(ctime=b"d12345678"),
        columns(ctime=[1, 2]),
        columns(ctime={}),
        sealed(ZNODES, [], ["/"], [b""]),
        sealed(ZNODES, [], ["/"], [b""], *[[1]] * len(NUMBERS), 0),
        sealed(ZNODES, [], ["/", "/a", "/a"], [b""] * 3, *[0] * len(NUMBERS)),
        sealed(ZNODES, [], ["/", "/a/b"], [b""] * 2, *[0] * len(NUMBERS)),
        sealed(ZNODES, [], ["/", "a"], [b""] * 2, *[0] * len(NUMBERS)),
        sealed(ZNODES, [], ["/", "/a", "/"], [b""] * 3, *[0] * len(NUMBERS)),
        sealed(END),
        sealed(END, 1),
        sealed(END, "x"),
        sealed({}),
        sealed([[[[]]]]),
    ],
)
def test_nonsense_in_a_sound_chunk_is_refused_with_a_sentence(chunk):
    restoring = Restoring()
    restoring.add(HEAD)
    with pytest.raises(SnapshotError) as caught:
        restoring.add(chunk)
    assert len(str(caught.value)) > 20


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.booleans(), st.booleans())
def test_garbage_raises_snapshot_error_and_nothing_else(garbage, with_crc, after_header):
    restoring = Restoring()
    if after_header:
        restoring.add(HEAD)
    chunks = [crc32(body).to_bytes(4, "big") + body if with_crc else body for body in garbage]
    with pytest.raises(SnapshotError):
        restore(restoring, chunks)


def test_a_snapshot_that_says_it_has_more_is_refused(full):
    kind, name, *middle, znodes, sessions = cbor2.loads(chunks_of(full.machine)[0][4:])
    header = sealed(kind, name, *middle, znodes + 1, sessions)
    rest = chunks_of(full.machine)[1:-1]
    crc = 0
    for chunk in (header, *rest):
        crc = crc32(chunk, crc)
    assert "lacks 1 znodes" in refused([header, *rest, sealed(END, crc)])
