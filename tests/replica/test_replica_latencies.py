"""How durations are counted: cheap to note, and right to within their ranges."""

import random

import pytest

from coord.model.histogram import BOUNDS_S, Histogram, Lately, percentile_s, summed
from coord.model.requests import Create, CreateSession, GetData, Ping, SetData, Sync
from coord.replica.latencies import LATELY_S, WRITES, Latencies
from tests.replica.replica_world import World, create


def counted(durations):
    histogram = Histogram()
    for each in durations:
        histogram.note(each)
    return histogram


def test_a_range_includes_its_upper_end():
    histogram = counted([0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[1], BOUNDS_S[-1], 1e9])
    assert histogram.counts[:2] == [2, 2]
    assert histogram.counts[-2:] == [1, 1]
    assert histogram.count == 6
    assert histogram.count_above(BOUNDS_S[0]) == 4


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.99])
def test_a_percentile_is_in_the_range_of_the_true_one(seed, fraction):
    rng = random.Random(seed)
    durations = sorted(rng.lognormvariate(-5, 1.5) for _ in range(2000))
    true = durations[int(len(durations) * fraction)]
    found = percentile_s(counted(durations).counts, fraction)
    assert true * 0.6 < found < true * 1.7


def test_percentiles_of_nothing_and_of_the_endless():
    assert percentile_s(Histogram().counts, 0.99) == 0
    assert percentile_s(counted([1e6] * 5).counts, 0.5) == BOUNDS_S[-1]


def test_histograms_together_count_what_each_of_them_counts():
    one, other = counted([0.001] * 3), counted([0.001, 0.2])
    assert summed([one, other]) == counted([0.001] * 4 + [0.2]).counts
    assert summed([]) == Histogram().counts


def test_what_is_old_is_not_of_late():
    histogram, lately = Histogram(), Lately(60.0)
    for now in range(0, 300, 5):
        if now < 100:
            histogram.note(0.01)
        if lately.is_due(now):
            lately.turn(now, histogram.counts)
        found = sum(lately.added(histogram.counts))
        assert found == (0 if now >= 165 else found)
        assert found > 0 or now >= 130
        assert found <= 60 / 5 + 1


def test_requests_of_several_kinds_that_came_together_are_counted_by_kind():
    latencies = Latencies()
    latencies.delivered([(10.0, [Create, GetData, GetData]), (9.0, (Create,)), (9.5, [SetData] * 4)], 10.5)
    assert {kind: each.count for kind, each in latencies.by_kind.items()} == {Create: 2, GetData: 2, SetData: 4}
    assert latencies.by_kind[Create].total_s == pytest.approx(0.5 + 1.5)
    summary = latencies.summary_s
    assert (summary.count, summary.least, summary.greatest) == (8, 0.5, 1.5)
    assert summary.mean == pytest.approx((3 * 0.5 + 1.5 + 4) / 8)


def test_percentiles_of_reads_and_of_writes_are_of_late():
    latencies = Latencies()
    latencies.tick(0)
    latencies.delivered([(0.0, [GetData] * 100), (0.0, [SetData] * 10)], 0.01)
    latencies.delivered([(0.0, [Sync] * 100)], 5.0)  # which waits by its nature
    assert 0.007 < latencies.read_lately_s(0.99) <= 0.01
    latencies.delivered([(0.0, [SetData] * 10)], 1.0)
    assert 0.7 < latencies.written_lately_s(0.99) <= 1.0
    for step in range(1, 4):
        latencies.tick(step * LATELY_S / 2)
    assert latencies.read_lately_s(0.99) == latencies.written_lately_s(0.99) == 0


def test_what_opens_a_session_counts_as_a_write_and_a_sync_does_not():
    assert CreateSession in WRITES
    assert Sync not in WRITES


def test_each_request_is_counted_once_whatever_it_waits_for():
    world = World(3)
    client = world.client(1)
    other = world.replicas[2]
    answered = []
    take = world.replicas[1].take

    def remember(now, wall_ms):
        ready = take(now, wall_ms)
        if ready is not None:
            answered.extend(kind for _, kinds in ready.answered for kind in kinds)
        return ready

    world.replicas[1].take = remember
    client.do(create("/n", b"1"))
    client.do(GetData("/n", False), SetData("/n", b"2", -1), GetData("/n", False), Sync("/n"), GetData("/n", False))
    client.do(*[SetData("/n", b"%d" % number, -1) for number in range(50)])
    assert answered.count(SetData) == 51
    assert answered.count(GetData) == 3
    assert (answered.count(Create), answered.count(Sync)) == (1, 1)
    assert not client.pipeline.waiting_since_s
    assert other.clients.latencies.answered == []  # they were not its clients'


def test_what_a_client_left_behind_is_forgotten_with_it():
    world = World(3)
    client = world.client(1)
    world.cut(1, 3), world.cut(1, 2)
    client.send(SetData("/", b"", -1), GetData("/", False))
    assert len(client.pipeline.waiting_since_s) == 1
    world.replicas[1].detach(client.pipeline)
    assert not client.pipeline.waiting_since_s


def test_pings_that_were_answered_as_they_came_are_counted_by_the_next_tick():
    latencies = Latencies()
    latencies.pings = 5
    latencies.tick(0)
    latencies.tick(1)
    assert latencies.by_kind[Ping].count == latencies.summary_s.count == 5
    assert latencies.summary_s.greatest == latencies.by_kind[Ping].total_s == 0
