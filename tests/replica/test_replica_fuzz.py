"""Whatever a client sends, the way from its bytes through the log to the answer raises nothing.

An exception there would end a server, and the entry is in the log of all of them: each would end at it again.
"""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.entries import decode_runs, encode_run
from coord.codec.jute import decode_calls, encode_reply
from coord.model.acl import Identity
from coord.model.entries import Run
from coord.model.replies import Failed
from coord.model.requests import CreateSession
from coord.replica.brain import CLIENT_WRITES
from coord.state.machine import Machine
from coord.state.reads import READS
from tools.wire import jute
from tools.wire.jute import Op

SESSION, PASSWORD = 1, b"p" * 16
CALLER: tuple[Identity, ...] = (("ip", "10.0.0.1"), ("digest", "ann:x"))
FRAME_BYTES_MAX = 1 << 20

names = st.sampled_from(["a", "b", "c", "zookeeper", "quota", "config", "é", ".", "..", "", "a\0b", "zookeeper_limits"])
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts)) | st.text(max_size=8)
int32 = st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-2, 8)
int64 = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2, 8)
data = st.none() | st.binary(max_size=20) | st.sampled_from([b"count=1,bytes=1", b"count=-1", b"bytes=99999999999999"])
schemes = st.sampled_from(["world", "digest", "ip", "auth", "super", ""]) | st.text(max_size=5)
identifiers = st.sampled_from(["anyone", "ann:x", "10.0.0.0/8", "::/0", "1/99", ":"]) | st.text(max_size=8)
acls = st.sampled_from([None, [], jute.OPEN_ACL]) | st.lists(st.tuples(int32, schemes, identifiers), max_size=3)

creates = st.builds(jute.create, paths, data, acls, int32)
ttls = st.builds(jute.create_ttl, paths, data, int64, acls, int32)
versions = st.builds(jute.path_and_version, paths, int32)
sets = st.builds(jute.set_data, paths, data, int32)
steps = st.one_of(
    st.tuples(st.sampled_from([int(Op.CREATE), int(Op.CREATE2), int(Op.CREATE_CONTAINER)]), creates),
    st.tuples(st.just(int(Op.CREATE_TTL)), ttls),
    st.tuples(st.sampled_from([int(Op.DELETE), int(Op.CHECK)]), versions),
    st.tuples(st.just(int(Op.SET_DATA)), sets),
)
multis = st.lists(steps, max_size=5).map(lambda parts: jute.multi(*parts))
sound = st.one_of(
    steps,
    st.tuples(st.just(int(Op.SET_ACL)), st.builds(jute.set_acl, paths, acls, int32)),
    st.tuples(st.just(int(Op.MULTI)), multis),
    st.tuples(st.sampled_from([int(op) for op in Op]), st.builds(jute.path_and_watch, paths)),
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[int, bytes]:
    """An operation and its body; now and then with some bytes changed, cut off, or all of them random."""
    opcode, body = draw(sound)
    damage = draw(st.sampled_from(["none", "none", "change", "cut", "random"]))
    if damage == "change" and body:
        at = draw(st.integers(0, len(body) - 1))
        return opcode, body[:at] + draw(st.binary(min_size=1, max_size=4)) + body[at + 1 :]
    if damage == "cut":
        return opcode, body[: draw(st.integers(0, len(body)))]
    return opcode, draw(st.binary(max_size=60)) if damage == "random" else body


def made() -> Machine:
    """A state with one session and a few znodes."""
    machine = Machine()
    opened = Run(1, 1, 1, 0, 0, (), (CreateSession(SESSION, PASSWORD, 10_000),))
    assert not isinstance(machine.apply(1, 1, opened, opened.requests[0], []), Failed)
    return machine


@settings(max_examples=150, deadline=None)
@given(st.lists(bodies(), min_size=1, max_size=12))
def test_whatever_a_client_sends_is_carried_applied_and_answered_without_an_exception(
    sent: list[tuple[int, bytes]],
) -> None:
    machine, zxid = made(), 1
    for xid, (opcode, body) in enumerate(sent):
        frame = jute.request(xid, opcode, body)
        calls, taken = decode_calls(frame, FRAME_BYTES_MAX)
        assert taken == len(frame)
        for call in calls:
            kind = type(call.request)
            if kind in CLIENT_WRITES:
                run = Run(1, 1, zxid + 1, SESSION, 0, CALLER, (call.request,))
                (decoded,) = decode_runs(encode_run(run))
                assert decoded == run
                zxid += 1
                reply = machine.apply(zxid, zxid, decoded, decoded.requests[0], [])
            elif kind in READS:
                reply = machine.read(CALLER, SESSION, call.request)
            else:
                continue
            answer = encode_reply(call, zxid, reply)
            assert struct.unpack_from(">iiq", answer) == (len(answer) - 4, xid, zxid)
