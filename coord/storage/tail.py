"""How far the log was durable, said once more in a place of its own (RELIABILITY T24).

The log's last record has no later one that tells that it had been whole. So after each sync of the log its end is noted
here, without a sync of its own: the note is never ahead of the log, and a power cut may leave an old one. Whoever finds
the log ending before the note knows that something durable is gone, be it rot in the last record or a lost file;
without the note that would look like a write that the power cut had torn. It tells the place of the end, too: bytes
that go beyond it are of something that came after the note, so it does not tell where they ended.

The note goes down before the log is cut, durably.
"""

from struct import Struct

from coord.model.message import message
from coord.storage.disk import Disk
from coord.storage.errors import Damaged
from coord.storage.seal import OVERHEAD, seal, unseal

NAME = "tail"
_MAGIC = b"coordend"
_TAIL = Struct(">QQQQQ")
"""identity, lineage, last zxid, first zxid of the segment in which it is, offset of its end there."""
_BYTES = OVERHEAD + _TAIL.size


@message
class Tail:
    """The log of this lineage was durable up to `last`: to the offset `end` of the segment that begins with `segment`.

    Both are 0 where the log had no segment.
    """

    identity: int
    lineage: int
    last: int
    segment: int
    end: int


def find_tail(disk: Disk) -> Tail | None:
    """What the note says, None if there is none that can be read: it is believed only where it is whole."""
    if NAME not in disk.names(""):
        return None
    file = disk.open(NAME)
    try:
        payload = unseal(_MAGIC, file.read(0, _BYTES))
    except Damaged:
        return None
    finally:
        file.close()
    return Tail(*_TAIL.unpack(payload)) if len(payload) == _TAIL.size else None


class TailNote:
    """The note, open for writing."""

    __slots__ = ("_file", "_identity")

    def __init__(self, disk: Disk, identity: int) -> None:
        self._identity = identity
        self._file = disk.open(NAME, create=True)
        disk.sync_folder("")

    def note(self, lineage: int, last: int, segment: int, end: int) -> None:
        """The log is durable up to `last`. One write within one sector, which a power cut leaves whole or undone."""
        self._file.write(0, (seal(_MAGIC, _TAIL.pack(self._identity, lineage, last, segment, end)),))

    def settle(self, lineage: int, last: int, segment: int, end: int) -> None:
        """The same, durably."""
        self.note(lineage, last, segment, end)
        self._file.sync()

    def close(self) -> None:
        self._file.close()
