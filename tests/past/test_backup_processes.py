"""`coord backup` and `coord restore` as processes: real servers under load, and others that are made of the backup."""

import base64
import hashlib
import json
import subprocess
import sys
import threading
import time

import pytest

import coord
from coord.cli.exit_codes import ExitCode
from coord.net.network import TcpNetwork
from coord.past.errors import PastError
from coord.past.remote import ServerSource
from tools.ensembles import CoordSoftware, Ensemble
from tools.ensembles.ports import HOST, free_ports
from tools.ensembles.words import ask

COORD = (sys.executable, "-m", "coord")
TIMEOUT_S = 60
SUPER = f"root:{base64.b64encode(hashlib.sha1(b'root:secret').digest()).decode()}"
AUTH = ("--auth", "digest:root:secret")
SMALL = (
    "--segment-bytes",
    "100000",
    "--snapshot-after-bytes",
    "200000",
    "--snapshots-kept",
    "2",
    "--past-bytes-max",
    "0",
)


def run(*arguments) -> tuple[int, str, str]:
    """Its exit status, what it wrote, and what it complained of."""
    done = subprocess.run(
        [*COORD, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory):
    software = CoordSoftware(options=("--super-digest", SUPER, *SMALL))
    with Ensemble(software, tmp_path_factory.mktemp("old")) as made:
        made.start_all()
        made.wait_serving()
        yield made


def digest(port: int) -> int:
    """Of a server's newest state, as soon as it has applied anything."""
    end = time.monotonic() + TIMEOUT_S
    while not (lines := ask(port, "hash").splitlines()):
        assert time.monotonic() < end, "nothing was applied"
        time.sleep(0.02)
    return int(lines[-1].split()[-1])


class Load:
    """Writes without end; `acknowledged` is the last that was."""

    def __init__(self, hosts: str) -> None:
        self.acknowledged = 0
        self._hosts = hosts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait(self, number: int) -> None:
        while self.acknowledged < number:
            assert self._thread.is_alive(), "the writer has ended"
            self._stopping.wait(0.01)

    def _work(self) -> None:
        with coord.connect_blocking(self._hosts) as client:
            client.create("/load", b"0")
            client.create("/load/mine", ephemeral=True)
            while not self._stopping.is_set():
                number = self.acknowledged + 1
                client.set("/load", b"%d" % number + bytes(1000))
                self.acknowledged = number


def test_a_backup_under_load_holds_all_that_was_acknowledged_and_three_servers_start_with_it(servers, tmp_path):
    hosts = servers.hosts()
    with Load(hosts) as load:
        load.wait(700)
        before = load.acknowledged
        status, out, notes = run("backup", tmp_path / "file", hosts, *AUTH, "--json")
        assert status == 0
        # Snapshots and segments come and go meanwhile, so the state that was begun with may be too old by its end.
        assert all(json.loads(note)["note"].endswith("another state is taken") for note in notes.splitlines())
        told = json.loads(out)
        assert (tmp_path / "file").stat().st_size == told["size_bytes"]
        assert int(told["start"], 16) > 0
        after = load.acknowledged
        assert run("backup", tmp_path / "newest", "--newest", hosts, *AUTH)[0] == 0
    assert load.acknowledged > after > before

    folders = tmp_path / "new"
    with Ensemble(CoordSoftware(), folders) as restored:
        made = {}
        for member in restored.members.values():
            status, out, complaint = run(
                "restore", tmp_path / "file", "--data", member.folder / "data", "--id", member.id, "--json"
            )
            assert (status, complaint) == (0, "")
            made[member.id] = json.loads(out)
        assert len({each["digest"] for each in made.values()}) == len({each["cluster"] for each in made.values()}) == 1
        assert made[1]["sessions_ended"] >= 1
        restored.start_all()
        restored.wait_serving()
        for member in restored.members.values():
            assert digest(member.client_port) == int(made[member.id]["digest"], 16)
        with coord.connect_blocking(restored.hosts()) as client:
            value = client.get("/load", linearizable=True)[0]
            number = int(value.rstrip(b"\0"))
            assert before <= number <= after
            assert client.exists("/load/mine") is None
            client.set("/load", b"goes on")
        assert run("restore", tmp_path / "file", "--data", restored.members[1].folder / "data")[0] == 8


def test_the_digest_that_restore_names_is_that_of_the_servers(servers, tmp_path):
    with coord.connect_blocking(servers.hosts()) as client:
        client.create("/a/b/c", b"x", parents=True)
        client.create("/a/eph", ephemeral=True)
        assert run("backup", tmp_path / "file", servers.hosts(), *AUTH)[0] == 0
    status, out, _ = run("restore", tmp_path / "file", "--data", tmp_path / "one", "--json")
    assert status == 0
    told = json.loads(out)
    assert told["sessions_ended"] >= told["ephemerals_removed"] == 1
    assert "coord serve --id 1 --data" in told["then"][0]
    status, out, _ = run("snapshot", "verify", "--data", tmp_path / "one", "--json")
    assert (status, json.loads(out)["digest"]) == (0, told["digest"])
    status, out, _ = run("at", "--backup", tmp_path / "file", "--json", "now", "ls", "/a")
    assert status == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["b", "eph"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["HOSTS"], ExitCode.COMMAND_FAILED, "tells its past only to its superuser, as whom this client did not"),
        (["HOSTS", "--auth", "digest:root:wrong"], ExitCode.COMMAND_FAILED, "give --auth digest:USER:PASSWORD"),
        (["HOSTS", "--auth", "digest"], ExitCode.WRONG_SETTINGS, "--auth is SCHEME:CREDENTIALS"),
        (["FREE", *AUTH], ExitCode.COMMAND_FAILED, "no server answers at FREE: Connection refused; start it, or name"),
        (["a b", *AUTH], ExitCode.WRONG_SETTINGS, "names no host; write host:port"),
        (["HOSTS", "--data", "x"], ExitCode.WRONG_SETTINGS, "--data and ADDRESSES name two places to back up"),
        (["HOSTS", "--oldest"], ExitCode.WRONG_SETTINGS, "'--oldest' is not an option"),
        (["--data", "none"], ExitCode.COMMAND_FAILED, "the data folder none cannot be read: No such file or directory"),
    ],
)
def test_what_keeps_a_backup_from_being_made_is_one_sentence(servers, tmp_path, arguments, status, sentence):
    free = f"{HOST}:{free_ports(1)[0]}"
    given = [{"HOSTS": servers.hosts(), "FREE": free}.get(each, each) for each in arguments]
    ended, out, complaint = run("backup", tmp_path / "file", *given)
    assert (ended, out) == (status, "")
    assert complaint.startswith("coord backup: ")
    assert sentence.replace("FREE", free) in complaint
    assert complaint.count("\n") == 1
    assert not (tmp_path / "file").exists()


async def test_over_a_unix_socket_who_runs_the_server_needs_no_password(tmp_path):
    socket = tmp_path / "coord.sock"
    with Ensemble(CoordSoftware(options=("--client-also", f"unix:{socket}")), tmp_path / "data", 1) as made:
        made.start_all()
        made.wait_serving()
        member = made.members[1]
        assert (await ServerSource(TcpNetwork(), str(socket), 0, "the socket").overview()).server == 1
        with pytest.raises(PastError, match="only to its superuser"):
            await ServerSource(TcpNetwork(), HOST, member.client_port, "the port").overview()
