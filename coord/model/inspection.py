"""What one may ask a server about its past, and what it tells of that in general."""

from dataclasses import field
from typing import TypeAlias

from coord.model.message import message

Auth: TypeAlias = tuple[tuple[str, bytes], ...]
"""(scheme, credentials), as a client authenticates."""


@message
class AskOverview:
    """What there is."""


@message
class AskSnapshot:
    """The chunks of the snapshot at `zxid`."""

    zxid: int


@message
class AskBatches:
    """Every batch that holds an entry after `after`, up to the last one committed when this is asked."""

    after: int


Wanted: TypeAlias = AskOverview | AskSnapshot | AskBatches


@message
class Inspection:
    """One request: a connection has one."""

    wanted: Wanted
    auth: Auth = field(repr=False)


@message
class Told:
    """What a server has on its disk; see coord.past.source.Overview."""

    server: int
    cluster: int
    snapshots: tuple[tuple[int, int], ...]  # (zxid, bytes), ascending
    log_start: int
    last: int
    log_bytes: int
