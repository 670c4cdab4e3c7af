"""A small ensemble that keeps every promise, in one thread: what it lets clients see must satisfy every checker.

One log, three servers that apply it each in its own time, clients that are connected to one of them at a time. It is
built from the product's machine and table of watches; the checkers have their own.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from coord.codec.batch import encode_batch
from coord.codec.entries import encode_run
from coord.model.acl import OPEN_ACL
from coord.model.entries import Batch, Run, zxid_of
from coord.model.replies import Change, Done, Effect, Event, Failed, Reply, Synced
from coord.model.requests import (
    EPHEMERAL,
    PERSISTENT_SEQUENTIAL,
    AddWatch,
    CheckVersion,
    Create,
    CreateSession,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Request,
    SetData,
    SetWatches,
    Sync,
)
from coord.replica.watches import Watches
from coord.state.machine import Machine
from tools.check.history import CONNECTED, SUSPENDED, WRITES, Recorder, lasting
from tools.check.replay import due

SERVERS = 3


@dataclass(eq=False)
class Connected:
    """A client and its connection: requests on their way up, replies and events on their way down."""

    name: str
    session: int
    server: int
    seen: int = 0
    up: deque = field(default_factory=deque)  # (operation, request, linearizable)
    waiting: deque = field(default_factory=deque)  # the same, at the server; writes are in the log already
    down: deque = field(default_factory=deque)  # (operation, reply, zxid) or (None, event, zxid)
    open: dict = field(default_factory=dict)  # operations without an answer: their requests
    armed: dict = field(default_factory=dict)  # (table, path): as the client's library remembers its watches


class Ensemble:
    def __init__(self, seed: int = 0, clients: int = 3) -> None:
        self.random = Random(seed)
        self.now = 0
        self.recorder = Recorder(lambda: self.now)
        self.log: list[tuple[Run, Request]] = []
        self.machines = [Machine() for _ in range(SERVERS)]
        self.watches = [Watches() for _ in range(SERVERS)]
        self.owners: dict[int, tuple[Connected, int]] = {}  # place in the log: whose operation it is
        self.barriers: dict[int, int] = {}  # operation: how long the log was
        self.clients = [Connected("abcdefgh"[n], n + 1, n % SERVERS) for n in range(clients)]
        for client in self.clients:
            self.append(0, CreateSession(client.session, b"secret", 4000))
        self.catch_up()
        for client in self.clients:
            self.recorder.session(client.name, client.session, CONNECTED)

    # ---- the log

    def append(self, session: int, request: Request) -> int:
        self.log.append((Run(0, 0, 0, session, 0, (), (request,)), request))
        return len(self.log)

    def batches(self) -> list[Batch]:
        found = []
        for place, (run, _) in enumerate(self.log, 1):
            previous = zxid_of(1, place - 1) if place > 1 else 0
            batch = Batch(1, zxid_of(1, place), 1, previous, place * 10, 0, 0, encode_run(run))
            encode_batch(batch)
            found.append(batch)
        return found

    def applied(self, server: int) -> int:
        return self.machines[server].zxid & (1 << 40) - 1

    def apply_next(self, server: int) -> bool:
        place = self.applied(server) + 1
        if place > len(self.log):
            return False
        machine, (run, request) = self.machines[server], self.log[place - 1]
        effects: list[Effect] = []
        reply = lasting(machine.apply(zxid_of(1, place), place * 10, run, request, effects))
        for change in effects:
            if isinstance(change, Change):
                for watcher, kind, path, _ in self.watches[server].fire(change):
                    watcher.down.append((None, Event(kind, path, machine.zxid), machine.zxid))
        if place in self.owners:
            client, operation = self.owners[place]
            if client.server == server and client.waiting and client.waiting[0][0] == operation:
                client.waiting.popleft()
                client.down.append((operation, reply, machine.zxid))
        for client in self.clients:
            if client.server == server:
                self.serve(client)
        return True

    def catch_up(self) -> None:
        for server in range(SERVERS):
            while self.apply_next(server):
                pass

    # ---- a server and one client

    def take(self, client: Connected) -> bool:
        """The server gets the next request."""
        if not client.up:
            return False
        operation, request, linearizable = client.up.popleft()
        client.waiting.append((operation, request, linearizable))
        if type(request) in WRITES:
            self.owners[self.append(client.session, request)] = client, operation
        elif linearizable or isinstance(request, Sync):
            self.barriers[operation] = len(self.log)
        self.serve(client)
        return True

    def serve(self, client: Connected) -> None:
        while client.waiting:
            operation, request, _ = client.waiting[0]
            late = self.applied(client.server) < self.barriers.get(operation, 0)
            if type(request) in WRITES or late:
                return
            client.waiting.popleft()
            client.down.append((operation, self.answer(client, request), self.machines[client.server].zxid))

    def answer(self, client: Connected, request: Request) -> Reply:
        machine, watches = self.machines[client.server], self.watches[client.server]
        if isinstance(request, Sync):
            return Synced(request.path)
        if isinstance(request, AddWatch):
            watches.watch_persistently(request.path, client, request.mode == 1)
            return Done()
        if isinstance(request, SetWatches):
            fired = due(machine, request)
            for kind, path in fired:
                client.down.append((None, Event(kind, path, -1), -1))
            told = {path for _, path in fired}
            for path in (*request.data, *request.exists):
                if path not in told:
                    watches.watch_data(path, client)
            for path in request.persistent:
                watches.watch_persistently(path, client, False)
            for path in request.recursive:
                watches.watch_persistently(path, client, True)
            return Done()
        reply = lasting(machine.read((), client.session, request))
        missing = isinstance(reply, Failed) and reply.code == -101 and isinstance(request, Exists)
        if getattr(request, "watch", False) and (missing or not isinstance(reply, Failed)):
            arm = watches.watch_children if isinstance(request, GetChildren) else watches.watch_data
            arm(request.path, client)
        return reply

    # ---- a client

    def call(self, client: Connected, request: Request, linearizable: bool = False) -> int:
        operation = self.recorder.call(client.name, client.session, request, (), linearizable)
        client.open[operation] = request
        client.up.append((operation, request, linearizable))
        return operation

    def deliver(self, client: Connected) -> bool:
        if not client.down:
            return False
        operation, what, zxid = client.down.popleft()
        client.seen = max(client.seen, zxid)
        if operation is None:
            self.recorder.notified(client.name, client.session, what)
            for table in ("data", "exists", "children"):
                client.armed.pop((table, what.path), None)
            return True
        request = client.open.pop(operation)
        failed = isinstance(what, Failed)
        if isinstance(request, Exists) and request.watch:
            client.armed["exists" if failed else "data", request.path] = None
        elif isinstance(request, GetData) and request.watch and not failed:
            client.armed["data", request.path] = None
        elif isinstance(request, AddWatch):
            client.armed["recursive" if request.mode else "persistent", request.path] = None
        self.recorder.returned(operation, what, zxid)
        return True

    def do(self, client: Connected, request: Request, linearizable: bool = False) -> Reply:
        """From call to return, with all servers up to date."""
        self.now += 1
        operation = self.call(client, request, linearizable)
        self.now += 1
        while self.take(client) or any(self.apply_next(server) for server in range(SERVERS)):
            pass
        for each in self.clients:
            while operation in client.open and self.deliver(client):
                pass
            while self.deliver(each):
                pass
        self.now += 1
        return next(each.reply for each in self.recorder.records if getattr(each, "reply", None) is not None
                    and each.operation == operation)  # fmt: skip

    def disconnect(self, client: Connected) -> None:
        """What the server has may still happen; what is on its way is gone. Then on to a server that is as far."""
        for operation in client.open:
            self.recorder.lost(operation)
        self.recorder.session(client.name, client.session, SUSPENDED)
        self.watches[client.server].forget(client)
        for queue in (client.up, client.waiting, client.down, client.open):
            queue.clear()
        client.server = self.random.randrange(SERVERS)
        while self.machines[client.server].zxid < client.seen:
            self.apply_next(client.server)
        self.recorder.session(client.name, client.session, CONNECTED)
        if client.armed:
            lists = {name: tuple(path for table, path in client.armed if table == name)
                     for name in ("data", "exists", "persistent", "recursive")}  # fmt: skip
            request = SetWatches(
                client.seen, lists["data"], lists["exists"], (), lists["persistent"], lists["recursive"]
            )
            client.armed = {key: None for key in client.armed if key[0] in ("persistent", "recursive")}
            for table in ("data", "exists"):
                client.armed.update({(table, path): None for path in lists[table]})
            self.call(client, request)

    # ---- chance

    def some_request(self) -> tuple[Request, bool]:
        chance = self.random
        path = chance.choice(["/a", "/b", "/a/x", "/a/y"])
        watch = chance.random() < 0.4
        version = chance.choice([-1, -1, -1, 0, 1])
        data = b"%d" % chance.randrange(1000)
        requests: list[tuple[Request, bool]] = [
            (Create(path, data, OPEN_ACL), False),
            (Create(path, data, OPEN_ACL), False),
            (Create("/a/s-", data, OPEN_ACL, PERSISTENT_SEQUENTIAL), False),
            (Create("/b", data, OPEN_ACL, EPHEMERAL), False),
            (Delete(path, version), False),
            (SetData(path, data, version), False),
            (SetData(path, data, -1), False),
            (Multi((CheckVersion(path, version), SetData(path, data))), False),
            (Multi((Create("/a/m", b"", OPEN_ACL), Delete("/a/m"))), False),
            (GetData(path, watch), False),
            (GetData(path), True),
            (Exists(path, watch), False),
            (GetChildren("/a"), chance.random() < 0.5),
            (AddWatch(path, chance.randrange(2)), False),
            (Sync("/"), False),
        ]
        return chance.choice(requests)

    def run(self, steps: int, losses: bool = True, window: int = 1) -> "Ensemble":
        """Let chance decide what moves; at the end everybody catches up, and all that is on its way arrives."""
        chance = self.random
        for _ in range(steps):
            self.now += chance.randrange(3)
            client = chance.choice(self.clients)
            action = chance.random()
            if losses and action < 0.02:
                self.disconnect(client)
            elif action < 0.3 and len(client.open) < window:
                self.call(client, *self.some_request())
            elif action < 0.5:
                self.take(client)
            elif action < 0.75:
                self.apply_next(chance.randrange(SERVERS))
            else:
                self.deliver(client)
        for client in self.clients:
            while self.take(client):
                pass
        self.catch_up()
        for client in self.clients:
            while self.deliver(client):
                self.now += 1
        return self
