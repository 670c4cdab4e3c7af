"""Time travel against a naive machine: random histories, every state, every change and every difference compared."""

from copy import deepcopy

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.model.requests import CreateSession, ReapNode
from coord.past.changes import What, everything
from coord.past.differences import compare, differences
from coord.past.history import Standing, history
from coord.past.looking import Place, state_at
from coord.past.verify import verify_log
from tests.past.scribe import MemorySource, Scribe, run_of
from tests.state.naive import NaiveMachine
from tests.state.strategies import numbered_histories
from tests.state.world import PASSWORD, numbers


class Travelled:
    """A history written down, and a naive machine's znodes after each entry by its zxid."""

    def __init__(self, entries, cuts, snapshots) -> None:
        self.scribe = Scribe()
        naive = NaiveMachine()
        self.states = {0: deepcopy(naive.nodes)}
        self.times = {}
        for index, ((origin, session, request), (step, behind)) in enumerate(
            [((1, 0, CreateSession(1, PASSWORD, 1000)), (None, 0)), *entries]
        ):
            machine = self.scribe.machine
            if isinstance(request, ReapNode) and (znode := machine.tree.nodes.get(request.path)) and index % 2:
                request = ReapNode(request.path, znode.mzxid, znode.pzxid)
            number, acked = numbers(machine, session, step, behind)
            if index in cuts:
                self.scribe.epoch += 1
            run = run_of(request, session=session, origin=origin, number=number, acked=acked, identities=())
            batch = self.scribe.write(run, later_ms=index % 3 * 500)
            naive.apply(batch.first, batch.time_ms, origin, session, request, number, acked)
            self.states[batch.last] = deepcopy(naive.nodes)
            self.times[batch.last] = batch.time_ms
            if index in snapshots:
                self.scribe.take_snapshot()


@st.composite
def travelled(draw):
    entries = draw(numbered_histories)
    indices = st.sets(st.integers(0, len(entries)), max_size=3)
    return Travelled(entries, draw(indices), draw(indices))


def plain(nodes):
    """What is told of znodes, from the naive ones."""
    return {
        path: (each.data or b"", each.acl, each.czxid, each.version, each.aversion, each.owner, each.lifetime)
        for path, each in nodes.items()
    }


def told(seen):
    """The same of what was seen."""
    if seen is None:
        return None
    return (
        seen.data, seen.acl, seen.czxid, seen.version, seen.aversion, seen.ephemeral_owner, seen.lifetime_ms
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(travelled())
def test_the_changes_lead_from_each_state_to_the_next(past):
    async def follow():
        now = plain(past.states[0])
        seen = {0: dict(now)}
        async for changes in history(MemorySource(past.scribe), everything):
            for change in changes:
                assert told(change.before) == now.get(change.path)
                assert (change.after is None) == (change.what is What.DELETED)
                assert (change.before is None) == (change.what is What.CREATED)
                if change.after is None:
                    del now[change.path]
                else:
                    now[change.path] = told(change.after)
            seen[changes[-1].zxid] = dict(now)
        return seen

    seen = trio.run(follow)
    latest = seen[0]
    for zxid, nodes in past.states.items():
        latest = seen.get(zxid, latest)
        assert latest == plain(nodes)


@settings(max_examples=60, deadline=None)
@given(travelled(), st.data())
def test_the_state_at_a_zxid_or_a_time_is_that_of_then(past, data):
    zxid = data.draw(st.sampled_from(sorted(past.states)))
    source = MemorySource(past.scribe)
    machine = trio.run(state_at, source, Place(zxid))
    nodes = past.states[zxid]
    assert {path: znode.image() for path, znode in machine.tree.nodes.items()} == {
        path: (
            each.data, each.acl, each.czxid, each.mzxid, each.pzxid, each.ctime, each.mtime, each.version,
            each.creations, each.aversion, each.owner, each.lifetime,
        )
        for path, each in nodes.items()
    }  # fmt: skip
    if zxid:
        when_ms = past.times[zxid]
        at_that_time = max(other for other, time_ms in past.times.items() if time_ms <= when_ms)
        assert trio.run(state_at, source, Place(None, when_ms)).zxid == at_that_time


@settings(max_examples=60, deadline=None)
@given(travelled(), st.data())
def test_the_differences_of_two_zxids_are_those_of_their_states(past, data):
    first, second = sorted(data.draw(st.tuples(*[st.sampled_from(sorted(past.states))] * 2)))
    source = MemorySource(past.scribe)
    found = trio.run(differences, source, Place(first), Place(second), everything)
    old, new = plain(past.states[first]), plain(past.states[second])
    assert [(each.path, told(each.first), told(each.second)) for each in found] == [
        (path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]
    one, other = trio.run(state_at, source, Place(first)), trio.run(state_at, source, Place(second))
    assert compare(one, other, everything) == found


@settings(max_examples=40, deadline=None)
@given(travelled())
def test_a_log_that_begins_at_a_snapshot_tells_the_same_from_there_on(past):
    whole = MemorySource(past.scribe)
    checked = trio.run(verify_log, whole)
    assert checked.last == past.scribe.last
    assert checked.digests == checked.batches
    assert checked.snapshots == len(past.scribe.snapshots)
    for start in past.scribe.snapshots:

        async def gather(source, since):
            return [each async for some in history(source, everything, since=since) for each in some]

        later = trio.run(gather, whole, Place(start))
        rest = trio.run(gather, MemorySource(past.scribe, log_start=start), None)
        assert [each for each in rest if not isinstance(each, Standing)] == later
