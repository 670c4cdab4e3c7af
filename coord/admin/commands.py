"""What `/commands/NAME` answers: the commands of ZooKeeper's AdminServer with its names, aliases and keys.

A command is a function from the server's console to a document (see pieces.py). Figures that coord does not keep are
null, so that a tool finds every key it looks for, and no number is made up.
"""

import platform
import re
import sys
from collections.abc import Callable
from typing import Any

import trio

from coord.admin.pieces import Document, Many, ManyByName
from coord.codec.words import COSTLY, OPERATIONS, ConnectionStatistics, ServerStatistics, monitor_rows
from coord.model.entries import counter_of, epoch_of
from coord.model.message import message
from coord.server.config import SETTINGS
from coord.server.console import Console

SHOWN_MAX = 10_000
"""Of sessions, ephemeral znodes or watches: a list of more is refused, since it is gathered in one go."""

SLOW_SYNC_S = 1.0
"""ZooKeeper counts syncs that take longer."""

NOT_SERVING = "this server does not serve clients: "


class Refused(Exception):
    """A command is not done; the text says why, the status is that of HTTP."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


Answer = Callable[[Console], Document]


@message
class Command:
    """One row. `word`: the four-letter word that says the same, by which a costly one is switched on."""

    name: str
    aliases: tuple[str, ...]
    answer: Answer
    always: bool  # also while the server has no leader
    word: str = ""


def document_of(name: str, console: Console) -> Document:
    """The answer to the command, its envelope included. Raises Refused."""
    command = BY_NAME.get(name)
    if command is None:
        raise Refused(f"there is no command {name[:40]!r}; /commands lists them", 404)
    if command.word in COSTLY and command.word not in console.config.words:
        raise Refused(f"{name} is costly: it is answered if --words has {command.word}", 403)
    if not command.always and (why := _not_serving(console)):
        raise Refused(why, 503)
    return {"command": command.name, "error": None, **command.answer(console)}


def listed(console: Console) -> Document:
    """All of them, for `/commands`."""
    return {
        "commands": [
            {"name": each.name, "aliases": each.aliases, "path": f"/commands/{each.name}", "what": each.answer.__doc__}
            for each in COMMANDS
        ]
    }


def _not_serving(console: Console) -> str:
    return "" if console.facts.serving() else NOT_SERVING + (console.unready() or "it has only just found a leader")


# ---- one function a command; what it says of itself is what /commands shows


def configuration(console: Console) -> Document:
    """The settings that ZooKeeper has too, and the members."""
    return {_snake(key): value for key, value in console.facts.configuration().items()}


def initial_configuration(console: Console) -> Document:
    """All settings as they are in force, as a file for --config."""
    lines = []
    for name, row in SETTINGS.items():
        value = getattr(console.config, name)
        if row.secret:
            lines += [f"# {name} is set and not shown"] if value else []
        elif value is not None:
            lines.append(f"{name} = {_toml(value)}")
    return {"initial_configuration": "".join(f"{line}\n" for line in lines)}


def connections(console: Console) -> Document:
    """Every client's connection, with what it did last."""
    return {"connections": Many(map(_connection, console.facts.connections())), "secure_connections": []}


def dirs(console: Console) -> Document:
    """Bytes of snapshots and of the log on disk."""
    usage = console.facts.disk_usage()
    return {"datadir_size": usage.data_bytes, "logdir_size": usage.log_bytes}


def dump(console: Console) -> Document:
    """When which sessions expire (the leader knows), and the ephemeral znodes of each."""
    machine = console.replica.machine
    _few(len(machine.sessions) + machine.tree.ephemerals, "sessions and ephemeral znodes")
    found = console.facts.session_dump()
    return {
        "expiry_time_to_session_ids": ManyByName((moment, list(ids)) for moment, ids in found.expiring or ()),
        "session_id_to_ephemeral_paths": ManyByName((str(session), list(paths)) for session, paths in found.ephemerals),
    }


def environment(console: Console) -> Document:
    """Versions, the machine and the process."""
    return dict(console.facts.environment())


def digests(console: Console) -> Document:
    """Digests of the whole state, to be compared between servers."""
    return {"digests": [{"zxid": f"{zxid:x}", "digest": f"{value}"} for zxid, value in console.facts.digests()]}


def is_read_only(console: Console) -> Document:
    """Whether writes are refused here."""
    return {"read_only": console.facts.read_only()}


def last_snapshot(console: Console) -> Document:
    """The zxid of the newest good snapshot."""
    return {"zxid": f"0x{console.store.last_snapshot_zxid:x}", "timestamp": None}


def leader(console: Console) -> Document:
    """Which server leads."""
    leads = console.replica.participant.leader
    where = console.config.ensemble.get(leads)
    return {
        "is_leader": leads == console.config.id,
        "leader_id": leads,
        "leader_ip": where.host if where is not None else console.config.client.host,
    }


def monitor(console: Console) -> Document:
    """Numbers for monitoring: those of mntr. /metrics has more."""
    return dict(monitor_rows(console.facts))


def observers(console: Console) -> Document:
    """Observers that follow this leader."""
    following = [peer for peer in console.replica.participant.synced_peers if peer in console.config.observers]
    return {"synced_observers": len(following), "observers": [{"id": peer} for peer in following]}


def ruok(console: Console) -> Document:
    """The process answers. Says nothing about the ensemble: see /readyz."""
    return {}


def server_stats(console: Console) -> Document:
    """Requests, latency, connections, mode, zxid."""
    server = console.facts.server()
    usage = console.facts.disk_usage()
    shown = {
        "packets_sent": server.sent,
        "packets_received": server.received,
        "fsync_threshold_exceed_count": console.meters.syncs.count_above(SLOW_SYNC_S),
        "client_response_stats": dict(UNKNOWN_SIZES),
        "data_dir_size": usage.data_bytes,
        "log_dir_size": usage.log_bytes,
        "provider_null": False,
        "server_state": server.mode,
        "last_processed_zxid": server.zxid,
        "outstanding_requests": server.outstanding,
        "avg_latency": round(server.latency.average_ms, 4),
        "max_latency": server.latency.max_ms,
        "min_latency": server.latency.min_ms,
        "num_alive_client_connections": server.connections,
        "uptime": int((trio.current_time() - console.driver.started_s) * 1000),
        "auth_failed_count": None,
        "non_mtlsremote_conn_count": None,
        "non_mtlslocal_conn_count": None,
    }
    return {
        "version": server.version,
        "read_only": console.facts.read_only(),
        "server_stats": shown,
        "client_response": dict(UNKNOWN_SIZES),
        "node_count": server.znodes,
    } | _proposals(server)


def stats(console: Console) -> Document:
    """server_stats, and every connection in short."""
    short = (
        {key: value for key, value in _connection(each).items() if key in SHORT} for each in console.facts.connections()
    )
    return {**server_stats(console), "connections": Many(short), "secure_connections": []}


def system_properties(console: Console) -> Document:
    """What Python and the system are."""
    return {
        "python.version": platform.python_version(),
        "python.implementation": platform.python_implementation(),
        "python.executable": sys.executable,
        "os.name": platform.system(),
        "os.arch": platform.machine(),
        "os.version": platform.release(),
        "file.encoding": sys.getfilesystemencoding(),
    }


def voting_view(console: Console) -> Document:
    """The servers that vote."""
    config = console.config
    return {
        "current_config": {
            str(server): {
                "server_addresses": [str(config.ensemble[server])],
                "election_addresses": [str(config.ensemble[server])],
                "client_address": str(config.client) if server == config.id else None,
                "learner_type": "participant",
            }
            for server in config.voters
            if server in config.ensemble
        }
    }


def watch_summary(console: Console) -> Document:
    """How many watches there are."""
    summary = console.facts.watch_summary()
    return {
        "num_connections": summary.connections,
        "num_paths": summary.paths,
        "num_total_watches": summary.watches,
    }


def watches(console: Console) -> Document:
    """Which paths each session watches."""
    _few_watches(console)
    found = console.facts.watches_by_session()
    return {"session_id_to_watched_paths": ManyByName((str(session), list(paths)) for session, paths in found)}


def watches_by_path(console: Console) -> Document:
    """Which sessions watch each path."""
    _few_watches(console)
    return {
        "path_to_session_ids": ManyByName((path, list(sessions)) for path, sessions in console.facts.watches_by_path())
    }


def zabstate(console: Console) -> Document:
    """This server's part in the broadcast."""
    participant, config = console.replica.participant, console.config
    zxid = console.replica.machine.zxid
    return {
        "myid": config.id,
        "is_leader": participant.leads,
        "quorum_address": str(config.peer or ""),
        "election_address": str(config.peer or ""),
        "client_address": str(config.client),
        "voting": config.id in config.voters,
        "last_zxid": f"0x{zxid:x}",
        "zab_epoch": epoch_of(zxid),
        "zab_counter": counter_of(zxid),
        "zabstate": "broadcast" if participant.serving else "synchronization" if participant.leader else "election",
    }


# ---- parts


def _connection(each: ConnectionStatistics) -> dict[str, Any]:
    return {
        "remote_socket_address": each.address,
        "interest_ops": int(each.reading),
        "outstanding_requests": each.outstanding,
        "packets_received": each.received,
        "packets_sent": each.sent,
        "session_id": each.session,
        "last_operation": OPERATIONS.get(each.last_opcode, "NA"),
        "established": each.established_ms,
        "session_timeout": each.timeout_ms,
        "last_cxid": each.last_xid,
        "last_zxid": each.last_zxid,
        "last_response_time": None,
        "last_latency": None,
        "min_latency": None,
        "avg_latency": None,
        "max_latency": None,
    }


SHORT = frozenset(("remote_socket_address", "interest_ops", "outstanding_requests", "packets_received", "packets_sent"))
UNKNOWN_SIZES = {"last_buffer_size": None, "min_buffer_size": None, "max_buffer_size": None}


def _proposals(server: ServerStatistics) -> dict[str, Any]:
    sizes = server.proposals
    if sizes is None:
        return {}
    shown = {"last_buffer_size": sizes.last, "min_buffer_size": sizes.min, "max_buffer_size": sizes.max}
    return {"proposal_stats": shown}


def _few_watches(console: Console) -> None:
    replica = console.replica
    _few(replica.watches.count + replica.native_watches.count, "watches")


def _few(count: int, what: str) -> None:
    """To gather more would keep every client waiting."""
    if count > SHOWN_MAX:
        raise Refused(
            f"there are {count} {what}; this lists at most {SHOWN_MAX}, so as not to keep clients waiting", 503
        )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _toml(value: object) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(str(each))}' for key, each in value.items()) + "}"
    if isinstance(value, frozenset):
        return f"[{', '.join(map(_toml, sorted(value)))}]"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"[{', '.join(_toml(str(each)) for each in value)}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


COMMANDS = (
    Command("configuration", ("conf", "config"), configuration, True),
    Command("connections", ("cons",), connections, False),
    Command("dirs", (), dirs, True),
    Command("dump", (), dump, False, "dump"),
    Command("environment", ("env", "envi"), environment, True),
    Command("hash", (), digests, False),
    Command("initial_configuration", ("icfg",), initial_configuration, True),
    Command("is_read_only", ("isro",), is_read_only, False),
    Command("last_snapshot", ("lsnp",), last_snapshot, True),
    Command("leader", ("lead",), leader, False),
    Command("monitor", ("mntr",), monitor, False),
    Command("observers", ("obsr",), observers, False),
    Command("ruok", (), ruok, True),
    Command("server_stats", ("srvr",), server_stats, False),
    Command("stats", ("stat",), stats, False),
    Command("system_properties", ("sysp",), system_properties, True),
    Command("voting_view", (), voting_view, True),
    Command("watch_summary", ("wchs",), watch_summary, False),
    Command("watches", ("wchc",), watches, False, "wchc"),
    Command("watches_by_path", ("wchp",), watches_by_path, False, "wchp"),
    Command("zabstate", (), zabstate, True),
)
BY_NAME = {name: each for each in COMMANDS for name in (each.name, *each.aliases)}
