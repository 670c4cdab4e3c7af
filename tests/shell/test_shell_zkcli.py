"""What ZooKeeper's own zkCli prints, and what this shell prints for the same commands on the same servers.

Skipped, and said so, where Debian's package of ZooKeeper is not installed.
"""

import re
import subprocess
import sys

from tests.interop.test_zkcli import zkcli

SCRIPT = [
    "create {root} top",
    "history",
    "redo 0",
    "create {root}/a one",
    "create -s {root}/s- x",
    "create -e {root}/e",
    "create -e -s {root}/es- y",
    "create -c {root}/c",
    "create -t 1000000 {root}/t z",
    "get {root}/a",
    "set {root}/a two",
    "get -s {root}/a",
    "stat {root}/a",
    "ls {root}",
    "ls -R {root}",
    "getAllChildrenNumber {root}",
    "getAcl {root}/a",
    "setAcl {root}/a world:anyone:ra",
    "getAcl -s {root}/a",
    "setAcl -R {root}/c world:anyone:cdrwa",
    "addauth digest ann:secret",
    "whoami",
    "sync {root}",
    "getEphemerals {root}",
    "create -s {root}/ n",
    "delete {root}",
    "delete -v 1 {root}/t",
    "set -v 0 {root}/a three",
    "delete {root}/none",
    "delete {root}/t",
    "ls -s {root}",
    "deleteall {root}",
]
DIFFERING = re.compile(r"^(cZxid|mZxid|pZxid|ctime|mtime|ephemeralOwner) = ")
"""What no two znodes have in common."""

OURS_ALONE = re.compile(r"^session .*|^0x[0-9a-f]+  ")
"""whoami and getEphemerals tell of the session too."""

QUIET_THERE = ("set {root}", "setAcl", "delete {root}/t", "deleteall", "addauth")
"""zkCli says nothing when these have been done."""

REFUSALS = {
    "delete -v 1 {root}/t": "version No is not valid : ROOT/t",
    "set -v 0 {root}/a three": "Insufficient permission : ROOT/a",
    "delete {root}/none": "Node does not exist: ROOT/none",
    "delete {root}": "Node not empty: ROOT",
    "redo 0": "Node already exists: ROOT",
}
"""In zkCli's words."""


def alike(lines, root):
    """The lines in one form: without what differs by nature, and a list as one name a line."""
    found = []
    for line in lines:
        line = OURS_ALONE.sub("", line.replace(root, "ROOT"))
        if line.startswith("[") and line.endswith("]"):
            found += line[1:-1].split(", ")
        elif match := DIFFERING.match(line):
            found.append(match[1])
        elif line:
            found.append(line)
    return found


def of_shell(hosts, script, root):
    """What the shell says to each command, all in one session; a sentence for one that fails."""
    with subprocess.Popen(
        [sys.executable, "-c", SESSION, hosts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        out, _ = process.communicate("\n".join(line.format(root=root) for line in script), timeout=60)
    assert process.returncode == 0
    return [answer.splitlines() for answer in out.split("\0")[:-1]]


SESSION = """
import sys, trio
from coord.client.connecting import connect
from coord.shell.output import standard_output
from coord.shell.run import run_line, sentence
from coord.shell.state import Shell

async def main():
    async with connect(sys.argv[1]) as client:
        async def yes(question): return True
        shell, output = Shell(client, sys.argv[1], ask=yes), standard_output(False)
        for line in sys.stdin.read().splitlines():
            try:
                await run_line(shell, line, output)
            except Exception as error:
                print("failed:", sentence(error), flush=True)
            print(end=chr(0), flush=True)

trio.run(main)
"""
"""zkCli goes on after a command that fails, and a script of the shell does not: so here the shell's parts are used."""


def test_the_commands_of_zkcli_say_the_same_here(servers):
    theirs = alike(zkcli(servers, *(line.format(root="/zkcli") for line in SCRIPT)), "/zkcli")
    answers = of_shell(servers.hosts(), SCRIPT, "/shell")
    assert len(answers) == len(SCRIPT)
    for command, answer in zip(SCRIPT, answers, strict=True):
        for line in alike(answer[command.startswith("redo") :], "/shell"):  # it shows what it does again
            if command.startswith(QUIET_THERE):
                break
            if line.startswith("failed: "):
                line = REFUSALS[command]
            assert line in theirs, f"{command}: {line!r} is not what zkCli prints: {theirs}"
            theirs = theirs[theirs.index(line) + 1 :]
