"""ZooKeeper's four-letter words: short questions on the client port, answered in text, in the forms of ZooKeeper 3.8
that its tools take apart.

A word asks the server's `Facts` for what it shows and for nothing else, so that a cheap word stays cheap. Lists that
grow with the number of clients are cut at LINES_MAX lines.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeAlias

from coord.codec import opcodes as op
from coord.model.message import message

STANDALONE, LEADER, FOLLOWER, OBSERVER = "standalone", "leader", "follower", "observer"
"""Modes of a server."""

LINES_MAX = 10_000
"""Of a list in an answer, so that no word makes the server busy for long."""

NOT_SERVING = "This ZooKeeper instance is not currently serving requests\n"
NOT_ALLOWED = "{} is not executed because it is not in the whitelist.\n"

# ---- what a server knows of itself


@message
class Latency:
    """Of requests, from arrival to reply."""

    min_ms: int = 0
    average_ms: float = 0.0
    max_ms: int = 0


@message
class ProposalSizes:
    """Of the batches this leader proposed, in bytes; -1: none yet."""

    last: int = -1
    min: int = -1
    max: int = -1


@message
class ServerStatistics:
    """For srvr, stat and mntr."""

    version: str  # starts with the version of ZooKeeper that clients may take us for: "3.8.0-..., built on ..."
    mode: str  # one of the four above
    latency: Latency
    received: int  # requests
    sent: int  # replies and events
    connections: int
    outstanding: int  # requests not answered yet
    zxid: int
    znodes: int
    proposals: ProposalSizes | None = None  # a leader's only


@message
class Leading:
    """What only a leader knows, for mntr."""

    synced_followers: int  # voters beside itself that have the whole history and follow
    synced_observers: int
    uptime_ms: int  # since it began to lead


@message
class MonitorStatistics:
    """What mntr shows beyond ServerStatistics."""

    uptime_ms: int
    watches: int
    ephemerals: int
    sessions: int
    data_bytes: int  # approximately: paths and data of all znodes
    files_open: int
    files_max: int
    voters: int  # in the ensemble
    leading: Leading | None = None
    more: Mapping[str, int | float | str] | None = None  # any other numbers, by names without zk_


@message
class Timing:
    """Of one connection's replies."""

    last_response_ms: int  # the server's wall clock
    last_latency_ms: int
    latency: Latency


@message
class ConnectionStatistics:
    """For cons and stat. -1 and 0 stand for "none yet"."""

    address: str  # host:port
    outstanding: int
    received: int
    sent: int
    reading: bool = True  # False while requests are left unread because too many are outstanding
    session: int = 0
    established_ms: int = 0  # the server's wall clock when the session's connection was made
    timeout_ms: int = 0
    last_opcode: int = 0
    last_xid: int = -1
    last_zxid: int = -1
    timing: Timing | None = None  # None: it is not measured for each connection


@message
class WatchSummary:
    """For wchs."""

    connections: int  # that watch anything
    paths: int  # that are watched
    watches: int


@message
class SessionDump:
    """For dump. The leader knows when sessions expire, the other servers only how long they may be silent."""

    expiring: Sequence[tuple[str, Sequence[int]]] | None  # (a moment as text, sessions that expire then); the leader's
    timeouts: Sequence[tuple[int, int]]  # (session, timeout in ms); of the others
    ephemerals: Sequence[tuple[int, Sequence[str]]]  # (session, paths)
    connections: Sequence[tuple[str, int]]  # (address, session)


@message
class DiskUsage:
    """For dirs."""

    data_bytes: int  # snapshots
    log_bytes: int


class Facts(Protocol):
    """What a server tells of itself when a word asks."""

    def serving(self) -> bool:
        """May clients be served at this moment?"""

    def read_only(self) -> bool: ...
    def server(self) -> ServerStatistics: ...
    def monitor(self) -> MonitorStatistics: ...
    def connections(self) -> Iterable[ConnectionStatistics]: ...
    def configuration(self) -> Mapping[str, str | int]:
        """Settings under ZooKeeper's names, in the order in which they are shown."""

    def environment(self) -> Mapping[str, str]:
        """Beside host, interpreter and system: "zookeeper.version", which clients read."""

    def disk_usage(self) -> DiskUsage: ...
    def session_dump(self) -> SessionDump: ...
    def digests(self) -> Iterable[tuple[int, int]]:
        """(zxid, digest of the state at it), the newest last."""

    def watch_summary(self) -> WatchSummary: ...
    def watches_by_session(self) -> Iterable[tuple[int, Iterable[str]]]: ...
    def watches_by_path(self) -> Iterable[tuple[str, Iterable[int]]]: ...
    def reset_connection_statistics(self) -> None: ...
    def reset_server_statistics(self) -> None: ...


def answer(word: str, facts: Facts, allowed: Collection[str]) -> str:
    """What is sent back for `word`, one of WORDS, before the connection is closed."""
    if word not in allowed:
        return NOT_ALLOWED.format(word)
    if word not in ALWAYS and not facts.serving():
        return NOT_SERVING
    return WORDS[word](facts)


# ---- one function a word


def ruok(facts: Facts) -> str:
    """The process answers. Says nothing about the ensemble."""
    return "imok"


def isro(facts: Facts) -> str:
    """Are writes refused here?"""
    if not facts.serving():
        return "null"
    return "ro" if facts.read_only() else "rw"


def srvr(facts: Facts) -> str:
    """The server in ten lines."""
    server = facts.server()
    return f"Zookeeper version: {server.version}\n" + _server_lines(server)


def stat(facts: Facts) -> str:
    """srvr, and a line a connection."""
    server = facts.server()
    clients = _lines(f" {_short_connection(each)})" for each in facts.connections())
    return f"Zookeeper version: {server.version}\nClients:\n{clients}\n" + _server_lines(server)


def mntr(facts: Facts) -> str:
    """Numbers for monitoring, a key and a value a line."""
    return _lines(f"zk_{key}\t{_number(value)}" for key, value in monitor_rows(facts))


def conf(facts: Facts) -> str:
    """The settings."""
    return _lines(f"{key}={value}" for key, value in facts.configuration().items())


def envi(facts: Facts) -> str:
    """The environment; clients find the version here."""
    return "Environment:\n" + _lines(f"{key}={value}" for key, value in facts.environment().items())


def cons(facts: Facts) -> str:
    """Every connection, with what it did last."""
    return _lines(_connection_line(each) for each in facts.connections()) + "\n"


def crst(facts: Facts) -> str:
    """Start counting afresh, for every connection."""
    facts.reset_connection_statistics()
    return "Connection stats reset.\n"


def srst(facts: Facts) -> str:
    """Start counting afresh, for the server."""
    facts.reset_server_statistics()
    return "Server stats reset.\n"


def dirs(facts: Facts) -> str:
    """Bytes on disk."""
    usage = facts.disk_usage()
    return f"datadir_size: {usage.data_bytes}\nlogdir_size: {usage.log_bytes}\n"


def dump(facts: Facts) -> str:
    """Sessions, their ephemeral znodes, and connections."""
    return _lines(_dump_lines(facts.session_dump()))


# `hash` is a builtin's name.
def hash_(facts: Facts) -> str:
    """Digests of the whole state, to be compared between servers."""
    return _lines(f"{zxid:x}: {digest}" for zxid, digest in facts.digests())


def wchs(facts: Facts) -> str:
    """How many watches there are."""
    summary = facts.watch_summary()
    return f"{summary.connections} connections watching {summary.paths} paths\nTotal watches:{summary.watches}\n"


def wchc(facts: Facts) -> str:
    """Which paths each session watches."""
    return _lines(_groups((_hex(session), paths) for session, paths in facts.watches_by_session())) + "\n"


def wchp(facts: Facts) -> str:
    """Which sessions watch each path."""
    return _lines(_groups((path, map(_hex, sessions)) for path, sessions in facts.watches_by_path())) + "\n"


# ---- lines


def _lines(lines: Iterable[str]) -> str:
    """Each with its line end, and no more than LINES_MAX of them."""
    rest = iter(lines)
    shown = list(islice(rest, LINES_MAX))
    if next(rest, None) is not None:
        shown.append(f"... more than {LINES_MAX} lines; the rest is left out")
    return "".join([f"{line}\n" for line in shown])


def _server_lines(server: ServerStatistics) -> str:
    latency, sizes = server.latency, server.proposals
    text = (
        f"Latency min/avg/max: {latency.min_ms}/{_number(latency.average_ms)}/{latency.max_ms}\n"
        f"Received: {server.received}\n"
        f"Sent: {server.sent}\n"
        f"Connections: {server.connections}\n"
        f"Outstanding: {server.outstanding}\n"
        f"Zxid: {_hex(server.zxid)}\n"
        f"Mode: {server.mode}\n"
        f"Node count: {server.znodes}\n"
    )
    if sizes is not None:
        text += f"Proposal sizes last/min/max: {sizes.last}/{sizes.min}/{sizes.max}\n"
    return text


def monitor_rows(facts: Facts) -> Iterator[tuple[str, int | float | str]]:
    """What mntr tells, by names without zk_."""
    server, monitor = facts.server(), facts.monitor()
    latency, leading = server.latency, monitor.leading
    yield "version", server.version
    yield "server_state", server.mode
    if server.mode in PEER_STATES:
        yield "peer_state", PEER_STATES[server.mode]
    yield "avg_latency", latency.average_ms
    yield "max_latency", latency.max_ms
    yield "min_latency", latency.min_ms
    yield "packets_received", server.received
    yield "packets_sent", server.sent
    yield "num_alive_connections", server.connections
    yield "outstanding_requests", server.outstanding
    yield "znode_count", server.znodes
    yield "watch_count", monitor.watches
    yield "ephemerals_count", monitor.ephemerals
    yield "approximate_data_size", monitor.data_bytes
    yield "global_sessions", monitor.sessions
    yield "local_sessions", 0
    yield "open_file_descriptor_count", monitor.files_open
    yield "max_file_descriptor_count", monitor.files_max
    yield "uptime", monitor.uptime_ms
    yield "quorum_size", monitor.voters
    if leading is not None:
        sizes = server.proposals or ProposalSizes()
        yield "learners", leading.synced_followers + leading.synced_observers
        yield "followers", leading.synced_followers
        yield "synced_followers", leading.synced_followers
        yield "synced_non_voting_followers", 0
        yield "synced_observers", leading.synced_observers
        yield "leader_uptime", leading.uptime_ms
        yield "last_proposal_size", sizes.last
        yield "min_proposal_size", sizes.min
        yield "max_proposal_size", sizes.max
    yield from (monitor.more or {}).items()


def _short_connection(each: ConnectionStatistics) -> str:
    return f"/{each.address}[{int(each.reading)}](queued={each.outstanding},recved={each.received},sent={each.sent}"


def _connection_line(each: ConnectionStatistics) -> str:
    if not each.session:
        return f" {_short_connection(each)})"
    xid = f"lcxid={_hex(each.last_xid)}," if each.last_xid >= 0 else ""
    return (
        f" {_short_connection(each)},sid={_hex(each.session)},lop={OPERATIONS.get(each.last_opcode, 'NA')},"
        f"est={each.established_ms},to={each.timeout_ms},{xid}lzxid={_hex(each.last_zxid)}{_timing(each.timing)})"
    )


def _timing(timing: Timing | None) -> str:
    if timing is None:
        return ""
    latency = timing.latency
    return (
        f",lresp={timing.last_response_ms},llat={timing.last_latency_ms},"
        f"minlat={latency.min_ms},avglat={int(latency.average_ms)},maxlat={latency.max_ms}"
    )


def _dump_lines(dump: SessionDump) -> Iterator[str]:
    yield "SessionTracker dump:"
    if dump.expiring is None:
        yield f"Global Sessions({len(dump.timeouts)}):"
        yield from (f"{_hex(session)}\t{timeout_ms}ms" for session, timeout_ms in dump.timeouts)
    else:
        count = sum(len(sessions) for _, sessions in dump.expiring)
        yield f"Session Sets ({len(dump.expiring)})/({count}):"
        for moment, sessions in dump.expiring:
            yield f"{len(sessions)} expire at {moment}:"
            yield from (f"\t{_hex(session)}" for session in sessions)
    yield "ephemeral nodes dump:"
    yield f"Sessions with Ephemerals ({len(dump.ephemerals)}):"
    yield from _groups((f"{_hex(session)}:", paths) for session, paths in dump.ephemerals)
    yield "Connections dump:"
    yield f"Connections Sets (1)/({len(dump.connections)}):"
    yield f"{len(dump.connections)} open:"
    yield from (f"\tip: /{address} sessionId: {_hex(session)}" for address, session in dump.connections)


def _groups(groups: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    for title, members in groups:
        yield title
        for member in members:
            yield f"\t{member}"


def _hex(value: int) -> str:
    """As Java writes a long: negative numbers are those above 2**63."""
    return f"0x{value & 0xFFFF_FFFF_FFFF_FFFF:x}"


def _number(value: int | float | str) -> str:
    """Averages with at most four places, and one at least."""
    return str(round(value, 4)) if isinstance(value, float) else str(value)


PEER_STATES = {
    LEADER: "leading - broadcast",
    FOLLOWER: "following - broadcast",
    OBSERVER: "observing - broadcast",
}

OPERATIONS: dict[int, str] = {
    op.CREATE: "CREA",
    op.DELETE: "DELE",
    op.EXISTS: "EXIS",
    op.GET_DATA: "GETD",
    op.SET_DATA: "SETD",
    op.GET_ACL: "GETA",
    op.SET_ACL: "SETA",
    op.GET_CHILDREN: "GETC",
    op.SYNC: "SYNC",
    op.PING: "PING",
    op.GET_CHILDREN_2: "GETC",
    op.CHECK: "CHEC",
    op.MULTI: "MULT",
    op.CREATE_2: "CREA",
    op.RECONFIG: "RECO",
    op.CHECK_WATCHES: "CHKW",
    op.REMOVE_WATCHES: "REMW",
    op.CREATE_CONTAINER: "CREA",
    op.DELETE_CONTAINER: "DELE",
    op.CREATE_TTL: "CREA",
    op.MULTI_READ: "MLTR",
    op.AUTH: "AUTH",
    op.SET_WATCHES: "SETW",
    op.SASL: "SASL",
    op.GET_EPHEMERALS: "GETE",
    op.GET_ALL_CHILDREN_NUMBER: "GETACN",
    op.SET_WATCHES_2: "STW2",
    op.ADD_WATCH: "ADDW",
    op.WHO_AM_I: "HOMI",
    op.CLOSE_SESSION: "CLOS",
}
"""How cons names the last operation."""

Word: TypeAlias = Callable[[Facts], str]

WORDS: dict[str, Word] = {
    "conf": conf,
    "cons": cons,
    "crst": crst,
    "dirs": dirs,
    "dump": dump,
    "envi": envi,
    "hash": hash_,
    "isro": isro,
    "mntr": mntr,
    "ruok": ruok,
    "srst": srst,
    "srvr": srvr,
    "stat": stat,
    "wchc": wchc,
    "wchp": wchp,
    "wchs": wchs,
}

COSTLY = frozenset(("dump", "wchc", "wchp"))
"""They go through all sessions or watches: answered only where the operator says so."""

ALWAYS = frozenset(("ruok", "envi", "isro", "conf"))
"""Answered even while no client can be served."""
