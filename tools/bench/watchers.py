"""A thousand sessions watch one znode; somebody sets it. How long until the last of them has its event?

The clock stops when the thousandth connection has something to read: each is registered one-shot, so that nothing needs
to be received, only counted, while the clock runs. What came is read and checked afterwards, and the watches are set
anew. The sessions are spread over the servers.
"""

import select
import statistics
import time

from tools.bench.figures import Report, Scale
from tools.bench.goals import LAST_EVENT, counted
from tools.bench.rows import close, connect
from tools.ensembles import Ensemble, EnsembleError
from tools.wire import jute
from tools.wire.client import Event, RawClient
from tools.wire.jute import Op

PATH = "/bench-watched"
_LIMIT_S = 30.0
_DATA_CHANGED = 3


def watchers(ensemble: Ensemble, scale: Scale, report: Report) -> None:
    """One figure a turn: the median of the rounds, the first of which does not count."""
    with connect(ensemble, 1)[0] as writer:
        writer.create(PATH, b"")
        clients = connect(ensemble, scale.watchers)
        for client in clients:
            client.sync(PATH)
        try:
            rounds = [_round(writer, clients) for _ in range(scale.watch_rounds + 1)][1:]
            report.figure(counted(scale.watchers, LAST_EVENT), statistics.median(rounds) * 1000)
        finally:
            close(clients)
        writer.delete(PATH)
        writer.close_session()


def _round(writer: RawClient, clients: list[RawClient]) -> float:
    """Set the watches, then the znode; seconds until the last watcher has something to read."""
    for client in clients:
        client.send(Op.GET_DATA, jute.path_and_watch(PATH, watch=True))
    for client in clients:
        client.receive_reply().reader()
    epoll = select.epoll()
    try:
        for client in clients:
            epoll.register(client.stream, select.EPOLLIN | select.EPOLLONESHOT)
        begin = time.perf_counter()
        writer.send(Op.SET_DATA, jute.set_data(PATH, b"v" * 100))
        readable = 0
        while readable < len(clients):
            arrived = len(epoll.poll(_LIMIT_S, len(clients)))
            if not arrived:
                raise EnsembleError(f"{len(clients) - readable} watchers were told nothing within {_LIMIT_S:g} s")
            readable += arrived
        took_s = time.perf_counter() - begin
    finally:
        epoll.close()
    writer.receive_reply().reader()
    for client in clients:
        arrival = client.receive()
        if not isinstance(arrival, Event) or (arrival.kind, arrival.path) != (_DATA_CHANGED, PATH):
            raise EnsembleError(f"a watcher of {PATH} was told {arrival} when it was set")
        client.arrived.clear()
    return took_s
