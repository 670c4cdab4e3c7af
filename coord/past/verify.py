"""Whether a log is what was written, read from end to end and replayed."""

from contextlib import aclosing

from coord.model.entries import Batch
from coord.model.message import message
from coord.past.errors import PastDamaged, PastError
from coord.past.looking import SILENCE, Progress, head_of, load
from coord.past.replay import Replay, entries_of
from coord.past.source import Overview, Source


@message
class Checked:
    """What a whole log was found to be. `from_zxid` is the state that it was replayed from, None if there is none."""

    first: int
    last: int
    batches: int
    entries: int
    size_bytes: int
    from_zxid: int | None
    digests: int  # of leaders, that the replayed states were compared with
    snapshots: int  # stored ones, too


async def verify_log(source: Source, progress: Progress = SILENCE) -> Checked:
    """Read all of the log, understand every entry, and replay it as far as there is a state to begin with.

    Raises PastDamaged, with the place, if anything is not what was written.
    """
    overview = await source.overview()
    replay: Replay | None = None
    try:
        replay = await load(source, overview, None, progress)
    except PastDamaged:
        raise
    except PastError as error:
        progress.note(f"{error}; the log is read, and not replayed")
    start = replay.machine.zxid if replay is not None else None
    digests = await _digests_of(source, overview, progress)
    checked = Checked(overview.log_start, overview.log_start, 0, 0, 0, start, 0, 0)
    progress.begin("reading the log", overview.log_bytes)
    async with aclosing(source.batches(overview.log_start)) as batches:
        async for batch in batches:
            progress.advance(len(batch.encoded))
            if batch.previous != checked.last:
                raise PastDamaged(f"the batch {batch.first:#x} follows {batch.previous:#x}, not {checked.last:#x}")
            checked.batches += 1
            checked.entries += batch.count
            checked.size_bytes += len(batch.encoded)
            checked.last = batch.last
            _replay(replay, batch)
            if replay is not None and (digest := digests.get(batch.last)) is not None:
                if digest != replay.machine.digest:
                    raise PastDamaged(
                        f"at zxid {batch.last:#x} the log gives a state with the digest {replay.machine.digest:016x}, "
                        f"the snapshot there says {digest:016x}"
                    )
                checked.snapshots += 1
    checked.digests = replay.digests_compared if replay is not None else 0
    return checked


def _replay(replay: Replay | None, batch: Batch) -> None:
    if replay is None or batch.last <= replay.machine.zxid:
        for _ in entries_of(batch):
            pass
    else:
        replay.apply(batch)


async def _digests_of(source: Source, overview: Overview, progress: Progress) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in overview.snapshots:
        try:
            found[each.zxid] = (await head_of(source, each.zxid))[2]
        except PastDamaged as damaged:
            progress.note(str(damaged))
    return found
