"""What was forwarded to a leader and is not proposed yet, in the order in which it came."""

from collections import deque
from collections.abc import Sequence
from itertools import chain

from coord.model.entries import Run
from coord.model.message import message
from coord.paxos.messages import Forward


@message
class Gathered:
    """What goes into one batch."""

    count: int  # entries
    runs: bytes
    read: Sequence[Run]  # the same runs as they were read; nothing unless all of them were, and were kept
    origins: set[int]


class Pending:
    """First come, first proposed."""

    __slots__ = ("_waiting", "size_bytes")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Forward]] = deque()  # (origin, what it wants proposed)
        self.size_bytes = 0  # of all runs that wait

    def add(self, origin: int, forward: Forward) -> None:
        self._waiting.append((origin, forward))
        self.size_bytes += len(forward.runs)

    def gather(self, bytes_max: int) -> Gathered:
        """Take the first ones of those that wait, until they have more than `bytes_max`: a forward is never cut."""
        waiting = self._waiting
        origin, forward = waiting.popleft()
        count, runs, read, origins, size = forward.count, [forward.runs], [forward.read], {origin}, len(forward.runs)
        while waiting and size < bytes_max:
            origin, forward = waiting.popleft()
            count += forward.count
            runs.append(forward.runs)
            read.append(forward.read)
            origins.add(origin)
            size += len(forward.runs)
        self.size_bytes -= size
        return Gathered(count, b"".join(runs), list(chain.from_iterable(read)) if all(read) else (), origins)

    def forget(self, origin: int) -> None:
        """Its connection broke: it will forward all of that again."""
        self._waiting = deque(item for item in self._waiting if item[0] != origin)
        self.size_bytes = sum(len(forward.runs) for _, forward in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)
