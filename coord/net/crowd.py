"""Connections that rarely say something, all waited for by one task.

A task that waits for its own socket is told of it by a call of the kernel each time, and a turn of Trio's for it costs
as much again; for a ping that is more than all the rest. Here sockets stay in an epoll of their own, itself waited for
in Trio's, and what they say is answered without their tasks where that can be done at once.
"""

import select
from collections.abc import Callable
from dataclasses import dataclass

import trio
from outcome import Value

from coord.net.network import Stream

AT_ONCE_MAX = 100
"""So many are heard before all other tasks get their turn."""


@dataclass(slots=True, eq=False)
class _Waiting:
    task: trio.lowlevel.Task
    stream: Stream
    answer: Callable[[bytes], bool]


class Crowd:
    """Streams without a file descriptor, and systems without epoll, are served as well, each by its own task."""

    __slots__ = ("_epoll", "_waiting")

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None  # while it runs
        self._waiting: dict[int, _Waiting] = {}  # by file descriptor

    async def receive(self, stream: Stream, answer: Callable[[bytes], bool]) -> bytes:
        """As `stream.receive()`, but for what `answer` has answered: it says whether it could, and does not wait."""
        fd = stream.fileno()
        if self._epoll is None or fd < 0:
            while (data := await stream.receive()) and answer(data):
                pass
            return data
        waiting = self._waiting[fd] = _Waiting(trio.lowlevel.current_task(), stream, answer)
        self._epoll.register(fd, select.EPOLLIN)

        def abort(_: object) -> trio.lowlevel.Abort:
            if self._waiting.get(fd) is waiting:  # and not another that was given the number since
                self._leave(fd, waiting)
            return trio.lowlevel.Abort.SUCCEEDED

        data = await trio.lowlevel.wait_task_rescheduled(abort)
        return data or await stream.receive()  # which tells how it ended

    async def run(self) -> None:
        if not hasattr(select, "epoll"):
            return
        with select.epoll() as self._epoll:
            try:
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    for fd, _ in self._epoll.poll(0, AT_ONCE_MAX):
                        waiting = self._waiting.get(fd)
                        if waiting is not None:
                            self._hear(fd, waiting)
            finally:
                self._epoll = None

    def _hear(self, fd: int, waiting: _Waiting) -> None:
        data = waiting.stream.receive_now()
        if not data or not waiting.answer(data):
            self._leave(fd, waiting)
            trio.lowlevel.reschedule(waiting.task, Value(data))

    def _leave(self, fd: int, waiting: _Waiting) -> None:
        del self._waiting[fd]
        if self._epoll is not None and waiting.stream.fileno() == fd:  # a socket that is closed has left by itself
            self._epoll.unregister(fd)
