"""The commands about the past, through their main: what they show, in JSON too, what they refuse, and how they end."""

import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from coord.cli import looking_back
from coord.cli.looking_back import place
from coord.cli.main import main
from coord.model.acl import OPEN_ACL
from coord.model.requests import Create, CreateSession, Delete, SetData
from coord.past.looking import Place
from coord.shell.errors import UsageError
from tests.past.scribe import Scribe, run_of
from tests.past.story import ANN, LOST, WORKER, Story
from tests.past.test_past_folder import contents, damage, segments
from tests.state.world import PASSWORD

# ---- a schema: of each field, what it may be

ZXID = re.compile(r"0x[0-9a-f]+")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NULL = type(None)
AUTHOR = {"session": (ZXID, NULL), "client": (str, NULL), "identities": [str]}
CHANGE = {
    "zxid": ZXID, "time": MOMENT, "what": re.compile("created|set|acl|deleted|there"), "path": re.compile("/.*"),
    "kind": re.compile("persistent|ephemeral|container|ttl"), "version_from": (int, NULL), "version_to": (int, NULL),
    "size_from": (int, NULL), "size_to": (int, NULL), "acl": (str, NULL), "cause": (str, NULL), **AUTHOR,
    "part": (int, NULL), "value": (str, {"base64": str}, NULL),
}  # fmt: skip
DIFFERENCE = {
    "path": re.compile("/.*"), "what": [re.compile("created|deleted|made anew|value|acl|version")],
    "version_from": (int, NULL), "version_to": (int, NULL), "size_from": (int, NULL), "size_to": (int, NULL),
    "acl_from": (str, NULL), "acl_to": (str, NULL), "value_from": (str, {"base64": str}, NULL),
    "value_to": (str, {"base64": str}, NULL),
}  # fmt: skip
ENTRY = {
    "zxid": ZXID, "time": MOMENT, "server": (int, NULL), **AUTHOR, "number": (int, NULL), "request": dict,
    "result": (str, NULL),
}  # fmt: skip
CHECKED = {
    "sentence": str, "log_start": ZXID, "last": ZXID, "batches": int, "entries": int, "bytes": int,
    "replayed_from": (ZXID, NULL), "digests_compared": int, "snapshots_compared": int,
}  # fmt: skip
SNAPSHOT = {
    "zxid": ZXID, "time": (MOMENT, NULL), "znodes": (int, NULL), "sessions": (int, NULL), "bytes": int,
    "digest": (ZXID, NULL), "problem": (str, NULL),
}  # fmt: skip
SESSION = {"session": ZXID, "timeout_ms": int, "server": int, "ephemerals": int}
ZNODE = {
    "path": re.compile("/.*"), "kind": re.compile("persistent|ephemeral|container|ttl"), "owner": (ZXID, NULL),
    "version": int, "aversion": int, "size": int, "children": int, "czxid": ZXID, "mzxid": ZXID, "pzxid": ZXID,
    "ctime": MOMENT, "mtime": MOMENT, "acl": str, "value": (str, {"base64": str}, NULL),
}  # fmt: skip


def fits(value, schema) -> bool:
    if isinstance(schema, tuple):
        return any(fits(value, each) for each in schema)
    if isinstance(schema, re.Pattern):
        return isinstance(value, str) and schema.fullmatch(value) is not None
    if isinstance(schema, list):
        return isinstance(value, list) and all(fits(each, schema[0]) for each in value)
    if isinstance(schema, dict):
        return isinstance(value, dict) and value.keys() == schema.keys() and all(
            fits(value[name], each) for name, each in schema.items()
        )  # fmt: skip
    return type(value) is schema


class Desk:
    """Command lines in, what is written out."""

    def __init__(self, folder, capfdbinary) -> None:
        self.folder = folder
        self._capture = capfdbinary
        self.told = ""

    def run(self, *arguments, status=0) -> str:
        assert main([*arguments]) == status, self._capture.readouterr().err
        captured = self._capture.readouterr()
        self.told = captured.err.decode()
        return captured.out.decode()

    def lines(self, *arguments, status=0) -> list[str]:
        return self.run(*arguments, status=status).splitlines()

    def json(self, *arguments, status=0) -> list:
        return [json.loads(line) for line in self.lines(*arguments, "--json", status=status)]

    def refused(self, *arguments, status=8) -> str:
        ended = status
        try:
            ended = main([*arguments])
        except SystemExit as exit:
            ended = exit.code
        assert ended == status
        captured = self._capture.readouterr()
        assert captured.out == b""
        return captured.err.decode()


@pytest.fixture
def desk(tmp_path, monkeypatch, capfdbinary):
    Story().save(tmp_path / "coord-data")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    yield Desk(tmp_path / "coord-data", capfdbinary)
    if not (tmp_path / "changed").exists():
        assert contents(tmp_path) == before


def test_history_tells_the_author_the_versions_and_the_part_of_a_multi(desk):
    created, first, second, acl = desk.json("history", "/app/config", "-v")
    assert all(fits(each, CHANGE) for each in (created, first, second, acl))
    assert [(each["what"], each["version_from"], each["version_to"]) for each in (created, first, second, acl)] == [
        ("created", None, 0), ("set", 0, 1), ("set", 1, 2), ("acl", 0, 1)
    ]  # fmt: skip
    assert (second["session"], second["client"], second["identities"], second["part"]) == (
        f"{ANN:#x}", "10.0.3.44", ["digest:ann"], 2
    )  # fmt: skip
    assert [each["value"] for each in (created, first, second)] == [f'{{"db": "10.0.0.{n}"}}' for n in (9, 8, 7)]
    assert "7RJfAeIvrl4zdj6sS2fXrQHDvHM" not in str(second["identities"])


def test_history_tells_whose_end_a_deletion_was(desk):
    rows = desk.json("history", "-R", "/app")
    gone = {each["path"]: each for each in rows if each["what"] == "deleted"}
    worker, job = gone["/app/worker"], gone["/app/job"]
    assert (worker["cause"], worker["session"], worker["client"]) == ("session expired", f"{LOST:#x}", "10.0.4.2")
    assert (job["cause"], job["session"], job["kind"]) == ("time to live over", None, "ttl")
    (_, lock) = desk.json("history", "/locks/db/lock-0000000000")
    assert (lock["cause"], lock["session"]) == ("session closed", f"{WORKER:#x}")


def test_history_shows_bytes_as_bytes_and_what_a_deleted_znode_held(desk):
    created, deleted = desk.json("history", "-v", "/app/worker")
    assert created["value"] == deleted["value"] == {"base64": "AP8="}
    assert "00000000  00 ff" in desk.run("history", "-v", "/app/worker")


def test_history_between_two_places_begins_with_what_was_there(desk):
    rows = desk.json("history", "--since", "0x10000000009", "--until", "0x1000000000a", "/app/config")
    assert [(each["what"], each["zxid"]) for each in rows] == [("there", "0x10000000009"), ("set", "0x1000000000a")]


def test_history_of_a_time_that_is_not_kept_or_upside_down_is_refused(desk, tmp_path):
    refusal = desk.refused("history", "--since", "0x10000000009", "--until", "0x10000000005", "/app")
    assert "zxid 0x10000000009 does not come before zxid 0x10000000005" in refusal
    assert "give the earlier one first" in desk.refused("history", "--since", "now", "--until", "1h", "/app")
    mixed = desk.lines("history", "--since", "0x10000000009", "--until", "2026-11-25T10:00", "/app/config")
    assert [line.split()[2] for line in mixed] == ["there", "set"]
    scribe = Story()
    scribe.save(tmp_path / "short", segment_bytes=300, snapshots_kept=1)
    (tmp_path / "changed").touch()
    short = "--data", str(tmp_path / "short")
    assert "begins with zxid 0x1000000000f" in desk.refused("history", *short, "--until", "0x10000000009", "/app")
    rows = desk.lines("history", *short, "--since", "0x10000000009", "-R", "/")
    assert rows[0].split()[1:4] == ["0x10000000010", "deleted", "/app/worker"]
    assert "keeps the past from zxid 0x1000000000f on; look at another server's, or at a backup; it begins" in desk.told


def test_history_says_so_where_the_log_does_not_prove_that_it_was_committed(desk):
    desk.run("history", "/app/config")
    assert desk.told == ""
    desk.run("log", "dump")
    assert "after zxid 0x10000000013 was in this server's log; whether a majority had it too" in desk.told
    desk.run("log", "dump", "--json")
    assert "0x10000000013" in json.loads(desk.told)["note"]


def test_nothing_known_of_a_path_is_said(desk):
    assert desk.refused("history", "/nothing") == (
        "coord history: nothing happened to /nothing in what was looked through; coord-data ends with zxid "
        "0x10000000014\n"
    )


def test_at_shows_the_tree_as_the_shell_does(desk):
    assert desk.lines("at", "0x1000000000c", "ls", "/app") == ["config", "worker"]
    assert desk.run("at", "2026-11-25T12:00", "cat", "/app/config") == '{"db": "10.0.0.8"}\n'
    assert desk.lines("at", "0x1000000000c", "ls -R /app") == desk.lines("at", "0x1000000000c", "ls", "-R", "/app")
    assert desk.run("at", "0x10000000009", "get", "--raw", "/app/config") == '{"db": "10.0.0.9"}'
    assert desk.lines("at", "0x1000000000d", "find", "--ephemeral") == ["/app/worker", "/locks/db/lock-0000000000"]
    assert desk.lines("at", "0x1000000000f", "acl", "get", "/app/config")[-2:] == ["'world,'anyone", ": r"]
    assert desk.lines("at", "0x10000000004", "count", "/") == ["3"]
    rows = [json.loads(line) for line in desk.lines("at", "--json", "0x1000000000d", "ls", "-l", "/app")]
    assert [(each["name"], each["stat"]["version"]) for each in rows] == [("config", 2), ("job", 0), ("worker", 0)]


def test_at_refuses_what_cannot_be_shown(desk):
    assert "ends with 0x10000000014" in desk.refused("at", "0x10000000015", "ls")
    assert "/app/config does not exist" in desk.refused("at", "0x10000000001", "get", "/app/config")
    assert "nothing changes in the past" in desk.refused("at", "0x10000000009", "ls", "-w")
    assert "say what to look at" in desk.refused("at", "0x10000000009", status=2)
    assert "say what to look at" in desk.refused("at", "0x10000000009", "", status=2)
    assert "cannot be taken apart" in desk.refused("at", "0x10000000009", "get '/x", status=2)
    assert "'set' is not a command" in desk.refused("at", "0x10000000009", "set", "/app/config", "x", status=2)
    assert "is no place in the past" in desk.refused("at", "once", "ls", status=2)


def test_diff_tells_what_was_created_deleted_and_changed(desk):
    rows = desk.json("diff", "-v", "0x1000000000c", "0x10000000012")
    assert all(fits(each, DIFFERENCE) for each in rows)
    assert {each["path"]: each["what"] for each in rows} == {
        "/app/config": ["value", "acl"],
        "/app/worker": ["deleted"],
        "/locks/db/lock-0000000000": ["deleted"],
    }
    assert rows[0]["value_from"] == '{"db": "10.0.0.8"}'
    assert desk.lines("diff", "0x10000000007", "0x1000000000f", "/locks") == [
        "created    /locks  version 0  0 bytes",
        "created    /locks/db  version 0  0 bytes",
        "created    /locks/db/lock-0000000000  version 0  8 bytes",
    ]
    assert desk.run("diff", "0x1000000000e", "0x1000000000e") == ""
    assert "give the earlier one first" in desk.refused("diff", "0x1000000000f", "0x10000000009")
    assert "give the earlier one first" in desk.refused("diff", "now", "0x10000000009")


def test_a_znode_that_was_made_again_is_another_one(tmp_path, monkeypatch, capfdbinary):
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 4000)))
    for request in (Create("/n", b"x", OPEN_ACL), Delete("/n"), Create("/n", b"x", OPEN_ACL)):
        scribe.write(run_of(request, session=1))
    scribe.save(tmp_path)
    (row,) = Desk(tmp_path, capfdbinary).json("diff", "--data", str(tmp_path), "0x10000000002", "0x10000000004")
    assert row["what"] == ["made anew"]


def test_log_dump_between_two_places_that_are_upside_down_is_refused(desk):
    assert "0x10000000009 does not come before zxid 0x10000000008: give the earlier one first" in desk.refused(
        "log", "dump", "--since", "0x10000000009", "--until", "0x10000000008"
    )


def test_log_dump_shows_every_entry_with_what_came_of_it_and_no_password(desk):
    rows = desk.json("log", "dump", "-v")
    assert len(rows) == 20
    assert all(fits(each, ENTRY) for each in rows)
    assert PASSWORD.decode() not in str(rows)
    by_zxid = {int(each["zxid"], 16) & 0xFF: each for each in rows}
    assert by_zxid[0x9]["request"]["path"] == "/locks/db/lock-"
    assert by_zxid[0x9]["result"] == "/locks/db/lock-0000000000"
    assert by_zxid[0xB]["result"].startswith("BadVersionError: ")
    assert by_zxid[0xD]["request"]["parts"][2]["result"] == "/app/job"
    assert by_zxid[0xE]["result"] == "part 2: NoNodeError: /app/nothing does not exist"
    rows = desk.json("log", "--json", "dump", "--since", "0x10000000012")
    assert [int(each["zxid"], 16) & 0xFF for each in rows] == [0x13, 0x14]


def test_log_verify_and_the_snapshots_commands_in_json(desk):
    (checked,) = desk.json("log", "verify")
    assert fits(checked, CHECKED)
    assert (checked["entries"], checked["digests_compared"], checked["snapshots_compared"]) == (20, 20, 2)
    snapshots = desk.json("snapshot", "verify")
    assert [each["zxid"] for each in snapshots] == ["0x10000000009", "0x1000000000f"]
    assert all(fits(each, SNAPSHOT) for each in snapshots)
    head, *rows = desk.json("snapshot", "dump", "0x1000000000f", "/app", "-v")
    assert fits(head, SNAPSHOT)
    assert [fits(each, SESSION) for each in rows[:4]] == [True] * 4
    assert [each["path"] for each in rows[4:]] == ["/app", "/app/config", "/app/job", "/app/worker"]
    assert all(fits(each, ZNODE) for each in rows[4:])
    compared = desk.json("snapshot", "compare", "0x10000000009", "0x1000000000f")
    assert [each["path"] for each in compared] == ["/app/config", "/app/job", "/app/worker"]
    assert all(fits(each, DIFFERENCE) for each in compared)
    assert "has no snapshot at 0x1; it has those at 0x10000000009, 0x1000000000f" in desk.refused(
        "snapshot", "dump", "0x1"
    )


def test_what_is_damaged_is_told_with_its_place_and_status_8(desk, tmp_path):
    (tmp_path / "changed").touch()
    damage(desk.folder / "snapshots" / f"{0x1000000000F:016x}", 90, b"??")
    rows = desk.json("snapshot", "verify", status=8)
    assert [each["problem"] is None for each in rows] == [True, False]
    assert all(fits(each, SNAPSHOT) for each in rows)
    assert "1 of 2 snapshots cannot be used" in desk.told
    assert desk.run("at", "0x10000000010", "count") == "9\n"
    assert "another one is taken" in desk.told
    (segment,) = segments(desk.folder)
    damage(segment, segment.read_bytes().index(b"/app/config"), b"??")
    assert re.search(r"is damaged at offset \d+, after zxid 0x10000000007", desk.refused("log", "verify"))
    assert json.loads(desk.refused("log", "verify", "--json").splitlines()[-1])["error"] == "PastDamaged"


def test_where_there_is_no_past_is_said(desk, tmp_path):
    assert "cannot be read: No such file" in desk.refused("history", "--data", "nowhere", "/x")
    assert "is no data folder of coord" in desk.refused("log", "verify", "--data", str(desk.folder / "log"))
    assert "dump|verify" in desk.refused("log", status=2)
    assert "does not start with '/'" in desk.refused("history", "app", status=2)


def test_a_path_that_no_server_would_take_does_nothing_to_a_terminal(tmp_path, capfdbinary):
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 4000)))
    scribe.write(run_of(Create("/\x1b[2J", b"x", OPEN_ACL), session=1))
    scribe.save(tmp_path)
    assert "\x1b" not in Desk(tmp_path, capfdbinary).run("log", "dump", "--data", str(tmp_path))


def test_an_age_that_no_calendar_reaches_is_no_crash(desk):
    assert desk.lines("at", "99999999999d", "ls", "/") == ["zookeeper"]


def test_too_little_memory_is_one_sentence(desk, monkeypatch):
    async def too_big(*_):
        raise MemoryError

    monkeypatch.setattr("coord.cli.at.state_at", too_big)
    assert desk.refused("at", "now", "ls", "/").startswith("coord at: there is not memory enough here")


def test_a_number_that_nobody_can_reckon_with_is_refused(desk):
    for text in ("9" * 5000, "9" * 400 + "d", "9" * 306 + "d", "0x" + "f" * 17, "9" * 20):
        refused = desk.refused("at", text, "ls", "/", status=2)
        assert "is no place in the past" in refused or "is no age" in refused


def test_at_says_so_where_a_zxid_is_not_in_the_log(desk):
    assert desk.lines("at", "0x0ffffffffff", "ls", "/") == ["zookeeper"]
    assert desk.told == (
        "coord at: zxid 0xffffffffff is not in the log; this is the state at 0x0, the last before it\n"
    )
    desk.run("at", "0x10000000009", "ls", "/")
    assert desk.told == ""


def test_at_and_diff_say_so_where_the_log_does_not_prove_that_it_was_committed(desk):
    for command in (("at", "now", "ls", "/"), ("diff", "0x10000000009", "0x10000000014")):
        desk.run(*command)
        assert "after zxid 0x10000000013 was in this server's log; whether a majority had it too" in desk.told


def test_what_the_log_proves_only_behind_the_place_is_not_doubted(desk):
    for command in (
        ("at", "0x1000000000d", "ls", "/"),
        ("at", "0x10000000013", "ls", "/"),
        ("diff", "0x10000000009", "0x1000000000d"),
        ("history", "--until", "0x1000000000d", "/app/config"),
        ("log", "dump", "--until", "0x1000000000d"),
    ):
        desk.run(*command)
        assert desk.told == ""


def test_the_hash_of_a_password_is_shown_by_nothing_that_lists(desk):
    looks = (
        ("history", "-R", "-v", "/"),
        ("log", "dump", "-v"),
        ("snapshot", "dump", "-v"),
        ("diff", "-v", "0x10000000009", "0x10000000013"),
    )
    for look in looks:
        for form in ((), ("--json",)):
            shown = desk.run(*look, *form)
            assert ":cdrwa" in shown or look[0] in ("snapshot", "log")
            assert "7RJfAeIvrl4zdj6sS2fXrQHDvHM" not in shown


# ---- places


NOW = datetime(2026, 11, 26, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("15m", "2026-11-26T10:15:00Z"),
        ("2h ago", "2026-11-26T08:30:00Z"),
        ("now", "2026-11-26T10:30:00Z"),
        ("today", "2026-11-26T00:00:00Z"),
        ("yesterday", "2026-11-25T00:00:00Z"),
        ("yesterday 9:05", "2026-11-25T09:05:00Z"),
        ("09:05", "2026-11-26T09:05:00Z"),
        ("9:05", "2026-11-26T09:05:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z"),
        ("2026-11-20T09:05:00.250Z", "2026-11-20T09:05:00.250Z"),
        ("2026-11-20 09:05:00+02:00", "2026-11-20T07:05:00Z"),
    ],
)
def test_moments_as_people_write_them(text, when, monkeypatch):
    monkeypatch.setattr(looking_back, "wall_ms", lambda: NOW.timestamp() * 1000)
    assert place(text) == Place(None, round(datetime.fromisoformat(when).timestamp() * 1000))


def test_zxids_as_people_write_them():
    assert place("0x10000000036") == Place(0x10000000036)
    assert place("0") == Place(0)


@pytest.mark.parametrize("text", ["", "soon", "yesterday noon", "25:00", "-1", "0xg", "2026-13-01", "5w", "1..5m"])
def test_what_is_no_place_is_refused(text):
    with pytest.raises(UsageError):
        place(text)


# ---- as processes


def coord(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "coord", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.fixture(scope="module")
def long_past(tmp_path_factory):
    """So many changes that their telling fills a pipe."""
    folder = tmp_path_factory.mktemp("long") / "data"
    scribe = Scribe()
    scribe.write(run_of(CreateSession(1, PASSWORD, 4000)))
    scribe.write(run_of(Create("/n", b"", OPEN_ACL), session=1))
    for _ in range(200):
        scribe.write(run_of(*[SetData("/n", b"x")] * 20, session=1))
    scribe.save(folder, segment_bytes=1 << 20)
    return str(folder)


def test_a_reader_that_goes_away_ends_a_command_without_a_word(long_past):
    with coord("history", "--data", long_past, "/n") as process:
        assert b"created" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_an_interrupt_ends_a_command_with_130_also_while_nobody_reads(long_past):
    with coord("history", "--data", long_past, "/n") as process:
        assert b"created" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
