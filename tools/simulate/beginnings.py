"""Ensembles that have lived for long: every disk holds the same snapshot, whose numbers are all near their limits.

The last epoch is a high one and has used up nearly all of its counter; the numbers of sequential znodes and the
versions of data are about to pass 2**31 - 1 (T20). The onlooker begins there, too. What happens when a counter comes
to its end is told by other seeds, with a small `counter_max`: an election begins a new epoch, and so a new counter.
"""

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from coord.model.acl import OPEN_ACL
from coord.model.entries import zxid_of
from coord.model.paths import parent_of
from coord.model.replies import NODE_CREATED
from coord.paxos.effects import InstallSnapshot, SaveBallot, SnapshotPart, Step
from coord.state.digest import mark_of
from coord.state.machine import Machine
from coord.state.znode import INT32_MAX, Znode
from tools.simulate.clients import SKELETON
from tools.simulate.disks import ServerDisk
from tools.simulate.ghost import Ghost, Version

EPOCH = 1 << 22
COUNTER_MAX = (1 << 40) - 1
CLUSTER = 77
TIME_MS = 900_000
NEAR = 60
"""So many steps before a limit, at most."""


def begin_near_the_limits(rng: Random, disks: Iterable[ServerDisk], ghost: Ghost) -> None:
    zxid = zxid_of(EPOCH, COUNTER_MAX - rng.randrange(NEAR))
    machine = _machine(rng, zxid)
    walk = machine.begin_walk()
    chunks = list(iter(lambda: walk.next_chunk(), None))
    parts: list[Step] = [SnapshotPart(zxid, index, chunk) for index, chunk in enumerate(chunks)]
    for disk in disks:
        ballot = replace(disk.kept.ballot, cluster=CLUSTER, promised=EPOCH, promised_to=1, accepted=EPOCH)
        disk.begin([SaveBallot(ballot), *parts, InstallSnapshot(zxid)])
    versions = {path: Version(znode.mzxid, NODE_CREATED, znode.data) for path, znode in machine.tree.nodes.items()}
    ghost.begin(machine, versions)


def _machine(rng: Random, zxid: int) -> Machine:
    machine = Machine()
    machine.zxid, machine.time_ms = zxid, TIME_MS
    made = zxid - len(SKELETON) - 2
    for path in (*SKELETON, "/log/old", "/eph/old"):
        made += 1
        parent = parent_of(path)
        znode = Znode(b"old", OPEN_ACL, made, TIME_MS, 0, 0, mark_of(path))
        if path.startswith("/kv/"):
            znode.version = INT32_MAX - rng.randrange(NEAR)
        creations = INT32_MAX - rng.randrange(NEAR) if parent in ("/log", "/eph") else 1
        machine.tree.insert(path, parent, znode, made, creations)
    return machine
