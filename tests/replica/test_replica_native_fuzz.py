"""Whatever a client of coord's own protocol sends: every server applies it without an exception, and answers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec import jute, native, native_rows
from coord.codec import opcodes as op
from coord.codec.calls import Call
from coord.codec.entries import decode_runs, encode_run
from coord.model.acl import OPEN_ACL
from coord.model.entries import Run
from coord.model.handshake import Goodbye
from coord.model.replies import Failed
from coord.model.requests import (
    Acknowledge,
    AtLeast,
    Authenticate,
    CheckCreated,
    CheckData,
    CheckExists,
    CheckVersion,
    ChildrenPage,
    CloseSession,
    CountDescendants,
    Create,
    CreateSession,
    Delete,
    DeleteTree,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    MultiRead,
    Ping,
    Request,
    SetAcl,
    SetData,
    Sync,
    Unwatch,
    Watch,
    WhoAmI,
)
from coord.replica.brain import CLIENT_WRITES
from coord.replica.native import NATIVE_ANSWERS
from coord.state.machine import WRITES, Machine
from coord.state.multi import STEPS
from coord.state.reads import READS
from coord.state.snapshot import Restoring
from tests.replica.native_client import native_client
from tests.replica.replica_world import World

SESSION = 5 << 56 | 1
CALLER = (("ip", "127.0.0.1"), ("digest", "ann:x"))

any_integers = st.integers(-(1 << 64), (1 << 64) - 1) | st.integers(-2, 8)
paths = st.text(max_size=8) | st.sampled_from(
    ["/", "/a", "/a/b", "/a/b/c", "/a/", "a", "", "/a//b", "/\0", "/zookeeper/quota/a", "/n-"]
)
data = st.none() | st.binary(max_size=20)
acls = (
    st.sampled_from([OPEN_ACL, None, (), ((31, "auth", ""),)])
    | st.lists(
        st.tuples(any_integers, st.sampled_from(["world", "digest", "ip", "x"]), st.text(max_size=9)), max_size=3
    ).map(tuple)
)  # fmt: skip
steps = st.one_of(
    st.builds(Create, paths, data, acls, any_integers, any_integers, st.booleans()),
    st.builds(Create, paths, data, st.just(OPEN_ACL), st.integers(0, 4), st.just(-1), st.booleans()),
    st.builds(Delete, paths, any_integers),
    st.builds(DeleteTree, paths, st.just(-1) | any_integers),
    st.builds(SetData, paths, data, st.just(-1) | any_integers),
    st.builds(SetAcl, paths, acls, st.just(-1) | any_integers),
    st.builds(CheckVersion, paths, any_integers),
    st.builds(CheckExists, paths, st.booleans()),
    st.builds(CheckCreated, paths, any_integers),
    st.builds(CheckData, paths, data),
)
writes = st.one_of(
    steps.filter(lambda step: type(step) in native.WRITE_CLASSES),
    steps.filter(lambda step: type(step) in native.WRITE_CLASSES),
    st.builds(Multi, st.lists(steps, max_size=5).map(tuple)),
)
others = st.one_of(
    *[st.builds(cls, paths) for cls in (Exists, GetData, GetAcl, GetChildren, GetEphemerals, CountDescendants)],
    st.builds(ChildrenPage, paths, paths, any_integers, st.booleans()),
    st.builds(Watch, any_integers, paths, st.booleans(), any_integers, any_integers, any_integers),
    st.builds(Unwatch, any_integers),
    st.builds(Authenticate, st.sampled_from(["digest", "ip", "x"]), st.binary(max_size=10)),
    st.builds(Acknowledge, st.integers(-1, 5)),
    st.builds(AtLeast, st.integers(-5, 5)),
    st.sampled_from([WhoAmI(), Ping(), Sync("/")]),
)


def made() -> Machine:
    machine = Machine()
    opened = Run(1, 1, 1, 0, 0, (), (CreateSession(SESSION, b"x" * 16, 10_000),))
    assert not isinstance(machine.apply(1, 1, opened, opened.requests[0], []), Failed)
    return machine


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(writes, st.integers(-1, 2), st.integers(0, 3)), min_size=1, max_size=15))
def test_every_write_is_carried_applied_answered_and_kept(sent: list[tuple[Request, int, int]]) -> None:
    machine, zxid = made(), 1
    first: dict[int, Request] = {}  # what was asked under each number: a client says again what it has said
    for fresh, step, behind in sent:
        applied = machine.sessions[SESSION].applied
        number = max(1, applied + step)
        request = first.get(number, fresh) if number <= applied else fresh
        if number == applied + 1:
            first[number] = request
        (call,) = native.decode_requests(native.encode_request(7, request, number))
        assert type(call.request) in CLIENT_WRITES
        run = Run(1, 1, zxid + 1, SESSION, number, CALLER, (call.request,), max(0, applied - behind))
        (decoded,) = decode_runs(encode_run(run))
        assert decoded == run
        zxid += 1
        reply = machine.apply(zxid, zxid, decoded, decoded.requests[0], [], number)
        (answer,) = native.decode_server_message(native.encode_reply(call, zxid, reply))
        assert isinstance(answer, native.Answer)
        if not answer.code:
            native.read_reply(call.request, answer)
    restoring, walk = Restoring(), machine.begin_walk()
    for chunk in iter(walk.next_chunk, None):
        restoring.add(chunk)
    assert restoring.finish().digest == machine.digest
    for path in machine.tree.nodes:  # and ZooKeeper's clients can be told of what it left
        for read in (GetData(path), GetAcl(path), GetChildren(path)):
            jute.encode_reply(Call(1, op.GET_CHILDREN_2, read), zxid, machine.read(CALLER, SESSION, read))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.one_of(writes, others, st.just(CloseSession())), min_size=1, max_size=6), max_size=4))
def test_every_request_is_answered_or_the_connection_ended_with_a_sentence(frames: list[list[Request]]) -> None:
    world = World()
    client, other = native_client(world), native_client(world)
    asked = 0
    for frame in frames:
        client.send(*frame)
        asked += sum(type(request) is not Acknowledge for request in frame)
        world.settle()
    if client.hung_up:
        assert client.of(Goodbye)[0].reason
    else:
        assert [answer.id for answer in client.answers] == list(range(1, asked + 1))
        for answer in client.answers:
            client.read(answer)
    assert other.do(Ping())


def test_the_tables_of_the_floors_know_the_same_requests() -> None:
    """To add an operation for these clients is a row in each."""
    assert native.WRITE_CLASSES <= CLIENT_WRITES <= WRITES.keys()
    assert set(native_rows.STEPS.values()) == STEPS.keys()
    reads = {cls for row, cls in native_rows.OTHERS.items() if row < 64}
    assert reads == READS.keys() - {MultiRead}
    at_once = {Acknowledge, AtLeast, Authenticate, Ping, Sync}
    assert set(native_rows.OTHERS.values()) - at_once <= NATIVE_ANSWERS.keys()
