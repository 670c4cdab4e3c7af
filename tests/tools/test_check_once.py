"""What counts as once in the servers' log, where clients number their writes and send them again."""

import pytest

from coord.model.entries import Run
from coord.model.replies import Written
from coord.model.requests import SetData
from tools.check.history import CONNECTED, UNTOLD, Recorder, operations
from tools.check.once import check_once
from tools.check.replay import Entry

SESSION = 7
WRITE = SetData("/a", b"v")


def entry(zxid: int, number: int) -> Entry:
    return Entry(zxid, 0, Run(1, 1, zxid, SESSION, number, (), (WRITE,)), WRITE, False, number)


def answered_once() -> list:
    recorder = Recorder()
    recorder.session("c", SESSION, CONNECTED)
    recorder.returned(recorder.call("c", SESSION, WRITE), Written(UNTOLD), 11)
    return operations(recorder.records)


@pytest.mark.parametrize(
    ("log", "sentences"),
    [
        ([entry(11, 1)], 0),
        ([entry(11, 1), entry(12, 1), entry(15, 1)], 0),  # sent again under its number: it counts as one
        ([entry(11, 1), entry(12, 2)], 1),
        ([entry(11, 0), entry(12, 0)], 1),
        ([entry(12, 1)], 2),  # not where it was answered, and once more than that
    ],
)
def test_a_numbered_write_may_stand_in_the_log_again_under_its_number_only(log: list[Entry], sentences: int) -> None:
    assert len(check_once(answered_once(), log).violations) == sentences


def test_a_numbered_write_of_unknown_outcome_is_allowed_once_however_often_it_was_sent() -> None:
    recorder = Recorder()
    recorder.session("c", SESSION, CONNECTED)
    recorder.lost(recorder.call("c", SESSION, WRITE))
    found = operations(recorder.records)
    assert not check_once(found, [entry(11, 1), entry(12, 1)]).violations
    assert check_once(found, [entry(11, 1), entry(12, 2)]).violations
