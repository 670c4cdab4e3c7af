"""What an operator may see of a running server, and do to it: the one thing that `serve` hands to whoever shows it."""

import trio

from coord.replica.replica import Replica
from coord.server.clients import ClientPort
from coord.server.config import Config
from coord.server.driver import Driver
from coord.server.facts import ServerFacts
from coord.server.log_lines import EventLog
from coord.server.meters import Meters
from coord.server.snapshots import SnapshotTaker
from coord.storage.store import Store

ROUND_S = 1.0
"""A quorum that answers later is of no use to a client."""


class Console:
    """Of one server. `facts` are those of the four-letter words."""

    def __init__(
        self,
        config: Config,
        facts: ServerFacts,
        meters: Meters,
        log: EventLog,
        *,
        driver: Driver,
        store: Store,
        port: ClientPort,
        taker: SnapshotTaker,
    ) -> None:
        self.config = config
        self.facts = facts
        self.meters = meters
        self.log = log
        self.driver = driver
        self.store = store
        self._port = port
        self._taker = taker
        self._round: trio.Event | None = None  # set when the last round that was asked for has been answered

    def __repr__(self) -> str:
        return f"<Console of {self.replica!r}>"

    @property
    def leader(self) -> int:
        """0 if there is none."""
        return self.replica.participant.leader

    @property
    def replica(self) -> Replica:
        return self.driver.replica

    def unready(self) -> str:
        """In a sentence why no write can be committed through this server now; empty if one can, as it knows."""
        return self.replica.unready(trio.current_time())

    async def why_unready(self) -> str:
        """The same after a round in which a quorum has answered the leader: not believed but known."""
        why = self.unready()
        if why:
            return why
        if self._round is None or self._round.is_set():  # else who asks joins those that wait already
            self._round = trio.Event()
            self.replica.clients.syncs.probe(self._round.set)
            self.driver.feed()
        with trio.move_on_after(ROUND_S):
            await self._round.wait()
            return ""
        return self.unready() or f"no quorum has answered the leader, server {self.leader}, within {ROUND_S:g} s"

    def late_s(self) -> float:
        """For how long the clockwork of this server should have turned, and has not."""
        return max(0.0, trio.current_time() - self.driver.due_s)

    async def take_snapshot(self) -> int:
        """Take one of the state as it is now, beside all that goes on; its zxid, 0 if the state is still empty."""
        return await self._taker.take()

    def shed_connections(self, percentage: int) -> int:
        """Hang up on so many of the clients, the longest connected first; how many that were.

        Their sessions live on: they connect to other servers, or come back.
        """
        clients = [each for each in self._port.connections.values() if each.pipeline.session]
        clients.sort(key=lambda each: each.since_s)
        shed = clients[: -(-len(clients) * percentage // 100)]
        for client in shed:
            client.hang_up("an operator asked this server to shed connections")
        return len(shed)
