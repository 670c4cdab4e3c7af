"""What the clients of an ensemble in memory cost its servers: requests, events, bytes on the wire."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from coord.replica.native_watches import NativeWatches
from coord.replica.replica import Replica
from coord.testing.network import _Way


@dataclass
class Costs:
    """Gathered while `counting` is left switched on."""

    counting: bool = False
    requests: int = 0
    """That clients have sent to servers."""
    events: int = 0
    """That servers have told to watches."""
    client_bytes: int = 0
    """Between clients and servers, both ways."""

    @contextmanager
    def count(self) -> Iterator["Costs"]:
        self.requests = self.events = self.client_bytes = 0
        self.counting = True
        try:
            yield self
        finally:
            self.counting = False

    def record(self, monkeypatch: pytest.MonkeyPatch) -> "Costs":
        submit, fire, arrive = Replica.submit, NativeWatches.fire, _Way.arrive

        def submitted(replica, pipeline, calls):
            self.requests += len(calls) if self.counting else 0
            return submit(replica, pipeline, calls)

        def fired(watches, change):
            told = fire(watches, change)
            self.events += len(told) if self.counting else 0
            return told

        def arrived(way, data):
            if self.counting and not (way.source.startswith("s") and way.target.startswith("s")):
                self.client_bytes += len(data)
            return arrive(way, data)

        monkeypatch.setattr(Replica, "submit", submitted)
        monkeypatch.setattr(NativeWatches, "fire", fired)
        monkeypatch.setattr(_Way, "arrive", arrived)
        return self
