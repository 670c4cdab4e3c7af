"""A simulated leader brings others up from its disk, as coord.server.streams does: the log, or a snapshot before it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from coord.paxos.durable import StreamRequest
from coord.paxos.messages import History as HistoryMessage
from coord.paxos.messages import Message, SnapshotChunk
from coord.replica.replica import Replica
from tools.simulate.disks import ServerDisk
from tools.simulate.network import Link, Network
from tools.simulate.stage import Stage


class Server(Protocol):
    """A simulated server, as its streams use it."""

    stage: Stage
    network: Network
    number: int
    disk: ServerDisk
    replica: Replica | None
    links: dict[int, Link]
    interrupts_a_snapshot: bool

    @property
    def now(self) -> float: ...
    def at(self, delay_s: float, function: Callable[..., None], *arguments: object) -> None: ...
    def send_through(self, link: Link, peer: int, message: Message) -> None: ...
    def take_snapshot(self, then: Callable[[], None]) -> None: ...


@dataclass(slots=True)
class Stream:
    """A stream request being carried out."""

    request: StreamRequest
    link: Link
    position: int
    chunks: "deque[tuple[int, bytes]]" = field(default_factory=deque)
    snapshot: int = 0


class Streams:
    """Of one server, in pieces of chance."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(self, request: StreamRequest) -> None:
        server = self._server
        link = server.links.get(request.peer)
        if link is None:
            return
        server.stage.say("stream", server.number, request)
        stream = Stream(request, link, request.after)
        server.at(server.stage.rng.uniform(0, 0.01), self._send_snapshot if request.snapshot else self._go_on, stream)

    def _go_on(self, stream: Stream) -> None:
        server, request, link = self._server, stream.request, stream.link
        replica, store = server.replica, server.disk.store
        assert replica is not None
        assert store is not None
        if server.links.get(request.peer) is not link or replica.participant.epoch != request.epoch:
            return
        if stream.chunks:
            index, data = stream.chunks.popleft()
            final = not stream.chunks
            message = SnapshotChunk(request.epoch, stream.snapshot, index, final, data)
            server.send_through(link, request.peer, message)
            if final:
                stream.position = stream.snapshot
            elif server.interrupts_a_snapshot:
                server.interrupts_a_snapshot = False
                server.network.break_link(server.number, request.peer, link)
            server.at(server.stage.rng.uniform(0, 0.01), self._go_on, stream)
            return
        batches = store.read_batches(stream.position, server.stage.rng.randint(1, 2000))
        if batches is not None and not store.worth_streaming(stream.position):
            server.stage.situations["a snapshot was better than a log kept to be looked back at"] += 1
            batches = None
        if batches is None:
            self._send_snapshot(stream)
            return
        for batch in batches:
            server.send_through(link, request.peer, HistoryMessage(request.epoch, batch))
            server.stage.situations["history was streamed from disk"] += 1
            stream.position = batch.last
        if not batches or stream.position >= replica.participant.log.floor:
            replica.streamed(request.peer, request.epoch, stream.position, server.now)
        else:
            server.at(server.stage.rng.uniform(0, 0.01), self._go_on, stream)

    def _send_snapshot(self, stream: Stream) -> None:
        server = self._server
        store = server.disk.store
        assert store is not None
        if store.last_snapshot_zxid == 0 or store.last_snapshot_zxid < store.log_start:
            server.take_snapshot(lambda: self._send_snapshot(stream))
            return
        stream.snapshot = store.last_snapshot_zxid
        stream.chunks = deque(enumerate(store.snapshot_chunks()))
        server.stage.situations["a snapshot was sent"] += 1
        self._go_on(stream)
