"""Values as people read them: one function a class, in the table at the end.

What comes from the tree is put in Text, never in markup, and control characters never reach the terminal: a value
that has any is shown in hexadecimal.
"""

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from coord.client.events import Cause
from coord.model.stat import Stat
from coord.shell import values
from coord.shell.acls import shown_acl, shown_permissions
from coord.shell.backup_values import BACKUP_SHOWN
from coord.shell.health import EnsembleStatus, ServerStatus
from coord.shell.kinds import CONTAINER, LETTERS, TTL, kind_of
from coord.shell.past_text import PAST_SHOWN
from coord.shell.printable import as_text, hexadecimal
from coord.shell.syntax import language_of
from coord.shell.units import duration, milliseconds, moment, size, wall_ms

COLOURED_BYTES_MAX = 16 << 10
"""Longer values are shown without colours: to find them takes longer than anyone waits."""

TABLE_COLUMNS = 72
"""With less room each server is shown as a list."""
COLUMN_GAP = 2
NOT_SERVING = "does not serve"

Field: TypeAlias = tuple[str, Callable[[ServerStatus], Text]]
"""Of a server: its title, and how it is shown."""

LONG_COLUMNS = 72
"""A terminal that is narrower gets `ls -l` without the time."""

SHORT_LETTERS = 60
"""A longer value is not repeated by `diff`."""


def render(value: Any, console: Console) -> RenderableType:
    return SHOWN[type(value)](value, console)


# ---- znodes


def child(row: values.Child, console: Console) -> Text:
    return Text(row.name, style=_style(row.stat))


def long_child(row: values.LongChild, console: Console) -> Text:
    stat = row.stat
    if stat is None:
        return Text.assemble(("   (may not be read)   ", "dim"), row.name)
    kind = LETTERS[kind_of(stat)]
    if console.width < LONG_COLUMNS:
        head = f"{kind} {stat.version:>4} {stat.data_length:>7} {stat.children_count:>5} "
    else:
        head = f"{kind} {stat.version:>6} {stat.data_length:>8} {stat.children_count:>6} {moment(stat.mtime)} "
    return Text.assemble((head, "dim"), (row.name, _style(stat)))


def listed_path(row: values.ListedPath, console: Console) -> Text:
    return Text(row.path, style=_style(row.stat))


def found(row: values.Found, console: Console) -> Text:
    return Text(row.path, style=_style(row.stat))


def _style(stat: Stat | None) -> str:
    if stat is None:
        return "red"
    return "yellow" if stat.ephemeral_owner else "bold blue" if stat.children_count else ""


def branch(row: values.Branch, console: Console) -> Text:
    text = Text("  " * row.depth)
    text.append(row.name, style="yellow" if row.ephemeral else "bold blue" if row.children else "")
    if row.children:
        below = f", {row.descendants} below" if row.descendants is not None else ""
        text.append(f"  ({row.children}{below})", style="dim")
    return text


def value(shown: values.Value, console: Console) -> RenderableType:
    text = as_text(shown.value)
    if text is None:
        return hexadecimal(shown.value, console.width)
    language = language_of(text) if console.is_terminal and len(text) <= COLOURED_BYTES_MAX else None
    if language is not None:
        coloured = Syntax(text, language, theme="ansi_dark", background_color="default").highlight(text)
        coloured.right_crop(len(coloured) - len(coloured.plain.rstrip("\n")))
        return coloured
    return Text(text.removesuffix("\n"))


def znode_stat(shown: values.ZnodeStat, console: Console) -> Text:
    return stat_lines(shown.stat)


def stat_lines(stat: Stat) -> Text:
    """With zkCli's names, and what zkCli does not know if there is any."""
    rows: tuple[tuple[str, str], ...] = (
        ("cZxid", f"{stat.czxid:#x}"),
        ("ctime", moment(stat.ctime)),
        ("mZxid", f"{stat.mzxid:#x}"),
        ("mtime", moment(stat.mtime)),
        ("pZxid", f"{stat.pzxid:#x}"),
        ("cversion", str(stat.cversion)),
        ("dataVersion", str(stat.version)),
        ("aclVersion", str(stat.aversion)),
        ("ephemeralOwner", f"{stat.ephemeral_owner:#x}"),
        ("dataLength", str(stat.data_length)),
        ("numChildren", str(stat.children_count)),
    )
    if stat.lifetime_ms:
        rows += (("kind", CONTAINER if stat.container else f"{TTL}, {stat.lifetime_ms} ms"),)
    return Text("\n").join(Text.assemble((f"{name} = ", "dim"), shown) for name, shown in rows)


def size_row(row: values.Size, console: Console) -> Text:
    return Text(f"{row.znodes:>9} {size(row.bytes):>9}  {row.path}")


def count(shown: values.Counted, console: Console) -> Text:
    return Text(str(shown.descendants))


def done(shown: values.Done, console: Console) -> Text:
    return Text(shown.sentence)


def step_done(row: values.StepDone, console: Console) -> Text:
    version = f", version {row.version}" if row.version is not None else ""
    return Text(f"{row.step}: {row.command}: done{version}" + (f", {row.path}" if row.command[:1] == "c" else ""))


def told(row: values.Told, console: Console) -> Text:
    event = row.event
    cause = "" if event.cause is Cause.EXPLICIT else f"  {event.cause.name.lower().replace('_', ' ')}"
    kind = event.kind.name.lower()
    colours = {"created": "green", "deleted": "red", "changed": "yellow"}
    return Text.assemble(
        (f"{moment(row.heard)}  {event.zxid:#x}  ", "dim"),
        (f"{kind:<8}", colours.get(kind, "")),
        f"  {event.path}{cause}",
    )


def difference(row: values.Difference, console: Console) -> Text:
    def short(data: bytes) -> str:
        text = as_text(data)
        if text is None or "\n" in text or len(text) > SHORT_LETTERS:
            return f"{len(data)} bytes"
        return repr(text)

    both = "" if row.first is None or row.second is None else f"  {short(row.first)} and {short(row.second)}"
    return Text.assemble((f"{row.what:<11}", "yellow"), f"  {row.below or '(the top)'}{both}")


# ---- access and limits


def identities(shown: values.Identities, console: Console) -> Text:
    lines = [f"session {shown.session} at {shown.server}"]
    lines += [f"{scheme}: {identifier}" for scheme, identifier in shown.identities]
    return Text("\n".join(lines))


def access_list(shown: values.AccessList, console: Console) -> Text:
    lines = [f"'{scheme},'{identifier}\n: {_sorted(permissions)}" for permissions, scheme, identifier in shown.acl]
    text = Text("\n".join(lines))
    return text if shown.stat is None else Text("\n").join([text, stat_lines(shown.stat)])


def listed_access(row: values.ListedAccess, console: Console) -> Text:
    return Text.assemble(f"{row.path}  ", ("may not be read" if row.acl is None else shown_acl(row.acl), "dim"))


def _sorted(permissions: int) -> str:
    return shown_permissions(permissions) or "nothing"


def quota(shown: values.QuotaShown, console: Console) -> Text:
    def limit(soft: int | None, hard: int | None) -> str:
        given = [f"{name} limit {number}" for name, number in (("soft", soft), ("hard", hard)) if number is not None]
        return ", ".join(given) or "no limit"

    return Text(
        f"znodes {shown.znodes} ({limit(shown.znodes_soft, shown.znodes_hard)})\n"
        f"bytes  {shown.bytes} ({limit(shown.bytes_soft, shown.bytes_hard)})"
    )


# ---- the ensemble and the shell


def owned(row: values.Owned, console: Console) -> Text:
    return Text.assemble((f"{row.session}  ", "dim"), row.path)


def session(row: values.SessionShown, console: Console) -> Text:
    own = "  (this shell)" if row.own else ""
    last = "" if row.last_operation == "NA" else f"  last {row.last_operation}"
    timeout = f"timeout {row.timeout_ms / 1000:g} s"
    return Text(f"{row.session}  {row.client} at {row.server}  {timeout}{last}{own}")


def holder(shown: values.Holder, console: Console) -> Text:
    where = f"{shown.client} at {shown.server}" if shown.client else "connected to none of the servers asked"
    text = as_text(shown.value)
    lines = [f"{shown.path}", f"session {shown.session}, {where}", f"since {moment(shown.since)}"]
    if shown.value:
        lines.append(f"value {text}" if text is not None else f"value of {len(shown.value)} bytes")
    return Text("\n".join(lines))


def digest(row: values.DigestShown, console: Console) -> Text:
    return Text(f"{row.digest} at {row.zxid}  {row.server}")


def member(row: values.Member, console: Console) -> Text:
    client = row.client_address or "not among the addresses of this shell"
    return Text(f"{row.server}  {row.peer_address}  {client}  {row.role or ''}".rstrip())


def line(row: values.Line, console: Console) -> Text:
    return Text(f"{row.number} - {row.line}")


def version(shown: values.Version, console: Console) -> Text:
    return Text(f"coord shell {shown.shell}\nserver {shown.server or 'not known'}")


def place(shown: values.Place, console: Console) -> Text:
    return Text(shown.path)


def help_(shown: values.Help, console: Console) -> Text:
    return Text("\n".join(_wrapped(line, console.width) for line in shown.text.split("\n")))


def _wrapped(line: str, columns: int) -> str:
    """At words; what goes on stands below where the second column begins, if there is room for that."""
    if len(line) <= columns:
        return line
    column = re.match(r" +\S.*?  +", line)
    indent = column.end() if column and column.end() < columns // 2 else len(line) - len(line.lstrip()) + 2
    return textwrap.fill(
        line,
        columns,
        subsequent_indent=" " * indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )


def ensemble(shown: EnsembleStatus, console: Console) -> Group:
    wide = console.width >= TABLE_COLUMNS
    parts: list[RenderableType] = _tables(shown, console.width) if wide else [*map(_block, shown.servers)]
    parts += [Text(f"! {problem}", style="bold red") for problem in shown.problems]
    if shown.healthy:
        parts.append(Text("all is well", style="green"))
    return Group(*parts)


def _tables(shown: EnsembleStatus, columns: int) -> list[RenderableType]:
    """One table if there is room for it, else as many below each other as it takes."""
    serving = [each for each in shown.servers if each.role is not None]
    name = FIELDS[0]
    parts: list[list[Field]] = []
    room = 0
    for title, get in FIELDS[1:]:
        cells = [len(get(each)) for each in serving]
        if title == "role":
            cells.append(len(NOT_SERVING))
        width = max([len(title), *cells]) + COLUMN_GAP
        if width > room:
            parts.append([name])
            room = columns - COLUMN_GAP - max([len(name[0]), *(len(name[1](each)) for each in shown.servers)])
        parts[-1].append((title, get))
        room -= width
    return [_table(shown, fields) for fields in parts]


def _table(shown: EnsembleStatus, fields: Sequence[Field]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, COLUMN_GAP, 0, 0))
    for title, _ in fields:
        table.add_column(title, no_wrap=True, justify="left" if title in ("server", "role") else "right")
    for each in shown.servers:
        if each.role is None:
            table.add_row(_name(each), Text(NOT_SERVING if fields[1][0] == "role" else "", style="bold red"))
        else:
            table.add_row(*(get(each) for _, get in fields))
    return table


def _block(each: ServerStatus) -> Text:
    """A server where there is no room for a table."""
    text = _name(each)
    if each.role is None:
        return text.append(f"\n  {NOT_SERVING}", style="bold red")
    for title, get in FIELDS[1:]:
        text.append(f"\n  {title:<11} ", style="dim").append(get(each))
    return text


def _name(each: ServerStatus) -> Text:
    return Text(f"{each.id}  {each.address}" if each.id is not None else each.address)


def _role(each: ServerStatus) -> Text:
    return Text(each.role or "", style="bold green" if each.role in ("leader", "standalone") else "")


def _plain(name: str, show: Callable[[Any], str] = str) -> Callable[[ServerStatus], Text]:
    def get(each: ServerStatus) -> Text:
        found = getattr(each, name)
        return Text("-" if found is None else show(found))

    return get


FIELDS: tuple[Field, ...] = (
    ("server", _name),
    ("role", _role),
    ("epoch", _plain("epoch")),
    ("last zxid", _plain("zxid")),
    ("committed", _plain("committed_zxid")),
    ("behind", _plain("behind")),
    ("lag", _plain("lag_ms", lambda ms: f"{ms} ms")),
    ("sessions", _plain("sessions")),
    ("watches", _plain("watches")),
    ("znodes", _plain("znodes")),
    ("data", _plain("data_bytes", size)),
    ("disk", _plain("disk_bytes", size)),
    ("free", _plain("disk_free_bytes", size)),
    ("read p99", _plain("read_p99_ms", milliseconds)),
    ("write p99", _plain("write_p99_ms", milliseconds)),
    ("fsync p99", _plain("fsync_p99_ms", milliseconds)),
    ("up", _plain("since", lambda since: duration((wall_ms() - since) / 1000))),
    ("version", _plain("version", lambda version: version.partition("coord-")[2] or version)),
)
"""Of a server, in the order in which they are shown."""

SHOWN: dict[type, Callable[[Any, Console], RenderableType]] = {
    values.Child: child,
    values.LongChild: long_child,
    values.ListedPath: listed_path,
    values.Branch: branch,
    values.Value: value,
    values.ZnodeStat: znode_stat,
    values.Found: found,
    values.Size: size_row,
    values.Counted: count,
    values.Done: done,
    values.StepDone: step_done,
    values.Difference: difference,
    values.Place: place,
    values.Identities: identities,
    values.AccessList: access_list,
    values.ListedAccess: listed_access,
    values.QuotaShown: quota,
    values.Told: told,
    values.Owned: owned,
    values.SessionShown: session,
    values.Holder: holder,
    values.DigestShown: digest,
    values.Member: member,
    values.Line: line,
    values.Version: version,
    values.Help: help_,
    EnsembleStatus: ensemble,
    **PAST_SHOWN,
    **BACKUP_SHOWN,
}
