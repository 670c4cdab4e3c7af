"""What a server tells of itself when a four-letter word asks."""

import os
import platform
import resource
import socket
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import trio

from coord.codec import native
from coord.codec.words import (
    FOLLOWER,
    LEADER,
    OBSERVER,
    STANDALONE,
    ConnectionStatistics,
    DiskUsage,
    Latency,
    Leading,
    MonitorStatistics,
    ProposalSizes,
    ServerStatistics,
    SessionDump,
    WatchSummary,
)
from coord.paxos.participant import LEADING, OBSERVING
from coord.replica.pipeline import ConnectionCounters, Pipeline
from coord.server.clients import ClientPort
from coord.server.config import Config
from coord.server.driver import Driver
from coord.server.meters import Meters
from coord.storage.store import Store
from coord.version import __version__

SPOKEN_VERSION = f"3.8.0-coord-{__version__}, built on 2026-11-23 00:00 UTC"
"""Clients read a ZooKeeper version here and choose what they dare to use by it."""


class ServerFacts:
    """See coord.codec.words.Facts."""

    def __init__(self, config: Config, driver: Driver, store: Store) -> None:
        self._config = config
        self._driver = driver
        self._store = store
        self.port: ClientPort | None = None
        self.meters: Meters | None = None

    @property
    def _pipelines(self) -> list[Pipeline]:
        return [
            pipeline for pipeline in self._driver.replica.clients.pipelines.values() if pipeline.connect is not None
        ]

    def serving(self) -> bool:
        return self._driver.replica.participant.serving

    def read_only(self) -> bool:
        return False

    def server(self) -> ServerStatistics:
        replica = self._driver.replica
        clients = replica.clients
        pipelines, latency, sizes = self._pipelines, clients.latencies.summary_s, replica.proposals
        proposals = ProposalSizes()
        if sizes.count:
            proposals = ProposalSizes(int(sizes.last), int(sizes.least), int(sizes.greatest))
        mode = STANDALONE if len(self._config.servers) == 1 else _MODES.get(replica.participant.role, FOLLOWER)
        return ServerStatistics(
            version=SPOKEN_VERSION,
            mode=mode,
            latency=Latency(_ms(latency.least), latency.mean * 1000, _ms(latency.greatest)),
            received=clients.received,
            sent=clients.sent,
            connections=len(pipelines),
            outstanding=sum(len(pipeline.waiting) for pipeline in pipelines),
            zxid=replica.machine.zxid,
            znodes=len(replica.machine.tree.nodes),
            proposals=proposals if mode == LEADER else None,
        )

    def monitor(self) -> MonitorStatistics:
        replica = self._driver.replica
        machine, participant = replica.machine, replica.participant
        now = trio.current_time()
        uptime_ms = int((now - self._driver.started_s) * 1000)
        leading = None
        if participant.leads and self._driver.leading_since_s is not None:
            synced = sum(peer in self._config.voters for peer in participant.synced_peers)
            leading_ms = int((now - self._driver.leading_since_s) * 1000)
            leading = Leading(synced, len(participant.synced_peers) - synced, leading_ms)
        syncs = self._store.statistics().syncs
        more: dict[str, int | float | str] = {
            "epoch": participant.epoch,
            "last_committed_zxid": participant.log.commit,
            "last_durable_zxid": participant.log.durable,
            "log_suspect_zxid": participant.suspect,
            "fsync_count": syncs.count,
            "fsync_p99_ms": round(syncs.recent_p99_ms, 3),
        }
        if self.meters is not None:
            more |= self.meters.monitored()
        return MonitorStatistics(
            uptime_ms=uptime_ms,
            watches=replica.watches.count + replica.native_watches.count,
            ephemerals=machine.tree.ephemerals,
            sessions=len(machine.sessions),
            data_bytes=machine.tree.size_bytes,
            files_open=_files_open(),
            files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            voters=len(self._config.voters),
            leading=leading,
            more=more,
        )

    def connections(self) -> Iterable[ConnectionStatistics]:
        now, now_ms = trio.current_time(), self._driver.wall_ms()
        for pipeline in self._pipelines:
            client = None if self.port is None else self.port.connections.get(pipeline.connection)
            age_s = now - client.since_s if client is not None else 0
            counters = pipeline.counters
            yield ConnectionStatistics(
                address=pipeline.address,
                outstanding=len(pipeline.waiting),
                received=counters.received,
                sent=counters.sent,
                reading=client is None or client.resume is None,
                session=pipeline.session,
                established_ms=now_ms - int(age_s * 1000),
                timeout_ms=pipeline.timeout_ms,
                last_opcode=_opcode(pipeline),
                last_xid=counters.last_xid,
                last_zxid=counters.last_zxid,
            )

    def configuration(self) -> Mapping[str, str | int]:
        config = self._config
        return {
            "clientPort": config.client.port,
            "dataDir": str(config.data),
            "dataDirSize": self._store.snapshot_bytes,
            "dataLogDir": str(config.data),
            "dataLogSize": self._store.log_bytes,
            "tickTime": config.tick_ms,
            "maxClientCnxns": config.connections_per_address_max,
            "minSessionTimeout": config.session_timeout_min_ms,
            "maxSessionTimeout": config.session_timeout_max_ms,
            "clientPortListenBacklog": -1,
            "serverId": config.id,
            "peerType": 1 if config.id in config.observers else 0,
            "membership": " ".join(f"server.{server}={where}" for server, where in sorted(config.ensemble.items())),
        }

    def environment(self) -> Mapping[str, str]:
        return {
            "zookeeper.version": SPOKEN_VERSION,
            "coord.version": __version__,
            "host.name": socket.gethostname(),
            "python.version": platform.python_version(),
            "python.executable": sys.executable,
            "os.name": platform.system(),
            "os.arch": platform.machine(),
            "os.version": platform.release(),
            "user.dir": os.getcwd(),
        }

    def disk_usage(self) -> DiskUsage:
        return DiskUsage(self._store.snapshot_bytes, self._store.log_bytes)

    def session_dump(self) -> SessionDump:
        sessions = self._driver.replica.machine.sessions.values()
        expiring = self._driver.replica.expiring()
        return SessionDump(
            expiring=None if expiring is None else [(self._moment(at_s), ids) for at_s, ids in expiring],
            timeouts=[(session.id, session.timeout_ms) for session in sessions],
            ephemerals=[(session.id, list(session.ephemerals)) for session in sessions if session.ephemerals],
            connections=[(pipeline.address, pipeline.session) for pipeline in self._pipelines],
        )

    def _moment(self, at_s: float) -> str:
        """A time of this process's clock as one that people read."""
        at_ms = self._driver.wall_ms() + (at_s - trio.current_time()) * 1000
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")

    def digests(self) -> Iterable[tuple[int, int]]:
        return list(self._driver.replica.digests.items())

    def watch_summary(self) -> WatchSummary:
        plain, native = self._driver.replica.watches, self._driver.replica.native_watches
        return WatchSummary(
            plain.watcher_count + len(native.by_watcher),  # a connection has the watches of its protocol
            len(plain.paths | native.by_path.keys()),
            plain.count + native.count,
        )

    def watches_by_session(self) -> Iterable[tuple[int, Iterable[str]]]:
        by_session: dict[int, list[str]] = {}
        for path, sessions in self.watches_by_path():
            for session in sessions:
                by_session.setdefault(session, []).append(path)
        return by_session.items()

    def watches_by_path(self) -> Iterable[tuple[str, Iterable[int]]]:
        watching = self._driver.replica.watches.by_path()
        for path, watches in self._driver.replica.native_watches.by_path.items():
            watching.setdefault(path, []).extend(dict.fromkeys(watch.watcher for watch in watches))
        for path, watchers in watching.items():
            yield path, [watcher.session for watcher in watchers if isinstance(watcher, Pipeline)]

    def reset_connection_statistics(self) -> None:
        for pipeline in self._pipelines:
            pipeline.counters = ConnectionCounters()

    def reset_server_statistics(self) -> None:
        clients = self._driver.replica.clients
        clients.received = clients.sent = 0
        clients.latencies.summary_s.reset()
        self._driver.replica.proposals.reset()


def _opcode(pipeline: Pipeline) -> int:
    """Of its last request, in ZooKeeper's numbers; 0 if there was none."""
    number = pipeline.counters.last_opcode
    return native.OPCODE_OF_ROW.get(number, 0) if pipeline.codec is native else number


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _files_open() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return -1  # not a system that tells


_MODES = {LEADING: LEADER, OBSERVING: OBSERVER}
