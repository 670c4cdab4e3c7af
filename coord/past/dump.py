"""A log entry by entry: what was asked and, where there is a state to replay it from, what came of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from coord.model.entries import Batch
from coord.past.errors import PastDamaged, PastError
from coord.past.looking import SILENCE, Place, Progress, check_order, load, note_uncommitted, prove
from coord.past.replay import Entry, Outcome, Replay, entries_of
from coord.past.source import Overview, Source

Dumped = list[tuple[Entry, Outcome | None]]
"""The entries of a batch. No outcome: they stand before the first state that is kept."""


async def dump_log(
    source: Source, *, since: Place | None = None, until: Place | None = None, progress: Progress = SILENCE
) -> AsyncGenerator[Dumped, None]:
    """Every entry between two places, those of writes that failed included."""
    check_order(since, until)
    overview = await source.overview()
    replay = await _replay(source, overview, since, progress)
    start = overview.log_start if since is None or replay is None else replay.machine.zxid
    last = 0
    progress.begin("reading the log", overview.log_bytes)
    async with aclosing(source.batches(start)) as batches:
        async for batch in batches:
            progress.advance(len(batch.encoded))
            if until is not None and until.before(batch.first, batch.time_ms):
                if replay is not None:
                    await prove(replay, batch, batches)
                break
            shown = [
                (entry, outcome)
                for entry, outcome in _dumped(replay, batch)
                if (since is None or since.before(entry.zxid, entry.time_ms))
                and not (until is not None and until.before(entry.zxid, entry.time_ms))
            ]
            if shown:
                last = shown[-1][0].zxid
                yield shown
    if replay is not None:
        note_uncommitted(replay, overview, last, progress)


async def _replay(source: Source, overview: Overview, since: Place | None, progress: Progress) -> Replay | None:
    """From the state nearest to `since`, or else from the oldest; None if there is none at all."""
    for place in (since, None):
        try:
            return await load(source, overview, place, progress)
        except PastDamaged:
            raise
        except PastError as error:
            trouble = error
    progress.note(f"{trouble}; what came of the writes is not known")
    return None


def _dumped(replay: Replay | None, batch: Batch) -> Dumped:
    if replay is None or batch.last <= replay.machine.zxid:
        return [(entry, None) for entry in entries_of(batch)]
    return [(entry, replay.do(entry)) for entry in replay.pending(batch)]
