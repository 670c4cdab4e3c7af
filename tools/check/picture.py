"""A failing window as a picture: a lane a client, a bar an operation, the order that got furthest as a line.

Time is drawn by rank, so that every call and return is told apart. A bar shows what was asked above what was answered;
one without a right end has no known outcome. The operation no order leads to is red. The SVG needs nothing beside it,
and the page needs nothing but the SVG.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from xml.etree.ElementTree import Element, SubElement, tostring

from coord.model.replies import (
    ChildrenReply,
    Created,
    DataReply,
    Done,
    ExistsReply,
    Failed,
    MultiDone,
    MultiReadDone,
    Reply,
    Written,
)
from coord.model.requests import CloseSession, Create, Multi, MultiRead, SetData
from tools.check.history import UNTOLD, Operation, StatSeen, brief
from tools.check.verdicts import Findings
from tools.check.window import Window

LANE, BAR, STEP, LEFT, TOP = 66, 40, 46, 130, 56
CHARACTER = 6.6  # width of one; every text is fitted to it, whatever the font
LABEL_MAX = 48
LIST_MAX = 20
"""Sentences of one checker that are shown at once: one mistake early on has many consequences."""
STARTS_MAX = 200
KEY = (
    ("bar-key", "answered"),
    ("unknown-key", "outcome unknown"),
    ("stuck-key", "no order leads to it"),
    ("order", "the order that gets furthest, by number"),
)
KEY_GAP, KEY_BOX = 24, 18
STYLE = (
    "text{font:11px ui-monospace,monospace;fill:#1b1f24}.paper{fill:#fff}.lane{stroke:#d0d7de}"
    ".bar,.bar-key{fill:#ddf4ff;stroke:#0969da}"
    ".unknown,.unknown-key{fill:#fff8c5;stroke:#9a6700;stroke-dasharray:4 3}"
    ".stuck,.stuck-key{fill:#ffebe9;stroke:#cf222e;stroke-width:2}.reply{fill:#57606a}"
    ".order{fill:none;stroke:#1a7f37;stroke-width:1.5}.place{fill:#1a7f37}.number{fill:#fff;text-anchor:middle}"
)
PAGE_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;color:#1b1f24;background:#fff}figure{margin:2em 0}"
    "figure>div{overflow-x:auto}figcaption{max-width:60em}summary{cursor:pointer;margin-left:1.5em}"
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(window: Window) -> str:
    """The window as a complete SVG document."""
    return tostring(_drawing(window), encoding="unicode")


def page(windows: Sequence[Window], findings: Findings) -> str:
    """An HTML page: how much was found, every window, every sentence."""
    violations: dict[str, list[str]] = {}
    for each in findings.violations:
        violations.setdefault(each.check, []).append(_text(each.sentence))
    lists = [_listed(name, sentences) for name, sentences in violations.items()]
    for name, others in (("undecided", findings.undecided), ("note", findings.notes)):
        if others:
            lists.append(_listed(name, [_text(each) for each in others]))
    drawings = [
        f"<figure><div>{svg(each)}</div><figcaption>{_text(caption(each))}</figcaption></figure>" for each in windows
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>History check</title>'
        f"<style>{PAGE_STYLE}</style></head><body><h1>History check</h1><p>{_text(_summary(findings))}</p>"
        f"{'<h2>Windows that no order explains</h2>' if drawings else ''}{''.join(drawings)}{''.join(lists)}"
        "</body></html>\n"
    )


def _summary(findings: Findings) -> str:
    if not findings.violations:
        return "Undecided." if findings.undecided else "Every promise was kept."
    counts = Counter(each.check for each in findings.violations)
    return f"Promises were broken, as these checkers say: {', '.join(f'{n} ({c})' for n, c in counts.items())}."


def _listed(name: str, sentences: Sequence[str]) -> str:
    first, rest = _items(sentences[:LIST_MAX]), _items(sentences[LIST_MAX:])
    more = f"<details><summary>and {len(sentences) - LIST_MAX} more</summary><ul>{rest}</ul></details>" if rest else ""
    return f"<h2>{escape(name)}</h2><ul>{first}</ul>{more}"


def _items(sentences: Iterable[str]) -> str:
    return "".join(f"<li>{each}</li>" for each in sentences)


def caption(window: Window) -> str:
    starts = " or ".join("no znode" if each == "None" else each for each in window.starts)
    begins = f" Before that: {starts}." if len(starts) <= STARTS_MAX else ""
    paths = sorted({path for each in window.operations if (path := getattr(each.request, "path", None)) is not None})
    freed = {0: "", 1: " One more does not matter: it fails with and without it."}.get(
        window.freed, f" {window.freed} more do not matter: it fails with and without them."
    )
    return (
        f"On {', '.join(paths) or 'several paths'}: {len(window.order)} of {len(window.operations)} operations can be "
        f"put in an order that agrees with the clock and the replies.{begins}{freed}"
    )


def _drawing(window: Window) -> Element:
    clients = list(dict.fromkeys(each.client for each in window.operations))
    times = {each.call_ns for each in window.operations}
    times |= {each.return_ns for each in window.operations if each.return_ns is not None}
    rank = {time: index for index, time in enumerate(sorted(times))}
    step = max([STEP, *(_needed(each, rank) for each in window.operations)])
    right = max(LEFT + (len(rank) + 1) * step, _key_width())
    height = TOP + len(clients) * LANE + 10
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {right:.0f} {height}", role="img",
                   width=f"{right:.0f}", height=f"{height}")  # fmt: skip
    SubElement(root, "title").text = "Operations that no order explains"
    SubElement(root, "style").text = STYLE
    _put(root, "rect", "paper", x=0, y=0, width=round(right), height=height)
    _key(_put(root, "g", "key"))
    lanes = {client: TOP + lane * LANE + LANE / 2 for lane, client in enumerate(clients)}
    for client, middle in lanes.items():
        _put(root, "line", "lane", x1=LEFT - 10, y1=middle, x2=right, y2=middle)
        _write(root, "client", 8, middle + 4, client)
    stuck = window.stuck.number if window.stuck is not None else None
    spans: dict[int, tuple[float, float, float]] = {}
    for operation in window.operations:
        start = LEFT + rank[operation.call_ns] * step
        end = right if operation.return_ns is None else LEFT + (rank[operation.return_ns] + 0.8) * step
        spans[operation.number] = start, end, lanes[operation.client]
        _bar(root, operation, spans[operation.number], operation.number == stuck)
    _order(root, window, spans)
    return root


def _key(group: Element) -> None:
    x = float(LEFT)
    for style, words in KEY:
        if style == "order":
            _put(group, "circle", "place", cx=x + KEY_BOX / 2, cy=20, r=7)
            _write(group, "number", x + KEY_BOX / 2, 24, "1")
        else:
            _put(group, "rect", style, x=x, y=13, width=KEY_BOX, height=14, rx=3)
        _write(group, "words", x + KEY_BOX + 6, 24, words)
        x += KEY_BOX + 6 + len(words) * CHARACTER + KEY_GAP


def _key_width() -> float:
    return LEFT + sum(KEY_BOX + 6 + len(words) * CHARACTER + KEY_GAP for _, words in KEY)


def _needed(operation: Operation, rank: dict[int, int]) -> float:
    """How wide a step of time must be for the label to fit its bar."""
    steps = (len(rank) if operation.return_ns is None else rank[operation.return_ns]) - rank[operation.call_ns] + 0.8
    return (max(map(len, label(operation))) * CHARACTER + 16) / steps


def _bar(root: Element, operation: Operation, span: tuple[float, float, float], is_stuck: bool) -> None:
    start, end, middle = span
    kind = "stuck" if is_stuck else "bar" if operation.reply is not None else "unknown"
    group = _put(root, "g", "operation")
    reply = brief(operation.reply) if operation.reply is not None else "outcome unknown"
    SubElement(group, "title").text = _clean(f"{operation}: {reply}, zxid {operation.zxid:#x}")
    _put(group, "rect", kind, x=start, y=middle - BAR / 2, width=end - start, height=BAR, rx=4)
    asked, answered = label(operation)
    _write(group, "asked", start + 8, middle - 3, asked)
    _write(group, "reply", start + 8, middle + 13, answered)


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
        _write(root, "number", x, y + 4, str(number))


def label(operation: Operation) -> tuple[str, str]:
    """What was asked and what was answered, as short as it can be said: the caption and the title tell the rest."""
    reply = _answered(operation.reply) if operation.reply is not None else "outcome unknown"
    return _short(f"{operation.number} {_asked(operation.request)}"), _short(f"→ {reply}")


def _asked(request: object) -> str:
    name = type(request).__name__
    if isinstance(request, Multi | MultiRead):
        return f"{name} {'; '.join(map(_asked, request.requests))}"
    if isinstance(request, CloseSession):
        return "session ends" if request.expired else name
    path = getattr(request, "path", "")
    words = [name, path.rpartition("/")[2] or path]
    if isinstance(request, Create | SetData):
        words.append(repr((request.data or b"").decode("utf-8", "replace")))
    version = getattr(request, "version", -1)
    return " ".join(words) + (f" if v{version}" if version != -1 else "")


def _answered(reply: Reply) -> str:
    if isinstance(reply, Failed):
        return type(reply.error).__name__.removesuffix("Error")
    if isinstance(reply, Created):
        return f"{reply.path.rpartition('/')[2]} {_version(reply.stat)}"
    if isinstance(reply, Written | ExistsReply):
        return _version(reply.stat) or "ok"
    if isinstance(reply, DataReply):
        return f"{(reply.data or b'').decode('utf-8', 'replace')!r} {_version(reply.stat)}"
    if isinstance(reply, ChildrenReply):
        return f"{len(reply.names)}: {', '.join(reply.names)}"
    if isinstance(reply, MultiDone | MultiReadDone):
        return "; ".join(map(_answered, reply.replies))
    return "ok" if isinstance(reply, Done) else brief(reply)


def _version(stat: object) -> str:
    return f"v{stat.version}" if isinstance(stat, StatSeen) and stat != UNTOLD else ""


def _short(text: str) -> str:
    text = _clean(text.rstrip())
    return text if len(text) <= LABEL_MAX else f"{text[: LABEL_MAX - 1]}…"


def _write(parent: Element, style: str, x: float, y: float, text: str) -> None:
    """Text of a known width, so that nothing runs over what stands beside it."""
    element = _put(parent, "text", style, x=x, y=y, textLength=len(_clean(text)) * CHARACTER)
    element.text = _clean(text)


def _put(parent: Element, tag: str, style: str, **attributes: float | str) -> Element:
    shown = {name: each if isinstance(each, str) else f"{each:.1f}" for name, each in attributes.items()}
    return SubElement(parent, tag, {"class": style, **shown})


def _clean(text: str) -> str:
    """`text` without the characters XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(text: str) -> str:
    return escape(_clean(text))
