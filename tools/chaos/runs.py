"""One run: servers, links, clients, rounds of faults, and then the question whether every promise was kept.

Between rounds all is well, and must be: every server serves, and every client gets a write through, however long that
takes within a wide limit. In the end every server shows what it has, all have the same state, each stops as it was
asked to, and the history goes through every checker of tools/check, beside the servers' own log.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from coord.model.acl import OPEN_ACL
from coord.model.entries import Batch
from coord.model.replies import Failed
from coord.model.requests import Create, GetChildren, GetData, Request
from tools.chaos.clients import KINDS, Client, NoConnectionError, RawKind
from tools.chaos.faults import FAULTS, End
from tools.chaos.logs import Keeper, LogError, committed, joined
from tools.chaos.plan import SETUPS, Round, rounds, setup
from tools.chaos.proxies import Proxies
from tools.chaos.stage import Broken, ProxiedCoord, Stage
from tools.chaos.workload import PAUSE_S_MAX, QUEUE, REGISTERS, Worker, folder, folders
from tools.check.checks import check
from tools.check.history import Record, Recorder, Returned
from tools.check.linearizability import Budget
from tools.check.lines import HistoryFile
from tools.check.picture import page
from tools.ensembles import Ensemble, EnsembleError, words

GENERATION_S = 4.0
GENERATIONS_SPARE = 16
"""What waits for servers does not count against the run's time; the last generation serves all that is left."""
PROGRESS_WITHIN_S = 90.0
TIMEOUTS_MS = (1_000, 4_000, 30_000)
"""Of sessions, in turn: of the shortest some expire."""
POLL_S = 0.02
SEARCH_STEPS, SEARCH_S = 20_000_000, 600.0
HISTORY, LOG, PAGE = "history.jsonl", "servers.log", "report.html"


@dataclass(slots=True, frozen=True)
class Options:
    """What is to be run."""

    seed: int
    seconds: float
    servers: int = 3
    observers: int = 0
    clients: tuple[str, ...] = ("raw", "raw", "raw", "kazoo", "kazoo", "native", "native", "native")
    faults: tuple[str, ...] = tuple(FAULTS)
    pause_s_max: float = PAUSE_S_MAX
    small_disks: bool = False
    entry: tuple[str, ...] = ("-m", "coord")


@dataclass(slots=True)
class Outcome:
    """What came of it. Nothing in `broken` and `undecided`: every promise was kept."""

    broken: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: int = 0
    operations: int = 0
    unknown: int = 0  # operations whose outcome no client was told
    acknowledged: int = 0  # writes
    sessions: int = 0
    batches: int = 0
    deeds: dict[str, int] = field(default_factory=dict)


class Run:
    """The parts of a run, and its course."""

    def __init__(self, options: Options, where: Path, say: Callable[[str], None]) -> None:
        self.options = options
        self.outcome = Outcome()
        self.records: list[Record] = []
        self._where = where
        self._say = say
        self._began_s = time.monotonic()
        self._generations = int(options.seconds / GENERATION_S) + GENERATIONS_SPARE
        self._workers: list[Worker] = []
        self._last_zxid = 0  # known to be committed
        self._batches: list[Batch] | None = None

    def perform(self) -> Outcome:
        """All of it. What is found goes into the outcome, not into exceptions."""
        try:
            with ExitStack() as stack:
                self._play(stack)
        except (Broken, EnsembleError) as error:
            self.outcome.broken.append(str(error))
        self._judge()
        return self.outcome

    # ---- the course

    def _play(self, stack: ExitStack) -> None:
        options = self.options
        file = stack.enter_context(HistoryFile(self._where / HISTORY))

        def keep(record: Record) -> None:
            self.records.append(record)
            file.keep(record)

        self._recorder = Recorder(keep=keep)
        chosen = setup(options.seed, options.small_disks)
        self._say(f"servers: {chosen}")
        software = ProxiedCoord((*SETUPS[chosen], *self._observing()), options.entry)
        proxies = stack.enter_context(Proxies())
        ensemble = Ensemble(software, self._where, options.servers)
        self._stage = Stage(ensemble, software, proxies, self._tell)
        if options.small_disks:
            self._stage.mount_small_disks()
            stack.callback(self._stage.unmount_small_disks)
        folders_of = [member.folder / "disk" for member in ensemble.members.values()]
        self._keeper = Keeper({disk / "data" / "log": disk / "kept" for disk in folders_of})
        stack.callback(self._collect)
        stack.enter_context(self._keeper)
        stack.enter_context(ensemble)
        ensemble.start_all()
        ensemble.wait_serving()
        self._prepare()
        stack.callback(self._stop_workers)
        self._start_workers()
        self._wait_progress("at the start")
        self._began_s = time.monotonic()
        for number, each in enumerate(rounds(options.seed, options.faults), 1):
            if self._elapsed_s() >= options.seconds:
                break
            self._tell(f"round {number}: {each}")
            self._round(each)
        self._stop_workers()
        self._last_look()
        self._wait_equal()
        for id in self._stage.servers:
            self._stage.stop(id)

    def _observing(self) -> list[str]:
        servers, observers = self.options.servers, self.options.observers
        ids = range(servers - observers + 1, servers + 1)
        return ["--observers", ",".join(map(str, ids))] if observers else []

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _tell(self, sentence: str) -> None:
        self._say(f"{self._elapsed_s():7.2f} s  {sentence}")

    def _generation(self) -> int:
        return min(int(self._elapsed_s() / GENERATION_S), self._generations - 1)

    def _client(self, server: int, name: str) -> Client:
        """One that asks this server directly."""
        try:
            return RawKind(self._recorder, name, [self._stage.ensemble.members[server].client_port], 30_000)
        except NoConnectionError as error:
            raise Broken(f"server {server} serves, and refuses a client: {error}") from None

    def _prepare(self) -> None:
        client = self._client(1, "preparer")
        for path in folders(self._generations):
            _done(client, Create(path, b"", OPEN_ACL))
        client.close()

    def _start_workers(self) -> None:
        for number, kind in enumerate(self.options.clients):
            name = f"{kind}-{number + 1}"
            ports = self._stage.link_client(name)
            home = number % len(ports)
            make = partial(
                _make, kind, self._recorder, ports[home:] + ports[:home], TIMEOUTS_MS[number % len(TIMEOUTS_MS)]
            )
            seed = f"{self.options.seed} {name}"
            self._workers.append(Worker(name, make, self._generation, seed, self.options.pause_s_max))
        for worker in self._workers:
            worker.start()

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.stop()
        hanging = [worker.name for worker in self._workers if not worker.join(PROGRESS_WITHIN_S)]
        self.outcome.acknowledged += sum(worker.acknowledged for worker in self._workers)
        self.outcome.sessions += sum(worker.sessions for worker in self._workers)
        self._workers = []  # it may be asked again, at the end of everything
        if hanging:
            raise Broken(f"the clients {', '.join(hanging)} had no answer within {PROGRESS_WITHIN_S} s")

    # ---- rounds

    def _round(self, each: Round) -> None:
        began_s = time.monotonic()
        due: list[tuple[float, int, End]] = []  # when, in which order among equals, what

        def begin(index: int) -> None:
            deed = each.deeds[index]
            self.outcome.deeds[deed.fault] = self.outcome.deeds.get(deed.fault, 0) + 1
            end = FAULTS[deed.fault](self._stage, Random(deed.seed))
            due.append((time.monotonic() + deed.lasts_s, len(each.deeds) + index, end))

        for index, deed in enumerate(each.deeds):
            due.append((began_s + deed.begins_s, index, partial(begin, index)))
        while due:
            due.sort(key=_when)
            at_s, _, act = due.pop(0)
            self._pass_until(at_s)
            act()
        self._stage.wait_serving()
        self._wait_progress(f"after {each}")
        self._pass_until(time.monotonic() + each.quiet_s)
        self.outcome.rounds += 1

    def _pass_until(self, at_s: float) -> None:
        while (left_s := at_s - time.monotonic()) > 0:
            self._stage.look_after()
            self._look_at_workers()
            time.sleep(min(left_s, POLL_S))

    def _look_at_workers(self) -> None:
        for worker in self._workers:
            if worker.defect is not None:
                what = "".join(traceback.format_exception(worker.defect))
                raise Broken(f"the client {worker.name} met what no client should meet:\n{what}")

    def _wait_progress(self, when: str) -> None:
        """Until each client has had a write of now acknowledged."""
        before = {worker.name: worker.acknowledged for worker in self._workers}

        def done() -> bool:
            self._stage.look_after()
            self._look_at_workers()
            return all(worker.acknowledged > before[worker.name] for worker in self._workers)

        def state() -> str:
            waiting = [worker.name for worker in self._workers if worker.acknowledged == before[worker.name]]
            return f"{', '.join(waiting)} had none"

        what = f"a write of every client to be acknowledged {when}"
        self._stage.ensemble.wait_until(done, what, PROGRESS_WITHIN_S, state)

    # ---- the end

    def _last_look(self) -> None:
        """What every server shows of everything goes into the history as well."""
        for server in self._stage.servers:
            client = self._client(server, f"reader-{server}")
            for generation in range(self._generation() + 1):
                here = folder(generation)
                _done(client, GetChildren(f"{here}/{QUEUE}", False, True), linearizable=not generation)
                _done(client, GetChildren(here, False, True))
                for register in range(REGISTERS):
                    client.call(GetData(f"{here}/r{register}"))
            client.close()

    def _wait_equal(self) -> None:
        """Until the newest digest of every server is the same one, at the same zxid."""
        ports = [member.client_port for member in self._stage.ensemble.members.values()]
        shown: list[str] = []

        def equal() -> bool:
            try:
                shown[:] = [words.ask(port, "hash").rpartition("\n")[0].rpartition("\n")[2] for port in ports]
            except OSError:
                return False  # one is too busy to answer just now
            return len(set(shown)) == 1 and ": " in shown[0]

        what = "all servers to have the same state (zxid: digest)"
        self._stage.ensemble.wait_until(equal, what, PROGRESS_WITHIN_S, lambda: str(shown))
        self._last_zxid = int(shown[0].partition(":")[0], 16)

    def _collect(self) -> None:
        """Take the log from the disks, while they are there."""
        answered = max((each.zxid for each in self.records if isinstance(each, Returned)), default=0)
        try:
            batches = committed(self._keeper.batches(), max(self._last_zxid, answered))
        except LogError as error:
            self.outcome.broken.append(str(error))
            return
        self.outcome.batches = len(batches)
        (self._where / LOG).write_bytes(joined(batches))
        self._batches = batches

    def _judge(self) -> None:
        report = check(self.records, self._batches, Budget(SEARCH_STEPS, SEARCH_S))
        outcome, findings = self.outcome, report.findings
        outcome.operations = len(report.operations)
        outcome.unknown = sum(each.reply is None for each in report.operations)
        outcome.broken += [f"{each.check}: {each.sentence}" for each in findings.violations]
        outcome.undecided += findings.undecided
        outcome.notes += findings.notes
        if findings.violations or findings.undecided:
            (self._where / PAGE).write_text(page(report.windows, findings), encoding="utf-8")


def recheck(where: Path, has_log: bool) -> str:
    """The command that checks a kept history again."""
    log = f" --log {where / LOG}" if has_log else ""
    return f"python -m tools.check {where / HISTORY}{log} --html {where / PAGE}"


def _make(kind: str, recorder: Recorder, ports: Sequence[int], timeout_ms: int, name: str) -> Client:
    return KINDS[kind](recorder, name, ports, timeout_ms)


def _done(client: Client, request: Request, linearizable: bool = False) -> None:
    reply = client.call(request, linearizable)
    if reply is None or isinstance(reply, Failed):
        raise Broken(f"with nothing wrong, {request} was answered with {reply}")


def _when(due: tuple[float, int, End]) -> tuple[float, int]:
    return due[:2]
