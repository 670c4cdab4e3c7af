"""Histories of an ensemble that keeps its promises are accepted, with the servers' log and without."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.check_ensemble import Ensemble
from tools.check.checks import check
from tools.check.linearizability import Budget
from tools.check.lines import line_of, record_of

SEEDS = st.integers(0, 1 << 32)


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_correct_history_is_accepted_with_the_servers_log(seed):
    ensemble = Ensemble(seed).run(250, window=3)
    report = check(ensemble.recorder.records, ensemble.batches(), Budget(20_000))
    assert report.findings.violations == []


@given(SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_correct_history_is_accepted_on_the_clients_word_alone(seed):
    ensemble = Ensemble(seed).run(250)
    report = check(ensemble.recorder.records, None, Budget(20_000), applied_max=10_000)
    assert report.findings.violations == []


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_without_losses_nothing_is_left_undecided(seed):
    ensemble = Ensemble(seed).run(200, losses=False)
    findings = check(ensemble.recorder.records).findings
    assert (findings.violations, findings.undecided) == ([], [])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_record_survives_its_line(seed):
    records = Ensemble(seed).run(120).recorder.records
    again = [record_of(line_of(record)) for record in records]
    assert [line_of(record) for record in again] == [line_of(record) for record in records]
    assert check(again, None, Budget(1000), 1000).findings.violations == []
