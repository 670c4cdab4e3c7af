"""What is not the same at two places of the past, or in two states."""

from contextlib import aclosing

from coord.model.message import message
from coord.past.changes import Seen, Tracker, Wanted, seen
from coord.past.errors import PastError
from coord.past.looking import SILENCE, Place, Progress, forward, load, note_uncommitted, shown
from coord.past.source import Source
from coord.state.machine import Machine


@message
class Difference:
    """A znode that is not the same at two places; None where it is not there. Same `czxid`: it is the same one."""

    path: str
    first: Seen | None
    second: Seen | None


async def differences(
    source: Source, first: Place, second: Place, wanted: Wanted, progress: Progress = SILENCE
) -> list[Difference]:
    """What is not the same at two places, the earlier one first, by path. Memory for what changed in between only."""
    overview = await source.overview()
    replay = await load(source, overview, first, progress)
    tracker = Tracker(replay, wanted)
    before: dict[str, Seen | None] = {}
    async with aclosing(forward(replay, source, overview, second, progress)) as pending:
        async for entry in pending:
            if not first.before(entry.zxid, entry.time_ms):
                replay.do(entry)
                continue
            for change in tracker.do(entry)[1]:
                before.setdefault(change.path, change.before)
    machine = replay.machine
    nodes = machine.tree.nodes
    if first.zxid is not None:
        reached = first.zxid <= machine.zxid
    else:
        reached = second.zxid is None or first.time_ms <= machine.time_ms
    if not reached or second.before(machine.zxid, machine.time_ms):
        raise PastError(f"{shown(first)} does not come before {shown(second)}: give the earlier one first")
    note_uncommitted(replay, overview, machine.zxid, progress)
    found = [
        Difference(path, old, seen(nodes[path]) if path in nodes else None) for path, old in sorted(before.items())
    ]
    return [each for each in found if each.first != each.second]


def compare(one: Machine, other: Machine, wanted: Wanted) -> list[Difference]:
    """What is not the same in two states, by path."""
    found = []
    for path in sorted(one.tree.nodes.keys() | other.tree.nodes.keys()):
        if wanted(path):
            first, second = one.tree.nodes.get(path), other.tree.nodes.get(path)
            before, after = seen(first) if first else None, seen(second) if second else None
            if before != after:
                found.append(Difference(path, before, after))
    return found
