"""Writes that nobody waits for: in order, once, to their end or the session's; and what tells of them."""

import anyio
import pytest
import trio

import coord
from coord.client.calls import UnwaitedCall
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock


def adding(client: coord.Client, path: str = "/n/n-") -> coord.Transaction:
    txn = client.transaction()
    txn.create(path, sequential=True)
    return txn


async def test_it_is_done_in_the_order_of_the_clients_calls_and_told_when_asked_for(ensemble, virtual_clock):
    async with ensemble.client() as client:
        await client.create("/n")
        sent = adding(client).send()
        assert not sent.done
        assert sent.error is None
        with pytest.raises(RuntimeError, match="not answered yet"):
            sent.result()
        assert await client.children("/n") == ["n-0000000000"]
        assert sent.done
        assert sent.result() == await sent.wait() == ["/n/n-0000000000"]


async def test_it_leaves_though_nothing_is_asked_for_after_it(ensemble, virtual_clock):
    async with ensemble.client() as client, ensemble.client() as other:
        await client.create("/n")
        adding(client).send()
        await trio.sleep(0.1)
        await other.sync()
        assert len(await other.children("/n")) == 1


async def test_its_error_names_the_step_without_the_guard(ensemble, virtual_clock):
    class Guard:
        path, token = "/guard", 0

    async with ensemble.client() as client:
        guard = Guard()
        await client.create("/guard")
        guard.token = (await client.exists("/guard")).czxid
        txn = client.transaction(guard=guard)
        txn.create("/a")
        txn.delete("/missing")
        sent = txn.send()
        for _ in range(2):
            with pytest.raises(coord.NoNodeError) as caught:
                await sent.wait()
            assert caught.value.step == 1
        assert sent.error.step == 1
        await client.delete("/guard")
        txn = client.transaction(guard=guard)
        txn.create("/a")
        sent = txn.send()
        await client.sync()
        assert isinstance(sent.error, coord.NoNodeError)
        assert sent.error.step is None
        assert await client.exists("/a") is None


async def test_a_transaction_is_sent_once_and_not_empty(ensemble, virtual_clock):
    async with ensemble.client() as client:
        with pytest.raises(coord.BadArgumentsError, match="no steps"):
            client.transaction().send()
        txn = adding(client, "/n-")
        await txn.send().wait()
        with pytest.raises(coord.BadArgumentsError, match="committed before"):
            txn.send()


async def sent_while_cut_off(ensemble) -> int:
    """How many of five are done, of which some were sent and not answered, and some not sent."""
    async with ensemble.client(session_timeout=10) as client, ensemble.client() as other:
        await client.create("/n")
        server = client.server.id
        for number in range(5):
            if number == 1:
                ensemble.isolate(client)
            if number == 3:
                ensemble.crash(server)
                await trio.sleep(5)
            sent = adding(client).send()
            with trio.move_on_after(0.001):  # whoever asks and is cancelled does not take it back
                await sent.wait()
        await trio.sleep(0.1)
        ensemble.heal()
        with trio.move_on_after(5):
            await sent.wait()
        await other.sync()
        return len(await other.children("/n"))


async def test_it_is_done_once_though_the_connection_breaks_before_it_left_or_was_answered(ensemble, virtual_clock):
    assert await sent_while_cut_off(ensemble) == 5


async def test_a_mutant_that_forgets_what_nobody_waits_for_is_found(ensemble, virtual_clock, monkeypatch):
    def forgotten(call: UnwaitedCall) -> None:
        call.wanted = False

    monkeypatch.setattr(UnwaitedCall, "give_up", forgotten)
    assert await sent_while_cut_off(ensemble) < 5


async def test_it_has_no_time_limit_but_the_sessions(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=20, call_timeout=1) as client:
        await client.create("/n")
        ensemble.isolate(client)
        sent = adding(client).send()
        await trio.sleep(5)
        assert not sent.done
        ensemble.heal()
        assert await sent.wait() == ["/n/n-0000000000"]


async def test_the_sessions_end_ends_it(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client:
        ensemble.isolate(client)
        sent = adding(client, "/n-").send()
        await trio.sleep(10)
        assert isinstance(sent.error, coord.SessionLostError)
        with pytest.raises(coord.SessionLostError):
            adding(client, "/n-").send()


@pytest.mark.parametrize("handed_over", [False, True])
async def test_whoever_leaves_the_clients_block_waits_for_it(handed_over, ensemble, virtual_clock):
    async with ensemble.client() as other:
        async with ensemble.client() as client:
            await client.create("/n")
            if handed_over:
                client.session.hand_over()
            sent = [adding(client).send() for _ in range(5)]
        assert [each.error for each in sent] == [None] * 5
        await other.sync()
        assert len(await other.children("/n")) == 5


async def test_two_may_not_wait_for_it_at_once(ensemble, virtual_clock):
    async with ensemble.client() as client, trio.open_nursery() as nursery:
        sent = adding(client, "/n-").send()
        nursery.start_soon(sent.wait)
        await trio.sleep(0.0001)
        with pytest.raises(anyio.BusyResourceError):
            await sent.wait()


# ---- alarms, for what would be a task


async def test_an_alarm_rings_at_its_time_unless_its_block_has_ended(ensemble, virtual_clock):
    rung: list[tuple[str, float]] = []
    async with ensemble.client(session_timeout=10) as client:
        begun = trio.current_time()

        def ring(name: str) -> None:
            rung.append((name, trio.current_time() - begun))

        session = client.session
        with session.alarm(3, lambda: ring("late")), session.alarm(0.01, lambda: ring("soon")):
            with session.alarm(0.5, lambda: ring("never")):
                await trio.sleep(0.1)
            await trio.sleep(5)
        assert [name for name, _ in rung] == ["soon", "late"]
        assert [seconds for _, seconds in rung] == pytest.approx([0.01, 3], abs=0.001)


async def test_an_alarm_rings_when_the_session_is_lost_and_at_once_after_that(ensemble, virtual_clock):
    rung: list[float] = []
    async with ensemble.client(session_timeout=4) as client:
        with client.session.alarm(1000, lambda: rung.append(trio.current_time())):
            ensemble.isolate(client)
            await client.session.wait_state("LOST")
            await trio.sleep(0.001)
        assert len(rung) == 1
        with client.session.alarm(1000, lambda: rung.append(0)):
            assert rung[1:] == [0]
