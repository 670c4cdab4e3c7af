"""What the parts of one client share: its session, its connection, the clock, and how a call is waited for."""

from threading import get_ident
from typing import TypeVar

from coord.client.calls import Call
from coord.client.connection import Connection
from coord.client.operations import Operation, Operations
from coord.client.session import Session
from coord.client.waiting import Waiting
from coord.codec.native import read_reply
from coord.model.errors import CoordError
from coord.model.requests import Request

T = TypeVar("T")

ELSEWHERE = (
    "this client was connected in another thread, and its event loop is there: use it there, connect in each thread, "
    "or take coord.connect_blocking, whose clients any thread may use"
)


class Runtime:
    def __init__(self, session: Session, connection: Connection, waiting: Waiting, operations: Operations) -> None:
        self.session = session
        self.connection = connection
        self.waiting = waiting
        self.operations = operations
        self.clock = waiting.clock
        self.kick = connection.kick
        self._thread = get_ident()

    def is_own_thread(self) -> bool:
        return get_ident() == self._thread

    def check_thread(self) -> None:
        """Raise RuntimeError in another thread: what is woken from there would never run, or break the loop."""
        if not self.is_own_thread():
            raise RuntimeError(ELSEWHERE)

    async def run(self, operation: Operation[T], first: Request | None = None) -> T:
        """Ask, wait for the answer, and give what it says."""
        self.check_thread()
        await self.waiting.start()
        call = self.session.submit(operation.request, operation.writes, self.clock(), first)
        self.kick()
        await self.waiting.wait(call)
        return result(call, operation)

    def send(self, operation: Operation[T]) -> Call:
        """Ask for a write and do not wait for it. Raises what ended the session, if it has ended."""
        self.check_thread()
        call = self.session.submit_unwaited(operation.request, self.clock())
        self.connection.kick_later()
        return call

    async def finish(self, call: Call) -> None:
        """Send a call that is in the line already, and wait for it."""
        self.kick()
        while not call.done:
            await self.waiting.wait(call)
        if call.error is not None:
            raise call.error


def result(call: Call, operation: Operation[T]) -> T:
    """What the answer to a finished call says. Raises its error."""
    error: CoordError | None = call.error
    if error is not None:
        try:
            raise error
        finally:
            del error, call  # else the traceback would keep the frame that keeps the error
    assert call.answer is not None, f"{call} was woken before it was answered"
    return operation.read(read_reply(operation.request, call.answer))
