"""Connecting, being refused, losing the connection: against servers that do what a script says, on Trio and on
asyncio."""

import asyncio
import random

import anyio
import pytest
import sniffio
import trio

import coord
from coord.model.handshake import AUTH_FAILED, BEHIND, NO_LEADER, SESSION_UNKNOWN, Goodbye, Refusal
from tests.client.both import on_both
from tests.client.model_server import ModelServer
from tests.client.scripted_server import Talk, scripted


def refusing(code, reason="because"):
    async def refuse(talk: Talk) -> None:
        await talk.refuse(Refusal(code, reason))

    return refuse


def serving(model: ModelServer, requests=None):
    async def serve(talk: Talk) -> None:
        await talk.serve(model, requests)

    return serve


async def silent(talk: Talk) -> None:
    await anyio.sleep_forever()


async def hang_up(talk: Talk) -> None:
    pass


async def silent_after_the_welcome(talk: Talk) -> None:
    await talk.serve(ModelServer(), 0)
    await anyio.sleep_forever()


@on_both
async def test_a_call_goes_there_and_back():
    async with scripted(serving(ModelServer())) as address, coord.connect(address) as client:
        stat = await client.set("/list", b"a")
        assert isinstance(stat, coord.Stat)
        assert stat.version == 1
        assert await client.get("/list") == (b"a", stat)
        assert await client.get("/list", linearizable=True) == (b"a", stat)
        assert client.session.state == "CONNECTED"
        assert client.server == coord.ConnectedServer(1, address)


@on_both
async def test_servers_without_a_leader_or_behind_are_left_for_another():
    model = ModelServer()
    async with (
        scripted(refusing(NO_LEADER)) as one,
        scripted(refusing(BEHIND)) as two,
        scripted(hang_up) as three,
        scripted(serving(model)) as good,
        coord.connect([one, two, three, good]) as client,
    ):
        assert client.server is not None
        assert client.server.address == good


@on_both
async def test_a_server_that_says_nothing_is_left_for_another():
    async with (
        scripted(silent) as one,
        scripted(serving(ModelServer())) as good,
        coord.connect([one, good], session_timeout=3, rng=random.Random(1)) as client,
    ):
        assert client.server is not None
        assert client.server.address == good


@on_both
async def test_if_nobody_takes_the_client_the_error_says_what_was_tried():
    async with scripted(refusing(NO_LEADER, "there is no leader yet")) as one, scripted(hang_up) as two:
        with pytest.raises(coord.ConnectError) as caught:
            async with coord.connect([one, two, "127.0.0.1:1", "unix:/nowhere/at.all"], connect_timeout=1):
                pass
    for part in (
        "within 1 s",
        f"{one}: there is no leader yet",
        f"{two}: the server has closed",
        "127.0.0.1:1: ",
        "/nowhere",
    ):
        assert part in str(caught.value)


@on_both
async def test_wrong_credentials_are_told_at_once():
    async with scripted(refusing(AUTH_FAILED, "the scheme magic is not known")) as address:
        with pytest.raises(coord.AuthFailedError, match="magic"):
            async with coord.connect(address, auth=[("magic", "wand")]):
                pass


@on_both
async def test_a_saved_session_that_has_ended_is_told_at_once():
    async with scripted(refusing(SESSION_UNKNOWN, "it has expired")) as address:
        with pytest.raises(coord.SessionLostError, match="it has expired"):
            async with coord.connect(address, session=coord.SavedSession(5, b"s" * 16, 1)):
                pass


@on_both
async def test_what_the_body_raises_comes_out_as_it_is():
    async with scripted(serving(ModelServer())) as address:
        with pytest.raises(KeyError, match="mine") as caught:
            async with coord.connect(address):
                raise KeyError("mine")
        assert caught.value.__cause__ is None


@on_both
async def test_calls_in_flight_survive_the_connection_and_are_done_once():
    model = ModelServer()
    async with (
        scripted(serving(model, 30), serving(model, 45), hang_up, serving(model)) as address,
        coord.connect(address) as client,
    ):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(client.set, "/list", b"%d" % number)
        values = (await client.get("/list"))[0].split(b",")
        assert sorted(map(int, values)) == list(range(100))
        assert not model.problems


@on_both
async def test_the_state_of_the_session_can_be_waited_for():
    model = ModelServer()
    let_in = anyio.Event()

    async def later(talk: Talk) -> None:
        await let_in.wait()
        await talk.serve(model)

    async with scripted(serving(model, 1), later) as address, coord.connect(address) as client:
        await client.get("/list")
        assert await client.session.wait_state("SUSPENDED") == coord.SessionState.SUSPENDED
        assert client.server is None
        let_in.set()
        assert await client.session.wait_state() == coord.SessionState.CONNECTED


@on_both
async def test_a_session_that_is_not_proved_in_time_is_lost_with_everything_that_waits():
    async with scripted(silent_after_the_welcome, hang_up) as address:
        model = ModelServer()
        async with coord.connect(address, session_timeout=1) as client:
            client._runtime.session.timeout_s = 1.0  # the model grants nine seconds
            client._runtime.session.deadline_s -= 8.0
            with pytest.raises(coord.SessionLostError, match="not proved alive"):
                await client.set("/list", b"a")
            assert client.session.state == "LOST"
            assert client.session.remaining == 0
            with pytest.raises(coord.SessionLostError):
                await client.get("/list")
            with pytest.raises(coord.SessionLostError):
                await client.session.wait_state("CONNECTED")
            assert not model.done


@on_both
async def test_the_deadline_is_on_the_clock_that_wakes_tasks():
    now = trio.current_time if sniffio.current_async_library() == "trio" else asyncio.get_running_loop().time
    async with scripted(serving(ModelServer())) as address, coord.connect(address, session_timeout=5) as client:
        assert 0 < client.session.remaining <= 9, "the model grants nine seconds"
        assert 0 < client.session.deadline - now() <= 9


@on_both
async def test_a_goodbye_that_ends_the_session_is_told_to_all():
    async def part(talk: Talk) -> None:
        await talk.serve(ModelServer(), 0)
        await talk.payloads(1)
        await talk.part(Goodbye(SESSION_UNKNOWN, "it was closed by somebody else"))

    async with scripted(part) as address, coord.connect(address) as client:
        with pytest.raises(coord.SessionLostError, match="closed by somebody else"):
            await client.get("/list")


@on_both
async def test_after_the_block_every_call_says_so():
    async with scripted(serving(ModelServer())) as address:
        async with coord.connect(address) as client:
            pass
        with pytest.raises(coord.ClientClosedError):
            await client.get("/list")


@on_both
async def test_a_cancelled_call_leaves_the_others_in_step():
    model = ModelServer()
    async with scripted(serving(model)) as address, coord.connect(address) as client:
        for number in range(50):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.set("/list", b"never")
            with anyio.move_on_after(0.0005 * (number % 5)):
                await client.set("/list", b"perhaps")
            value, stat = await client.get("/list")
            assert (value.count(b"perhaps"), b"never" in value) == (stat.version, False)
        assert not model.problems


@on_both
async def test_a_pipeline_sends_everything_before_it_waits():
    async with scripted(serving(ModelServer())) as address, coord.connect(address) as client:
        async with client.pipeline() as pipe:
            sets = [pipe.set("/list", b"%d" % number) for number in range(700)]
            value = pipe.get("/list")
            with pytest.raises(RuntimeError, match="not answered yet"):
                value.result()
        assert [each.result().version for each in sets] == list(range(1, 701))
        assert value.result()[0].count(b",") == 699


@on_both
async def test_an_address_with_two_servers_behind_one_name_is_tried_at_both():
    """A name is looked up for each round, and every machine behind it is tried."""

    class Names:
        rounds = 0

        def __init__(self, good: str) -> None:
            self.good = good

        async def resolve(self, address):
            Names.rounds += 1
            port = int(self.good.rpartition(":")[2])
            return [type(address)("127.0.0.1", 1), type(address)("127.0.0.1", port)] if Names.rounds > 1 else []

        async def connect(self, address):
            from coord.client.dialing import AnyioDialer

            return await AnyioDialer().connect(address)

    async with scripted(serving(ModelServer())) as good, coord.connect("servers", dialer=Names(good)) as client:
        assert await client.get("/list")
    assert Names.rounds == 2
    Names.rounds = 0


@on_both
async def test_a_watch_tells_events_and_ends_with_the_session():
    model = ModelServer()

    async def serve(talk: Talk) -> None:
        await talk.serve(model, 4)
        await talk.part(Goodbye(SESSION_UNKNOWN, "over"))

    async with scripted(serve) as address, coord.connect(address) as client, client.watch("/list") as events:
        for value in (b"a", b"b"):
            await client.set("/list", value)
        found = [await anext(events) for _ in range(2)]
        assert [(each.kind, each.path, each.zxid) for each in found] == [
            (coord.EventKind.CHANGED, "/list", 1),
            (coord.EventKind.CHANGED, "/list", 2),
        ]
        assert found[0].cause is coord.Cause.EXPLICIT
        await client.get("/list")
        with pytest.raises(coord.SessionLostError, match="over"):
            async for _ in events:
                pass


@on_both
async def test_who_does_not_answer_or_is_no_server_of_coord_is_named():
    async def http(talk: Talk) -> None:
        await talk.stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    for talk, sentence in ((http, "does not answer as a server of coord does"), (silent, "has not answered yet")):
        async with scripted(talk) as address:
            with pytest.raises(coord.ConnectError, match=f"{address}: it {sentence}"):
                async with coord.connect(address, connect_timeout=0.3):
                    pass
