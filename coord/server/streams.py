"""Sending a follower what is no longer in memory: the log from disk, or a snapshot and then the log. And giving back to
a server whose log was damaged what it has lost.

Runs beside the broadcast, in as many pieces as the follower takes; when memory can go on from where it ends, the
replica is told. A stream whose connection or epoch has ended stops by itself, and its follower asks anew.
"""

from collections.abc import Iterator
from functools import partial

import trio

from coord.codec.peer import encode
from coord.paxos.durable import FetchRequest, StreamRequest
from coord.paxos.messages import Fetched, History, Message, SnapshotChunk
from coord.paxos.participant import FETCH_BYTES_MAX
from coord.server.driver import Driver
from coord.server.log_lines import EventLog
from coord.server.peers import PeerLink, Peers
from coord.server.snapshots import SnapshotTaker
from coord.storage.errors import StorageFailure
from coord.storage.store import Store
from coord.storage.writer import Writer

READ_BYTES_MAX = 1 << 20
"""How much of a log or of a snapshot is read at once."""


class Streams:
    """Carries out the stream requests of this server's replica."""

    def __init__(
        self,
        nursery: trio.Nursery,
        driver: Driver,
        peers: Peers,
        store: Store,
        writer: Writer,
        taker: SnapshotTaker,
        log: EventLog,
    ) -> None:
        self._nursery = nursery
        self._driver = driver
        self._peers = peers
        self._store = store
        self._writer = writer
        self._taker = taker
        self._log = log

    def start(self, request: StreamRequest) -> None:
        link = self._peers.link(request.peer)
        if link is not None:
            self._nursery.start_soon(self._run, request, link)

    def fetch(self, request: FetchRequest) -> None:
        """Look for batches that another server asks for; while it has yet to get the last answer it may ask again."""
        link = self._peers.link(request.peer)
        if link is not None and not link.outbox.bytes_waiting:
            self._nursery.start_soon(self._fetch, request, link)

    async def _fetch(self, request: FetchRequest, link: PeerLink) -> None:
        read = partial(self._store.read_back, request.upto, request.above, FETCH_BYTES_MAX)
        for batch in reversed(await self._writer.aside(read)):
            link.send(encode(Fetched(batch)))

    def _wanted(self, request: StreamRequest, link: PeerLink) -> bool:
        """Whether this server still leads the request's epoch, and the connection stands."""
        return not link.outbox.closed and self._driver.replica.participant.epoch == request.epoch

    async def _run(self, request: StreamRequest, link: PeerLink) -> None:
        try:
            await self._stream(request, link)
        except StorageFailure:
            # A server that leads no more may be taking a snapshot itself, and remove what was being read.
            if self._wanted(request, link):
                raise

    async def _stream(self, request: StreamRequest, link: PeerLink) -> None:
        position = request.after
        if request.snapshot:
            position = await self._send_snapshot(request, link)
        while self._wanted(request, link):
            batches = None
            if self._store.worth_streaming(position):
                batches = await self._writer.aside(partial(self._store.read_batches, position, READ_BYTES_MAX))
            if batches is None:
                position = await self._send_snapshot(request, link)
                continue
            if not batches:
                break
            for batch in batches:
                link.send(encode(History(request.epoch, batch)))
            position = batches[-1].last
            await link.outbox.wait_drained()
            if position >= self._driver.replica.participant.log.floor:
                break  # the rest is in memory
        if self._wanted(request, link):
            self._driver.replica.streamed(request.peer, request.epoch, position, trio.current_time())
            self._driver.feed()

    async def _send_snapshot(self, request: StreamRequest, link: PeerLink) -> int:
        """Send the newest snapshot, or a new one if that does not reach the log or is too old; its zxid."""
        zxid = self._store.last_snapshot_zxid
        if zxid < self._store.log_start or (request.snapshot and zxid < request.after) or not zxid:
            zxid = await self._taker.take()
        if not zxid:
            link.hang_up("there is no state yet to take a snapshot of")
            return request.after
        self._log.info(f"sending server {request.peer} the snapshot at {zxid:#x}")
        chunks = self._store.snapshot_chunks(zxid)
        index, piece = 0, await self._next(chunks)
        while piece and self._wanted(request, link):
            following = await self._next(chunks)
            end = index + len(piece)
            for number, chunk in enumerate(piece, index):
                final = not following and number == end - 1
                message: Message = SnapshotChunk(request.epoch, zxid, number, final, chunk)
                link.send(encode(message))
            await link.outbox.wait_drained()
            index, piece = end, following
        return zxid

    async def _next(self, chunks: Iterator[bytes]) -> list[bytes]:
        """The next chunks, of about READ_BYTES_MAX; none at the end. A trip to a thread costs as much as a chunk."""
        return await self._writer.aside(partial(_taken, chunks))


def _taken(chunks: Iterator[bytes]) -> list[bytes]:
    piece: list[bytes] = []
    room = READ_BYTES_MAX
    while room > 0 and (chunk := next(chunks, None)) is not None:
        piece.append(chunk)
        room -= len(chunk)
    return piece
