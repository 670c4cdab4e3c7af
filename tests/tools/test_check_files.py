"""Histories as files, pictures of what failed, and the command line."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from coord.model.acl import OPEN_ACL
from coord.model.errors import NoNodeError
from coord.model.replies import AclReply, Created, DataReply, Failed, MultiDone, WhoAmIReply
from coord.model.requests import Create, GetData, Multi, SetAcl, SetData
from tests.tools.check_ensemble import Ensemble
from tools.check.__main__ import main
from tools.check.checks import check
from tools.check.history import (
    CONNECTED,
    UNTOLD,
    HistoryError,
    Invoked,
    Recorder,
    Returned,
    SessionChanged,
    StatSeen,
    operations,
)
from tools.check.lines import HistoryFile, line_of, read_history, record_of, write_history
from tools.check.picture import page, svg

SVG = "{http://www.w3.org/2000/svg}"
STAT = StatSeen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def history():
    """a writes 1 and 2 to a znode whose name cannot stand in XML as it is; then b reads 1."""
    ensemble = Ensemble(clients=2)
    a, b = ensemble.clients
    path = "/<k>&\"'"
    ensemble.do(a, Create(path, b"\x00<1>&", OPEN_ACL))
    ensemble.do(b, GetData(path))
    ensemble.do(a, SetData(path, b"2"))
    ensemble.do(b, GetData(path), linearizable=True)
    return ensemble


def broken():
    ensemble = history()
    records = ensemble.recorder.records
    first, last = [index for index, each in enumerate(records) if isinstance(each, Returned)][1::2]
    records[last] = Returned(records[last].operation, records[first].reply, records[last].zxid, records[last].time_ns)
    return ensemble


# ---- lines


@pytest.mark.parametrize(
    "record",
    [
        Invoked(
            1, "a", 1 << 60, Multi((Create("/a", None, None, 2), SetData("/b", b"\x00\xff", 3))), 5, (("ip", "::1"),)
        ),
        Invoked(2, "a", 1, SetAcl("/a", ((31, "digest", "ann:x"),)), 5, linearizable=True),
        Returned(1, MultiDone((Created("/a", STAT), Failed(NoNodeError()))), 1 << 50, 6),
        Returned(2, AclReply(((1, "world", "anyone"),), UNTOLD), 0, 6),
        Returned(3, WhoAmIReply((("ip", "10.0.0.1"),)), 7, 6),
        SessionChanged("a", 1, CONNECTED, 0),
    ],
)
def test_a_record_is_one_line_and_comes_back(record):
    line = line_of(record)
    assert "\n" not in line
    assert line_of(record_of(line)) == line
    assert type(record_of(line)) is type(record)


def test_a_field_with_its_usual_value_may_be_left_out():
    line = '{"is":"Invoked","operation":1,"client":"a","session":1,"request":{"is":"GetData","path":"/a"},"time_ns":1}'
    assert record_of(line) == Invoked(1, "a", 1, GetData("/a"), 1)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "not a JSON object"),
        ("[]", 'here should be an object with the member "is"'),
        ('{"is":"Nothing"}', "'Nothing' is not known here"),
        ('{"is":"Lost","operation":1}', "Lost needs the field 'time_ns'"),
        ('{"is":"Lost","operation":"1","time_ns":0}', 'here should be an integer, and is "1"'),
        ('{"is":"Lost","operation":1,"time_ns":0,"why":0}', "Lost has no field 'why'"),
        ('{"is":"Returned","operation":1,"zxid":0,"time_ns":0,"reply":{"is":"Failed","error":-99}}', "no error -99"),
        ('{"is":"Returned","operation":1,"zxid":0,"time_ns":0,"reply":{"is":"ExistsReply","stat":{}}}', "a stat has"),
        (
            '{"is":"Returned","operation":1,"zxid":0,"time_ns":0,"reply":{"is":"DataReply","data":"\\u0100","stat":null}}',
            "above U+00FF",
        ),
    ],
)
def test_a_line_that_is_no_record_is_refused_with_a_reason(tmp_path, line, sentence):
    file = tmp_path / "history"
    file.write_text(line_of(SessionChanged("a", 1, CONNECTED, 0)) + "\n\n" + line + "\n")
    with pytest.raises(HistoryError) as error:
        list(read_history(file))
    assert sentence in str(error.value)
    assert str(error.value).startswith(f"{file}, line 3: ")


def test_records_are_written_as_they_come(tmp_path):
    with HistoryFile(tmp_path / "history") as file:
        recorder = Recorder(lambda: 7, file.keep)
        operation = recorder.call("a", 1, GetData("/a"))
        recorder.returned(operation, DataReply(b"1", STAT), 5)
    assert recorder.records == []
    assert list(read_history(tmp_path / "history")) == [
        Invoked(1, "a", 1, GetData("/a"), 7),
        Returned(1, DataReply(b"1", STAT), 5, 7),
    ]


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([Invoked(1, "a", 1, GetData("/"), 0)] * 2, "operation 1 is called twice"),
        ([Returned(1, Failed(NoNodeError()), 0, 0)], "operation 1 ends, but was never called"),
        (
            [Invoked(1, "a", 1, GetData("/"), 5), Returned(1, Failed(NoNodeError()), 0, 4)],
            "returns before it is called",
        ),
    ],
)
def test_records_that_do_not_fit_together_are_refused(records, sentence):
    with pytest.raises(HistoryError, match=sentence):
        operations(records)


def test_an_unknown_state_of_a_session_is_refused():
    with pytest.raises(HistoryError, match="'asleep' is no state of a session"):
        Recorder().session("a", 1, "asleep")


# ---- pictures


def test_the_picture_shows_each_operation_once_and_marks_the_one_that_does_not_fit():
    report = check(broken().recorder.records)
    (window,) = report.windows
    root = ElementTree.fromstring(svg(window))
    groups = root.findall(f"{SVG}g[@class='operation']")
    assert len(groups) == len(window.operations) >= 1
    (stuck,) = [each for each in root.iter(f"{SVG}rect") if each.get("class") == "stuck"]
    titles = [each.find(f"{SVG}title").text for each in groups if stuck in list(each)]
    assert len(titles) == 1
    assert titles[0].startswith(f"{window.stuck}")
    assert len(root.findall(f"{SVG}circle")) == len(window.order)
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height


def test_bars_of_one_lane_do_not_overlap_when_their_operations_do_not():
    window = check(broken().recorder.records).windows[0]
    spans = {}
    for group in ElementTree.fromstring(svg(window)).findall(f"{SVG}g[@class='operation']"):
        rect = group.find(f"{SVG}rect")
        start = float(rect.get("x"))
        spans.setdefault(rect.get("y"), []).append((start, start + float(rect.get("width"))))
    for lane in spans.values():
        lane.sort()
        assert all(one[1] < other[0] for one, other in pairwise(lane))


def test_what_a_bar_says_stays_within_it_and_the_colours_are_explained():
    window = check(broken().recorder.records).windows[0]
    root = ElementTree.fromstring(svg(window))
    for group in root.findall(f"{SVG}g[@class='operation']"):
        rect = group.find(f"{SVG}rect")
        end = float(rect.get("x")) + float(rect.get("width"))
        texts = group.findall(f"{SVG}text")
        assert len(texts) == 2
        assert all(float(each.get("x")) + float(each.get("textLength")) <= end for each in texts)
    (key,) = root.findall(f"{SVG}g[@class='key']")
    assert "no order leads to it" in [each.text for each in key.iter(f"{SVG}text")]
    assert "outcome unknown" in [each.text for each in key.iter(f"{SVG}text")]


def test_the_page_is_whole_and_holds_every_sentence():
    report = check(broken().recorder.records)
    text = page(report.windows, report.findings).removeprefix("<!DOCTYPE html>\n")
    root = ElementTree.fromstring(text)
    items = ["".join(each.itertext()) for each in root.iter("li")]
    found = report.findings
    assert len(items) == len(found.violations) + len(found.undecided) + len(found.notes)
    assert len(list(root.iter(f"{SVG}svg"))) == len(report.windows)
    assert "script" not in text


# ---- the command line


def written(tmp_path, ensemble):
    file = tmp_path / "history.jsonl"
    write_history(file, ensemble.recorder.records)
    (tmp_path / "log").write_bytes(b"".join(batch.encoded for batch in ensemble.batches()))
    return str(file)


def test_a_kept_promise_is_status_0(tmp_path, capsys):
    file = written(tmp_path, history())
    assert main([file]) == 0
    assert capsys.readouterr().out == "4 operations: every promise was kept.\n"
    assert main([file, "--log", str(tmp_path / "log")]) == 0


def test_a_broken_promise_is_status_1_with_sentences_and_pictures(tmp_path, capsys):
    file = written(tmp_path, broken())
    picture, html = tmp_path / "window.svg", tmp_path / "page.html"
    assert main([file, "--svg", str(picture), "--html", str(html)]) == 1
    out = capsys.readouterr().out
    assert "witness: b's operation 4, GetData(" in out
    assert out.endswith("4 operations: promises were broken.\n")
    assert ElementTree.parse(picture).getroot().tag == f"{SVG}svg"
    assert html.read_text().startswith("<!DOCTYPE html>")


def test_the_findings_come_as_json_too(tmp_path, capsys):
    assert main([written(tmp_path, broken()), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "broken"
    assert {each["check"] for each in found["violations"]} == {"witness", "search"}


def test_a_search_given_up_is_status_2_and_says_undecided(tmp_path, capsys):
    assert main([written(tmp_path, history()), "--steps", "1"]) == 2
    assert "undecided: the search over " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "No such file"), (b"\xff\xfe", "is not text in UTF-8"), (b"nonsense\n", "line 1: not a JSON object")],
)
def test_an_unreadable_file_is_status_2_with_one_sentence(tmp_path, capsys, content, sentence):
    file = tmp_path / "history"
    if content is not None:
        file.write_bytes(content)
    assert main([str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cannot be checked: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_a_damaged_log_is_status_2(tmp_path, capsys):
    file = written(tmp_path, history())
    log = tmp_path / "log"
    log.write_bytes(log.read_bytes()[:-3])
    assert main([file, "--log", str(log)]) == 2
    assert "the log's batch at byte" in capsys.readouterr().err
