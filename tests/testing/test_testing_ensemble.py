"""What a user of coord.testing may rely on: every fault does what it says, and a seed says all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import coord.testing
from coord.model.acl import OPEN_ACL
from coord.model.errors import NodeExistsError, NoNodeError
from coord.model.replies import DATA_CHANGED, NODE_DELETED
from coord.model.requests import CheckVersion, Create, Delete, SetData
from coord.server.errors import AddressUnavailable
from coord.server.parsers import Address
from coord.testing import ConnectionLost, Ensemble
from coord.testing.clock import VirtualClock

ROOT = Path(__file__).resolve().parents[2]


async def test_an_ensemble_shows_who_leads_and_where_each_server_stands(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble(servers=3) as ensemble:
        await (await ensemble.connect()).create("/n", b"data")
        await ensemble.wait_converged()
        views = [ensemble.server(each) for each in ensemble.servers]
        assert sorted(view.role for view in views) == ["following", "following", "leading"]
        assert ensemble.server(ensemble.leader()).role == "leading"
        assert len({(view.epoch, view.zxid, view.digest, view.sessions) for view in views}) == 1


async def test_the_client_speaks_the_whole_of_its_protocol(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble(servers=1) as ensemble:
        client = await ensemble.connect()
        assert await client.create("/a", b"1") == "/a"
        assert (await client.create("/a/n-", sequential=True)).startswith("/a/n-0")
        assert (await client.get("/a"))[0] == b"1"
        assert (await client.set("/a", b"2", version=0)).version == 1
        with pytest.raises(NodeExistsError):
            await client.create("/a")
        assert await client.exists("/nowhere") is None
        made = await client.multi(Create("/b", b"", OPEN_ACL), SetData("/b", b"x"), CheckVersion("/a", 1), Delete("/b"))
        assert made[0] == "/b"
        with pytest.raises(NoNodeError):
            await client.multi(Create("/c", b"", OPEN_ACL), Delete("/nowhere"))
        assert await client.exists("/c") is None
        await client.get("/a", watch=True)
        other = await ensemble.connect()
        await other.set("/a", b"3")
        event = await client.event()
        assert (event.kind, event.path) == (DATA_CHANGED, "/a")
        await client.create("/mine", ephemeral=True)
        await other.exists("/mine", watch=True)
        await client.close()
        assert (await other.event()).kind == NODE_DELETED
        with pytest.raises(ConnectionLost):
            await client.get("/a")
        await other.delete(await client_path(other))
        await other.delete("/a")
        assert await other.children("/") == ["zookeeper"]


async def client_path(client: coord.testing.Client) -> str:
    return f"/a/{(await client.children('/a'))[0]}"


async def test_the_smaller_side_of_a_partition_answers_no_writes_and_the_larger_goes_on(
    virtual_clock: VirtualClock,
) -> None:
    async with coord.testing.ensemble() as ensemble:
        old = ensemble.leader()
        others = ensemble.followers()
        inside, outside = await ensemble.connect(old), await ensemble.connect(others[0])
        ensemble.partition([old, inside], [*others, outside])
        with pytest.raises(ConnectionLost):
            await inside.create("/lost")
        assert await ensemble.wait_leader(others) in others
        await outside.create("/kept")
        ensemble.heal()
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert await outside.exists("/kept")


async def test_a_client_whose_own_way_is_cut_gives_up_before_its_session_can_end(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        client, witness = await ensemble.connect(1, session_timeout_s=6), await ensemble.connect(2)
        await client.create("/mine", ephemeral=True)
        await witness.sync()
        assert await witness.exists("/mine", watch=True)
        ensemble.isolate(client)
        await client.wait_lost()
        assert await witness.exists("/mine")
        assert (await witness.event()).kind == NODE_DELETED


@pytest.mark.parametrize("lose_all", [False, True])
async def test_what_was_acknowledged_survives_a_power_cut_of_all_servers(
    lose_all: bool, virtual_clock: VirtualClock
) -> None:
    async with coord.testing.ensemble() as ensemble:
        client = await ensemble.connect()
        for number in range(20):
            await client.create(f"/n{number}")
        for server in ensemble.servers:
            ensemble.crash(server, lose_all=lose_all)
        with pytest.raises(ConnectionLost):
            await client.get("/n0")
        for server in ensemble.servers:
            await ensemble.restart(server)
        await ensemble.wait_leader()
        assert len(await (await ensemble.connect()).children("/")) == 21


async def test_a_crash_takes_what_was_not_synced_and_a_stop_does_not(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble(servers=1) as ensemble:
        ensemble.disks[1].lies = lambda verb, name: True  # from now on no sync does anything
        await (await ensemble.connect()).create("/n")
        ensemble.stop(1)
        await ensemble.start_all()
        assert await (await ensemble.connect()).exists("/n")
        ensemble.crash(1, lose_all=True)
        await ensemble.start_all()
        assert await (await ensemble.connect()).exists("/n") is None


async def test_a_frozen_leader_is_replaced_and_finds_out_when_it_is_thawed(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        old = ensemble.leader()
        client = await ensemble.connect(ensemble.followers()[0])
        ensemble.freeze(old)
        before = ensemble.server(old)
        await ensemble.wait_leader(ensemble.followers())
        await client.create("/n")
        await ensemble.advance(30)
        assert ensemble.server(old) == before
        assert before.frozen
        ensemble.thaw(old)
        await ensemble.wait_leader()
        await ensemble.wait_converged()
        assert ensemble.leader() != old


async def test_a_server_can_lose_its_power_while_it_is_frozen(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.freeze(2)
        await ensemble.advance(5)
        ensemble.crash(2)
        await ensemble.restart(2)
        await ensemble.wait_leader()
        assert not ensemble.server(2).frozen


async def test_a_way_that_is_cut_in_one_direction_carries_the_other(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        client = await ensemble.connect(1)
        ensemble.cut(1, client, one_way=True)
        with pytest.raises(ConnectionLost):
            await client.create("/n")
        ensemble.heal()
        assert await (await ensemble.connect(1)).exists("/n")


async def test_an_expired_session_takes_its_ephemeral_znodes_along(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        client, other = await ensemble.connect(1), await ensemble.connect(2)
        await client.create("/mine", ephemeral=True)
        await ensemble.expire_session(client)
        await other.sync()
        assert await other.exists("/mine") is None
        assert client.lost


async def test_a_slow_link_slows_what_goes_over_it(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        client = await ensemble.connect(1)
        ensemble.slow(1, client, (0.1, 0.1))
        began_s = trio.current_time()
        await client.exists("/")
        assert trio.current_time() - began_s == pytest.approx(0.2, abs=0.001)


async def test_a_server_that_does_not_run_cannot_be_looked_at(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.crash(2)
        with pytest.raises(AssertionError, match=r"server 2 does not run; those that do: \[1, 3\]"):
            ensemble.server(2)


async def test_a_server_that_cannot_start_says_why(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.stop(2)
        with pytest.raises(AddressUnavailable, match="cannot listen for servers on s2:2181: Address already in use"):
            await ensemble.start(2, peer=Address("s2", 2181))
        await ensemble.restart(2)
        await ensemble.wait_leader()


async def test_a_client_of_a_server_that_does_not_run_is_told_so(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.stop(2)
        with pytest.raises(ConnectionLost, match="server 2 was not reached: Connection refused"):
            await ensemble.connect(2)


async def test_a_client_that_finds_no_leader_is_hung_up_on(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.stop(2)
        ensemble.stop(3)
        await ensemble.advance(5)
        with pytest.raises(ConnectionLost):
            await ensemble.connect(1)
        await ensemble.restart(3)
        await ensemble.wait_leader()
        assert await (await ensemble.connect(1)).exists("/")


async def test_freezing_twice_is_freezing(virtual_clock: VirtualClock) -> None:
    async with coord.testing.ensemble() as ensemble:
        ensemble.freeze(1)
        await ensemble.advance(5)
        ensemble.freeze(1)
        ensemble.thaw(1)
        await ensemble.wait_leader()


async def test_a_server_that_ends_by_itself_fails_the_test(virtual_clock: VirtualClock) -> None:
    def fail(verb: str, name: str) -> None:
        raise OSError(5, "Input/output error")

    async def work() -> None:
        async with coord.testing.ensemble() as ensemble:
            ensemble.disks[2].before = fail
            await (await ensemble.connect(1)).create("/n")
            await ensemble.wait(lambda: 2 not in ensemble.replicas)

    with pytest.raises(BaseExceptionGroup) as caught:
        await work()
    assert "server 2 has ended by itself: " in str(caught.value.exceptions[0])


async def test_real_time_is_refused_with_a_sentence() -> None:
    with pytest.raises(AssertionError, match="needs a virtual clock"):
        async with coord.testing.ensemble():
            pass


async def test_the_clock_jumps_to_the_next_deadline_and_not_before_all_wait(virtual_clock: VirtualClock) -> None:
    times: list[float] = []

    async def sleeper(seconds: float) -> None:
        await trio.sleep(seconds)
        times.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for seconds in (3600, 5, 60):
            nursery.start_soon(sleeper, seconds)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == 0
    assert times == [5, 60, 3600]


# ---- one seed, one run


async def a_bad_day(ensemble: Ensemble) -> None:
    """Some of everything; what is drawn is drawn from the run's own chance."""
    client = await ensemble.connect()
    for _ in range(6):
        server = ensemble.rng.choice(sorted(ensemble.replicas))
        match ensemble.rng.randrange(4):
            case 0:
                ensemble.crash(server)
                await ensemble.advance(3)
                await ensemble.restart(server)
            case 1:
                ensemble.freeze(server)
                await ensemble.advance(3)
                ensemble.thaw(server)
            case 2:
                ensemble.isolate(server)
                await ensemble.advance(3)
                ensemble.heal()
            case _:
                ensemble.slow(1, 2, (0.01, 0.05))
        await ensemble.wait_leader()
        if client.lost:
            client = await ensemble.connect()
        await client.create("/n-", sequential=True)
    await ensemble.wait_converged()


async def trace_of_a_bad_day(seed: int) -> str:
    async with coord.testing.ensemble(seed=seed) as ensemble:
        await a_bad_day(ensemble)
        return str(ensemble.trace)


def trace(seed: int) -> str:
    return coord.testing.run(trace_of_a_bad_day, seed, seed=seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(seed: int) -> None:
    assert trace(seed) == trace(seed) != trace(seed + 1)


def test_the_same_seed_gives_the_same_run_in_another_process_with_other_hashes() -> None:
    def elsewhere(hash_seed: str) -> str:
        program = f"import runpy; print(runpy.run_path({str(Path(__file__))!r})['trace'](5))"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True, timeout=60).strip()

    assert elsewhere("1") == elsewhere("4242") == trace(5)
