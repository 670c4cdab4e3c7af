"""What the protocol asks of a disk. Steps are done strictly in the order in which they were asked for.

A step is durable when it and all before it would survive a power cut.
"""

from typing import TypeAlias

from coord.model.entries import Batch
from coord.model.message import message


@message
class Ballot:
    """A server's durable word. Kept in two checksummed copies; who lost both must not vote.

    `identity` is drawn at random at the server's first start, `cluster` by the first leader (0: none yet).
    `promised` and `accepted` never decrease; `promised_to` is the server that holds the promise. `suspect` is not 0
    where the log was damaged: this server may have acknowledged entries up to there, and cannot show them all.
    """

    server: int
    identity: int
    cluster: int = 0
    promised: int = 0
    promised_to: int = 0
    accepted: int = 0
    suspect: int = 0


@message
class SaveBallot:
    ballot: Ballot


@message
class Append:
    """Add a batch at the log's end; its `previous` is the log's last zxid."""

    batch: Batch


@message
class TruncateLog:
    """Remove every batch after the zxid `to`, which is a batch's last zxid or the log's base."""

    to: int


@message
class SnapshotPart:
    """A part of a snapshot being received, in order; index 0 discards an unfinished one."""

    zxid: int
    index: int
    data: bytes


@message
class InstallSnapshot:
    """The parts so far are the whole snapshot at `zxid`: make it the newest and start an empty log after it."""

    zxid: int


@message
class MendLog:
    """The log was damaged behind its end `after`: `batches` are all that stood there, and replace what is left."""

    after: int
    batches: list[Batch]


Step: TypeAlias = SaveBallot | Append | TruncateLog | SnapshotPart | InstallSnapshot | MendLog
