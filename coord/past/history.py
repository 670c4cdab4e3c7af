"""What changed a path, from the first change that is kept to the last."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from coord.model.message import message
from coord.past.changes import Change, Seen, Tracker, Wanted, seen
from coord.past.errors import PastError
from coord.past.looking import SILENCE, Place, Progress, check_order, forward, load, note_uncommitted, shown
from coord.past.source import Source
from coord.state.machine import Machine


@message
class Standing:
    """A znode that was there where a look began: what was before is not told."""

    zxid: int
    time_ms: int
    path: str
    seen: Seen


async def history(
    source: Source,
    wanted: Wanted,
    *,
    since: Place | None = None,
    until: Place | None = None,
    standing: Iterable[str] = (),
    progress: Progress = SILENCE,
) -> AsyncGenerator[list[Standing] | list[Change], None]:
    """Every change of the paths that are `wanted`, in order; first what the `standing` ones were before all of them.

    Without `since` it begins with the oldest state that is kept.
    """
    check_order(since, until)
    overview = await source.overview()
    try:
        replay = await load(source, overview, since, progress)
    except PastError as error:
        if since is None:
            raise
        replay = await load(source, overview, None, progress)
        progress.note(f"{error}; it begins there")
    if until is not None and until.before(replay.machine.zxid, replay.machine.time_ms):
        raise PastError(
            f"nothing is kept of what came up to {shown(until)}: the past in {source.name} begins with zxid "
            f"{replay.machine.zxid:#x}"
        )
    tracker = Tracker(replay, wanted)
    began = False
    last = 0
    async with aclosing(forward(replay, source, overview, until, progress)) as pending:
        async for entry in pending:
            if not began and (since is None or since.before(entry.zxid, entry.time_ms)):
                began = True
                if found := _standing(replay.machine, standing):
                    yield found
            if not began:
                replay.do(entry)
                continue
            _, changes = tracker.do(entry)
            if changes:
                last = changes[-1].zxid
                yield changes
    if not began and (found := _standing(replay.machine, standing)):
        yield found
    note_uncommitted(replay, overview, last, progress)


def _standing(machine: Machine, paths: Iterable[str]) -> list[Standing]:
    nodes = machine.tree.nodes
    if not machine.zxid:
        return []  # the very beginning: nothing of it was ever made
    return [Standing(machine.zxid, machine.time_ms, path, seen(nodes[path])) for path in paths if path in nodes]
