"""Some participants, joined by lists: a test moves every message and every finished write by hand, or all of them."""

from collections import deque

from coord.codec.batch import encode_batch
from coord.model.entries import Batch, zxid_of
from coord.paxos.durable import StreamRequest
from coord.paxos.effects import Append, Ballot, Step
from coord.paxos.history import History
from coord.paxos.messages import Canvass, Message, Prepare
from coord.paxos.participant import Participant, PaxosSettings
from coord.paxos.proposer import Limits


def batch(epoch: int, counter: int, previous: int, count: int = 1, body: bytes = b"x") -> Batch:
    made = Batch(epoch, zxid_of(epoch, counter), count, previous, 0, 0, 0, body)
    encode_batch(made)
    return made


def log_of(*lengths: tuple[int, int]) -> list[Batch]:
    """For each (epoch, number) so many batches of one entry each."""
    batches: list[Batch] = []
    previous = 0
    for epoch, number in lengths:
        for counter in range(1, number + 1):
            batches.append(batch(epoch, counter, previous))
            previous = batches[-1].last
    return batches


def ends_of(batches: list[Batch]) -> list[tuple[int, int]]:
    return sorted({each.epoch: each.last for each in batches}.items())


def make_participant(
    server: int,
    voters: int = 3,
    *,
    log: list[Batch] | None = None,
    promised: int = 0,
    promised_to: int = 0,
    accepted: int = 0,
    commit: int = 0,
    limits: Limits | None = None,
) -> Participant:
    batches = log or []
    settings = PaxosSettings(server, frozenset(range(1, voters + 1)), 77, limits=limits or Limits(gathered_bytes=0))
    ballot = Ballot(server, 1000 + server, 0, promised, promised_to, accepted)
    return Participant(settings, ballot, History(0, batches, ends_of(batches), commit), 0.0)


class Group:
    """The messages of each direction wait in `wires`; what waits for the disk in `disks`."""

    def __init__(self, *participants: Participant) -> None:
        self.members = {each._settings.server: each for each in participants}
        self.wires: dict[tuple[int, int], deque[Message]] = {}
        self.disks: dict[int, deque[tuple[int, list[Step], list[tuple[int, Message]]]]] = {
            server: deque() for server in self.members
        }
        self.streams: list[tuple[int, StreamRequest]] = []
        self.steps: dict[int, list[Step]] = {server: [] for server in self.members}  # all that was asked for
        self.now = 0.0
        self.said: list[tuple[int, int, Message]] = []  # everything ever sent

    def __getitem__(self, server: int) -> Participant:
        return self.members[server]

    # ---- one thing at a time

    def connect(self, one: int, other: int) -> None:
        self.wires[one, other], self.wires[other, one] = deque(), deque()
        self[one].connected(other, self.now)
        self[other].connected(one, self.now)

    def cut(self, one: int, other: int) -> None:
        self.wires.pop((one, other), None), self.wires.pop((other, one), None)
        self[one].disconnected(other, self.now)
        self[other].disconnected(one, self.now)

    def take(self, server: int) -> None:
        """Perform the output, but let the disk wait for `sync`."""
        while output := self[server].take():
            for peer, message in output.send_now:
                self._post(server, peer, message)
            for step in output.steps:
                if isinstance(step, Append) and not step.batch.encoded:
                    encode_batch(step.batch)
            self.steps[server] += output.steps
            if output.serial:
                self.disks[server].append((output.serial, output.steps, output.send_when_durable))
            self.streams += [(server, request) for request in output.stream]

    def sync(self, server: int) -> None:
        """All that this server's disk was given is durable."""
        disk = self.disks[server]
        while disk:
            serial, _, messages = disk.popleft()
            for peer, message in messages:
                self._post(server, peer, message)
            self[server].durable(serial, self.now)
        self.take(server)

    def deliver(self, source: int, target: int) -> None:
        """All that is under way from one to the other."""
        wire = self.wires[source, target]
        while wire:
            self[target].receive(source, wire.popleft(), self.now)
        self.take(target)

    def _post(self, source: int, target: int, message: Message) -> None:
        self.said.append((source, target, message))
        if (source, target) in self.wires:
            self.wires[source, target].append(message)

    # ---- all of it

    def settle(self, passed_s: float = 0.0, *, syncing: bool = True) -> None:
        """Until nothing moves any more, after some time has passed for everyone."""
        self.now += passed_s
        for server, member in self.members.items():
            member.tick(self.now)
            self.take(server)
        self.move(syncing=syncing)

    def move(self, *, syncing: bool = True) -> None:
        """Until nothing moves any more, before anybody's next tick."""
        moved = True
        while moved:
            moved = False
            for server in self.members:
                self.take(server)
                if syncing and self.disks[server]:
                    self.sync(server)
                    moved = True
            for source, target in list(self.wires):
                if self.wires[source, target]:
                    self.deliver(source, target)
                    moved = True

    def sent(self, kind: type, source: int = 0, target: int = 0) -> list[Message]:
        return [
            message
            for one, other, message in self.said
            if isinstance(message, kind) and source in (0, one) and target in (0, other)
        ]

    def propose(self, server: int, number: int = 1, body: bytes = b"x") -> None:
        """So many entries, each forwarded by itself."""
        for _ in range(number):
            assert self[server].forward(1, body)
        self[server].propose(0, 0, 0, self.now)
        self.take(server)


def ensemble(*members: Participant) -> Group:
    """All connected, settled, led."""
    group = Group(*members)
    servers = list(group.members)
    for index, one in enumerate(servers):
        for other in servers[index + 1 :]:
            group.connect(one, other)
    group.settle()
    group.settle(1.0)
    return group


def three(**of_the_third: object) -> Group:
    """Server 3 leads epoch 1: among equals the highest id."""
    group = ensemble(make_participant(1), make_participant(2), make_participant(3, **of_the_third))  # type: ignore[arg-type]
    assert group[3].leads
    return group


def follower_of(epoch: int, **arguments: object) -> Participant:
    """Server 1, connected with server 2, which it has promised `epoch`; nothing is durable yet."""
    participant = make_participant(1, **arguments)  # type: ignore[arg-type]
    participant.connected(2, 0.0)
    participant.receive(2, Prepare(epoch), 0.0)
    return participant


def all_durable(participant: Participant) -> list[object]:
    """Take everything and let it be durable; all messages, in their order."""
    messages: list[object] = []
    while output := participant.take():
        messages += [message for _, message in output.send_now]
        messages += [message for _, message in output.send_when_durable]
        if output.serial:
            participant.durable(output.serial, 0.0)
    return messages


def canvass(accepted: int, last: int, *, choice: int = 0, priority: int = 0, leader: int = 0, **more: int) -> Canvass:
    return Canvass(
        more.get("promised", accepted), accepted, last, priority, choice, leader, 0, bool(more.get("voter", 1))
    )


def inviting(**arguments: object) -> Participant:
    """Server 2, which server 1 wants to follow: its own promise is durable, and it has asked for that of server 1."""
    participant = make_participant(2, **arguments)  # type: ignore[arg-type]
    participant.connected(1, 0.0)
    participant.receive(1, canvass(0, 0, choice=2), 0.0)
    participant.tick(1.0)
    all_durable(participant)
    return participant
