"""/metrics: what Prometheus reads is true, and the README tells each family."""

import re
from pathlib import Path

import pytest
import trio
from admin_desk import open_desk
from prometheus_client.parser import text_string_to_metric_families

import coord.admin
from coord.admin import metrics
from coord.model.histogram import BOUNDS_S
from coord.server import collector

README = Path(coord.admin.__file__).with_name("README.md").read_text(encoding="utf-8")


async def test_requests_are_counted_by_operation_with_the_time_they_took(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        follower = desk.ensemble.followers()[0]
        client = await desk.ensemble.connect(follower)
        before = await desk.metrics(follower)
        for number in range(5):
            await client.create(f"/n{number}", b"x")
        await client.set("/n0", b"y")
        for _ in range(7):
            await client.get("/n0")
        after = await desk.metrics(follower)

        def grown(name: str) -> float:
            return after[name] - before.get(name, 0)

        assert grown("coord_write_duration_seconds_count{operation=create}") == 5
        assert grown("coord_write_duration_seconds_count{operation=set_data}") == 1
        assert grown("coord_read_duration_seconds_count{operation=get_data}") == 7
        assert after["coord_write_duration_seconds_count{operation=create_session}"] == 1
        assert grown("coord_requests_received_total") == 13
        # Four messages between servers, of up to a millisecond each; reads ask nobody.
        assert 0 < grown("coord_write_duration_seconds_sum{operation=create}") / 5 < 0.1
        assert grown("coord_read_duration_seconds_sum{operation=get_data}") == 0
        whole = "coord_write_duration_seconds_bucket{le=+Inf,operation=create}"
        assert after[whole] == after["coord_write_duration_seconds_count{operation=create}"]


async def test_a_read_behind_a_write_waits_and_that_counts(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        client = await desk.ensemble.connect(desk.ensemble.followers()[0])
        await client.create("/n", b"x")
        server = desk.ensemble.followers()[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.set, "/n", b"y")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(client.get, "/n")
        await client.sync()
        shown = await desk.metrics(server)
        assert shown["coord_read_duration_seconds_count{operation=get_data}"] == 1
        assert shown["coord_read_duration_seconds_sum{operation=get_data}"] > 0
        assert shown["coord_read_duration_seconds_count{operation=sync}"] == 1
        assert shown["coord_read_duration_seconds_sum{operation=sync}"] > 0


async def test_the_leader_tells_how_far_behind_each_follower_is(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        leader, (slow, quick) = desk.ensemble.leader(), desk.ensemble.followers()
        desk.ensemble.cut(slow, leader, one_way=True)  # what it acknowledges does not arrive
        client = await desk.ensemble.connect(leader)
        await client.create("/late", b"")
        await trio.sleep(0.5)
        shown = await desk.metrics(leader)
        assert 0.5 <= shown[f"coord_learner_lag_seconds{{server={slow}}}"] < 1
        assert shown[f"coord_learner_lag_entries{{server={slow}}}"] == 2  # the session and the znode
        assert shown[f"coord_learner_lag_seconds{{server={quick}}}"] == 0
        assert shown["coord_synced_followers"] == 2
        desk.ensemble.heal()
        await trio.sleep(1)
        assert (await desk.metrics(leader))[f"coord_learner_lag_seconds{{server={slow}}}"] == 0
        assert not [name for name in await desk.metrics(quick) if "lag" in name]


async def test_elections_and_the_time_without_a_leader_are_counted(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        before = desk.ensemble.leader()
        others = desk.ensemble.followers()
        first = {server: await desk.metrics(server) for server in others}
        desk.ensemble.crash(before)
        await desk.ensemble.wait_leader()
        for server in others:
            shown = await desk.metrics(server)
            assert shown["coord_elections_total"] == first[server]["coord_elections_total"] + 1
            assert shown["coord_leaderless_seconds_count"] == first[server]["coord_leaderless_seconds_count"] + 1
            lasted = shown["coord_leaderless_seconds_sum"] - first[server]["coord_leaderless_seconds_sum"]
            assert 0 < lasted < 2
        roles = [(await desk.metrics(server))["coord_role{role=leading}"] for server in others]
        assert sorted(roles) == [0, 1]


async def test_sessions_watches_znodes_and_connections_are_what_they_are(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        client = await desk.ensemble.connect(1)
        await client.create("/w", b"12345", ephemeral=True)
        await client.get("/w", watch=True)
        await client.children("/", watch=True)
        shown = await desk.metrics()
        machine = desk.consoles[1].replica.machine
        assert shown["coord_znodes"] == len(machine.tree.nodes)
        assert (shown["coord_sessions"], shown["coord_ephemerals"], shown["coord_client_connections"]) == (1, 1, 1)
        assert (shown["coord_watches"], shown["coord_watching_connections"]) == (2, 1)
        assert shown["coord_data_bytes"] == machine.tree.size_bytes > 0


async def test_what_waits_is_told_while_it_waits(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        follower = desk.ensemble.followers()[0]
        client = await desk.ensemble.connect(follower)
        desk.ensemble.cut(follower, desk.ensemble.leader(), one_way=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.create, "/waits", b"x" * 1000)
            await trio.sleep(0.1)
            shown = await desk.metrics(follower)
            assert shown["coord_queue_length{queue=requests}"] == shown["coord_queue_length{queue=forwards}"] == 1
            assert shown["coord_queue_bytes{queue=forwards}"] > 1000
            desk.ensemble.heal()
        shown = await desk.metrics(follower)
        assert shown["coord_queue_length{queue=requests}"] == shown["coord_queue_bytes{queue=forwards}"] == 0


async def test_a_histogram_is_cumulative_and_ends_with_its_count(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch) as desk:
        text = (await desk.ask("/metrics")).text
        (family,) = [
            each for each in text_string_to_metric_families(text) if each.name == "coord_fsync_duration_seconds"
        ]
        buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
        assert [float(each.labels["le"]) for each in buckets] == [*BOUNDS_S, float("inf")]
        assert [each.value for each in buckets] == sorted(each.value for each in buckets)
        (count,) = [sample.value for sample in family.samples if sample.name.endswith("_count")]
        assert count == buckets[-1].value > 0


async def test_each_family_is_a_piece_of_its_own_in_the_format_of_prometheus(autojump_clock, monkeypatch):
    async with open_desk(monkeypatch, 3) as desk:
        answer = await desk.ask("/metrics", desk.ensemble.leader())
        assert answer.headers["content-type"] == metrics.CONTENT_TYPE
        pieces = [piece async for piece in metrics.written(desk.consoles[1])]
        assert all(piece.count(b"# TYPE ") == 1 for piece in pieces)
        assert len(answer.parts) < len(pieces)


def test_pauses_of_the_collector_are_noted_only_while_they_are_measured():
    import gc

    pauses = collector.CollectorPauses()
    with pauses.measured():
        gc.collect(0)
        gc.collect(2)
    gc.collect(2)
    assert [each.count for each in pauses.by_generation][::2] == [1, 1]


async def test_the_readme_tells_every_family_and_no_other(autojump_clock, monkeypatch, tmp_path):
    async with open_desk(monkeypatch, 3) as desk:
        # A disk tells its room only where it is one.
        monkeypatch.setattr(type(desk.consoles[1].store), "instant", False)
        for console in desk.consoles.values():
            monkeypatch.setattr(console.meters, "_config", type("C", (), {"data": tmp_path}))
        text = (await desk.ask("/metrics", desk.ensemble.leader())).text
    shown = {each.name: each.type for each in text_string_to_metric_families(text)}
    told = dict(re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \|", README, re.MULTILINE))
    told = {name.removesuffix("_total") if kind == "counter" else name: kind for name, kind in told.items()}
    assert told == shown


@pytest.mark.parametrize("name", ["coord_read_duration_seconds", "coord_write_duration_seconds"])
async def test_operations_nobody_asked_for_take_no_room(autojump_clock, monkeypatch, name):
    async with open_desk(monkeypatch) as desk:
        assert not [each for each in await desk.metrics() if each.startswith(name) and "operation" in each]
