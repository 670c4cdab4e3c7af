"""What is wrong with an ensemble, in words, from what its servers tell. Pure: nothing is asked here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from coord.shell.values import Hex, Moment

BEHIND_ZXIDS = 1000
"""So many writes behind its leader a server is worth a sentence: at full speed it is a few hundredths of a second."""

NEARLY = 0.9


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
    sessions: int | None = None
    connections: int | None = None
    outstanding: int | None = None
    watches: int | None = None
    znodes: int | None = None
    ephemerals: int | None = None
    data_bytes: int | None = None
    disk_bytes: int | None = None
    average_latency_ms: float | None = None
    fsync_p99_ms: float | None = None
    version: str | None = None
    since: Moment | None = None
    voters: int | None = None
    members: list[str] = field(default_factory=list)
    digests: dict[int, int] = field(default_factory=dict)  # by zxid; not shown
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
    unreachable, no_quorum, several_leaders, several_ensembles, too_few, behind, older_epoch, digests_differ, files,
)  # fmt: skip
