"""Clients that ping and do little else: what they ask between is served as anybody's, and as soon."""

import socket

import trio
import trio.testing
from memory_ensemble import memory_ensemble

import coord
from tools.wire import jute
from tools.wire.jute import Op, Reader

PING = jute.request(jute.PING_XID, Op.PING)
PONG_BYTES = 4 + jute.REPLY_HEADER.size


async def test_a_session_that_only_pings_lives_and_ends_when_it_does_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(3) as ensemble:
        clients = [await ensemble.client(server, timeout_ms=3000) for server in (1, 2, 3)]
        for _ in range(20):
            for client in clients:
                await client.ping()
            await trio.sleep(1)
        sessions = ensemble.replicas[1].machine.sessions
        assert all(client.session in sessions for client in clients)
        await trio.sleep(4)
        assert not any(client.session in sessions for client in clients)


async def test_what_comes_between_pings_is_answered_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        for number in range(3):
            await client.ping()
            await client.ping()
            assert await client.exists(f"/{number}") is False
            assert await client.create(f"/{number}") == f"/{number}"
            await client.ping()
        await client.ping()
        requests = [jute.request(xid, Op.EXISTS, jute.path_and_watch("/0")) for xid in (21, 22)]
        await client.stream.send_all(PING + requests[0] + requests[1] + PING)
        xids = [(await client.receive()).xid for _ in range(4)]
        assert xids == [jute.PING_XID, 21, 22, jute.PING_XID]


async def test_a_request_after_a_ping_may_come_in_pieces_and_has_the_same_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, frame_timeout_s=30.0) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        request = jute.request(1, Op.EXISTS, jute.path_and_watch("/"))
        for cut in range(1, len(request)):
            await client.ping()
            await client.stream.send_all(request[:cut])
            await trio.sleep(0.01)
            await client.stream.send_all(request[cut:])
            assert (await client.receive()).error == 0
        await client.ping()
        began = trio.current_time()
        await client.stream.send_all(PING[:-1])
        assert 30 <= await client.wait_hung_up() - began < 31.1


async def test_an_event_comes_before_the_pong_that_shows_its_zxid(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        watcher, writer = await ensemble.client(1), await ensemble.client(1)
        await watcher.ping()
        await watcher.call(Op.ADD_WATCH, jute.path_and_version("/", 1))
        for number in range(5):
            await watcher.ping()
            await watcher.ping()
            seen = watcher.seen_zxid
            await writer.create(f"/{number}")
            await watcher.ping()
            assert watcher.seen_zxid > seen
            assert any(event.zxid == watcher.seen_zxid for event in watcher.events)


async def test_pings_are_counted_with_all_other_requests(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        clients = ensemble.replicas[1].clients
        before = clients.received, clients.sent, clients.latencies.summary_s.count
        for _ in range(10):
            await client.ping()
        await trio.sleep(1)
        after = clients.received, clients.sent, clients.latencies.summary_s.count
        assert [now - then for now, then in zip(after, before, strict=True)] == [10, 10, 10]


async def test_real_sockets_that_ping_are_served_beside_all_others() -> None:
    """Where there are sockets one task hears them all."""
    async with coord.embedded() as client:
        path = client.server.address.removeprefix("unix:")

        def guest() -> None:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(30)
                sock.connect(path)
                sock.sendall(jute.connect_request(10_000))
                read(sock, int.from_bytes(read(sock, 4), "big"))
                for xid in range(1, 4):
                    for _ in range(3):
                        sock.sendall(PING)
                        assert len(read(sock, PONG_BYTES)) == PONG_BYTES
                    sock.sendall(jute.request(xid, Op.EXISTS, jute.path_and_watch("/")))
                    reply = read(sock, int.from_bytes(read(sock, 4), "big"))
                    assert jute.REPLY_HEADER.unpack_from(reply)[0] == xid
                    assert Reader(reply[jute.REPLY_HEADER.size :]).stat().czxid == 0
                sock.sendall(PING)
                read(sock, PONG_BYTES)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.to_thread.run_sync, guest)
        assert await client.exists("/")


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        assert part, "the server hung up"
        data += part
    return data
