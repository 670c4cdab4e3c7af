"""What commands about the past give, as people read it: one function a class, in the table at the end."""

from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from coord.shell import past_values
from coord.shell.past_values import OK
from coord.shell.printable import as_text, hexadecimal, safe
from coord.shell.units import moment, size

COLOURS = {"created": "green", "deleted": "red", "set": "yellow", "acl": "magenta", "there": "dim"}


def change(row: past_values.ChangeShown, console: Console) -> Text:
    text = Text.assemble(
        (f"{moment(row.time)}  {row.zxid}  ", "dim"),
        (f"{row.what:<8}", COLOURS.get(row.what, "")),
        f"  {row.path}",
    )
    text.append("".join(f"  {each}" for each in _facts(row) if each))
    if author := _author(row):
        text.append(f"  {author}", style="cyan")
    return _with_value(text, row.value, console)


def _facts(row: past_values.ChangeShown) -> list[str]:
    kind = "" if row.kind == "persistent" else row.kind
    part = f"part {row.part} of a multi" if row.part else ""
    if row.what == "set":
        return [f"version {row.version_from} -> {row.version_to}", f"{row.size_from} -> {row.size_to} bytes", part]
    if row.what == "acl":
        return [f"ACL version {row.version_from} -> {row.version_to}", row.acl or "", part]
    if row.what == "deleted":
        return [kind, f"version {row.version_from}", f"{row.size_from} bytes", row.cause or "", part]
    version = f"version {row.version_to}" if row.what == "there" else ""
    return [kind, version, f"{row.size_to} bytes", row.acl or "", part]


def _author(row: past_values.ChangeShown | past_values.EntryShown) -> str:
    if row.session is None:
        return ""
    where = f" from {row.client}" if row.client else ""
    who = f" as {', '.join(row.identities)}" if row.identities else ""
    return f"session {row.session}{where}{who}"


def difference(row: past_values.DifferenceShown, console: Console) -> Text:
    text = Text.assemble((f"{', '.join(row.what):<9}", COLOURS.get(row.what[0], "yellow")), f"  {row.path}")
    if row.version_from is None:
        text.append(f"  version {row.version_to}  {row.size_to} bytes")
    elif row.version_to is None:
        text.append(f"  version {row.version_from}  {row.size_from} bytes")
    else:
        text.append(f"  version {row.version_from} -> {row.version_to}  {row.size_from} -> {row.size_to} bytes")
        if row.acl_from != row.acl_to:
            text.append(f"  ACL {row.acl_from} -> {row.acl_to}")
    for mark, value in (("-", row.value_from), ("+", row.value_to)):
        if value is not None:
            text = Text("\n").join([text, *(Text(f"    {mark} ") + line for line in _lines(value, console))])
    return text


def entry(row: past_values.EntryShown, console: Console) -> Text:
    text = Text.assemble((f"{moment(row.time)}  {row.zxid}  ", "dim"), request_text(row.request))
    if row.result is not None:
        done = row.result == OK or row.result.startswith("/")
        text.append(safe(f"  -> {row.result}"), style="green" if done else "red")
    if author := _author(row):
        text.append(f"  {author}", style="cyan")
    parts = [Text(f"    {number}. {request_text(each)}") for number, each in enumerate(row.request.get("parts", ()), 1)]
    value = row.request.get("value")
    return _with_value(Text("\n").join([text, *parts]), value, console)


def request_text(request: dict[str, Any]) -> str:
    """`create /a ephemeral 12 bytes`: what is asked, of which path, and the rest by name."""
    words = [str(request["request"])]
    if "path" in request:
        words.append(str(request["path"]))
    for name, value in request.items():
        if name in ("request", "path", "parts", "value"):
            continue
        if name == "size":
            words.append(f"{value} bytes")
        elif value is True:
            words.append(name)
        elif name in ("kind", "acl"):
            words.append(str(value))
        else:
            words.append(f"{name} {value}")
    return safe(" ".join(words))


def log_checked(shown: past_values.LogChecked, console: Console) -> Text:
    return Text(shown.sentence)


def snapshot(row: past_values.SnapshotShown, console: Console) -> Text:
    if row.problem is not None:
        return Text.assemble(f"{row.zxid}  {size(row.bytes)}  ", (row.problem, "bold red"))
    assert row.time is not None, f"the snapshot at {row.zxid} is good, and has no time"
    return Text(
        f"{row.zxid}  {size(row.bytes)}  {moment(row.time)}  {row.znodes} znodes  {row.sessions} sessions  "
        f"digest {row.digest}"
    )


def znode(row: past_values.ZnodeShown, console: Console) -> Text:
    mark = {"persistent": "-", "ephemeral": "e", "container": "c", "ttl": "t"}[row.kind]
    head = f"{mark} {row.version:>6} {row.size:>8} {row.children:>6} {moment(row.mtime)} "
    return _with_value(Text.assemble((head, "dim"), row.path), row.value, console)


def session_kept(row: past_values.SessionKept, console: Console) -> Text:
    return Text(
        f"session {row.session}  timeout {row.timeout_ms / 1000:g} s  server {row.server}  {row.ephemerals} ephemerals"
    )


def _with_value(text: Text, value: bytes | None, console: Console) -> Text:
    if not value:
        return text
    return Text("\n").join([text, *(Text("    ") + line for line in _lines(value, console))])


def _lines(value: bytes, console: Console) -> list[Text]:
    text = as_text(value)
    shown = hexadecimal(value, console.width - 6) if text is None else Text(text.removesuffix("\n"))
    return list(shown.split("\n", allow_blank=True))


PAST_SHOWN: dict[type, Callable[[Any, Console], RenderableType]] = {
    past_values.ChangeShown: change,
    past_values.DifferenceShown: difference,
    past_values.EntryShown: entry,
    past_values.LogChecked: log_checked,
    past_values.SnapshotShown: snapshot,
    past_values.ZnodeShown: znode,
    past_values.SessionKept: session_kept,
}
