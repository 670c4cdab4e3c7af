"""A machine with a hand on it: zxids and time are counted, requests are put into runs, effects are kept."""

from coord.model.acl import OPEN_ACL, Acl, Identity
from coord.model.entries import Run
from coord.model.errors import CoordError
from coord.model.replies import Change, Created, Effect, Failed, Reply
from coord.model.requests import Create, CreateSession, Read, Write
from coord.state.kept import plain_of
from coord.state.machine import Machine
from coord.state.sessions import Session
from coord.state.snapshot import Restoring

ADDRESS: Identity = ("ip", "10.1.2.3")
ANN: Identity = ("digest", "ann:hash-of-ann")
BOB: Identity = ("digest", "bob:hash-of-bob")
SUPER: Identity = ("super", "")
PASSWORD = b"sixteen bytes..."


class World:
    """Session 1 is open on server 1."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.zxid = 100
        self.time_ms = 1_000_000
        self.effects: list[Effect] = []  # of the last request
        self.open(1)

    def run(self, *requests: Write, session: int = 1, origin: int = 1, identities: tuple[Identity, ...] = ()) -> Run:
        return Run(origin, 0, 0, session, 0, (ADDRESS, *identities), requests)

    def do(
        self,
        request: Write,
        *identities: Identity,
        session: int = 1,
        origin: int = 1,
        number: int = 0,
        acked: int = 0,
    ) -> Reply:
        self.zxid += 1
        self.time_ms += 10
        self.effects = []
        run = Run(origin, 0, 0, session, number, (ADDRESS, *identities), (request,), acked)
        return self.machine.apply(self.zxid, self.time_ms, run, request, self.effects, number)

    def code(self, request: Write, *identities: Identity, session: int = 1, origin: int = 1) -> int:
        """0, or the error's."""
        return code_of(self.do(request, *identities, session=session, origin=origin))

    def open(self, session: int, origin: int = 1) -> Reply:
        return self.do(CreateSession(session, PASSWORD, 4000), session=0, origin=origin)

    def make(self, *paths: str, data: bytes | None = b"", acl: Acl = OPEN_ACL, kind: int = 0, session: int = 1) -> str:
        """Create these; the last one's real path."""
        for path in paths:
            reply = self.do(Create(path, data, acl, kind), session=session)
            assert isinstance(reply, Created), reply
        return reply.path

    def read(self, request: Read, *identities: Identity, session: int = 1) -> Reply:
        return self.machine.read((ADDRESS, *identities), session, request)

    def changes(self) -> list[tuple[int, str]]:
        return [(effect.kind, effect.path) for effect in self.effects if isinstance(effect, Change)]

    def node(self, path: str):
        return self.machine.tree.nodes[path]


def code_of(reply: Reply) -> int:
    return reply.code if isinstance(reply, Failed) else 0


def error_of(reply: Reply) -> CoordError:
    assert isinstance(reply, Failed), reply
    return reply.error


def everything(machine: Machine) -> dict[str, object]:
    """The whole state as plain values, listings in their order."""
    tree = machine.tree
    return {
        "zxid": machine.zxid,
        "time": machine.time_ms,
        "digest": machine.digest,
        "bytes": tree.size_bytes,
        "ephemerals": tree.ephemerals,
        "znodes": [(path, znode.image(), list(znode.children or ())) for path, znode in tree.nodes.items()],
        "sessions": {
            each.id: (each.password, each.timeout_ms, each.owner, list(each.ephemerals), ledger_of(each))
            for each in machine.sessions.values()
        },
        "origins": dict(machine.origins),
        "servers": dict(machine.servers),
        "quotas": {prefix: (each.limits, each.count, each.size) for prefix, each in tree.quotas.items()},
        "reapable": machine.reapable(1 << 60, 1, 1 << 30),
    }


def ledger_of(session: Session) -> object:
    """What is kept for a session, as plain values."""
    ledger = session.ledger
    if ledger is None:
        return None
    kept = [(zxid, plain_of(reply)) for zxid, reply, _ in ledger.kept]
    return ledger.applied, ledger.acked, ledger.bytes, kept


def numbers(machine: Machine, session: int, step: int | None, behind: int) -> tuple[int, int]:
    """(number, acked) of a write: `step` after the last one done (None: no number), `behind` not acknowledged."""
    if step is None or session not in machine.sessions:
        return 0, 0
    applied = machine.sessions[session].applied
    return max(0, applied + step), max(0, applied - behind)


def whole_digest(machine: Machine) -> int:
    """The digest computed anew from every znode and session."""
    terms = [znode.term() for znode in machine.tree.nodes.values()]
    terms += [session.term() for session in machine.sessions.values()]
    return sum(terms) % 2**64


def restored(chunks: list[bytes]) -> Machine:
    restoring = Restoring()
    for chunk in chunks:
        restoring.add(chunk)
    return restoring.finish()
