"""How far a long look has come: a bar on standard error, at a terminal only, and only where it takes long."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from coord.shell.plain import json_line
from coord.shell.run import say

PATIENCE_S = 0.4
"""What is done sooner shows no bar."""
EVERY_S = 0.1
COLUMNS_OF_FIGURES = 70
"""A narrower terminal gets the bar alone."""


class Bar:
    """For `coord.past.looking.Progress`."""

    def __init__(self, who: str, *, json: bool) -> None:
        self._who = who
        self._json = json
        self._bar: Progress | None = None
        self._wanted = sys.stderr.isatty()
        self._what = ""
        self._total = self._done = 0
        self._began = self._drawn = 0.0

    def begin(self, what: str, total_bytes: int) -> None:
        self._clear()
        self._what, self._total, self._done = what, total_bytes, 0
        self._began = time.monotonic()

    def advance(self, size_bytes: int) -> None:
        self._done += size_bytes
        if self._wanted:
            now = time.monotonic()
            if now - max(self._drawn, self._began + PATIENCE_S - EVERY_S) >= EVERY_S:
                self._drawn = now
                self._draw()

    def note(self, sentence: str) -> None:
        self._clear()
        say(json_line({"note": sentence}) if self._json else f"{self._who}: {sentence}")

    def hide(self) -> None:
        """What is shown now comes to the same terminal: from here on it tells how far the look is."""
        if sys.stdout.isatty():
            self._wanted = False
            self._clear()

    def end(self) -> None:
        self._wanted = False
        self._clear()

    def _draw(self) -> None:
        if self._bar is None:
            console = Console(stderr=True)
            figures = (DownloadColumn(), TimeRemainingColumn()) if console.width >= COLUMNS_OF_FIGURES else ()
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=None), *figures,
                console=console, transient=True, auto_refresh=False,
            )  # fmt: skip
            self._bar.add_task(self._what, total=max(self._total, self._done))
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self._done, total=max(self._total, self._done))
        self._bar.refresh()

    def _clear(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()
