"""The prompt in a pseudo-terminal: what it shows, completion, history, Ctrl-C, questions, paging."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from coord.shell import prompt
from tests.shell.conftest import COORD
from tools.ensembles import CoordSoftware, Ensemble
from tools.ensembles.ports import free_ports

PATIENCE_S = 30
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Terminal:
    """A program in a terminal. What it showed is looked at without colours and cursor movements."""

    def __init__(self, arguments, environment, columns=100, lines=30):
        self._own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "PROMPT_TOOLKIT_NO_CPR": "1"},
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )  # fmt: skip
        os.close(theirs)
        self._seen = ""
        self.all = ""  # that was ever shown, with colours

    def type(self, text):
        os.write(self._own, text.encode())

    def wait(self, pattern):
        """Until something that fits is shown, behind what was waited for before; gives what stood before it."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, CONTROLS.sub("", self._seen))) is None:
            if not select.select([self._own], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} was not shown, but {CONTROLS.sub('', self._seen)!r}")
            came = os.read(self._own, 65536).decode("utf-8", "replace")
            self._seen, self.all = self._seen + came, self.all + came
        text = CONTROLS.sub("", self._seen)
        self._seen = text[found.end() :]
        return text[: found.end()]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._own)


@pytest.fixture
def open_terminal(servers, environment):
    opened = []

    def make(*arguments, **more):
        opened.append(Terminal([*COORD, "shell", servers.hosts(), *arguments], environment, **more))
        opened[-1].wait(r"/>")
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_the_prompt_shows_server_role_and_path_and_ends_with_ctrl_d(servers, open_terminal):
    terminal = open_terminal()
    terminal.type("cd /zookeeper\n")
    shown = terminal.wait(r"(leader|follower) /zookeeper>")
    assert any(f"{member.client_address} " in shown for member in servers.members.values())
    terminal.type("\x04")
    assert terminal.process.wait(PATIENCE_S) == 0


def test_commands_options_and_paths_are_completed(open_terminal):
    terminal = open_terminal()
    terminal.type("getE\t")
    terminal.wait("phemerals")  # only what is new is drawn
    terminal.type("\x15ls /zook\t")
    terminal.wait("eeper/")
    terminal.type("\n")
    terminal.wait(r"config\s+quota\s")
    terminal.wait("/>")
    terminal.type("ls --rec\t")
    terminal.wait("ursive")


def test_ctrl_c_ends_a_watch_and_not_the_shell(servers, open_terminal):
    terminal = open_terminal()
    terminal.type("watch -R /\n")
    maker = open_terminal()
    maker.type("create -e /made-elsewhere\n")
    maker.wait("Created /made-elsewhere")
    terminal.wait(r"created +/made-elsewhere")
    terminal.type("\x03")
    terminal.wait("/>")
    maker.type("exit\n")
    assert maker.process.wait(PATIENCE_S) == 0
    terminal.type("pwd\n")
    terminal.wait(r"pwd\s+/\s")


def test_a_question_is_answered_with_no_unless_it_is_yes(open_terminal):
    terminal = open_terminal()
    terminal.type("create -p /ask/a\n")
    terminal.wait("Created /ask/a")
    for answer in ("\n", "n\n", "\x03"):
        terminal.type("rm -r /ask\n")
        terminal.wait(r"Delete /ask and all below it, 2 znodes\? \[y/N\]")
        terminal.type(answer)
        terminal.wait("nothing was done")
    terminal.wait("/>")
    terminal.type("rm -r /ask\n")
    terminal.wait(r"\[y/N\]")
    terminal.type("y\n")
    terminal.wait("deleted /ask, 2 znodes")


def test_the_history_lasts_and_keeps_no_passwords(open_terminal, environment):
    terminal = open_terminal()
    terminal.type("count /zookeeper\n")
    terminal.wait("2\n")
    terminal.type("auth digest ann:secret\n")
    terminal.wait("authenticated")
    terminal.type("exit\n")
    terminal.process.wait(PATIENCE_S)
    again = open_terminal()
    again.type("\x1b[A\x1b[A")
    again.wait("count /zookeeper")
    file = Path(environment["XDG_STATE_HOME"]) / "coord" / "shell-history"
    assert "secret" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_screenful_is_shown_at_a_time_also_in_40_columns(open_terminal):
    terminal = open_terminal(columns=40, lines=12)
    terminal.type("help\n")
    first = terminal.wait("-- more: Enter, or q to end --")
    assert "Delete a znode" not in first
    terminal.type("\n")
    terminal.wait("-- more: Enter, or q to end --")
    terminal.type("q\n")
    terminal.wait("/>")


def test_an_error_is_one_sentence_and_the_prompt_comes_back(open_terminal):
    terminal = open_terminal("--read-only")
    terminal.type("create /x\n")
    terminal.wait("read-only")
    terminal.type("get /none\n")
    terminal.wait(r"coord shell: /none does not exist\n")
    terminal.wait("read-only />")


def test_pasted_lines_are_done_one_after_the_other_until_one_fails(open_terminal):
    terminal = open_terminal()
    terminal.type("\x1b[200~create /pasted 'a\nb'\nget /pasted\nrm /pasted\nget /pasted\ncreate /never\n\x1b[201~")
    terminal.type("\n")
    terminal.wait(r"Created /pasted\na\nb\ndeleted /pasted\ncoord shell: /pasted does not exist\n")
    terminal.type("get /never\n")
    terminal.wait("/never does not exist")


def test_connect_goes_to_other_servers_and_back_if_there_are_none(servers, open_terminal):
    terminal = open_terminal("--timeout", "0.5")
    (port,) = free_ports(1)
    terminal.type(f"connect 127.0.0.1:{port}\n")
    terminal.wait("no server took this client")
    terminal.wait("going back to")
    terminal.wait("/>")
    one = servers.hosts([1])
    terminal.type(f"connect {one}\n")
    terminal.wait(f"leaving .* for {one}")
    terminal.wait(f"{one} .*/>")
    terminal.type("redo 0\n")
    terminal.wait("no server took this client")


def test_yaml_has_colours(open_terminal, tmp_path):
    (tmp_path / "yaml").write_text("db:\n  host: x\n")
    terminal = open_terminal()
    terminal.type(f"create -e /yaml --file {tmp_path}/yaml\n")
    terminal.wait("Created /yaml")
    terminal.type("get /yaml\n")
    terminal.wait("db:\n  host: x\n")
    assert re.search(r"\x1b\[[0-9;]+mdb\x1b", terminal.all)


def test_a_shell_whose_servers_go_away_says_so_and_gets_another_session_when_they_are_back(environment, tmp_path):
    with Ensemble(CoordSoftware(), tmp_path, servers=1) as one:
        one.start(1)
        one.wait_serving()
        terminal = Terminal([*COORD, "shell", one.hosts(), "--timeout", "60"], environment)
        try:
            terminal.wait("standalone />")
            terminal.type("watch /\n")
            one.kill9(1)
            terminal.wait("no server serves this shell now; the session lives for . s more; Ctrl-C gives up")
            terminal.wait("is not proved alive")
            one.start(1)
            terminal.wait("standalone />")
            terminal.type("pwd\n")
            terminal.wait(r"pwd\s+/\s")
            one.kill9(1)
            terminal.type("create /unsure\n")
            terminal.wait("Ctrl-C gives up")
            terminal.type("\x03")
            terminal.wait("interrupted; what was being written may have been done")
        finally:
            terminal.close()


def test_without_a_place_for_it_the_history_is_in_memory(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert type(prompt.open_history()).__name__ == "InMemoryHistory"
