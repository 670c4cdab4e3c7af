"""/healthz and /readyz say what is, and why not."""

import pytest
import trio
from admin_desk import open_desk


async def test_a_server_that_leads_a_quorum_is_ready(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        for server in (1, 2, 3):
            answer = await desk.ask("/readyz", server)
            assert (answer.status, answer.text) == (200, "ok\n")


async def test_an_observer_is_ready_while_the_voters_have_a_quorum(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3, observers=frozenset((3,))) as desk:
        assert desk.consoles[3].replica.participant.role == "observing"
        assert (await desk.ask("/readyz", 3)).status == 200
        assert (await desk.ask("/commands/observers", desk.ensemble.leader())).json["observers"] == [{"id": 3}]
        assert (await desk.metrics(desk.ensemble.leader()))["coord_synced_observers"] == 1


async def test_who_asks_at_the_same_time_shares_one_round(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        replica = desk.consoles[desk.ensemble.followers()[0]].replica
        asked = []
        ask_barrier = replica.participant.ask_barrier
        monkeypatch.setattr(
            type(replica.participant), "ask_barrier", lambda self, ticket: asked.append(ticket) or ask_barrier(ticket)
        )
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(desk.ask, "/readyz", replica.server)
        assert len(asked) == 1


async def test_without_a_quorum_nobody_is_ready_and_each_says_why(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        leader = desk.ensemble.leader()
        others = [server for server in (1, 2, 3) if server != leader]
        desk.ensemble.crash(others[0])
        assert (await desk.ask("/readyz", leader)).status == 200
        desk.ensemble.crash(others[1])
        await desk.ensemble.wait(lambda: not desk.consoles[leader].replica.participant.serving)
        answer = await desk.ask("/readyz", leader)
        assert answer.status == 503
        assert answer.text == "this server knows of no leader: no quorum of the voters has found one yet\n"
        assert (await desk.ask("/healthz", leader)).status == 200
        assert (await desk.metrics(leader))["coord_ready"] == 0
        await desk.ensemble.restart(others[0])
        await desk.ensemble.wait_leader([leader, others[0]])
        assert (await desk.ask("/readyz", leader)).status == 200


async def test_a_follower_that_is_cut_off_is_not_ready_though_it_still_follows(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3, leader_timeout_ms=60_000) as desk:
        follower = desk.ensemble.followers()[0]
        desk.ensemble.isolate(follower)
        await trio.sleep(5)
        assert desk.consoles[follower].replica.participant.serving
        answer = await desk.ask("/readyz", follower)
        assert answer.status == 503
        assert "within" in answer.text


async def test_a_leader_whose_quorum_is_frozen_is_not_ready_though_it_still_leads(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3, leader_timeout_ms=60_000) as desk:
        leader = desk.ensemble.leader()
        for follower in desk.ensemble.followers():
            desk.ensemble.freeze(follower)
        answer = await desk.ask("/readyz", leader)
        assert answer.status == 503
        assert "quorum" in answer.text


@pytest.mark.parametrize(("late_s", "status"), [(0.5, 200), (3.0, 503)])
async def test_a_server_whose_clockwork_stands_is_not_healthy(autojump_clock, monkeypatch, late_s, status):
    async with open_desk(monkeypatch) as desk:
        desk.consoles[1].driver.due_s = trio.current_time() - late_s
        assert (await desk.ask("/healthz")).status == status
