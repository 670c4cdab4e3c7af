"""What waits: a call for its answer, a watch for its events. Plain values with a place for who waits for them.

`waiter` belongs to whoever suspends tasks (waiting.py); the pure part only says, in `Session.ready`, whose time has
come.
"""

from collections import deque
from enum import StrEnum
from typing import Any

from coord.codec.native import Answer
from coord.model.errors import CoordError
from coord.model.message import message
from coord.model.replies import WatchEvent
from coord.model.requests import Multi, Request

EVENTS_MAX = 10_000
"""Events of one watch that nobody has taken. With more the watch pauses: the server's window of changes keeps the
rest."""

REPLY_BYTES = 400
"""What a step's answer takes beside its path where it is kept, rather too much: more than is kept is refused there."""


class SessionState(StrEnum):
    """How a client stands to its session."""

    CONNECTED = "CONNECTED"
    """A server serves it."""
    SUSPENDED = "SUSPENDED"
    """No server does at the moment. The session may live: calls wait, and are sent again on the next connection."""
    LOST = "LOST"
    """It has ended, or is not proved alive any more. It does not come back: every call raises SessionLostError."""


class Waitable:
    """Something that a task can wait for."""

    __slots__ = ("waiter",)

    def __init__(self) -> None:
        self.waiter: Any = None

    def give_up(self) -> None:
        """Whoever waited for it was cancelled."""


class StateWaiter(Waitable):
    """Waits for the session's state to change: `seen` are the states since it last looked."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.waiter = None
        self.seen: list[SessionState] = []


class Call(Waitable):
    """One request on its way to its answer. Small, since there is one for every request."""

    __slots__ = ("answer", "done", "error", "first", "id", "number", "request", "started_s", "wanted", "writes")

    def __init__(self, request: Request, writes: bool, started_s: float, first: Request | None = None) -> None:
        self.waiter = None
        self.request = request
        self.writes = writes
        self.started_s = started_s
        self.first = first  # is said right before it and not answered: Sync, AtLeast
        self.id = 0  # on the present connection
        self.number = 0  # of a write in its session; 0: never sent
        self.wanted = True  # somebody waits for the answer
        self.done = False
        self.answer: Answer | None = None
        self.error: CoordError | None = None

    def __repr__(self) -> str:
        state = "done" if self.done else "waits" if self.wanted else "forgotten"
        return f"<Call {self.id} {type(self.request).__name__}, write {self.number}, {state}>"

    def give_up(self) -> None:
        self.wanted = False

    @property
    def weight(self) -> int:
        """About how many KiB the answer to this write takes where it is kept."""
        request = self.request
        if type(request) is Multi:
            return 1 + (sum(REPLY_BYTES + len(getattr(step, "path", "")) for step in request.requests) >> 10)
        return 1 + (len(getattr(request, "path", "")) >> 9)  # which an error may name twice


class UnwaitedCall(Call):
    """A write that its caller does not wait for: it is sent all the same, and ends with its answer or the session."""

    __slots__ = ()

    def give_up(self) -> None:
        """Whoever asked what had become of it was cancelled; it goes on."""


@message
class WatchFilter:
    """What a watch is about. `kinds` has bit 1 << kind for each kind that is wanted; `depth_max` -1: any depth."""

    path: str
    recursive: bool
    kinds: int
    depth_max: int


class WatchState(Waitable):
    """One watch over all connections of its session: where it has got to, and the events that nobody has taken yet."""

    __slots__ = ("armed", "arming", "error", "events", "filter", "id", "position")

    def __init__(self, filter: WatchFilter, since_zxid: int) -> None:
        self.waiter = None
        self.filter = filter
        self.id = 0  # as the server knows it; another each time it is armed
        self.position = since_zxid  # everything up to here has been seen; while armed the session's own is ahead
        self.armed = False  # on the present connection
        self.arming: ArmCall | None = None  # under way, or to be said
        self.events: deque[WatchEvent] = deque()
        self.error: CoordError | None = None  # it is over

    def __repr__(self) -> str:
        state = "armed" if self.armed else "over" if self.error else "not armed"
        return f"<Watch {self.id} on {self.filter.path}, {state} from {self.position:#x}, {len(self.events)} events>"

    @property
    def paused(self) -> bool:
        """Nothing is said to the server until events are taken."""
        return not self.armed and self.arming is None and self.error is None


class ArmCall(Call):
    """The call that arms a watch."""

    __slots__ = ("watch",)

    def __init__(self, request: Request, watch: WatchState, started_s: float) -> None:
        super().__init__(request, False, started_s)
        self.watch = watch
