"""What a server measures of itself all the time, for mntr and for the HTTP admin. Reading it changes nothing.

Figures that grow lie where they are made, as plain integers; what stands here is looked up when somebody asks.
"""

import os
import re
from collections.abc import Iterator

from coord.model.histogram import Histogram
from coord.model.message import message
from coord.paxos.progress import Lag
from coord.replica.latencies import WRITES
from coord.server.clients import ClientPort
from coord.server.collector import CollectorPauses
from coord.server.config import Config
from coord.server.driver import Driver
from coord.storage.store import Store
from coord.storage.writer import Writer


@message
class DiskRoom:
    """Of the file system that holds the data folder: what this user may still write, and all of it."""

    free_bytes: int
    total_bytes: int


@message
class Queues:
    """What waits in this server, at this moment."""

    outstanding: int  # requests without an answer yet
    forwards: int  # runs of writes given to the leader, or waiting for one, and not applied yet
    forwards_bytes: int
    reply_bytes: int  # for clients that do not take what they asked for
    peer_bytes: int  # for other servers
    disk_steps: int  # gathered while the disk was busy


class Meters:
    """The measuring instruments of one server."""

    def __init__(
        self, config: Config, driver: Driver, store: Store, writer: Writer, port: ClientPort, collector: CollectorPauses
    ) -> None:
        self._config = config
        self._driver = driver
        self._store = store
        self._writer = writer
        self._port = port
        self.collector = collector

    def operations(self) -> Iterator[tuple[str, bool, Histogram]]:
        """(name, whether it writes, latency) of each operation that was asked for, in the order of their names."""
        by_kind = self._driver.replica.clients.latencies.by_kind
        for kind, histogram in sorted(by_kind.items(), key=lambda each: each[0].__name__):
            yield operation_name(kind), kind in WRITES, histogram

    @property
    def syncs(self) -> Histogram:
        """Of the log on the disk."""
        return self._store.syncs

    @property
    def loop_delays(self) -> Histogram:
        """How late the event loop came to a task that was due."""
        return self._driver.delays

    @property
    def leaderless(self) -> Histogram:
        """How long this server was without a leader, each time until it had one."""
        return self._driver.replica.leaderless

    def queues(self) -> Queues:
        replica = self._driver.replica
        return Queues(
            outstanding=sum(len(pipeline.waiting) for pipeline in replica.clients.pipelines.values()),
            forwards=len(replica.forwards),
            forwards_bytes=replica.forwards.bytes,
            reply_bytes=sum(client.outbox.bytes_waiting for client in self._port.connections.values()),
            peer_bytes=sum(link.bytes_waiting for link in self._driver.links.values()),
            disk_steps=self._writer.waiting,
        )

    def lags(self) -> list[Lag]:
        """On the leader: of each server that follows."""
        return self._driver.replica.participant.lags(self._driver.wall_ms())

    def room(self) -> DiskRoom | None:
        """None where nobody tells, or the data is not on a disk."""
        if self._store.instant:
            return None
        try:
            found = os.statvfs(self._config.data)
        except OSError:
            return None
        return DiskRoom(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def monitored(self) -> dict[str, int | float | str]:
        """What mntr shows of all this, by names without zk_."""
        latencies, queues, room = self._driver.replica.clients.latencies, self.queues(), self.room()
        rows: dict[str, int | float | str] = {
            "read_latency_p50_ms": _ms(latencies.read_lately_s(0.5)),
            "read_latency_p99_ms": _ms(latencies.read_lately_s(0.99)),
            "write_latency_p50_ms": _ms(latencies.written_lately_s(0.5)),
            "write_latency_p99_ms": _ms(latencies.written_lately_s(0.99)),
            "election_count": self._driver.replica.participant.elections,
            "leaderless_count": self.leaderless.count,
            "leaderless_ms_total": _ms(self.leaderless.total_s),
            "forwards_under_way": queues.forwards,
            "forwards_under_way_bytes": queues.forwards_bytes,
            "reply_bytes_waiting": queues.reply_bytes,
            "peer_bytes_waiting": queues.peer_bytes,
            "disk_steps_waiting": queues.disk_steps,
            "wall_clock_ms": self._driver.wall_ms(),
        }
        if room is not None:
            rows |= {"disk_free_bytes": room.free_bytes, "disk_total_bytes": room.total_bytes}
        for lag in self.lags():
            rows |= {f"learner_lag_entries_{lag.server}": lag.entries, f"learner_lag_ms_{lag.server}": lag.ms}
        return rows


def operation_name(kind: type) -> str:
    """CreateSession: create_session."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
