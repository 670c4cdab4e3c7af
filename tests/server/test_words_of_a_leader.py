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
