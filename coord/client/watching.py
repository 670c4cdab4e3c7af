"""A watch as its user sees it: a context manager to arm it, an iterator over its events."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

from coord.client.calls import WatchFilter, WatchState
from coord.client.events import CAUSES, KINDS, Event, EventKind
from coord.client.runtime import Runtime


class Watch:
    """`async with client.watch(path) as events: async for event in events: ...`

    Armed when the block is entered, so what is read inside is not older than what is watched: open the watch, read,
    then iterate, and nothing is missed. One task iterates.

    A lost connection does not show: on the next one the servers tell what was missed, once and in order, from the
    changes that they remember. If they do not reach back so far, WatchWindowLostError is raised: read anew, and open
    another watch. The end of the session raises SessionLostError. Events that came before either are told first.

    Of events that nobody takes, 10,000 are kept here. With more the watch pauses, and goes on from where it was as soon
    as half of them are taken; the servers' memory of changes has to reach back so far.
    """

    def __init__(self, runtime: Runtime, filter: WatchFilter, since_zxid: int) -> None:
        self.zxid = 0
        """Where in the log it was armed: everything later is told (and with `since` everything after that)."""
        self._runtime = runtime
        self._filter = filter
        self._since_zxid = since_zxid
        self._state: WatchState | None = None

    def __repr__(self) -> str:
        return f"<Watch of {self._filter.path}, {self._state or 'not entered'}>"

    async def __aenter__(self) -> Self:
        if self._state is not None:
            raise RuntimeError("this watch was entered before; make another with client.watch(...)")
        runtime = self._runtime
        runtime.check_thread()
        state, call = runtime.session.watch(self._filter, self._since_zxid, runtime.clock())
        self._state = state
        try:
            await runtime.finish(call)
        except BaseException:
            runtime.session.unwatch(state, runtime.clock())
            runtime.kick()
            raise
        assert call.answer is not None
        self.zxid = call.answer.zxid
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state is not None:  # the servers are told with the next call, or at the clock's next tick
            self._runtime.session.unwatch(self._state, self._runtime.clock())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event. If it is cancelled no event is lost."""
        state, runtime = self._state, self._runtime
        if state is None:
            raise RuntimeError("a watch is armed by entering it: async with client.watch(...) as events")
        if state.waiter is not None:
            raise anyio.BusyResourceError("iterating over")
        await anyio.lowlevel.checkpoint()
        while not state.events:
            if state.error is not None:
                raise type(state.error)(*state.error.args)
            await runtime.waiting.wait(state)
        event = state.events.popleft()
        if state.paused:
            runtime.session.taken(state, runtime.clock())
            runtime.kick()
        return Event(KINDS[event.kind], runtime.operations.stripped(event.path), event.zxid, CAUSES[event.cause])

    def take(self) -> tuple[list[Event], int]:
        """All events that are there, without waiting, and a zxid up to which there are no others.

        Right after the answer to a call of this client that is the zxid at which the call was answered, or a later
        one: so a copy of what is watched can tell of which place in the log it is. While the watch is being armed anew
        it is where the watch had got to. Raises as iterating does, when there are no events.
        """
        state, runtime = self._state, self._runtime
        if state is None:
            raise RuntimeError("a watch is armed by entering it: async with client.watch(...) as events")
        if state.error is not None and not state.events:
            raise type(state.error)(*state.error.args)
        stripped = runtime.operations.stripped
        taken = [Event(KINDS[each.kind], stripped(each.path), each.zxid, CAUSES[each.cause]) for each in state.events]
        zxid = runtime.session.seen_zxid if state.armed else state.position
        state.events.clear()
        if state.paused:
            runtime.session.taken(state, runtime.clock())
            runtime.kick()
        return taken, zxid


def kinds_mask(kinds: Iterable[EventKind] | None) -> int:
    """The bits 1 << kind; all of them if none is named."""
    mask = 0
    for kind in EventKind if kinds is None else kinds:
        mask |= 1 << EventKind(kind)
    return mask
