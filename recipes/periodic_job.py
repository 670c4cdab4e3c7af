"""A job that runs every so often on exactly one of many: the cron of a cluster.

    <path>/last      JSON: the number of the last run that is settled, and what became of those before it
    <path>/running   ephemeral, of the member that runs the job now
    <path>/clock     written to be told the time

Run number n is due at `first + n * every`, in Unix time, by the clock of the servers' leader: a member's own clock only
tells it for how long to sleep. Whoever makes `running` runs the next number, if it is due; the end of a run is written
to `last` in one transaction with a check that `running` is still this member's. So each number is settled once, in
order, and none begins before it is due, whatever the members' clocks say.
"""

import json
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

import anyio
import anyio.lowlevel

import coord
from recipes.claim import claim, release
from recipes.errors import LockLost, MisuseError, RecipeError
from recipes.holding import Held, body, check_margin
from recipes.inside import check_contender, check_path
from recipes.place import unique_id, wait_gone
from recipes.shielded import shielded

SLEEP_S_MAX = 60.0
"""The servers are asked for the time again after so long: their clock may have been set."""

UNFINISHED_MAX = 100
"""So many of the runs that did not finish are remembered."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of the runs so far."""

    number: int
    """The last run that is settled: it has finished, or is named in `unfinished` or `missed`."""
    begun: int | None = None
    """A run that was begun and is not settled."""
    by: str = ""
    """Who has settled the last one."""
    unfinished: list[int] = field(default_factory=list)
    """Runs that were begun, did not finish and are not repeated: the last 100."""
    missed: int = 0
    """How many runs were never begun, because nobody was there when they were due."""


class Run(Held):
    """One run, which this member has. A guard: `client.transaction(guard=run)` is done only while it has it."""

    def __init__(self, job: "PeriodicJob", number: int, token: int, record: Record, version: int) -> None:
        super().__init__(job.client, job.running, token, job.name, job.margin)
        self.number = number
        self.due = job.due(number)
        """When it was to begin, in Unix time."""
        self.repeated = record.begun == number
        """Somebody has begun it before, and did not come to its end."""
        self.missed = range(record.number + 1, number)
        """Runs before this one that were due while nobody was there, and that nobody makes up for."""
        self.finished = False
        self._job = job
        self._record = record
        self._version = version
        self._transaction: coord.Transaction | None = None

    def finish_with(self, transaction: coord.Transaction) -> None:
        """Add the end of this run to a transaction of one's own: what it writes is written once, with it."""
        if self.finished or self._transaction is not None:
            raise MisuseError(f"run {self.number} of {self._job.path} was finished before: a run is finished once")
        self._add_end(transaction)
        self._transaction = transaction

    def _add_end(self, txn: coord.Transaction) -> None:
        settled = replace(
            self._record, number=self.number, begun=None, by=self.name, missed=self._record.missed + len(self.missed)
        )
        txn.check(self.path, created=self.token)
        txn.set(self._job.last, _write(settled), version=self._version)
        txn.delete(self.path)

    async def _begin(self) -> None:
        """Let others know that it may have been begun."""
        self._record = replace(self._record, begun=self.number)
        async with self._client.transaction(guard=self) as txn:
            txn.set(self._job.last, _write(self._record), version=self._version)
        self._version += 1

    async def _end(self) -> None:
        """Not to be cancelled."""
        if self._transaction is not None and self._transaction.committed and await self._is_settled():
            return
        while not self.finished:
            txn = self._client.transaction()
            self._add_end(txn)
            try:
                await txn.commit()
                self.finished = True
            except coord.CallTimeoutError:
                await self._is_settled()
            except (coord.NoNodeError, coord.BadVersionError):
                if not await self._is_settled():
                    raise LockLost(
                        f"run {self.number} of {self._job.path} was lost before its end was written: "
                        "somebody else will repeat it"
                    ) from None

    async def _is_settled(self) -> bool:
        """By this member: whoever has `running` is the only one who settles."""
        record, _ = await self._job._read()
        self.finished = record is not None and record.number >= self.number and record.by == self.name
        return self.finished


class PeriodicJob:
    """`await PeriodicJob(client, "/jobs/report", every=3600).run(report)`, in each of many processes.

    `report(run)` is called for each run, by one process at a time, in order, and each number is settled once. A run
    whose process dies, or whose function raises, is not settled: it is run again, with `run.repeated`. With
    `repeat=False` it is not; it is named in the record's `unfinished` then. What has to happen exactly once is written
    in the transaction that ends the run: `run.finish_with(txn)`.

    Runs that were due while nobody was there are made up for one by one; with `make_up=False` only the last of them
    is run, and has the others in `run.missed`. The first run is the first that is due after the job was first seen.
    An error of the function ends `run`, after others have been let in.
    """

    def __init__(
        self,
        client: coord.Client,
        path: str,
        *,
        every: float,
        first: float = 0.0,
        repeat: bool = True,
        make_up: bool = True,
        name: str | None = None,
        margin: float | None = None,
    ) -> None:
        if not (isinstance(every, int | float) and 0 < every < math.inf):
            raise ValueError(f"a job runs every so many seconds, a number above 0, not {every!r}")
        if not (isinstance(first, int | float) and math.isfinite(first)):
            raise ValueError(f"the first run of a job is due at a Unix time in seconds, not {first!r}")
        self.client = client
        self.path = check_path(path)
        self.every = every
        self.first = first
        self.repeat = repeat
        self.make_up = make_up
        self.name = unique_id(client) if name is None else check_contender(path, name)
        self.margin = check_margin(client, path, margin)
        self.running = f"{path}/running"
        self.last = f"{path}/last"
        self._clock = f"{path}/clock"
        self._ahead_s = 0.0
        """Of the session's clock: the servers', as it was told last. A round trip less, so that nobody is early."""
        self._is_run = False

    def __repr__(self) -> str:
        return f"<PeriodicJob {self.path}, every {self.every:g} s>"

    def due(self, number: int) -> float:
        """When a run is to begin, in Unix time."""
        return self.first + number * self.every

    async def latest(self) -> int:
        """The number of the last run that is due by now, by the servers' clock."""
        return math.floor((await self._ask_time() - self.first) / self.every)

    async def record(self) -> Record:
        """What is known of the runs so far."""
        record, _ = await self._read()
        return Record(await self.latest()) if record is None else record

    async def run(self, function: Callable[[Run], Awaitable[None]]) -> None:
        """Take part, until cancelled."""
        if self._is_run:
            raise RuntimeError(f"{self!r} takes part already: a second part needs an object of its own")
        self._is_run = True
        try:
            await self._ensure()
            while True:
                record, _ = await self._read()
                if record is None:
                    raise RecipeError(f"{self.last} was deleted while the job was in use: nobody knows what has run")
                await self._wait_due(record.number + 1)
                await self._try(function)
        finally:
            self._is_run = False

    # ---- one run

    async def _ensure(self) -> None:
        latest = await self.latest()
        with suppress(coord.NodeExistsError):
            await self.client.create(self.last, _write(Record(latest)), parents=True)

    async def _ask_time(self) -> float:
        """Unix time, as the servers' leader gives it to a write. It does not go back."""
        while True:
            try:
                stat = await self.client.set(self._clock, b"")
                break
            except coord.NoNodeError:
                with suppress(coord.NodeExistsError):
                    await self.client.create(self._clock, parents=True)
        told_s = stat.mtime / 1000
        self._ahead_s = told_s - self.client.session.now
        return told_s

    async def _wait_due(self, number: int) -> None:
        await anyio.lowlevel.checkpoint()
        while (left_s := self.due(number) - self.client.session.now - self._ahead_s) > 0:
            await anyio.sleep(max(min(left_s, SLEEP_S_MAX), 0.001))
            if left_s > SLEEP_S_MAX:
                await self._ask_time()

    async def _try(self, function: Callable[[Run], Awaitable[None]]) -> None:
        """Run the next number, or wait until somebody else has."""
        try:
            token = await claim(self.client, self.running, self.name.encode())
        except coord.NodeExistsError:
            await wait_gone(self.client, self.running)
            return
        run: Run | None = None
        try:
            run = await self._next(token)
            if run is not None:
                run.check()
                async with body(run):
                    await run._begin()
                    await function(run)
                await shielded(run._end)
        except (coord.NoNodeError, coord.BadVersionError) as error:
            if run is not None:
                raise
            raise LockLost(f"{self.running} was lost before a run began: {error}") from error
        finally:
            if run is None or not run.finished:
                await release(self.client, self.running, token)

    async def _next(self, token: int) -> Run | None:
        """The run that is to be made now; None if somebody else has made it."""
        record, version = await self._read()
        if record is None:
            raise RecipeError(f"{self.last} was deleted while the job was in use: nobody knows what has run")
        if record.begun is not None and not self.repeat:
            unfinished = [*record.unfinished, record.begun][-UNFINISHED_MAX:]
            missed = record.missed + record.begun - record.number - 1
            record = Record(record.begun, None, self.name, unfinished, missed)
            async with self.client.transaction() as txn:
                txn.check(self.running, created=token)
                txn.set(self.last, _write(record), version=version)
            version += 1
        latest = await self.latest()
        if latest <= record.number:
            return None
        following = record.number + 1 if self.make_up else latest
        return Run(self, following if record.begun is None else record.begun, token, record, version)

    async def _read(self) -> tuple[Record | None, int]:
        try:
            data, stat = await self.client.get(self.last, linearizable=True)
        except coord.NoNodeError:
            return None, -1
        try:
            return Record(**json.loads(data)), stat.version
        except (ValueError, TypeError) as error:
            raise RecipeError(f"{self.last} holds {data!r:.60}, which no job has written: {error}") from None


def _write(record: Record) -> bytes:
    return json.dumps(asdict(record)).encode()
