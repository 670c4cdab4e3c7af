"""What was forwarded to a leader and is not proposed yet, in the order in which it came."""

from collections import deque
from dataclasses import dataclass, field

from coord.model.entries import Run
from coord.paxos.messages import Forward


@dataclass(slots=True)
class Gathered:
    """What goes into one batch."""

    forwards: list[Forward] = field(default_factory=list)
    origins: set[int] = field(default_factory=set)
    size_bytes: int = 0

    @property
    def count(self) -> int:
        return sum(forward.count for forward in self.forwards)

    @property
    def runs(self) -> bytes:
        return b"".join([forward.runs for forward in self.forwards])

    @property
    def read(self) -> list[Run]:
        """The same runs as they were read; nothing unless all of them were, and were kept."""
        if not all(forward.read for forward in self.forwards):
            return []
        return [run for forward in self.forwards for run in forward.read]


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
        """Take the first ones, until they have more than `bytes_max`: a forward is never cut."""
        gathered = Gathered()
        while self._waiting and gathered.size_bytes < bytes_max:
            origin, forward = self._waiting.popleft()
            gathered.forwards.append(forward)
            gathered.origins.add(origin)
            gathered.size_bytes += len(forward.runs)
        self.size_bytes -= gathered.size_bytes
        return gathered

    def forget(self, origin: int) -> None:
        """Its connection broke: it will forward all of that again."""
        self._waiting = deque(item for item in self._waiting if item[0] != origin)
        self.size_bytes = sum(len(forward.runs) for _, forward in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)
