"""`coord shell` and `coord status` as processes, against real servers: scripts, exit statuses, pipes, files."""

import json
import os
import signal
import subprocess

import pytest

from coord.cli.exit_codes import ExitCode
from tests.shell.conftest import COORD
from tools.ensembles import CoordSoftware, Ensemble
from tools.ensembles.ports import HOST, free_ports

TIMEOUT_S = 60


def shell(hosts, *arguments, input="", **more):
    """Its exit status, what it wrote, and what it complained of."""
    done = subprocess.run(
        [*COORD, "shell", hosts, *arguments], input=input, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False, **more,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_commands_are_done_in_their_order_until_one_fails(servers):
    status, out, complaint = shell(
        servers.hosts(), "-c", "create /order 1", "-c", "get /order", "-c", "get /order/none", "-c", "rm /order"
    )
    assert (status, out) == (ExitCode.COMMAND_FAILED, "Created /order\n1\n")
    assert complaint == "coord shell: get /order/none: /order/none does not exist\n"
    assert shell(servers.hosts(), "-c", "rm /order")[0] == 0


def test_a_script_on_standard_input_says_in_which_line_it_ended(servers):
    script = "# makes and looks\ncreate /script 'a value'\n\nget /script\nrm /script\nrm /script\nls /\n"
    status, out, complaint = shell(servers.hosts(), input=script)
    assert (status, out) == (ExitCode.COMMAND_FAILED, "Created /script\na value\ndeleted /script\n")
    assert complaint == "coord shell: line 6: /script does not exist\n"


def test_json_goes_for_answers_and_for_errors(servers):
    status, out, complaint = shell(servers.hosts(), "--json", "-c", "pwd", "-c", "get /none")
    assert (status, json.loads(out)) == (ExitCode.COMMAND_FAILED, {"path": "/"})
    assert json.loads(complaint) == {"error": "NoNodeError", "message": "/none does not exist", "where": "get /none"}


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["-c", "lss"], ExitCode.WRONG_SETTINGS, "'lss' is not a command; is ls meant?"),
        (["-c", "ls --loud"], ExitCode.WRONG_SETTINGS, "unrecognized arguments: --loud"),
        (["--read-only", "-c", "create /x"], ExitCode.COMMAND_FAILED, "started with --read-only"),
        (["-c", "rm -r /zookeeper"], ExitCode.COMMAND_FAILED, "Nobody can be asked here: say yes with -f"),
        (["--auth", "digest"], ExitCode.WRONG_SETTINGS, "--auth is SCHEME:CREDENTIALS"),
        (["--timeout", "0"], ExitCode.WRONG_SETTINGS, "--timeout is a number of seconds above 0, not 0"),
        (["-c", "ls /\udcff"], ExitCode.COMMAND_FAILED, "is not UTF-8"),
        (["-c", "setquota -n -1 /"], ExitCode.WRONG_SETTINGS, "-1 is below 0"),
        (["-c", "reconfig -add x"], ExitCode.WRONG_SETTINGS, "there is no reconfig here: which servers there are"),
        (["-c", "connect h:1"], ExitCode.COMMAND_FAILED, "connect is for the prompt"),
        (["-c", "get --out /none/x /"], ExitCode.COMMAND_FAILED, "/none/x cannot be written: No such file"),
        (["--loud"], ExitCode.WRONG_SETTINGS, "'--loud' is not an option"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_a_status(servers, arguments, status, sentence):
    ended, out, complaint = shell(servers.hosts(), *arguments)
    assert (ended, out, complaint.count("\n")) == (status, "", 1)
    assert sentence in complaint


def test_no_server_and_a_wrong_address_are_one_sentence_and_a_status():
    (port,) = free_ports(1)
    status, out, complaint = shell(f"{HOST}:{port}", "--timeout", "0.3", "-c", "ls")
    assert (status, out) == (ExitCode.NO_SERVER, "")
    assert complaint == (
        f"coord shell: no server took this client within 0.3 s ({HOST}:{port}: Connection refused); "
        "coord status with the same addresses tells more\n"
    )
    assert shell("127.0.0.1:x", "-c", "ls")[0] == ExitCode.WRONG_SETTINGS


def test_no_permission_says_what_would_help(servers):
    assert shell(servers.hosts(), "-c", "auth digest ann:secret", "-c", "create /anns x auth::cdrwa")[0] == 0
    status, _, complaint = shell(servers.hosts(), "-c", "get /anns")
    assert status == ExitCode.COMMAND_FAILED
    assert complaint.endswith("; see acl get, and authenticate with auth\n")
    assert shell(servers.hosts(), "--auth", "digest:ann:secret", "-c", "get /anns", "-c", "rm /anns")[1].startswith(
        "x\n"
    )


def test_a_password_is_not_repeated_in_a_complaint(servers):
    status, _, complaint = shell(servers.hosts(), "-c", "auth nothing ann:secret")
    assert status == ExitCode.COMMAND_FAILED
    assert "secret" not in complaint


def test_a_reader_that_goes_away_ends_the_shell_quietly(servers):
    script = "create /pipe\n" + "".join(f"create /pipe/{number:04}\n" for number in range(500))
    assert shell(servers.hosts(), input=script)[0] == 0
    with subprocess.Popen(
        [*COORD, "shell", servers.hosts(), *(["-c", "ls -R /pipe"] * 200)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b"/pipe\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(TIMEOUT_S) == 0
    assert shell(servers.hosts(), "-c", "rm -rf /pipe")[0] == 0


def test_values_come_from_files_and_from_standard_input_and_go_to_files(servers, tmp_path):
    data = bytes(range(256)) * 3000
    (tmp_path / "in").write_bytes(data)
    status, out, _ = shell(
        servers.hosts(), "-c", f"create /file --file {tmp_path}/in", "-c", f"get /file --out {tmp_path}/out",
        "-c", "set /file -i -", "-c", "get /file", "-c", "rm /file", input="from standard input",
    )  # fmt: skip
    assert status == 0
    assert out.splitlines()[-2:] == ["from standard input", "deleted /file"]
    assert (tmp_path / "out").read_bytes() == data


def test_bytes_that_are_no_text_are_kept_in_arguments_and_in_scripts(servers):
    assert shell(servers.hosts(), "-c", "create /bytes '\udcff\x01'", "-c", "get /bytes")[1].split()[2:5] == [
        "00000000", "ff", "01",
    ]  # fmt: skip
    done = subprocess.run(
        [*COORD, "shell", servers.hosts()], input=b"set /bytes '\xfe'\nget -r /bytes\nrm /bytes\n", capture_output=True,
        timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    assert done.stdout == b"/bytes has version 1\n\xfedeleted /bytes\n"


def test_a_subtree_is_exported_and_imported_with_values_and_acls(servers, tmp_path):
    hosts, file = servers.hosts(), f"{tmp_path}/app.json"
    made = ["-c", "create /tree 'ü'", "-c", "create /tree/a x world:anyone:rwa", "-c", "create -e /tree/e"]
    status, out, _ = shell(hosts, *made, "-c", f"export /tree {file}")
    assert (status, out.splitlines()[-1]) == (0, f"exported 2 znodes, without 1 ephemeral to {file}")
    status, _, complaint = shell(hosts, "-c", f"import {file}")
    assert status == ExitCode.COMMAND_FAILED
    assert "there is a znode /tree already" in complaint
    shell(hosts, "-c", "set /tree other")
    status, out, _ = shell(
        hosts, "-c", f"import {file} /copy", "-c", f"import --overwrite {file}", "-c", "get /tree", "-c", "get /copy",
        "-c", "acl get /copy/a", "-c", "rm -rf /tree", "-c", "rm -rf /copy",
    )  # fmt: skip
    assert status == 0
    assert out.splitlines()[2:6] == ["ü", "ü", "'world,'anyone", ": rwa"]


def test_the_servers_own_znodes_are_no_part_of_an_export_of_the_root(servers, tmp_path):
    file = tmp_path / "all.json"
    assert shell(servers.hosts(), "-c", "create /all x", "-c", f"export / {file}", "-c", "rm /all")[0] == 0
    assert '"below": "/all"' in file.read_text()
    assert "/zookeeper" not in file.read_text()
    assert shell(servers.hosts(), "-c", f"import {file}", "-c", "rm /all")[0] == 0


def test_a_command_in_a_script_goes_on_where_its_quote_is_open(servers):
    script = "\ufeff# it's a comment\r\ncreate /lines \"a\nb\"\nget /lines\nrm /lines\nset /lines 'x\nls /\n"
    status, out, complaint = shell(servers.hosts(), input=script)
    assert (status, out) == (ExitCode.WRONG_SETTINGS, "Created /lines\na\nb\ndeleted /lines\n")
    assert complaint.startswith("coord shell: line 6: the line cannot be taken apart: the quote ' is not closed")
    assert shell(servers.hosts(), "-c", "pwd\n# no\npwd")[1] == "/\n/\n"


def test_a_value_of_a_megabyte_in_a_script_is_set_and_one_that_is_too_long_is_not_repeated(servers):
    script = f"create /long '{'x y ' * 250_000}'\nset /long '{'z' * 2_000_000}'\n"
    status, out, complaint = shell(servers.hosts(), input=script)
    assert (status, out) == (ExitCode.COMMAND_FAILED, "Created /long\n")
    assert "frame_bytes_max" in complaint
    status, _, complaint = shell(servers.hosts(), "-c", "rm /long", "-c", f"set /long -v {'9' * 100_000}")
    assert status == ExitCode.WRONG_SETTINGS
    assert len(complaint) < 4000


def test_standard_input_cannot_be_the_script_and_a_value(servers):
    status, out, complaint = shell(servers.hosts(), input="create /both x\nset /both --file -\nget /both\n")
    assert (status, out) == (ExitCode.COMMAND_FAILED, "Created /both\n")
    assert "line 2: standard input is where this shell's commands come from" in complaint
    assert shell(servers.hosts(), "-c", "get /both", "-c", "rm /both")[1] == "x\ndeleted /both\n"


@pytest.mark.parametrize("command", ["ls /", "get -r /full"])
def test_what_cannot_be_written_is_said_in_a_sentence(servers, command):
    with open("/dev/full", "wb", buffering=0) as full:
        done = subprocess.run(
            [*COORD, "shell", servers.hosts(), "-c", "cd", "-c", "create -e /full x", "-c", command],
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    assert done.returncode == ExitCode.COMMAND_FAILED
    assert done.stderr.endswith("standard output cannot be written: No space left on device\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("closing", "arguments", "status"),
    [
        ("<&-", "", 0), (">&-", "-c pwd", 0), ("2>&-", "-c lss", 2), ("2>/dev/full", "-c lss", 2),
        ("<&- >&- 2>&-", "-c 'ls /none'", 8),
    ],
)  # fmt: skip
def test_closed_and_full_streams_are_no_defect(servers, closing, arguments, status):
    line = f"{' '.join(COORD)} shell {servers.hosts()} {arguments} {closing}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_a_path_in_another_character_set_is_taken_by_its_bytes(servers):
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    commands = ["-c", "create /ü 'ö'", "-c", "get /ü", "-c", "ls /ü", "-c", "rm /ü"]
    assert shell(servers.hosts(), *commands, env=environment)[1] == "Created /ü\nö\ndeleted /ü\n"


@pytest.mark.parametrize(
    ("commands", "sentence"),
    [
        (["pwd", "import -"], "coord shell: import -: interrupted; what was being written may have been done"),
        (["pwd", "create -e /long --file {file}", "get --raw /long"], ""),  # which nobody reads
        ([], ""),
    ],
)
def test_ctrl_c_while_the_shell_reads_or_writes(servers, tmp_path, commands, sentence):
    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    arguments = [word for each in commands for word in ("-c", each.format(file=tmp_path / "file"))]
    with subprocess.Popen(
        [*COORD, "shell", servers.hosts(), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        if not commands:
            process.stdin.write("pwd\n")
        assert process.stdout.readline() == "/\n"
        if "import -" in commands:
            process.stdin.write("x" * 200_000)  # more than a pipe holds: when it is away it is being read
        if "get --raw /long" in commands:
            assert process.stdout.readline() == "Created /long\n"
            assert process.stdout.read(1) == "x"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
        complaint = process.stderr.read()
        assert complaint.startswith(sentence)
        assert complaint.count("\n") == bool(sentence)


def test_no_colours_where_there_is_no_terminal(servers):
    assert "\x1b" not in shell(servers.hosts(), "-c", "ls -l /", "-c", "status", "-c", "tree /")[1]


# ---- status


def status(hosts, *arguments):
    return subprocess.run(
        [*COORD, "status", hosts, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_status_tells_of_three_servers_that_are_well(servers):
    done = status(servers.hosts())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "all is well"
    seen = json.loads(status(servers.hosts(), "--json").stdout)
    assert sorted(each["role"] for each in seen["servers"]) == ["follower", "follower", "leader"]
    assert {"zxid", "committed_zxid", "epoch", "sessions", "znodes", "disk_bytes", "fsync_p99_ms", "since"} <= set(
        seen["servers"][0]
    )


def test_status_of_five_servers_one_killed_and_one_frozen_says_so_and_is_quick(tmp_path):
    with Ensemble(CoordSoftware(), tmp_path, servers=5) as five:
        five.start_all()
        five.wait_serving()
        dead, frozen = five.followers()[:2]
        five.kill9(dead)
        five.sigstop(frozen)
        done = status(five.hosts(), "--json")
        seen = json.loads(done.stdout)
        five.sigcont(frozen)
        assert done.returncode == ExitCode.UNWELL
        by_address = {each["address"]: each for each in seen["servers"]}
        problems = {member.id: by_address[member.client_address]["problem"] for member in five.members.values()}
        assert problems[dead] == "connection refused"
        assert problems[frozen] == "no answer within 0.7 s"
        assert sum(each is None for each in problems.values()) == 3
        assert any("3 of 5 voters serve: if one more fails" in each for each in seen["problems"])


def test_status_without_a_quorum_says_so(tmp_path):
    with Ensemble(CoordSoftware(), tmp_path) as three:
        three.start(1)
        three.wait_until(
            lambda: "serves nobody" in status(three.hosts([1]), "--json").stdout, "a server alone that answers", 30
        )
        done = status(three.hosts())
        assert done.returncode == ExitCode.UNWELL
        assert "does not serve: it runs and serves nobody" in done.stdout
        assert "there is no quorum" in done.stdout
        assert "of 3 voters 2 have to reach each other" in done.stdout
        ended, _, complaint = shell(three.hosts([1]), "--timeout", "1", "-c", "ls")
        assert (ended, complaint.count("\n")) == (ExitCode.NO_SERVER, 1)


def test_status_watches_until_it_is_stopped(servers):
    with subprocess.Popen(
        [*COORD, "status", servers.hosts(), "--json", "--watch", "--every", "0.05"], stdout=subprocess.PIPE
    ) as process:
        assert all(json.loads(process.stdout.readline())["healthy"] for _ in range(3))
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("arguments", [["--every", "0"], ["--timeout", "-1"], ["h:x"], ["a", "b"]])
def test_status_refuses_a_wrong_command_line(arguments):
    done = subprocess.run([*COORD, "status", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (ExitCode.WRONG_SETTINGS, "", 1)
