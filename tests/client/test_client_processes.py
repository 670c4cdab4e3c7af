"""Real processes: leaders killed again and again while clients work; kazoo and coord's own clients side by side."""

import os
import time
from pathlib import Path

import anyio
import pytest
from kazoo.client import KazooClient

import coord
from tests.client.both import on_both
from tools.ensembles import CoordSoftware, Ensemble

pytestmark = pytest.mark.long(100)

SECONDS = float(os.environ.get("COORD_TEST_SECONDS", "16"))
"""How long leaders are killed; the pauses between them stay the same."""

PAUSE_S = 2.0
"""Of work between two failures."""

CLIENTS = 20
FAST = CoordSoftware(options=("--session-timeout-max-ms", "120000"))


@pytest.fixture
def processes(tmp_path: Path):
    with Ensemble(FAST, tmp_path) as made:
        made.start_all()
        made.wait_serving()
        yield made


def test_leaders_are_killed_and_no_error_reaches_twenty_clients_and_each_write_is_done_once(processes):
    done: dict[str, list[str]] = {}

    async def work(name: str, stopping: anyio.Event) -> None:
        async with coord.connect(processes.hosts(), session_timeout=30) as client:
            own = await client.create(f"/load/{name}", parents=True)
            made = done[name] = []
            sets = 0
            while not stopping.is_set():
                async with client.pipeline() as pipe:
                    paths = [pipe.create(f"{own}/{len(made) + each}-", sequential=True) for each in range(5)]
                    stat = pipe.set(own, b"x")
                made += [each.result() for each in paths]
                sets += 1
                assert stat.result().version == sets
                await anyio.sleep(0.02)
            names = await client.children(own, linearizable=True)
            assert sorted(f"{own}/{each}" for each in names) == sorted(made)
            assert len(made) == 5 * sets

    async def kill_leaders() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await anyio.sleep(PAUSE_S)
            leader = await anyio.to_thread.run_sync(processes.wait_leader)
            processes.kill9(leader)
            await anyio.to_thread.run_sync(wait_other_leader, leader)
            processes.start(leader)  # in this thread: a child ends with the thread that started it
            await anyio.to_thread.run_sync(processes.wait_serving)

    def wait_other_leader(leader: int) -> None:
        processes.wait_until(lambda: processes.leader() not in (None, leader), "another leader", 60)

    async def main() -> None:
        stopping = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for number in range(CLIENTS):
                tasks.start_soon(work, f"c{number:02d}", stopping)
            await kill_leaders()
            stopping.set()

    anyio.run(main, backend="trio")
    assert len(done) == CLIENTS
    assert all(done.values())


@pytest.mark.parametrize("library", ["trio", "asyncio"])
def test_a_thousand_pipelined_writes_survive_the_kill_of_the_clients_server_and_of_the_leader(processes, library):
    async def main() -> None:
        async with coord.connect(processes.hosts(), session_timeout=30) as client:
            await client.create("/n")
            answered = anyio.Event()

            async def kill() -> None:
                await answered.wait()
                for server in dict.fromkeys([client.server.id, processes.leader() or 1]):
                    processes.kill9(server)
                    processes.start(server)
                    await anyio.to_thread.run_sync(processes.wait_serving)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                versions = []
                for _ in range(20):
                    async with client.pipeline() as pipe:
                        sets = [pipe.set("/n", b"x") for _ in range(50)]
                    versions += [each.result().version for each in sets]
                    answered.set()
                    await anyio.sleep(0.05)
            assert versions == list(range(1, 1001))
            assert (await client.get("/n", linearizable=True))[1].version == 1000

    anyio.run(main, backend=library)


def test_kazoo_and_coords_own_client_watch_each_other(processes):
    kazoo = KazooClient(hosts=processes.hosts())
    kazoo.start(timeout=15)
    told: list[tuple[str, str]] = []
    try:

        async def main() -> None:
            async with coord.connect(processes.hosts()) as client:
                await client.create("/both", b"0")
                kazoo.sync("/both")
                kazoo.get("/both", watch=lambda event: told.append((event.type, event.path)))
                kazoo.get_children("/both", watch=lambda event: told.append((event.type, event.path)))
                async with client.watch("/both", recursive=True) as events:
                    kazoo.set("/both", b"1")
                    kazoo.create("/both/k", b"", ephemeral=True)
                    assert [(each.kind.name, each.path) for each in [await anext(events), await anext(events)]] == [
                        ("CHANGED", "/both"),
                        ("CREATED", "/both/k"),
                    ]
                    assert (await client.exists("/both/k")).ephemeral_owner == kazoo.client_id[0]
                kazoo.get("/both", watch=lambda event: told.append((event.type, event.path)))
                await client.set("/both", b"2")
                await client.create("/both/c")
                with anyio.fail_after(20):
                    while len(told) < 3:  # noqa: ASYNC110  kazoo tells in a thread of its own
                        await anyio.sleep(0.01)
                assert kazoo.retry(kazoo.get, "/both")[0] == b"2"
                async with client.transaction() as txn:
                    txn.check("/both", value=b"2")
                    txn.delete("/both/c")
            assert sorted(told) == [("CHANGED", "/both"), ("CHANGED", "/both"), ("CHILD", "/both")]

        anyio.run(main, backend="trio")
    finally:
        kazoo.stop()
        kazoo.close()


@on_both
async def test_addresses_of_every_family(tmp_path):
    """A name, an IPv4 address, a list: whatever this machine has."""
    with Ensemble(CoordSoftware(), tmp_path, servers=1) as made:
        made.start_all()
        made.wait_serving()
        port = made.members[1].client_port
        for address in (f"127.0.0.1:{port}", f"localhost:{port}/", f"coord://127.0.0.1:{port}", [f"127.0.0.1:{port}"]):
            async with coord.connect(address) as client:
                assert await client.exists("/")
