"""The state machine taken through the log once more, entry by entry, by the very function that every server uses.

Promises: the state after an entry is the one that the servers had; where a batch says what digest its leader's state
had, the state here is compared with it. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterator

from coord.codec.entries import decode_runs
from coord.codec.errors import CodecError
from coord.model.entries import Batch, Run
from coord.model.message import message
from coord.model.replies import Effect, Reply, SessionEnded
from coord.model.requests import Write
from coord.past.errors import PastDamaged
from coord.state.machine import Machine

DIGESTS_KEPT = 10_000
"""Digests at the ends of batches that are remembered: a leader's digest comes a few batches late."""


@message
class Entry:
    """One log position, as it stands in the log. `number` is the client's own, 0 if it gives none."""

    zxid: int
    time_ms: int
    run: Run
    request: Write
    number: int


@message
class Outcome:
    """What an entry led to. No reply: its run had come before, and nothing was done."""

    reply: Reply | None
    effects: list[Effect]


def entries_of(batch: Batch) -> Iterator[Entry]:
    """Its entries, in order. Raises PastDamaged if it holds anything else."""
    for _, entry in _with_runs(batch):
        yield entry


def _with_runs(batch: Batch) -> Iterator[tuple[bool, Entry]]:
    """Each entry, and whether a run begins with it."""
    try:
        runs = decode_runs(batch.body)
    except CodecError as error:
        raise PastDamaged(f"the batch {batch.first:#x} was written whole, and cannot be understood: {error}") from error
    zxid = batch.first
    for run in runs:
        number = run.number
        for index, request in enumerate(run.requests):
            yield index == 0, Entry(zxid, batch.time_ms, run, request, number)
            zxid += 1
            number += bool(number)
    if zxid != batch.last + 1:
        raise PastDamaged(f"the batch {batch.first:#x} says {batch.count} entries, and holds {zxid - batch.first}")


class Replay:
    """A machine, and where it stands in a log."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.committed = machine.zxid  # known to be: a leader had applied it
        self.digests_compared = 0
        self._digests: OrderedDict[int, int] = OrderedDict({machine.zxid: machine.digest})
        self._new = True  # whether the entry's run had not come before
        self._addresses: dict[int, str] = {}  # from which the open sessions last wrote
        self._ended: list[int] = []  # sessions that the last entry has ended

    def __repr__(self) -> str:
        return f"<Replay {self.machine}>"

    def pending(self, batch: Batch) -> Iterator[Entry]:
        """A batch's entries; `do` each before the next one is asked for. After leaving in the middle no batch follows.

        Raises PastDamaged where the batch does not follow what was done, or the states differ.
        """
        machine = self.machine
        if batch.previous != machine.zxid:
            raise PastDamaged(
                f"the batch {batch.first:#x} follows {batch.previous:#x}, but the state is at {machine.zxid:#x}"
            )
        self._compare(batch)
        for begins, entry in _with_runs(batch):
            if begins:
                self._new = machine.admit(entry.run)
            yield entry
        self._digests[machine.zxid] = machine.digest
        if len(self._digests) > DIGESTS_KEPT:
            self._digests.popitem(last=False)
        machine.notices.clear()

    def do(self, entry: Entry) -> Outcome:
        """Apply an entry that is pending."""
        for session in self._ended:
            self._addresses.pop(session, None)
        self._ended = []
        if not self._new:
            self.machine.skip(entry.zxid, entry.time_ms)
            return Outcome(None, [])
        run, effects = entry.run, list[Effect]()
        reply = self.machine.apply(entry.zxid, entry.time_ms, run, entry.request, effects, entry.number)
        if run.session and (where := address(run)):
            self._addresses[run.session] = where
        self._ended = [effect.session for effect in effects if type(effect) is SessionEnded]
        return Outcome(reply, effects)

    def apply(self, batch: Batch) -> None:
        """All of a batch."""
        for entry in self.pending(batch):
            self.do(entry)

    def address_of(self, session: int) -> str:
        """From where an open session, or one that the last entry has ended, last wrote; empty if that is not known."""
        return self._addresses.get(session, "")

    def hear(self, batch: Batch) -> None:
        """What a batch proves without being done: its leader had applied the log so far."""
        self.committed = max(self.committed, batch.digest_zxid)

    def _compare(self, batch: Batch) -> None:
        self.hear(batch)
        mine = self._digests.get(batch.digest_zxid)
        if mine is None:
            return
        self.digests_compared += 1
        if mine != batch.digest:
            raise PastDamaged(
                f"at zxid {batch.digest_zxid:#x} the state has the digest {mine:016x}, its leader's had "
                f"{batch.digest:016x}: the snapshot or the log is not what was written"
            )


def address(run: Run) -> str:
    """The client's, as its server saw it; empty if the run has none."""
    return next((name for scheme, name in run.identities if scheme == "ip"), "")
