"""A client is used in the thread where it was connected. In another each call says so and does nothing."""

import threading

import anyio
import anyio.to_thread
import pytest

import coord
from tests.client.both import on_both


async def pipelined(client: coord.Client) -> None:
    async with client.pipeline() as pipe:
        pipe.create("/elsewhere")


async def watched(client: coord.Client) -> None:
    async with client.watch("/"):
        pass


async def sent(client: coord.Client) -> None:
    txn = client.transaction()
    txn.create("/elsewhere")
    txn.send()


CALLS = [
    lambda client: client.create("/elsewhere"),
    lambda client: client.get("/"),
    lambda client: client.session.wait_state("LOST"),
    pipelined,
    watched,
    sent,
]


async def all_say_so(client: coord.Client) -> None:
    for call in CALLS:
        with anyio.fail_after(5), pytest.raises(RuntimeError, match="connected in another thread"):
            await call(client)


@pytest.mark.parametrize("elsewhere", ["trio", "asyncio"])
@on_both
async def test_in_another_threads_event_loop_each_call_says_so(elsewhere):
    async with coord.embedded() as client:
        await anyio.to_thread.run_sync(lambda: anyio.run(all_say_so, client, backend=elsewhere))
        assert await client.exists("/elsewhere") is None


@on_both
async def test_its_state_is_told_in_another_thread_which_wakes_nobody(monkeypatch):
    """The event loop stands still, and the session's deadline has passed."""
    async with coord.embedded() as client:
        clock, timeout_s, states = client._runtime.clock, client.session.timeout, []
        with monkeypatch.context() as late:
            late.setattr(client._runtime, "clock", lambda: clock() + timeout_s)
            thread = threading.Thread(target=lambda: states.append(client.session.state))
            thread.start()
            thread.join()
        assert states == ["LOST"]
        assert client._runtime.session.lost is None, "that is for its own thread to say, which tells those who wait"
        assert client.session.state == "CONNECTED"
