"""The history's writes applied once more, in the order of their zxids, by the very machine the servers run.

What the writes were is known from the servers' log if it is given (G of the invariants), and else from the clients'
acknowledged writes alone; then `unknowns.py` says which writes of unknown outcome are among them, and the machine has
no clock, and the sessions exist from the start. At each zxid the replies of the model stand beside those the clients
saw, and the changes of the tree are kept for the checker of watches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from coord.codec.batch import HEADER, HEADER_BYTES, decode_batch
from coord.codec.entries import decode_runs
from coord.codec.errors import CodecError
from coord.model.entries import Batch, Run
from coord.model.message import message
from coord.model.paths import parent_of
from coord.model.replies import CHILDREN_CHANGED, DATA_CHANGED, NODE_CREATED, NODE_DELETED, Change, Effect, Reply
from coord.model.requests import Read, SetWatches, Write
from coord.state.machine import Machine
from coord.state.sessions import Session
from tools.check.compare import difference
from tools.check.history import HistoryError, Operation

BODY_LENGTH_FIELD = 8
"""Where `HEADER` says how long the body is: logs may be given as one file of batches, back to back."""


@message
class Entry:
    """One write in the order of the log. `skipped`: the log has it, and it does nothing (it came twice).

    `number` is the one it has in its session, where its client numbers its writes.
    """

    zxid: int
    time_ms: int
    run: Run
    request: Write
    skipped: bool = False
    number: int = 0


@message
class Disagreement:
    """`operation` saw something else than the model shows at its zxid: `what` ends the sentence."""

    operation: Operation
    what: str


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    disagreements: list[Disagreement] = field(default_factory=list)
    changes: list[tuple[int, Change]] = field(default_factory=list)
    due: dict[int, list[tuple[int, str]]] = field(default_factory=dict)  # SetWatches: what fires at once (kind, path)
    applied: int = 0


def entries_of(batches: Iterable[Batch]) -> list[Entry]:
    """The log's entries in order; those of a run that came a second time are skipped, as every server does."""
    found: list[Entry] = []
    admitting = Machine()  # for nothing but its memory of what came from where
    last = 0
    for batch in batches:
        if batch.first <= last:
            raise HistoryError(f"the log goes from zxid {last:#x} back to {batch.first:#x}")
        zxid = batch.first
        for run in decode_runs(batch.body):
            skipped = not admitting.admit(run)
            for index, request in enumerate(run.requests):
                number = run.number + index if run.number else 0
                found.append(Entry(zxid, batch.time_ms, run, request, skipped, number))
                zxid += 1
        last = batch.last
        if zxid != last + 1:
            raise HistoryError(f"the batch at {batch.first:#x} says it has {batch.count} entries, and has others")
    return found


def batches_of(data: bytes) -> Iterator[Batch]:
    """The batches of a log that stand in `data`, one after the other, as they went to the disk and the network."""
    at = 0
    while at < len(data):
        if at + HEADER_BYTES > len(data):
            raise HistoryError(f"the log ends in the middle of a batch, at byte {at}")
        end = at + HEADER_BYTES + HEADER.unpack_from(data, at)[BODY_LENGTH_FIELD]
        try:
            yield decode_batch(data[at:end])
        except CodecError as error:
            raise HistoryError(f"the log's batch at byte {at} cannot be read: {error}") from None
        at = end


def entry_of(operation: Operation, zxid: int) -> Entry:
    """The entry an acknowledged write must have made."""
    request = operation.request
    run = Run(0, 0, 0, operation.session, 0, operation.identities, (request,))  # type: ignore[arg-type]
    return Entry(zxid, 0, run, request)  # type: ignore[arg-type]


def replay(
    entries: Sequence[Entry], operations: Sequence[Operation], has_log: bool, stop_at_first: bool = False
) -> Replayed:
    """Apply `entries` and compare what `operations` saw, each at its own zxid."""
    machine, result = Machine(), Replayed()
    if not has_log:
        for number in {operation.session: None for operation in operations if operation.session}:
            machine.add_session(Session(number, b"", 0, 0))
    seen = sorted((each for each in operations if each.reply is not None and each.position), key=_by_position)
    at = 0
    for entry in entries:
        while at < len(seen) and seen[at].position < entry.zxid:
            _look(machine, seen[at], result, has_log)
            at += 1
        if stop_at_first and result.disagreements:
            return result
        reply = _apply(machine, entry, result)
        while at < len(seen) and seen[at].position == entry.zxid and seen[at].is_write:
            if entry.run.session == seen[at].session and entry.request == seen[at].request:  # else once.py complains
                _compare(seen[at], reply, result, has_log)
            at += 1
    for operation in seen[at:]:
        _look(machine, operation, result, has_log)
    return result


def _by_position(operation: Operation) -> tuple[int, bool, int]:
    """At one zxid the write stands before those who see what it did."""
    return operation.position, not operation.is_write, operation.number


def _apply(machine: Machine, entry: Entry, result: Replayed) -> Reply | None:
    result.applied += 1
    if entry.skipped:
        machine.skip(entry.zxid, entry.time_ms)
        return None
    effects: list[Effect] = []
    reply = machine.apply(entry.zxid, entry.time_ms, entry.run, entry.request, effects, entry.number)
    result.changes += [(entry.zxid, effect) for effect in effects if isinstance(effect, Change)]
    return reply


def _compare(operation: Operation, model: Reply | None, result: Replayed, times: bool) -> None:
    seen = operation.reply
    assert seen is not None, "only what was answered is compared"
    if model is not None:
        what = difference(seen, model, times)
        if what is not None:
            result.disagreements.append(Disagreement(operation, what))


def _look(machine: Machine, operation: Operation, result: Replayed, times: bool) -> None:
    """A read or a SetWatches, at the state that is there now."""
    request = operation.request
    if isinstance(request, SetWatches):
        result.due[operation.number] = due(machine, request)
    elif operation.is_read:
        read: Read = request  # type: ignore[assignment]
        _compare(operation, machine.read(operation.identities, operation.session, read), result, times)


def due(machine: Machine, request: SetWatches) -> list[tuple[int, str]]:
    """Which of the watches to be re-armed fire at once, since something happened after what the client has seen."""
    nodes, seen = machine.tree.nodes, request.seen_zxid
    found: list[tuple[int, str]] = []
    for path in request.data:
        znode = nodes.get(path)
        if znode is None or znode.mzxid > seen:
            found.append((NODE_DELETED if znode is None else DATA_CHANGED, path))
    for path in request.children:
        znode = nodes.get(path)
        if znode is None or znode.pzxid > seen:
            found.append((NODE_DELETED if znode is None else CHILDREN_CHANGED, path))
    return found + [(NODE_CREATED, path) for path in request.exists if path in nodes]


def targets(request: object) -> set[str]:
    """The paths a request names."""
    named = [getattr(each, "path", None) for each in (request, *getattr(request, "requests", ()))]
    return {path for path in named if path is not None}


def touched(request: object) -> set[str]:
    """The paths whose znodes a request reads or writes, and their parents; a sequential create names a prefix."""
    paths = targets(request)
    return paths | {parent_of(path) for path in paths if path.startswith("/") and path != "/"}
