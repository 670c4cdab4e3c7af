"""Real processes contend for a lock while servers and a worker are killed: no overlap, and tokens only grow."""

import os
import subprocess
import sys
import time
from pathlib import Path

SECONDS = float(os.environ.get("COORD_TEST_SECONDS", "10"))
PROCESSES, CONTENDERS = 5, 10
ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("lock_worker.py")


def start_worker(hosts: str, file: Path, number: int) -> subprocess.Popen:
    library = ("trio", "asyncio")[number % 2]
    return subprocess.Popen(
        [sys.executable, str(WORKER), hosts, str(file), str(CONTENDERS), library],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def check(lines: list[str], killed: int) -> int:
    """How often the lock was held. Raises if two held it at once, or a token was not greater than those before."""
    holder: tuple[str, str] | None = None
    last, times = 0, 0
    for line in lines:
        what, pid, number, token = line.split()
        if what == "enter":
            if holder is not None:
                assert holder[0] == str(killed), f"{line} while {holder} held it"
            assert int(token) > last, f"{line} after token {last}"
            holder, last, times = (pid, number), int(token), times + 1
        else:
            assert holder == (pid, number), f"{line} while {holder} held it"
            holder = None
    return times


def test_fifty_contenders_in_five_processes_while_servers_and_a_process_are_killed(own_real, tmp_path):
    file = tmp_path / "held"
    file.touch()
    workers = [start_worker(own_real.hosts(), file, number) for number in range(PROCESSES)]
    victim = workers[0]
    try:
        wait_lines(file, 40)
        end = time.monotonic() + SECONDS
        own_real.kill9(own_real.wait_leader())
        restart_dead(own_real)
        grow(file)
        victim.kill()
        victim.wait()
        grow(file)
        while time.monotonic() < end:
            server = own_real.wait_leader()
            own_real.kill9(server)
            restart_dead(own_real)
            grow(file)
        for worker in workers[1:]:
            worker.stdin.close()
        for worker in workers[1:]:
            assert worker.wait(60) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stdin.close()
    assert check(file.read_text().splitlines(), victim.pid) > 50


def restart_dead(ensemble) -> None:
    for server in ensemble.members:
        if not ensemble.is_running(server):
            ensemble.start(server)
    ensemble.wait_serving()


def wait_lines(file: Path, count: int) -> None:
    end = time.monotonic() + 60
    while file.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end, f"fewer than {count} lines were written"
        time.sleep(0.05)


def grow(file: Path, lines: int = 20) -> None:
    wait_lines(file, file.read_bytes().count(b"\n") + lines)


def test_the_check_finds_an_overlap_and_a_token_that_goes_back():
    good = ["enter 1 0 5", "leave 1 0 5", "enter 2 0 7", "leave 2 0 7"]
    assert check(good, 0) == 2
    for bad in (
        ["enter 1 0 5", "enter 2 0 7", "leave 1 0 5", "leave 2 0 7"],
        ["enter 1 0 7", "leave 1 0 7", "enter 2 0 5", "leave 2 0 5"],
    ):
        try:
            check(bad, 0)
        except AssertionError:
            continue
        raise AssertionError(f"{bad} was not found")
