"""A job that runs on one of many: no run is left out silently, none is settled twice, never two at a time."""

import random

import pytest
import trio

import coord
import coord.testing
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import LockLost, MisuseError, RecipeError
from recipes.holding import Held
from recipes.periodic_job import PeriodicJob, Record, Run
from tests.client.both import on_both
from tests.recipes.faults import disturb, seeds


def clock() -> float:
    return 1_800_000_000 + trio.current_time()


class Runs:
    """What runs, in simulated true time."""

    def __init__(self) -> None:
        self.now: list[int] = []
        self.begun: list[int] = []
        self.settled: list[int] = []
        self.missed: list[int] = []

    async def do(self, run: Run, seconds: float) -> None:
        assert not self.now, f"run {run.number} begins while {self.now} runs"
        assert run.number not in self.settled, f"run {run.number} begins again after its end"
        assert clock() >= run.due, "a run begins before it is due"
        assert run.repeated == (run.number in self.begun)
        self.now.append(run.number)
        self.begun.append(run.number)
        self.missed.extend(run.missed)
        try:
            await trio.sleep(seconds)
        finally:
            self.now.remove(run.number)


async def take_part(ensemble: coord.testing.Ensemble, rng: random.Random, runs: Runs, options: dict[str, bool]) -> None:
    """One life after another: it fails, is cancelled, or is cut off while it runs."""
    while True:
        async with ensemble.client(session_timeout=4) as client:
            host = ensemble.host_of(client)

            async def work(run: Run, client: coord.Client = client, host: str = host) -> None:
                seconds = rng.uniform(0, 1)
                if rng.random() < 0.1:
                    ensemble.network.isolate(host)
                    seconds = 10
                await runs.do(run, seconds)
                if rng.random() < 0.1:
                    raise ZeroDivisionError
                txn = client.transaction(guard=run)
                txn.create(f"/done/{run.number}", parents=True)
                run.finish_with(txn)
                await txn.commit()
                runs.settled.append(run.number)

            try:
                with trio.move_on_after(rng.uniform(5, 30)):
                    await PeriodicJob(client, "/job", every=3, **options).run(work)
            except (LockLost, coord.CoordError, ZeroDivisionError):
                pass
            ensemble.network.rejoin(host)


async def run_seed(seed: int, options: dict[str, bool]) -> None:
    rng, runs = random.Random(seed), Runs()
    async with coord.testing.ensemble(seed=seed) as ensemble, ensemble.client(session_timeout=60) as client:
        job = PeriodicJob(client, "/job", every=3, **options)
        first = await job.latest() + 1
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(take_part, ensemble, random.Random(rng.random()), runs, options)
            await disturb(ensemble, rng, 3)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        await trio.sleep(10)
        await client.sync()
        record = await job.record()
        done = {int(each) for each in await client.children("/done")}
        assert await client.exists("/job/running") is None
        assert len(set(runs.settled)) == len(runs.settled)
        assert set(runs.settled) <= done
        told = done | set(record.unfinished) | set(runs.missed)
        assert told >= set(range(first, record.number + 1)), "a run was left out, and nobody was told"
        assert record.number >= first + 10
        if not options:
            assert done == set(range(first, record.number + 1))
        if options.get("repeat", True) is False:
            assert len(set(runs.begun)) == len(runs.begun), "a run was begun twice"


@pytest.mark.parametrize("options", [{}, {"repeat": False}, {"make_up": False}])
@pytest.mark.parametrize("seed", seeds("1-4"))
async def test_every_run_is_settled_once_and_in_order(seed, options, virtual_clock):
    await run_seed(seed, options)


async def never_lost(run: Held) -> str:
    """Does not see that its session has ended."""
    await trio.sleep_forever()
    raise AssertionError


def end_unchecked(run: Run, txn: coord.Transaction) -> None:
    """Settles whatever number comes to mind."""
    txn.set(run._job.last, b'{"number": %d}' % (run.number + 1))
    txn.delete(run.path)


@pytest.mark.parametrize("mutant", [(Held, "wait_lost", never_lost), (Run, "_add_end", end_unchecked)])
async def test_a_careless_member_is_found(mutant, virtual_clock, monkeypatch):
    async def run_seeds() -> None:
        for seed in range(1, 8):
            await run_seed(seed, {})

    monkeypatch.setattr(*mutant)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seeds()


async def test_runs_that_were_missed_are_made_up_for_or_told(ensemble, virtual_clock):
    async with ensemble.client() as client:
        seen: list[tuple[int, list[int]]] = []

        async def note(run: Run) -> None:
            seen.append((run.number - first, list(run.missed)))

        await client.create("/job/last", b'{"number": 0}', parents=True)
        for make_up in (False, True):
            job = PeriodicJob(client, "/job", every=10, make_up=make_up)
            first = await job.latest()
            await client.set("/job/last", b'{"number": %d}' % (first - 3))
            with trio.move_on_after(1):
                await job.run(note)
        assert seen == [(0, [first - 2, first - 1]), (-2, []), (-1, []), (0, [])]
        assert await job.record() == Record(first, by=job.name)


@on_both
async def test_a_run_that_raises_is_repeated_and_what_it_writes_with_its_end_is_written_once():
    async def fail(run: Run) -> None:
        raise ZeroDivisionError(run.repeated)

    async with coord.embedded() as client:

        async def work(run: Run) -> None:
            assert run.repeated
            async with client.transaction() as txn:
                txn.create(f"/report-{run.number}")
                run.finish_with(txn)
            with pytest.raises(MisuseError, match="finished before"):
                run.finish_with(client.transaction())
            raise KeyboardInterrupt

        await client.create("/job/last", b'{"number": 100}', parents=True)
        job = PeriodicJob(
            client, "/job", every=1000, first=await PeriodicJob(client, "/job", every=1).latest() - 101_500
        )
        for repeated in (False, True):
            with pytest.raises(ZeroDivisionError, match=str(repeated)):
                await job.run(fail)
        assert (await job.record()).begun == 101
        with pytest.raises(KeyboardInterrupt):
            await job.run(work)
        assert await client.children("/") != []
        assert (await job.record()).number == 101
        assert await client.exists("/report-101")
        assert await client.exists("/job/running") is None


@on_both
async def test_misuse_is_told():
    async with coord.embedded() as client:
        for every in (0, -1, float("inf"), "1"):
            with pytest.raises(ValueError, match="every so many seconds"):
                PeriodicJob(client, "/job", every=every)
        with pytest.raises(ValueError, match="path of a recipe"):
            PeriodicJob(client, "job", every=1)
        await client.create("/job/last", b"nonsense", parents=True)
        with pytest.raises(RecipeError, match="/job/last holds b'nonsense', which no job has written"):
            await PeriodicJob(client, "/job", every=1).record()


async def test_no_run_begins_before_it_is_due_by_the_servers_clock(ensemble, virtual_clock):
    """This member believes that the servers are a minute ahead."""
    begun: list[float] = []
    async with ensemble.client() as client:
        job = PeriodicJob(client, "/job", every=10)
        ask = job._ask_time

        async def ask_and_err() -> float:
            told = await ask()
            job._ahead_s += 60 if len(begun) < 1 and not errors else 0
            errors.append(told)
            return told

        errors: list[float] = []
        job._ask_time = ask_and_err

        async def note(run: Run) -> None:
            begun.append(clock() - run.due)
            if len(begun) == 3:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await job.run(note)
    assert all(0 <= late < 0.1 for late in begun)
    assert len(errors) < 12, "it does not ask again and again"


async def test_a_member_that_goes_by_a_clock_of_its_own_is_found(virtual_clock, monkeypatch):
    async def latest(job: PeriodicJob) -> int:
        return int((clock() + 2 - job.first) // job.every)

    async def wait_due(job: PeriodicJob, number: int) -> None:
        await trio.sleep(max(0.01, job.due(number) - clock() - 2))

    monkeypatch.setattr(PeriodicJob, "latest", latest)
    monkeypatch.setattr(PeriodicJob, "_wait_due", wait_due)
    with pytest.raises((AssertionError, ExceptionGroup)):
        await run_seed(1, {})


async def test_two_objects_of_one_client_are_two_members(ensemble, virtual_clock):
    begun: list[int] = []
    async with ensemble.client() as client:
        one, two = PeriodicJob(client, "/job", every=10), PeriodicJob(client, "/job", every=10)
        assert one.name != two.name

        async def note(run: Run) -> None:
            begun.append(run.number)
            await trio.sleep(1)

        with trio.move_on_after(55):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.run, note)
                nursery.start_soon(two.run, note)
        assert begun == list(range(begun[0], begun[0] + 5))


async def test_a_first_run_at_no_time_is_told(ensemble, virtual_clock):
    async with ensemble.client() as client:
        for first in (float("nan"), float("inf"), "today"):
            with pytest.raises(ValueError, match="due at a Unix time in seconds"):
                PeriodicJob(client, "/job", every=1, first=first)
