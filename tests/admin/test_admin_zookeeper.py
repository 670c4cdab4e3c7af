"""Our JSON beside that of ZooKeeper's own AdminServer, where it is installed."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from admin_desk import open_desk

from coord.codec.words import WORDS
from tools.ensembles import ZooKeeperSoftware
from tools.ensembles.ports import HOST, free_ports
from tools.ensembles.zookeeper import JARS, class_path
from tools.wire.client import RawClient

WEB_JARS = ("jetty9-*.jar", "jackson-*.jar", "servlet-api*.jar")
NOT_OURS = frozenset(("get_trace_mask", "set_trace_mask", "observer_connection_stat_reset"))
ACTIONS = frozenset(("stat_reset", "connection_stat_reset"))
OF_JAVA = frozenset(("environment", "system_properties", "monitor"))
"""Most of their keys are names of Java's properties, or of metrics of parts that coord does not have."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory):
    """What ZooKeeper's AdminServer answers to each of its commands, with one client that watches an ephemeral znode."""
    software = ZooKeeperSoftware()
    if (sentence := software.missing()) is not None:
        pytest.skip(sentence)
    jars = [str(jar) for pattern in WEB_JARS for jar in sorted(JARS.glob(pattern))]
    if not any("jetty9-server" in jar for jar in jars):
        pytest.skip(f"ZooKeeper's AdminServer needs Jetty, and there is none in {JARS}; apt install libjetty9-java")
    folder = tmp_path_factory.mktemp("zookeeper")
    client_port, admin_port = free_ports(2)
    settings = {
        "tickTime": 2000,
        "dataDir": folder,
        "clientPort": client_port,
        "clientPortAddress": HOST,
        "admin.serverAddress": HOST,
        "admin.serverPort": admin_port,
    }
    (folder / "zoo.cfg").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    command = [
        *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", ":".join([class_path(), *jars])),
        *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(folder / "zoo.cfg")),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _ask_all(server, client_port, admin_port, folder)
        finally:
            server.kill()
            server.wait()


def _ask_all(server: "subprocess.Popen[bytes]", client_port: int, admin_port: int, folder: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        try:
            page = _get(admin_port, "")
            if json.loads(_get(admin_port, "/stats"))["error"] is None:
                break
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"ZooKeeper's AdminServer does not run here: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.1)
    names = [part.split('"')[0] for part in page.split("commands/")[1:]]
    with RawClient(client_port) as client:
        client.create("/watched", flags=1)
        client.get("/watched", watch=True)
        return {name: json.loads(_get(admin_port, f"/{name}")) for name in names if name not in NOT_OURS}


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}/commands{path}", timeout=10) as answer:
        return str(answer.read().decode())


def missing(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """Keys of theirs that ours has not, at any depth; of a list the first items are compared."""
    if isinstance(theirs, list) and isinstance(ours, list):
        return missing(theirs[0], ours[0], f"{where}[0]") if theirs and ours else []
    if not isinstance(theirs, dict):
        return []
    if not isinstance(ours, dict):
        return [f"{where} is no object"]
    if any(not key.isidentifier() for key in theirs):
        return []  # by session, by path
    found = [f"{where}.{key}" for key in theirs if key not in ours]
    return found + [each for key in theirs if key in ours for each in missing(theirs[key], ours[key], f"{where}.{key}")]


async def test_every_key_that_zookeeper_tells_is_told_here_too(autojump_clock, monkeypatch, original):
    async with open_desk(monkeypatch, words=frozenset(WORDS)) as desk:
        client = await desk.ensemble.connect(1)
        await client.create("/watched", b"", ephemeral=True)
        await client.get("/watched", watch=True)
        found = []
        for name, theirs in original.items():
            if name in ACTIONS:
                assert (await desk.ask(f"/commands/{name}", method="POST")).status == 401
            elif name not in OF_JAVA and theirs["error"] is None:
                found += missing(theirs, (await desk.ask(f"/commands/{name}")).json, name)
        assert found == []
        shared = original["monitor"].keys() & (await desk.ask("/commands/monitor")).json.keys()
        assert len(shared) >= 19


def test_the_comparison_finds_a_key_that_is_missing():
    assert missing({"a": [{"b": 1, "c": 2}], "d": {}}, {"a": [{"b": 1}], "d": {}}) == [".a[0].c"]
