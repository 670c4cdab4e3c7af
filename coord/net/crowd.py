"""Connections that rarely say something, all waited for by one task.

A task that waits for its own socket asks the kernel for it each time, and is woken by Trio each time, which makes a
dozen new objects for the collector to look at. Here sockets stay in an epoll of their own, which is waited for in
Trio's, and what they say is heard without waking their tasks: with 10,000 sessions that ping three servers spent 26 us
of processor time a ping so, and 34 where each waited for itself (medians, on a busy machine). One that says much does
better by itself.
"""

import select
from collections.abc import Callable
from dataclasses import dataclass

import trio

from coord.net.network import Stream

AT_ONCE_MAX = 100
"""So many are heard before all other tasks get their turn: with pings, about a millisecond."""

Hear = Callable[[bytes], bool]
"""Takes what came, and tells whether to go on like this. It does not wait."""


@dataclass(slots=True, eq=False)
class _Member:
    task: trio.lowlevel.Task
    stream: Stream
    hear: Hear
    satisfied: bool = False  # it has heard enough
    error: Exception | None = None  # or could not make sense of it


class Crowd:
    """Streams without a file descriptor are heard as well, each by its own task; on systems without epoll all are.

    Who closes a stream cancels the task that listens to it, too: a socket that is closed says nothing more to an epoll.
    """

    __slots__ = ("_epoll", "_members")

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None  # while it runs
        self._members: dict[int, _Member] = {}  # by file descriptor

    async def listen(self, stream: Stream, hear: Hear) -> bool:
        """Give `hear` all that comes, for as long as it wants that; whether the stream goes on."""
        fd = stream.fileno()
        if self._epoll is None or fd < 0:
            return await _listen_alone(stream, hear)
        # Edges: were the socket closed and still open in another process, levels would wake us for ever.
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        member = self._members[fd] = _Member(trio.lowlevel.current_task(), stream, hear)

        def abort(_: object) -> trio.lowlevel.Abort:
            if self._members.get(fd) is member:  # and not another that was given the number since
                self._leave(fd, member)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        error, member.error = member.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it knows this frame: a cycle, of which server/collector.py wants none
        return member.satisfied or await _listen_alone(stream, hear)  # which finds out how it ended

    async def run(self) -> None:
        if not hasattr(select, "epoll"):
            return
        with select.epoll() as self._epoll:
            try:
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self._hear(self._epoll)
            finally:
                self._epoll = None

    def _hear(self, epoll: select.epoll) -> None:
        """Those who have said something, and those who do so meanwhile: a turn of the loop costs as much as a ping."""
        members, heard = self._members, 0
        while heard < AT_ONCE_MAX and (ready := epoll.poll(0, AT_ONCE_MAX)):
            heard += len(ready)
            for fd, came in ready:
                member = members.get(fd)
                if member is None:
                    continue
                data = member.stream.receive_now()
                try:
                    if data and member.hear(data) and came == select.EPOLLIN:
                        continue  # an end that came with the data is told only once
                except Exception as error:  # to be raised where its own task would have heard it
                    member.error = error
                member.satisfied = bool(data)
                self._leave(fd, member)
                trio.lowlevel.reschedule(member.task)

    def _leave(self, fd: int, member: _Member) -> None:
        del self._members[fd]
        if self._epoll is not None and member.stream.fileno() == fd:  # one that is closed has left by itself
            self._epoll.unregister(fd)


async def _listen_alone(stream: Stream, hear: Hear) -> bool:
    while data := await stream.receive():
        if not hear(data):
            return True
    return False
