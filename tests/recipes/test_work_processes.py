"""Real processes work and are killed, as are servers: nothing is lost, nothing done again, no part has two owners."""

import os
import subprocess
import sys
import time
from collections import Counter as Tally
from pathlib import Path

import pytest

import coord
from recipes import TaskQueue
from recipes.counter import Counter
from tests.recipes.work_worker import PARTS

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("work_worker.py")
PROCESSES, WORKERS, TASKS = 4, 3, 150
WAIT_S = 60.0


def start_worker(hosts: str, file: Path, number: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(WORKER), hosts, str(file), str(WORKERS), ("trio", "asyncio")[number % 2]],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


class Seen:
    """What the lines of the processes say. `killed`: those whose last lines may be missing."""

    def __init__(self, lines: list[str], killed: set[str]) -> None:
        self.begun: Tally[str] = Tally()
        self.done: set[str] = set()
        self.counts: list[int] = []
        self.owners: dict[str, str] = {}
        self.moves = 0
        for line in lines:
            what, which, pid = line.split()
            if what == "begin":
                assert which not in self.done, f"{line}, and it was done before"
                self.begun[which] += 1
            elif what == "done":
                assert which not in self.done, f"{line} for the second time"
                self.done.add(which)
            elif what == "count":
                self.counts.append(int(which))
            elif what == "own":
                assert which not in self.owners or self.owners[which] in killed, (
                    f"{line} while {self.owners[which]} has"
                )
                self.owners[which] = pid
                self.moves += 1
            else:
                assert self.owners.pop(which) == pid, line
        assert len(set(self.counts)) == len(self.counts), "a number was counted twice"


def test_workers_and_servers_are_killed_and_all_is_done_once(own_real, tmp_path):
    file = tmp_path / "seen"
    file.touch()
    hosts = own_real.hosts()
    killed: set[str] = set()
    workers = [start_worker(hosts, file, number) for number in range(PROCESSES)]
    try:
        with coord.connect_blocking(hosts, session_timeout=20) as client:
            client.create("/results")
            put = client.run(put_all, TASKS // 2)
            wait(lambda: lines_of(file, "done") > 10)
            kill(workers, 0, killed)
            own_real.kill9(own_real.wait_leader())
            put |= client.run(put_all, TASKS - TASKS // 2)
            workers.append(start_worker(hosts, file, PROCESSES))
            restart_dead(own_real)
            wait(lambda: lines_of(file, "done") > TASKS // 2)
            kill(workers, 0, killed)
            wait(lambda: not client.run(count))
            wait(lambda: set(Seen(file.read_text().splitlines(), killed).owners) == set(PARTS))
            for worker in workers:
                worker.stdin.close()
            for worker in workers:
                assert worker.wait(WAIT_S) == 0
            results = set(client.children("/results"))
            total = client.run(total_of)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdin.close()
    seen = Seen(file.read_text().splitlines(), killed)
    assert results == put, "a task was lost"
    assert put <= set(seen.begun)
    assert len(put - seen.done) <= 2 * WORKERS, "only who was killed did not tell"
    assert len(seen.counts) <= total <= TASKS
    assert seen.moves > len(PARTS)


async def put_all(client: coord.Client, number: int) -> set[str]:
    return {await TaskQueue(client, "/tasks").put(b"x") for _ in range(number)}


async def count(client: coord.Client) -> int:
    return await TaskQueue(client, "/tasks").count()


async def total_of(client: coord.Client) -> int:
    return await Counter(client, "/counter").get(linearizable=True)


def kill(workers: list[subprocess.Popen], number: int, killed: set[str]) -> None:
    victim = workers.pop(number)
    killed.add(str(victim.pid))
    victim.kill()
    victim.wait()
    victim.stdin.close()


def restart_dead(ensemble) -> None:
    for server in ensemble.members:
        if not ensemble.is_running(server):
            ensemble.start(server)
    ensemble.wait_serving()


def wait(condition) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.05)


def lines_of(file: Path, what: str) -> int:
    return file.read_text().count(f"{what} ")


@pytest.mark.parametrize(
    "lines",
    [
        ["begin a 1", "done a 1", "begin a 2"],
        ["begin a 1", "begin a 2", "done a 2", "done a 1"],
        ["count 3 1", "count 3 2"],
        ["own p 1", "own p 2"],
        ["own p 1", "free p 2"],
    ],
)
def test_the_check_finds_what_must_not_be(lines):
    with pytest.raises(AssertionError):
        Seen(lines, {"3"})


def test_the_check_allows_what_may_be():
    seen = Seen(["begin a 3", "own p 3", "own p 1", "begin a 1", "done a 1", "free p 1", "own p 2", "count 1 1"], {"3"})
    assert (seen.begun["a"], seen.owners, seen.moves) == (2, {"p": "2"}, 3)
