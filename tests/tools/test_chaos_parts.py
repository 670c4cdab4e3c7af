"""The parts of a chaos run: its plan, its proxies, and the log it puts together from what was on the disks."""

import socket
import threading
from contextlib import ExitStack
from itertools import islice

import pytest

from coord.codec.batch import encode_batch
from coord.codec.entries import encode_run
from coord.model.acl import OPEN_ACL
from coord.model.entries import Batch, Run, zxid_of
from coord.model.requests import Create
from tools.chaos.faults import FAULTS
from tools.chaos.logs import Keeper, LogError, batches_in, committed, joined
from tools.chaos.plan import rounds
from tools.chaos.proxies import Proxies
from tools.check.replay import batches_of

# ---- the plan


def test_a_seed_makes_the_same_plan_again():
    one, other = rounds(7, tuple(FAULTS)), rounds(7, tuple(FAULTS))
    assert list(islice(one, 50)) == list(islice(other, 50))
    assert list(islice(rounds(8, tuple(FAULTS)), 5)) != list(islice(rounds(7, tuple(FAULTS)), 5))


def test_every_fault_has_its_turn_before_one_comes_again():
    deeds = [deed.fault for each in islice(rounds(3, tuple(FAULTS)), len(FAULTS)) for deed in each.deeds]
    assert set(deeds[: len(FAULTS) + 3]) == set(FAULTS)  # those of one round may have changed places
    assert all(getattr(fault, "__name__", "") == name for name, fault in FAULTS.items())


# ---- the log


def batch(epoch, count, previous, data=b""):
    run = Run(0, 0, 0, 1, 0, (), (Create("/a", data, OPEN_ACL),))
    made = Batch(epoch, zxid_of(epoch, count), 1, previous, 5, 0, 0, encode_run(run))
    encode_batch(made)
    return made


def test_batches_are_found_among_anything_else():
    one, two = batch(1, 1, 0), batch(1, 2, zxid_of(1, 1), b"cob1 is no batch")
    torn = batch(1, 3, zxid_of(1, 2)).encoded[:-1]
    data = b"header cob1" + one.encoded + bytes(100) + two.encoded + b"cob1" + torn + bytes(20)
    assert [each.encoded for each in batches_in(data)] == [one.encoded, two.encoded]


def test_the_committed_log_is_found_from_its_end_backwards():
    one, two = batch(1, 1, 0), batch(1, 2, zxid_of(1, 1))
    lost = batch(1, 3, zxid_of(1, 2))
    three = batch(2, 1, zxid_of(1, 2))
    found = committed({each.last: each for each in (lost, three, one, two)}, three.last)
    assert found == [one, two, three]
    assert [each.encoded for each in batches_of(joined(found))] == [each.encoded for each in found]


def test_a_hole_in_the_committed_log_is_an_error():
    three = batch(2, 1, zxid_of(1, 2))
    with pytest.raises(LogError, match="on no disk"):
        committed({three.last: three}, three.last)


def test_segments_that_were_dropped_are_still_known(tmp_path):
    log, kept = tmp_path / "log", tmp_path / "kept"
    log.mkdir()
    one, two = batch(1, 1, 0), batch(1, 2, zxid_of(1, 1))
    (log / "1").write_bytes(one.encoded)
    with Keeper({log: kept}) as keeper:
        assert set(keeper.batches()) == {one.last}
        (log / "1").unlink()
        (log / "2").write_bytes(two.encoded)
        assert set(keeper.batches()) == {one.last, two.last}


def test_two_servers_that_wrote_different_batches_are_found_out(tmp_path):
    folders = {}
    for server in (1, 2):
        log = tmp_path / f"log{server}"
        log.mkdir()
        (log / "1").write_bytes(batch(1, 1, 0, b"%d" % server).encoded)
        folders[log] = tmp_path / f"kept{server}"
    with Keeper(folders) as keeper, pytest.raises(LogError, match="different batches"):
        keeper.batches()


# ---- the proxies


@pytest.fixture
def ends():
    """Proxies, a link, and the two ends of a connection through it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxies = stack.enter_context(Proxies())
        link = proxies.open("a to b", listener.getsockname()[1])
        near = stack.enter_context(socket.create_connection(("127.0.0.1", link.port), 30))
        far = stack.enter_context(listener.accept()[0])
        far.settimeout(30)
        near.sendall(b".")
        assert far.recv(1) == b"."  # only now is it sure that the proxies know of the connection
        yield proxies, link, near, far


def test_bytes_pass_in_both_directions(ends):
    _, _, near, far = ends
    near.sendall(b"there")
    assert far.recv(100) == b"there"
    far.sendall(b"back")
    assert near.recv(100) == b"back"


def test_what_was_held_comes_when_all_who_held_it_have_released_it(ends):
    proxies, link, near, far = ends
    proxies.hold([link.there])
    proxies.hold([link.there])
    near.sendall(b"late")
    far.sendall(b"the other direction is open")
    assert near.recv(100) == b"the other direction is open"
    proxies.release([link.there])
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(100)
    far.settimeout(30)
    proxies.release([link.there])
    assert far.recv(100) == b"late"


def test_the_end_of_a_connection_does_not_get_through_a_held_way_either(ends):
    proxies, link, near, far = ends
    proxies.hold([link.there])
    near.close()
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(100)
    far.settimeout(30)
    proxies.release([link.there])
    assert far.recv(100) == b""


def test_what_is_slow_comes_all_the_same(ends):
    proxies, link, near, far = ends
    proxies.slow_down([link.there], 0.01)
    near.sendall(b"one")
    assert far.recv(100) == b"one"


def test_a_reset_is_told_to_both_ends(ends):
    proxies, link, near, far = ends
    proxies.reset([link])
    for end in (near, far):
        with pytest.raises(ConnectionResetError):
            end.recv(100)


def test_one_direction_can_end_while_the_other_goes_on(ends):
    proxies, link, near, far = ends
    proxies.close_one_way(link, link.there)
    assert far.recv(100) == b""
    near.sendall(b"nobody hears this")
    far.sendall(b"but this arrives")
    assert near.recv(100) == b"but this arrives"


def test_a_port_behind_which_nobody_listens_resets(ends):
    proxies, _, _, _ = ends
    with socket.socket() as nobody, socket.socket() as near:
        nobody.bind(("127.0.0.1", 0))
        link = proxies.open("to nobody", nobody.getsockname()[1])
        near.settimeout(30)

        def ask():
            near.connect(("127.0.0.1", link.port))
            near.recv(100)

        with pytest.raises(ConnectionResetError):
            ask()


def test_the_thread_of_the_proxies_ends_with_them():
    with Proxies():
        assert "proxies" in {thread.name for thread in threading.enumerate()}
    assert "proxies" not in {thread.name for thread in threading.enumerate()}
