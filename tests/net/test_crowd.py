"""Connections that are heard without waking their tasks."""

import random
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from coord.net.crowd import AT_ONCE_MAX, Crowd
from coord.net.network import Listener, Stream, TcpNetwork
from coord.testing.network import MemoryNetwork


class Nonsense(ValueError):
    """What was heard makes no sense."""


class Listening:
    """One member: what it heard, and how its listening ended. It has heard enough with "stop"."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.goes_on: bool | None = None
        self.error: BaseException | None = None
        self.came = trio.Event()  # something was heard; made anew by `wait_heard`
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        self.on_hearing: Callable[[], None] = lambda: None

    def hear(self, data: bytes) -> bool:
        self.heard.append(data)
        self.on_hearing()
        self.came.set()
        if data == b"fail":
            raise Nonsense
        return data != b"stop"

    async def run(self, crowd: Crowd, stream: Stream) -> None:
        try:
            with self.scope:
                self.goes_on = await crowd.listen(stream, self.hear)
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            self.error = error
        self.ended.set()

    async def wait_heard(self, count: int) -> None:
        while len(self.heard) < count:
            self.came = trio.Event()
            await self.came.wait()


async def tcp_pair(listener: Listener) -> tuple[Stream, Stream]:
    caller = await TcpNetwork().connect(*listener.address)
    return caller, await listener.accept()


@asynccontextmanager
async def crowd_of(
    *members: Listening, runs: bool = True
) -> AsyncIterator[tuple[Crowd, list[Stream], list[Stream], Listener, trio.Nursery]]:
    """A crowd and its members, with the streams through which they are spoken to, and their own."""
    crowd = Crowd()
    (listener,) = await TcpNetwork().listen("127.0.0.1", 0)
    pairs = [await tcp_pair(listener) for _ in members]
    async with trio.open_nursery() as nursery:
        if runs:
            nursery.start_soon(crowd.run)
            await trio.testing.wait_all_tasks_blocked(0.001)
        for member, (_, called) in zip(members, pairs, strict=True):
            nursery.start_soon(member.run, crowd, called)
        await trio.testing.wait_all_tasks_blocked(0.001)
        yield crowd, [caller for caller, _ in pairs], [called for _, called in pairs], listener, nursery
        nursery.cancel_scope.cancel()
    for stream in (each for pair in pairs for each in pair):
        stream.close()
    listener.close()


@pytest.mark.parametrize("runs", [True, False])
async def test_each_member_hears_what_comes_until_it_has_heard_enough(runs: bool) -> None:
    one, other = Listening(), Listening()
    async with crowd_of(one, other, runs=runs) as (_, (to_one, to_other), (stream, _), _, _):
        for number in range(3):
            to_one.send_now(b"to 1")
            to_other.send_now(b"to 2")
            await one.wait_heard(number + 1)
            await other.wait_heard(number + 1)
        to_one.send_now(b"stop")
        await one.ended.wait()
        to_one.send_now(b"more")
        assert await stream.receive() == b"more"
        assert (one.heard, one.goes_on) == ([b"to 1"] * 3 + [b"stop"], True)
        assert (other.heard, other.goes_on) == ([b"to 2"] * 3, None)


async def test_what_had_come_before_is_heard() -> None:
    member = Listening()
    async with crowd_of(Listening()) as (crowd, _, _, listener, nursery):
        caller, called = await tcp_pair(listener)
        caller.send_now(b"early")
        nursery.start_soon(member.run, crowd, called)
        await member.wait_heard(1)
        caller.close()
        await member.ended.wait()
        called.close()


@pytest.mark.parametrize("runs", [True, False])
async def test_the_end_of_a_stream_is_told(runs: bool) -> None:
    member = Listening()
    async with crowd_of(member, runs=runs) as (_, (caller,), _, _, _):
        caller.close()
        await member.ended.wait()
        assert (member.heard, member.goes_on) == ([], False)


@pytest.mark.parametrize("runs", [True, False])
async def test_an_end_that_comes_with_the_last_words_is_told(runs: bool) -> None:
    member = Listening()
    async with crowd_of(member, runs=runs) as (_, (caller,), _, _, _):
        caller.send_now(b"word")
        caller.close()
        await member.ended.wait()
        assert member.heard == [b"word"]


async def test_an_error_is_raised_where_it_belongs_and_the_others_go_on() -> None:
    one, other = Listening(), Listening()
    async with crowd_of(one, other) as (_, (to_one, to_other), _, _, _):
        to_one.send_now(b"fail")
        await one.ended.wait()
        assert isinstance(one.error, Nonsense)
        error, one.error = weakref.ref(one.error), None
        assert error() is None  # without the collector
        to_other.send_now(b"word")
        await other.wait_heard(1)


async def test_who_is_cancelled_leaves_and_may_come_again() -> None:
    member, again = Listening(), Listening()
    async with crowd_of(member) as (crowd, (caller,), (called,), _, nursery):
        member.scope.cancel()
        await member.ended.wait()
        nursery.start_soon(again.run, crowd, called)
        caller.send_now(b"word")
        await again.wait_heard(1)
        assert member.heard == []


async def test_a_closed_streams_number_goes_to_the_next_and_its_task_leaves_later() -> None:
    """A connection is closed by whoever finds it broken; its reader is cancelled in a later turn."""
    former, later = Listening(), Listening()
    async with crowd_of(former) as (crowd, _, (called,), listener, nursery):
        number = called.fileno()
        called.close()
        spare: list[Stream] = []
        while True:
            caller, next_called = await tcp_pair(listener)
            spare += caller, next_called
            if number in (caller.fileno(), next_called.fileno()):
                break
        if caller.fileno() == number:
            caller, next_called = next_called, caller
        nursery.start_soon(later.run, crowd, next_called)
        await trio.testing.wait_all_tasks_blocked(0.001)
        former.scope.cancel()
        await former.ended.wait()
        caller.send_now(b"word")
        await later.wait_heard(1)
        assert former.heard == []
        later.scope.cancel()
        await later.ended.wait()
        for stream in spare:
            stream.close()


async def test_who_is_closed_while_another_is_heard_hears_no_more() -> None:
    one, other = Listening(), Listening()
    async with crowd_of(one, other) as (_, (to_one, to_other), (_, others), _, _):
        one.on_hearing = others.close
        to_one.send_now(b"word")
        to_other.send_now(b"word")
        await one.wait_heard(1)
        other.scope.cancel()  # if what it was told had not come yet, nothing else wakes it
        await other.ended.wait()
        assert other.heard == []
        assert not other.goes_on
        to_one.send_now(b"word")
        await one.wait_heard(2)


class Turns(trio.abc.Instrument):
    """Counts those of the event loop."""

    count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_others_get_their_turn_when_so_many_were_heard_at_once() -> None:
    members = [Listening() for _ in range(2 * AT_ONCE_MAX + 20)]
    turns, heard_in = Turns(), Counter[int]()
    trio.lowlevel.add_instrument(turns)
    async with crowd_of(*members) as (_, callers, _, _, _):
        for member, caller in zip(members, callers, strict=True):
            member.on_hearing = lambda: heard_in.update([turns.count])
            caller.send_now(b"word")
        for member in members:
            await member.wait_heard(1)
    trio.lowlevel.remove_instrument(turns)
    assert heard_in.total() == len(members)
    assert max(heard_in.values()) < 2 * AT_ONCE_MAX  # the last look may find so many more


async def test_a_stream_of_no_number_is_heard_by_its_own_task(autojump_clock: trio.testing.MockClock) -> None:
    member, crowd = Listening(), Crowd()
    network = MemoryNetwork(random.Random(1))
    (listener,) = await network.host("server").listen("server", 1)
    caller = await network.host("client").connect("server", 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.run)
        nursery.start_soon(partial(member.run, crowd, await listener.accept()))
        caller.send_now(b"word")
        await member.wait_heard(1)
        caller.close()
        await member.ended.wait()
        nursery.cancel_scope.cancel()
    assert (member.heard, member.goes_on) == ([b"word"], False)
