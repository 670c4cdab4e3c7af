"""/commands: ZooKeeper's names, aliases and keys, from the figures that the four-letter words show."""

import re
import tomllib
from pathlib import Path

import pytest
from admin_desk import open_desk

import coord.admin
from coord.admin import commands
from coord.admin.app import ACTIONS
from coord.admin.pieces import ITEMS_A_PIECE
from coord.codec.words import COSTLY, WORDS
from coord.server.loading import load_config

KEYS = {
    "configuration": "client_port data_dir data_log_dir tick_time max_client_cnxns min_session_timeout "
    "max_session_timeout server_id client_port_listen_backlog peer_type",
    "connections": "connections secure_connections",
    "dirs": "datadir_size logdir_size",
    "dump": "expiry_time_to_session_ids session_id_to_ephemeral_paths",
    "environment": "zookeeper.version host.name os.name os.arch os.version user.dir",
    "hash": "digests",
    "initial_configuration": "initial_configuration",
    "is_read_only": "read_only",
    "last_snapshot": "zxid timestamp",
    "leader": "is_leader leader_id leader_ip",
    "monitor": "version server_state avg_latency max_latency min_latency packets_received packets_sent "
    "num_alive_connections outstanding_requests znode_count watch_count ephemerals_count approximate_data_size "
    "global_sessions local_sessions open_file_descriptor_count max_file_descriptor_count uptime",
    "observers": "synced_observers observers",
    "ruok": "",
    "server_stats": "version read_only server_stats client_response node_count",
    "stats": "version read_only server_stats client_response node_count connections secure_connections",
    "system_properties": "",
    "voting_view": "current_config",
    "watch_summary": "num_connections num_paths num_total_watches",
    "watches": "session_id_to_watched_paths",
    "watches_by_path": "path_to_session_ids",
    "zabstate": "myid is_leader quorum_address election_address client_address voting last_zxid zab_epoch zab_counter "
    "zabstate",
}
"""Of ZooKeeper 3.8's AdminServer. tests/admin/test_admin_zookeeper.py asks the original."""


@pytest.mark.parametrize("name", KEYS)
async def test_each_command_has_zookeepers_keys(autojump_clock, monkeypatch, name):
    async with open_desk(monkeypatch, words=frozenset(WORDS)) as desk:
        answer = await desk.ask(f"/commands/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json["command"] == name
        assert answer.json["error"] is None
        assert set(KEYS[name].split()) - answer.json.keys() == set()


async def test_every_command_and_each_of_its_aliases_is_listed_and_answered(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, words=frozenset(WORDS)) as desk:
        listed = (await desk.ask("/commands")).json
        assert {each["name"] for each in listed["commands"]} == set(KEYS)
        assert {each["name"] for each in listed["actions"]} == {action.__name__ for action in ACTIONS.values()}
        for each in listed["commands"]:
            assert each["what"]
            for name in (each["name"], *each["aliases"]):
                assert (await desk.ask(f"/commands/{name}")).json["command"] == each["name"]


def test_every_four_letter_word_is_a_command_or_an_action():
    assert WORDS.keys() - commands.BY_NAME.keys() - ACTIONS.keys() == set()


async def test_the_figures_are_those_of_the_words(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        client = await desk.ensemble.connect(1)
        await client.create("/a", b"x" * 100, ephemeral=True)
        facts = desk.consoles[1].facts
        shown = (await desk.ask("/commands/monitor")).json
        assert (shown["znode_count"], shown["ephemerals_count"]) == (facts.server().znodes, 1)
        assert shown["packets_received"] == facts.server().received > 0
        stats = (await desk.ask("/commands/stats")).json
        assert stats["server_stats"]["last_processed_zxid"] == facts.server().zxid
        (connection,) = (await desk.ask("/commands/connections")).json["connections"]
        assert connection["last_operation"] == "CREA"
        assert connection["session_timeout"] == 10_000
        assert stats["connections"] == [{key: connection[key] for key in commands.SHORT}]


async def test_a_costly_command_is_answered_only_if_its_word_is(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        for name, word in (("dump", "dump"), ("watches", "wchc"), ("wchp", "wchp")):
            answer = await desk.ask(f"/commands/{name}")
            assert answer.status == 403
            assert answer.json["error"] == f"{name} is costly: it is answered if --words has {word}"


async def test_more_than_can_be_gathered_in_one_go_is_refused(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, words=frozenset(WORDS)) as desk:
        client = await desk.ensemble.connect(1)
        for number in range(3):
            await client.create(f"/e{number}", b"", ephemeral=True)
            await client.get(f"/e{number}", watch=True)
        dump = (await desk.ask("/commands/dump")).json
        assert [paths for paths in dump["session_id_to_ephemeral_paths"].values()] == [["/e0", "/e1", "/e2"]]
        assert set((await desk.ask("/commands/wchp")).json["path_to_session_ids"]) == {"/e0", "/e1", "/e2"}
        monkeypatch.setattr(commands, "SHOWN_MAX", 2)
        for name, what in (("dump", "4 sessions and ephemeral znodes"), ("watches", "3 watches")):
            answer = await desk.ask(f"/commands/{name}")
            assert answer.status == 503
            assert f"there are {what}; this lists at most 2" in answer.json["error"]


async def test_a_long_list_comes_in_pieces_and_others_have_their_turn_in_between(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        count = 2 * ITEMS_A_PIECE + 1
        for _ in range(count):
            await desk.ensemble.connect(1)
        answer = await desk.ask("/commands/connections")
        assert len(answer.json["connections"]) == count
        assert max(part.count(b"session_id") for part in answer.parts) == ITEMS_A_PIECE


async def test_while_there_is_no_leader_a_command_says_so_unless_it_needs_none(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        leader = desk.ensemble.leader()
        for follower in desk.ensemble.followers():
            desk.ensemble.crash(follower)
        await desk.ensemble.wait(lambda: not desk.consoles[leader].replica.participant.serving)
        answer = await desk.ask("/commands/monitor", leader)
        assert answer.status == 503
        assert answer.json["error"].startswith("this server does not serve clients: this server knows of no leader")
        state = (await desk.ask("/commands/zabstate", leader)).json
        assert (state["is_leader"], state["zabstate"]) == (False, "election")
        for name in ("ruok", "configuration", "environment", "voting_view", "dirs"):
            assert (await desk.ask(f"/commands/{name}", leader)).status == 200


async def test_who_leads_and_who_votes_is_told_by_all(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        leader = desk.ensemble.leader()
        for server in (1, 2, 3):
            shown = (await desk.ask("/commands/leader", server)).json
            assert (shown["is_leader"], shown["leader_id"]) == (server == leader, leader)
            assert set((await desk.ask("/commands/voting_view", server)).json["current_config"]) == {"1", "2", "3"}


async def test_the_configuration_can_be_given_to_config_again_and_shows_no_secret(
    autojump_clock, monkeypatch, tmp_path
):
    digest = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="
    async with open_desk(monkeypatch, 3, super_digest=digest, words=frozenset(("ruok", "mntr"))) as desk:
        text = (await desk.ask("/commands/initial_configuration")).json["initial_configuration"]
        assert digest not in text
        assert "super_digest" not in tomllib.loads(text)
        file = tmp_path / "coord.toml"
        file.write_text(text)
        assert load_config({"super_digest": digest}, {}, file) == desk.consoles[1].config


@pytest.mark.parametrize("path", ["/commands/nothing", "/commands/a b", "/commands/" + "x" * 5000, "/commands/ä"])
async def test_what_is_no_command_is_said_in_a_sentence(autojump_clock, monkeypatch, path):
    async with open_desk(monkeypatch) as desk:
        answer = await desk.ask(path)
        assert answer.status == 404
        assert "there is no command" in answer.json["error"]
        assert len(answer.text) < 200


def test_the_readme_tells_every_command_with_its_aliases_and_when_it_is_answered():
    readme = Path(coord.admin.__file__).with_name("README.md").read_text(encoding="utf-8")
    told = {
        name: (stars, aliases)
        for name, stars, aliases in re.findall(r"^\| `(\w+)` ?(\**) \| ([\w, ]*)\|", readme, re.M)
    }
    for each in commands.COMMANDS:
        stars = "*" * each.always or "**" * (each.word in COSTLY)
        assert told[each.name] == (stars, f"{', '.join(each.aliases)} " if each.aliases else ""), each.name
    for name, action in ACTIONS.items():
        if name == action.__name__:
            aliases = [alias for alias, other in ACTIONS.items() if other is action and alias != name]
            assert told[name] == ("", f"{', '.join(aliases)} "), name


async def test_the_readme_tells_every_key_of_mntr_that_is_ours(autojump_clock, monkeypatch):
    readme = Path(coord.admin.__file__).with_name("README.md").read_text(encoding="utf-8")
    async with open_desk(monkeypatch, 3) as desk:
        leader = desk.ensemble.leader()
        shown = (await desk.ask("/commands/monitor", leader)).json.keys() - {"command", "error"}
    theirs = set(KEYS["monitor"].split()) | set(MONITOR_OF_A_LEADER.split())
    ours = {re.sub(r"_\d$", "_N", key) for key in shown - theirs}
    for key in ours - {"forwards_under_way_bytes"}:  # the README says "and `_bytes`"
        assert f"`{key.replace('write_', 'read_')}`" in readme, key


MONITOR_OF_A_LEADER = (
    "peer_state learners followers synced_followers synced_non_voting_followers synced_observers leader_uptime "
    "last_proposal_size min_proposal_size max_proposal_size quorum_size"
)
