"""coord's own clients and whole servers in memory, on a virtual clock: partitions, crashes, freezes, cancellations.

`COORD_TEST_SEEDS=FIRST-LAST` tries other seeds.
"""

import os
import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.client.recording import record
from tools.check.checks import check
from tools.check.history import Recorder


def seeds(usual: str) -> range:
    first, _, last = os.environ.get("COORD_TEST_SEEDS", usual).partition("-")
    return range(int(first), int(last or first) + 1)


# ---- one thing at a time


async def test_a_client_rides_through_the_crash_of_its_server(ensemble, virtual_clock):
    async with ensemble.client() as client:
        await client.create("/a", b"1")
        before = client.server.id
        ensemble.crash(before)
        stat = await client.set("/a", b"2")
        assert stat.version == 1
        assert client.server.id != before
        assert client.session.state == "CONNECTED"


async def test_a_thousand_pipelined_writes_survive_the_crash_of_the_clients_server_and_of_the_leader(
    ensemble, virtual_clock
):
    async with ensemble.client() as client:
        await client.create("/n")
        await client.create("/s")

        async def crash() -> None:
            await ensemble.wait(lambda: ensemble.replicas[1].machine.zxid & 0xFFFFFF > 100)
            ensemble.crash(client.server.id)
            await trio.sleep(0.5)
            ensemble.crash(ensemble.leader() or 2)
            await trio.sleep(1)
            for server in ensemble.servers:
                if server not in ensemble.replicas:
                    await ensemble.start(server)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            for _ in range(10):
                async with client.pipeline() as pipe:
                    sets = [pipe.set("/n", b"x") for _ in range(50)]
                    made = [pipe.create("/s/n-", sequential=True) for _ in range(50)]
                await trio.sleep(0.1)
        assert sets[-1].result().version == 500
        assert made[-1].result() == "/s/n-0000000499"
        assert len(await client.children("/s")) == 500


async def test_writes_beyond_those_that_may_be_in_flight_leave_as_soon_as_answers_come(ensemble, virtual_clock):
    async with ensemble.client() as client:
        await client.create("/n")
        began_s = trio.current_time()
        async with client.pipeline() as pipe:
            for _ in range(3000):
                pipe.set("/n", b"x")
        assert (await client.exists("/n")).version == 3000
        assert trio.current_time() - began_s < 0.5  # and not with the next tick of the session's clock


async def test_as_many_transactions_are_in_flight_as_the_servers_keep_answers_for(ensemble, virtual_clock):
    async with ensemble.client() as client:
        async with client.pipeline() as pipe:
            for number in range(100):
                pipe.create(f"/{number}")

        async def transact(check: bool) -> None:
            async with client.transaction() as txn:
                for number in range(100):
                    txn.set(f"/{number}", b"x")
                if check:
                    txn.check("/0", exists=False)

        async def fail() -> None:
            with pytest.raises(coord.NodeExistsError):
                await transact(check=True)

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(transact, False)
                nursery.start_soon(fail)
        assert (await client.exists("/0")).version == 60
        assert client._runtime.connection._tries == {}, "no server has refused to keep more answers"


async def test_a_client_whose_server_freezes_moves_to_another(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=6) as client:
        await client.create("/a")
        first = client.server.id
        ensemble.freeze(first)
        begun = trio.current_time()
        await client.set("/a", b"x")
        assert client.server.id != first
        assert trio.current_time() - begun < 6
        ensemble.thaw(first)


async def test_a_client_that_is_cut_off_is_lost_before_the_servers_end_its_session(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client, ensemble.client() as other:
        await client.create("/mine", ephemeral=True)
        async with other.watch("/mine") as events:
            ensemble.isolate(client)
            assert await client.session.wait_state("LOST") == "LOST"
            assert await other.exists("/mine", linearizable=True), "LOST is said first"
            with pytest.raises(coord.SessionLostError):
                await client.get("/mine")
            event = await anext(events)
            assert (event.kind, event.cause) == (coord.EventKind.DELETED, coord.Cause.SESSION_EXPIRED)
        ensemble.heal()


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("of_the_leader", [False, True])
async def test_a_server_that_is_cut_off_and_still_answers_reads_proves_no_session(
    ensemble, virtual_clock, of_the_leader, one_way
):
    """The leader counts; what a client is told by a server that does not reach it must not make it feel safe."""
    leader = await ensemble.wait_leader()
    server = leader if of_the_leader else ensemble.followers()[0]
    others = [each for each in ensemble.servers if each != server]
    async with (
        ensemble.client([server], session_timeout=6) as client,
        ensemble.client(others) as other,
    ):
        await client.create("/mine", ephemeral=True)
        answers = []

        async def read() -> None:
            while True:
                answers.append(await client.get("/mine"))
                await trio.sleep(0.05)

        async with other.watch("/mine") as events:
            ensemble.cut(server, *others, one_way=one_way)
            before = len(answers)
            with pytest.raises(coord.SessionLostError):
                await read()
            assert len(answers) > before, "it was still answered while it was cut off"
            assert await other.exists("/mine", linearizable=True), "LOST is said first"
            assert (await anext(events)).cause == coord.Cause.SESSION_EXPIRED
        ensemble.heal()


async def test_what_waits_when_the_session_is_lost_is_told_and_watches_end(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client, client.watch("/a") as events:
        ensemble.isolate(client)
        with pytest.raises(coord.SessionLostError, match="not proved alive"):
            await client.create("/a")
        with pytest.raises(coord.SessionLostError):
            await anext(events)
        ensemble.heal()


async def test_an_idle_client_keeps_its_session_and_a_suspended_one_comes_back(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client:
        await client.create("/mine", ephemeral=True)
        await trio.sleep(60)
        assert client.session.state == "CONNECTED"
        assert client.session.remaining > 2
        ensemble.isolate(client)
        assert await client.session.wait_state() == "SUSPENDED"
        ensemble.heal()
        assert await client.session.wait_state() == "CONNECTED"
        assert await client.exists("/mine")


async def test_what_is_shielded_is_answered_while_the_block_around_the_client_is_cancelled(ensemble, virtual_clock):
    async with ensemble.client() as other:
        with trio.CancelScope() as scope:
            async with ensemble.client() as client:
                await client.create("/held", ephemeral=True)
                scope.cancel()
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.CancelScope(shield=True):
                        ensemble.crash(client.server.id)
                        await client.delete("/held")
        assert client.session.state == "LOST"
        await other.sync()
        assert await other.exists("/held") is None


async def test_a_session_expired_by_the_servers_is_told_on_the_way_back(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client:
        client._runtime.session.deadline_s = float("inf")  # a client whose own clock stands still
        await ensemble.expire_session(client)
        with pytest.raises(coord.SessionLostError):
            await client.get("/")


async def test_a_watch_is_told_what_it_missed_while_its_client_was_away(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other:
        await other.create("/w")
        async with client.watch("/w", recursive=True) as events:
            for number in range(30):
                if number == 10:
                    ensemble.isolate(client)
                if number == 20:
                    await trio.sleep(5)
                    ensemble.heal()
                await other.create(f"/w/{number}")
            assert [(await anext(events)).path for _ in range(30)] == [f"/w/{number}" for number in range(30)]


async def test_a_watch_on_a_server_that_has_forgotten_says_so(ensemble, virtual_clock):
    async with ensemble.client() as client:
        since = (await client.exists(await client.create("/w"))).czxid
        await client.set("/w", b"1")
        await ensemble.wait_converged()
        for replica in ensemble.replicas.values():
            replica.window.restart(replica.machine.zxid)
        with pytest.raises(coord.WatchWindowLostError):
            async with client.watch("/w", since=since):
                pass
        async with client.watch("/w") as events:
            await client.set("/w", b"2")
            assert (await anext(events)).kind is coord.EventKind.CHANGED


async def test_a_watch_whose_client_was_away_for_too_long_tells_what_it_has_and_then_says_so(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other, client.watch("/w") as events:
        await other.create("/w")
        await ensemble.wait(lambda: len(events._state.events) == 1)
        ensemble.isolate(client)
        await other.set("/w", b"1")
        await ensemble.wait_converged()
        for replica in ensemble.replicas.values():
            replica.window.restart(replica.machine.zxid)
        await client.session.wait_state("SUSPENDED")
        ensemble.heal()
        assert (await anext(events)).kind is coord.EventKind.CREATED
        with pytest.raises(coord.WatchWindowLostError):
            await anext(events)
        assert client.session.state == "CONNECTED"


async def test_a_watch_that_nobody_reads_pauses_and_goes_on_where_it_was(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr("coord.client.session.EVENTS_MAX", 20)
    async with ensemble.client() as client, ensemble.client() as other, client.watch("/w") as events:
        await other.create("/w")
        for _ in range(99):
            await other.set("/w", b"x")
        await trio.sleep(1)
        assert len(events._state.events) < 50
        zxids = [(await anext(events)).zxid for _ in range(100)]
        assert zxids == sorted(set(zxids))
        await other.delete("/w")
        assert (await anext(events)).kind is coord.EventKind.DELETED


async def test_another_process_goes_on_with_a_session_whose_program_died(ensemble, virtual_clock):
    async with trio.open_nursery() as nursery:

        async def program(task_status) -> None:
            async with ensemble.client(session_timeout=20) as client:
                await client.create("/mine", b"1", ephemeral=True)
                task_status.started(client.session.save().to_text())
                ensemble.isolate(client)  # nothing is heard of it any more, not even a goodbye
                await trio.sleep_forever()

        text = await nursery.start(program)
        nursery.cancel_scope.cancel()
    async with ensemble.client(session=coord.SavedSession.from_text(text)) as client:
        assert await client.ephemerals() == ["/mine"]
        assert (await client.set("/mine", b"2")).version == 1


async def test_a_stranger_with_the_wrong_secret_does_not_get_a_session_nor_end_it(ensemble, virtual_clock):
    async with ensemble.client() as client:
        await client.create("/mine", ephemeral=True)
        saved = client.session.save()
        stranger = coord.SavedSession(saved.id, bytes(16), saved.seen_zxid)
        with pytest.raises(coord.SessionLostError):
            async with ensemble.client(session=stranger):
                pass
        assert await client.exists("/mine")


def test_a_run_with_coords_own_clients_can_be_repeated():
    async def main() -> tuple[str, float]:
        async with coord.testing.ensemble(seed=5) as ensemble, ensemble.client() as one, ensemble.client() as other:
            await one.create("/a")
            async with other.watch("/a") as events, trio.open_nursery() as nursery:
                for number in range(30):
                    nursery.start_soon(one.set, "/a", b"%d" % number)
                ensemble.crash(ensemble.leader())
                for _ in range(30):
                    await anext(events)
            return str(ensemble.trace), trio.current_time()

    assert coord.testing.run(main, seed=5) == coord.testing.run(main, seed=5)


async def test_while_there_is_no_quorum_calls_wait_and_none_fails(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=20) as client:
        await client.create("/a")
        ensemble.crash(1)
        ensemble.crash(2)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(client.create, f"/a/{number}")
            await trio.sleep(5)
            await ensemble.start(1)
        assert len(await client.children("/a")) == 20


async def test_clients_without_a_server_name_what_they_tried(ensemble, virtual_clock):
    ensemble.crash(1)
    ensemble.crash(2)
    with pytest.raises(coord.ConnectError, match="s1:2181: Connection refused"):
        async with ensemble.client(connect_timeout=5):
            pass


async def test_a_frozen_program_wakes_up_with_its_session_lost(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client:
        await client.create("/mine", ephemeral=True)
        client._runtime.session.deadline_s = trio.current_time()  # as after a sleep of the machine
        assert client.session.state == "LOST"


# ---- anything at any time


class Worker:
    """A client that writes and reads all the while, cancels some of it, and knows what must have come of it."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng
        self.done: list[str] = []
        self.cancelled: list[str] = []
        self.lost = False

    async def run(self, client: coord.Client, until_s: float) -> None:
        number = 0
        rng = self.rng
        try:
            while trio.current_time() < until_s:
                async with trio.open_nursery() as nursery:
                    for _ in range(rng.randrange(1, 6)):
                        number += 1
                        nursery.start_soon(self.step, client, number, rng.random())
                if rng.random() < 0.3:  # alone: it may show writes that are made while it is under way
                    await client.get("/shared", linearizable=True)
                await trio.sleep(rng.random() * 0.3)
        except* coord.SessionLostError:
            self.lost = True

    async def step(self, client: coord.Client, number: int, dice: float) -> None:
        name = f"{self.name}-{number}-"
        with trio.move_on_after(self.rng.random() * 0.01 if dice < 0.1 else 1000) as scope:
            if dice < 0.5:
                path = await client.create(f"/q/{name}", sequential=True)
                self.done.append(path.rpartition("/")[2])
            elif dice < 0.7:
                await client.set("/shared", name.encode())
            elif dice < 0.8:
                async with client.transaction() as txn:
                    txn.create(f"/q/{name}", sequential=True)
                    txn.set("/shared", name.encode())
                self.done.append(str(txn.results[0]).rpartition("/")[2])
            else:
                await client.get("/shared")
        if scope.cancelled_caught and dice < 0.1:
            self.cancelled.append(name)


async def make_mischief(ensemble: coord.testing.Ensemble, clients: list[coord.Client], seconds: float) -> None:
    rng, until_s = ensemble.rng, trio.current_time() + seconds
    frozen: set[int] = set()
    while trio.current_time() < until_s:
        await trio.sleep(rng.random() * 1.5)
        server = rng.choice(list(ensemble.servers))
        dice = rng.random()
        if dice < 0.35:
            if server in ensemble.replicas:
                frozen.discard(server)
                ensemble.crash(server, lose_all=rng.random() < 0.5)
            else:
                await ensemble.start(server)
        elif dice < 0.5 and server in ensemble.replicas and server not in frozen:
            ensemble.freeze(server)
            frozen.add(server)
            await trio.sleep(rng.random() * 2)
            if server in frozen and server in ensemble.replicas:
                ensemble.thaw(server)
            frozen.discard(server)
        elif dice < 0.65:
            ensemble.isolate(server)
        elif dice < 0.75:
            client = rng.choice(clients)
            ensemble.network.break_between(ensemble.host_of(client), f"s{server}")
        elif dice < 0.85:
            ensemble.cut(server, rng.choice(clients), one_way=rng.random() < 0.5)
        else:
            ensemble.heal()
    ensemble.heal()
    for server in ensemble.servers:
        if server not in ensemble.replicas:
            await ensemble.start(server)


@pytest.mark.parametrize("seed", seeds("1-6"))
async def test_everything_is_done_once_in_order_and_every_watch_sees_all(seed, virtual_clock):
    rng = random.Random(seed)
    recorder = Recorder(lambda: round(trio.current_time() * 1e9))
    workers = [Worker(f"w{number}", random.Random(rng.getrandbits(32))) for number in range(4)]
    seen: list[coord.Event] = []
    async with (
        coord.testing.ensemble(rng.choice((3, 3, 5)), seed=seed) as ensemble,
        ensemble.client(session_timeout=60) as first,
        ensemble.client(session_timeout=60) as watcher,
        ensemble.client(session_timeout=60) as one,
        ensemble.client(session_timeout=60) as two,
        ensemble.client(session_timeout=60) as three,
    ):
        record(first, "first", recorder)
        await first.create("/q")
        await first.create("/shared")
        clients = [first, one, two, three]
        for client, worker in zip(clients[1:], workers[1:], strict=True):
            record(client, worker.name, recorder)
        await watcher.sync()  # its server may be behind the creations
        watch = await watcher.watch("/", recursive=True).__aenter__()

        async def look() -> None:
            async for event in watch:
                seen.append(event)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            async with trio.open_nursery() as working:
                for client, worker in zip(clients, workers, strict=True):
                    working.start_soon(worker.run, client, trio.current_time() + 15)
                await make_mischief(ensemble, [*clients, watcher], 15)
            last = await first.set("/shared", b"the end")
            await ensemble.wait(lambda: bool(seen) and seen[-1].zxid >= last.mzxid)
            nursery.cancel_scope.cancel()
        await ensemble.wait_converged()

        assert not any(worker.lost for worker in workers)
        names = await first.children("/q")
        for worker in workers:
            assert worker.done
            assert set(worker.done) <= set(names)
            rest = [each for each in names if each.startswith(f"{worker.name}-") and each not in worker.done]
            asked = [each.rpartition("-")[0] + "-" for each in rest]
            assert len(set(asked)) == len(asked), "a cancelled write is done once at most"
            assert set(asked) <= set(worker.cancelled)
        report = check(recorder.records)
        assert not report.findings.violations, "\n".join(each.sentence for each in report.findings.violations)
        changes = [(each.zxid, each.path) for each in seen]
        assert changes == sorted(changes, key=lambda each: each[0])
        assert len(set(changes)) == len(changes)
        created = [path.rpartition("/")[2] for (_, path), each in zip(changes, seen, strict=True) if each.kind == 1]
        assert sorted(created) == sorted(names), "the watch has told of every znode, once"
        version = (await first.exists("/shared")).version
        assert sum(each.path == "/shared" for each in seen) == version
