"""An election that is won and lost before its leader is told, or whose seat is deleted and taken by another."""

from contextlib import suppress

import trio

import coord
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from recipes import Election
from recipes.election import Term


async def test_who_is_told_of_its_election_too_late_to_prove_it_stands_again(ensemble, virtual_clock):
    async with ensemble.client(session_timeout=4) as client, trio.open_nursery() as nursery:
        for server in ensemble.servers:
            ensemble.slow(client, server, (0.3, 0.3))

        async def quicker() -> None:
            await trio.sleep(20)
            ensemble.heal()

        nursery.start_soon(quicker)
        begun = trio.current_time()

        async def serve(term: Term) -> str:
            term.check()
            return "led"

        assert await Election(client, "/x", margin=3.7).run(serve) == "led"
        assert trio.current_time() - begun > 19
        assert await client.children("/x") == []


async def test_a_seat_that_was_deleted_and_taken_by_another_is_not_taken_for_ones_own(
    ensemble, virtual_clock, monkeypatch
):
    """The answer to the one's look at its seat is late."""
    order: list[str] = []
    async with ensemble.client() as one, ensemble.client() as two, trio.open_nursery() as nursery:
        sat, taken = trio.Event(), trio.Event()
        sit_down = Election._sit_down

        async def slowly(election: Election, place, *line) -> int:
            done = await sit_down(election, place, *line)
            if election.client is one and done and not sat.is_set():
                sat.set()
                await taken.wait()
            return done

        monkeypatch.setattr(Election, "_sit_down", slowly)

        async def lead(client: coord.Client, name: str) -> None:
            async def serve(term: Term) -> None:
                taken.set()
                await trio.sleep(0.01)
                with suppress(coord.NoNodeError, coord.BadVersionError):
                    async with client.transaction(guard=term) as txn:
                        txn.set("/written", name.encode())
                await trio.sleep(0.1)
                order.append(name)

            await Election(client, "/x", name=name).run(serve)

        await two.create("/written")
        nursery.start_soon(lead, one, "one")
        await sat.wait()
        await two.sync()
        await two.delete("/x/leader")
        nursery.start_soon(lead, two, "two")
        await ensemble.wait(lambda: order == ["two"])
        assert (await two.get("/written"))[0] == b"two"
    assert order == ["two", "one"]


async def test_a_leader_that_cannot_be_cancelled_and_finds_out_by_itself_stands_again(ensemble, virtual_clock):
    tokens: list[int] = []
    async with ensemble.client() as client, ensemble.client() as operator:
        async for term in Election(client, "/x"):
            async with term:
                tokens.append(term.token)
                if len(tokens) == 2:
                    break
                await trio.sleep(1)
                with trio.CancelScope(shield=True):  # as with work in a thread
                    await operator.delete("/x/leader")
                    await trio.sleep(1)
                term.check()
        assert await client.children("/x") == []
    assert tokens == sorted(set(tokens))
