"""`coord up` with stand-ins for servers: real processes that listen, answer `srvr`, and end as they are told."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from coord.cli import up
from coord.cli.exit_codes import ExitCode
from coord.cli.up import Address, Child, Ensemble, UpError, claim, free_peer_ports
from tools.ensembles import ports

ROOT = Path(up.__file__).parents[2]
STAND_IN = """
import argparse, os, signal, socket, sys
parser = argparse.ArgumentParser()
for name in ("id", "data", "client", "peer", "ensemble", "log-level", "inspect", "admin"):
    parser.add_argument("--" + name)
options = parser.parse_args()
print("arguments", *sys.argv[1:], flush=True)
print("variables", *sorted(name for name in os.environ if name.startswith("COORD_")), flush=True)
behaviour = os.environ.get("STAND_IN_" + options.id, "serve")
if behaviour.startswith("end"):
    sys.exit(int(behaviour[3:]))
if behaviour == "die":
    os.kill(os.getpid(), signal.SIGKILL)
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, signal.SIG_IGN)
host, _, port = options.client.rpartition(":")
with socket.create_server((host, int(port))) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            client.recv(4)
            client.sendall(b"not serving" if behaviour == "mute" else b"Zxid: 0x0\\nMode: follower\\nNode count: 5\\n")
"""


@pytest.fixture
def stand_in(tmp_path):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    return (sys.executable, str(script))


@pytest.fixture
def said(monkeypatch):
    """What `coord up` says, as it says it: `await said.wait(words)` gives the sentence that holds them."""

    class Said(list):
        heard = trio.Event()

        def __call__(self, sentence):
            self.append(sentence)
            self.heard.set()
            self.heard = trio.Event()

        async def wait(self, words):
            with trio.fail_after(30):
                while not (found := [each for each in self if words in each]):
                    await self.heard.wait()
            return found[0]

    said = Said()
    monkeypatch.setattr(up, "say", said)
    return said


def free_ports(count):
    """A base port for so many clients, with their peers' ports free too; below those that the kernel gives out."""
    for base in range(21000 + os.getpid() % 9000, 31000, count):
        if all(ports.keep(port + offset) for port in range(base, base + count) for offset in (0, up.PEER_OFFSET)):
            return base
    raise AssertionError("no ports are free")


@pytest.fixture
def ensemble(stand_in, tmp_path):
    def make(count, **behaviours):
        base = free_ports(count)
        clients = [Address(up.HOST, base + index) for index in range(count)]
        children = [
            Child(id, where, [*stand_in, f"--id={id}", f"--client={where}"]) for id, where in enumerate(clients, 1)
        ]
        return Ensemble(
            children, os.environ | {f"STAND_IN_{name[1:]}": how for name, how in behaviours.items()}, tmp_path
        )

    return make


# ---- the processes


async def test_it_says_how_to_connect_once_all_serve_and_stops_all_when_cancelled(ensemble, said):
    three = ensemble(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(three.run)
        welcome = await said.wait("coord serves at")
        nursery.cancel_scope.cancel()
    hosts = ",".join(str(child.client) for child in three.children)
    assert f"coord serves at {hosts}  (1 follower, 2 follower, 3 follower)" in welcome
    assert f'KazooClient(hosts="{hosts}")' in welcome
    assert all(up.is_free(child.client) for child in three.children)
    assert three.exit_status() == ExitCode.STOPPED


async def test_one_that_ends_is_reported_with_the_way_to_start_it_again_and_the_others_go_on(ensemble, said, nursery):
    three = ensemble(3, _2="end5")
    nursery.start_soon(three.run)
    report = await said.wait("server 2")
    assert report.startswith("server 2: exit status 5: an address to listen on is in use")
    assert "the others go on. To start it again: " in report
    assert report.endswith(f"--id=2 --client={three.children[1].client}")
    assert str(three.children[1].client) not in await said.wait("coord serves at")
    nursery.cancel_scope.cancel()


async def test_when_all_end_by_themselves_the_status_is_that_of_the_first(ensemble, said):
    only = ensemble(1, _1="end3")
    with trio.fail_after(30):
        await only.run()
    assert "server 1: exit status 3" in said[0]
    assert "none is left" in said[0]
    assert only.exit_status() == ExitCode.DATA_REFUSED


async def test_one_that_was_killed_is_reported_by_its_signal(ensemble, said, nursery):
    nursery.start_soon(ensemble(2, _1="die").run)
    assert (await said.wait("server 1:")).startswith("server 1: ended by SIGKILL; the others go on")
    nursery.cancel_scope.cancel()


async def test_one_that_does_not_stop_is_killed(ensemble, said, nursery, monkeypatch):
    monkeypatch.setattr(up, "STOP_S", 0.05)
    one = ensemble(1, _1="stubborn")
    nursery.start_soon(one.run)
    await said.wait("coord serves at")
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await said.wait("server 1 did not stop within 0.05 s and is killed")


async def test_it_says_for_whom_it_waits(ensemble, said, nursery, monkeypatch):
    monkeypatch.setattr(up, "PATIENCE_S", 0.05)
    nursery.start_soon(ensemble(2, _1="mute", _2="mute").run)
    await said.wait("still waiting for servers 1, 2 to serve")
    nursery.cancel_scope.cancel()


async def test_log_lines_stand_behind_their_servers_number(ensemble, said, capfd):
    with trio.fail_after(30):
        await ensemble(2, _1="end0", _2="end0").run()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(line.split(" --")[0] for line in lines if "arguments" in line) == ["1 | arguments", "2 | arguments"]


# ---- before anything is started


def test_a_port_in_use_is_one_sentence_and_status_5(capsys, tmp_path):
    with socket.create_server((up.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        status = up.main(["--servers", "1", "--base-port", str(port), "--data", str(tmp_path)])
    assert status == ExitCode.ADDRESS_UNAVAILABLE
    words = capsys.readouterr().err
    assert words == f"coord up: 127.0.0.1:{port} is in use; stop what listens there, or give another --base-port\n"


def test_the_peer_ports_move_up_when_one_is_taken():
    base = free_ports(2)
    clients = [Address(up.HOST, base), Address(up.HOST, base + 1)]
    with socket.create_server((up.HOST, base + 1 + up.PEER_OFFSET)):
        peers = free_peer_ports(clients)
    assert {(peer.port - client.port) % up.PEER_OFFSET for client, peer in zip(clients, peers, strict=True)} == {0}
    assert peers[0].port - base >= 2 * up.PEER_OFFSET


def test_a_folder_of_an_ensemble_of_another_size_is_refused(tmp_path):
    claim(tmp_path, 3)
    claim(tmp_path, 3)
    with pytest.raises(UpError, match="holds an ensemble of 3 servers; give --servers 3, or another --data") as caught:
        claim(tmp_path, 5)
    assert caught.value.code == ExitCode.DATA_REFUSED


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UpError, match="cannot be used as data folder: "):
        claim(tmp_path / "file" / "data", 3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--servers", "0"], "coord up: option --servers: '0' is wrong: it must be a whole number from 1 to 9\n"),
        (["--base-port", "x"], "coord up: option --base-port: 'x' is wrong: it must be a whole number from 1 to"),
        (["--heartbeat-ms", "0"], "coord up: option --heartbeat-ms: '0' is wrong"),
        (["--observers", "7"], "coord up: observers 7 (option --observers): server 7 is not in the ensemble"),
    ],
)
def test_wrong_settings_are_refused_once_before_any_server_starts(arguments, sentence, capsys, tmp_path):
    base = str(free_ports(3))
    given = ["--data", str(tmp_path / "data"), "--base-port", base, *arguments]
    assert up.main(given) == ExitCode.WRONG_SETTINGS
    assert capsys.readouterr().err.startswith(sentence)
    assert not (tmp_path / "data").exists()


# ---- as a process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_starts_three_servers_and_a_signal_ends_all_of_it_with_status_0(stand_in, tmp_path, number):
    base = free_ports(3)
    program = f"import sys; from coord.cli import up; up.SERVE = {stand_in!r}; sys.exit(up.main(sys.argv[1:]))"
    arguments = ["--servers", "3", "--base-port", str(base), "--data", "data", "--log-level", "debug"]
    arguments += ["--admin", f"127.0.0.1:{base + 100}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COORD_ID": "9", "COORD_TICK_MS": "2000"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("coord serves at"):
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.STOPPED
    assert f"{number.name}: stopping the servers" in out
    peers = ",".join(f"{id}=127.0.0.1:{base + id - 1 + up.PEER_OFFSET}" for id in (1, 2, 3))
    assert (
        f"2 | arguments --log-level=debug --admin=127.0.0.1:{base + 101} --inspect=anyone --id=2 --data=data/server-2 "
        f"--client=127.0.0.1:{base + 1} "
        f"--peer=127.0.0.1:{base + 1 + up.PEER_OFFSET} --ensemble={peers}\n"
    ) in err
    assert "3 | variables COORD_TICK_MS\n" in err
    assert all(up.is_free(Address(up.HOST, base + index)) for index in range(3))


def test_the_welcome_names_http_where_it_is_answered(tmp_path):
    plain = Child(1, Address(up.HOST, 2181), [])
    with_admin = Child(2, Address(up.HOST, 2182), [], Address(up.HOST, 8081))
    assert "http://" not in up.welcome([plain], tmp_path)
    assert "    curl http://127.0.0.1:8081/metrics\n" in up.welcome([plain, with_admin], tmp_path)


def test_the_welcome_calls_coord_by_its_path_where_a_shell_would_not_find_it(tmp_path, monkeypatch):
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    coord = scripts / "coord"
    coord.touch(0o700)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert up.called() == str(coord)
    monkeypatch.chdir(tmp_path)
    assert up.called() == ".venv/bin/coord"
    monkeypatch.setenv("PATH", str(scripts))
    assert up.called() == "coord"
    coord.unlink()
    assert up.called() == "coord"
