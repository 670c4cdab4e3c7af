"""Three whole servers in one process elect, serve, lose a leader, and come together again. All time is virtual."""

import logging
from typing import Any

import pytest
import trio
from memory_ensemble import MemoryClient, causes, memory_ensemble

from coord.storage.errors import StorageFailure
from tools.wire import jute
from tools.wire.client import HungUpError, RawError, SessionRefusedError
from tools.wire.jute import Op

EPHEMERAL = 1


async def test_three_servers_elect_a_leader_and_serve_at_once(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    async with memory_ensemble() as ensemble:
        assert trio.current_time() - began < 1
        clients = [await ensemble.client(server) for server in ensemble.servers]
        for number, client in enumerate(clients):
            assert await client.create(f"/n{number}", b"%d" % number) == f"/n{number}"
        for client in clients:
            await client.sync()
            assert [await client.get(f"/n{number}") for number in range(3)] == [b"0", b"1", b"2"]
        await ensemble.wait_converged()


@pytest.mark.parametrize("servers", [1, 2, 5, 7])
async def test_ensembles_of_other_sizes_serve(servers: int, autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(servers) as ensemble:
        client = await ensemble.client(servers)
        await client.create("/n")
        await ensemble.wait_converged()


async def test_a_minority_of_five_may_fail(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(5) as ensemble:
        client = await ensemble.client(3)
        for server in (5, 4):
            ensemble.crash(server)
        await ensemble.wait_leader()
        await client.create("/n")
        for server in (4, 5):
            await ensemble.start(server)
        await ensemble.wait_leader()
        await ensemble.wait_converged()


async def test_an_observer_follows_and_serves_and_is_not_counted(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(4, observers=frozenset({4})) as ensemble:
        assert ensemble.replicas[4].participant.role == "observing"
        client = await ensemble.client(4)
        await client.create("/n", b"1")
        assert await client.get("/n") == b"1"
        leader = ensemble.leader()
        for server in (1, 2, 3):
            if server != leader:
                ensemble.crash(server)
        await ensemble.wait(lambda: ensemble.leader() is None)  # the observer's voice does not make a quorum


async def test_a_leader_that_is_cut_off_steps_down_and_comes_back_as_a_follower(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        old = ensemble.leader()
        assert old is not None
        others = ensemble.followers()
        client = await ensemble.client(others[0])
        await client.create("/before")
        cut_s = trio.current_time()
        ensemble.cut_off(old)
        stepped_down_s = await ensemble.wait(lambda: not ensemble.replicas[old].participant.leads)
        new = await ensemble.wait_leader(others)
        await client.create("/after")
        assert 1.0 < stepped_down_s - cut_s < 1.5  # leader_timeout_ms, and a tick or two
        assert new != old
        ensemble.network.heal()
        await ensemble.wait_leader()
        assert ensemble.leader() == new  # nobody was disturbed
        await ensemble.wait_converged()
        assert "/after" in ensemble.replicas[old].machine.tree.nodes


async def test_servers_that_were_all_stopped_for_a_while_go_on_under_their_leader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        leader = ensemble.leader()
        client = await ensemble.client(1)
        await client.create("/n")
        for _ in range(20):
            autojump_clock.jump(2.0)  # nobody has run meanwhile: a machine that slept, or one very long step of all
            await client.set("/n", b"1")
            await trio.sleep(5.5)
            await client.ping()
        assert ensemble.leader() == leader
        assert {replica.participant.epoch for replica in ensemble.replicas.values()} == {1}


async def test_a_write_to_a_leader_that_is_cut_off_is_not_acknowledged_and_not_lost_if_the_client_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        old = ensemble.leader()
        assert old is not None
        client = await ensemble.client(old, timeout_ms=60_000)
        other = await ensemble.client(ensemble.followers()[0])
        ensemble.cut_off(old)
        await client.send(Op.CREATE, jute.create("/n", b"1"))
        with trio.move_on_after(5) as waiting:
            await client.receive()
        assert waiting.cancelled_caught
        assert not await other.exists("/n")
        ensemble.network.heal()
        assert (await client.receive()).error == 0  # the same connection, the same request, once
        assert await client.get("/n") == b"1"
        await ensemble.wait_converged()


@pytest.mark.parametrize("seed", range(5))
async def test_servers_cut_off_in_turn_lose_nothing_and_end_equal(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble(seed=seed) as ensemble:
        clients = [await ensemble.client(server, timeout_ms=60_000) for server in ensemble.servers]
        for client in clients:
            await client.create("/s-", flags=2)
        for round_ in range(3):
            for server in ensemble.servers:
                ensemble.cut_off(server)
                for client in clients:
                    await client.send(Op.CREATE, jute.create(f"/r{round_}-", flags=2))
                await trio.sleep(2.0)
                ensemble.network.heal()
                if (round_ + server) % 2:
                    ensemble.network.break_between("s1", "s3")
                for client in clients:
                    assert (await client.receive()).error == 0
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        machine = ensemble.replicas[1].machine
        assert len([path for path in machine.tree.nodes if path.startswith("/r")]) == 3 * 3 * 3


async def test_clients_are_let_go_after_a_third_of_their_timeout_without_a_leader_and_not_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1, timeout_ms=30_000)
        patient = await ensemble.client(1, timeout_ms=60_000)
        for server in (2, 3):
            ensemble.crash(server)
        began = await ensemble.wait(lambda: not ensemble.replicas[1].participant.serving)
        let_go_s = await client.wait_hung_up()
        assert 9.9 < let_go_s - began < 10.5
        await patient.ping()  # and this one is still there


async def test_a_client_that_is_let_go_while_a_thousand_of_its_requests_wait_leaves_nothing_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(connections_per_address_max=1) as ensemble:
        client = await ensemble.client(1, timeout_ms=6_000)
        for server in (2, 3):
            ensemble.crash(server)
        await ensemble.wait(lambda: not ensemble.replicas[1].participant.serving)
        for _ in range(1500):
            await client.send(Op.CREATE, jute.create("/n-", flags=2))
        await client.wait_hung_up()
        for server in (2, 3):
            await ensemble.start(server)
        await ensemble.wait_leader()
        again = await ensemble.dial(1, client.host)  # its one place is free again
        await again.open()


async def test_a_session_expires_after_its_timeout_and_under_a_new_leader_only_after_the_full_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        leader = ensemble.leader()
        assert leader is not None
        server = ensemble.followers()[0]
        client = await ensemble.client(server, timeout_ms=8_000)
        await client.create("/e", flags=EPHEMERAL)
        machine = ensemble.replicas[server].machine
        await trio.sleep(6)
        ensemble.crash(leader)
        await ensemble.wait_leader()
        elected_s = trio.current_time()
        with trio.fail_after(20):
            hung_up_s = await client.wait_hung_up()
        assert 7.9 <= hung_up_s - elected_s < 8.6
        assert "/e" not in machine.tree.nodes


async def test_a_session_that_pings_through_a_change_of_leaders_lives(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        server = ensemble.followers()[0]
        client = await ensemble.client(server, timeout_ms=4_000)
        await client.create("/e", flags=EPHEMERAL)
        for _ in range(2):
            leader = ensemble.leader()
            assert leader is not None
            if leader == server:
                break
            ensemble.crash(leader)
            for _ in range(8):
                await trio.sleep(1)
                await client.ping()
            await ensemble.start(leader)
            await ensemble.wait_leader()
        assert await client.exists("/e")


async def test_a_session_goes_on_at_another_server_while_its_old_connection_is_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        old = await ensemble.client(1)
        await old.create("/e", flags=EPHEMERAL)
        new = await ensemble.dial(2)
        await new.open(session=old.session, password=old.password)
        assert new.session == old.session
        await new.set("/e", b"moved")
        with trio.fail_after(1):
            await old.wait_hung_up()


async def test_two_connections_that_take_over_a_session_at_once_end_with_one_owner(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        first = await ensemble.client(1)
        await first.create("/e", flags=EPHEMERAL)
        rivals = [await ensemble.dial(server) for server in (1, 2, 3, 2, 1)]
        served: list[MemoryClient] = []

        async def take_over(rival: MemoryClient) -> None:
            try:
                await rival.open(session=first.session, password=first.password)
                while True:
                    await trio.sleep(0.5)
                    await rival.ping()
                    await rival.set("/e", b"mine")
                    served.append(rival)
            except (HungUpError, OSError, RawError):
                pass

        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for rival in rivals:
                    nursery.start_soon(take_over, rival)
        assert len(set(served[-3:])) == 1
        await ensemble.wait_converged()
        assert len(ensemble.replicas[1].machine.sessions) == 1


async def test_who_comes_back_as_the_session_expires_gets_it_or_is_told_it_is_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        outcomes = set()
        for step in range(12):
            client = await ensemble.client(1, timeout_ms=1_000)
            await client.create("/e", flags=EPHEMERAL)
            await client.ping()
            await trio.sleep(0.95 + 0.05 * step)
            again = await ensemble.dial(2)
            try:
                await again.open(1_000, client.session, client.password)
                assert await again.exists("/e")
                outcomes.add("kept")
                await again.call(Op.CLOSE_SESSION)
            except SessionRefusedError:
                outcomes.add("expired")
            await trio.sleep(3)
        assert outcomes == {"kept", "expired"}
        await ensemble.wait_converged()


async def test_servers_that_lose_power_lose_no_acknowledged_write(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        for number in range(50):
            await client.create(f"/n{number}")
        for server in ensemble.servers:
            ensemble.crash(server)
        await ensemble.wait(lambda: not ensemble.replicas)
        await ensemble.start_all()
        again = await ensemble.dial(2)
        await again.open(60_000, client.session, client.password)
        for number in range(50):
            assert await again.exists(f"/n{number}")


async def test_a_follower_without_data_takes_a_snapshot_and_the_log_above_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    small = {
        "segment_bytes": 8192,
        "snapshot_after_bytes": 20_000,
        "snapshots_kept": 1,
        "past_bytes_max": 0,
        "history_bytes_max": 4096,
    }
    async with memory_ensemble(**small) as ensemble:
        lagging = ensemble.followers()[0]
        client = await ensemble.client(ensemble.followers()[1], timeout_ms=60_000)
        await client.create("/n")
        ensemble.crash(lagging)
        for number in range(200):
            await client.set("/n", b"%d" % number * 100)
            if number % 10 == 0:
                await client.create(f"/n/{number}")
        await ensemble.wait(
            lambda: any("snapshots/" in name for name in ensemble.disks[client_leader(ensemble)].contents())
        )
        await ensemble.start(lagging)  # its log ends below where theirs begins
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert await client.get("/n") == b"199" * 100


def client_leader(ensemble: Any) -> int:
    leader = ensemble.leader()
    assert leader is not None
    return leader


async def test_a_follower_that_missed_a_little_takes_the_log_alone(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "coord")
    async with memory_ensemble(history_bytes_max=0) as ensemble:
        lagging = ensemble.followers()[0]
        client = await ensemble.client(ensemble.followers()[1], timeout_ms=60_000)
        await client.create("/n")
        ensemble.crash(lagging)
        for number in range(300):
            await client.set("/n", b"%d" % number)
        await ensemble.start(lagging)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert not any("snapshot and" in message or "sending server" in message for message in caplog.messages)


async def test_a_server_far_behind_gets_a_snapshot_and_not_the_log_that_is_kept_to_be_looked_back_at(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "coord")
    small = {"segment_bytes": 8192, "snapshot_after_bytes": 20_000, "snapshots_kept": 1, "history_bytes_max": 4096}
    async with memory_ensemble(**small) as ensemble:
        lagging = ensemble.followers()[0]
        client = await ensemble.client(ensemble.followers()[1], timeout_ms=60_000)
        await client.create("/n")
        ensemble.crash(lagging)
        for number in range(400):
            await client.set("/n", b"%d" % number * 100)
        disk = ensemble.disks[client_leader(ensemble)]
        await ensemble.wait(lambda: any("snapshots/" in name for name in disk.contents()))
        await ensemble.start(lagging)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert "log/0000010000000001" in disk.contents()
        assert any(f"sending server {lagging} the snapshot" in message for message in caplog.messages)


async def test_all_servers_start_again_from_snapshot_and_log(autojump_clock: trio.testing.MockClock) -> None:
    small = {"segment_bytes": 8192, "snapshot_after_bytes": 20_000, "snapshots_kept": 1, "past_bytes_max": 0}
    async with memory_ensemble(**small) as ensemble:
        client = await ensemble.client(1, timeout_ms=60_000)
        await client.create("/n")
        await client.create("/e", flags=EPHEMERAL)
        for number in range(200):
            await client.set("/n", b"%d" % number * 100)
        await trio.sleep(1)
        digest = ensemble.replicas[1].machine.digest
        for server in ensemble.servers:
            ensemble.crash(server)
        await ensemble.wait(lambda: not ensemble.replicas)
        for server in ensemble.servers:
            await ensemble.start(server)
        assert ensemble.replicas[1].machine.zxid > 0  # of a snapshot
        await ensemble.wait_leader()
        again = await ensemble.dial(3)
        await again.open(60_000, client.session, client.password)
        assert await again.get("/n") == b"199" * 100
        assert await again.exists("/e")
        await ensemble.wait_converged()
        assert digest


async def test_a_disk_that_fails_ends_its_server_and_the_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        leader = ensemble.leader()
        assert leader is not None
        client = await ensemble.client(ensemble.followers()[0], timeout_ms=60_000)
        await client.create("/n")

        def fail(verb: str, name: str) -> None:
            if verb == "sync":
                raise OSError(28, "No space left on device")

        ensemble.disks[leader].before = fail
        await client.create("/m")  # through the next leader
        await ensemble.wait(lambda: leader in ensemble.failures)
        failures = causes(ensemble.failures[leader])
        assert [type(each) for each in failures] == [StorageFailure]
        assert "No space left on device" in str(failures[0])
        await ensemble.wait_leader()
        ensemble.disks[leader].before = None
        await ensemble.start(leader)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert await client.exists("/m")


async def _all(client: MemoryClient) -> bytes:
    """Everything until the server hangs up."""
    data = b""
    while part := await client.stream.receive():
        data += part
    return data
