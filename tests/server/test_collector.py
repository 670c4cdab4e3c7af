import gc
import sys
import textwrap
from collections import Counter

import trio

import coord
from coord.server.collector import YOUNG_OBJECTS, YOUNG_RUNS, kept_short

GUESTS = textwrap.dedent("""
    import socket, sys
    import coord
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


def test_no_run_of_the_collector_looks_at_more_than_the_young() -> None:
    class Cell:
        pass

    looked_at: list[int] = []

    def note(phase: str, information: dict[str, int]) -> None:
        if phase == "start":
            looked_at.append(sum(len(gc.get_objects(each)) for each in range(information["generation"] + 1)))

    before = gc.get_threshold()
    with kept_short():
        gc.callbacks.insert(0, note)
        cells = [Cell() for _ in range(YOUNG_OBJECTS * YOUNG_RUNS * 4)]
        gc.callbacks.remove(note)
        assert gc.get_freeze_count() > len(cells) // 2
    assert gc.get_threshold() == before
    assert len(looked_at) > YOUNG_RUNS
    assert max(looked_at) < YOUNG_OBJECTS * (YOUNG_RUNS + 3)
