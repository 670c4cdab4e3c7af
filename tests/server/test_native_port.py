"""coord's own protocol through the whole server, in memory: side by side with ZooKeeper's, and under attack."""

import random
from contextlib import suppress

import cbor2
import pytest
import trio
import trio.lowlevel
from memory_ensemble import memory_ensemble
from memory_native import MemoryNative, dial_native, native_client

from coord.codec import native
from coord.model.acl import OPEN_ACL
from coord.model.errors import BadArgumentsError
from coord.model.handshake import MALFORMED, SESSION_UNKNOWN, Goodbye, Refusal
from coord.model.replies import DATA_CHANGED, NODE_CREATED, Created, DataReply, Done, Written
from coord.model.requests import (
    PERSISTENT_SEQUENTIAL,
    Create,
    Delete,
    GetData,
    Ping,
    SetData,
    Sync,
    Watch,
)
from tools.wire import jute
from tools.wire.jute import Op

Clock = trio.testing.MockClock


def create(path: str, data: bytes = b"", kind: int = 0) -> Create:
    return Create(path, data, OPEN_ACL, kind)


# ---- what it is for


async def test_clients_of_both_protocols_see_each_others_znodes_and_watch_each_other(autojump_clock: Clock) -> None:
    async with memory_ensemble(3) as ensemble:
        plain = await ensemble.client(1)
        ours, _ = await native_client(ensemble, 2)
        assert await ours.do(Watch(1, "/a", False, 14)) == [Done()]
        await plain.create("/a", b"from there")
        await ours.do(Sync("/"))
        (read,) = await ours.do(GetData("/a"))
        assert isinstance(read, DataReply)
        assert read.data == b"from there"
        assert [(event.kind, event.path) for event in ours.events] == [(NODE_CREATED, "/a")]
        await plain.call(Op.GET_DATA, jute.path_and_watch("/a", watch=True))
        (written,) = await ours.do(SetData("/a", b"from here"))
        assert isinstance(written, Written)
        await plain.sync()
        assert await plain.get("/a") == b"from here"
        assert [(event.kind, event.path) for event in plain.events] == [(DATA_CHANGED, "/a")]


async def test_pipelined_writes_survive_the_crash_of_their_server_and_of_the_leader_each_done_once(
    autojump_clock: Clock,
) -> None:
    async with memory_ensemble(3, seed=4) as ensemble:
        leader = await ensemble.wait_leader()
        mine = next(server for server in ensemble.servers if server != leader)
        spare = next(server for server in ensemble.servers if server not in (leader, mine))
        client, welcome = await native_client(ensemble, mine, timeout_ms=60_000)
        await client.do(create("/q"))
        writes = [create("/q/n-", b"%d" % n, PERSISTENT_SEQUENTIAL) for n in range(400)]
        await client.send(*writes)
        paths = [(await client.answer()).path for _ in range(100)]  # type: ignore[union-attr]
        ensemble.crash(mine)
        done = 1 + len(paths)
        ensemble.crash(leader)
        await ensemble.restart(mine)
        again = await dial_native(ensemble, spare)
        welcome = await again.open(welcome.session, welcome.password, 60_000)
        assert done <= welcome.applied <= 401
        again.number = done
        await again.send(*writes[len(paths) :])
        paths += [(await again.answer()).path for _ in writes[len(paths) :]]  # type: ignore[union-attr]
        assert paths == [f"/q/n-{n:010d}" for n in range(400)]
        (children,) = await again.do(GetData("/q/n-0000000399"))
        assert isinstance(children, DataReply)
        assert children.data == b"399"


async def test_a_session_goes_on_on_another_server_with_its_watches_told_what_they_missed(
    autojump_clock: Clock,
) -> None:
    async with memory_ensemble(3) as ensemble:
        client, welcome = await native_client(ensemble, 1)
        writer, _ = await native_client(ensemble, 3)
        await client.do(create("/a"), Watch(1, "/a", True, 14))
        seen = max(each.zxid for each in client.said if isinstance(each, native.Answer))
        client.stream.close()
        await writer.do(SetData("/a", b"1"), create("/a/b"), Delete("/a/b"))
        again = await dial_native(ensemble, 2)
        await again.open(welcome.session, welcome.password)
        await again.do(Sync("/"), Watch(1, "/a", True, 14, -1, seen))
        assert [(event.kind, event.path) for event in again.events] == [(3, "/a"), (1, "/a/b"), (2, "/a/b")]


async def test_a_restarted_server_can_tell_what_happened_before(autojump_clock: Clock) -> None:
    async with memory_ensemble(1) as ensemble:
        writer, _ = await native_client(ensemble)
        (made,) = await writer.do(create("/a"))
        assert isinstance(made, Created)
        await writer.do(SetData("/a", b"1"), SetData("/a", b"2"))
        ensemble.crash(1)
        await ensemble.restart(1)
        client, _ = await native_client(ensemble)
        await client.do(Watch(1, "/a", False, 14, -1, made.stat.czxid))
        assert [event.kind for event in client.events] == [DATA_CHANGED, DATA_CHANGED]


async def test_a_frame_may_hold_many_requests_and_come_in_any_pieces(autojump_clock: Clock) -> None:
    async with memory_ensemble(1) as ensemble:
        client, _ = await native_client(ensemble)
        messages = [native.encode_request(n, create(f"/{n}"), n) for n in range(1, 101)]
        stream = native.encode_frame(messages[:50]) + native.encode_frame(messages[50:])
        client._asked = {n: create("/") for n in range(1, 101)}
        rng = random.Random(1)
        while stream:
            size = rng.choice((1, 3, 7, 500))
            await client.stream.send_all(stream[:size])
            stream = stream[size:]
            await trio.lowlevel.checkpoint()
        assert [(await client.answer()).path for _ in range(100)] == [f"/{n}" for n in range(1, 101)]  # type: ignore[union-attr]


# ---- attacks


@pytest.mark.parametrize("size", range(7))
async def test_half_a_greeting_has_the_handshakes_deadline(autojump_clock: Clock, size: int) -> None:
    async with memory_ensemble(1, handshake_timeout_s=10.0) as ensemble:
        client = await dial_native(ensemble)
        began = trio.current_time()
        if size:
            await client.stream.send_all((native.PREAMBLE + bytes(4))[:size])
        assert await client.ended() is None
        assert 10 <= trio.current_time() - began < 11.1


@pytest.mark.parametrize(
    "greeting",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\1\0\1",
        b"\0\0\0\1\xff",
        b"\0\0\0\1\x80",
        native.encode_frame([cbor2.dumps([1, 1, 0, 0, 0, b"", 0, 4000, 0, []])]),
        native.encode_frame([cbor2.dumps([1, 1, 0, 0, 0, "secret", 0, 4000, 0, [], "name"])]),
        native.encode_frame([cbor2.dumps([1, 1, 0, 0, 0, b"", 0, 4000, 0, [["digest"]], "name"])]),
        native.encode_frame([cbor2.dumps({"hello": 1})]),
        native.encode_frame([cbor2.dumps([1, 1, 0, 0, 0, b"", 0, 4000, 0, [], "name"]) * 2]),
    ],
    ids=repr,
)
async def test_a_greeting_that_cannot_be_read_is_refused(autojump_clock: Clock, greeting: bytes) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await dial_native(ensemble)
        await client.stream.send_all(native.PREAMBLE + greeting)
        ended = await client.ended()
        assert isinstance(ended, Refusal)
        assert ended.code == MALFORMED
        assert len(ended.reason) > 20
        assert not ensemble.replicas[1].clients.pipelines


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\xff",
        native.encode_frame([cbor2.dumps([1, 255])]),
        native.encode_frame([cbor2.dumps([1, 3, 1, "/a", "text", -1])]),
        native.encode_frame([cbor2.dumps([1, 33, "/"]), cbor2.dumps([])]),
        native.encode_frame([cbor2.dumps([0, 67, 1])]),
        native.encode_frame([b"\xd8\x20\x61a"]),
    ],
    ids=repr,
)
async def test_what_cannot_be_read_gets_a_goodbye_that_says_why(autojump_clock: Clock, sent: bytes) -> None:
    async with memory_ensemble(1) as ensemble:
        client, welcome = await native_client(ensemble)
        await client.stream.send_all(sent)
        ended = await client.ended()
        assert isinstance(ended, Goodbye)
        assert ended.code == MALFORMED
        assert len(ended.reason) > 20
        assert welcome.session in ensemble.replicas[1].machine.sessions
        assert isinstance((await (await native_client(ensemble))[0].do(Ping()))[0], Done)


async def test_a_wrong_secret_is_refused_and_the_session_lives(autojump_clock: Clock) -> None:
    async with memory_ensemble(1) as ensemble:
        client, welcome = await native_client(ensemble)
        thief = await dial_native(ensemble)
        await thief.greet(welcome.session, bytes(16))
        ended = await thief.ended()
        assert isinstance(ended, Refusal)
        assert ended.code == SESSION_UNKNOWN
        assert isinstance((await client.do(create("/a")))[0], Created)


async def test_a_gap_in_the_numbers_is_an_error_and_not_the_end(autojump_clock: Clock) -> None:
    async with memory_ensemble(1) as ensemble:
        client, _ = await native_client(ensemble)
        client.number = 7
        assert isinstance((await client.do(create("/a")))[0], BadArgumentsError)
        client.number = 0
        assert isinstance((await client.do(create("/a")))[0], Created)


async def test_a_frame_that_is_longer_than_allowed_is_refused_at_its_length(autojump_clock: Clock) -> None:
    async with memory_ensemble(1, frame_bytes_max=1 << 20) as ensemble:
        client, _ = await native_client(ensemble)
        await client.stream.send_all(((1 << 20) + 1).to_bytes(4, "big"))
        ended = await client.ended()
        assert isinstance(ended, Goodbye)
        assert "1048577" in ended.reason


async def test_a_thousand_watches_cost_the_others_nothing(autojump_clock: Clock) -> None:
    async with memory_ensemble(1) as ensemble:
        greedy, _ = await native_client(ensemble)
        other, _ = await native_client(ensemble)
        assert await greedy.do(*[Watch(n, "/", True, 14) for n in range(1000)]) == [Done()] * 1000
        await other.do(create("/a"))
        (pinged,) = await greedy.do(Ping())
        assert pinged == Done()
        assert [event.watch_id for event in greedy.events] == list(range(1000))
        assert len({event.zxid for event in greedy.events}) == 1


async def test_a_client_that_does_not_read_is_dropped_and_the_others_are_served(autojump_clock: Clock) -> None:
    async with memory_ensemble(1, reply_bytes_max=1 << 20, reply_timeout_s=10.0) as ensemble:
        deaf, _ = await native_client(ensemble)
        other, _ = await native_client(ensemble)
        await deaf.do(create("/big", bytes(500_000)))
        with suppress(OSError), trio.move_on_after(60):
            while True:  # until it is hung up on, or not read from any more
                await deaf.send(*[GetData("/big")] * 10)
        assert isinstance((await other.do(create("/a")))[0], Created)
        await ensemble.wait(lambda: len(ensemble.replicas[1].clients.pipelines) == 1)


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes_never_harm_a_server(autojump_clock: Clock, seed: int) -> None:
    rng = random.Random(seed)
    async with memory_ensemble(1) as ensemble:
        for _ in range(20):
            client, _ = await native_client(ensemble)
            good = native.encode_frame([native.encode_request(n, create(f"/{n}"), n) for n in range(1, 9)])
            broken = bytearray(good)
            for _ in range(rng.randrange(1, 6)):
                broken[rng.randrange(4, len(broken))] = rng.randrange(256)
            with trio.move_on_after(1):
                await client.stream.send_all(bytes(broken))
                await client.ended()
            client.stream.close()
        good_client: MemoryNative
        good_client, _ = await native_client(ensemble)
        assert isinstance((await good_client.do(create("/good")))[0], Created)


async def test_four_letter_words_count_the_watches_of_both_protocols(autojump_clock: Clock) -> None:
    async with memory_ensemble(1, words=frozenset({"wchs", "wchp"})) as ensemble:
        ours, welcome = await native_client(ensemble)
        plain = await ensemble.client(1)
        await ours.do(Watch(1, "/a", True, 14), Watch(2, "/b", False, 14), Watch(3, "/b", True, 14))
        await plain.call(Op.EXISTS, jute.path_and_watch("/a", watch=True))
        asking = await ensemble.dial(1)
        await asking.stream.send_all(b"wchs")
        answer = b""
        while data := await asking.stream.receive():
            answer += data
        assert b"2 connections watching 2 paths" in answer
        assert b"Total watches:4" in answer
        asking = await ensemble.dial(1)
        await asking.stream.send_all(b"wchp")
        answer = b""
        while data := await asking.stream.receive():
            answer += data
        assert answer.count(f"0x{welcome.session:x}".encode()) == 2
