"""Looking back at a source: the state at a place in its log, and the way there.

Every look begins at a state that is there (a stored snapshot, or the empty tree while the log goes back to the very
beginning) and takes it forward. A snapshot that is damaged gives way to another, with a note.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from coord.model.entries import Batch
from coord.model.message import message
from coord.past.errors import PastDamaged, PastError
from coord.past.replay import Entry, Replay
from coord.past.source import Overview, Source
from coord.state.machine import Machine
from coord.state.snapshot import Restoring, SnapshotError, read_head


class Progress(Protocol):
    """Who hears how far a long look has come, and what is to be known of it."""

    def begin(self, what: str, total_bytes: int) -> None: ...

    def advance(self, size_bytes: int) -> None: ...

    def note(self, sentence: str) -> None: ...


class Silence:
    """Nobody hears."""

    def begin(self, what: str, total_bytes: int) -> None:
        pass

    def advance(self, size_bytes: int) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass


SILENCE = Silence()


@message
class Place:
    """Behind the entry `zxid`, or, where that is None, behind all that was done up to the moment `time_ms`."""

    zxid: int | None
    time_ms: int = 0

    def before(self, zxid: int, time_ms: int) -> bool:
        """Whether it lies before the entry `zxid` of that time."""
        return zxid > self.zxid if self.zxid is not None else time_ms > self.time_ms

    def known_behind(self, other: "Place") -> bool:
        """Whether it comes after another; a zxid and a moment cannot be told apart so."""
        if self.zxid is not None and other.zxid is not None:
            return self.zxid > other.zxid
        return self.zxid is None and other.zxid is None and self.time_ms > other.time_ms


def check_order(first: Place | None, second: Place | None) -> None:
    """Raise PastError if two places are known to be the wrong way round."""
    if first is not None and second is not None and first.known_behind(second):
        raise PastError(f"{shown(first)} does not come before {shown(second)}: give the earlier one first")


# ---- states


async def restored(source: Source, zxid: int, progress: Progress = SILENCE, size_bytes: int = 0) -> Machine:
    """The state in the snapshot at `zxid`. Raises PastDamaged if it is not what was written."""
    restoring = Restoring()
    progress.begin(f"loading the snapshot at {zxid:#x}", size_bytes)
    try:
        async with aclosing(source.snapshot(zxid)) as chunks:
            async for chunk in chunks:
                restoring.add(chunk)
                progress.advance(len(chunk))
        return restoring.finish()
    except SnapshotError as error:
        raise PastDamaged(f"the snapshot at {zxid:#x} in {source.name} is damaged: {error}") from error


async def head_of(source: Source, zxid: int) -> tuple[int, int, int]:
    """(zxid, time, digest) that a snapshot says of itself; only its first chunk is read."""
    async with aclosing(source.snapshot(zxid)) as chunks:
        async for chunk in chunks:
            try:
                return read_head(chunk)
            except SnapshotError as error:
                raise PastDamaged(f"the snapshot at {zxid:#x} in {source.name} is damaged: {error}") from error
    raise PastDamaged(f"the snapshot at {zxid:#x} in {source.name} is empty")


async def load(source: Source, overview: Overview, place: Place | None = None, progress: Progress = SILENCE) -> Replay:
    """A state that can be taken forward to `place` (None: through all of the log), as near to it as there is one."""
    found = await _starts(source, overview, place, progress)
    sizes = {each.zxid: each.size_bytes for each in overview.snapshots}
    for zxid in found:
        if zxid == 0:
            return Replay(Machine())
        try:
            return Replay(await restored(source, zxid, progress, sizes[zxid]))
        except PastDamaged as damaged:
            progress.note(f"{damaged}; another one is taken")
    raise PastError(await _nothing_there(source, overview, place))


async def _starts(source: Source, overview: Overview, place: Place | None, progress: Progress) -> list[int]:
    """The zxids of states to begin with, the best first."""
    usable = [each.zxid for each in overview.snapshots if each.zxid >= overview.log_start]
    if overview.log_start == 0:
        usable.insert(0, 0)
    if place is None:
        return usable
    if place.zxid is not None:
        alone = [each.zxid for each in overview.snapshots if each.zxid == place.zxid and each.zxid not in usable]
        return alone + [zxid for zxid in reversed(usable) if zxid <= place.zxid]
    found: list[int] = []
    for zxid in reversed(usable):
        try:
            if zxid == 0 or (await head_of(source, zxid))[1] <= place.time_ms:
                found.append(zxid)
        except PastDamaged as damaged:
            progress.note(f"{damaged}; another one is taken")
    return found


async def _nothing_there(source: Source, overview: Overview, place: Place | None) -> str:
    """Why no state can be taken forward to a place."""
    usable = await _starts(source, overview, None, SILENCE)
    where = "" if place is None else f"{shown(place)} cannot be shown: "
    if not usable:
        return (
            f"{where}{source.name} has no good snapshot from zxid {overview.log_start:#x} on, where its log begins; "
            "look at another server's"
        )
    return f"{where}{source.name} keeps the past from zxid {usable[0]:#x} on; look at another server's, or at a backup"


def shown(place: Place) -> str:
    if place.zxid is not None:
        return f"zxid {place.zxid:#x}"
    try:
        when = datetime.fromtimestamp(place.time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"a time {place.time_ms / 1000:.0f} s after 1970"  # that no calendar has
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


async def state_at(source: Source, place: Place, progress: Progress = SILENCE) -> Machine:
    """The state at a place. Raises PastError if it is not kept, or not yet there."""
    overview = await source.overview()
    replay = await load(source, overview, place, progress)
    async with aclosing(forward(replay, source, overview, place, progress)) as pending:
        async for entry in pending:
            replay.do(entry)
    reached = replay.machine.zxid
    if place.zxid not in (None, reached):
        progress.note(f"zxid {place.zxid:#x} is not in the log; this is the state at {reached:#x}, the last before it")
    note_uncommitted(replay, overview, reached, progress)
    return replay.machine


async def state_before(source: Source, overview: Overview, zxid: int, progress: Progress = SILENCE) -> Machine:
    """The state at `zxid` that an older one and the log lead to, whatever snapshot there is at `zxid` itself."""
    older = tuple([each for each in overview.snapshots if each.zxid != zxid])
    without = replace(overview, snapshots=older)
    replay = await load(source, without, Place(zxid), progress)
    async with aclosing(forward(replay, source, without, Place(zxid), progress)) as pending:
        async for entry in pending:
            replay.do(entry)
    return replay.machine


async def forward(
    replay: Replay, source: Source, overview: Overview, place: Place | None, progress: Progress = SILENCE
) -> AsyncGenerator[Entry, None]:
    """The entries up to a place (None: to the end), each to be done before the next one is asked for."""
    machine = replay.machine
    if place is not None and place.zxid is not None and machine.zxid >= place.zxid:
        return
    progress.begin("reading the log", overview.log_bytes)
    try:
        async with aclosing(source.batches(machine.zxid)) as batches:
            async for batch in batches:
                progress.advance(len(batch.encoded))
                if place is not None and place.before(batch.first, batch.time_ms):
                    await prove(replay, batch, batches)
                    return
                for entry in replay.pending(batch):
                    if place is not None and place.before(entry.zxid, entry.time_ms):
                        await prove(replay, batch, batches)
                        return
                    yield entry
    except PastDamaged as damaged:
        later = [each.zxid for each in overview.snapshots if each.zxid > machine.zxid]
        if not later:
            raise
        raise PastDamaged(
            f"{damaged}; what came after {later[0]:#x} can be looked at, a snapshot is there"
        ) from damaged
    if place is not None and place.zxid is not None and place.zxid > machine.zxid:
        raise PastError(f"zxid {place.zxid:#x} is not there: the log of {source.name} ends with {machine.zxid:#x}")


async def prove(replay: Replay, batch: Batch, following: AsyncIterator[Batch]) -> None:
    """Read on from a batch that is not done any more, until what was done is known to be committed. Mostly it is one.

    Closes nothing. What is damaged there is nothing to a look that ends before it: then there is just no proof.
    """
    replay.hear(batch)
    with suppress(PastError):
        while replay.committed < replay.machine.zxid:
            later = await anext(following, None)
            if later is None:
                break
            replay.hear(later)


def note_uncommitted(replay: Replay, overview: Overview, last: int, progress: Progress) -> None:
    """Say so if what was told goes further than what this log proves to be committed; alone a server commits all."""
    if last > replay.committed and not overview.committed and len(replay.machine.servers) > 1:
        progress.note(
            f"what came after zxid {replay.committed:#x} was in this server's log; whether a majority had it too, its "
            "log does not say"
        )
