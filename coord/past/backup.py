"""Making a backup: a state that a source has, and every batch after it.

The source's oldest state is taken unless only the newest is wanted: the further back a backup goes, the more moments
it can be restored to.
"""

import secrets
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import trio

from coord.model.message import message
from coord.past.backup_file import NAME_BYTES, BackupEnd, BackupHeader, BackupWriter
from coord.past.errors import CannotWrite, NobodyThere, PastError
from coord.past.looking import SILENCE, Progress
from coord.past.source import Overview, Source


@message
class BackedUp:
    """What a backup holds. It can be restored at `start` and at every later zxid up to `last`."""

    source: str
    start: int
    last: int
    time_ms: int  # of the last entry; 0 if there is none after `start`
    size_bytes: int


async def most_advanced(sources: Sequence[Source]) -> tuple[Source, list[PastError]]:
    """The source that knows most, and what keeps others from telling what they know. PastError if none does tell.

    All are asked at once. Of several reasons why not, one that came from a server is told rather than that it is away.
    """
    found: list[tuple[int, Source]] = []
    failures: list[PastError] = []

    async def ask(source: Source) -> None:
        try:
            overview = await source.overview()
        except PastError as error:
            failures.append(error)
        else:
            found.append((overview.last, source))

    async with trio.open_nursery() as nursery:
        for source in sources:
            nursery.start_soon(ask, source)
    if not found:
        raise min(failures, key=lambda error: isinstance(error, NobodyThere))
    return max(found, key=lambda each: each[0])[1], failures


async def back_up(
    source: Source, path: Path, made_ms: int, *, history: bool = True, progress: Progress = SILENCE
) -> BackedUp:
    """Write the backup `path`, which must not exist. `made_ms`: the time now.

    A state that turns out to be damaged, or is removed while it is read, gives way to the next one.
    """
    tried: set[int] = set()
    trouble: PastError | None = None
    while True:
        overview = await source.overview()
        starts = [start for start in starts_of(overview) if start not in tried]
        if not starts:
            if trouble is not None:
                raise trouble
            raise PastError(
                f"{source.name} has no state that its log, which begins at zxid {overview.log_start:#x}, goes on from; "
                "back up another server"
            )
        start = starts[0] if history else starts[-1]
        header = BackupHeader(secrets.token_bytes(NAME_BYTES), made_ms, overview.server, overview.cluster, start)
        writer = BackupWriter(path, header)
        try:
            try:
                await _copy(source, overview, start, writer, progress)
            except CannotWrite:
                raise
            except PastError as error:
                trouble = error
            else:
                end = await writer.finish()
                return _told(source, header, end, writer)
        finally:
            writer.abandon()
        tried.add(start)
        progress.note(f"{trouble}; another state is taken")


def starts_of(overview: Overview) -> list[int]:
    """The zxids of the states from which the log goes on, the oldest first; 0 is the empty state."""
    stored = [each.zxid for each in overview.snapshots if each.zxid >= overview.log_start]
    return [0, *stored] if overview.log_start == 0 else stored


async def _copy(source: Source, overview: Overview, start: int, writer: BackupWriter, progress: Progress) -> None:
    if start:
        size_bytes = next(each.size_bytes for each in overview.snapshots if each.zxid == start)
        progress.begin(f"the state at {start:#x}", size_bytes)
        async with aclosing(source.snapshot(start)) as chunks:
            async for chunk in chunks:
                writer.add_chunk(chunk)
                progress.advance(len(chunk))
    progress.begin("the log after it", overview.log_bytes)
    async with aclosing(source.batches(start)) as batches:
        async for batch in batches:
            writer.add_batch(batch)
            progress.advance(len(batch.encoded))


def _told(source: Source, header: BackupHeader, end: BackupEnd, writer: BackupWriter) -> BackedUp:
    return BackedUp(source.name, header.start, end.last, end.time_ms, writer.size_bytes)
