"""One client's requests in order; sessions that open, move, expire; and clients who are let go."""

import pytest

from coord.codec import jute
from coord.codec.entries import encode_run
from coord.model.entries import Run
from coord.model.replies import Event
from coord.model.requests import (
    EPHEMERAL,
    AttachSession,
    Authenticate,
    CloseSession,
    Exists,
    GetChildren,
    GetData,
    Ping,
    SetData,
    Sync,
    WhoAmI,
    Write,
)
from coord.paxos.messages import Forward
from coord.replica import limits
from coord.replica.replica import Replica
from tests.replica.replica_world import Client, World, create


def forward_of(leader: Replica, *requests: Write) -> Forward:
    """As server 2 said it in another life."""
    run = Run(2, 1, 1, 0, 0, (), requests)
    return Forward(leader.participant.epoch, len(requests), encode_run(run))


def xids(client: Client) -> list[int]:
    return [answer.xid for answer in client.answers]


# ---- order


def test_a_read_waits_for_its_own_sessions_earlier_writes() -> None:
    world = World()
    client = world.client()
    client.do(create("/a", b"0"))
    world.held.add(1)
    client.send(SetData("/a", b"1"), GetData("/a"), SetData("/a", b"2"), GetData("/a"))
    world.settle()
    assert xids(client) == [1]
    world.held.clear()
    world.settle()
    assert xids(client) == [1, 2, 3, 4, 5]
    assert [client.answers[2].data, client.answers[4].data] == [b"1", b"2"]


def test_a_read_does_not_wait_for_anybody_elses_writes() -> None:
    world = World()
    writer, reader = world.client(), world.client()
    writer.do(create("/a", b"0"))
    world.held.add(1)
    writer.send(SetData("/a", b"1"))
    world.settle()
    (answer,) = reader.do(GetData("/a"))
    assert answer.data == b"0"


def test_what_waits_for_nobody_is_there_at_once_and_needs_no_output_of_the_replica() -> None:
    world = World()
    client = world.client()
    client.do(create("/a", b"0"))
    clients = world.leader.clients
    client.send(GetData("/a"), Ping())
    client.deliver(clients.take_answers(client.pipeline) or b"")
    assert client.answers[-2].data == b"0"
    assert clients.take_answers(client.pipeline) == b""
    world.settle()
    assert xids(client) == [1, 2, 3]


def test_a_write_or_a_sync_needs_the_output_of_the_replica() -> None:
    world = World()
    client = world.client()
    client.do(create("/a", b"0"))
    for request in (SetData("/a", b"1"), Sync("/a"), CloseSession(client.opened.session, False)):
        client.send(GetData("/a"), request, GetData("/a"))
        assert world.leader.clients.take_answers(client.pipeline) is None
        world.settle()


def test_a_read_in_the_middle_of_a_batch_shows_the_state_between_two_writes() -> None:
    world = World()
    client, other = world.client(), world.client()
    client.do(create("/a", b"0"))
    client.send(SetData("/a", b"1"), GetData("/a"))
    other.send(SetData("/a", b"2"))
    world.settle()
    write, read = client.answers[-2:]
    assert (read.data, read.zxid) == (b"1", write.zxid)


def test_a_sync_holds_back_the_replies_behind_it_but_not_the_writes() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/a"))
    world.settle()
    client.send(Sync("/a"), SetData("/a", b"1"), GetData("/a"))
    held = world.wires.pop((2, 3))  # the heartbeat's answers, which prove the leader's rule
    world.pump(1)
    for _ in range(20):
        world.wires[1, 3] = type(held)(
            each for each in world.wires[1, 3] if type(each).__name__ not in ("HeartbeatReply",)
        )
        world.deliver(1, 3)
        for server in (1, 2, 3):
            world.pump(server)
            world.sync(server)
        world.deliver(3, 1)
    assert world.replicas[1].machine.tree.nodes["/a"].data == b"1"
    assert xids(client) == [1]
    world.wires[2, 3] = held
    world.pass_time(0.3)
    assert xids(client) == [1, 2, 3, 4]
    assert client.answers[-1].data == b"1"


def test_zxids_of_replies_never_go_back_though_a_sync_held_some_I15() -> None:
    world = World(3)
    client, other = world.client(1), world.client(1)
    client.do(create("/a"))
    client.send(Sync("/a"), SetData("/a", b"1"))
    other.send(create("/b"), create("/c"))
    client.send(Ping())
    world.settle()
    world.pass_time(0.3)
    zxids = [answer.zxid for answer in client.answers]
    assert zxids == sorted(zxids)


def test_a_sync_shows_what_was_committed_anywhere_before_it() -> None:
    world = World(3)
    writer, reader = world.client(3), world.client(1)
    held = world.wires.pop((3, 1))
    writer.do(create("/a", b"1"))
    world.pass_time(0.05)  # the leader has relied on server 1, and turns to server 2
    assert writer.answers[-1].error == 0
    (stale,) = reader.do(Exists("/a"))
    assert stale.error == -101
    world.wires[3, 1] = held
    world.cut(1, 3)
    world.join(1, 3)
    assert reader.do(Sync("/"), GetData("/a"))[-1].data == b"1"


def test_authentication_takes_effect_between_pipelined_requests() -> None:
    client = World().client()
    answers = client.do(WhoAmI(), Authenticate("digest", b"ann:secret"), WhoAmI())
    assert b"ann" not in answers[0].body
    assert b"ann" in answers[2].body


def test_a_wrong_scheme_is_answered_and_ends_the_connection() -> None:
    client = World().client()
    (answer,) = client.do(Authenticate("kerberos", b""))
    assert answer.error == -115
    assert "kerberos" in client.hung_up


def test_what_is_asked_before_the_session_is_open_is_answered_after_it_in_order() -> None:
    world = World()
    client = Client(world, 1).connect()
    client.send(create("/a", b"early"), GetData("/a"))
    world.settle()
    assert client.frames[0] is client.opened
    assert [answer.error for answer in client.answers] == [0, 0]
    assert client.answers[1].data == b"early"


@pytest.mark.parametrize("servers", [1, 3])
def test_a_sync_that_came_before_the_session_was_open_waits_for_no_tick(servers: int) -> None:
    world = World(servers)
    for server in world.replicas:
        client = Client(world, server).connect()
        client.send(Sync("/"))
        world.settle()
        assert [answer.error for answer in client.answers] == [0]


def test_closing_is_answered_and_then_the_connection_ends() -> None:
    world = World()
    client = world.client()
    client.do(create("/e", kind=EPHEMERAL))
    (answer,) = client.do(CloseSession())
    assert answer.error == 0
    assert "closed its session" in client.hung_up
    assert "/e" not in world.replicas[1].machine.tree.nodes


def test_closing_right_after_a_sync_still_answers_both() -> None:
    world = World(3)
    client = world.client(1)
    client.send(Sync("/"), CloseSession())
    world.settle()
    world.pass_time(0.3)
    assert [answer.error for answer in client.answers] == [0, 0]
    assert "closed its session" in client.hung_up


def test_reads_stop_when_the_client_takes_nothing_and_go_on_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUT_BYTES_MAX", 1000)
    world = World()
    client = world.client()
    client.do(create("/a", b"x" * 600))
    client.do(GetData("/a"), GetData("/a"), GetData("/a"), SetData("/a", b"y"), GetData("/a"))
    assert xids(client) == [1, 2, 3]
    assert client.pipeline.stalled
    world.replicas[1].clients.resume(client.pipeline)
    world.settle()
    assert xids(client) == [1, 2, 3, 4, 5, 6]


# ---- sessions


def test_a_session_goes_on_at_another_server_and_the_old_connection_ends_T41() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/e", b"mine", EPHEMERAL))
    opened = client.opened
    again = world.client(2, session=opened.session, password=opened.password)
    assert again.opened.session == opened.session
    assert "moved to server 2" in client.hung_up
    assert again.do(GetData("/e"))[0].data == b"mine"


def test_a_write_that_came_through_the_old_owner_too_late_is_refused_T41() -> None:
    world = World(3)
    client = world.client(1)
    opened = client.opened
    held = world.wires.pop((1, 3))
    client.send(create("/late"))
    world.pump(1)
    again = world.client(2, session=opened.session, password=opened.password)
    assert again.opened.session == opened.session
    world.wires[1, 3] = held
    world.cut(1, 3)
    world.join(1, 3)
    world.settle()
    world.pass_time(0.3)
    assert "/late" not in world.replicas[2].machine.tree.nodes
    assert client.hung_up


def test_a_client_that_reconnects_to_the_same_server_replaces_its_connection() -> None:
    world = World()
    client = world.client()
    opened = client.opened
    again = world.client(session=opened.session, password=opened.password)
    assert "reconnected" in client.hung_up
    assert again.do(create("/a"))[0].error == 0


def test_a_wrong_password_is_refused_and_leaves_the_session_alone() -> None:
    world = World()
    client = world.client()
    thief = world.client(session=client.opened.session, password=b"x" * 16)
    assert thief.opened.session == 0
    assert thief.hung_up
    assert not client.hung_up
    assert client.do(create("/a"))[0].error == 0


def test_an_unknown_session_is_refused() -> None:
    client = World().client(session=12345, password=b"x" * 16)
    assert client.opened.session == 0
    assert client.hung_up


def test_a_client_that_has_seen_more_than_this_server_is_sent_elsewhere_T36() -> None:
    world = World()
    client = world.client(seen=1 << 50)
    world.pass_time(0.1)
    assert not client.hung_up  # it might be under way
    world.pass_time(0.2)
    assert client.frames == []
    assert "has seen" in client.hung_up


def test_a_client_that_comes_to_a_server_that_was_spared_what_it_has_seen_waits_for_that() -> None:
    world = World(3)
    writer, spare = world.client(3), world.replicas[2]
    world.pass_time(0.1)
    writer.do(create("/a", b"1"))
    opened, seen = writer.opened, writer.answers[-1].zxid
    assert spare.participant.log.last < seen
    moved = world.client(2, session=opened.session, password=opened.password, seen=seen)
    assert not moved.frames
    world.pass_time(0.05)
    assert moved.opened.session == opened.session
    assert moved.do(GetData("/a"))[0].data == b"1"


def test_the_timeout_is_kept_within_the_limits() -> None:
    world = World(1, session_timeout_min_ms=1000, session_timeout_max_ms=5000)
    assert world.client(timeout_ms=10).opened.timeout_ms == 1000
    assert world.client(timeout_ms=10**6).opened.timeout_ms == 5000


def test_a_silent_session_expires_and_not_before_its_time_I17() -> None:
    world = World(3)
    silent, other = world.client(1, timeout_ms=2000), world.client(2, timeout_ms=30_000)
    silent.do(create("/e", kind=EPHEMERAL))
    world.pass_time(1.9)
    assert other.do(Exists("/e"))[0].error == 0
    world.pass_time(1.0)
    assert other.do(Exists("/e"))[0].error == -101
    assert "expired" in silent.hung_up


def test_pings_at_a_follower_keep_a_session_alive() -> None:
    world = World(3)
    client = world.client(1, timeout_ms=2000)
    for _ in range(10):
        world.pass_time(0.6)
        client.send(Ping())
    assert not client.hung_up
    assert client.opened.session in world.leader.machine.sessions


@pytest.mark.parametrize("server", [1, 3])
def test_a_client_that_reconnects_in_time_is_heard_though_the_disks_are_slow_to_let_it_in_I17(server: int) -> None:
    world = World(3)
    first = world.client(1, timeout_ms=2000)
    session = first.opened.session
    world.pass_time(1.5)
    world.held = {1, 2, 3}
    second = world.client(server, session=session, password=first.opened.password, timeout_ms=4000)
    world.pass_time(1.5)
    world.held = set()
    world.pass_time(0.3)
    assert second.opened.session == session
    assert not second.hung_up


def forwarded_and_no_more(world: World) -> None:
    """What server 1 forwards reaches the leader; what it says then comes late, and server 2's disk is slow."""
    world.pump(1)
    world.deliver(1, 3)
    world.clogged = {(1, 3)}
    world.held = {2}


def test_whose_write_a_follower_has_answered_is_not_expired_by_a_leader_that_does_not_know_I17() -> None:
    world = World(3)
    client = world.client(1, timeout_ms=2000)
    client.do(create("/e", kind=EPHEMERAL))
    world.pass_time(1.9)
    client.send(SetData("/e", b"1"))
    forwarded_and_no_more(world)
    world.settle()
    assert client.answers[-1].error == 0
    assert world.leader.machine.zxid < client.answers[-1].zxid
    world.pass_time(1.0)
    world.clogged, world.held = set(), set()
    world.settle()
    assert not client.hung_up
    assert client.opened.session in world.leader.machine.sessions


def test_who_is_let_in_by_a_follower_is_not_expired_by_a_leader_that_does_not_know_I17() -> None:
    world = World(3)
    first = world.client(1, timeout_ms=2000)
    session = first.opened.session
    world.pass_time(1.9)
    second = Client(world, 1).connect(session=session, password=first.opened.password, timeout_ms=4000)
    forwarded_and_no_more(world)
    world.settle()
    assert second.opened.session == session
    world.pass_time(3.5)
    world.clogged, world.held = set(), set()
    world.settle()
    assert not second.hung_up
    assert session in world.leader.machine.sessions


def test_who_waits_at_the_leader_for_what_a_follower_has_shown_counts_as_heard_I17() -> None:
    world = World(3)
    first = world.client(1, timeout_ms=2000)
    first.do(create("/e"))
    first.send(SetData("/e", b"1"))
    forwarded_and_no_more(world)
    world.settle()
    world.pass_time(1.5)
    connect = {"session": first.opened.session, "password": first.opened.password, "timeout_ms": 2000}
    second = Client(world, 3).connect(seen=first.answers[-1].zxid, **connect)  # type: ignore[arg-type]
    other = Client(world, 3).connect(seen=first.answers[-1].zxid, session=first.opened.session, password=b"wrong")
    world.pass_time(1.5)
    assert not second.frames
    world.clogged, world.held = set(), set()
    world.settle()
    assert second.opened.session == first.opened.session
    assert "password" in other.hung_up


def test_a_wrong_password_does_not_keep_a_session_alive_I17() -> None:
    world = World(3)
    client = world.client(1, timeout_ms=2000)
    world.pass_time(1.9)
    attach = AttachSession(client.opened.session, b"wrong", 4000)
    world.leader.receive(2, forward_of(world.leader, attach), world.now)
    world.pass_time(1.0)
    assert "expired" in client.hung_up


def test_a_new_leader_gives_everybody_the_full_time_I17() -> None:
    world = World(3)
    client = world.client(1, timeout_ms=3000)
    session = client.opened.session
    world.pass_time(2.5)
    world.cut(1, 3)
    world.cut(2, 3)
    world.pass_time(0.8)
    assert world.replicas[2].participant.leads
    assert session in world.replicas[2].machine.sessions
    world.pass_time(1.5)
    assert session in world.replicas[2].machine.sessions


def test_a_leader_that_was_paused_expires_nobody_for_that_T31() -> None:
    world = World()
    client = world.client(timeout_ms=2000)
    world.now += 60.0
    world.pass_time(0.2)
    assert not client.hung_up


# ---- without a leader


def leaderless(world: World) -> None:
    for pair in ((1, 3), (1, 2)):
        world.cut(*pair)


def test_reads_go_on_without_a_leader() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/a", b"1"))
    leaderless(world)
    assert client.do(GetData("/a"))[0].data == b"1"


def test_clients_are_kept_for_a_third_of_their_timeout_and_then_let_go() -> None:
    world = World(3)
    short, long = world.client(1, timeout_ms=3000), world.client(1, timeout_ms=30_000)
    leaderless(world)
    world.pass_time(0.9)
    assert not short.hung_up
    world.pass_time(0.3)
    assert "no leader" in short.hung_up
    assert not long.hung_up


def test_a_write_made_without_a_leader_is_done_once_when_there_is_one_again() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/n"))
    world.wires[1, 3].clear()
    client.send(create("/n/s-", kind=2))
    world.pump(1)  # forwarded, and lost with the connection
    world.cut(1, 3)
    client.send(create("/n/s-", kind=2))
    world.settle()
    world.join(1, 3)
    world.pass_time(0.3)
    assert [answer.error for answer in client.answers] == [0, 0, 0]
    (children,) = client.do(GetChildren("/n"))
    assert int.from_bytes(children.body[:4], "big") == 2


def test_a_write_that_reached_the_log_is_not_forwarded_again() -> None:
    world = World(3)
    client = world.client(1)
    client.do(create("/n"))
    client.send(create("/n/s-", kind=2))
    world.pump(1)
    world.deliver(1, 3)
    world.pump(3)  # proposed; server 1 does not hear of it through this connection
    world.cut(1, 3)
    world.join(1, 3)
    world.pass_time(0.3)
    assert [answer.error for answer in client.answers] == [0, 0]
    assert int.from_bytes(client.do(GetChildren("/n"))[0].body[:4], "big") == 1


def test_a_sync_asked_of_a_leader_that_is_gone_is_asked_again() -> None:
    world = World(3)
    client = world.client(1)
    client.send(Sync("/"))
    world.pump(1)
    world.cut(1, 3)
    world.cut(2, 3)
    world.pass_time(1.0)
    assert [answer.error for answer in client.answers] == [0]
    assert world.replicas[1].participant.leads  # server 2, which has no clients, was spared what they wrote last


@pytest.mark.parametrize("server", [1, 3])
def test_who_only_probes_is_told_without_a_tick_and_by_the_next_leader_if_this_one_is_gone(server: int) -> None:
    world = World(3)
    passed: list[str] = []
    probe = world.replicas[server].clients.syncs.probe
    probe(lambda: passed.append("at once"))
    world.settle()
    assert passed == ["at once"]
    probe(lambda: passed.append("later"))
    world.pump(server)
    for one, other in ((1, 2), (1, 3), (2, 3)):
        world.cut(one, other)
    world.pass_time(2.0)
    assert passed == ["at once"]
    for one, other in ((1, 2), (1, 3), (2, 3)):
        world.join(one, other)
    world.pass_time(2.0)
    assert passed == ["at once", "later"]


def test_a_sync_does_not_wait_for_what_a_leader_has_lost_again() -> None:
    world = World(3)
    writer, waiter = world.client(1, timeout_ms=30_000), world.client(3, timeout_ms=30_000)
    world.cut(1, 2)
    world.cut(2, 3)
    world.held = {1}
    writer.send(create("/lost"))
    world.settle()  # the leader has it, and server 1 is told so, but its own disk is slow
    waiter.send(Sync("/"))
    world.settle()
    assert not waiter.answers
    world.restart(1)
    world.held = set()
    world.join(1, 2)
    world.pass_time(2.0)
    world.join(1, 3)
    world.join(2, 3)
    world.pass_time(1.0)
    assert world.leader is not world.replicas[3]
    assert [answer.error for answer in waiter.answers] == [0]
    assert not waiter.hung_up


def test_who_comes_while_there_is_no_leader_waits_for_one() -> None:
    world = World(3)
    leaderless(world)
    client = world.client(1)
    assert client.frames == []
    world.join(1, 3)
    world.pass_time(0.3)
    assert client.opened.session


# ---- a ping that comes alone


def test_a_ping_alone_leaves_the_same_behind_as_one_among_others() -> None:
    world = World()
    one, other = world.client(), world.client()
    clients = world.replicas[1].clients
    clients.take_touched()
    other.next_xid = jute.PING_XID
    other.send(Ping())
    frames = clients.take_answers(other.pipeline)
    assert clients.answer_ping(one.pipeline) == frames
    assert one.pipeline.counters == other.pipeline.counters
    assert set(clients.take_touched()) == {one.opened.session, other.opened.session}


def test_a_ping_alone_goes_the_long_way_where_an_event_has_still_to_leave() -> None:
    world = World()
    client = world.client()
    clients = world.replicas[1].clients
    assert clients.answer_ping(client.pipeline) is not None
    clients.deliver_event(client.pipeline, Event(1, "/a", 5))
    assert clients.answer_ping(client.pipeline) is None
    world.settle()
    assert clients.answer_ping(client.pipeline) is not None


def test_no_ping_is_answered_before_the_session_is_open_or_after_the_end() -> None:
    world = World()
    early, late = Client(world, 1), world.client()
    clients = world.replicas[1].clients
    assert clients.answer_ping(early.pipeline) is None
    late.do(CloseSession())
    assert clients.answer_ping(late.pipeline) is None
