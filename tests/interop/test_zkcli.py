"""ZooKeeper's own command line client, of Debian's package where it is installed."""

import subprocess
from collections.abc import Iterator

import pytest

from tools.ensembles import Ensemble, ZooKeeperSoftware
from tools.ensembles.zookeeper import class_path

TIMEOUT_S = 60


def zkcli(ensemble: Ensemble, *commands: str) -> Iterator[str]:
    """One session; the lines it prints, without what it says of its own connecting."""
    if (sentence := ZooKeeperSoftware().missing()) is not None:
        pytest.skip(sentence)
    done = subprocess.run(
        [
            *("java", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"),
            *("-cp", class_path(), "org.apache.zookeeper.ZooKeeperMain", "-server", ensemble.hosts()),
        ],
        input="\n".join([*commands, "quit", ""]),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
    )
    assert done.returncode in (0, 1), done.stdout  # 1 if the last command failed
    connecting = ("Connecting to ", "Welcome to ZooKeeper!", "JLine support ", "WATCHER::")
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(connecting)]
    assert "state:SyncConnected" in lines.pop(0)
    return iter(lines)


def expect(lines: Iterator[str], *wanted: str) -> None:
    """Each of these lines comes, in this order; others may come between."""
    for line in wanted:
        assert line in lines, f"{line!r} is not among the lines, or not in its place"


def test_zkcli_creates_reads_lists_changes_and_deletes(ensemble: Ensemble, root: str) -> None:
    lines = zkcli(
        ensemble,
        f"create {root}/a one",
        f"get {root}/a",
        f"create -s {root}/a/s- x",
        f"create -e {root}/a/e y",
        f"create -c {root}/a/c",
        f"create -t 1000000 {root}/a/t z",
        f"ls {root}/a",
        f"ls -R {root}",
        f"set {root}/a two",
        f"get -s {root}/a",
        f"set -v 7 {root}/a three",
        f"getEphemerals {root}",
        f"getAllChildrenNumber {root}",
        f"sync {root}",
        f"delete {root}/a",
        f"delete {root}/missing",
        f"deleteall {root}/a",
        f"stat {root}/a",
    )
    expect(
        lines,
        f"Created {root}/a",
        "one",
        f"Created {root}/a/s-0000000000",
        f"Created {root}/a/e",
        f"Created {root}/a/c",
        f"Created {root}/a/t",
        "[c, e, s-0000000000, t]",
        root,
        f"{root}/a",
        f"{root}/a/c",
        f"{root}/a/e",
        f"{root}/a/s-0000000000",
        f"{root}/a/t",
        "two",
        "cversion = 4",
        "dataVersion = 1",
        "aclVersion = 0",
        "ephemeralOwner = 0x0",
        "dataLength = 3",
        "numChildren = 4",
        f"version No is not valid : {root}/a",
        f"[{root}/a/e]",
        "5",
        "Sync is OK",
        f"Node not empty: {root}/a",
        f"Node does not exist: {root}/missing",
        f"Node does not exist: {root}/a",
    )


def test_zkcli_sets_and_shows_acls(ensemble: Ensemble, root: str) -> None:
    lines = zkcli(
        ensemble,
        f"getAcl {root}",
        "addauth digest ann:secret",
        f"create {root}/anns data auth::cdrwa",
        f"getAcl {root}/anns",
        f"setAcl {root}/anns world:anyone:r",
        f"getAcl -s {root}/anns",
        "whoami",
        f"set {root}/anns refused",
    )
    expect(
        lines,
        "'world,'anyone",
        ": cdrwa",
        f"Created {root}/anns",
        "'digest,'ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=",
        ": cdrwa",
        "'world,'anyone",
        ": r",
        "aclVersion = 1",
        "digest: ann",
        "ip: 127.0.0.1",
        f"Insufficient permission : {root}/anns",
    )


def test_zkcli_sets_and_lists_quotas(ensemble: Ensemble, root: str) -> None:
    lines = zkcli(
        ensemble,
        f"create {root}/q data",
        f"create {root}/q/a data",
        f"setquota -n 10 {root}/q",
        f"listquota {root}/q",
        f"setquota -N 2 {root}/q",
        f"create {root}/q/b data",
        f"delquota {root}/q",
        f"create {root}/q/b data",
        f"listquota {root}/q",
    )
    expect(
        lines,
        f"Output quota for {root}/q count=10,bytes=-1=;byteHardLimit=-1;countHardLimit=-1",
        f"Output stat for {root}/q count=2,bytes=8",
        f"Created {root}/q/b",
        f"quota for {root}/q does not exist.",
    )


def test_zkcli_hears_of_what_it_watches(ensemble: Ensemble, root: str) -> None:
    lines = zkcli(
        ensemble,
        f"addWatch -m PERSISTENT_RECURSIVE {root}",
        f"create {root}/a",
        f"set {root}/a data",
        f"get -w {root}",
        f"set {root} data",
        f"delete {root}/a",
    )
    events = [line for line in lines if line.startswith("WatchedEvent") and "type:None" not in line]
    assert [event.split("type:")[1].split(" zxid")[0] for event in events] == [
        f"NodeCreated path:{root}/a",
        f"NodeDataChanged path:{root}/a",
        f"NodeDataChanged path:{root}",
        f"NodeDeleted path:{root}/a",
    ]
