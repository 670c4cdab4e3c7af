"""Throughput against latency as a picture: one line for each of those measured, one point for each shape. Pure."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from tools.bench.figures import Figures
from tools.bench.goals import COORD, ETCD, LIMIT, ZOOKEEPER
from tools.bench.shapes import Row

COLOURS = {COORD: "#0a7d4f", ZOOKEEPER: "#c0392b", ETCD: "#2b6cb0", LIMIT: "#888888"}
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 560, 400, 70, 50, 30, 50
Point = tuple[float, float, str]
"""Requests a second, p50 in ms, and the shape."""


def picture(figures: Figures, panels: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """A panel a title, side by side; rows that were not measured leave no point."""
    bodies = [_panel(figures, title, rows, index * _WIDTH) for index, (title, rows) in enumerate(panels)]
    width = _WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11">\n'
        + '<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(bodies)
        + "\n</svg>\n"
    )


def points(figures: Figures, rows: Sequence[Row], who: str) -> list[Point]:
    """Of one of those measured, by how much was in flight."""
    found = []
    for row in sorted(rows, key=lambda row: row.connections * row.window):
        rate, latency = figures.median(f"{row}, /s", who), figures.median(f"{row}, p50 ms", who)
        if rate and latency:
            found.append((rate, latency, f"{row.connections} x {row.window}"))
    return found


def _panel(figures: Figures, title: str, rows: Sequence[Row], offset: int) -> str:
    found = {who: points(figures, rows, who) for who in COLOURS}
    everything = [point for each in found.values() for point in each]
    parts = [_text(_WIDTH / 2, 20, title, anchor="middle", size=14)]
    if everything:
        across = _Axis([rate for rate, _, _ in everything], _LEFT, _WIDTH - _RIGHT)
        up = _Axis([latency for _, latency, _ in everything], _HEIGHT - _BOTTOM, _TOP)
        for power in across.powers:
            x = across.at(power)
            parts.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
            parts.append(_text(x, _HEIGHT - _BOTTOM + 15, _thousands(power), anchor="middle"))
        for power in up.powers:
            y = up.at(power)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
            parts.append(_text(_LEFT - 5, y + 4, f"{power:g}", anchor="end"))
        for index, (who, line) in enumerate((who, line) for who, line in found.items() if line):
            parts += _line(line, across, up, COLOURS[who])
            parts.append(_text(_LEFT + 10, _TOP + 15 + 15 * index, who, colour=COLOURS[who], size=13))
    parts.append(_text(_WIDTH / 2, _HEIGHT - 12, "requests a second", anchor="middle"))
    parts.append(_text(12, _TOP - 12, "p50, ms"))
    return f'<g transform="translate({offset} 0)">\n' + "\n".join(parts) + "\n</g>"


def _line(line: Sequence[Point], across: "_Axis", up: "_Axis", colour: str) -> list[str]:
    places = [(across.at(rate), up.at(latency), shape) for rate, latency, shape in line]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in places)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, y, shape in places:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(_text(x + 6, y - 6, shape, colour=colour))
    return parts


def _thousands(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "black", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
    )


class _Axis:
    """Logarithmic, over whole powers of ten, from the pixel `first` to the pixel `last`."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low = math.floor(math.log10(min(values)))
        high = max(low + 1, math.ceil(math.log10(max(values))))
        self.powers = [10.0**exponent for exponent in range(low, high + 1)]
        self._low, self._span, self._first, self._last = low, high - low, first, last

    def at(self, value: float) -> float:
        return self._first + (math.log10(value) - self._low) / self._span * (self._last - self._first)
