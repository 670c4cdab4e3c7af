"""Child processes of an ensemble: started, ended, waited for. The servers here are small shell commands."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.ensembles import CoordSoftware, Ensemble, EnsembleError, Member, ZooKeeperSoftware
from tools.ensembles.ports import free_ports, keep
from tools.ensembles.words import lines_by_key, mode


@dataclass
class Pretender:
    """A software whose servers run this shell script."""

    script: str
    name: str = "pretender"

    def missing(self) -> str | None:
        return None

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        (member.folder / "prepared").write_text(str(member.id))

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]:
        return ["sh", "-c", self.script]


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[Ensemble]:
    with Ensemble(Pretender("echo ready; exec sleep 1000"), tmp_path) as ensemble:
        yield ensemble


def test_a_port_that_was_given_out_is_given_to_nobody_else_here_or_in_another_process() -> None:
    (port,) = free_ports(1)
    assert not keep(port)
    program = f"from tools.ensembles.ports import keep; print(keep({port}))"
    asked = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    assert subprocess.run(asked, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"


def test_each_member_has_its_own_ports_and_folder(sleepers: Ensemble) -> None:
    members = sleepers.members.values()
    ports = [port for each in members for port in (each.client_port, each.peer_port, each.election_port)]
    assert len(set(ports)) == 9
    assert [(each.folder / "prepared").read_text() for each in members] == ["1", "2", "3"]


def test_servers_are_started_and_killed_one_by_one(sleepers: Ensemble) -> None:
    sleepers.start_all()
    pids = {sleepers.pid(id) for id in (1, 2, 3)}
    assert len(pids) == 3
    sleepers.kill9(2)
    assert [sleepers.is_running(id) for id in (1, 2, 3)] == [True, False, True]
    assert sleepers.exit_status(2) == -9
    sleepers.start(2)
    assert sleepers.is_running(2)
    assert sleepers.pid(2) not in pids


def test_a_frozen_server_is_running_and_can_be_killed(sleepers: Ensemble) -> None:
    sleepers.start(1)
    sleepers.sigstop(1)
    assert sleepers.is_running(1)
    sleepers.kill9(1)
    assert not sleepers.is_running(1)


def test_leaving_the_ensemble_kills_all(tmp_path: Path) -> None:
    with Ensemble(Pretender("exec sleep 1000"), tmp_path) as ensemble:
        ensemble.start_all()
    assert not any(ensemble.is_running(id) for id in ensemble.members)


def test_a_server_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    with Ensemble(Pretender(script), tmp_path, servers=1) as ensemble:
        ensemble.start(1)
        ensemble.wait_until(lambda: "\nready" in ensemble.log_text(1), "the script to begin", 60)
        with pytest.raises(EnsembleError, match="was killed"):
            ensemble.stop(1, timeout_s=0.2)


def test_a_server_that_ends_at_once_is_told_with_its_status_and_last_words(tmp_path: Path) -> None:
    with Ensemble(Pretender("echo the disk is full; exit 4"), tmp_path, servers=1) as ensemble:
        ensemble.start(1)
        ensemble.wait_until(lambda: not ensemble.is_running(1), "its end", 60)
        with pytest.raises(EnsembleError, match=r"(?s)ended with status 4.*the disk is full"):
            ensemble.wait_serving()


def test_waiting_in_vain_says_for_what(sleepers: Ensemble) -> None:
    with pytest.raises(EnsembleError, match="in vain for rain; dry"):
        sleepers.wait_until(lambda: False, "rain", 0.0, lambda: "dry")


def test_an_ensemble_of_one_coord_server_has_no_peers() -> None:
    member = Member(1, 10, 20, 30, Path("folder"))
    assert "--ensemble" not in CoordSoftware().command(member, (member,))
    other = Member(2, 11, 21, 31, Path("other"))
    command = CoordSoftware().command(member, (member, other))
    assert command[command.index("--ensemble") + 1] == "1=127.0.0.1:20,2=127.0.0.1:21"


def test_zookeepers_configuration_names_all_servers(tmp_path: Path) -> None:
    members = tuple(Member(id, 10 + id, 20 + id, 30 + id, tmp_path / str(id)) for id in (1, 2))
    for member in members:
        member.folder.mkdir()
        ZooKeeperSoftware().prepare(member, members)
    shown = lines_by_key((tmp_path / "2" / "zoo.cfg").read_text(), "=")
    assert (shown["clientPort"], shown["server.1"], shown["server.2"]) == ("12", "127.0.0.1:21:31", "127.0.0.1:22:32")
    assert (tmp_path / "2" / "data" / "myid").read_text() == "2\n"


def test_nobody_listening_has_no_mode() -> None:
    (port,) = free_ports(1)
    assert mode(port) is None
