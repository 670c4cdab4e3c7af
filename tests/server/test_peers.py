"""Who may be a server of the ensemble: the others are refused, both sides say why, and nobody is disturbed."""

import logging
import random
from collections.abc import Callable

import pytest
import trio
from memory_ensemble import CLIENT_PORT, PEER_PORT, MemoryEnsemble, causes, memory_ensemble

from coord.codec.peer import PROTOCOL_VERSION, Decoder, Hello, PeerMessage, Rejected, encode
from coord.server.errors import RefusedByEnsemble
from coord.server.parsers import Address
from coord.storage.memory import MemoryDisk
from coord.testing.network import MemoryStream

CLUSTER_OF_ANOTHER = 0x1234
RIGHTFUL = -1
"""In a test's table: the identity that server 3 has."""


def said(caplog: pytest.LogCaptureFixture, sentence: str) -> bool:
    return any(sentence in message for message in caplog.messages)


async def dial_peer(ensemble: MemoryEnsemble, server: int, host: str = "stranger") -> MemoryStream:
    return await ensemble.network.host(host).connect(f"s{server}", PEER_PORT)


async def answer_to(stream: MemoryStream, frame: bytes) -> list[PeerMessage]:
    """What a server answers to these bytes until it hangs up."""
    decoder, messages = Decoder(), []
    await stream.send_all(frame)
    try:
        while data := await stream.receive():
            messages += decoder.feed(data)
    except ConnectionResetError:
        pass
    return messages


def hello(**changes: object) -> bytes:
    fields = {
        "protocol_version": PROTOCOL_VERSION,
        "cluster": 0,
        "server": 3,
        "identity": 77,
        "voters": (1, 2, 3),
        "servers": (1, 2, 3),
        "description": "stranger:1",
    }
    return encode(Hello(**(fields | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_version": 1}, "speaks version 1 of the protocol between servers"),
        ({"cluster": CLUSTER_OF_ANOTHER}, "its data belongs to another ensemble (0000000000001234)"),
        ({"server": 9}, "the id 9 is not in `ensemble` of server 1"),
        ({"server": 1}, "server 1 at s1:3181 has this id already"),
        ({"server": 3}, "another server with the id 3 is connected already"),
        (
            {"identity": RIGHTFUL, "voters": (1,)},
            "of the servers 1,2,3 it lets 1 vote, server 1 of 1,2,3 lets 1,2,3 vote",
        ),
        ({"identity": RIGHTFUL, "servers": (1, 2, 3, 4)}, "give all servers the same `ensemble` and `observers`"),
    ],
)
async def test_a_server_that_does_not_belong_here_is_told_why(
    changes: dict[str, object],
    reason: str,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        if changes.get("identity") == RIGHTFUL:
            changes = changes | {"identity": ensemble.replicas[3].settings.identity, "description": "s3:3181"}
        greeting, rejection = await answer_to(await dial_peer(ensemble, 1), hello(**changes))
        assert isinstance(greeting, Hello)
        assert isinstance(rejection, Rejected)
        assert reason in rejection.reason
        assert said(caplog, reason)
        await client.set("/n", b"undisturbed")


async def test_a_crowd_that_says_nothing_on_the_port_between_servers_keeps_few_connections_and_not_for_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        held = ensemble.network.open_streams("s1")
        crowd = [await dial_peer(ensemble, 1) for _ in range(500)]
        await trio.sleep(0.1)
        assert ensemble.network.open_streams("s1") - held == 64
        await trio.sleep(5)
        assert ensemble.network.open_streams("s1") == held
        for stream in crowd:
            stream.close()
        ensemble.crash(3)
        await ensemble.start(3)  # there is room for who belongs here
        await ensemble.wait_leader()


async def test_a_copied_data_folder_is_recognized(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        identity = ensemble.replicas[1].settings.identity
        _, rejection = await answer_to(await dial_peer(ensemble, 1), hello(identity=identity))
        assert isinstance(rejection, Rejected)
        assert "is a copy of the one of server 1" in rejection.reason


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\x00",
        b"ruok",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\xff",
        (2 << 20).to_bytes(4, "big") + b"\x01" + bytes(5000),
        b"\x00\x00\x00\x01\x01",
        b"\x00\x00\x00\x02\x0d\x00",
        hello()[:-3],
        hello() + hello(),
        hello() + b"\xff" * 100,
        hello() + b"\x00\x00\x00\x03\x0d\x00\x00",
        hello() + (65 << 20).to_bytes(4, "big") + b"\x0d",
    ],
)
async def test_garbage_on_the_port_between_servers_is_hung_up_on_and_disturbs_nobody(
    first: bytes, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(2)
        await client.create("/n")
        leader = ensemble.leader()
        with trio.fail_after(6):  # at the latest at the greeting's deadline
            await answer_to(await dial_peer(ensemble, 1), first)
        await client.set("/n", b"undisturbed")
        assert ensemble.leader() == leader
        assert not ensemble.failures
        assert not said(caplog, "Traceback")


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes_on_the_port_between_servers_disturb_nobody(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    rng = random.Random(seed)
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(2)
        await client.create("/n")
        for _ in range(20):
            stream = await dial_peer(ensemble, rng.choice((1, 2, 3)))
            beginning = rng.choice((b"", hello(server=9), hello(server=rng.randrange(300))))
            await stream.send_all(beginning + rng.randbytes(rng.randrange(2_000)))
            await trio.sleep(0.01)
            stream.close()
            await client.set("/n", b"undisturbed")
        assert not ensemble.failures


async def test_a_second_server_with_an_id_that_is_taken_is_refused_by_all_and_ends(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        impostor = ensemble.config(3, client=Address("x3", CLIENT_PORT), peer=Address("x3", PEER_PORT))
        await ensemble.start_as(33, impostor, MemoryDisk(), "x3")
        await ensemble.wait(lambda: 33 in ensemble.failures)
        failure = causes(ensemble.failures[33])[0]
        assert isinstance(failure, RefusedByEnsemble)
        assert "refuses this one: another server with the id 3 is connected already" in str(failure)
        await client.set("/n", b"undisturbed")
        assert not ensemble.failures.keys() - {33}
        await ensemble.wait_converged()


async def test_a_copy_of_a_server_that_runs_is_refused_by_all_and_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        ensemble.crash(3)
        copy = ensemble.disks[3].copy()
        await ensemble.start(3)
        await ensemble.wait_leader()
        moved = ensemble.config(3, client=Address("x3", CLIENT_PORT), peer=Address("x3", PEER_PORT))
        await ensemble.start_as(33, moved, copy, "x3")
        await ensemble.wait(lambda: 33 in ensemble.failures)
        failure = causes(ensemble.failures[33])[0]
        assert isinstance(failure, RefusedByEnsemble)
        assert "its data folder is a copy: server 3 with the same identity is connected already" in str(failure)
        await client.set("/n", b"undisturbed")
        assert not ensemble.failures.keys() - {33}


async def test_a_server_that_has_moved_to_another_address_is_welcome(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        ensemble.crash(3)
        moved = ensemble.config(3, client=Address("x3", CLIENT_PORT), peer=Address("x3", PEER_PORT))
        await ensemble.start_as(3, moved, ensemble.disks[3], "x3")
        await ensemble.wait_leader()
        await ensemble.wait_converged()


async def test_the_rightful_server_takes_its_place_although_an_impostor_was_there_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        await ensemble.wait(lambda: 3 in ensemble.replicas[1].machine.servers)
        ensemble.crash(3)
        impostor = ensemble.config(3, client=Address("x3", CLIENT_PORT), peer=Address("x3", PEER_PORT))
        await ensemble.start_as(33, impostor, MemoryDisk(), "x3")
        await ensemble.wait(lambda: ensemble.replicas[33].participant.serving)
        await ensemble.start(3)
        await ensemble.wait(lambda: 33 in ensemble.failures)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        await client.set("/n", b"undisturbed")


async def test_a_server_with_a_replaced_data_folder_follows_but_its_vote_does_not_count(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        await client.create("/n")
        await ensemble.wait(lambda: len(ensemble.replicas[1].machine.servers) == 3)
        ensemble.crash(2)
        ensemble.disks[2] = MemoryDisk()
        await ensemble.start(2)
        await ensemble.wait_leader()
        assert said(caplog, "its data folder was replaced")
        reader = await ensemble.client(2)
        assert await reader.exists("/n")
        ensemble.crash(3)
        await ensemble.wait(lambda: ensemble.leader() is None)
        await client.send(1, b"")
        await trio.sleep(5)
        assert ensemble.leader() is None  # 1 and the new 2 are no quorum: what 2 promised before is lost
        await ensemble.start(3)
        await ensemble.wait_leader()
        await ensemble.wait_converged()


async def test_a_server_of_another_ensemble_is_refused_and_ends(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as other:
        await (await other.client(1)).create("/other")
        await other.wait_converged()
        disk = other.disks[3]
        other.crash(3)
    async with memory_ensemble(seed=2) as ensemble:
        await (await ensemble.client(1)).create("/n")
        ensemble.crash(3)
        ensemble.disks[3] = disk
        await ensemble.start(3)
        await ensemble.wait(lambda: 3 in ensemble.failures)
        failure = causes(ensemble.failures[3])[0]
        assert isinstance(failure, RefusedByEnsemble)
        assert "its data belongs to another ensemble" in str(failure)
        assert said(caplog, "its data belongs to another ensemble")
        assert await (await ensemble.client(1)).exists("/n")


async def test_a_server_that_is_told_of_other_voters_than_the_ensemble_ends_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(2, timeout_ms=60_000)
        await client.create("/n")
        await ensemble.wait(lambda: len(ensemble.replicas[1].machine.servers) == 3)
        await ensemble.wait_converged()
        ensemble.crash(1)
        alone = ensemble.config(1, observers=frozenset((2, 3)))
        await ensemble.start_as(1, alone, ensemble.disks[1], "s1")
        await ensemble.wait(lambda: 1 in ensemble.failures)
        failure = causes(ensemble.failures[1])[0]
        assert isinstance(failure, RefusedByEnsemble)
        assert "it lets 1,2,3 vote, server 1 of 1,2,3 lets 1 vote" in str(failure)
        assert said(caplog, "it lets 1 vote, server 2 of 1,2,3 lets 1,2,3 vote")
        await client.set("/n", b"undisturbed")
        assert not ensemble.failures.keys() - {1}


async def test_a_connection_between_servers_that_breaks_again_and_again_costs_no_write(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        rng = random.Random(7)
        for _ in range(60):
            one, other = rng.sample(("s1", "s2", "s3"), 2)
            ensemble.network.break_between(one, other)
            await client.create("/n-", flags=2)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        names = [path for path in ensemble.replicas[1].machine.tree.nodes if path.startswith("/n-")]
        assert len(names) == 60


def lines_of(caplog: pytest.LogCaptureFixture, beginning: str) -> int:
    return sum(message.startswith(beginning) for message in caplog.messages)


async def test_a_stranger_that_calls_again_and_again_with_ever_new_nonsense_fills_no_log(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        for number in range(4, 104):
            await answer_to(await dial_peer(ensemble, 1), hello(server=number))
        assert lines_of(caplog, "no connection with a server at stranger") == 1
        await trio.sleep(11)
        await answer_to(await dial_peer(ensemble, 1), hello(server=9))
        assert lines_of(caplog, "no connection with a server at stranger") == 2


async def test_what_other_servers_do_does_not_make_a_complaint_news_again(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble() as ensemble:
        for _ in range(5):
            await answer_to(await dial_peer(ensemble, 1), hello(server=9))
            ensemble.network.break_between("s1", "s2")
            await trio.sleep(20)
        assert lines_of(caplog, "no connection with a server at stranger") == 1


async def test_a_connection_that_breaks_as_soon_as_it_stands_is_tried_less_and_less_often(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        await trio.sleep(3)
        welcomed = Counted(ensemble.replicas[1].connected)
        ensemble.replicas[1].connected = welcomed  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def breaks() -> None:
                while True:
                    await trio.sleep(0.01)
                    ensemble.network.break_between("s1", "s2")

            await trio.sleep(0.09)
            assert welcomed.count == 1  # at once the first time: it had stood for long
            await trio.sleep(9.91)
            nursery.cancel_scope.cancel()
        assert 20 < welcomed.count < 30  # after 0.4 s each in the end
        await ensemble.wait_leader()
        await ensemble.wait_converged()


class Counted:
    """Calls on, and counts."""

    def __init__(self, to: Callable[..., None]) -> None:
        self._to = to
        self.count = 0

    def __call__(self, *given: object) -> None:
        self.count += 1
        self._to(*given)


@pytest.fixture(autouse=True)
def _listen_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "coord")
