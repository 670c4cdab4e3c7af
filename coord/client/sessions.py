"""A client's session as its user sees it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from coord.client.calls import SessionState, StateWaiter
from coord.client.runtime import Runtime
from coord.client.saved import SavedSession
from coord.model.errors import SessionLostError


class ClientSession:
    """`client.session`. A session outlives connections; with it end its ephemeral znodes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.handed_over = False

    def __repr__(self) -> str:
        return f"<ClientSession {self.id:#x} {self.state}, {self.remaining:.1f} s proved>"

    @property
    def id(self) -> int:
        """The session's number; `Stat.ephemeral_owner` of its ephemeral znodes."""
        return self._runtime.session.id

    @property
    def timeout(self) -> float:
        """Seconds of silence after which the servers end the session, as they have granted them."""
        return self._runtime.session.timeout_s

    @property
    def seen_zxid(self) -> int:
        """The latest place in the log that an answer or an event has shown."""
        return self._runtime.session.seen_zxid

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST, as of now: LOST is said at the deadline, not when somebody gets round to it.

        It may be read in any thread, as `remaining` may.
        """
        runtime = self._runtime
        if runtime.is_own_thread():  # from another one nobody can be woken
            runtime.session.tick(runtime.clock())
            runtime.connection.flush()
        elif not self.remaining:
            return SessionState.LOST
        return runtime.session.state

    @property
    def deadline(self) -> float:
        """Until when the session is proved alive: its timeout after the last answered write, sync or ping was sent.

        On the clock of the running library (`trio.current_time()`, on asyncio the loop's `time()`), so that it can be
        a cancel scope's deadline; ask again after a while, for it moves. Before this moment no server has ended the
        session for silence, so nobody else can hold what depends on it. If the session is lost it is now.
        """
        return self._runtime.waiting.current_time() + self.remaining

    @property
    def remaining(self) -> float:
        """Seconds until `deadline`; 0 if the session is lost."""
        session = self._runtime.session
        return 0.0 if session.lost else max(0.0, session.deadline_s - self._runtime.clock())

    @property
    def now(self) -> float:
        """Seconds on the clock by which `remaining` is counted, which does not jump.

        On Linux it goes on while the computer sleeps; the clock of the running library stands still meanwhile.
        """
        return self._runtime.clock()

    async def wait_state(self, *states: SessionState | str) -> SessionState:
        """Until the session is in one of these states (any other than now if none is named); which it is.

        A state that passes quickly is not missed: it is returned, though it may be over by then. Raises
        SessionLostError if the session is lost and LOST was not asked for.
        """
        self._runtime.check_thread()
        session, before = self._runtime.session, self.state
        if before in states:
            return before
        waiter = StateWaiter()
        session.state_waiters.append(waiter)
        try:
            while True:
                for state in waiter.seen:
                    if state in states or not states:
                        return state
                waiter.seen.clear()
                if session.lost is not None:
                    raise SessionLostError(*session.lost.args)
                await self._runtime.waiting.wait(waiter)
        finally:
            session.state_waiters.remove(waiter)

    def alarm(self, seconds: float, act: Callable[[], object]) -> AbstractContextManager[None]:
        """`with session.alarm(5, act): ...` calls `act()` once if the block still runs after so many seconds, or when
        the session is lost.

        The client's own clock does it, without a task for each. `act` does not wait for anything and raises nothing:
        it cancels a scope, or starts a task. Set after the session was lost it is called at once.
        """
        runtime = self._runtime
        return runtime.connection.alarms.set(runtime.clock() + seconds, act)

    def save(self) -> SavedSession:
        """What `coord.connect(..., session=saved)` needs to go on with this session, in this process or another.

        It holds the session's secret. One client at a time: whoever connects later has the session.
        """
        session = self._runtime.session
        return SavedSession(session.id, session.secret, session.seen_zxid)

    def hand_over(self) -> SavedSession:
        """As `save`; and leaving the `async with` block will not close the session.

        It lives on for its timeout, and longer if somebody goes on with it.
        """
        self.handed_over = True
        return self.save()
