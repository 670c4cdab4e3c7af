"""The cheapest server there can be, to learn what the generator itself can do.

It counts bytes and sends replies made before. Runs as a process of its own, `python -m tools.bench.echo
OPERATION VALUE_BYTES PATH_BYTES WINDOW`, prints its port, and ends when its standard input does.
"""

import select
import socket
import struct
import sys

from tools.bench.loads import load
from tools.ensembles.ports import HOST
from tools.wire import jute


def serve(operation: str, value_bytes: int, path_bytes: int, window: int) -> None:
    """Answer `operation` on paths of this length, from any number of connections, until the parent hangs up."""
    ring = load(operation, "/" * path_bytes, b"v" * value_bytes, window)
    request_bytes = ring.starts[1]
    reply_bytes = ring.reply_bytes[0]
    assert len(set(ring.reply_bytes)) == 1, f"the echo cannot answer {operation}: its replies differ in length"
    headers = (struct.pack("!iiqi", reply_bytes - 4, xid, 1, 0) for xid in range(1, ring.size + 1))
    replies = memoryview(b"".join(header + bytes(reply_bytes - len(header)) for header in headers) * 2)
    listener = socket.create_server((HOST, 0), backlog=200)
    print(listener.getsockname()[1], flush=True)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    streams: dict[int, socket.socket] = {}
    received: dict[int, int] = {}  # bytes of requests not yet answered
    answered: dict[int, int] = {}
    buffer = bytearray(262_144)
    while True:
        for fd, _ in epoll.poll():
            if fd == sys.stdin.fileno():
                return
            if fd == listener.fileno():
                stream, _ = listener.accept()
                stream.recv(4096)  # the connect request
                stream.sendall(jute.frame(jute.int32(0) + jute.int32(30_000) + jute.int64(1) + jute.buffer(bytes(16))))
                streams[stream.fileno()], received[stream.fileno()], answered[stream.fileno()] = stream, 0, 0
                epoll.register(stream, select.EPOLLIN)
                continue
            size = streams[fd].recv_into(buffer)
            if not size:
                epoll.unregister(fd)
                streams.pop(fd).close()
                continue
            count, received[fd] = divmod(received[fd] + size, request_bytes)
            first = answered[fd] % ring.size
            answered[fd] += count
            streams[fd].sendall(replies[first * reply_bytes : (first + count) * reply_bytes])


if __name__ == "__main__":
    serve(sys.argv[1], *(int(argument) for argument in sys.argv[2:5]))
