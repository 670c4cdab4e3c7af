"""What mntr and cons tell where a server leads: only what is known, counted from when it became true."""

import trio
from memory_ensemble import MemoryEnsemble, memory_ensemble
from memory_native import native_client

from coord.model.requests import ChildrenPage, Exists, Ping, SetData, Sync


async def ask(ensemble: MemoryEnsemble, server: int, word: str) -> str:
    client = await ensemble.dial(server)
    await client.stream.send_all(word.encode())
    said = b""
    while data := await client.stream.receive():
        said += data
    return said.decode()


async def figures(ensemble: MemoryEnsemble, server: int) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in (await ask(ensemble, server, "mntr")).splitlines())


async def test_a_leaders_uptime_counts_from_its_election(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        former = await ensemble.wait_leader()
        await trio.sleep(100)
        assert 99_000 < int((await figures(ensemble, former))["zk_leader_uptime"]) < 101_000
        ensemble.crash(former)
        leader = await ensemble.wait_leader()
        await trio.sleep(10)
        shown = await figures(ensemble, leader)
        assert 9_000 < int(shown["zk_leader_uptime"]) < 11_000
        assert int(shown["zk_uptime"]) > 100_000


async def test_a_leader_counts_as_followers_those_that_follow(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        leader = await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert (await figures(ensemble, leader))["zk_followers"] == "2"
        ensemble.crash(next(each for each in (1, 2, 3) if each != leader))
        await trio.sleep(1)
        shown = await figures(ensemble, leader)
        assert (shown["zk_followers"], shown["zk_learners"], shown["zk_synced_observers"]) == ("1", "1", "0")


async def test_a_client_hears_only_what_is_measured_of_its_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        await client.create("/n")
        (line,) = [line for line in (await ask(ensemble, 1, "cons")).splitlines() if "sid=" in line]
        assert "lop=CREA," in line
        assert line.endswith(f"lzxid={client.seen_zxid:#x})")


async def test_the_last_operation_of_coords_own_clients_has_zookeepers_name(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        client, _ = await native_client(ensemble)
        for request, name in (
            (SetData("/none", b""), "SETD"), (Exists("/none"), "EXIS"), (ChildrenPage("/", "", 5, False), "GETC"),
            (Ping(), "PING"), (Sync("/"), "SYNC"),
        ):  # fmt: skip
            await client.do(request)
            (line,) = [line for line in (await ask(ensemble, 1, "cons")).splitlines() if "sid=" in line]
            assert f"lop={name}," in line


async def test_mntr_tells_how_late_each_follower_is_and_the_percentiles(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble() as ensemble:
        leader = await ensemble.wait_leader()
        client = await ensemble.client(leader)
        await client.create("/n")
        await ensemble.wait_converged()
        await trio.sleep(1)
        shown = await figures(ensemble, leader)
        followers = [each for each in (1, 2, 3) if each != leader]
        for each in followers:
            assert (shown[f"zk_learner_lag_ms_{each}"], shown[f"zk_learner_lag_entries_{each}"]) == ("0", "0")
        assert float(shown["zk_write_latency_p99_ms"]) > 0
        assert int(shown["zk_election_count"]) >= 1
        assert int(shown["zk_wall_clock_ms"]) > 0
        assert shown["zk_reply_bytes_waiting"] == shown["zk_forwards_under_way"] == "0"
        assert not [key for key in await figures(ensemble, followers[0]) if "lag" in key]
        assert "zk_disk_free_bytes" not in shown  # memory is no disk
