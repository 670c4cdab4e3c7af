"""HTTP over real sockets of this machine, on a virtual clock: limits and slow clients."""

import gc
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from admin_desk import TOKEN, open_desk

from coord.admin import http
from coord.server.errors import AddressUnavailable
from coord.server.parsers import Address


@asynccontextmanager
async def listening(console) -> AsyncIterator[Address]:
    """The admin of this server on a free port. Leaving it ends the admin, and must take no time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", probe.getsockname()[1])
    object.__setattr__(console.config, "admin", address)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(http.run_admin, console, TOKEN))
        yield address
        nursery.cancel_scope.cancel()


async def answered(address: Address, *sent: bytes) -> bytes:
    """All that comes back, until the server hangs up."""
    stream = await trio.open_tcp_stream(*address)
    async with stream:
        for part in sent:
            await stream.send_all(part)
        return await rest_of(stream)


async def rest_of(stream: trio.SocketStream) -> bytes:
    said = b""
    while True:
        try:
            part = await stream.receive_some()
        except trio.BrokenResourceError:  # it hung up with something unread
            return said
        if not part:
            return said
        said += part


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


CLOSE = b"host: localhost\r\nconnection: close\r\n\r\n"


async def test_a_request_is_answered_and_the_server_names_no_software(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        answer = await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\nok\n")
        assert b"\r\nserver:" not in answer.lower()
        head = await answered(address, b"HEAD /metrics HTTP/1.1\r\n" + CLOSE)
        assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"x" * http.HEADER_BYTES_MAX + b" HTTP/1.1\r\n" + CLOSE, 431),
        (b"GET /healthz HTTP/1.1\r\nx-long: " + b"x" * http.HEADER_BYTES_MAX + b"\r\n" + CLOSE, 431),
        (b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * http.HEADER_BYTES_MAX + CLOSE, 431),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),  # names no host
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 403),
        (b"GET http://evil/healthz HTTP/1.1\r\nhost: evil\r\nconnection: close\r\n\r\n", 403),
        (b"TRACE /healthz HTTP/1.1\r\n" + CLOSE, 405),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),  # TLS
        (b"GET /%ff%fe HTTP/1.1\r\n" + CLOSE, 404),
        (b"GET /commands/%00%2f HTTP/1.1\r\n" + CLOSE, 404),
        (
            b"POST /commands/shed HTTP/1.1\r\nauthorization: Bearer "
            + TOKEN
            + b"\r\ncontent-length: 99999999\r\n"
            + CLOSE,
            None,
        ),
    ],
)
async def test_what_is_asked_badly_is_refused_and_harms_nobody(autojump_clock, monkeypatch, request_bytes, status):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        answer = await answered(address, request_bytes)
        assert status is None or status_of(answer) == status
        assert status_of(await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)) == 200


async def test_http_2_is_not_spoken_and_asking_for_it_harms_nobody(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        settings = bytes.fromhex("000000040000000000")
        assert await answered(address, begin) == b""
        told = await answered(address, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" + begin + settings)
        assert told.startswith(b"HTTP/1.1 200")
        assert told.endswith(b"ok\n")
        upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        for host in (b"localhost", b"evil"):
            asked = b"GET /healthz HTTP/1.1\r\nhost: " + host + b"\r\n" + upgrade + b"\r\n"
            told = await answered(address, asked + begin + settings)
            assert told.startswith(b"HTTP/1.1 101")
            assert told.endswith(b"\r\n\r\n")  # and no frame behind it
        assert status_of(await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)) == 200


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "])
async def test_a_client_that_does_not_end_its_header_is_hung_up_on(autojump_clock, monkeypatch, begun):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        began = trio.current_time()
        stream = await trio.open_tcp_stream(*address)
        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(begun)

            async def drip():
                while begun:
                    await trio.sleep(1)
                    with_luck = await _try(stream, b"y")
                    if not with_luck:
                        return

            nursery.start_soon(drip)
            await rest_of(stream)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began <= http.IDLE_TIMEOUT_S + 1


async def _try(stream: trio.SocketStream, data: bytes) -> bool:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return False
    return True


async def test_no_more_than_so_many_connections_are_kept(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        open_ones = [await trio.open_tcp_stream(*address) for _ in range(http.CONNECTIONS_MAX)]
        assert await answered(address) == b""
        for each in open_ones:
            await each.aclose()
        with trio.fail_after(60):
            while not (answer := await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)):  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert status_of(answer) == 200


async def test_requests_may_come_one_behind_the_other_and_are_answered_in_order(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        first = b"GET /commands/ruok HTTP/1.1\r\nhost: localhost\r\n\r\n"
        answer = await answered(address, first + b"GET /readyz HTTP/1.1\r\n" + CLOSE)
        assert answer.count(b"HTTP/1.1 200") == 2
        assert answer.index(b'"ruok"') < answer.index(b"ok\n", answer.index(b'"ruok"'))


async def test_a_websocket_is_refused(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        answer = await answered(address, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n" + upgrade + key + b"\r\n")
        assert status_of(answer) == 403


async def test_a_client_that_goes_in_the_middle_of_a_long_answer_leaves_nothing_behind(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        for _ in range(150):
            await desk.ensemble.connect(1)
        for _ in range(3):
            stream = await trio.open_tcp_stream(*address)
            await stream.send_all(b"GET /commands/connections HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await stream.receive_some(10)
            await stream.aclose()
        whole = await answered(address, b"GET /commands/connections HTTP/1.1\r\n" + CLOSE)
        assert whole.count(b"session_id") == 150


@pytest.mark.parametrize("seed", range(3))
async def test_nonsense_harms_nobody(autojump_clock, monkeypatch, caplog, seed):
    rng = random.Random(seed)
    good = (
        b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /commands/shed HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer " + TOKEN + b"\r\n"
        b'content-length: 18\r\n\r\n{"percentage": 10}',
        b"POST /commands/srst HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{   }\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
    )
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        for _ in range(60):
            request = bytearray(rng.choice(good))
            for _ in range(rng.randrange(4)):
                where = rng.randrange(len(request))
                match rng.randrange(3):
                    case 0:
                        request[where] = rng.randrange(256)
                    case 1:
                        del request[where : where + rng.randrange(1, 20)]
                    case 2:
                        request[where:where] = rng.randbytes(rng.randrange(1, 20))
                request = request or bytearray(b" ")
            stream = await trio.open_tcp_stream(*address)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(bytes(request))
                await stream.send_eof()
            await rest_of(stream)
            await stream.aclose()
        await trio.sleep(http.ANSWER_TIMEOUT_S + http.LINGER_S)  # so long some of them take a place
        assert status_of(await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)) == 200
    assert "Traceback" not in caplog.text


async def until(condition) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110  it is on plain state, and the clock is virtual
            await trio.sleep(0.05)


async def test_a_client_that_has_gone_takes_no_place(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        for _ in range(2 * http.CONNECTIONS_MAX):
            async with await trio.open_tcp_stream(*address) as stream:
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert status_of(await stream.receive_some()) == 200
        assert trio.current_time() < http.IDLE_TIMEOUT_S


async def test_a_client_that_says_nothing_more_gets_its_answer(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        stream = await trio.open_tcp_stream(*address)
        await stream.send_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await stream.send_eof()
        assert (await rest_of(stream)).endswith(b"ok\n")
        await stream.aclose()


def _much(connections: http.Connections, monkeypatch) -> None:
    async def much(scope, receive, send, *more):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    monkeypatch.setattr(connections, "_app", http.wrap_app(much, 0, "asgi"))


async def test_a_client_that_does_not_take_its_answer_is_hung_up_on(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, trio.open_nursery() as nursery:
        connections = http.Connections(desk.consoles[1], None)
        _much(connections, monkeypatch)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, connections.serve, [listener])
        stream = await trio.testing.open_stream_to_socket_listener(listener)
        await stream.send_all(b"GET / HTTP/1.1\r\n" + CLOSE)
        began = trio.current_time()
        await until(lambda: connections.count == 1)
        await until(lambda: connections.count == 0)
        assert trio.current_time() - began <= http.SEND_TIMEOUT_S + 1
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_a_server_ends_at_once_though_a_client_does_not_take_its_answer(autojump_clock, monkeypatch):
    made = []
    init = http.Connections.__init__

    def remember(self, *given):
        init(self, *given)
        made.append(self)
        _much(self, monkeypatch)

    monkeypatch.setattr(http.Connections, "__init__", remember)
    async with open_desk(monkeypatch) as desk:
        async with listening(desk.consoles[1]) as address:
            stream = await trio.open_tcp_stream(*address)
            await stream.send_all(b"GET / HTTP/1.1\r\n" + CLOSE)
            await until(lambda: made[0].count == 1)
            await trio.testing.wait_all_tasks_blocked()
            ended = trio.current_time()
        assert trio.current_time() - ended < 1
        await stream.aclose()


async def test_an_error_within_http_ends_one_connection_and_no_server(autojump_clock, monkeypatch, caplog):
    async def broken(self):
        raise RuntimeError("a defect of a library")

    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        with monkeypatch.context() as patched:
            patched.setattr(http.TCPServer, "run", broken)
            assert await answered(address, b"GET / HTTP/1.1\r\n" + CLOSE) == b""
        assert status_of(await answered(address, b"GET /healthz HTTP/1.1\r\n" + CLOSE)) == 200
    assert "a connection over HTTP is given up" in caplog.text


async def test_an_address_that_is_taken_is_said_in_a_sentence(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk, listening(desk.consoles[1]) as address:
        with pytest.raises(
            AddressUnavailable, match=f"cannot listen for HTTP on 127.0.0.1:{address.port}: Address already"
        ):
            await http.run_admin(desk.consoles[1], None)
    gc.collect()
