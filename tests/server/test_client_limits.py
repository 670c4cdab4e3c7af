"""What a client may cost: deadlines, limits, and that a client over them is dropped whole and nobody else notices."""

import logging

import pytest
import trio
from memory_ensemble import MemoryEnsemble, memory_ensemble

from tools.wire import jute
from tools.wire.client import HungUpError
from tools.wire.jute import Op, Reader

ONE_PLACE = {"connections_per_address_max": 1}


async def place_is_free(ensemble: MemoryEnsemble, host: str) -> None:
    """The host's one place is given to its next connection: nothing of the one before is left."""
    again = await ensemble.dial(1, host)
    await again.open()


async def test_who_says_nothing_is_hung_up_on_after_the_handshakes_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, handshake_timeout_s=10.0, **ONE_PLACE) as ensemble:
        client = await ensemble.dial(1)
        began = trio.current_time()
        assert 10 <= await client.wait_hung_up() - began < 11.1
        await place_is_free(ensemble, client.host)


async def test_a_handshake_byte_by_byte_has_the_same_deadline(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1, handshake_timeout_s=10.0) as ensemble:
        client = await ensemble.dial(1)
        began = trio.current_time()
        with pytest.raises(OSError, match=r"pipe|reset"):  # noqa: PT012  the hang-up shows at some byte
            for byte in jute.connect_request(10_000):
                await client.stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert trio.current_time() - began < 13


async def test_a_request_that_stays_half_sent_is_waited_for_until_the_frames_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, frame_timeout_s=30.0, **ONE_PLACE) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        request = jute.request(1, Op.CREATE, jute.create("/n"))
        await client.stream.send_all(request[:-1])
        began = trio.current_time()
        await trio.sleep(25)
        await client.stream.send_all(request[-1:] + request[:3])  # in time; and the next one begins
        assert (await client.receive()).error == 0
        assert 55 <= await client.wait_hung_up() - began < 57
        await place_is_free(ensemble, client.host)


async def test_a_request_that_comes_byte_by_byte_has_one_deadline_for_all_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, frame_timeout_s=30.0) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        began = trio.current_time()
        with pytest.raises(OSError, match=r"pipe|reset"):  # noqa: PT012  the hang-up shows at some byte
            for byte in jute.request(1, Op.CREATE, jute.create("/n", bytes(100))):
                await client.stream.send_all(bytes([byte]))
                await trio.sleep(1)
        assert 30 <= trio.current_time() - began < 33


async def test_a_client_that_takes_no_reply_is_dropped_and_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "coord")
    async with memory_ensemble(1, reply_timeout_s=30.0, **ONE_PLACE) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        await client.create("/n", bytes(100_000))
        for _ in range(1500):
            await client.send(Op.GET_DATA, jute.path_and_watch("/n"))
        began = trio.current_time()
        await ensemble.wait(lambda: ensemble.network.open_streams("s1") == 0)
        assert 29 <= trio.current_time() - began < 33
        await trio.sleep(0.1)
        assert any("it has taken none of" in message for message in caplog.messages)
        client.stream.close()
        await place_is_free(ensemble, client.host)


async def test_replies_for_a_client_that_does_not_read_are_kept_up_to_a_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, frame_bytes_max=1 << 20, reply_bytes_max=2 << 20, **ONE_PLACE) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        await client.create("/n", bytes(1_000_000))
        for _ in range(100):  # each answer may be begun only when the ones before have left
            await client.send(Op.GET_DATA, jute.path_and_watch("/n"))
        await trio.sleep(1)
        connection = next(iter(ensemble.replicas[1].clients.pipelines.values()))
        assert connection.stalled
        assert len(connection.waiting) >= 97
        for _ in range(100):
            assert len((await client.receive()).body) > 1_000_000


async def test_events_for_a_client_that_does_not_read_end_its_connection_at_the_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1, frame_bytes_max=1024, reply_bytes_max=4096, **ONE_PLACE) as ensemble:
        watcher = await ensemble.client(1, timeout_ms=60_000)
        await watcher.call(Op.ADD_WATCH, jute.path_and_version("/", 1))
        writer = await ensemble.client(1, timeout_ms=60_000)
        for number in range(1_000):
            if ensemble.network.open_streams("s1") < 2:
                break
            await writer.create(f"/{number:0900}")
        assert ensemble.network.open_streams("s1") == 1
        watcher.stream.close()
        await place_is_free(ensemble, watcher.host)


async def test_no_more_is_read_of_a_client_while_too_many_of_its_requests_are_unanswered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(outstanding_requests_max=100) as ensemble:
        server = ensemble.followers()[0]
        client = await ensemble.client(server, timeout_ms=60_000)
        for other in ensemble.servers:
            if other != server:
                ensemble.crash(other)
        await ensemble.wait(lambda: not ensemble.replicas[server].participant.serving)
        for _ in range(20):
            for _ in range(50):
                await client.send(Op.CREATE, jute.create("/n-", flags=2))
            await trio.sleep(0.01)
        connection = next(iter(ensemble.replicas[server].clients.pipelines.values()))
        assert 100 <= len(connection.waiting) <= 150  # what one more read brought
        for other in ensemble.servers:
            if other != server:
                await ensemble.start(other)
        names = [(await client.receive()).as_only(Reader.string) for _ in range(1000)]
        assert names == [f"/n-{number:010d}" for number in range(1000)]


async def test_a_session_does_not_expire_while_the_server_does_not_read_its_pings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(outstanding_requests_max=1, leader_timeout_ms=30_000) as ensemble:
        leader = ensemble.leader()
        assert leader is not None
        client = await ensemble.client(leader, timeout_ms=4_000)
        idle = await ensemble.client(leader, timeout_ms=4_000)
        ensemble.cut_off(leader)  # it leads on for a while, and can commit nothing
        await client.send(Op.CREATE, jute.create("/e", flags=1))
        for _ in range(10):
            await trio.sleep(1)
            await client.send(Op.PING, xid=jute.PING_XID)
        ensemble.network.heal()
        assert (await client.receive()).as_only(Reader.string) == "/e"
        await idle.wait_hung_up()  # this one did not ping, and nobody kept it from that
        assert (await client.receive()).xid == jute.PING_XID


async def test_connections_are_limited_in_all_and_per_address(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1, connections_max=5, connections_per_address_max=2) as ensemble:
        held = [await ensemble.dial(1, host) for host in ("h1", "h1", "h2", "h2", "h3")]
        for client in held:
            await client.open()
        for host in ("h1", "h3", "h4"):
            late = await ensemble.dial(1, host)
            with pytest.raises((HungUpError, OSError)):
                await late.open()
        held[0].stream.close()
        await trio.sleep(0.1)
        late = await ensemble.dial(1, "h4")
        await late.open()
        for client in held[1:]:
            await client.ping()


async def test_a_crowd_of_refused_connections_gets_a_few_lines_in_the_log(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with memory_ensemble(1, **ONE_PLACE) as ensemble:
        held = await ensemble.dial(1, "crowd")
        await held.open()
        for _ in range(200):
            (await ensemble.dial(1, "crowd")).stream.close()
        await trio.sleep(6)
        await (await ensemble.dial(1, "crowd")).wait_hung_up()
        lines = [record.fields["refused"] for record in caplog.records if "is hung up on" in record.getMessage()]
        assert lines == [1, 200]  # the first at once, then those since


async def test_many_connections_that_come_and_go_leave_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        for number in range(300):
            client = await ensemble.dial(1)
            if number % 3:
                await client.stream.send_all(jute.connect_request(10_000))
            if number % 3 == 1:
                await client.receive_frame()
            client.stream.close()
        await trio.sleep(1)
        clients = ensemble.replicas[1].clients
        assert ensemble.network.open_streams("s1") == 0
        assert not clients.pipelines
        assert not len(ensemble.replicas[1].forwards)
