"""The shell's pure pieces: grammar, completion, units, ACLs, what is wrong with an ensemble, how values look."""

import json
import re
import shlex
from pathlib import Path as LocalPath
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from coord.shell import completion, copying, health, looking, text
from coord.shell.acls import parse_acl, shown_acl
from coord.shell.completion import FILES, NAMES, NOTHING, OPTIONS, PATHS, unquoted, wanted, word_start
from coord.shell.copying import Copied, parts, read_export
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import HERE, Commands, Count, Path, command, commands_of, full_help, read_command, split
from coord.shell.health import ServerStatus, judge
from coord.shell.output import Output
from coord.shell.plain import as_json
from coord.shell.printable import harmless
from coord.shell.rows import rows_of
from coord.shell.run import tell
from coord.shell.syntax import language_of
from coord.shell.table import COMMANDS
from coord.shell.units import age_s, duration, moment, size, size_bytes
from coord.shell.values import Help, Hex, Value

# ---- grammar


@command(name="fetch", aliases=("f",), changes=True)
async def example(
    shell, path: Path = HERE, *, long: Annotated[bool, "l"] = False, many_times: int = 3, limit: Count | None = None
) -> None:
    """Fetch something.

    It takes its time.

    Options:
        path: from here
        long: all of it

    Examples:
        fetch -l /a
    """


def test_a_signature_is_the_grammar_and_a_docstring_the_help():
    made = read_command(example)
    rest = {"limit": None}
    assert made.parse(["-l", "/a", "--many-times", "7"]) == {"path": "/a", "long": True, "many_times": 7} | rest
    assert made.parse([]) == {"path": ".", "long": False, "many_times": 3} | rest
    assert made.parse(["--limit", "0", "--", "-l"]) == {"path": "-l", "long": False, "many_times": 3, "limit": 0}
    assert full_help(made).splitlines() == [
        "fetch [PATH] [-l] [--many-times MANY_TIMES] [--limit LIMIT]", "", "Fetch something.", "",
        "It takes its time.", "", "  PATH          from here (default: where the shell is)",
        "  -l, --long    all of it", "  --many-times   (default 3)", "  --limit", "", "examples:", "  fetch -l /a",
        "", "also: f",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("fetch --many-times x", "'x' is no whole number"),
        ("fetch --many-times 99999999999999999999", "or too large a one"),
        ("fetch --limit -1", "-1 is below 0"),
        ("fetch /a /b", "unrecognized arguments: /b"),
        (
            "fetch --loud",
            "unrecognized arguments: --loud; put -- before a value that begins with -; it is used as: fetch",
        ),
        ("fetsh", "'fetsh' is not a command; is fetch meant?"),
        ("xyz", "'xyz' is not a command; help lists them all"),
        ("fetch 'x", "cannot be taken apart: the quote ' is not closed"),
        ("fetch x\\", "there is nothing behind the last \\"),
        ("old-fetch", "there is no old-fetch here: fetch does it"),
    ],
)
def test_what_is_not_understood_is_said_in_one_sentence(line, sentence):
    def understand():
        found, rest = Commands({"all": (example,)}, {"old-fetch": "fetch does it"}).find(split(line))
        found.parse(rest)

    with pytest.raises(UsageError, match=re.escape(sentence)):
        understand()


def test_names_of_zkcli_are_known_whatever_their_case():
    for name in (
        "ls", "ls2", "get", "stat", "create", "set", "delete", "deleteall", "rmr", "getAcl", "setAcl", "addauth",
        "setquota", "listquota", "delquota", "sync", "whoami", "getEphemerals", "getAllChildrenNumber", "addWatch",
        "getacl", "GETACL", "config", "history", "redo", "connect", "version",
    ):  # fmt: skip
        COMMANDS.find([name])


def test_names_of_zkcli_that_have_no_meaning_here_are_explained():
    for name in ("reconfig", "removewatches", "removeWatches", "printwatches"):
        with pytest.raises(UsageError, match=r"there is no .* here: "):
            COMMANDS.find([name])


@given(st.text(alphabet=" ab'\"\\\n\t#", max_size=16))
def test_a_line_is_taken_apart_as_shlex_does_it(line):
    try:
        expected = shlex.split(line)
    except ValueError:
        expected = None
    try:
        assert split(line) == expected
    except UsageError:
        assert expected is None


def test_a_megabyte_in_quotes_is_one_word():
    for value in ("x y " * 250_000, "it\\'s " * 150_000):
        assert split(f'set /a "{value}"') == ["set", "/a", value]


def test_lines_are_commands_but_for_line_breaks_in_quotes_and_comments():
    assert commands_of("create /a 'x\ny' z\n\n# don't\n  ls /\r\npwd\rget /a") == [
        "create /a 'x\ny' z", "# don't", "  ls /", "pwd", "get /a",
    ]  # fmt: skip
    assert commands_of('set /a "x\n\\"y"\nls \'z\n') == ['set /a "x\n\\"y"', "ls 'z\n"]
    assert commands_of("") == commands_of("\n") == []


README = LocalPath(completion.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_guide_shows_commands_that_there_are():
    lines = re.findall(r"^10\.\S+ leader \S+> (.+)$", README, re.MULTILINE)
    lines += re.findall(r'-c "(.+?)"', README)
    assert len(lines) > 8
    for line in lines:
        found, rest = COMMANDS.find(split(line))
        found.parse(rest)


def test_the_guides_limits_stand_where_it_says():
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| `([a-z.]+)`", README, re.MULTILINE)
    assert len(rows) > 3
    for names, file in rows:
        source = LocalPath(completion.__file__).with_name(file).read_text(encoding="utf-8")
        for name in names.replace("`", "").split(", "):
            assert re.search(rf"^{name} = ", source, re.MULTILINE), name


# ---- completion


@pytest.mark.parametrize(
    ("line", "kind", "word", "typed"),
    [
        ("", NAMES, "", 0),
        ("cr", NAMES, "cr", 2),
        ("acl g", NAMES, "acl g", 5),
        ("help qu", NAMES, "qu", 2),
        ("ls /app/c", PATHS, "/app/c", 6),
        ("ls -", OPTIONS, "-", 1),
        ("ls -l /a", PATHS, "/a", 2),
        ("create -t 100 /a", PATHS, "/a", 2),
        ("create -t 1", NOTHING, "1", 1),
        ("create /a va", NOTHING, "va", 2),
        ("cp /a /b", PATHS, "/b", 2),
        ("get '/a b/c", PATHS, "/a b/c", 7),
        ("get /a\\ b", PATHS, "/a b", 5),
        ("set /a --file ./x", FILES, "./x", 3),
        ("export /a fi", FILES, "fi", 2),
        ("bogus /a", NAMES, "bogus /a", 8),
    ],
)
def test_what_is_being_typed(line, kind, word, typed):
    found = wanted(COMMANDS, line)
    assert (found.kind, found.word, found.typed) == (kind, word, typed)


def test_words_with_quotes_that_are_still_open():
    assert word_start("get '/a b") == 4
    assert unquoted("'/a b") == "/a b"
    assert unquoted('"/a b') == "/a b"


# ---- units and ACLs


def test_ages_sizes_and_moments():
    assert [age_s(each) for each in ("5", "90s", "15m", "2h", "1.5d")] == [5, 90, 900, 7200, 129_600]
    assert [size_bytes(each) for each in ("5", "2k", "1MB")] == [5, 2048, 1 << 20]
    assert [duration(each) for each in (5, 200, 7300, 200_000)] == ["5 s", "3 min", "2 h", "2 d"]
    assert [size(each) for each in (5, 2048, 3 << 20)] == ["5 B", "2.0 kB", "3.0 MB"]
    assert moment(0) == "1970-01-01T00:00:00.000Z"
    assert moment(1 << 62).endswith(" ms")
    for wrong in ("1.2.3s", "x"):
        with pytest.raises(UsageError, match="no age"):
            age_s(wrong)


def test_acls_are_read_as_they_are_shown():
    for shown in ("world:anyone:cdrwa", "digest:ann:7RJ+/=:r,ip:10.0.0.0/8:cd", "ip:::1:a"):
        assert shown_acl(parse_acl(shown)) == shown
    for wrong in ("", "world", "world:anyone", "world:anyone:x", "world:anyone:r,"):
        with pytest.raises(UsageError, match="no entry of an ACL"):
            parse_acl(wrong)


# ---- health


def server(number, role="follower", **more):
    given = {"epoch": 2, "zxid": Hex(2 << 40 | 50_000), "committed_zxid": Hex(2 << 40 | 50_000), "voters": 3}
    return ServerStatus(f"h{number}:2181", id=number, role=role, **(given | more))


def test_three_servers_in_step_are_well():
    assert judge([server(1), server(2, "leader"), server(3)]).problems == []


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        (
            [server(1), server(2, "leader"), ServerStatus("h3:1", "connection refused")],
            "h3:1 does not answer: connection",
        ),
        (
            [server(1), server(2, "leader"), server(3, None, answered_ms=1, problem="no leader")],
            "h3:2181 does not serve: no",
        ),
        ([server(1), server(2, "leader"), ServerStatus("h3:1", "x")], "2 of 3 voters serve: if one more fails"),
        ([ServerStatus("h1:1", "x", voters=3)] * 3, "no server that was asked leads: there is no quorum"),
        ([server(1, "leader", epoch=1), server(2, "leader")], "2 servers say that they lead: h1:2181 in epoch 1"),
        ([server(1, zxid=Hex(2 << 40 | 5)), server(2, "leader")], "h1:2181 is 49995 writes behind the leader"),
        ([server(1, epoch=1), server(2, "leader")], "h1:2181 is still in epoch 1, others are in 2"),
        (
            [server(1, digests={7: 1, 8: 5}), server(2, "leader", digests={7: 1, 8: 6})],
            "h1:2181 and h2:2181 have different states at zxid 0x8",
        ),
        ([server(1, members=["a"]), server(2, "leader", members=["b"])], "do not name the same members"),
        ([server(1, files_open=95, files_max=100), server(2, "leader")], "95 of at most 100 files open"),
        ([server(1), server(2, "leader", lags_ms={1: 4200})], "h1:2181 is 4.2 s behind the leader"),
        (
            [server(1), server(2, "leader", disk_free_bytes=900 << 20, disk_total_bytes=100 << 30)],
            "h2:2181 has 900.0 MB of 100.0 GB free on the disk with its data",
        ),
        (
            [server(1, clock_ahead_ms=1500, answered_ms=10), server(2, "leader", clock_ahead_ms=-20, answered_ms=10)],
            "the clock of h1:2181 is 1.5 s ahead of that of h2:2181",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(servers, sentence):
    judged = judge(servers)
    assert not judged.healthy
    assert any(sentence in problem for problem in judged.problems), judged.problems


@pytest.mark.parametrize(
    "well",
    [
        {"disk_free_bytes": 20 << 20, "disk_total_bytes": 100 << 20},  # small, and a fifth of it is free
        {"disk_free_bytes": 5 << 30, "disk_total_bytes": 1 << 40},  # nearly full, and there is room for a lot
        {"clock_ahead_ms": 1100.0, "answered_ms": 400.0},  # which its slow answer may explain
        {"lags_ms": {1: 300}},
    ],
)
def test_what_is_no_trouble_is_not_told(well):
    assert judge([server(1, clock_ahead_ms=0.0, answered_ms=2.0), server(2, "leader", **well)]).problems == []


def test_digests_at_different_zxids_are_not_compared():
    assert judge([server(1, digests={7: 1}), server(2, "leader", digests={8: 6})]).healthy


def test_each_server_that_cannot_serve_says_why():
    for answers, reason in (
        ({"mntr": "This ZooKeeper instance is not currently serving requests\n"}, "has no leader"),
        ({"mntr": "mntr is not executed because it is not in the whitelist.\n"}, "not among its --words"),
        ({"mntr": "HTTP/1.1 400 Bad Request"}, "does not answer as a server does"),
    ):
        assert reason in looking.read_status("h:1", answers, 0).problem


def test_latencies_room_clock_and_lag_are_read_from_mntr():
    rows = {
        "server_state": "leader",
        "read_latency_p99_ms": "0.0",
        "write_latency_p99_ms": "4.2",
        "disk_free_bytes": "7",
        "disk_total_bytes": "70",
        "wall_clock_ms": "1500",
        "learner_lag_ms_2": "30",
        "learner_lag_ms_x": "1",
    }
    answers = {"mntr": "".join(f"zk_{key}\t{value}\n" for key, value in rows.items())}
    status = looking.read_status("h:1", answers, 1000)
    assert (status.read_p99_ms, status.write_p99_ms) == (None, 4.2)
    assert (status.disk_free_bytes, status.disk_total_bytes) == (7, 70)
    assert (status.clock_ahead_ms, status.lags_ms) == (500, {2: 30})


def test_connections_are_read_from_cons_and_others_left_out():
    line = " /[::1]:37[1](queued=0,recved=2,sent=3,sid=0x1f,lop=GETD,est=1700,to=10000,lzxid=0x2,lresp=1)"
    (found,) = looking.read_connections("h:1", f" /1.2.3.4:5[0](queued=0,recved=1,sent=0)\n{line}\n\n")
    assert (found.client, found.session, found.timeout_ms, found.last_operation) == ("[::1]:37", 31, 10_000, "GETD")


# ---- how values look


def rendered(value, columns):
    console = Console(width=columns, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(text.render(value, console), soft_wrap=True)
    return captured.get().splitlines()


def test_hexadecimal_fits_into_40_columns():
    lines = text.hexadecimal(bytes(range(64)), 40).plain.splitlines()
    assert lines[0] == "00000000  00 01 02 03  ...."
    assert max(map(len, lines)) <= 40
    assert len(text.hexadecimal(bytes(range(64)), 80).plain.splitlines()) == 4


def test_status_fits_into_40_columns_and_into_one_table_where_there_is_room():
    status = judge([server(1), server(2, "leader"), ServerStatus("h3:2181", "connection refused")])
    narrow = rendered(status, 40)
    assert [line for line in narrow if line.startswith(("1 ", "2 ", "h3"))] == ["1  h1:2181", "2  h2:2181", "h3:2181"]
    assert max(len(line) for line in narrow if not line.startswith("! ")) <= 40
    wide = rendered(status, 200)
    assert wide[0].split()[:4] == ["server", "role", "epoch", "last"]
    assert [line.split()[0] for line in wide[1:4]] == ["1", "2", "h3:2181"]
    parts = rendered(status, 80)
    assert max(len(line) for line in parts if not line.startswith("! ")) <= 80
    titles = [title for line in parts if line.startswith("server ") for title in line.split()]
    assert [title for title in titles if title != "server"] == [title for title in wide[0].split() if title != "server"]


def test_text_that_would_do_things_to_a_terminal_is_none():
    assert text.as_text("a\tb\nключ".encode()) == "a\tb\nключ"
    for data in (b"\x1b[2J", b"\x00", b"\xff", "\x9b2J".encode()):
        assert text.as_text(data) is None


def test_control_characters_of_names_and_identities_do_not_reach_a_terminal():
    assert harmless("a\x1b[2J\x9b\r\u202eb\tc\nü") == "a�[2J���b\tc\nü"


@pytest.mark.parametrize(
    ("value", "language"),
    [
        ('{"a": 1}', "json"), ("[1, 2]", "json"), ("{a: 1}", None), ("host: 10.0.0.5\nport: 80\n", "yaml"),
        ("# where\ndb:\n  host: x\n  list:\n    - 1\n", "yaml"), ("- name: a\n- name: b\n", "yaml"),
        ("---\n'a b': {x: 1}\n", "yaml"), ("a sentence: with a colon\nand more text", None), ("http://h:80/", None),
        ("one\ntwo", None), ("- a\n- b", None), ("", None), ("10.0.0.5:2181", None), ("  indented: x", None),
        ("[" * 100_000, None),
    ],
)  # fmt: skip
def test_json_and_yaml_are_recognized(value, language):
    assert language_of(value) == language


def test_a_value_is_coloured_and_stays_what_it_is():
    console = Console(width=40, force_terminal=True, color_system="standard", highlight=False)
    for value in (b"a: 1\nb:\n  - x y\n", b'{"a": [1, 2]}', b"only text"):
        with console.capture() as captured:
            console.print(text.render(Value("/a", value, None), console), soft_wrap=True)
        shown = captured.get()
        assert ("\x1b[" in shown) == (value != b"only text")
        assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == value.decode().removesuffix("\n") + "\n"


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        ("", [""]), ("abcd", ["abcd"]), ("abcde", ["abcd", "e"]), ("abcdefgh", ["abcd", "efgh"]),
        ("日本語", ["日本", "語"]), ("a日本", ["a日", "本"]), ("a\tb", ["a", "\t", "b"]),
        ("\x1b[31mab\x1b[0mcde", ["\x1b[31mab\x1b[0mcd", "e"]),
        ("\x1b[31mabcd\x1b[0m", ["\x1b[31mabcd\x1b[0m"]),
    ],
)  # fmt: skip
def test_a_line_is_cut_into_the_rows_of_a_terminal(line, rows):
    assert list(rows_of(line, 4)) == rows
    assert "".join(rows_of(line, 1)) == line


async def test_a_value_of_one_long_line_comes_a_screenful_at_a_time():
    written, asked = [], []

    async def write(data):
        written.append(data.decode())

    async def go_on():
        asked.append(len(written))
        return len(asked) < 3

    output = Output(write, terminal=True, go_on=go_on)
    width, height = output.console.size
    await output.show([Value("/a", b"x" * 1_000_000, None)])
    assert written == ["x" * width * (height - 2) + "\n"] * 3


def test_help_is_wrapped_at_words_where_there_is_little_room():
    lines = rendered(Help("x", "  -l, --long  all of it and much more than that\nshort"), 30)
    assert lines == ["  -l, --long  all of it and", "              much more than", "              that", "short"]


# ---- files of export


HEAD, FOOT = '{"coord_export": 1, "path": "/a"}\n', '{"znodes": 1}\n'
ROW = '{"below": "", "value": "x", "acl": "world:anyone:r"}\n'


def test_what_a_server_says_does_nothing_to_a_terminal(capsys):
    error = ShellError("no \x1b[2J\x9b2J way")
    tell(error, "\x1b[31m", False)
    tell(error, "", True)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "coord shell: \ufffd[31m: no \ufffd[2J\ufffd2J way"
    assert told[1].isprintable()
    assert json.loads(told[1])["message"] == str(error)
    assert json.loads(as_json("\x9b\x7fä")) == "\x9b\x7fä"
    assert as_json("\x9b\x7fä") == '"\\u009b\\u007fä"'


def test_a_file_of_export_is_read():
    znode = Copied("", b"x", ((1, "world", "anyone"),), -1)
    assert read_export("f", (HEAD + ROW + FOOT).encode()) == ("/a", [znode])
    for more, lifetime_ms in (('"ttl_ms": 5000', 5000), ('"container": true', -1)):
        (found,) = read_export("f", (HEAD + ROW.replace("}", f", {more}}}") + FOOT).encode())[1]
        assert found.lifetime_ms == lifetime_ms


def test_what_export_writes_import_reads_whatever_the_letters():
    strange = ((0, "digest", "a,b:x="), (31, "ip", "::1"))
    for value in ("a\u2028b\x85c\x0bd\r\ne", "\ud7ff\uffff"):
        znode = Copied("/ü\u2028", value.encode(), strange, -1, 700)
        line = json.dumps(copying._as_json(znode), ensure_ascii=False)
        assert read_export("f", (HEAD + line + "\n" + FOOT).encode()) == ("/a", [znode])


@pytest.mark.parametrize(
    "content",
    ["", "{}", "not JSON", HEAD, HEAD + ROW, ROW + FOOT, HEAD + FOOT, HEAD + '{"below": ""}\n' + FOOT,
     HEAD + ROW.replace('"value": "x"', '"base64": "!"') + FOOT, HEAD.replace("1", "9") + ROW + FOOT, "[1, 2]\n3",
     HEAD + ROW.replace("}", ', "ttl_ms": -5}') + FOOT, "[" * 100_000],
)  # fmt: skip
def test_a_damaged_or_foreign_file_is_refused(content):
    with pytest.raises(ShellError, match=r"^f "):
        read_export("f", content.encode())


def test_parts_are_cut_by_size_and_by_number():
    znodes = [Copied(f"/{number}", b"x" * 150_000, (), 0) for number in range(5)]
    assert [len(part) for part in parts(znodes)] == [2, 2, 1]
    assert [len(part) for part in parts([Copied("", b"", (), 0)] * 1001)] == [500, 500, 1]


def test_every_check_is_in_the_table():
    assert len(health.CHECKS) == len(set(health.CHECKS))
