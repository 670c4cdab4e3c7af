"""Real servers, killed and frozen, while clients write: nothing acknowledged is lost, nothing is done twice."""

import contextlib
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

from tools.chaos.writers import PARENT, Ledger, Writer, check, tree
from tools.ensembles import Ensemble
from tools.ensembles.words import ask
from tools.wire.client import HungUpError, RawClient

pytestmark = pytest.mark.long(60)

WAIT_S = 60.0


@contextlib.contextmanager
def writers(ensemble: Ensemble, for_each_server: int = 2) -> Iterator[list[Writer]]:
    with RawClient(ensemble.members[1].client_port) as client:
        client.create(PARENT)
        client.close_session()
    for member in ensemble.members.values():
        with RawClient(member.client_port) as client:
            client.sync()
            client.close_session()
    started = [
        Writer(ensemble, home, f"writer-{home}-{number}")
        for home in ensemble.members
        for number in range(for_each_server)
    ]
    for writer in started:
        writer.start()
    try:
        yield started
    finally:
        for writer in started:
            writer.stop()


def wait_progress(ensemble: Ensemble, running: list[Writer], answers: int = 20) -> None:
    """Until each of these writers has had so many more of its writes acknowledged."""
    aims = [(writer, writer.answers + answers) for writer in running]

    def done() -> bool:
        for writer, _ in aims:
            assert not writer.ledger.errors, (writer.ledger.name, writer.ledger.errors)
        return all(writer.answers >= aim for writer, aim in aims)

    def state() -> str:
        return ", ".join(f"{writer.ledger.name}: {writer.answers} of {aim}" for writer, aim in aims)

    ensemble.wait_until(done, "the writers to get on", WAIT_S, state)


def check_everywhere(ensemble: Ensemble, ledgers: list[Ledger], is_coord: bool) -> None:
    """Each server shows every writer's writes as promised, and all servers show the same tree."""
    trees = []
    for member in ensemble.members.values():
        with RawClient(member.client_port, timeout_ms=30_000) as client:
            client.sync()
            trees.append(tree(client))
            for ledger in ledgers:
                stat = client.exists(f"{PARENT}/{ledger.name}")
                assert stat is not None
                check(ledger, client.children(f"{PARENT}/{ledger.name}"), stat.version)
    assert trees[0] == trees[1] == trees[2]
    if is_coord:  # ZooKeeper shows a digest of every 128th transaction only
        ports = [member.client_port for member in ensemble.members.values()]
        ensemble.wait_until(
            lambda: len({ask(port, "hash") for port in ports}) == 1,
            "the digests of all servers to be equal",
            WAIT_S,
            lambda: "\n".join(ask(port, "hash") for port in ports),
        )


@pytest.fixture
def survivor_states(own_ensemble: Ensemble) -> Iterator[dict[int, list[str]]]:
    """What a kazoo client of each server, of that server alone, hears about its connection, CONNECTED left out."""
    states: dict[int, list[str]] = {id: [] for id in own_ensemble.members}
    clients: dict[int, KazooClient] = {}
    for id in own_ensemble.members:
        client = clients[id] = KazooClient(own_ensemble.hosts([id]), timeout=10.0)
        client.add_listener(lambda state, id=id: states[id].append(state) if state != KazooState.CONNECTED else None)
        client.start(timeout=15)
    yield states
    for client in clients.values():
        client.stop()
        client.close()


def test_nothing_is_lost_or_done_twice_when_the_leader_is_killed_again_and_again_and_then_all(
    own_ensemble: Ensemble, survivor_states: dict[int, list[str]], is_coord: bool
) -> None:
    ensemble = own_ensemble
    killed: set[int] = set()
    with writers(ensemble) as running:
        wait_progress(ensemble, running)
        for _ in range(2):
            leader = ensemble.wait_leader()
            ensemble.kill9(leader)
            killed.add(leader)
            survivors = [writer for writer in running if writer.home != leader]
            wait_progress(ensemble, survivors)
            ensemble.start(leader)
            ensemble.wait_serving()
            wait_progress(ensemble, running)
        if is_coord:
            for id in set(ensemble.members) - killed:
                assert survivor_states[id] == [], f"a kazoo client of server {id}, never killed, lost its connection"
            for writer in running:
                if writer.home not in killed:
                    assert writer.ledger.connections_lost == 0, writer.ledger
        ensemble.kill9_all()
        ensemble.start_all()
        ensemble.wait_serving()
        wait_progress(ensemble, running)
    ledgers = [writer.ledger for writer in running]
    assert [ledger.errors for ledger in ledgers] == [[]] * len(ledgers)
    check_everywhere(ensemble, ledgers, is_coord)


def test_a_client_of_a_survivor_keeps_its_connection_when_the_leader_is_killed(
    own_ensemble: Ensemble, is_coord: bool
) -> None:
    if not is_coord:
        pytest.skip("ZooKeeper's followers close their clients' connections when they lose the leader")
    ensemble = own_ensemble
    leader = ensemble.wait_leader()
    survivor = min(set(ensemble.members) - {leader})
    states: list[str] = []
    client = KazooClient(ensemble.hosts([survivor]), timeout=10.0)
    client.add_listener(states.append)
    client.start(timeout=15)
    try:
        client.create("/a", b"")
        watched: list[object] = []
        client.get("/a", watch=watched.append)
        ensemble.kill9(leader)
        assert client.set("/a", b"after").version == 1  # waits for the new leader, on the same connection
        ensemble.wait_until(lambda: bool(watched), "the watch to fire", WAIT_S)
        assert states == [KazooState.CONNECTED]
    finally:
        client.stop()
        client.close()


def test_writes_go_on_while_the_leader_is_frozen_and_it_comes_back_as_a_follower(
    own_ensemble: Ensemble, is_coord: bool
) -> None:
    ensemble = own_ensemble
    frozen = ensemble.wait_leader()
    with writers(ensemble) as running:
        wait_progress(ensemble, running)
        ensemble.sigstop(frozen)
        wait_progress(ensemble, [writer for writer in running if writer.home != frozen])
        ensemble.sigcont(frozen)
        ensemble.wait_serving(timeout_s=WAIT_S)
        wait_progress(ensemble, running)
    ledgers = [writer.ledger for writer in running]
    assert [ledger.errors for ledger in ledgers] == [[]] * len(ledgers)
    check_everywhere(ensemble, ledgers, is_coord)


def test_a_minority_acknowledges_no_write_and_serves_again_with_a_majority(own_ensemble: Ensemble) -> None:
    ensemble = own_ensemble
    leader = ensemble.wait_leader()
    first, second = sorted(set(ensemble.members) - {leader})
    with RawClient(ensemble.members[leader].client_port) as client:
        client.create("/a", b"before")
        ensemble.kill9(first)
        ensemble.kill9(second)
        client.stream.settimeout(2.0)
        with contextlib.suppress(HungUpError, TimeoutError, OSError):
            client.set("/a", b"in vain")
            pytest.fail("one server of three acknowledged a write")
    ensemble.start(first)
    ensemble.wait_serving([leader, first])
    with RawClient(ensemble.members[first].client_port) as client:
        client.sync()
        assert client.get("/a")[0] in (b"before", b"in vain")
        client.set("/a", b"after")
    ensemble.start(second)
    ensemble.wait_serving()
    with RawClient(ensemble.members[second].client_port) as client:
        client.sync()
        assert client.get("/a")[0] == b"after"


def test_a_session_and_its_ephemerals_survive_the_restart_of_all_servers(own_ensemble: Ensemble) -> None:
    ensemble = own_ensemble
    with RawClient(ensemble.members[1].client_port, timeout_ms=20_000) as client:
        client.create("/e", b"mine", flags=1)
        client.create("/closed", b"not for long")
    with RawClient(ensemble.members[2].client_port, timeout_ms=1_000) as silent:
        silent.create("/silent", flags=1)
    ensemble.kill9_all()
    ensemble.start_all()
    ensemble.wait_serving()
    again = RawClient(
        ensemble.members[3].client_port,
        timeout_ms=20_000,
        session=client.session,
        password=client.password,
        seen_zxid=client.seen_zxid,
    )
    with again:
        data, stat = again.get("/e")
        assert (data, stat.ephemeral_owner) == (b"mine", client.session)
        if again.exists("/silent", watch=True) is not None:  # its session expires after the restart, too
            assert again.receive_event().path == "/silent"
        again.close_session()
    with RawClient(ensemble.members[1].client_port) as other:
        other.sync()
        assert other.exists("/e") is None
        assert other.exists("/closed") is not None


def test_a_server_that_missed_much_catches_up(own_ensemble: Ensemble, is_coord: bool) -> None:
    ensemble = own_ensemble
    behind = min(set(ensemble.members) - {ensemble.wait_leader()})
    ensemble.kill9(behind)
    others = sorted(set(ensemble.members) - {behind})
    with RawClient(ensemble.members[others[0]].client_port) as client:
        for number in range(300):
            client.create(f"/n-{number:04d}", b"x" * 1000)
        for number in range(0, 300, 3):
            client.delete(f"/n-{number:04d}")
    ensemble.start(behind)
    ensemble.wait_serving()
    check_everywhere(ensemble, [], is_coord)


def test_a_server_asked_to_end_ends_and_the_others_go_on(own_ensemble: Ensemble, is_coord: bool) -> None:
    ensemble = own_ensemble
    with writers(ensemble) as running:
        wait_progress(ensemble, running)
        leader = ensemble.wait_leader()
        status = ensemble.stop(leader)
        assert status == 0 or not is_coord
        wait_progress(ensemble, [writer for writer in running if writer.home != leader])
        ensemble.start(leader)
        ensemble.wait_serving()
        wait_progress(ensemble, running)
    ledgers = [writer.ledger for writer in running]
    assert [ledger.errors for ledger in ledgers] == [[]] * len(ledgers)
    check_everywhere(ensemble, ledgers, is_coord)
