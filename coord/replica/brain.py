"""What the parts of the clients' side need of the replica, and of each other."""

from typing import Protocol

from coord.model.requests import (
    CheckVersion,
    CloseSession,
    Create,
    Delete,
    DeleteContainer,
    DeleteTree,
    Multi,
    SetAcl,
    SetData,
    Write,
)
from coord.paxos.participant import Participant
from coord.replica.forwards import Forwards
from coord.replica.latencies import Latencies
from coord.replica.native_watches import NativeWatches
from coord.replica.pipeline import Pipeline
from coord.replica.settings import ReplicaSettings
from coord.replica.syncs import Syncs
from coord.replica.watches import Watches
from coord.replica.window import Window
from coord.state.machine import Machine


class Brain(Protocol):
    """The replica, as its clients' side sees it."""

    settings: ReplicaSettings
    server: int
    machine: Machine
    watches: Watches
    native_watches: NativeWatches
    window: Window
    forwards: Forwards
    participant: Participant
    now: float

    @property
    def admits(self) -> bool:
        """Whether clients may come in."""

    def note(self, sentence: str) -> None: ...


class Desk(Protocol):
    """The clients' side itself (clients.py), as the modules of the two protocols use it."""

    brain: Brain
    syncs: Syncs
    latencies: Latencies

    def forward(self, pipeline: Pipeline, session: int, requests: tuple[Write, ...], number: int = 0) -> None: ...
    def hang_up(self, pipeline: Pipeline, why: str, code: int) -> None: ...


CLIENT_WRITES: frozenset[type] = frozenset(
    {Create, Delete, DeleteTree, SetData, SetAcl, CheckVersion, Multi, DeleteContainer, CloseSession}
)
"""What goes through the log when a client asks for it."""
