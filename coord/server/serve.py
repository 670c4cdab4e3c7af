"""Read this first: one server, from its data folder to its two ports.

`serve` builds the floors on top of each other (store, state machine, history, replica, driver) and runs their tasks in
one nursery. It touches the world only by what it is given: settings, a disk, a network, and chance.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Protocol

import trio

from coord.codec.peer import PROTOCOL_VERSION, Hello
from coord.codec.words import WORDS, answer
from coord.net.network import Listener, Network
from coord.paxos.history import History
from coord.paxos.participant import PaxosSettings
from coord.replica.limits import OUT_BYTES_MAX
from coord.replica.replica import Replica
from coord.replica.settings import ReplicaSettings
from coord.server.clients import ClientPort
from coord.server.collector import CollectorPauses, kept_short, run_tidying
from coord.server.config import Config
from coord.server.console import Console
from coord.server.driver import Driver, wall_ms
from coord.server.errors import AddressUnavailable
from coord.server.facts import ServerFacts
from coord.server.inspection import Inspections
from coord.server.log_lines import EventLog
from coord.server.memory import keep_what_is_freed
from coord.server.meters import Meters
from coord.server.parsers import Address
from coord.server.peers import Peers
from coord.server.snapshots import SnapshotTaker
from coord.server.streams import Streams
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from coord.storage.disk import Disk
from coord.storage.store import Store, StoreSettings
from coord.storage.writer import Writer

TICKS_A_HEARTBEAT = 2
TICK_MS_MAX = 50
"""However rare heartbeats are: a tick ends what a leader holds back from servers without clients (paxos/thrift.py)."""
IDENTITY_BITS = 63


class Beside(Protocol):
    """What is run in the server's nursery, such as the HTTP admin."""

    def __call__(self, console: Console, *, task_status: trio.TaskStatus[None]) -> Awaitable[None]: ...


async def serve(
    config: Config,
    disk: Disk,
    network: Network,
    rng: random.Random,
    *,
    wall_ms: Callable[[], int] = wall_ms,
    own_process: bool = True,
    beside: Beside | None = None,
    task_status: trio.TaskStatus[Replica] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one server until it is cancelled.

    `beside` runs in the same nursery and gets the console; ports count as open when it has started.
    `wall_ms` is the time that znodes are stamped with; timeouts go by Trio's clock. In a process of its own the server
    also tunes Python's collector and the C library's memory.
    `task_status` tells when its ports are open; that it serves clients shows on its client port. Raises
    StorageRefused or StorageFailure for the disk, ServeError for the rest that an operator can mend.
    """
    log = EventLog(config.id)
    settings = StoreSettings(
        segment_bytes=config.segment_bytes,
        snapshots_kept=config.snapshots_kept,
        past_bytes_max=config.past_bytes_max,
        past_age_max_s=config.past_age_max_s,
    )
    store = Store.open(
        disk,
        server=config.id,
        identity_if_new=_draw_identity(rng),
        settings=settings,
        has_peers=len(config.servers) > 1,
    )
    listeners: list[Listener] = []
    resources = ExitStack()
    try:
        collector = CollectorPauses()
        if own_process:
            keep_what_is_freed()
            resources.enter_context(kept_short())
            resources.enter_context(collector.measured())
        replica = _make_replica(config, store, rng)
        _tell_what_was_found(log, replica, store)
        for address in (config.client, *config.client_also):
            listeners += await _listen(network, address, "clients")
        client_listeners = list(listeners)
        if len(config.servers) > 1 and config.peer:
            listeners += await _listen(network, config.peer, "servers")
        peer_listeners = listeners[len(client_listeners) :]
        async with trio.open_nursery() as nursery:
            writer = Writer(store, inline_max_s=config.write_inline_max_ms / 1000)
            driver = Driver(replica, writer, log, wall_ms)
            facts = ServerFacts(config, driver, store)
            inspections = Inspections(config, driver, store, writer, log)
            port = facts.port = ClientPort(config, driver, log, partial(_answer_word, config, facts), inspections)
            meters = facts.meters = Meters(config, driver, store, writer, port, collector)
            peers = Peers(config, driver, network, log, partial(_hello, config, replica, store))
            taker = SnapshotTaker(driver, store, writer, config.snapshot_after_bytes, log)
            streams = Streams(nursery, driver, peers, store, writer, taker, log)
            driver.stream, driver.fetch = streams.start, streams.fetch
            nursery.start_soon(writer.run)
            nursery.start_soon(driver.run_pump)
            nursery.start_soon(driver.run_ticks, min(config.heartbeat_ms / TICKS_A_HEARTBEAT, TICK_MS_MAX) / 1000)
            nursery.start_soon(taker.run)
            nursery.start_soon(port.run_sweep)
            if own_process:
                nursery.start_soon(run_tidying, lambda: replica.machine.zxid + replica.clients.received)
            for listener in client_listeners:
                nursery.start_soon(port.run, listener)
            for listener in peer_listeners:
                nursery.start_soon(peers.run_listener, listener)
            for peer in config.servers:
                if peer < config.id:
                    nursery.start_soon(peers.run_dialer, peer)
            if beside is not None:
                console = Console(config, facts, meters, log, driver=driver, store=store, port=port, taker=taker)
                await nursery.start(beside, console)
            also = ",".join(map(str, config.client_also)) or None
            log.info("ports are open", client=config.client, also=also, peer=config.peer)
            task_status.started(replica)
    finally:
        for listener in listeners:
            listener.close()
        store.close()
        resources.close()


def _make_replica(config: Config, store: Store, rng: random.Random) -> Replica:
    """The state as the newest snapshot and the log have it, and the protocol where it left off."""
    recovered = store.recovered
    machine = Machine()
    if recovered.snapshot_zxid:
        restoring = Restoring()
        for chunk in store.snapshot_chunks(recovered.snapshot_zxid):
            restoring.add(chunk)
        machine = restoring.finish()
    # A batch's header tells how far its leader had applied: so far at least everything is committed.
    committed = max([recovered.snapshot_zxid, *(batch.digest_zxid for batch in recovered.batches)])
    history = History(recovered.snapshot_zxid, recovered.batches, recovered.ends, committed, recovered.log_start)
    recovered.batches.clear()  # the history lets them go one by one
    paxos = PaxosSettings(
        server=config.id,
        voters=frozenset(config.voters),
        cluster_if_new=_draw_identity(rng),
        priority=config.priority,
        heartbeat_s=config.heartbeat_ms / 1000,
        leader_timeout_s=config.leader_timeout_ms / 1000,
        settle_s=config.settle_ms / 1000,
    )
    settings = ReplicaSettings(
        paxos=paxos,
        incarnation=_draw_identity(rng),
        identity=store.ballot.identity,
        description=str(config.peer or config.client),
        session_timeout_min_ms=config.session_timeout_min_ms,
        session_timeout_max_ms=config.session_timeout_max_ms,
        history_bytes_max=config.history_bytes_max,
        watch_window_bytes=config.watch_window_bytes,
        frame_bytes_max=config.frame_bytes_max,
        # There is room for what else is on its way to a client: see OUT_BYTES_MAX.
        answer_bytes_max=max(config.reply_bytes_max // 2, config.reply_bytes_max - 2 * OUT_BYTES_MAX),
        reap_interval_s=config.reap_interval_s,
        container_never_used_s=config.container_never_used_s,
        super_digest=config.super_digest or "",
    )
    remains = recovered.damage.later if recovered.damage is not None else []
    replica = Replica(settings, store.ballot, history, machine, rng.getrandbits, trio.current_time(), remains)
    remains.clear()  # the replica lets them go when the log is whole again
    return replica


def _tell_what_was_found(log: EventLog, replica: Replica, store: Store) -> None:
    log.epoch, log.zxid = store.ballot.accepted, replica.participant.log.durable
    log.info(
        "the data folder is read",
        last_zxid=hex(replica.participant.log.last),
        snapshot=hex(store.last_snapshot_zxid),
    )
    damage = store.recovered.damage
    if damage is not None:
        log.warning(
            f"{damage.what}; the other servers are asked for it, and until it is here again this server does not "
            "lead, nor let anybody lead who has less",
            good_up_to=hex(damage.after),
        )


def _draw_identity(rng: random.Random) -> int:
    return rng.getrandbits(IDENTITY_BITS) | 1  # 0 stands for "not known"


def _hello(config: Config, replica: Replica, store: Store) -> Hello:
    """An ensemble's identity binds a server that has something of its own to lose, or had before it was damaged."""
    participant = replica.participant
    owns = participant.log.last or participant.ballot.suspect
    return Hello(
        protocol_version=PROTOCOL_VERSION,
        cluster=participant.ballot.cluster if owns else 0,
        server=config.id,
        identity=store.ballot.identity,
        voters=config.voters,
        servers=config.servers,
        description=str(config.peer),
    )


def _answer_word(config: Config, facts: ServerFacts, first_bytes: bytes) -> bytes | None:
    word = first_bytes.decode("latin-1")
    return answer(word, facts, config.words).encode() if word in WORDS else None


async def _listen(network: Network, address: Address, whom: str) -> list[Listener]:
    try:
        return list(await network.listen(address.host, address.port))
    except OSError as error:
        raise AddressUnavailable(
            f"cannot listen for {whom} on {address}: {error.strerror or error}; free the port or choose another"
        ) from error
