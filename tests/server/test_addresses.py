"""Where clients come in: several addresses at once, each a real one of this machine."""

import random
from pathlib import Path

import pytest
import trio

from coord.codec import native
from coord.model.handshake import Greeting, Welcome
from coord.net.network import TcpNetwork
from coord.server.config import Config
from coord.server.parsers import Address
from coord.server.serve import serve
from coord.storage.memory import MemoryDisk


async def free_port(host: str) -> int:
    try:
        (listener,) = await TcpNetwork().listen(host, 0)
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    port = listener.address[1]
    listener.close()
    return port


async def welcome_at(address: Address) -> Welcome:
    stream = await TcpNetwork().connect(address.host, address.port)
    greeting = Greeting(1, 1, 0, 0, 0, b"", 0, 4000, 0, (), "a test")
    await stream.send_all(native.PREAMBLE + native.encode_frame([native.encode_greeting(greeting)]))
    received = b""
    while not (payloads := native.split_frames(received, 1 << 20)[0]):
        received += await stream.receive()
    stream.close()
    (welcome,) = native.decode_server_message(payloads[0])
    assert isinstance(welcome, Welcome)
    return welcome


async def test_one_server_serves_clients_by_ipv4_ipv6_and_a_unix_socket(tmp_path: Path) -> None:
    addresses = [
        Address(str(tmp_path / "clients"), 0),
        Address("127.0.0.1", await free_port("127.0.0.1")),
        Address("::1", await free_port("::1")),
    ]
    config = Config(client=addresses[0], client_also=tuple(addresses[1:]), data=tmp_path)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: serve(
            config, MemoryDisk(), TcpNetwork(), random.Random(1), own_process=False, task_status=task_status
        ))  # fmt: skip
        with trio.fail_after(60):
            sessions = {(await welcome_at(address)).session for address in addresses}
        assert len(sessions) == 3
        nursery.cancel_scope.cancel()
