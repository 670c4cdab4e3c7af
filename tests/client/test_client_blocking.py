"""The client for programs without async: threads, iterators, Ctrl-C, forks."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import coord
from coord.replica.replica import Replica

ROOT = Path(__file__).resolve().parents[2]


def ran(program: str, folder: Path, timeout_s: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """A whole program in a process of its own, to its end."""
    file = folder / "program.py"
    file.write_text(program)
    return subprocess.run(
        [sys.executable, str(file)],
        env={"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


@pytest.fixture
def client() -> Iterator[coord.BlockingClient]:
    with coord.embedded_blocking() as made:
        yield made


def test_every_call_waits_for_its_answer(client):
    assert client.create("/a/b", b"1", parents=True) == "/a/b"
    value, stat = client.get("/a/b", linearizable=True)
    assert (value, stat.version) == (b"1", 0)
    assert client.set("/a/b", b"2", version=0).version == 1
    assert client.exists("/nowhere") is None
    assert client.children("/a") == ["b"]
    assert [each.data for each in client.each_child("/a", data=True)] == [b"2"]
    assert client.children_page("/a").stat.children_count == 1
    assert client.count_descendants("/a") == 1
    client.create("/e", ephemeral=True)
    assert client.ephemerals() == ["/e"]
    client.sync()
    client.authenticate("digest", "ann:secret")
    assert len(client.whoami()) == 2
    client.set_acl("/a", coord.OPEN_ACL)
    assert client.get_acl("/a")[0] == coord.OPEN_ACL
    client.set_quota("/a", coord.Quota(znodes=5))
    assert client.get_quota("/a").znodes == 2
    client.delete("/a", recursive=True)
    with pytest.raises(coord.NoNodeError, match="/a"):
        client.get("/a")
    assert client.state == "CONNECTED"
    assert client.wait_state("CONNECTED") == "CONNECTED"
    assert client.save_session().id == client.session_id
    assert client.server.id == 1


def test_transactions_and_pipelines_are_with_blocks(client):
    with client.transaction() as txn:
        txn.create("/a", b"1")
        txn.check("/a", version=0)
    assert txn.results == ["/a", None]
    with client.pipeline(keep_errors=True) as pipe:
        pipe.set("/a", b"2")
        pipe.get("/a")
        pipe.get("/nowhere")
    assert pipe.outcomes[1].result()[0] == b"2"
    assert isinstance(pipe.outcomes[2].error, coord.NoNodeError)


def test_a_watch_is_an_ordinary_iterator(client):
    with client.watch("/a") as events:
        assert events.next(timeout=0.01) is None
        client.create("/a")
        client.set("/a", b"x")
        assert next(events).kind is coord.EventKind.CREATED
        assert next(iter(events)).zxid > events.zxid


def test_many_threads_share_one_client(client):
    client.create("/n", b"0")

    def add(_: int) -> None:
        while True:
            value, stat = client.get("/n")
            try:
                client.set("/n", b"%d" % (int(value) + 1), version=stat.version)
            except coord.BadVersionError:
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert client.get("/n")[0] == b"40"


def test_a_thread_that_waits_for_an_event_does_not_hold_up_the_others(client):
    found: list[coord.Event] = []
    with client.watch("/a") as events:
        thread = threading.Thread(target=lambda: found.append(next(events)))
        thread.start()
        client.create("/a")
        thread.join(20)
    assert [each.path for each in found] == ["/a"]


def test_a_function_can_be_run_with_the_asynchronous_client(client):
    async def both(asynchronous: coord.Client, path: str) -> int:
        await asynchronous.create(path)
        return (await asynchronous.set(path, b"x")).version

    assert client.run(both, "/a") == 1


def test_after_the_block_and_before_it_calls_say_so():
    client = coord.embedded_blocking()
    with pytest.raises(coord.ClientClosedError, match="inside its block"):
        client.get("/")
    with client:
        pass
    with pytest.raises(coord.ClientClosedError):
        client.get("/")
    with pytest.raises(coord.ClientClosedError, match="entered once"):
        client.__enter__()


def test_what_keeps_it_from_connecting_is_raised_where_it_is_entered():
    with pytest.raises(coord.ConnectError, match=r"127\.0\.0\.1:1: Connection refused"):
        coord.connect_blocking("127.0.0.1:1", connect_timeout=0.3).__enter__()
    with pytest.raises(coord.AddressError):
        coord.connect_blocking("127.0.0.1:x").__enter__()


FORKING = """
import os, signal, sys
import coord

signal.alarm(30)  # a hang is a failure, in parent and child
with coord.embedded_blocking() as client:
    client.create("/a", b"1")
    events = client.watch("/a").__enter__()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        for call in (lambda: client.get("/a"), lambda: next(events), client.transaction, lambda: client.state):
            try:
                call()
            except coord.ForkedError as error:
                assert "connect anew" in str(error)
            else:
                os._exit(1)
        {leave}
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7, status
    assert client.get("/a")[0] == b"1"
    print("fine")
"""


@pytest.mark.parametrize("leave", ["sys.exit(7)", "os._exit(7)", "del events, client; sys.exit(7)"])
def test_a_forked_child_gets_an_error_and_never_hangs(leave, tmp_path):
    done = ran(FORKING.format(leave=leave), tmp_path)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


INTERRUPTED = """
import os, signal, threading, time

import coord

signal.alarm(30)  # a hang is a failure
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored

def interrupt():
    while events._made._state.waiter is None:
        time.sleep(0.01)  # until the main thread's wait has begun
    os.kill(os.getpid(), signal.SIGINT)

with coord.embedded_blocking() as client, client.watch("/a") as events:
    threading.Thread(target=interrupt).start()
    try:
        next(events)
    except KeyboardInterrupt:
        client.create("/a")
        assert next(events).path == "/a"  # the interrupted one has not taken it
        print("fine")
"""


def test_an_interrupted_wait_takes_no_event(tmp_path):
    done = ran(INTERRUPTED, tmp_path)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


INTERRUPTED_ANYWHERE = """
import os, signal, threading

import coord

signal.alarm(60)  # a hang is a failure
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored

with coord.embedded_blocking() as client, client.watch("/a", recursive=True) as events:
    for number in range(100):
        timer = threading.Timer(number % 20 * 0.0002, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            next(events)  # wherever in here the interrupt comes
            assert False, "there is no event"
        except KeyboardInterrupt:
            timer.join()
    client.create("/a")
    assert next(events).path == "/a"
    print("fine")
"""


def test_an_interrupt_at_any_moment_of_a_call_leaves_nothing_of_it_behind(tmp_path):
    done = ran(INTERRUPTED_ANYWHERE, tmp_path, timeout_s=90)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


UNFINISHED = """
import signal

import coord

signal.alarm(30)  # a hang is a failure

def opened():
    with coord.embedded_blocking() as client:
        yield client

kept = opened()
client = next(kept)
client.create("/a")
print("fine")
"""


def test_an_interpreter_that_ends_inside_the_block_ends(tmp_path):
    done = ran(UNFINISHED, tmp_path, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    assert list(tmp_path.glob("coord-*")) == [], "the embedded server has cleared up"


def test_who_still_waits_when_another_thread_leaves_the_block_is_told():
    client = coord.embedded_blocking()
    client.__enter__()
    with ThreadPoolExecutor() as pool:
        entered = threading.Event()

        def wait() -> None:
            with client.watch("/a") as events:
                entered.set()
                next(events)

        waiting = pool.submit(wait)
        entered.wait(10)
        client.__exit__(None, None, None)
        with pytest.raises(coord.ClientClosedError):
            waiting.result(10)


def test_a_call_that_waits_when_the_embedded_server_fails_says_why(monkeypatch):
    def fail(self, now, wall_ms):
        raise RuntimeError("the server is broken")

    def main() -> None:
        with coord.embedded_blocking() as client:
            monkeypatch.setattr(Replica, "take", fail)
            client.create("/a")

    with pytest.raises(coord.ClientClosedError, match="the server is broken"):
        main()
