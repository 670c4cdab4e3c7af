"""Clients of coord's own protocol: coming in, numbers, order, what waits for a state."""

import pytest

from coord.codec import native
from coord.model.acl import OPEN_ACL
from coord.model.errors import (
    AuthFailedError,
    BadArgumentsError,
    BadVersionError,
    NoAuthError,
    NoNodeError,
    UnacknowledgedError,
)
from coord.model.handshake import (
    AUTH_FAILED,
    BEHIND,
    CLOSED,
    MALFORMED,
    MOVED,
    NO_LEADER,
    OTHER_CLUSTER,
    SESSION_UNKNOWN,
    SKIPPED,
    VERSION_UNKNOWN,
    Goodbye,
    Refusal,
    Welcome,
)
from coord.model.replies import Created, DataReply, Done, PageReply, Synced, WhoAmIReply, Written
from coord.model.requests import (
    PERSISTENT_SEQUENTIAL,
    Acknowledge,
    AtLeast,
    Authenticate,
    CheckCreated,
    ChildrenPage,
    CloseSession,
    Create,
    DeleteTree,
    Exists,
    GetAcl,
    GetData,
    Multi,
    Ping,
    SetData,
    Sync,
    WhoAmI,
)
from coord.state import kept
from tests.replica.native_client import NativeClient, native_client
from tests.replica.replica_world import World, create


def sequential(path: str) -> Create:
    return Create(path, b"", OPEN_ACL, PERSISTENT_SEQUENTIAL)


# ---- coming in


def test_a_new_client_is_welcomed_with_a_session_and_a_secret():
    world = World()
    client = native_client(world)
    welcome = client.welcome
    assert (welcome.version, welcome.server, welcome.timeout_ms, welcome.applied) == (1, 1, 4000, 0)
    assert welcome.session in world.leader.machine.sessions
    assert len(welcome.password) == 16
    assert welcome.zxid == world.leader.machine.zxid
    assert welcome.cluster == 77


def test_a_client_goes_on_with_its_session_and_hears_how_far_it_was():
    world = World(3)
    client = native_client(world)
    client.do(create("/a"), SetData("/a", b"x"))
    again = client.again(2)
    world.settle()
    assert again.welcome.session == client.welcome.session
    assert again.welcome.applied == 2
    assert client.goodbye.code == MOVED
    assert client.hung_up


@pytest.mark.parametrize("secret", [b"", b"x" * 16, b"x" * 15])
def test_a_wrong_secret_is_refused_and_leaves_the_session_alone(secret):
    world = World()
    client = native_client(world)
    thief = native_client(world, session=client.welcome.session, password=secret)
    assert thief.refusal.code == SESSION_UNKNOWN
    assert thief.hung_up
    assert not thief.of(Welcome)
    assert client.do(create("/a"))
    assert not client.hung_up


def test_a_session_that_is_not_there_is_refused():
    world = World()
    assert native_client(world, session=12345, password=b"x" * 16).refusal.code == SESSION_UNKNOWN


def test_a_client_that_has_seen_more_is_refused():
    world = World()
    client = native_client(world, seen=world.leader.machine.zxid + 1)
    world.pass_time(0.3)
    assert client.refusal.code == BEHIND


def test_versions_and_clusters_must_fit():
    world = World()
    assert native_client(world, versions=(2, 3)).refusal.code == VERSION_UNKNOWN
    assert native_client(world, versions=(0, 0)).refusal.code == VERSION_UNKNOWN
    assert native_client(world, versions=(0, 3)).welcome.version == 1
    assert native_client(world, cluster=78).refusal.code == OTHER_CLUSTER
    assert native_client(world, cluster=77).of(Welcome)


def test_who_fails_to_authenticate_gets_no_session():
    world = World()
    sessions = len(world.leader.machine.sessions)
    client = native_client(world, auth=(("kerberos", b"x"),))
    assert client.refusal.code == AUTH_FAILED
    assert len(world.leader.machine.sessions) == sessions
    known = native_client(world, auth=(("digest", b"ann:secret"),))
    (reply,) = known.do(WhoAmI())
    assert isinstance(reply, WhoAmIReply)
    assert ("digest", "ann") in reply.identities


def test_an_acknowledgement_of_what_was_never_done_is_refused_at_the_door():
    world = World()
    client = native_client(world)
    client.do(create("/a"))
    other = client.again(acked=5)
    world.settle()
    assert other.refusal.code == MALFORMED
    assert client.again(acked=1)
    world.settle()


def test_a_client_waits_for_a_leader_and_is_told_after_a_while_that_there_is_none():
    world = World(3)
    for server in (2, 3):
        if (1, server) in world.wires:
            world.cut(1, server)
    world.pass_time(0.2)
    client = NativeClient(world, 1).greet()
    world.settle()
    assert not client.frames
    world.pass_time(5.0)
    assert client.refusal.code == NO_LEADER


# ---- requests


def test_replies_come_in_the_order_of_the_requests_pings_included():
    world = World()
    client = native_client(world)
    client.send(
        create("/a", b"1"), GetData("/a"), Ping(), SetData("/a", b"2"), GetData("/a"), Authenticate("digest", b"u:p")
    )
    world.settle()
    assert [answer.id for answer in client.answers] == [1, 2, 3, 4, 5, 6]
    kinds = [type(client.read(answer)) for answer in client.answers]
    assert kinds == [Created, DataReply, Done, Written, DataReply, Done]
    assert [client.read(client.answers[n]).data for n in (1, 4)] == [b"1", b"2"]


def test_the_zxid_of_a_write_is_its_own():
    world = World()
    client = native_client(world)
    client.do(create("/a"), create("/b"), create("/c"))
    first = client.answers[0].zxid
    assert [answer.zxid for answer in client.answers] == [first, first + 1, first + 2]
    assert [client.read(answer).stat.czxid for answer in client.answers] == [first, first + 1, first + 2]


def test_a_failed_multi_is_answered_with_the_error_of_its_step():
    world = World()
    client = native_client(world)
    client.do(create("/a"))
    (error,) = client.do(Multi((SetData("/a", b"x"), SetData("/a", b"y", 7), SetData("/a", b"z"))))
    assert isinstance(error, BadVersionError)
    assert native.failed_step_of(client.answers[-1]) == 1


def test_operations_of_this_protocol_only():
    world = World()
    client = native_client(world)
    made, page, deleted = client.do(
        Create("/a/b/c", b"x", OPEN_ACL, 0, -1, True), ChildrenPage("/a", "", 10, True), DeleteTree("/a")
    )
    assert made.path == "/a/b/c"
    assert isinstance(page, PageReply)
    assert [name for name, _, _ in page.children] == ["b"]
    assert deleted == Done()
    lock, _ = client.do(create("/lock"), Exists("/lock"))
    (done,) = client.do(Multi((CheckCreated("/lock", lock.stat.czxid), create("/guarded"))))
    assert done.replies[1].path == "/guarded"


def test_an_authentication_that_fails_is_answered_and_the_connection_goes_on():
    world = World()
    client = native_client(world)
    failed, made = client.do(Authenticate("kerberos", b""), create("/a"))
    assert isinstance(failed, AuthFailedError)
    assert isinstance(made, Created)


def test_identities_count_for_what_comes_after_them():
    world = World()
    client = native_client(world)
    acl = ((31, "auth", ""),)
    client.send(create("/before"), Authenticate("digest", b"ann:pw"), Create("/after", b"", acl))
    world.settle()
    (reply,) = client.do(GetAcl("/after"))
    assert [scheme for _, scheme, _ in reply.acl] == ["digest"]
    other = native_client(world)
    assert isinstance(other.do(GetData("/after"))[0], NoAuthError)


def test_closing_the_session_is_answered_and_then_the_server_says_goodbye():
    world = World()
    client = native_client(world)
    client.send(CloseSession())
    world.settle()
    assert [type(each) for each in client.frames[-1]] == [native.Answer, Goodbye]
    assert client.goodbye.code == CLOSED
    assert client.hung_up
    assert client.welcome.session not in world.leader.machine.sessions


# ---- numbers


def test_what_is_sent_again_after_a_reconnect_is_done_once():
    world = World(3)
    client = native_client(world)
    client.do(sequential("/n-"))
    client.send(sequential("/n-"), sequential("/n-"), GetData("/n-0000000002"))
    world.settle()
    again = client.again(2)
    again.send(sequential("/n-"), sequential("/n-"), GetData("/n-0000000002"), sequential("/n-"), number=2)
    world.settle()
    assert [each.path for each in map(again.read, again.answers) if isinstance(each, Created)] == [
        "/n-0000000001",
        "/n-0000000002",
        "/n-0000000003",
    ]
    assert again.answers[0].zxid == client.answers[1].zxid
    names = [path for path in world.leader.machine.tree.nodes if path.startswith("/n-")]
    assert len(names) == 4


def test_what_was_forwarded_before_the_connection_broke_is_done_once():
    world = World(3)
    follower = next(server for server, replica in world.replicas.items() if not replica.participant.leads)
    client = native_client(world, follower)
    client.send(sequential("/n-"), sequential("/n-"))
    world.pump(follower)  # the run is under way
    world.replicas[follower].detach(client.pipeline)
    again = client.again(follower)
    again.send(sequential("/n-"), sequential("/n-"), number=1)
    world.settle()
    assert [again.read(answer).path for answer in again.answers] == ["/n-0000000000", "/n-0000000001"]
    assert len([path for path in world.leader.machine.tree.nodes if path.startswith("/n-")]) == 2


def test_a_gap_fails_and_what_was_to_fill_it_can_still_come():
    world = World()
    client = native_client(world)
    (gap,) = client.do(create("/b"), number=2)
    assert isinstance(gap, BadArgumentsError)
    first, second = client.do(create("/a"), create("/b"), number=1)
    assert (first.path, second.path) == ("/a", "/b")


def test_numbers_out_of_step_in_one_frame_do_not_share_a_run():
    world = World()
    client = native_client(world)
    frame = [
        native.encode_request(n, create(f"/{n}"), number) for n, number in ((1, 1), (2, 2), (3, 2), (4, 3), (5, 9))
    ]
    client.asked = {n: create("/x") for n in range(1, 6)}
    client.send_bytes(native.encode_frame(frame))
    world.settle()
    replies = [client.read(answer) for answer in client.answers]
    assert [each.path for each in replies[:4]] == ["/1", "/2", "/2", "/4"]
    assert isinstance(replies[4], BadArgumentsError)


def test_what_is_acknowledged_is_not_kept():
    world = World(3)
    client = native_client(world)
    client.do(create("/a"), SetData("/a", b"1"), SetData("/a", b"2"))
    ledger = world.leader.machine.sessions[client.welcome.session].ledger
    assert (ledger.acked, len(ledger.kept)) == (0, 3)
    client.do(Acknowledge(2), SetData("/a", b"3"))
    assert (ledger.acked, len(ledger.kept)) == (2, 2)
    world.pass_time(0.2)  # servers without clients hear of a commit with the next heartbeat
    for replica in world.replicas.values():
        assert replica.machine.digest == world.leader.machine.digest


def test_who_does_not_acknowledge_is_held_up(monkeypatch):
    monkeypatch.setattr(kept, "KEPT_REPLIES_MAX", 4)
    world = World()
    client = native_client(world)
    replies = client.do(*[create(f"/{n}") for n in range(5)])
    assert isinstance(replies[4], UnacknowledgedError)
    client.send(Acknowledge(4))
    (made,) = client.do(create("/4"), number=5)
    assert isinstance(made, Created)


def test_an_acknowledgement_of_the_future_ends_the_connection():
    world = World()
    client = native_client(world)
    client.do(create("/a"))
    client.send(Acknowledge(2))
    world.settle()
    assert client.goodbye.code == MALFORMED
    assert client.hung_up


def test_a_new_leader_changes_nothing_for_the_numbers():
    world = World(3)
    leader = world.leader.server
    follower = next(server for server in world.replicas if server != leader)
    other = next(server for server in world.replicas if server not in (leader, follower))
    client = native_client(world, follower, timeout_ms=40_000)
    client.do(create("/a"))
    client.send(*[sequential("/n-") for _ in range(5)])
    world.cut(leader, follower)
    world.cut(leader, other)
    world.pass_time(5)
    assert [client.read(answer).path for answer in client.answers[1:]] == [f"/n-{n:010d}" for n in range(1, 6)]
    assert not client.hung_up


# ---- what waits for a state


def test_what_follows_a_sync_is_answered_after_it_though_nobody_waits_for_the_sync():
    world = World(3)
    follower = next(server for server in world.replicas if server != world.leader.server)
    writer, reader = native_client(world, world.leader.server), native_client(world, follower)
    writer.do(create("/a", b"1"))
    reader.send(Sync("/"), silent=True)
    reader.send(GetData("/a"))
    world.pump(follower)
    assert not reader.answers
    world.settle()
    assert [answer.id for answer in reader.answers] == [1]


def test_a_sync_that_is_waited_for_is_answered():
    world = World(3)
    client = native_client(world)
    made, synced = client.do(create("/a"), Sync("/"))
    assert isinstance(made, Created)
    assert synced == Synced("/")


def test_what_follows_an_at_least_waits_for_that_state():
    world = World()
    client, writer = native_client(world), native_client(world)
    writer.do(create("/a", b"old"))
    zxid = world.leader.machine.zxid
    client.send(AtLeast(zxid + 2), silent=True)
    client.send(GetData("/a"))
    world.settle()
    assert not client.answers
    writer.do(SetData("/a", b"mid"))
    assert not client.answers
    writer.do(SetData("/a", b"new"))
    assert [client.read(answer).data for answer in client.answers] == [b"new"]
    assert client.do(AtLeast(zxid)) == [Done()]


def test_who_is_gone_waits_for_no_state_any_more():
    world = World()
    client = native_client(world)
    client.send(AtLeast(1 << 60))
    world.settle()
    syncs = world.replicas[1].clients.syncs
    assert len(syncs._reaching) == 1
    world.replicas[1].detach(client.pipeline)
    assert not syncs._reaching


def test_a_write_behind_an_at_least_is_answered_in_its_turn():
    world = World()
    client = native_client(world)
    client.send(AtLeast(world.leader.machine.zxid + 2), create("/a"), create("/b"), GetData("/a"))
    world.settle()
    assert [answer.id for answer in client.answers] == [1, 2, 3, 4]


# ---- the ends


def test_after_what_cannot_be_read_nothing_is_done_any_more():
    world = World()
    client = native_client(world)
    client.send(create("/a"))
    client.send_bytes(native.encode_frame([native.encode_request(2, create("/b"), 2), b"\x82\x03\x18\xff"]))
    client.number, client.next_id = 1, 3
    client.send(create("/c"))
    world.settle()
    assert [answer.id for answer in client.answers] == [1]
    assert client.goodbye.code == MALFORMED
    assert "255" in client.goodbye.reason
    assert {"/b", "/c"}.isdisjoint(world.leader.machine.tree.nodes)


def test_a_session_that_expires_is_told_of_it():
    world = World()
    client = native_client(world)
    world.pass_time(6.0)
    assert client.goodbye.code == SESSION_UNKNOWN
    assert not client.of(Refusal)


def test_a_connection_whose_session_has_moved_is_told_and_its_late_writes_are_not_failed():
    world = World(3)
    client = native_client(world, 1)
    again = client.again(2)
    world.settle()
    assert client.goodbye.code == MOVED
    assert not client.answers
    assert again.do(create("/a"))[0].path == "/a"


def test_clients_of_a_server_that_jumped_are_told_to_come_again():
    world = World()
    client = native_client(world)
    world.replicas[1].clients.state_replaced()
    world.settle()
    assert client.goodbye.code == SKIPPED


def test_a_read_of_nothing_is_an_error_with_its_path():
    world = World()
    (error,) = native_client(world).do(GetData("/none"))
    assert isinstance(error, NoNodeError)
    assert "/none" in str(error)


def test_a_sync_that_waits_for_its_turn_shows_the_zxid_of_its_turn():
    """Found by the simulator: released before the write ahead of it, it was sent after that with an older zxid."""
    world = World(3)
    leader = world.leader.server
    follower = next(server for server in world.replicas if server != leader)
    others = {server for server in world.replicas if server != follower}
    client = native_client(world, follower)
    world.held |= others  # nothing is committed
    client.send(create("/a"), Sync("/"), GetData("/a"))
    world.settle()
    assert not client.answers
    world.held.clear()
    world.settle()
    assert [answer.id for answer in client.answers] == [1, 2, 3]
    zxids = [answer.zxid for answer in client.answers]
    assert zxids == sorted(zxids)
