"""Streams and listeners on the machine's own loopback."""

import socket
from pathlib import Path

import pytest
import trio

from coord.net.network import RECEIVE_BYTES_MAX, Stream, TcpNetwork, TcpStream


async def pair() -> tuple[Stream, Stream]:
    """Two ends of one connection: who called, and who was called."""
    network = TcpNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    caller = await network.connect(*listener.address)
    called = await listener.accept()
    listener.close()
    return caller, called


async def test_bytes_arrive_in_order_and_the_end_shows_as_no_bytes() -> None:
    caller, called = await pair()
    await caller.send_all(b"one ")
    assert caller.send_now(b"two") == 3
    caller.close()
    received = b""
    while data := await called.receive():
        received += data
    assert received == b"one two"
    assert await called.receive() == b""
    called.close()


async def test_both_ends_know_each_others_address() -> None:
    caller, called = await pair()
    assert called.remote[0] == caller.remote[0] == "127.0.0.1"
    assert called.remote[1] != caller.remote[1]
    caller.close()
    called.close()


async def test_a_send_without_waiting_takes_what_there_is_room_for() -> None:
    caller, called = await pair()
    data = memoryview(bytes(64 << 20))
    sent = caller.send_now(data)
    assert 0 < sent < len(data)
    while more := caller.send_now(data[sent:]):
        sent += more
    assert caller.send_now(b"x") == 0
    received = 0
    while received < sent:
        received += len(await called.receive())
    assert received == sent
    caller.close()
    called.close()


async def test_a_send_that_waits_goes_on_as_the_other_end_receives() -> None:
    caller, called = await pair()
    data = bytes(range(256)) * (20 << 12)
    received = bytearray()

    async def send() -> None:
        await caller.send_all(data)
        caller.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while part := await called.receive():
            assert len(part) <= RECEIVE_BYTES_MAX
            received += part
    assert received == data
    called.close()


async def test_what_was_received_stays_as_it_is_when_more_is_received() -> None:
    caller, called = await pair()
    await caller.send_all(b"first")
    first = await called.receive()
    await caller.send_all(b"other")
    assert await called.receive() == b"other"
    assert first == b"first"  # the buffer is shared, its bytes are not
    caller.close()
    called.close()


async def test_who_waits_to_receive_is_woken_when_the_stream_is_closed_here() -> None:
    caller, called = await pair()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await called.receive()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        called.close()
    assert await called.receive() == b""  # and later on it is simply the end
    called.close()  # twice is as good as once
    caller.close()


async def test_who_waits_to_send_is_woken_when_the_stream_is_closed_here() -> None:
    caller, called = await pair()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises((trio.ClosedResourceError, OSError)):
                await caller.send_all(bytes(64 << 20))

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        caller.close()
    called.close()


async def test_a_reset_is_an_os_error() -> None:
    caller, called = await pair()
    assert isinstance(caller, TcpStream)
    caller._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    caller.close()
    with pytest.raises(OSError, match="reset"):
        await called.receive()
    called.close()


async def test_what_has_come_is_received_without_waiting_and_the_end_as_no_bytes() -> None:
    caller, called = await pair()
    assert called.receive_now() is None
    await caller.send_all(b"here")
    await trio.lowlevel.wait_readable(called._socket)  # type: ignore[attr-defined]
    assert called.receive_now() == b"here"
    assert called.receive_now() is None
    caller.close()
    await trio.lowlevel.wait_readable(called._socket)  # type: ignore[attr-defined]
    assert called.receive_now() == b""
    called.close()
    assert called.receive_now() is None
    assert await called.receive() == b""


async def test_a_reset_that_was_met_without_waiting_is_told_by_who_waits_then() -> None:
    caller, called = await pair()
    assert isinstance(caller, TcpStream)
    caller._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    caller.close()
    await trio.lowlevel.wait_readable(called._socket)  # type: ignore[attr-defined]
    assert called.receive_now() is None
    with trio.fail_after(5):
        assert await called.receive() == b""
    called.close()


async def test_sending_to_one_who_has_closed_is_an_os_error_in_the_end() -> None:
    caller, called = await pair()
    called.close()
    with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012  the first send only makes the other end answer
        for _ in range(100):
            await caller.send_all(b"x")
    caller.close()


async def test_keep_alive_can_be_asked_for() -> None:
    caller, called = await pair()
    caller.keep_alive()
    await caller.send_all(b"x")
    assert await called.receive() == b"x"
    caller.close()
    called.close()


async def test_a_caller_that_has_gone_before_it_was_accepted_does_not_stop_the_listener() -> None:
    network = TcpNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    hasty = socket.create_connection(listener.address)
    hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    hasty.close()
    patient = await network.connect(*listener.address)
    await patient.send_all(b"here")
    with trio.fail_after(60):
        while True:
            stream = await listener.accept()
            try:
                data = await stream.receive()
            except OSError:
                data = b""
            stream.close()
            if data:
                break
    assert data == b"here"
    patient.close()
    listener.close()


async def test_listening_where_somebody_listens_is_an_os_error() -> None:
    network = TcpNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await network.listen(*listener.address)
    listener.close()


async def test_connecting_where_nobody_listens_is_an_os_error() -> None:
    network = TcpNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    listener.close()
    with pytest.raises(OSError, match=r"refused|connect"):
        await network.connect(*listener.address)


@pytest.mark.parametrize("host", ["a..b", "x" * 70])
async def test_a_name_that_no_host_can_have_is_an_os_error(host: str) -> None:
    network = TcpNetwork()
    with pytest.raises(OSError, match="cannot be the name of a host"):
        await network.listen(host, 0)
    with pytest.raises(OSError, match="cannot be the name of a host"):
        await network.connect(host, 2181)


# ---- Unix sockets


async def test_a_unix_socket_carries_bytes_like_any_other(tmp_path: Path) -> None:
    network, path = TcpNetwork(), str(tmp_path / "s")
    (listener,) = await network.listen(path, 0)
    assert listener.address == (path, 0)
    caller = await network.connect(path, 0)
    called = await listener.accept()
    caller.keep_alive()
    assert caller.remote == called.remote == ("unix", 0)
    await caller.send_all(b"hello")
    assert await called.receive() == b"hello"
    for each in (caller, called, listener):
        each.close()


async def test_a_socket_left_by_a_server_that_is_gone_is_replaced(tmp_path: Path) -> None:
    network, path = TcpNetwork(), str(tmp_path / "s")
    (first,) = await network.listen(path, 0)
    with pytest.raises(OSError, match="in use"):
        await network.listen(path, 0)
    first.close()
    (second,) = await network.listen(path, 0)
    caller = await network.connect(path, 0)
    caller.close()
    second.close()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="in use"):
        await TcpNetwork().listen(str(path), 0)
    assert path.read_text() == "data"
