"""The bar of a long look: at a terminal only, only where it takes long, and gone before anything else is written."""

import io
import time

import pytest

from coord.cli.progress import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is a tenth of a second later."""
    now = [100.0]

    def tick():
        now[0] += 0.1
        return now[0]

    monkeypatch.setattr(time, "monotonic", tick)


def looked(bar, steps):
    bar.begin("reading the log", 1000)
    for _ in range(steps):
        bar.advance(10)


@pytest.mark.parametrize(("columns", "figures"), [("100", True), ("40", False)])
def test_a_long_look_shows_a_bar_that_is_gone_at_its_end(columns, figures, clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar("coord history", json=False)
    looked(bar, 20)
    assert "reading the log" in terminal.getvalue()
    assert ("kB" in terminal.getvalue()) == figures
    bar.note("a snapshot is damaged")
    assert terminal.getvalue().endswith("coord history: a snapshot is damaged\n")
    bar.end()
    looked(bar, 20)
    assert terminal.getvalue().endswith("coord history: a snapshot is damaged\n")


def test_a_short_look_shows_nothing(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    bar = Bar("coord history", json=False)
    looked(bar, 2)
    assert terminal.getvalue() == ""


def test_without_a_terminal_nothing_is_shown_but_notes(clock, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    bar = Bar("coord history", json=True)
    looked(bar, 50)
    bar.note("so")
    assert written.getvalue() == '{"note": "so"}\n'
