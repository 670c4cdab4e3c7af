"""What one client, or one peer, cannot make a server keep, carry along, or do."""

from collections.abc import Sequence

import pytest

from coord.codec.entries import decode_runs, encode_run
from coord.model.entries import Run
from coord.model.requests import CONTAINER, AddWatch, Authenticate, Delete, GetData, ReapNode, WhoAmI, Write
from coord.paxos.messages import Accepted, Commit, Forward
from coord.replica import answers
from coord.replica.forwards import FORWARD_BYTES_MAX
from coord.replica.limits import IDENTITIES_BYTES_MAX, IDENTITIES_MAX, RUN_BYTES_MAX
from tests.replica.replica_world import Client, World, create


def test_a_connection_has_so_many_identities_and_no_more() -> None:
    client = World().client()
    client.do(*[Authenticate("digest", b"user%d:x" % number) for number in range(IDENTITIES_MAX - 1)])
    assert client.do(WhoAmI())[0].error == 0
    (answer,) = client.do(Authenticate("digest", b"one:more"))
    assert answer.error == -115
    assert "identities" in client.hung_up


def test_names_of_users_do_not_make_every_write_long() -> None:
    client = World().client()
    (answer,) = client.do(Authenticate("digest", b"u" * IDENTITIES_BYTES_MAX + b":x"))
    assert answer.error == -115
    assert client.hung_up


def test_many_large_writes_go_in_runs_that_a_peer_takes_and_are_all_done_in_order() -> None:
    world = World(3)
    client = Client(world, 1).connect()
    client.send(*[create(f"/{number}", b"x" * (RUN_BYTES_MAX // 3)) for number in range(10)])
    sent: list[int] = []
    forward = world.replicas[1].participant.forward

    def noting(count: int, runs: bytes, read: Sequence[Run]) -> bool:
        sent.append(len(runs))
        return forward(count, runs, read)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(world.replicas[1].participant), "forward", lambda _, *what: noting(*what))
        world.settle()
    assert [answer.error for answer in client.answers] == [0] * 10
    assert [answer.xid for answer in client.answers] == list(range(1, 11))
    assert max(sent) <= FORWARD_BYTES_MAX + RUN_BYTES_MAX


def test_watches_that_take_too_much_end_their_connection_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WATCHES_BYTES_MAX", 2000)
    world = World()
    client, other = world.client(), world.client()
    other.do(create("/a"), GetData("/a", watch=True))
    client.do(*[AddWatch(f"/{number}", 0) for number in range(10)])
    assert "watches" in client.hung_up
    assert world.replicas[1].watches.bytes_of(client.pipeline) == 0
    other.do(Delete("/a"))
    assert other.events


def test_watches_that_are_used_up_or_removed_count_no_more() -> None:
    world = World()
    client = world.client()
    for _ in range(3):
        client.do(create("/a"), GetData("/a", watch=True), Delete("/a"))
    assert world.replicas[1].watches.bytes_of(client.pipeline) == 0
    assert world.replicas[1].watches.count == 0


def run_of(*requests: Write, origin: int = 1) -> bytes:
    return encode_run(Run(origin, 501, 1, 0, 0, (), requests))


@pytest.mark.parametrize(
    ("runs", "count"),
    [
        (run_of(Delete("/a")), 2),
        (b"\xff\xff", 2),
        (b"\x87\x01", 2),
        (run_of(), 0),
        (b"", 0),
        (run_of(Delete("/a")) + run_of(Delete("/a"), origin=3), 2),
        (run_of(Delete("/a"), origin=0), 1),
    ],
    ids=["miscounted", "torn", "cut", "a run of nothing", "nothing", "partly of another server", "of the leader"],
)
def test_a_forward_that_cannot_be_proposed_costs_its_sender_the_connection(runs: bytes, count: int) -> None:
    world = World(3)
    leader = world.leader
    before = leader.participant.log.last
    leader.receive(1, Forward(leader.participant.epoch, count, runs), world.now)
    assert [peer for peer, _ in leader.participant.broken] == [1]
    leader.take(world.now, world.wall_ms)
    assert leader.participant.log.last == before


def test_a_commit_that_ends_in_the_middle_of_a_batch_costs_the_leader_the_connection() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/a"), create("/b"))
    world.held.update((1, 2, 3))
    client.send(create("/c"), create("/d"))
    for _ in range(3):
        for server in world.replicas:
            world.pump(server)
        for wire in list(world.wires):
            world.deliver(*wire)
    follower = world.replicas[1]
    last = follower.participant.log.last
    assert follower.participant.log.commit < last
    follower.receive(3, Commit(follower.participant.epoch, last - 1, last - 1), world.now)
    assert [peer for peer, _ in follower.participant.broken] == [3]
    assert follower.participant.log.commit < last


def test_an_acknowledgement_in_the_middle_of_a_batch_costs_its_sender_the_connection() -> None:
    world = World(3)
    client = world.client(1)
    world.held.update((1, 2))
    client.send(create("/c"), create("/d"))
    world.settle()
    leader = world.leader
    before = leader.participant.log.commit
    middle = leader.participant.log.last - 1
    assert middle > before
    leader.receive(2, Accepted(leader.participant.epoch, middle, True), world.now)
    assert [peer for peer, _ in leader.participant.broken] == [2]
    assert leader.participant.log.commit == before


def test_who_waits_while_the_history_is_applied_is_let_in_after_it() -> None:
    world = World(3)
    first = world.client(1)
    for number in range(5):
        first.do(create(f"/{number}"))
    seen = first.answers[-1].zxid
    for other in (1, 2):
        world.cut(other, 3)
    world.pass_time(2.0)
    follower = world.replicas[1]
    follower.settings.apply_entries_max = 1
    client = Client(world, 1).connect(seen=seen)
    world.settle()
    world.pass_time(1.0)
    assert client.opened.session
    assert not client.hung_up


def test_what_is_due_to_be_reaped_is_proposed_once_however_long_its_turn_takes() -> None:
    """Else it is proposed again each time it is looked for, and where writes go slowly nobody else's get through
    (seed 198 of the simulator).
    """
    world = World(3, reap_interval_s=1.0)
    client = world.client(1, timeout_ms=30_000)
    client.do(create("/box", kind=CONTAINER), create("/box/in", b""), Delete("/box/in"))
    leader = world.leader
    applied = leader.machine.zxid
    world.held = {1, 2, 3}
    world.pass_time(5.0)
    world.held.clear()
    world.settle()
    world.pass_time(2.0)
    logged = [run for batch in leader.participant.log.after(applied) or () for run in decode_runs(batch.body)]
    assert [type(request) for run in logged for request in run.requests] == [ReapNode]
    assert "/box" not in leader.machine.tree.nodes
