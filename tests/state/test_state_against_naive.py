"""The machine against a naive one: random histories, every reply and every field compared."""

from hypothesis import given, settings

from coord.model.entries import Run
from coord.model.replies import (
    DATA_CHANGED,
    NODE_CREATED,
    NODE_DELETED,
    Change,
    Created,
    Effect,
    Failed,
    MultiDone,
    Repeated,
    Reply,
    SessionEnded,
)
from coord.model.requests import AttachSession, CreateSession, GetChildren, ReapNode
from coord.state.machine import Machine
from tests.state.naive import NaiveMachine
from tests.state.strategies import numbered_histories
from tests.state.world import PASSWORD, everything, numbers, whole_digest


def outcome(reply: Reply) -> list[object]:
    """A reply as the naive machine gives it."""
    if isinstance(reply, Repeated):
        return outcome(reply.reply)
    if isinstance(reply, MultiDone):
        return [part for each in reply.replies for part in outcome(each)]
    if isinstance(reply, Failed):
        return [reply.code]
    return [reply.path] if isinstance(reply, Created) else [0]


class Both:
    """One history for two machines."""

    def __init__(self) -> None:
        self.machine, self.naive = Machine(), NaiveMachine()
        self.zxid = 0
        self.enter(1, 0, CreateSession(1, PASSWORD, 1000))

    def enter(self, origin: int, session: int, request, step: int | None = None, behind: int = 0) -> list[Effect]:
        self.zxid += 1
        time = self.zxid // 3 * 100
        machine = self.machine
        if isinstance(request, ReapNode) and (znode := machine.tree.nodes.get(request.path)) and self.zxid % 2:
            request = ReapNode(request.path, znode.mzxid, znode.pzxid)  # half of them up to date
        existed = dict(self.naive.nodes)
        effects: list[Effect] = []
        number, acked = numbers(machine, session, step, behind)
        run = Run(origin, 0, 0, session, number, (), (), acked)
        reply = machine.apply(self.zxid, time, run, request, effects, number)
        assert outcome(reply) == self.naive.apply(self.zxid, time, origin, session, request, number, acked)
        if isinstance(reply, Repeated):
            assert not effects
        if not isinstance(reply, MultiDone):
            self.check_effects(existed, effects)
        self.check()
        return effects

    def check_effects(self, existed, effects: list[Effect]) -> None:
        """The changes are exactly the differences between before and after."""
        now = self.naive.nodes
        wanted = {(NODE_CREATED, path) for path in now.keys() - existed.keys()}
        wanted |= {(NODE_DELETED, path) for path in existed.keys() - now.keys()}
        wanted |= {
            (DATA_CHANGED, path)
            for path in now.keys() & existed.keys()
            if now[path].version != existed[path].version and now[path].czxid == existed[path].czxid
        }
        told = [(each.kind, each.path) for each in effects if isinstance(each, Change)]
        assert sorted(told) == sorted(wanted)

    def check(self) -> None:
        machine, naive = self.machine, self.naive
        nodes = machine.tree.nodes
        assert {path: znode.image() for path, znode in nodes.items()} == {
            path: tuple(getattr(node, name) for name in node.__dataclass_fields__) for path, node in naive.nodes.items()
        }
        for path, znode in nodes.items():
            children = naive.children(path)
            assert sorted(znode.children or ()) == sorted(children)
            assert znode.cversion == 2 * naive.nodes[path].creations - len(children)
            assert (znode.children is None) == (not children)
        for number, (password, timeout, owner) in naive.sessions.items():
            session = machine.sessions[number]
            assert (session.password, session.timeout_ms, session.owner) == (password, timeout, owner)
            assert session.applied == len(naive.writes.get(number, []))
            if session.ledger is not None:
                kept = [outcome(reply) for _, reply, _ in session.ledger.kept]
                assert session.ledger.acked == naive.acked.get(number, 0)
                assert kept == naive.writes[number][session.ledger.acked :]
            assert set(session.ephemerals) == {path for path, node in naive.nodes.items() if node.owner == number}
        assert machine.sessions.keys() == naive.sessions.keys()
        assert machine.tree.ephemerals == sum(node.owner != 0 for node in naive.nodes.values())
        assert sorted(each.path for each in machine.reapable(1 << 60, 1, 1000)) == sorted(
            path for path, node in naive.nodes.items() if node.lifetime and not naive.children(path)
        )
        if self.zxid % 3 == 0:  # not each time: what was written since the last one is summed up together
            self.check_sums()

    def check_sums(self) -> None:
        machine, nodes = self.machine, self.naive.nodes
        assert machine.digest == whole_digest(machine)
        assert machine.tree.size_bytes == sum(len(path) + len(node.data or b"") for path, node in nodes.items())


@settings(max_examples=120, deadline=None)
@given(numbered_histories)
def test_every_reply_and_every_field_agrees_with_a_naive_machine(history):
    both = Both()
    for (origin, session, request), (step, behind) in history:
        effects = both.enter(origin, session, request, step, behind)
        if any(isinstance(effect, SessionEnded) for effect in effects):
            assert isinstance(effects[-1], SessionEnded)
    both.check_sums()


@settings(max_examples=60, deadline=None)
@given(numbered_histories)
def test_the_same_entries_give_the_same_state_and_listings_everywhere(history):
    """Two machines, one of which is asked things in between, as a server with clients is."""
    machines = Machine(), Machine()
    for zxid, ((origin, session, request), (step, behind)) in enumerate(history, 1):
        number, acked = numbers(machines[0], session, step, behind)
        run = Run(origin, 0, 0, session, number, (), (), acked)
        replies = [machine.apply(zxid, zxid, run, request, [], number) for machine in machines]
        assert outcome(replies[0]) == outcome(replies[1])
        machines[0].read((), 1, GetChildren("/a"))
        machines[0].reapable(zxid, 5, 3)
    assert everything(machines[0]) == everything(machines[1])


def test_attach_and_create_of_sessions_are_compared_too():
    both = Both()
    both.enter(2, 0, AttachSession(1, PASSWORD, 500))
    both.enter(2, 0, AttachSession(1, b"wrong", 900))
    assert both.machine.sessions[1].owner == 2
