"""One story that is right, and what becomes of it when one thing is wrong: exactly the checkers meant for it go red."""

from dataclasses import replace

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.entries import Batch, zxid_of
from coord.model.replies import DATA_CHANGED, DataReply, Event
from coord.model.requests import PERSISTENT_SEQUENTIAL, AddWatch, Create, Delete, GetChildren, GetData, SetData, Sync
from tests.tools.check_ensemble import Ensemble
from tools.check.checks import check
from tools.check.history import Invoked, Lost, Notified, Record, Returned
from tools.check.verdicts import ONCE, REAL_TIME, SEARCH, SESSION, WATCH, WITNESS

K = "/r/k"


class Story:
    """Clients a to e; each step is over before the next begins, but for the pair of reads that d sends at once."""

    def __init__(self) -> None:
        self.ensemble = ensemble = Ensemble(clients=5)
        a, b, c, d, e = ensemble.clients
        ensemble.do(a, Create("/r", b"", OPEN_ACL))
        ensemble.do(a, Create(K, b"0", OPEN_ACL))
        ensemble.do(b, GetData(K, watch=True))
        ensemble.do(e, AddWatch("/r", 1))
        ensemble.do(a, SetData(K, b"1"))
        ensemble.do(c, GetData(K), linearizable=True)
        ensemble.do(a, SetData(K, b"2", 1))
        ensemble.do(d, GetData(K))
        ensemble.do(a, Create("/r/n-", b"", OPEN_ACL, PERSISTENT_SEQUENTIAL))
        ensemble.now += 1
        for request in (GetData(K), GetChildren("/r")):
            ensemble.call(d, request)
        while ensemble.take(d):
            pass
        while ensemble.deliver(d):
            pass
        ensemble.do(b, Sync("/"))
        ensemble.do(b, GetData(K), linearizable=True)
        ensemble.do(a, Delete("/r/n-0000000000"))
        ensemble.do(e, GetData(K))
        self.records: list[Record] = ensemble.recorder.records
        self.batches: list[Batch] | None = ensemble.batches()

    def call(self, client: str, kind: type, nth: int = 0) -> int:
        """Where the client's nth call of this kind of request stands."""
        found = [index for index, each in enumerate(self.records)
                 if isinstance(each, Invoked) and each.client == client and isinstance(each.request, kind)]  # fmt: skip
        return found[nth]

    def returned(self, client: str, kind: type, nth: int = 0) -> int:
        number = self.records[self.call(client, kind, nth)].operation
        return next(i for i, each in enumerate(self.records) if isinstance(each, Returned) and each.operation == number)

    def told(self, client: str, nth: int = 0) -> int:
        return [i for i, each in enumerate(self.records) if isinstance(each, Notified) and each.client == client][nth]

    def red(self) -> set[str]:
        report = check(self.records, self.batches)
        assert report.findings.undecided == []
        return {each.check for each in report.findings.violations}


@pytest.fixture(params=["with the log", "without"])
def story(request) -> Story:
    story = Story()
    if request.param == "without":
        story.batches = None
    return story


def answer(story: Story, at: int, **changes: object) -> None:
    story.records[at] = replace(story.records[at], **changes)


def as_seen_by_b(story: Story) -> DataReply:
    """K as it was at first: data 0, version 0."""
    return story.records[story.returned("b", GetData)].reply


def test_the_story_itself_is_right(story):
    assert story.red() == set()


def test_a_stale_read_is_allowed_unless_it_was_called_linearizable(story):
    at = story.returned("c", GetData)
    old = story.records[story.returned("b", GetData)]
    answer(story, at, reply=old.reply, zxid=old.zxid)
    assert story.red() == {REAL_TIME, SEARCH}
    answer(story, story.call("c", GetData), linearizable=False)
    assert story.red() == set()


def test_a_read_of_what_never_was(story):
    at = story.returned("d", GetData)
    seen = story.records[at].reply
    answer(story, at, reply=DataReply(b"other", seen.stat))
    assert story.red() == {WITNESS}


def test_a_linearizable_read_of_what_never_was(story):
    at = story.returned("c", GetData)
    answer(story, at, reply=DataReply(b"other", story.records[at].reply.stat))
    assert story.red() == {WITNESS, SEARCH}


def test_a_reply_with_the_wrong_stat(story):
    at = story.returned("d", GetData)
    seen = story.records[at].reply
    answer(story, at, reply=DataReply(seen.data, replace(seen.stat, cversion=7)))
    assert story.red() == {WITNESS}


def test_a_write_that_was_acknowledged_and_lost():
    story = Story()
    story.batches = [batch for batch in story.batches if batch.first != zxid_of(1, 5 + 3)]  # a's first set
    assert {ONCE} <= story.red() <= {ONCE, WITNESS}


def test_a_write_that_was_lost_shows_in_what_is_read_later():
    story = Story()
    story.batches = None
    for at in (story.returned("d", GetData), story.returned("d", GetData, 1), story.returned("e", GetData)):
        answer(story, at, reply=as_seen_by_b(story))
    assert story.red() == {WITNESS}


def test_a_read_that_goes_back(story):
    old, new = story.returned("d", GetData), story.returned("d", GetData, 1)
    before = story.records[story.returned("b", GetData)]
    assert before.zxid < story.records[old].zxid
    answer(story, new, reply=before.reply, zxid=before.zxid)
    assert story.red() == {SESSION}


def test_a_read_that_does_not_see_the_sessions_own_write(story):
    """The last read becomes one of a's, and says it looked at what was before a's sets."""
    old = story.records[story.returned("b", GetData)]
    answer(story, story.returned("e", GetData), reply=old.reply, zxid=old.zxid)
    answer(story, story.call("e", GetData), client="a", session=1)
    assert story.red() == {SESSION}


def test_an_event_after_the_reply_that_shows_it(story):
    event = story.records.pop(story.told("b"))
    story.records.insert(story.returned("b", Sync) + 1, event)
    assert story.red() == {SESSION}


def test_events_out_of_order(story):
    first, second = story.told("e", 0), story.told("e", 1)
    story.records[first], story.records[second] = (
        replace(story.records[first], event=story.records[second].event),
        replace(story.records[second], event=story.records[first].event),
    )
    assert story.red() == {SESSION}


def test_a_missed_event(story):
    del story.records[story.told("b")]
    assert story.red() == {WATCH}


def test_a_missed_event_of_a_persistent_watch(story):
    del story.records[story.told("e", 2)]
    assert story.red() == {WATCH}


def test_an_event_that_came_twice(story):
    at = story.told("b")
    story.records.insert(at, story.records[at])
    assert story.red() == {WATCH}


def test_an_event_nobody_watched_for(story):
    at = story.told("b")
    event = story.records[at].event
    story.records.insert(at + 1, Notified("c", 3, Event(event.kind, event.path, event.zxid), 0))
    assert story.red() == {WATCH}


def test_an_event_of_what_never_happened(story):
    at = story.told("b")
    answer(story, at, event=Event(DATA_CHANGED, "/r/none", story.records[at].event.zxid))
    assert story.red() == {WATCH}


def test_replies_in_another_order_than_the_requests(story):
    one, other = story.returned("d", GetData, 1), story.returned("d", GetChildren)
    assert story.records[one].zxid == story.records[other].zxid
    story.records[one], story.records[other] = story.records[other], story.records[one]
    assert story.red() == {SESSION}


def unknown(story: Story, client: str, kind: type, nth: int = 0) -> None:
    """The client never got this answer."""
    at = story.returned(client, kind, nth)
    story.records[at] = Lost(story.records[at].operation, story.records[at].time_ns)


def test_an_unknown_outcome_may_have_happened(story):
    unknown(story, "a", SetData)
    assert story.red() == set()


def test_an_unknown_outcome_may_not_have_happened(story):
    ensemble = story.ensemble
    operation = ensemble.recorder.call("a", 1, SetData(K, b"never"))
    ensemble.recorder.lost(operation)
    assert story.red() == set()


def test_an_unknown_write_that_was_applied_twice_is_in_the_log_twice():
    story = Story()
    ensemble = story.ensemble
    operation = ensemble.recorder.call("a", 1, SetData(K, b"again"))
    ensemble.recorder.lost(operation)
    for _ in range(2):
        ensemble.append(1, SetData(K, b"again"))
    story.batches = ensemble.batches()
    assert story.red() == {ONCE}


def test_a_write_that_was_sent_twice_may_be_there_twice():
    story = Story()
    ensemble = story.ensemble
    operation = ensemble.recorder.call("a", 1, SetData(K, b"again"))
    ensemble.recorder.resent(operation)
    ensemble.recorder.lost(operation)
    for _ in range(2):
        ensemble.append(1, SetData(K, b"again"))
    story.batches = ensemble.batches()
    assert story.red() == set()


def test_an_unknown_write_that_was_applied_twice_shows_in_versions():
    story = Story()
    ensemble = story.ensemble
    operation = ensemble.recorder.call("a", 1, SetData(K, b"again"))
    ensemble.recorder.lost(operation)
    for _ in range(2):
        ensemble.append(1, SetData(K, b"again"))
    ensemble.catch_up()
    assert ensemble.do(ensemble.clients[3], GetData(K), linearizable=True).stat.version == 4
    story.batches = None
    assert WITNESS in story.red()
    assert SEARCH in story.red()


def test_an_entry_nobody_asked_for():
    story = Story()
    story.ensemble.append(1, SetData(K, b"by nobody"))
    story.batches = story.ensemble.batches()
    assert story.red() == {ONCE}


def test_two_writes_with_one_zxid(story):
    one, other = story.returned("a", Delete), story.returned("a", SetData)
    answer(story, one, zxid=story.records[other].zxid)
    assert ONCE in story.red()


def test_a_sync_that_did_not_wait(story):
    at = story.returned("b", Sync)
    answer(story, at, zxid=story.records[story.told("b")].event.zxid)
    assert story.red() == {REAL_TIME}


def test_every_violation_names_clients_operations_and_zxids(story):
    at = story.returned("c", GetData)
    old = story.records[story.returned("b", GetData)]
    answer(story, at, reply=old.reply, zxid=old.zxid)
    (found,) = [each for each in check(story.records, story.batches).findings.violations if each.check == REAL_TIME]
    number = story.records[at].operation
    assert f"c's operation {number}, GetData({K}" in found.sentence
    assert f"{old.zxid:#x}" in found.sentence
    assert number in found.operations
