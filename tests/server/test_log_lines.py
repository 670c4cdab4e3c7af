"""One line an event, no secrets, whatever is logged."""

import io
import json
import logging
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.server.log_lines import HIDDEN, EventLog, configure, is_secret, moment, one_line, plain


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root, coord = logging.getLogger(), logging.getLogger("coord")
    before = root.handlers[:], root.level, coord.level
    yield
    root.handlers[:], root.level, coord.level = before
    logging.captureWarnings(False)


def lines_of(form, say, level="debug"):
    stream = io.StringIO()
    configure(level, form, stream)
    log = EventLog(1)
    log.epoch, log.zxid = 3, 3 << 40 | 1
    say(log)
    return stream.getvalue().splitlines()


def test_a_line_holds_time_level_speaker_sentence_and_fields():
    (line,) = lines_of("text", lambda log: log.info("this server leads", voters=3, took_ms=1.5, why="a b"))
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'info server=1 epoch=3 zxid=0x30000000001 this server leads voters=3 took_ms=1.5 why="a b"'


def test_json_says_the_same_as_one_object():
    (line,) = lines_of("json", lambda log: log.warning("slow disk", took_ms=30, session=255, path=None))
    event = json.loads(line)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "warning", "server": 1, "epoch": 3, "zxid": "0x30000000001",
        "event": "slow disk", "took_ms": 30, "session": "0xff", "path": None,
    }  # fmt: skip


def test_the_speaker_follows_the_server():
    def say(log):
        log.info("before")
        log.epoch = 4
        log.info("after")

    assert [" epoch=3 " in line for line in lines_of("text", say)] == [True, False]


def test_what_is_not_known_of_the_speaker_is_not_shown():
    def say(log):
        log.epoch = log.zxid = None
        log.info("starting")
        assert repr(log) == "<EventLog server=1>"

    assert lines_of("text", say)[0].endswith("Z info server=1 starting")


def test_events_below_the_level_are_not_written():
    def say(log):
        log.debug("d")
        log.info("i")
        log.warning("w")
        log.error("e")

    assert [line.split()[-1] for line in lines_of("text", say, level="warning")] == ["w", "e"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "session_password",
        "passwd",
        "auth",
        "auth_data",
        "credentials",
        "super_digest",
        "api_token",
    ],
)
def test_a_field_with_a_secrets_name_is_not_shown(form, name):
    (line,) = lines_of(form, lambda log: log.info("connected", **{name: "hunter2"}))
    assert "hunter2" not in line
    assert HIDDEN in line


def test_ordinary_names_are_not_taken_for_secrets():
    assert not any(map(is_secret, ["digest", "author", "path", "passes", "session", "authenticated"]))


@pytest.mark.parametrize("form", ["text", "json"])
def test_bytes_are_shown_by_their_length_only(form):
    (line,) = lines_of(form, lambda log: log.info("read", data=b"hunter2", part=memoryview(b"hunter2")))
    assert "hunter2" not in line
    assert line.count("(7 bytes)") == 2


@settings(max_examples=100)
@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.floats() | st.binary()))
def test_no_event_breaks_a_line(sentence, fields):
    for form in ("text", "json"):
        stream = io.StringIO()
        configure("debug", form, stream)
        EventLog(1)._log(logging.INFO, sentence, fields)
        assert stream.getvalue().endswith("\n")
        assert stream.getvalue()[:-1].isprintable()
        assert form == "text" or json.loads(stream.getvalue())["level"]


@pytest.mark.filterwarnings("always")
def test_a_librarys_record_and_a_warning_are_lines_too():
    def say(log):
        logging.getLogger("other").warning("it is %d\nlines", 2)
        warnings.warn("take care", UserWarning, stacklevel=1)

    first, second = lines_of("text", say)
    assert first.endswith(r" warning it is 2\nlines logger=other")
    assert "take care" in second


def test_a_traceback_stays_on_its_line():
    def say(log):
        try:
            raise ValueError("no\nway")
        except ValueError as error:
            logging.getLogger("coord").error("failed", exc_info=error)

    (line,) = lines_of("text", say)
    assert "Traceback" in line
    assert "ValueError: no" in line


def test_values_that_could_be_taken_for_more_are_in_quotes():
    assert [plain(each) for each in ("a", "", "a b", "a=b", 'a"b', "a\nb", 7, True, None)] == [
        "a", '""', '"a b"', '"a=b"', r'"a\"b"', r'"a\nb"', "7", "True", "None",
    ]  # fmt: skip
    assert one_line("a\r\x1b[2Jb\u2028") == r"a\r\x1b[2Jb\u2028"
    assert moment(0) == "1970-01-01T00:00:00.000Z"
