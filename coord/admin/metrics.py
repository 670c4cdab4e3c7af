"""What `/metrics` answers, in the format that Prometheus reads.

prometheus_client only writes it: the figures are plain numbers that coord keeps anyway, and are looked up family by
family while the answer is written, so that between two of them others have their turn.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import accumulate

import trio
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from coord.model.entries import counter_of
from coord.model.histogram import BOUNDS_S, Histogram
from coord.paxos.participant import FOLLOWING, LEADING, LOOKING, OBSERVING
from coord.server.console import Console
from coord.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ROLES = (LOOKING, FOLLOWING, OBSERVING, LEADING)
PROCESS = ProcessCollector(registry=None)


class _One(Collector):
    """One family, as prometheus_client wants to be given it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        yield self._family


async def written(console: Console) -> AsyncGenerator[bytes, None]:
    """The whole answer, a family at a time."""
    for family in families(console):
        yield generate_latest(_One(family))
        await trio.lowlevel.checkpoint()


def families(console: Console) -> Iterator[Metric]:
    yield InfoMetricFamily("coord_build", "Which coord this is", {"version": __version__})
    yield from _role(console)
    yield from _latencies(console)
    yield from _process(console)
    yield from _state(console)
    yield from _clients(console)
    yield from _queues(console)
    yield from _ensemble(console)
    yield from _disk(console)
    yield from PROCESS.collect()


# ---- families


def _role(console: Console) -> Iterator[Metric]:
    participant = console.replica.participant
    roles = GaugeMetricFamily(
        "coord_role", "1 for what this server does in the ensemble, 0 for the rest", None, ["role"]
    )
    for role in ROLES:
        roles.add_metric([role], role == participant.role)
    yield roles
    yield _gauge(
        "coord_ready", "1 if a write can be committed through this server, as it knows: /readyz", not console.unready()
    )
    yield _gauge("coord_serving", "1 if this server takes requests of clients", participant.serving)
    yield _gauge("coord_epoch", "Epoch of the leader; 0 while there is none", participant.epoch)
    counters = GaugeMetricFamily(
        "coord_log_counter", "Entries of the last zxid's epoch up to a position in the log", None, ["position"]
    )
    log = participant.log
    for position, zxid in (
        ("applied", console.replica.machine.zxid),
        ("committed", log.commit),
        ("durable", log.durable),
    ):
        counters.add_metric([position], counter_of(zxid))
    yield counters
    yield CounterMetricFamily(
        "coord_elections", "How often this server began to look for a leader", participant.elections
    )
    yield _histogram(
        "coord_leaderless_seconds",
        "For how long there was no leader, each time until there was one",
        console.meters.leaderless,
    )


def _latencies(console: Console) -> Iterator[Metric]:
    kinds = (("read", "Requests that change nothing"), ("write", "Requests that are replicated"))
    for (kind, what), writes in zip(kinds, (False, True), strict=True):
        family = HistogramMetricFamily(
            f"coord_{kind}_duration_seconds", f"{what}: from arrival until the answer was sent", labels=["operation"]
        )
        for name, wrote, histogram in console.meters.operations():
            if wrote is writes:
                family.add_metric([name], _buckets(histogram), histogram.total_s)
        yield family
    yield _histogram("coord_fsync_duration_seconds", "Syncs of the log on the disk", console.meters.syncs)


def _process(console: Console) -> Iterator[Metric]:
    yield _gauge(
        "coord_uptime_seconds", "Since this process began to serve", trio.current_time() - console.driver.started_s
    )
    yield _gauge("coord_wall_clock_seconds", "This server's clock: Unix time", console.driver.wall_ms() / 1000)
    yield _histogram(
        "coord_loop_delay_seconds", "How late the event loop came to a tick that was due", console.meters.loop_delays
    )
    pauses = HistogramMetricFamily(
        "coord_collector_pause_seconds", "Runs of Python's garbage collector", labels=["generation"]
    )
    for generation, histogram in enumerate(console.meters.collector.by_generation):
        pauses.add_metric([str(generation)], _buckets(histogram), histogram.total_s)
    yield pauses


def _state(console: Console) -> Iterator[Metric]:
    machine = console.replica.machine
    yield _gauge("coord_znodes", "Znodes in the tree", len(machine.tree.nodes))
    yield _gauge("coord_ephemerals", "Ephemeral ones among them", machine.tree.ephemerals)
    yield _gauge("coord_data_bytes", "Paths and data of all znodes, approximately", machine.tree.size_bytes)
    yield _gauge("coord_sessions", "Sessions in the ensemble", len(machine.sessions))


def _clients(console: Console) -> Iterator[Metric]:
    replica = console.replica
    clients = replica.clients
    yield _gauge("coord_client_connections", "Connections of clients to this server", len(console.driver.clients))
    yield _gauge(
        "coord_watches", "Watches of this server's clients", replica.watches.count + replica.native_watches.count
    )
    yield _gauge(
        "coord_watching_connections",
        "Connections that have any",
        replica.watches.watcher_count + len(replica.native_watches.by_watcher),
    )
    yield CounterMetricFamily(
        "coord_requests_received", "Requests of clients; the word srst resets it", clients.received
    )
    yield CounterMetricFamily("coord_replies_sent", "Replies and events; the word srst resets it", clients.sent)


def _queues(console: Console) -> Iterator[Metric]:
    queues = console.meters.queues()
    lengths = GaugeMetricFamily("coord_queue_length", "What waits in this server", None, ["queue"])
    lengths.add_metric(["requests"], queues.outstanding)
    lengths.add_metric(["forwards"], queues.forwards)
    lengths.add_metric(["disk"], queues.disk_steps)
    yield lengths
    sizes = GaugeMetricFamily("coord_queue_bytes", "The same in bytes", None, ["queue"])
    sizes.add_metric(["forwards"], queues.forwards_bytes)
    sizes.add_metric(["replies"], queues.reply_bytes)
    sizes.add_metric(["peers"], queues.peer_bytes)
    yield sizes


def _ensemble(console: Console) -> Iterator[Metric]:
    config, proposals = console.config, console.replica.proposals
    yield _gauge("coord_voters", "Servers that vote, of those in the settings", len(config.voters))
    yield _gauge("coord_peer_connections", "Other servers that are connected", len(console.driver.links))
    yield _gauge(
        "coord_streams",
        "On the leader: servers that are sent the log from disk, or a snapshot",
        console.replica.participant.streaming,
    )
    lags = console.meters.lags()
    yield _gauge(
        "coord_synced_followers",
        "On the leader: voters that follow it",
        sum(each.server in config.voters for each in lags),
    )
    yield _gauge(
        "coord_synced_observers",
        "On the leader: observers that follow it",
        sum(each.server in config.observers for each in lags),
    )
    seconds = GaugeMetricFamily(
        "coord_learner_lag_seconds",
        "On the leader: age of the oldest batch that a server has not acknowledged",
        None,
        ["server"],
    )
    entries = GaugeMetricFamily(
        "coord_learner_lag_entries", "On the leader: entries that a server has not acknowledged", None, ["server"]
    )
    for each in lags:
        seconds.add_metric([str(each.server)], each.ms / 1000)
        entries.add_metric([str(each.server)], each.entries)
    yield seconds
    yield entries
    yield CounterMetricFamily(
        "coord_proposals", "Batches that this server proposed; the word srst resets it", proposals.count
    )
    yield CounterMetricFamily(
        "coord_proposal_bytes", "Bytes of those batches; the word srst resets it", proposals.total
    )


def _disk(console: Console) -> Iterator[Metric]:
    store = console.store
    yield _gauge("coord_log_bytes", "The log on the disk", store.log_bytes)
    yield _gauge("coord_snapshot_bytes", "All snapshots on the disk", store.snapshot_bytes)
    yield _gauge("coord_bytes_since_snapshot", "Log that a restart would read and apply", store.bytes_since_snapshot)
    room = console.meters.room()
    if room is not None:
        yield _gauge("coord_disk_free_bytes", "Free on the disk with the data folder, for this user", room.free_bytes)
        yield _gauge("coord_disk_total_bytes", "Size of that disk", room.total_bytes)


# ---- parts


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, float(value))


def _histogram(name: str, what: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, what, buckets=_buckets(histogram), sum_value=histogram.total_s)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    return list(zip(BOUNDS_TEXT, accumulate(histogram.counts), strict=True))


BOUNDS_TEXT = (*map(str, BOUNDS_S), "+Inf")
