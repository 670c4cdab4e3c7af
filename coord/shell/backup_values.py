"""What `coord backup` and `coord restore` give, and how people read it."""

from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from coord.model.message import message
from coord.shell.units import moment, size
from coord.shell.values import Hex, Moment


@message
class BackupMade:
    file: str
    source: str
    start: Hex  # it can be restored at this zxid and every later one up to `last`
    last: Hex
    time: Moment | None  # of the last entry, where there is one after `start`
    size_bytes: int


@message
class RestoreMade:
    folders: list[str]
    place: Hex  # of the old ensemble
    time: Moment
    zxid: Hex  # at which the new one begins
    digest: Hex
    cluster: Hex
    znodes: int
    sessions_ended: int
    ephemerals_removed: int
    then: list[str]  # commands


def backup(made: BackupMade, console: Console) -> Text:
    when = f" ({moment(made.time)})" if made.time is not None else ""
    return Text(
        f"{made.file}: {size(made.size_bytes)}, the state of {made.source} at zxid {made.last}{when}; "
        f"coord restore --at goes back to {made.start}"
    )


def restore(made: RestoreMade, console: Console) -> Text:
    ended = ""
    if made.sessions_ended:
        ended = f"; sessions ended: {made.sessions_ended}, ephemerals removed: {made.ephemerals_removed}"
    lines = [
        f"{', '.join(made.folders)}: the state at zxid {made.place} ({moment(made.time)}), {made.znodes} znodes{ended}",
        f"the new ensemble is {made.cluster} and begins at zxid {made.zxid} with the digest {made.digest}",
        *made.then,
    ]
    return Text("\n").join(map(Text, lines))


BACKUP_SHOWN: dict[type, Callable[[Any, Console], RenderableType]] = {BackupMade: backup, RestoreMade: restore}
