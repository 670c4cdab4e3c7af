"""Where the past is read from: a data folder, a server, a backup file. What is read is never changed.

Rules that every source keeps:
- What it gives was verified: a chunk and a batch are exactly what was written.
- It streams. What is asked for may be far more than fits into memory.
- Whatever is wrong is a PastError, PastDamaged where something that was written cannot be read any more.
- Its iterators hold something open: close them (`contextlib.aclosing`) when they are left early.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from coord.model.entries import Batch
from coord.model.message import message


@message
class StoredSnapshot:
    """A snapshot that a source has. Whether it is good only reading it to its end tells."""

    zxid: int
    size_bytes: int


@message
class Overview:
    """What a source has.

    With a state at `log_start`, a snapshot or (at 0) the empty one, everything up to `last` can be shown. A snapshot
    below `log_start` is of no use for that: what followed it is not kept any more.
    """

    server: int  # whose disk it was written by; 0: nobody's in particular
    cluster: int  # identity of the ensemble, 0 as long as it has none
    snapshots: tuple[StoredSnapshot, ...]  # ascending
    log_start: int  # every batch after this zxid is here
    last: int  # zxid of the last entry when this was asked
    log_bytes: int  # of the log, about: for a progress bar
    committed: bool = False  # all of it is known to be


class Source(Protocol):
    """Something to read the past from."""

    @property
    def name(self) -> str:
        """What to call it in a sentence, such as `coord-data` or `10.0.0.1:2181`."""

    async def overview(self) -> Overview:
        """What there is. Beside a running server it is out of date in the next moment."""

    def snapshot(self, zxid: int) -> AsyncGenerator[bytes, None]:
        """The very chunks of the snapshot at `zxid`, for `coord.state.snapshot.Restoring`, verified to the end."""

    def batches(self, after: int) -> AsyncGenerator[Batch, None]:
        """Every batch that holds an entry after `after`, in order and without a gap, to the end of the log.

        The first one may begin at or before `after`, if that is in the middle of a batch. PastError if the log does not
        reach back so far.
        """
