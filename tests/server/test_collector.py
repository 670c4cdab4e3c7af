import gc
import sys
import textwrap
import weakref
from collections import Counter

import pytest
import trio
import trio.testing

import coord
from coord.server import collector
from coord.server.collector import QUIET_OBJECTS_MAX, QUIET_REQUESTS_MAX, kept_short, tidy

GUESTS = textwrap.dedent("""
    import socket, sys
    import coord
    from tools.wire import jute
    path = sys.argv[1].removeprefix("unix:")
    for _ in range(int(sys.argv[2])):
        with coord.connect_blocking(sys.argv[1]) as client:
            client.create("/guest", ephemeral=True)
            client.exists("/missing")
            try:
                client.set("/missing", b"")
            except coord.NoNodeError:
                pass
            with client.watch("/guest") as events:
                client.set("/guest", b"")
        for first in (b"ruok", b"\\0\\0\\0\\5hello", bytes(44), b""):
            with socket.socket(socket.AF_UNIX) as guest:
                guest.connect(path)
                guest.sendall(first)
                if first == b"ruok":
                    guest.recv(10)
        with socket.socket(socket.AF_UNIX) as guest:  # it pings, as ZooKeeper's clients do
            guest.connect(path)
            guest.sendall(jute.connect_request(10_000))
            guest.recv(100)
            for _ in range(3):
                guest.sendall(jute.request(jute.PING_XID, jute.Op.PING))
                assert len(guest.recv(100)) == 20
""")


async def test_clients_that_come_and_go_leave_no_cycles_for_the_collector() -> None:
    """The server's collector does not look at old objects again: a cycle for each connection would be a leak."""
    async with coord.embedded() as client:

        async def receive_guests(times: int) -> None:
            command = [sys.executable, "-c", GUESTS, client.server.address, str(times)]
            await trio.run_process(command)

        await receive_guests(1)  # what is made once
        gc.collect()
        gc.disable()
        try:
            await receive_guests(5)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = Counter(type(each).__qualname__ for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert max(found.values(), default=0) < 5, found


class Cell:
    """Something that the collector looks at, and that can hold itself."""

    held: "Cell"


def test_what_comes_in_a_busy_second_is_never_looked_at() -> None:
    with kept_short():
        cells = [Cell() for _ in range(1000)]
        frozen = gc.get_freeze_count()
        tidy(QUIET_REQUESTS_MAX + 1)
        assert gc.get_freeze_count() >= frozen + len(cells)
        assert not any(type(each) is Cell for generation in range(3) for each in gc.get_objects(generation))


def test_a_second_in_which_a_snapshot_was_read_is_busy_without_any_request() -> None:
    with kept_short():
        cells = [Cell() for _ in range(QUIET_OBJECTS_MAX + 1000)]
        frozen = gc.get_freeze_count()
        tidy(0)
        assert gc.get_freeze_count() >= frozen + len(cells)


def test_a_cycle_of_a_quiet_second_is_found_and_nothing_is_looked_for_before() -> None:
    runs: list[int] = []

    def note(phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            runs.append(information["generation"])

    with kept_short():
        gc.callbacks.append(note)
        try:
            cell = Cell()
            cell.held, gone = cell, weakref.ref(cell)
            del cell
            cells = [Cell() for _ in range(QUIET_OBJECTS_MAX - 10_000)]
            assert (runs, gone() is None) == ([], False)
            tidy(QUIET_REQUESTS_MAX)
            assert (runs, gone() is None) == ([1], True)
        finally:
            gc.callbacks.remove(note)
    assert len(cells) == QUIET_OBJECTS_MAX - 10_000
    assert gc.isenabled()


async def test_it_is_tidied_up_once_a_second(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    counts = iter((0, 10, QUIET_REQUESTS_MAX + 11))
    tidied: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collector, "tidy", tidied.append)
        nursery.start_soon(collector.run_tidying, lambda: next(counts, 0))
        await trio.sleep(2.5)
    nursery.cancel_scope.cancel()
    assert tidied == [10, QUIET_REQUESTS_MAX + 1]
