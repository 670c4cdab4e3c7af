"""What is to be done is done now, and not with the next tick, whoever has the pump run."""

from typing import Any

import pytest
import trio
import trio.testing
from memory_ensemble import CLIENT_PORT, memory_ensemble
from memory_native import MemoryNative

from coord.codec import native
from coord.codec.peer import encode
from coord.model.handshake import BEHIND, Refusal, Welcome
from coord.model.requests import AtLeast, Exists
from coord.paxos.messages import Commit, Message
from coord.replica import limits
from coord.replica.ready import Ready
from coord.replica.replica import StateDiverged
from coord.server.driver import Driver
from tools.wire import jute
from tools.wire.jute import Op

MOMENT_S = 0.001
"""Far less than the time between two ticks."""


async def test_reads_that_were_held_back_for_what_had_to_leave_first_go_on_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        await client.create("/n", bytes(1000))
        monkeypatch.setattr(limits, "OUT_BYTES_MAX", 100)
        requests = [jute.request(1, Op.SET_DATA, jute.set_data("/n", bytes(1000)))]
        requests += [jute.request(xid, Op.GET_DATA, jute.path_and_watch("/n")) for xid in range(2, 9)]
        began = trio.current_time()
        client.stream.send_now(b"".join(requests))
        await trio.sleep(MOMENT_S)  # so that in the turn in which they come nobody runs but who reads them
        for xid in range(1, 9):
            assert (await client.receive()).xid == xid
        assert trio.current_time() == began + MOMENT_S


async def test_who_wants_a_state_that_is_there_is_answered_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        client = MemoryNative(await ensemble.network.host("c").connect("s1", CLIENT_PORT))
        await client.open()
        began = trio.current_time()
        messages = [native.encode_request(0, AtLeast(1), 0), native.encode_request(1, Exists("/"), 0)]
        await client.stream.send_all(native.encode_frame(messages))
        await client.receive()
        assert trio.current_time() == began


async def test_who_has_seen_what_an_idle_server_was_not_told_yet_to_be_committed_is_let_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        busy, idle = ensemble.followers()
        writer = await ensemble.client(busy)
        await trio.sleep(1)
        await writer.create("/n")
        assert ensemble.replicas[idle].machine.zxid < writer.seen_zxid
        client = MemoryNative(await ensemble.network.host("c").connect(f"s{idle}", CLIENT_PORT))
        await client.greet(seen=writer.seen_zxid)
        welcome = await client.receive()
        assert isinstance(welcome, Welcome)
        assert welcome.zxid >= writer.seen_zxid
        stranger = MemoryNative(await ensemble.network.host("d").connect(f"s{idle}", CLIENT_PORT))
        await stranger.greet(seen=welcome.zxid + 1000)
        refusal = await stranger.receive()
        assert isinstance(refusal, Refusal)
        assert refusal.code == BEHIND


class Sends(list[bytes]):
    """A link."""

    send = list.append


async def test_what_is_said_to_one_peer_in_a_row_leaves_in_one_send_and_nothing_changes_places() -> None:
    driver: Any = Driver(None, None, None)  # type: ignore[arg-type]
    one, two = Sends(), Sends()
    driver.links = {1: one, 2: two}
    said: list[Message] = [Commit(1, zxid, zxid) for zxid in range(6)]
    driver._perform(Ready(send_now=[(peer, said[zxid]) for zxid, peer in enumerate((1, 1, 2, 3, 3, 1))]))
    frames = [encode(message) for message in said]
    assert one == [frames[0] + frames[1], frames[5]]
    assert two == [frames[2]]


class BrokenReplica:
    """One that finds out, while it applies, that it must not go on."""

    def __init__(self) -> None:
        self.taken = self.asked = 0
        self.clients = self

    def take(self, now: float, wall_ms: int) -> None:
        self.taken += 1
        raise StateDiverged("the digests differ")

    def take_answers(self, pipeline: Any) -> bytes:
        self.asked += 1
        return b"an answer"


async def test_after_a_failure_nothing_is_taken_performed_or_answered_any_more() -> None:
    replica = BrokenReplica()
    driver: Any = Driver(replica, None, None)  # type: ignore[arg-type]
    driver.turn.tasks_ready = 0
    driver.feed_at_last()
    driver.feed_at_last()
    driver.submitted(None, None)
    assert (replica.taken, replica.asked) == (1, 0)
    with pytest.raises(StateDiverged):
        await driver.run_pump()  # it is this task that ends the server
    driver.turn.tasks_ready = 0
    driver.feed_at_last()
    assert replica.taken == 1
