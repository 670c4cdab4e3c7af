"""The onlooker of a simulated ensemble: it knows what was committed, and compares everyone with that.

`Ghost` keeps the one list of committed batches, applies it to a machine of its own, and remembers what each position
looked like. Everything here raises Violation, with the invariant's number (I1-I18 of the house's list of invariants).
"""

from bisect import bisect_right
from collections import Counter
from zlib import crc32

from coord.codec.entries import decode_runs
from coord.model.entries import Batch, Run, counter_of, epoch_of
from coord.model.errors import SessionExpiredError, SessionMovedError, UnacknowledgedError
from coord.model.message import message
from coord.model.replies import Change, Created, Effect, Failed, Repeated, SessionEnded, SessionMoved
from coord.model.requests import Create, CreateSession, ReapNode, SetData
from coord.state.machine import Machine
from tools.simulate.states import fingerprint

REFUSED = (SessionExpiredError.code, SessionMovedError.code)
"""A write that came too late, by a connection that is no longer its session's: it changes nothing."""


class Violation(AssertionError):
    """An invariant does not hold."""


NUMBER_NOT_USED = (*REFUSED, UnacknowledgedError.code)
"""A numbered write that fails so was not done, and may still come by another connection."""


@message
class Applied:
    """What became of a client's numbered write."""

    zxid: int
    code: int
    path: str


@message
class Version:
    """A znode's data from one zxid on."""

    zxid: int
    kind: int
    data: bytes | None


class Ghost:
    """The committed history, as it grows."""

    def __init__(self) -> None:
        self.last = 0
        self.time_ms = 0
        self.ends: dict[int, int] = {0: 0}  # the last committed zxid of each epoch that has any, ascending
        self.crcs: dict[int, int] = {0: 0}  # of the committed batches, by last zxid
        self.machine = Machine()
        self.digests: dict[int, int] = {0: self.machine.digest}
        self.proposed: dict[int, int] = {}  # crcs of the batches as the leaders of their epochs made them, by last zxid
        self.fingerprints: dict[int, int] = {}  # of whole states, where one was looked at, by zxid
        self.writes: dict[bytes, Applied] = {}  # by the number in the data
        self.latest: dict[int, int] = {}  # by session: the number of its last write that was not refused to it
        self.versions: dict[str, list[Version]] = {}  # by path
        self.sessions_opened: dict[int, int] = {}  # session: zxid
        self.sessions_ended: dict[int, int] = {}
        self.leaders: dict[int, tuple[int, int]] = {}  # epoch: (server, its life)
        self.situations: Counter[str] = Counter()
        self._effects: list[Effect] = []

    def begin(self, machine: Machine, versions: dict[str, Version]) -> None:
        """The history did not begin at nothing, but at this state."""
        self.machine = machine
        self.last = machine.zxid
        self.ends[epoch_of(self.last)] = self.last
        self.crcs[self.last] = 0
        self.digests[self.last] = machine.digest
        self.versions = {path: [version] for path, version in versions.items()}

    # ---- agreement

    def compare(self, server: int, batch: Batch) -> bool:
        """A server holds `batch` for committed; True if it is the first to do so."""
        known = self.crcs.get(batch.last)
        if known is not None:
            if known != crc32(batch.encoded):
                raise Violation(f"I8: server {server} has another committed batch at {batch.last:#x}")
            return False
        if batch.last <= self.last:
            raise Violation(f"I8: server {server} commits {batch.last:#x}, which the committed history lacks")
        if batch.previous != self.last:
            raise Violation(
                f"I4: server {server} commits {batch.last:#x} after {batch.previous:#x}, not {self.last:#x}"
            )
        return True

    def propose(self, server: int, batch: Batch) -> None:
        """The leader of the batch's epoch has made it."""
        crc = crc32(batch.encoded)
        if self.proposed.setdefault(batch.last, crc) != crc:
            raise Violation(f"I12: server {server} has handed out {batch.last:#x} twice, for different batches")

    def extend(self, batch: Batch) -> None:
        """`batch` is committed from now on."""
        check_successor(self.last, batch)
        if self.proposed.get(batch.last) != crc32(batch.encoded):
            raise Violation(f"I12: the batch {batch!r} is committed, but is not as its epoch's leader made it")
        if batch.time_ms < self.time_ms:
            raise Violation(f"the time of {batch.last:#x} is {batch.time_ms}, before {self.time_ms}")
        self.time_ms = batch.time_ms
        self.last = self.ends[batch.epoch] = batch.last
        self.crcs[batch.last] = crc32(batch.encoded)
        self._apply(batch)
        self.digests[batch.last] = self.machine.digest
        self._check_ephemerals()

    def _apply(self, batch: Batch) -> None:
        machine, zxid = self.machine, batch.first
        for run in decode_runs(batch.body):
            if not machine.admit(run):
                self.situations["a run came twice and was skipped"] += 1
                for _ in run.requests:
                    machine.skip(zxid, batch.time_ms)
                    zxid += 1
                continue
            for index, request in enumerate(run.requests):
                self._effects.clear()
                number = run.number + index if run.number else 0
                reply = machine.apply(zxid, batch.time_ms, run, request, self._effects, number)
                if isinstance(reply, Repeated):
                    self.situations["a numbered write came again and was answered from what was kept"] += 1
                elif not number or not isinstance(reply, Failed) or reply.code not in NUMBER_NOT_USED:
                    self._remember(zxid, run, request, reply)
                zxid += 1
        if zxid != batch.last + 1:
            raise Violation(f"the batch to {batch.last:#x} holds {zxid - batch.first} entries, not {batch.count}")

    def _remember(self, zxid: int, run: Run, request: object, reply: object) -> None:
        if isinstance(request, Create | SetData) and request.data:
            if request.data in self.writes:
                raise Violation(
                    f"I12: the write {request.data!r} was applied at {self.writes[request.data]} and {zxid:#x}"
                )
            code = reply.code if isinstance(reply, Failed) else 0
            self.writes[request.data] = Applied(zxid, code, reply.path if isinstance(reply, Created) else request.path)
            if code not in REFUSED:
                self._check_order(run.session, request.data)
        if isinstance(request, CreateSession) and not isinstance(reply, Failed):
            self.sessions_opened[request.session] = zxid
        if isinstance(request, ReapNode) and self._effects:
            self.situations["a container or TTL znode was reaped"] += 1
        for effect in self._effects:
            if isinstance(effect, Change):
                data = self.machine.tree.nodes[effect.path].data if effect.path in self.machine.tree.nodes else None
                self.versions.setdefault(effect.path, []).append(Version(zxid, effect.kind, data))
            elif isinstance(effect, SessionEnded):
                self.sessions_ended[effect.session] = zxid
                self.situations["a session expired" if effect.expired else "a session was closed"] += 1
            elif isinstance(effect, SessionMoved) and not isinstance(request, CreateSession):
                self.situations["a session went on at another connection"] += 1

    def _check_order(self, session: int, data: bytes) -> None:
        """I13: what a session writes is applied in the order in which it was sent."""
        number = int(data.rpartition(b":")[2])
        if number <= self.latest.get(session, 0):
            raise Violation(
                f"I13: the write {data!r} is applied after the number {self.latest[session]} of its session"
            )
        self.latest[session] = number

    def _check_ephemerals(self) -> None:
        """I16: owned by live sessions, and known to them."""
        nodes = self.machine.tree.nodes
        owned = sum(len(session.ephemerals) for session in self.machine.sessions.values())
        for path, znode in nodes.items():
            if znode.ephemeral_owner:
                owned -= 1
                session = self.machine.sessions.get(znode.ephemeral_owner)
                if session is None or path not in session.ephemerals:
                    raise Violation(f"I16: {path} belongs to the session {znode.ephemeral_owner:#x}, which is not")
        if owned:
            raise Violation(f"I16: sessions own {owned} ephemerals that are not there")

    def last_before(self, epoch: int) -> int:
        """Where the committed history of all earlier epochs ends, as far as it is known."""
        return max(last for other, last in self.ends.items() if other < epoch)

    # ---- what the state was

    def version_at(self, path: str, zxid: int) -> Version | None:
        """The last change of `path` up to `zxid`."""
        versions = self.versions.get(path, [])
        index = bisect_right(versions, zxid, key=lambda version: version.zxid)
        return versions[index - 1] if index else None

    def first_change_after(self, path: str, zxid: int) -> Version | None:
        versions = self.versions.get(path, [])
        index = bisect_right(versions, zxid, key=lambda version: version.zxid)
        return versions[index] if index < len(versions) else None

    def check_digest(self, server: int, zxid: int, digest: int) -> None:
        """I10: a server's state is that of the committed history."""
        if zxid not in self.digests:
            raise Violation(f"I6: server {server} applied up to {zxid:#x}, which is not committed")
        if self.digests[zxid] != digest:
            raise Violation(f"I10: server {server} has the digest {digest:x} at {zxid:#x}, not {self.digests[zxid]:x}")

    def check_state(self, server: int, machine: Machine) -> None:
        """I10: the whole of it, as far as somebody else's at this position was looked at."""
        own = fingerprint(machine)
        if machine.zxid == self.last and machine is not self.machine:
            self.fingerprints.setdefault(self.last, fingerprint(self.machine))
        known = self.fingerprints.setdefault(machine.zxid, own)
        if known != own:
            raise Violation(f"I10: server {server} has another state at {machine.zxid:#x}, though perhaps that digest")

    def check_leader(self, epoch: int, server: int, life: int) -> bool:
        """I11: an epoch has one established leader. True the first time."""
        known = self.leaders.setdefault(epoch, (server, life))
        if known != (server, life):
            raise Violation(f"I11: epoch {epoch} has the leaders {known} and {(server, life)} (server, life)")
        return True


def check_successor(last: int, batch: Batch) -> None:
    """I4: within an epoch the next counter, in a later epoch the first."""
    if batch.previous != last:
        raise Violation(f"I4: the batch {batch.first:#x} follows {batch.previous:#x}, not {last:#x}")
    same = epoch_of(last) == batch.epoch and batch.first == last + 1
    later = epoch_of(last) < batch.epoch and counter_of(batch.first) == 1
    if not (same or later) or epoch_of(batch.last) != batch.epoch:
        raise Violation(f"I4: the batch {batch.first:#x}..{batch.last:#x} of epoch {batch.epoch} follows {last:#x}")
