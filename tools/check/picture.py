"""A failing window as a picture: a lane a client, a bar an operation, the order that got furthest as a line.

Time is drawn by rank, so that every call and return is told apart. A bar without a right end has no known outcome. The
operation no order leads to is red. The SVG needs nothing beside it, and the page needs nothing but the SVG.
"""

import re
from collections.abc import Sequence
from html import escape
from xml.etree.ElementTree import Element, SubElement, tostring

from tools.check.history import Operation, brief
from tools.check.verdicts import Findings
from tools.check.window import Window

LANE, BAR, STEP, LEFT, TOP = 64, 30, 46, 130, 40
CHARACTER = 6.2  # width of one, at 11 pixels
LABEL_MAX = 60
STYLE = (
    "text{font:11px ui-monospace,monospace;fill:#1b1f24}.lane{stroke:#d0d7de}.bar{fill:#ddf4ff;stroke:#0969da}"
    ".unknown{fill:#fff8c5;stroke:#9a6700;stroke-dasharray:4 3}.stuck{fill:#ffebe9;stroke:#cf222e;stroke-width:2}"
    ".order{fill:none;stroke:#1a7f37;stroke-width:1.5}.place{fill:#1a7f37}.number{fill:#fff;text-anchor:middle}"
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(window: Window) -> str:
    """The window as a complete SVG document."""
    return tostring(_drawing(window), encoding="unicode")


def page(windows: Sequence[Window], findings: Findings) -> str:
    """An HTML page: every sentence of the findings, every window."""
    sentences = [f"<li><b>{escape(each.check)}</b> {_text(each.sentence)}</li>" for each in findings.violations]
    sentences += [f"<li><b>undecided</b> {_text(each)}</li>" for each in findings.undecided]
    sentences += [f"<li><b>note</b> {_text(each)}</li>" for each in findings.notes]
    drawings = [f"<figure>{svg(each)}<figcaption>{_text(caption(each))}</figcaption></figure>" for each in windows]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>History check</title>'
        "<style>body{font:14px/1.5 system-ui,sans-serif;margin:2em}figure{margin:2em 0;overflow-x:auto}</style></head>"
        f"<body><h1>History check</h1><ul>{''.join(sentences)}</ul>{''.join(drawings)}</body></html>\n"
    )


def caption(window: Window) -> str:
    starts = " or ".join(window.starts)
    begins = f"It begins in the state {starts}. " if len(starts) <= 200 else ""
    freed = f" {window.freed} more do not matter: it fails with and without them." if window.freed else ""
    return (
        f"{begins}Green: the order that gets furthest, {len(window.order)} of {len(window.operations)} operations. "
        f"Red: what cannot be put behind it.{freed}"
    )


def _drawing(window: Window) -> Element:
    clients = list(dict.fromkeys(each.client for each in window.operations))
    times = {each.call_ns for each in window.operations}
    times |= {each.return_ns for each in window.operations if each.return_ns is not None}
    rank = {time: index for index, time in enumerate(sorted(times))}
    step = max([STEP, *(_needed(each, rank) for each in window.operations)])
    right = LEFT + (len(rank) + 1) * step
    height = TOP + len(clients) * LANE + 10
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {right:.0f} {height}", role="img",
                   width=f"{right:.0f}", height=f"{height}")  # fmt: skip
    SubElement(root, "title").text = "Operations that no order explains"
    SubElement(root, "style").text = STYLE
    for lane, client in enumerate(clients):
        middle = TOP + lane * LANE + LANE / 2
        _put(root, "line", "lane", x1=LEFT - 10, y1=middle, x2=right, y2=middle)
        _put(root, "text", "client", x=8, y=middle + 4).text = _clean(client)
    lanes = {client: TOP + lane * LANE + LANE / 2 for lane, client in enumerate(clients)}
    stuck = window.stuck.number if window.stuck is not None else None
    spans: dict[int, tuple[float, float, float]] = {}
    for operation in window.operations:
        start = LEFT + rank[operation.call_ns] * step
        end = right if operation.return_ns is None else LEFT + (rank[operation.return_ns] + 0.8) * step
        spans[operation.number] = start, end, lanes[operation.client]
        _bar(root, operation, spans[operation.number], operation.number == stuck)
    _order(root, window, spans)
    return root


def _needed(operation: Operation, rank: dict[int, int]) -> float:
    """How wide a step of time must be for the label to fit its bar."""
    steps = (len(rank) if operation.return_ns is None else rank[operation.return_ns]) - rank[operation.call_ns] + 0.8
    return (len(label(operation)) * CHARACTER + 12) / steps


def _bar(root: Element, operation: Operation, span: tuple[float, float, float], is_stuck: bool) -> None:
    start, end, middle = span
    kind = "stuck" if is_stuck else "bar" if operation.reply is not None else "unknown"
    group = _put(root, "g", "operation")
    reply = brief(operation.reply) if operation.reply is not None else "outcome unknown"
    SubElement(group, "title").text = _clean(f"{operation}: {reply}, zxid {operation.zxid:#x}")
    _put(group, "rect", kind, x=start, y=middle - BAR / 2, width=end - start, height=BAR, rx=4)
    _put(group, "text", "label", x=start + 6, y=middle + 4).text = label(operation)


def _order(root: Element, window: Window, spans: dict[int, tuple[float, float, float]]) -> None:
    """Points inside the bars, from left to right: an operation happens at one moment between its ends."""
    points: list[tuple[float, float]] = []
    x = float(LEFT)
    for operation in window.order:
        start, end, middle = spans[operation.number]
        x = max(x + 4, start + 4)
        points.append((min(x, end), middle - BAR / 2))
    if len(points) > 1:
        _put(root, "polyline", "order", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))
    for number, (x, y) in enumerate(points, 1):
        _put(root, "circle", "place", cx=x, cy=y, r=7)
        _put(root, "text", "number", x=x, y=y + 4).text = str(number)


def label(operation: Operation) -> str:
    """What was asked and answered, as short as it can be said."""
    reply = brief(operation.reply) if operation.reply is not None else "?"
    text = _clean(f"{operation.number} {brief(operation.request)} → {reply}")
    return text if len(text) <= LABEL_MAX else f"{text[: LABEL_MAX - 1]}…"


def _put(parent: Element, tag: str, style: str, **attributes: float | str) -> Element:
    shown = {name: each if isinstance(each, str) else f"{each:.1f}" for name, each in attributes.items()}
    return SubElement(parent, tag, {"class": style, **shown})


def _clean(text: str) -> str:
    """`text` without the characters XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(text: str) -> str:
    return escape(_clean(text))
