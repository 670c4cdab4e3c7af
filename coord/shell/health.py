"""What is wrong with an ensemble, in words, from what its servers tell. Pure: nothing is asked here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from coord.shell.units import size
from coord.shell.values import Hex, Moment

BEHIND_ZXIDS = 1000
"""So many writes behind its leader a server is worth a sentence: at full speed it is a few hundredths of a second."""

LAG_MS = 2000
"""A server that is so late is worth a sentence, however few writes that are."""

NEARLY = 0.9

DISK_FREE_BYTES = 1 << 30
"""With less free beside room for three snapshots a disk is nearly full, unless a tenth of it is free."""

CLOCKS_APART_MS = 1000.0
"""Beyond what the network explains."""


@dataclass(slots=True)
class ServerStatus:
    """A row of `coord status`. What a server did not tell is None."""

    address: str
    problem: str | None = None  # why it gave no answer, or does not serve
    id: int | None = None
    role: str | None = None
    epoch: int | None = None
    zxid: Hex | None = None
    committed_zxid: Hex | None = None
    behind: int | None = None  # writes, behind the leader
    lag_ms: int | None = None  # since the oldest write that it lacks; the leader tells it
    sessions: int | None = None
    connections: int | None = None
    outstanding: int | None = None
    watches: int | None = None
    znodes: int | None = None
    ephemerals: int | None = None
    data_bytes: int | None = None
    disk_bytes: int | None = None
    disk_free_bytes: int | None = None  # of the file system with its data folder
    disk_total_bytes: int | None = None
    average_latency_ms: float | None = None
    read_p99_ms: float | None = None  # of the last half to whole minute; None: there were none
    write_p99_ms: float | None = None
    fsync_p99_ms: float | None = None
    version: str | None = None
    since: Moment | None = None
    voters: int | None = None
    members: list[str] = field(default_factory=list)
    digests: dict[int, int] = field(default_factory=dict)  # by zxid; not shown
    lags_ms: dict[int, int] = field(default_factory=dict)  # by server, what a leader tells; not shown
    clock_ahead_ms: float | None = None  # of the clock here, within the time in which it answered
    answered_ms: float | None = None
    files_open: int | None = None
    files_max: int | None = None


@dataclass(slots=True)
class EnsembleStatus:
    """`status`."""

    healthy: bool
    problems: list[str]
    servers: list[ServerStatus]


def judge(servers: Sequence[ServerStatus]) -> EnsembleStatus:
    """The servers together, and one sentence for each thing that is wrong."""
    for each in servers:
        each.behind = _behind(each, servers)
        each.lag_ms = next((one.lags_ms[each.id] for one in servers if each.id in one.lags_ms), None)
    problems = [sentence for check in CHECKS for sentence in check(servers)]
    return EnsembleStatus(not problems, problems, list(servers))


def _behind(each: ServerStatus, servers: Sequence[ServerStatus]) -> int | None:
    leader = next((one for one in servers if one.role == "leader"), None)
    if leader is None or leader.zxid is None or each.zxid is None or each.role == "leader":
        return None
    if leader.zxid >> 40 != each.zxid >> 40:
        return None  # of another epoch: their distance says nothing
    return max(0, leader.zxid - each.zxid)


# ---- one function a thing that can be wrong


def unreachable(servers: Sequence[ServerStatus]) -> list[str]:
    return [
        f"{each.address} does not {'answer' if each.answered_ms is None else 'serve'}: {each.problem}"
        for each in servers
        if each.role is None
    ]


def no_quorum(servers: Sequence[ServerStatus]) -> list[str]:
    leaders = [each for each in servers if each.role in ("leader", "standalone")]
    if leaders:
        return []
    voters = max((each.voters or 0 for each in servers), default=0)
    known = f"; of {voters} voters {voters // 2 + 1} have to reach each other" if voters else ""
    return [f"no server that was asked leads: there is no quorum, or its leader was not asked{known}"]


def several_leaders(servers: Sequence[ServerStatus]) -> list[str]:
    leaders = [each for each in servers if each.role == "leader"]
    if len(leaders) < 2:
        return []
    named = ", ".join(f"{each.address} in epoch {each.epoch}" for each in leaders)
    return [f"{len(leaders)} servers say that they lead: {named}; the one with the lower epoch is about to find out"]


def several_ensembles(servers: Sequence[ServerStatus]) -> list[str]:
    members = {tuple(sorted(each.members)) for each in servers if each.members}
    if len(members) < 2:
        return []
    return ["the servers do not name the same members: they are of different ensembles, or their settings differ"]


def behind(servers: Sequence[ServerStatus]) -> list[str]:
    return [
        f"{each.address} is {each.behind} writes behind the leader"
        for each in servers
        if each.behind is not None and each.behind > BEHIND_ZXIDS
    ]


def late(servers: Sequence[ServerStatus]) -> list[str]:
    return [
        f"{each.address} is {each.lag_ms / 1000:.1f} s behind the leader: its disk or its network cannot keep up"
        for each in servers
        if each.lag_ms is not None and each.lag_ms > LAG_MS
    ]


def disk_nearly_full(servers: Sequence[ServerStatus]) -> list[str]:
    found = []
    for each in servers:
        free, total = each.disk_free_bytes, each.disk_total_bytes
        if free is None or not total:
            continue
        if free < min((1 - NEARLY) * total, DISK_FREE_BYTES + 3 * (each.data_bytes or 0)):
            found.append(
                f"{each.address} has {size(free)} of {size(total)} free on the disk with its data: "
                "when that is full it stops; make room, or lower --snapshots-kept"
            )
    return found


def clocks_apart(servers: Sequence[ServerStatus]) -> list[str]:
    """The two that are furthest apart, less what the time that their answers took explains."""
    telling = [each for each in servers if each.clock_ahead_ms is not None]
    if len(telling) < 2:
        return []
    fast = max(telling, key=lambda each: (each.clock_ahead_ms or 0) - (each.answered_ms or 0) / 2)
    slow = min(telling, key=lambda each: (each.clock_ahead_ms or 0) + (each.answered_ms or 0) / 2)
    apart_ms = (fast.clock_ahead_ms or 0) - (slow.clock_ahead_ms or 0)
    if apart_ms - (fast.answered_ms or 0) / 2 - (slow.answered_ms or 0) / 2 < CLOCKS_APART_MS:
        return []
    return [
        f"the clock of {fast.address} is {apart_ms / 1000:.1f} s ahead of that of {slow.address}: times of znodes, and "
        "when those with a TTL end, go by the leader's; set both by NTP"
    ]


def older_epoch(servers: Sequence[ServerStatus]) -> list[str]:
    newest = max((each.epoch or 0 for each in servers), default=0)
    return [
        f"{each.address} is still in epoch {each.epoch}, others are in {newest}"
        for each in servers
        if each.epoch is not None and each.role != "standalone" and each.epoch < newest
    ]


def digests_differ(servers: Sequence[ServerStatus]) -> list[str]:
    """At the newest zxid that two of them know."""
    found = []
    for number, one in enumerate(servers):
        for other in servers[number + 1 :]:
            if several_ensembles([one, other]) or one.role == "standalone":
                continue
            common = one.digests.keys() & other.digests.keys()
            unlike = [zxid for zxid in common if one.digests[zxid] != other.digests[zxid]]
            if unlike:
                found.append(
                    f"{one.address} and {other.address} have different states at zxid {min(unlike):#x}: "
                    "compare both with a third, stop the odd one, and let it start with an empty folder"
                )
    return found


def too_few(servers: Sequence[ServerStatus]) -> list[str]:
    """A quorum stands, and would not without one more."""
    leader = next((each for each in servers if each.role == "leader"), None)
    voting = [each for each in servers if each.role in ("leader", "follower")]
    if leader is None or not leader.voters or leader.voters == 1:
        return []
    missing = [each for each in servers if each.role is None]
    if missing and len(voting) == leader.voters // 2 + 1 and len(servers) >= leader.voters:
        return [f"{len(voting)} of {leader.voters} voters serve: if one more fails no write is possible"]
    return []


def files(servers: Sequence[ServerStatus]) -> list[str]:
    return [
        f"{each.address} has {each.files_open} of at most {each.files_max} files open"
        for each in servers
        if each.files_open and each.files_max and each.files_open > NEARLY * each.files_max
    ]


CHECKS = (
    unreachable, no_quorum, several_leaders, several_ensembles, too_few, behind, late, older_epoch, digests_differ,
    files, disk_nearly_full, clocks_apart,
)  # fmt: skip
