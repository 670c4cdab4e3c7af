"""One server of the bare skeleton: coord's hot path with everything left out that it is there for.

`python -m tools.bench.limit.server ID FILE CLIENT_PORT PEER_PORT,... OPERATION PATH_BYTES VALUE_BYTES`. Server 1 leads.
Prints "ready" when its peers are connected, and ends when its standard input does.

As coord's: the client's bytes and the replies'; a look at each request's length, xid and operation, a copy of its bytes
into a run, and a header of its own before each reply; the bytes, the batching and the order of forward, accept,
accepted and commit; one write and one fdatasync a batch on each of the three servers, inline, before it is
acknowledged or counted; a checksum over each batch; Trio, one task a connection, one pump a turn of the loop, sends
tried at once; the very `coord.net`. Not there: the tree, sessions, watches, errors, elections, decoding and encoding
of what a request says; replies, but for their headers, are made before.
"""

import contextlib
import os
import struct
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from zlib import crc32

import trio

from coord.net.network import Listener, Stream, TcpNetwork
from coord.net.outbox import Outbox
from tools.bench.limit.sizes import HEADER_BYTES, RECORD_BYTES, Sizes
from tools.ensembles.ports import HOST
from tools.wire import jute

LEADER = 1
_LOG_BYTES = 1 << 29
_CONNECT_AGAIN_S = 0.02
_OUTBOX_BYTES_MAX = 64 << 20
_CONNECT_REPLY = jute.frame(jute.int32(0) + jute.int32(30_000) + jute.int64(1) + jute.buffer(bytes(16)))

HELLO, FORWARD, ACCEPT, ACCEPTED, COMMIT = 1, 2, 3, 4, 5
_HEAD = struct.Struct("!IBQII")
"""Length of all that follows it, kind, position, and two counts: of coord's size or a little more."""


_REQUEST = struct.Struct("!iii")
_REPLY = struct.Struct("!iiqi")


class Client:
    """A connection of the load, and what has come of a request that is not whole yet."""

    __slots__ = ("outbox", "rest")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.rest = b""


class Server:
    """Inputs are put into it, then `pump` does what they ask for, once for all of a turn."""

    def __init__(self, id: int, file: int, sizes: Sizes) -> None:
        self.id = id
        self.sizes = sizes
        self.peers: dict[int, Outbox] = {}
        self.parked: trio.lowlevel.Task | None = None
        self._file = file
        self._offset = 0
        self._reply_body = bytes(sizes.reply_bytes - _REPLY.size)
        self._runs: list[bytes] = []  # this server's clients' writes, not yet sent on
        self._runs_count = 0
        self._forwarded: list[tuple[int, int, bytes]] = []  # to the leader: origin, count, runs
        self._own: deque[tuple[Client, list[int]]] = deque()  # the xids of own clients' writes on their way
        self._accepts: list[tuple[int, int, bytes]] = []  # to a follower: position, own among it, batch
        self._in_log: deque[tuple[int, int]] = deque()  # (position, own clients' writes in that batch), uncommitted
        self._positions = {1: 0, 2: 0, 3: 0}  # durable on each server
        self._proposed = self._commit = self._commit_sent = 0

    def feed(self) -> None:
        if self.parked is not None:
            task, self.parked = self.parked, None
            trio.lowlevel.reschedule(task)

    # ---- inputs

    def on_requests(self, client: Client, data: bytes) -> None:
        """Requests have come, perhaps one of them in part: reads are answered, writes go on."""
        data = client.rest + data if client.rest else data
        size, operation = self.sizes.write_bytes, self.sizes.operation
        xids: list[int] = []
        run = [self.sizes.run_head]
        at, end = 0, len(data)
        while end - at >= _REQUEST.size:
            length, xid, asked = _REQUEST.unpack_from(data, at)
            if end - at < 4 + length:
                break
            assert asked == operation, f"operation {asked} came, and only {operation} is known"
            xids.append(xid)
            if size:
                run.append(data[at + _REQUEST.size : at + _REQUEST.size + size])
            at += 4 + length
        client.rest = data[at:]
        if not size:
            self._answer(client, xids)
        elif xids:
            self._runs += run
            self._runs_count += len(xids)
            self._own.append((client, xids))
            self.feed()

    def on_message(self, peer: int, kind: int, position: int, first: int, second: int, payload: bytes) -> None:
        if kind == FORWARD:
            self._forwarded.append((peer, first, payload))
        elif kind == ACCEPT:
            self._accepts.append((position, first if self.id == 2 else second, payload))
        elif kind == ACCEPTED:
            self._positions[peer] = position
        if kind in (ACCEPT, COMMIT):
            commit = int.from_bytes(payload[:8], "big") if kind == ACCEPT else position
            self._commit = max(self._commit, commit)
        self.feed()

    # ---- what is done about them

    def pump(self) -> None:
        if self.id == LEADER:
            self._propose()
            self._count()
        else:
            self._forward()
            self._accept()
        while self._in_log and self._in_log[0][0] <= self._commit:
            self._deliver(self._in_log.popleft()[1])

    def _take_runs(self) -> tuple[int, bytes]:
        """All fresh writes of own clients: how many, and a run for each connection."""
        count, runs = self._runs_count, b"".join(self._runs)
        self._runs, self._runs_count = [], 0
        return count, runs

    def _forward(self) -> None:
        count, runs = self._take_runs()
        if count:
            self.peers[LEADER].put(_HEAD.pack(_HEAD.size - 4 + len(runs), FORWARD, 0, count, 0) + runs)

    def _propose(self) -> None:
        """One batch of all that is waiting: to the followers, then to the own disk."""
        own, runs = self._take_runs()
        forwarded, self._forwarded = self._forwarded, []
        by_origin = {1: own, 2: 0, 3: 0}
        for origin, count, _ in forwarded:
            by_origin[origin] += count
        total = sum(by_origin.values())
        if not total:
            return
        body = b"".join([runs, *(each for _, _, each in forwarded)])
        self._proposed += total
        batch = crc32(body).to_bytes(HEADER_BYTES, "big") + body
        commit = self._commit.to_bytes(8, "big")
        head = _HEAD.pack(_HEAD.size + 4 + len(batch), ACCEPT, self._proposed, by_origin[2], by_origin[3])
        frame = b"".join((head, commit, batch))
        self._commit_sent = self._commit
        for outbox in self.peers.values():
            outbox.put(frame)
        self._store([batch])
        self._positions[1] = self._proposed
        self._in_log.append((self._proposed, own))

    def _accept(self) -> None:
        """All batches that have come: one write, one sync, one answer."""
        accepts, self._accepts = self._accepts, []
        if not accepts:
            return
        self._store([payload[8:] for _, _, payload in accepts])
        self._in_log += [(position, own) for position, own, _ in accepts]
        self.peers[LEADER].put(_HEAD.pack(_HEAD.size - 4, ACCEPTED, accepts[-1][0], 0, 0))

    def _count(self) -> None:
        """What two of three have is committed; the followers are told with the next batch, or at once if none comes."""
        self._commit = sorted(self._positions.values())[1]
        if self._commit > self._commit_sent and not self._runs and not self._forwarded:
            self._commit_sent = self._commit
            for outbox in self.peers.values():
                outbox.put(_HEAD.pack(_HEAD.size - 4, COMMIT, self._commit, 0, 0))

    def _store(self, batches: list[bytes]) -> None:
        """Records, each a header and a batch; durable when this returns."""
        buffers = [part for batch in batches for part in (crc32(batch).to_bytes(RECORD_BYTES, "big"), batch)]
        size = sum(map(len, buffers))
        if self._offset + size > _LOG_BYTES:
            self._offset = 0
        os.pwritev(self._file, buffers, self._offset)
        self._offset += size
        os.fdatasync(self._file)

    def _deliver(self, count: int) -> None:
        """Answer the oldest `count` writes of own clients, with one send for each client."""
        answers: dict[Client, list[int]] = {}
        while count:
            client, xids = self._own.popleft()
            if len(xids) > count:
                self._own.appendleft((client, xids[count:]))
                xids = xids[:count]
            answers[client] = answers[client] + xids if client in answers else xids
            count -= len(xids)
        for client, xids in answers.items():
            self._answer(client, xids)

    def _answer(self, client: Client, xids: list[int]) -> None:
        head, body, zxid, length = _REPLY.pack, self._reply_body, self._commit, self.sizes.reply_bytes - 4
        client.outbox.put(b"".join([head(length, xid, zxid, 0) + body for xid in xids]))


async def run_pump(server: Server) -> None:
    def abort(raise_cancel: object) -> trio.lowlevel.Abort:
        server.parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    while True:
        server.parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)
        server.pump()


async def serve_client(server: Server, stream: Stream) -> None:
    async with trio.open_nursery() as nursery:
        client = Client(Outbox(stream, _OUTBOX_BYTES_MAX))
        nursery.start_soon(client.outbox.run)
        with contextlib.suppress(OSError):  # it is gone
            await stream.receive()  # the connect request
            client.outbox.put(_CONNECT_REPLY)
            while data := await stream.receive():
                server.on_requests(client, data)
        nursery.cancel_scope.cancel()


async def serve_peer(server: Server, stream: Stream) -> None:
    async with trio.open_nursery() as nursery:
        outbox = Outbox(stream, _OUTBOX_BYTES_MAX)
        nursery.start_soon(outbox.run)
        outbox.put(_HEAD.pack(_HEAD.size - 4, HELLO, server.id, 0, 0))
        with contextlib.suppress(OSError):  # it is gone
            await read_peer(server, stream, outbox)


async def read_peer(server: Server, stream: Stream, outbox: Outbox) -> None:
    """Frames of another server; the first tells who it is."""
    peer, buffer = 0, b""
    while data := await stream.receive():
        buffer, at = buffer + data if buffer else data, 0
        while len(buffer) - at >= _HEAD.size:
            length, kind, position, first, second = _HEAD.unpack_from(buffer, at)
            if len(buffer) - at < 4 + length:
                break
            if kind == HELLO:
                peer = position
                server.peers[peer] = outbox
            else:
                server.on_message(peer, kind, position, first, second, buffer[at + _HEAD.size : at + 4 + length])
            at += 4 + length
        buffer = buffer[at:]


async def main(id: int, path: str, client_port: int, peer_ports: list[int], sizes: Sizes) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(file, 0, _LOG_BYTES)
    os.fsync(file)
    server, network = Server(id, file, sizes), TcpNetwork()
    async with trio.open_nursery() as nursery:

        async def listen(port: int, serve: Callable[[Server, Stream], Awaitable[None]]) -> None:
            for listener in await network.listen(HOST, port):
                nursery.start_soon(accept, listener, serve)

        async def accept(listener: Listener, serve: Callable[[Server, Stream], Awaitable[None]]) -> None:
            while True:
                nursery.start_soon(serve, server, await listener.accept())

        async def connect(port: int) -> None:
            while True:
                with contextlib.suppress(OSError):
                    stream = await network.connect(HOST, port)
                    break
                await trio.sleep(_CONNECT_AGAIN_S)
            await serve_peer(server, stream)

        nursery.start_soon(run_pump, server)
        await listen(peer_ports[id - 1], serve_peer)
        for port in peer_ports[: id - 1]:
            nursery.start_soon(connect, port)
        while len(server.peers) < len(peer_ports) - 1:  # noqa: ASYNC110  others connect when they do
            await trio.sleep(_CONNECT_AGAIN_S)
        await listen(client_port, serve_client)
        print("ready", flush=True)
        await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    number, log, client, peers, operation, *counts = sys.argv[1:]
    ports = [int(port) for port in peers.split(",")]
    trio.run(main, int(number), log, int(client), ports, Sizes.of(operation, *map(int, counts)))
