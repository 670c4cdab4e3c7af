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

    def __repr__(self) -> str:
        return f"<Console of {self.replica!r}>"

    @property
    def replica(self) -> Replica:
        return self.driver.replica

    def unready(self) -> str:
        """In a sentence why no write can be committed through this server just now; empty if one can, as it knows."""
        return self.replica.unready(trio.current_time())

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
