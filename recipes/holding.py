"""What is held, and the body that runs while it is: in a scope that is cancelled before anybody else could hold it.

The proof that something is held is the session's: until `client.session.deadline` no server has ended the session for
silence. The body is cancelled `margin` seconds before that, so that it has time to stop; when a server says that the
session has ended; and when somebody deletes the znode by hand.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import anyio
import anyio.lowlevel

import coord
from recipes.errors import LockLost, MisuseError
from recipes.inside import unwrapped
from recipes.place import wait_gone

LOOK_AFTER_S = 0.05
"""A hold that lasts longer is watched for a deletion by hand: short ones are spared a request."""

MARGIN_OF_TIMEOUT = 0.1
"""Without another wish the body is cancelled so much of the session's timeout before the deadline."""


def proved_s(seconds: float) -> float:
    """In whole microseconds, rounded down, from 0. Less may be lost when it is added to a clock's time, and who sleeps
    until nothing is left would never come to an end."""
    return max(0.0, math.floor(seconds * 1e6) / 1e6)


def check_margin(client: coord.Client, path: str, margin: float | None) -> float | None:
    """A margin that is none is told before anything is taken: a negative one would let the body outlive its proof."""
    if margin is not None and not (isinstance(margin, int | float) and 0 <= margin < client.session.timeout):
        raise MisuseError(
            f"{path}: a margin is a number of seconds from 0 to less than the session's timeout of "
            f"{client.session.timeout:g} s, not {margin!r}"
        )
    return margin


class Held:
    """Something held: the path of its znode and the zxid that created it. A guard for `client.transaction(guard=held)`.

    `token` only grows from holder to holder: whoever keeps the greatest one it has seen, and refuses smaller
    ones, refuses late holders.
    """

    def __init__(self, client: coord.Client, path: str, token: int, name: str, margin: float | None = None) -> None:
        self.path = path
        self.token = token
        self.name = name
        """Of this holder, as others see it."""
        self.lost: str | None = None
        """Why it is held no more; None while it is."""
        self._client = client
        self._margin = client.session.timeout * MARGIN_OF_TIMEOUT if margin is None else margin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}, token {self.token:#x}{', lost' if self.lost else ''}>"

    @property
    def remaining(self) -> float:
        """Seconds for which it is proved to be held, if nothing more is heard of the servers; 0 if it is lost."""
        return 0.0 if self.lost else proved_s(self._client.session.remaining - self._margin)

    def check(self) -> None:
        """Raise LockLost if it is not proved to be held now. For code that does not await."""
        if not self.remaining:
            raise LockLost(self.lost or self._unproved())

    async def wait_lost(self) -> str:
        """Until it is lost; why."""
        try:
            self.lost = await self._wait_lost()
        except coord.CoordError as error:
            self.lost = f"{self.path} is held no more: {error}"
        return self.lost

    async def _wait_lost(self) -> str:
        reasons: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def until(wait: Callable[[], Awaitable[str]]) -> None:
                try:
                    reasons.append(await wait())
                except coord.CoordError as error:  # the session has ended
                    reasons.append(f"{self.path} is held no more: {error}")
                tasks.cancel_scope.cancel()

            for wait in (self._wait_deadline, self._wait_session, self._wait_deleted):
                tasks.start_soon(until, wait)
        return reasons[0]

    async def _wait_deadline(self) -> str:
        while remaining := self.remaining:  # noqa: ASYNC110  only the clock tells
            await anyio.sleep(remaining)
        if self._client.session.state is coord.SessionState.LOST:
            return await self._wait_session()
        return self._unproved()

    async def _wait_session(self) -> str:
        await self._client.session.wait_state(coord.SessionState.LOST)
        return f"{self.path} is held no more: the session has ended"

    async def _wait_deleted(self) -> str:
        event = await wait_gone(self._client, self.path, token=self.token)
        how = f" at zxid {event.zxid:#x} ({event.cause.name})" if event else ""
        return f"{self.path} is held no more: it was deleted{how}"

    def _unproved(self) -> str:
        session = self._client.session
        return (
            f"{self.path} cannot be proved to be held: the session {session.id:#x} is {session.state} and ends in "
            f"{session.remaining:.1f} s unless a server answers"
        )


async def token_of(client: coord.Client, path: str) -> int:
    """Of a znode that this session has just made. Raises LockLost if it was deleted by hand since."""
    stat = await client.exists(path)
    if stat is None or stat.ephemeral_owner != client.session.id:
        raise LockLost(f"{path} is held no more: it was deleted before its body began")
    return stat.czxid


@asynccontextmanager
async def body(held: Held) -> AsyncIterator[None]:
    """Runs the block until it ends or `held` is lost; then it is cancelled, and LockLost raised.

    An error that the block raises when it was lost is the cause of the LockLost. A block that ends by itself before it
    is told, ends well. Most end before anything has to be looked at: so there is an alarm first, and a task only then.
    """
    reason: str | None = None
    failure: Exception | None = None
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def look() -> None:
                nonlocal reason
                reason = await held.wait_lost()
                scope.cancel()

            session, quiet_s = held._client.session, min(LOOK_AFTER_S, held.remaining)
            try:
                with session.alarm(quiet_s, partial(tasks.start_soon, look)), scope:
                    yield
            except Exception as error:
                if reason is None:
                    raise
                failure = error
            finally:
                tasks.cancel_scope.cancel()
                if held.lost is None:  # whoever keeps it is told so by `check`
                    held.lost = f"{held.path} is held no more: its block has ended"
    if reason is not None:
        raise LockLost(reason) from failure


class Uses:
    """What each task holds or waits for, so that one that would wait for itself for ever is told so."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[int, str, int], str] = {}  # (client, path, task): how

    @contextmanager
    def use(self, client: coord.Client, path: str, how: str) -> Iterator[None]:
        """Raises MisuseError if this task uses the same path with the same client already."""
        key = (id(client), path, anyio.get_current_task().id)
        before = self._tasks.get(key)
        if before is not None:
            raise MisuseError(
                f"this task has {path} for {before} and asks for it for {how}: it would wait for itself; "
                "leave the first block before, or pass what is held on"
            )
        self._tasks[key] = how
        try:
            yield
        finally:
            del self._tasks[key]


USES = Uses()
