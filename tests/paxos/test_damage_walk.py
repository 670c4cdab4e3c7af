"""Servers with real stores on a random way: one disk at a time rots, anybody dies anywhere, wires break.

What was committed once stays, in its place and everywhere, and in the end all serve. The simulator has all that and far
more; here nearly everything that happens is about damage.
"""

from collections import deque
from random import Random

import pytest

from coord.codec.batch import encode_batch
from coord.paxos.effects import Append
from coord.paxos.history import History
from coord.paxos.messages import Fetched, Message
from coord.paxos.messages import History as Given
from coord.paxos.participant import FETCH_BYTES_MAX, Participant, PaxosSettings
from coord.storage.memory import MemoryDisk, PowerCut
from coord.storage.store import Store, StoreSettings

TICK_S = 0.05
SETTINGS = StoreSettings(segment_bytes=1500)


class Walk:
    """A server that is down has no participant."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.servers = list(range(1, self.rng.choice((3, 3, 5)) + 1))
        self.disks = {server: MemoryDisk() for server in self.servers}
        self.stores: dict[int, Store] = {}
        self.up: dict[int, Participant] = {}
        self.wires: dict[tuple[int, int], deque[Message]] = {}
        self.apart: set[frozenset[int]] = set()
        self.rotten: set[int] = set()
        self.committed: list[bytes] = []
        for server in self.servers:
            self.start(server)

    # ---- life and death

    def start(self, server: int) -> None:
        if server in self.up:
            return
        self.rotten.discard(server)
        store = Store.open(
            self.disks[server], server=server, identity_if_new=100 + server, settings=SETTINGS, has_peers=True
        )
        found = store.recovered
        history = History(0, found.batches, found.ends, 0)
        remains = found.damage.later if found.damage is not None else ()
        settings = PaxosSettings(server, frozenset(self.servers), 7)
        self.stores[server], self.up[server] = store, Participant(settings, store.ballot, history, self.now, remains)
        for other in self.servers:
            self.connect(server, other)

    def die(self, server: int) -> None:
        if server not in self.up:
            return
        del self.up[server], self.stores[server]
        self.disks[server].before = None
        self.disks[server].crash(self.rng) if self.rng.random() < 0.5 else self.disks[server].close()
        for other in self.servers:
            self.cut(server, other)

    def connect(self, one: int, other: int) -> None:
        if one != other and {one, other} <= self.up.keys() and frozenset((one, other)) not in self.apart:
            self.wires[one, other], self.wires[other, one] = deque(), deque()
            self.up[one].connected(other, self.now)
            self.up[other].connected(one, self.now)

    def cut(self, one: int, other: int) -> None:
        for here, there in ((one, other), (other, one)):
            if self.wires.pop((here, there), None) is not None and here in self.up:
                self.up[here].disconnected(there, self.now)

    def part(self) -> None:
        one, other = self.rng.sample(self.servers, 2)
        self.apart.add(frozenset((one, other)))
        self.cut(one, other)

    def heal(self) -> None:
        pairs, self.apart = self.apart, set()
        for pair in pairs:
            self.connect(*pair)

    def rot(self) -> None:
        """A quorum is whole: what a minority has lost, or may have, is there."""
        spoilt = self.rotten | {server for server, store in self.stores.items() if store.ballot.suspect > store.last}
        spoilt |= {server for server in self.servers if server not in self.up and self._claims(server)}
        server = self.rng.choice(self.servers)
        if len(spoilt | {server}) * 2 >= len(self.servers):
            return
        self.die(server)
        disk = self.disks[server]
        contents = {name: content.rstrip(b"\0") for name, content in disk.contents().items()}
        names = [name for name, content in contents.items() if content and name.startswith(("log/", "tail"))]
        if names:
            name = self.rng.choice(names)
            at = max(0, len(contents[name]) - self.rng.randint(1, 300)) if self.rng.random() < 0.6 else 0
            piece = contents[name][at : at + self.rng.choice((4, 150))]
            disk.damage(name, at, bytes(byte ^ 0xA5 or 0xA5 for byte in piece))
            self.rotten.add(server)

    def _claims(self, server: int) -> bool:
        """Whether one that is down will say that something is missing."""
        image = self.disks[server].copy()
        store = Store.open(image, server=server, identity_if_new=1, settings=SETTINGS, has_peers=True)
        return store.ballot.suspect > store.last

    # ---- time

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.now += TICK_S
            for server in list(self.up):
                self.up[server].tick(self.now)
                self.take(server)
            self.move(self.rng.randint(5, 60))

    def move(self, messages: int) -> None:
        for _ in range(messages):
            wires = [pair for pair, wire in self.wires.items() if wire]
            if not wires:
                return
            source, target = self.rng.choice(wires)
            self.up[target].receive(source, self.wires[source, target].popleft(), self.now)
            self.take(target)

    def propose(self) -> None:
        for server, participant in list(self.up.items()):
            if participant.leads:
                participant.forward(1, self.rng.randbytes(self.rng.choice((3, 300))))
                participant.propose(0, 0, 0, 0.0)
                self.take(server)

    def take(self, server: int) -> None:
        """All that it wants done, perhaps up to its death in the middle of a write."""
        while (participant := self.up.get(server)) is not None and (output := participant.take()):
            store, left = self.stores[server], self.rng.randint(0, 15) if self.rng.random() < 0.004 else -1

            def before(verb: str, name: str, left: list[int] = [left]) -> None:  # noqa: B006
                if left[0] == 0:
                    raise PowerCut
                left[0] -= left[0] > 0

            self.send(server, output.send_now)
            for step in output.steps:
                if isinstance(step, Append) and not step.batch.encoded:
                    encode_batch(step.batch)
            if output.serial:
                self.disks[server].before = before
                try:
                    store.perform(output.steps)
                except PowerCut:
                    self.die(server)
                    return
                self.disks[server].before = None
                self.send(server, output.send_when_durable)
                participant.durable(output.serial, self.now)
            for request in output.fetches:
                found = store.read_back(request.upto, request.above, FETCH_BYTES_MAX)
                self.send(server, [(request.peer, Fetched(batch)) for batch in reversed(found)])
            for stream in output.stream:
                batches = store.read_batches(stream.after, 1 << 30)
                assert batches is not None, "nobody has dropped any of its log"
                assert not stream.snapshot, "nobody has dropped any of its log"
                self.send(server, [(stream.peer, Given(stream.epoch, batch)) for batch in batches])
                participant.streamed(stream.peer, stream.epoch, store.last, self.now)
            for peer, _ in participant.broken:
                self.cut(server, peer)
                self.connect(server, peer)
            participant.broken.clear()
            self.check(participant)

    def send(self, server: int, messages: list[tuple[int, Message]]) -> None:
        for peer, message in messages:
            if (server, peer) in self.wires:
                self.wires[server, peer].append(message)

    def check(self, participant: Participant) -> None:
        log = participant.log
        mine = [batch.encoded for batch in log.after(0, log.commit) or []]
        known = min(len(mine), len(self.committed))
        assert mine[:known] == self.committed[:known], "two servers have committed different histories"
        self.committed += mine[known:]
        if participant.leads:
            whole = [batch.encoded for batch in log.after(0) or []]
            outdated = any(other.ballot.promised > participant.epoch for other in self.up.values())
            assert outdated or whole[: len(self.committed)] == self.committed, "a leader lacks what is committed"


@pytest.mark.parametrize("seed", range(60))
def test_what_was_committed_stays_whatever_rots_and_in_the_end_all_serve(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(60):
        happening = walk.rng.random()
        server = walk.rng.choice(walk.servers)
        if happening < 0.25:
            walk.rot()
        elif happening < 0.4:
            walk.die(server)
        elif happening < 0.6:
            walk.start(server)
        elif happening < 0.7:
            walk.part()
        elif happening < 0.75:
            walk.heal()
        else:
            walk.propose()
        walk.run(walk.rng.choice((0, 1, 3, 20)))
    walk.heal()
    for _ in range(400):
        for server in walk.servers:
            walk.start(server)
        walk.run(1)
        if all(participant.serving for participant in walk.up.values()) and len(walk.up) == len(walk.servers):
            return
    raise AssertionError(f"not all serve: {walk.up}")
