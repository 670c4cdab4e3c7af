"""Four-letter words, read as monitoring tools read them."""

import re
import socket
from collections.abc import Callable

import pytest

from tools.ensembles import Ensemble
from tools.ensembles.ports import HOST
from tools.ensembles.words import ask, lines_by_key
from tools.wire.client import RawClient

ALL_WORDS = [
    "ruok",
    "srvr",
    "stat",
    "mntr",
    "conf",
    "cons",
    "dump",
    "envi",
    "dirs",
    "wchs",
    "wchc",
    "wchp",
    "isro",
    "hash",
    "crst",
    "srst",
]


@pytest.fixture
def port(ensemble: Ensemble) -> int:
    return ensemble.members[1].client_port


def test_ruok_and_isro_answer_their_one_word(port: int) -> None:
    assert ask(port, "ruok") == "imok"
    assert ask(port, "isro") == "rw"


def test_a_word_may_end_with_a_newline_and_come_in_two_parts(port: int) -> None:
    with socket.create_connection((HOST, port), 5) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(b"ruok\n")
        assert stream.makefile("rb").read() == b"imok"


def test_srvr_tells_the_mode_and_the_zxid(ensemble: Ensemble, raw: RawClient, port: int) -> None:
    raw.set("/", b"")
    shown = lines_by_key(ask(port, "srvr"))
    assert "Zookeeper version" in shown
    assert re.fullmatch(r"\d+/[\d.]+/\d+", shown["Latency min/avg/max"])
    for key in ("Received", "Sent", "Connections", "Outstanding", "Node count"):
        assert int(shown[key]) >= 0
    assert int(shown["Node count"]) >= 5
    assert int(shown["Connections"]) >= 1
    assert int(shown["Zxid"], 16) >= raw.seen_zxid
    modes = [ensemble.mode(id) for id in ensemble.members]
    assert sorted(filter(None, modes)) == ["follower", "follower", "leader"]


def test_the_leader_tells_its_proposal_sizes(ensemble: Ensemble) -> None:
    leader = ensemble.wait_leader()
    shown = lines_by_key(ask(ensemble.members[leader].client_port, "srvr"))
    assert re.fullmatch(r"-?\d+/-?\d+/-?\d+", shown["Proposal sizes last/min/max"])


def test_stat_lists_the_clients(raw: RawClient, port: int) -> None:
    address, local_port = raw.stream.getsockname()
    text = ask(port, "stat")
    assert re.search(rf"^ /{address}:{local_port}\[\d+\]\(queued=\d+,recved=\d+,sent=\d+\)$", text, re.MULTILINE)
    assert "Mode" in lines_by_key(text)


def test_cons_tells_more_of_each_client(raw: RawClient, port: int) -> None:
    address, local_port = raw.stream.getsockname()
    (line,) = [line for line in ask(port, "cons").splitlines() if f"/{address}:{local_port}[" in line]
    fields = dict(pair.split("=", 1) for pair in line[line.index("(") + 1 : line.rindex(")")].split(","))
    assert int(fields["sid"], 16) == raw.session & (1 << 64) - 1
    assert int(fields["to"]) == raw.timeout_ms
    for key in ("queued", "recved", "sent", "est"):
        assert int(fields[key]) >= 0


def test_mntr_has_the_keys_that_monitors_read(ensemble: Ensemble, raw: RawClient) -> None:
    raw.create("/mntr-ephemeral", flags=1)
    by_state: dict[str, int] = {}
    for id, member in ensemble.members.items():
        with RawClient(member.client_port) as client:
            client.sync()
        shown = lines_by_key(ask(member.client_port, "mntr"), "\t")
        by_state[shown["zk_server_state"]] = id
        assert shown["zk_version"]
        for key in (
            "zk_avg_latency",
            "zk_max_latency",
            "zk_min_latency",
            "zk_packets_received",
            "zk_packets_sent",
            "zk_num_alive_connections",
            "zk_outstanding_requests",
            "zk_znode_count",
            "zk_watch_count",
            "zk_ephemerals_count",
            "zk_approximate_data_size",
            "zk_open_file_descriptor_count",
            "zk_max_file_descriptor_count",
        ):
            assert float(shown[key]) >= 0, key
        assert int(shown["zk_ephemerals_count"]) >= 1
        if shown["zk_server_state"] == "leader":
            assert shown["zk_synced_followers"] == "2"
    assert set(by_state) == {"leader", "follower"}
    raw.delete("/mntr-ephemeral")


def test_conf_tells_the_settings(ensemble: Ensemble, port: int) -> None:
    shown = lines_by_key(ask(port, "conf"), "=")
    assert (shown["clientPort"], shown["serverId"]) == (str(port), "1")
    for key in ("tickTime", "minSessionTimeout", "maxSessionTimeout"):
        assert int(shown[key]) > 0
    assert "dataDir" in shown


def test_envi_tells_the_version_first(port: int) -> None:
    lines = ask(port, "envi").splitlines()
    assert lines[0] == "Environment:"
    assert lines[1].startswith("zookeeper.version=")


def test_the_watch_words_count_and_list(raw: RawClient, port: int, root: str) -> None:
    raw.get(root, watch=True)
    connections, paths = re.match(r"(\d+) connections watching (\d+) paths", ask(port, "wchs")).groups()  # type: ignore[union-attr]
    assert int(connections) >= 1
    assert int(paths) >= 1
    assert int(re.search(r"^Total watches:(\d+)$", ask(port, "wchs"), re.MULTILINE)[1]) >= 1  # type: ignore[index]
    session = f"0x{raw.session & (1 << 64) - 1:x}"
    by_session = ask(port, "wchc").splitlines()
    assert f"\t{root}" in by_session[by_session.index(session) :]
    by_path = ask(port, "wchp").splitlines()
    assert f"\t{session}" in by_path[by_path.index(root) :]


def test_dump_lists_sessions_with_their_ephemerals(ensemble: Ensemble, raw: RawClient, root: str) -> None:
    raw.create(f"{root}/e", flags=1)
    leader = ensemble.members[ensemble.wait_leader()].client_port
    lines = ask(leader, "dump").splitlines()
    assert f"\t{root}/e" in lines
    assert any(f"0x{raw.session & (1 << 64) - 1:x}" in line for line in lines)


def test_dirs_tells_the_sizes(port: int) -> None:
    shown = lines_by_key(ask(port, "dirs"))
    assert int(shown["datadir_size"]) >= 0
    assert int(shown["logdir_size"]) >= 0


def test_resets_say_so_and_reset(raw: RawClient, port: int) -> None:
    raw.ping()
    assert ask(port, "crst").strip() == "Connection stats reset."
    assert ask(port, "srst").strip() == "Server stats reset."
    assert int(lines_by_key(ask(port, "srvr"))["Received"]) < 10


@pytest.mark.parametrize("word", ALL_WORDS)
def test_each_word_is_answered_and_the_connection_ended(port: int, word: str) -> None:
    answer = ask(port, word)
    assert "whitelist" not in answer


def test_words_do_not_disturb_a_client(connect_raw: Callable[..., RawClient], port: int, root: str) -> None:
    client = connect_raw()
    client.sync(root)
    for word in ALL_WORDS:
        client.send(3, b"\x00\x00\x00\x01/\x00")
        ask(port, word)
        assert client.receive_reply().error == 0
