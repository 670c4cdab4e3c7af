"""Three servers with real stores whose disks were damaged: participants joined by a list, disks that answer at once."""

from collections import deque

from coord.codec.batch import encode_batch
from coord.model.entries import Batch
from coord.paxos.effects import Append, Ballot, SaveBallot
from coord.paxos.history import History
from coord.paxos.messages import Fetched, Message
from coord.paxos.participant import FETCH_BYTES_MAX, Participant, PaxosSettings
from coord.storage.memory import MemoryDisk
from coord.storage.records import RECORD_BYTES
from coord.storage.store import Store, StoreSettings

VOTERS = frozenset({1, 2, 3})
TICK_S = 0.05


def open_store(disk: MemoryDisk, server: int) -> Store:
    settings = StoreSettings(segment_bytes=2048)
    return Store.open(disk, server=server, identity_if_new=1000 + server, settings=settings, has_peers=True)


def written_disk(server: int, batches: list[Batch]) -> tuple[MemoryDisk, list[int]]:
    """A disk on which every batch was made durable by itself, and where their records begin."""
    disk = MemoryDisk()
    store = open_store(disk, server)
    promised = Ballot(server, 1000 + server, cluster=7, promised=1, promised_to=1)
    store.perform([SaveBallot(promised)])
    for batch in batches:
        encode_batch(batch)
        store.perform([Append(batch)])
    store.perform([SaveBallot(Ballot(server, 1000 + server, cluster=7, promised=1, promised_to=1, accepted=1))])
    store.close()
    content = disk.contents()[segment_of(disk)]
    return disk, [content.find(batch.encoded) - RECORD_BYTES for batch in batches]


def segment_of(disk: MemoryDisk) -> str:
    (name,) = [name for name in disk.contents() if name.startswith("log/")]
    return name


class DamagedGroup:
    """Started on these disks. `run` lets time pass, and everything that follows from it happen."""

    def __init__(self, disks: dict[int, MemoryDisk]) -> None:
        self.now = 0.0
        self.stores = {server: open_store(disk, server) for server, disk in disks.items()}
        self.servers = {server: self._start(server) for server in disks}
        self._wire: deque[tuple[int, int, Message]] = deque()
        for one in disks:
            for other in disks:
                if one != other:
                    self.servers[one].connected(other, self.now)

    def _start(self, server: int) -> Participant:
        store = self.stores[server]
        found = store.recovered
        history = History(found.snapshot_zxid, found.batches, found.ends, found.snapshot_zxid, found.log_start)
        remains = found.damage.later if found.damage is not None else ()
        return Participant(PaxosSettings(server, VOTERS, 7), store.ballot, history, self.now, remains)

    def run(self, seconds: float, until_all_serve: bool = True) -> None:
        end = self.now + seconds
        while self.now < end and not (until_all_serve and self.all_serve):
            self.now += TICK_S
            for participant in self.servers.values():
                participant.tick(self.now)
            self._settle()

    @property
    def all_serve(self) -> bool:
        return all(participant.serving for participant in self.servers.values())

    @property
    def leaders(self) -> list[int]:
        return [server for server, participant in self.servers.items() if participant.leads]

    def _settle(self) -> None:
        busy = True
        while busy:
            busy = False
            for server in self.servers:
                busy |= self._take(server)
            while self._wire:
                source, target, message = self._wire.popleft()
                self.servers[target].receive(source, message, self.now)
                busy = True

    def _take(self, server: int) -> bool:
        participant, store = self.servers[server], self.stores[server]
        output = participant.take()
        if output is None:
            return False
        self._wire += [(server, peer, message) for peer, message in output.send_now]
        if output.serial:
            store.perform(output.steps)
            self._wire += [(server, peer, message) for peer, message in output.send_when_durable]
            participant.durable(output.serial, self.now)
        for request in output.fetches:
            found = store.read_back(request.upto, request.above, FETCH_BYTES_MAX)
            self._wire += [(server, request.peer, Fetched(batch)) for batch in reversed(found)]
        assert not output.stream, "these logs are short enough to be sent from memory"
        assert not participant.broken, participant.broken
        return True
