"""Servers asked what they tell of themselves, all at once, each within a time limit."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import trio

from coord.client.addresses import Address
from coord.model.message import message
from coord.shell.health import EnsembleStatus, ServerStatus, judge
from coord.shell.units import wall_ms
from coord.shell.values import Hex, Moment
from coord.shell.words import Unreachable, ask, pairs, settings

AskWord = Callable[[Address, str, float], Awaitable[str]]

LIMIT_S = 0.7
"""For one server's answers: with it a dead server does not keep the table for a second."""

WORDS = ("mntr", "conf", "hash", "dirs")
LAG = "learner_lag_ms_"
"""Keys of mntr that begin so end with the number of a server that follows this one."""

REFUSED = "is not executed because"
NOT_SERVING = "not currently serving"

_CONNECTION = re.compile(r"^ /(?P<client>.+)\[[01]\]\(queued=.*?,sid=(?P<sid>0x[0-9a-f]+),(?P<rest>.*)\)$")


@message
class Connection:
    """A connection with a session, as `cons` tells of it."""

    client: str
    server: str
    session: int
    timeout_ms: int
    since_ms: int
    last_operation: str


async def look(addresses: Sequence[Address], limit_s: float = LIMIT_S, ask_word: AskWord = ask) -> EnsembleStatus:
    """All servers' status, and what is wrong."""
    found: list[ServerStatus] = [ServerStatus(str(each)) for each in addresses]

    async def fill(index: int) -> None:
        found[index] = await look_at(addresses[index], limit_s, ask_word)

    async with trio.open_nursery() as nursery:
        for index in range(len(addresses)):
            nursery.start_soon(fill, index)
    return judge(found)


async def look_at(address: Address, limit_s: float, ask_word: AskWord) -> ServerStatus:
    answers: dict[str, str] = {}
    failures: list[str] = []
    began_s, asked_ms = trio.current_time(), wall_ms()
    told_ms = asked_ms  # when mntr was here

    async def one(word: str) -> None:
        nonlocal told_ms
        try:
            answers[word] = await ask_word(address, word, limit_s)
            told_ms = wall_ms() if word == "mntr" else told_ms
        except Unreachable as error:
            failures.append(str(error))

    async with trio.open_nursery() as nursery:
        for word in WORDS:
            nursery.start_soon(one, word)
    if not answers:
        return ServerStatus(str(address), failures[0])
    status = read_status(str(address), answers, (asked_ms + told_ms) / 2)
    status.answered_ms = round((trio.current_time() - began_s) * 1000, 1)
    return status


def read_status(address: str, answers: dict[str, str], now_ms: float) -> ServerStatus:
    """What the answers to these words say; a word may be missing, or refused. `now_ms`: when they were made."""
    status = ServerStatus(address)
    told = settings(answers.get("conf", ""))
    status.id = _whole(told.get("serverId"))
    status.members = told.get("membership", "").split()
    monitor = answers.get("mntr", "")
    if NOT_SERVING in monitor:
        status.problem = "it runs and serves nobody, for it has no leader"
        status.voters = len(status.members) or None
        return status
    if REFUSED in monitor:
        status.problem = "the word mntr is not among its --words"
        return status
    values = pairs(monitor)
    if "server_state" not in values:
        status.problem = "what listens there does not answer as a server does"
        return status
    status.role, status.version = values["server_state"], values.get("version", "").partition(",")[0]
    status.epoch, status.voters = _whole(values.get("epoch")), _whole(values.get("quorum_size"))
    status.zxid, status.committed_zxid = _hex(values.get("last_durable_zxid")), _hex(values.get("last_committed_zxid"))
    status.sessions, status.connections = (
        _whole(values.get("global_sessions")), _whole(values.get("num_alive_connections")),
    )  # fmt: skip
    status.outstanding, status.watches = _whole(values.get("outstanding_requests")), _whole(values.get("watch_count"))
    status.znodes, status.ephemerals = _whole(values.get("znode_count")), _whole(values.get("ephemerals_count"))
    status.data_bytes = _whole(values.get("approximate_data_size"))
    status.average_latency_ms, status.fsync_p99_ms = (
        _number(values.get("avg_latency")), _number(values.get("fsync_p99_ms")),
    )  # fmt: skip
    if _number(values.get("read_latency_p99_ms")):
        status.read_p99_ms = _number(values.get("read_latency_p99_ms"))
    if _number(values.get("write_latency_p99_ms")):
        status.write_p99_ms = _number(values.get("write_latency_p99_ms"))
    status.disk_free_bytes = _whole(values.get("disk_free_bytes"))
    status.disk_total_bytes = _whole(values.get("disk_total_bytes"))
    clock_ms = _number(values.get("wall_clock_ms"))
    status.clock_ahead_ms = None if clock_ms is None else round(clock_ms - now_ms, 1)
    status.lags_ms = {
        int(server): _whole(value) or 0
        for key, value in values.items()
        if (server := key.removeprefix(LAG)).isdecimal()
    }
    status.files_open = _whole(values.get("open_file_descriptor_count"))
    status.files_max = _whole(values.get("max_file_descriptor_count"))
    uptime_ms = _whole(values.get("uptime"))
    status.since = None if uptime_ms is None else Moment(now_ms - uptime_ms)
    status.disk_bytes = _disk_bytes(answers.get("dirs", ""))
    status.digests = _digests(answers.get("hash", ""))
    return status


async def connections(
    addresses: Sequence[Address], limit_s: float = LIMIT_S, ask_word: AskWord = ask
) -> list[Connection]:
    """All connections with a session, of the servers that tell."""
    found: list[Connection] = []

    async def one(address: Address) -> None:
        with suppress(Unreachable):
            found.extend(read_connections(str(address), await ask_word(address, "cons", limit_s)))

    async with trio.open_nursery() as nursery:
        for each in addresses:
            nursery.start_soon(one, each)
    return sorted(found, key=lambda each: (each.session, each.client))


def read_connections(server: str, text: str) -> list[Connection]:
    found = []
    for line in text.splitlines():
        match = _CONNECTION.match(line)
        if match is None:
            continue
        rest = dict(part.partition("=")[::2] for part in match["rest"].split(","))
        found.append(
            Connection(
                match["client"],
                server,
                int(match["sid"], 16),
                _whole(rest.get("to")) or 0,
                _whole(rest.get("est")) or 0,
                rest.get("lop", ""),
            )
        )
    return found


def _digests(text: str) -> dict[int, int]:
    found = {}
    for line in text.splitlines():
        zxid, _, digest = line.partition(": ")
        try:
            found[int(zxid, 16)] = int(digest)
        except ValueError:
            continue
    return found


def _disk_bytes(text: str) -> int | None:
    sizes = [_whole(line.partition(": ")[2]) for line in text.splitlines() if "_size: " in line]
    return sum(each or 0 for each in sizes) if sizes else None


def _whole(text: str | None) -> int | None:
    return None if (number := _number(text)) is None else int(number)


def _hex(text: str | None) -> Hex | None:
    return None if text is None or not text.isdecimal() else Hex(text)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
