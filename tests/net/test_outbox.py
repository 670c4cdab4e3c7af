"""What waits for a receiver: in order, bounded, and gone when the connection is."""

import pytest
import trio

from coord.net.network import Stream, TcpNetwork
from coord.net.outbox import Outbox

LIMIT_BYTES = 32 << 20
MUCH = bytes(range(256)) * (16 << 12)  # more than the kernel takes at once


async def pair() -> tuple[Stream, Stream]:
    """The end an outbox sends from, and the end that receives."""
    network = TcpNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    caller = await network.connect(*listener.address)
    called = await listener.accept()
    listener.close()
    return caller, called


async def receive_all(stream: Stream) -> bytes:
    received = bytearray()
    while data := await stream.receive():
        received += data
    stream.close()
    return bytes(received)


async def test_what_the_kernel_takes_leaves_at_once_and_without_a_task() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    outbox.put(b"at once")
    assert outbox.bytes_waiting == 0
    assert await there.receive() == b"at once"
    outbox.close("the end")
    there.close()


async def test_what_the_kernel_does_not_take_follows_in_order() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    pieces = [MUCH, b"small", MUCH[:100_000], b"", b"last"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        for piece in pieces:
            outbox.put(piece)
        assert outbox.bytes_waiting > 0
        outbox.finish("all is said")
        outbox.put(b"too late")
        assert await receive_all(there) == b"".join(pieces)
    assert (outbox.closed, outbox.bytes_waiting, outbox.why) == (True, 0, "all is said")


async def test_finishing_with_nothing_waiting_closes_at_once() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    outbox.put(b"last words")
    outbox.finish("done")
    assert outbox.closed
    assert await receive_all(there) == b"last words"


async def test_who_does_not_read_is_given_up_at_the_limit() -> None:
    here, there = await pair()
    outbox = Outbox(here, 1 << 20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        for _ in range(1_000):
            outbox.put(bytes(100_000))
            await trio.lowlevel.checkpoint()
        assert outbox.closed
        assert "it does not read" in outbox.why
        assert "the limit is 1048576" in outbox.why
        assert outbox.bytes_waiting == 0  # nothing is kept for it
    there.close()


async def test_it_tells_each_time_nothing_is_left() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    told: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, lambda: told.append(outbox.bytes_waiting))
        for round_ in (1, 2):
            outbox.put(MUCH)
            received = 0
            while received < len(MUCH):
                received += len(await there.receive())
            await outbox.wait_drained()
            await trio.testing.wait_all_tasks_blocked()
            assert told == [0] * round_
        outbox.close("the end")
    there.close()


async def test_it_shows_that_a_slow_receiver_takes_something() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run)
        outbox.put(MUCH)
        await trio.testing.wait_all_tasks_blocked()
        before = outbox.pieces_sent
        received = 0
        while received < 12 << 20:
            received += len(await there.receive())
        await trio.testing.wait_all_tasks_blocked()
        assert outbox.pieces_sent > before
        outbox.close("the end")
    there.close()


async def test_closing_while_it_sends_ends_the_task_and_wakes_who_waits() -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            outbox.put(MUCH)
            nursery.start_soon(outbox.wait_drained)
            await trio.testing.wait_all_tasks_blocked()
            outbox.close("enough")
    assert (outbox.closed, outbox.why, outbox.bytes_waiting) == (True, "enough", 0)
    assert len(await receive_all(there)) < len(MUCH)


@pytest.mark.parametrize("waiting", [b"", MUCH])
async def test_a_receiver_that_goes_away_closes_it_and_raises_nothing(waiting: bytes) -> None:
    here, there = await pair()
    outbox = Outbox(here, LIMIT_BYTES)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            outbox.put(waiting)
            there.close()
            while not outbox.closed:
                outbox.put(b"are you there?")
                await trio.lowlevel.checkpoint()
    assert "sending failed" in outbox.why
    outbox.put(b"more")  # goes nowhere
    assert outbox.bytes_waiting == 0
