"""The four-letter words, in the forms of a real ZooKeeper 3.8."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from coord.codec import opcodes as op
from coord.codec import words
from coord.codec.words import (
    ALWAYS,
    COSTLY,
    FOLLOWER,
    LEADER,
    LINES_MAX,
    OPERATIONS,
    STANDALONE,
    WORDS,
    ConnectionStatistics,
    DiskUsage,
    Latency,
    Leading,
    MonitorStatistics,
    ProposalSizes,
    ServerStatistics,
    SessionDump,
    Timing,
    WatchSummary,
    answer,
)

VERSION = "3.8.0-coord, built on 2026-11-23 17:00 UTC"
STATISTICS = ServerStatistics(VERSION, STANDALONE, Latency(0, 6.9, 28), 12, 11, 2, 0, 0x4, 8)
MONITOR = MonitorStatistics(21246, 3, 1, 1, 55, 70, 20_000, 1)
CLIENT = ConnectionStatistics(
    "127.0.0.1:41216", 0, 10, 10, True, 0x1_0000_1DAD_B300_00, 1795453134614, 10_000,
    op.GET_DATA, 9, 4, Timing(1966148, 1, Latency(0, 6.9, 28)),
)  # fmt: skip
STRANGER = ConnectionStatistics("127.0.0.1:41256", 0, 1, 0, reading=False)


class SomeFacts:
    """A server that knows just what it is told to know."""

    def __init__(self, **known: object) -> None:
        self.known = {
            "serving": True,
            "read_only": False,
            "server": STATISTICS,
            "monitor": MONITOR,
            "connections": [CLIENT, STRANGER],
            "disk_usage": DiskUsage(67109337, 67109338),
        } | known
        self.resets: list[str] = []

    def serving(self) -> bool:
        return self.known["serving"]  # type: ignore[return-value]

    def read_only(self) -> bool:
        return self.known["read_only"]  # type: ignore[return-value]

    def server(self) -> ServerStatistics:
        return self.known["server"]  # type: ignore[return-value]

    def monitor(self) -> MonitorStatistics:
        return self.known["monitor"]  # type: ignore[return-value]

    def connections(self) -> Iterable[ConnectionStatistics]:
        return self.known["connections"]  # type: ignore[return-value]

    def configuration(self) -> Mapping[str, str | int]:
        return {"clientPort": 2181, "dataDir": "/data", "serverId": 1}

    def environment(self) -> Mapping[str, str]:
        return {"zookeeper.version": VERSION, "host.name": "localhost"}

    def disk_usage(self) -> DiskUsage:
        return self.known["disk_usage"]  # type: ignore[return-value]

    def session_dump(self) -> SessionDump:
        return self.known["session_dump"]  # type: ignore[return-value]

    def digests(self) -> Iterable[tuple[int, int]]:
        return [(0x80, 9298725833), (0x100, 8371061231)]

    def watch_summary(self) -> WatchSummary:
        return WatchSummary(1, 2, 2)

    def watches_by_session(self) -> Iterable[tuple[int, Iterable[str]]]:
        return self.known.get("watches", [(0x100001DADB30000, ["/a", "/a/b"])])  # type: ignore[return-value]

    def watches_by_path(self) -> Iterable[tuple[str, Iterable[int]]]:
        return [("/a", [0x100001DADB30000]), ("/a/b", [0x100001DADB30000, -1])]

    def reset_connection_statistics(self) -> None:
        self.resets.append("connections")

    def reset_server_statistics(self) -> None:
        self.resets.append("server")


def ask(word: str, **known: object) -> str:
    return answer(word, SomeFacts(**known), WORDS)


SERVER_LINES = (
    "Latency min/avg/max: 0/6.9/28\nReceived: 12\nSent: 11\nConnections: 2\nOutstanding: 0\n"
    "Zxid: 0x4\nMode: standalone\nNode count: 8\n"
)


def test_ruok() -> None:
    assert ask("ruok") == "imok"


def test_isro() -> None:
    assert ask("isro") == "rw"
    assert ask("isro", read_only=True) == "ro"
    assert ask("isro", serving=False) == "null"


def test_srvr() -> None:
    assert ask("srvr") == f"Zookeeper version: {VERSION}\n" + SERVER_LINES


def test_srvr_of_a_leader_ends_with_the_sizes_of_its_proposals() -> None:
    leader = replace(STATISTICS, mode=LEADER, proposals=ProposalSizes(7, 5, 900))
    assert ask("srvr", server=leader).endswith("Mode: leader\nNode count: 8\nProposal sizes last/min/max: 7/5/900\n")


@pytest.mark.parametrize(("average", "shown"), [(0.0, "0.0"), (2.66666, "2.6667"), (13.25, "13.25"), (7.0, "7.0")])
def test_averages_are_shown_with_one_to_four_places(average: float, shown: str) -> None:
    statistics = replace(STATISTICS, latency=Latency(0, average, 1))
    assert f"Latency min/avg/max: 0/{shown}/1\n" in ask("srvr", server=statistics)


def test_stat() -> None:
    assert ask("stat") == (
        f"Zookeeper version: {VERSION}\n"
        "Clients:\n"
        " /127.0.0.1:41216[1](queued=0,recved=10,sent=10)\n"
        " /127.0.0.1:41256[0](queued=0,recved=1,sent=0)\n"
        "\n" + SERVER_LINES
    )


def test_cons() -> None:
    assert ask("cons") == (
        " /127.0.0.1:41216[1](queued=0,recved=10,sent=10,sid=0x100001dadb30000,lop=GETD,est=1795453134614,to=10000,"
        "lcxid=0x9,lzxid=0x4,lresp=1966148,llat=1,minlat=0,avglat=6,maxlat=28)\n"
        " /127.0.0.1:41256[0](queued=0,recved=1,sent=0)\n"
        "\n"
    )


def test_cons_of_a_connection_that_did_nothing_yet() -> None:
    fresh = ConnectionStatistics("[::1]:5", 0, 0, 0, True, 0x100001DADB30000, 1795453134614, 10_000)
    assert ask("cons", connections=[fresh]) == (
        " /[::1]:5[1](queued=0,recved=0,sent=0,sid=0x100001dadb30000,lop=NA,est=1795453134614,to=10000,"
        "lzxid=0xffffffffffffffff)\n"
        "\n"
    )


def test_cons_names_every_operation() -> None:
    named = {number for name, number in vars(op).items() if name.isupper()} - {op.MULTI_ERROR, op.MULTI_END}
    assert set(OPERATIONS) == named


def test_crst_and_srst_reset_what_they_say() -> None:
    facts = SomeFacts()
    assert answer("crst", facts, WORDS) == "Connection stats reset.\n"
    assert answer("srst", facts, WORDS) == "Server stats reset.\n"
    assert facts.resets == ["connections", "server"]


def test_mntr_is_a_key_a_tab_and_a_value_a_line() -> None:
    text = ask("mntr")
    assert text.startswith(f"zk_version\t{VERSION}\nzk_server_state\tstandalone\nzk_avg_latency\t6.9\n")
    assert all(re.fullmatch(r"zk_\w+\t[^\t]+", line) for line in text.splitlines())
    rows = dict(line.split("\t") for line in text.splitlines())
    assert rows["zk_znode_count"] == "8"
    assert rows["zk_approximate_data_size"] == "55"
    assert rows["zk_max_file_descriptor_count"] == "20000"
    assert not [key for key in rows if "follower" in key or "proposal" in key]


def test_mntr_has_the_keys_that_tools_read() -> None:
    rows = dict(line.split("\t") for line in ask("mntr").splitlines())
    assert {f"zk_{key}" for key in (
        "version", "server_state", "avg_latency", "max_latency", "min_latency", "packets_received", "packets_sent",
        "num_alive_connections", "outstanding_requests", "znode_count", "watch_count", "ephemerals_count",
        "approximate_data_size", "open_file_descriptor_count", "max_file_descriptor_count", "global_sessions", "uptime",
        "quorum_size",
    )} <= set(rows)  # fmt: skip


def test_mntr_of_a_leader_tells_of_its_followers() -> None:
    leader = replace(STATISTICS, mode=LEADER, proposals=ProposalSizes(7, 5, 900))
    monitor = replace(MONITOR, leading=Leading(1, 3, 5000), more={"fsync_p99_ms": 0.5, "resubmitted": 7})
    rows = dict(line.split("\t") for line in ask("mntr", server=leader, monitor=monitor).splitlines())
    assert rows["zk_peer_state"] == "leading - broadcast"
    assert rows["zk_synced_followers"] == "1"
    assert rows["zk_followers"] == "1"
    assert rows["zk_last_proposal_size"] == "7"
    assert rows["zk_fsync_p99_ms"] == "0.5"
    assert rows["zk_resubmitted"] == "7"


def test_mntr_of_a_follower_tells_of_no_followers() -> None:
    rows = dict(line.split("\t") for line in ask("mntr", server=replace(STATISTICS, mode=FOLLOWER)).splitlines())
    assert rows["zk_peer_state"] == "following - broadcast"
    assert "zk_synced_followers" not in rows


def test_conf() -> None:
    assert ask("conf") == "clientPort=2181\ndataDir=/data\nserverId=1\n"


def test_envi_tells_the_version_that_kazoo_asks_for() -> None:
    text = ask("envi")
    assert text == f"Environment:\nzookeeper.version={VERSION}\nhost.name=localhost\n"
    found = re.search(r"zookeeper\.version=(\d+)\.(\d+)\.(\d+)", text)
    assert found is not None
    assert found.groups() == ("3", "8", "0")


def test_dirs() -> None:
    assert ask("dirs") == "datadir_size: 67109337\nlogdir_size: 67109338\n"


def test_hash() -> None:
    assert ask("hash") == "80: 9298725833\n100: 8371061231\n"


def test_wchs() -> None:
    assert ask("wchs") == "1 connections watching 2 paths\nTotal watches:2\n"


def test_wchc() -> None:
    assert ask("wchc") == "0x100001dadb30000\n\t/a\n\t/a/b\n\n"
    assert ask("wchc", watches=[]) == "\n"


def test_wchp() -> None:
    assert ask("wchp") == "/a\n\t0x100001dadb30000\n/a/b\n\t0x100001dadb30000\n\t0xffffffffffffffff\n\n"


def test_dump_of_a_leader() -> None:
    session = 0x100001DADB30000
    dump = SessionDump(
        [("Mon Nov 23 16:59:06 UTC 2026", [session])],
        [],
        [(session, ["/eph"])],
        [("127.0.0.1:41216", session), ("[::1]:7", 0)],
    )
    assert ask("dump", session_dump=dump) == (
        "SessionTracker dump:\n"
        "Session Sets (1)/(1):\n"
        "1 expire at Mon Nov 23 16:59:06 UTC 2026:\n"
        "\t0x100001dadb30000\n"
        "ephemeral nodes dump:\n"
        "Sessions with Ephemerals (1):\n"
        "0x100001dadb30000:\n"
        "\t/eph\n"
        "Connections dump:\n"
        "Connections Sets (1)/(2):\n"
        "2 open:\n"
        "\tip: /127.0.0.1:41216 sessionId: 0x100001dadb30000\n"
        "\tip: /[::1]:7 sessionId: 0x0\n"
    )


def test_dump_of_a_follower() -> None:
    assert ask("dump", session_dump=SessionDump(None, [(5, 4000)], [], [])) == (
        "SessionTracker dump:\nGlobal Sessions(1):\n0x5\t4000ms\n"
        "ephemeral nodes dump:\nSessions with Ephemerals (0):\n"
        "Connections dump:\nConnections Sets (1)/(0):\n0 open:\n"
    )


def test_long_answers_are_cut() -> None:
    watches = [(1, (f"/{n}" for n in range(10**9)))]
    lines = ask("wchc", watches=watches).splitlines()
    assert lines[LINES_MAX - 1] == f"\t/{LINES_MAX - 2}"
    assert lines[LINES_MAX] == f"... more than {LINES_MAX} lines; the rest is left out"
    assert len(lines) == LINES_MAX + 2


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_is_not_allowed_says_so_and_asks_for_nothing(word: str) -> None:
    class NoFacts:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was asked for")

    said = answer(word, NoFacts(), frozenset(WORDS) - {word})  # type: ignore[arg-type]
    assert said == f"{word} is not executed because it is not in the whitelist.\n"


@pytest.mark.parametrize("word", sorted(set(WORDS) - ALWAYS))
def test_most_words_are_not_answered_while_no_client_is_served(word: str) -> None:
    assert ask(word, serving=False) == "This ZooKeeper instance is not currently serving requests\n"


def test_the_words_are_those_of_zookeeper_and_the_costly_ones_are_marked() -> None:
    assert all(re.fullmatch("[a-z]{4}", word) for word in WORDS)
    assert " ".join(WORDS) == "conf cons crst dirs dump envi hash isro mntr ruok srst srvr stat wchc wchp wchs"
    assert {"wchc", "wchp", "dump"} == COSTLY
    assert all(function.__doc__ for function in WORDS.values())
    assert words.WORDS["hash"] is words.hash_
