"""Real servers whose disk fills up, whose folder or port is taken, that are killed in the middle of a snapshot, frozen,
and restarted in turn: each says in a sentence what ends it, and nothing acknowledged is lost.
"""

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.chaos.writers import PARENT, Writer, check, tree
from tools.ensembles import CoordSoftware, Ensemble, Software
from tools.ensembles.words import ask
from tools.wire import jute
from tools.wire.client import HungUpError, RawClient
from tools.wire.jute import Op

pytestmark = pytest.mark.long(80)

WAIT_S = 60.0


@pytest.fixture(autouse=True)
def _on_coord_only(software: Software) -> None:
    if software.name != "coord":
        pytest.skip("exit statuses and options are coord's")


def last_line(ensemble: Ensemble, id: int) -> str:
    return ensemble.log_text(id).splitlines()[-1]


def wait_ended(ensemble: Ensemble, id: int) -> int:
    """Until this server has ended by itself; its exit status."""
    ensemble.wait_until(lambda: not ensemble.is_running(id), f"server {id} to end", WAIT_S)
    status = ensemble.exit_status(id)
    assert status is not None
    return status


@contextlib.contextmanager
def load(ensemble: Ensemble, homes: list[int]) -> Iterator[list[Writer]]:
    """A writer at each of these servers; at the end all that was acknowledged must be there, once, on every server."""
    with RawClient(ensemble.members[homes[0]].client_port) as client:
        client.create(PARENT)
    for home in homes:
        with RawClient(ensemble.members[home].client_port) as client:
            client.sync()
    writers = [Writer(ensemble, home, f"writer-{home}-{number}") for number, home in enumerate(homes)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        ledgers = [writer.stop() for writer in writers]
    running = [id for id in ensemble.members if ensemble.is_running(id)]
    ensemble.wait_serving(running)
    trees = []
    for id in running:
        with RawClient(ensemble.members[id].client_port) as client:
            client.sync()
            trees.append(tree(client))
            for ledger in ledgers:
                assert not ledger.errors, (ledger.name, ledger.errors)
                stat = client.exists(f"{PARENT}/{ledger.name}")
                assert stat is not None
                check(ledger, client.children(f"{PARENT}/{ledger.name}"), stat.version)
    assert all(each == trees[0] for each in trees)
    for id in ensemble.members:
        text = ensemble.log_text(id)
        assert "unexpected error" not in text
        assert "Traceback" not in text


def wait_progress(ensemble: Ensemble, writers: list[Writer]) -> None:
    """Until each of these writers has had twenty more answers."""
    aims = [(writer, writer.answers + 20) for writer in writers]
    ensemble.wait_until(lambda: all(writer.answers >= aim for writer, aim in aims), "the writers to get on", WAIT_S)


def wait_frozen(ensemble: Ensemble, id: int) -> None:
    """Until the system has stopped the process: the signal may come later than the call that sends it returns."""
    status = Path(f"/proc/{ensemble.pid(id)}/stat")
    if status.exists():  # not every system has it
        ensemble.wait_until(
            lambda: status.read_text().rpartition(")")[2].split()[0] == "T", f"server {id} to be frozen", WAIT_S
        )


# ---- what ends a server


def test_a_second_process_on_the_same_folder_ends_with_status_3_and_the_first_goes_on(folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / "one-folder", servers=1) as first:
        first.start(1)
        first.wait_serving()
        options = ("--data", str(first.members[1].folder / "data"))
        with Ensemble(CoordSoftware(options=options), folder / "one-folder-too", servers=1) as second:
            second.start(1)
            assert wait_ended(second, 1) == 3
            assert f"is in use by the process {first.pid(1)}" in last_line(second, 1)
        assert first.mode(1) == "standalone"


def test_a_data_folder_of_another_server_ends_with_status_3_and_is_left_as_it_is(folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / "first-life", servers=1) as first:
        first.start(1)
        first.wait_serving()
        assert first.stop(1) == 0
    data = first.members[1].folder / "data"
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file() and file.name != "lock"}
    options = ("--id", "2", "--data", str(data))
    with Ensemble(CoordSoftware(options=options), folder / "second-life", servers=1) as second:
        second.start(1)
        assert wait_ended(second, 1) == 3
        assert "server 1" in last_line(second, 1)
    assert before == {file: file.read_bytes() for file in before}


@pytest.mark.parametrize("which", ["client", "peer"])
def test_a_port_that_is_taken_ends_the_server_with_status_5(which: str, folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / f"holder-{which}", servers=1) as holder:
        holder.start(1)
        holder.wait_serving()
        taken = holder.members[1].client_address
        options = (f"--{which}", taken)
        with Ensemble(CoordSoftware(options=options), folder / f"late-{which}", servers=3) as late:
            late.start(1)
            assert wait_ended(late, 1) == 5
            assert f"on {taken}" in last_line(late, 1)
            assert "in use" in last_line(late, 1)


def test_a_full_disk_ends_its_server_with_status_4_and_the_others_go_on(folder: Path) -> None:
    options = ("--segment-bytes", str(1 << 20), "--snapshot-after-bytes", str(64 << 20))
    with Ensemble(CoordSoftware(options=options), folder / "full") as ensemble:
        data = ensemble.members[2].folder / "data"
        data.mkdir(mode=0o700)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", data], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            ensemble.start_all()
            ensemble.wait_serving()
            with RawClient(ensemble.members[1].client_port) as client:
                client.create("/n")
                for number in range(60):
                    client.set("/n", b"%02d" % number * 50_000)
                assert wait_ended(ensemble, 2) == 4
                line = last_line(ensemble, 2)
                assert "No space left on device" in line
                assert "exit_status=4" in line
                client.set("/n", b"the others go on")
                client.close_session()
            ensemble.start(2)  # still full: it says so again, and destroys nothing
            assert wait_ended(ensemble, 2) == 4
            subprocess.run(["mount", "-o", "remount,size=100m", data], check=True)
            ensemble.start(2)
            ensemble.wait_serving()
            with RawClient(ensemble.members[2].client_port) as client:
                client.sync()
                assert client.get("/n")[0] == b"the others go on"
        finally:
            ensemble.close()
            subprocess.run(["umount", data], check=True)


def test_a_server_killed_while_it_takes_snapshots_loses_nothing(folder: Path) -> None:
    options = (
        "--snapshot-after-bytes",
        "20000",
        "--segment-bytes",
        "16384",
        "--snapshots-kept",
        "2",
        "--past-bytes-max",
        "0",
    )
    rng = random.Random(11)
    with Ensemble(CoordSoftware(options=options), folder / "snapshots", servers=1) as ensemble:
        acknowledged = 0

        def taken() -> int:
            return ensemble.log_text(1).count("took a snapshot")

        def write(client: RawClient) -> None:
            client.stream.sendall(
                b"".join(jute.request(k, Op.SET_DATA, jute.set_data("/n", bytes(500))) for k in range(50))
            )
            for _ in range(50):
                assert client.receive_reply().error == 0

        for life in range(4):
            ensemble.start(1)
            ensemble.wait_serving()
            with RawClient(ensemble.members[1].client_port) as client:
                if not life:
                    client.create("/n")
                    children = [(int(Op.CREATE), jute.create(f"/n/{number}", bytes(100))) for number in range(3_000)]
                    assert client.call(Op.MULTI, jute.multi(*children)).error == 0
                _, stat = client.get("/n")
                assert acknowledged <= stat.version <= acknowledged + 50
                acknowledged = stat.version
                assert len(client.children("/n")) == 3_000
                before, deadline = taken(), time.monotonic() + WAIT_S
                while taken() == before:  # one is done; the next one is begun while the log grows on
                    write(client)
                    acknowledged += 50
                    assert time.monotonic() < deadline, "no snapshot is taken"
                until = time.monotonic() + rng.random() * 0.8
                while time.monotonic() < until:
                    write(client)
                    acknowledged += 50
            ensemble.kill9(1)
        ensemble.start(1)
        ensemble.wait_serving()
        assert ensemble.stop(1) == 0


# ---- what an ensemble bears


def test_seven_servers_with_an_observer_serve_and_bear_the_loss_of_three(folder: Path) -> None:
    with Ensemble(CoordSoftware(options=("--observers", "7")), folder / "seven", servers=7) as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        assert ensemble.mode(7) == "observer"
        with load(ensemble, [1, 7]) as writers:
            wait_progress(ensemble, writers)
            for id in [id for id in (6, 5, 4) if id != ensemble.leader()][:2]:
                ensemble.kill9(id)
            wait_progress(ensemble, writers)
            ensemble.kill9(7)
            wait_progress(ensemble, writers)


def test_servers_frozen_in_turn_under_load_lose_nothing(folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / "frozen") as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        with load(ensemble, [1, 2, 3]) as writers:
            wait_progress(ensemble, writers)
            leader = ensemble.leader()
            assert leader is not None
            for id in (leader, ensemble.followers()[0]):
                others = [writer for writer in writers if writer.home != id]
                ensemble.sigstop(id)
                wait_frozen(ensemble, id)
                for _ in range(10):  # each with a patience of its own: how fast they are depends on the machine
                    wait_progress(ensemble, others)
                ensemble.sigcont(id)
                ensemble.wait_serving()
            wait_progress(ensemble, writers)


def test_servers_restarted_in_turn_disturb_no_client_of_the_others(folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / "rolling") as ensemble:
        ensemble.start_all()
        ensemble.wait_serving()
        with load(ensemble, [1, 2, 3]) as writers:
            for id in (1, 2, 3):
                wait_progress(ensemble, writers)
                lost = {writer.ledger.name: writer.ledger.connections_lost for writer in writers}
                assert ensemble.stop(id) == 0
                others = [writer for writer in writers if writer.home != id]
                wait_progress(ensemble, others)
                ensemble.start(id)
                ensemble.wait_serving()
                # The writers of a server that stopped live on at another one, and that one may be next.
                undisturbed = [writer for writer in others if not lost[writer.ledger.name]]
                assert all(not writer.ledger.connections_lost for writer in undisturbed)
        digests = {
            ask(member.client_port, "srvr").split("Zxid: ")[1].split()[0] for member in ensemble.members.values()
        }
        assert len(digests) == 1


def test_a_session_is_told_of_the_end_when_its_server_stops(folder: Path) -> None:
    with Ensemble(CoordSoftware(), folder / "told", servers=1) as ensemble:
        ensemble.start(1)
        ensemble.wait_serving()
        with RawClient(ensemble.members[1].client_port) as client:
            client.create("/e", flags=1)
            assert ensemble.stop(1) == 0
            with pytest.raises(HungUpError):
                client.receive()
            ensemble.start(1)
            ensemble.wait_serving()
            with RawClient(ensemble.members[1].client_port, session=client.session, password=client.password) as again:
                assert again.exists("/e")
