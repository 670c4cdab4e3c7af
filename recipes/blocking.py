"""Recipes for programs without async, from any thread, with a client of `coord.connect_blocking`.

`blocking(client, Lock, "/locks/db", timeout=5)` makes the recipe and gives a stand-in for it. What is `async with`
there is `with` here, what is `async for` is `for`, and what is awaited is called. A block runs in a task of the
client's thread from its beginning to its end; what the body raises is raised there too, so that a task that fails is
put back.

**A thread cannot be cancelled.** When a lock is lost its body goes on, and the end of the block raises LockLost. So a
body that takes a while calls `held.check()` between its steps, and writes with `client.transaction(guard=held)`. A
function that is given to `run` (of an election, a partitioner, a periodic job) runs in a thread of its own, and is
waited for; there `anyio.from_thread.check_cancelled()` raises as soon as it should end.
"""

import inspect
import math
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread

import coord

_END = object()


def blocking(client: coord.BlockingClient, make: Callable[..., Any], *arguments: Any, **options: Any) -> "Blocking":
    """A recipe for threads: `blocking(client, Lock, "/locks/db")`. Takes what the recipe takes after the client."""

    async def made(asynchronous: coord.Client) -> Any:
        return make(asynchronous, *arguments, **options)

    return Blocking(client, client.run(made))


class Blocking:
    """Stands for a recipe or for what one gave. Attributes that are no functions are those of the other.

    What can be awaited, such as `election.leader`, is called instead.
    """

    def __init__(self, client: coord.BlockingClient, of: Any) -> None:
        self._client = client
        self._of = of
        self._block: _Block | None = None

    def __repr__(self) -> str:
        return f"<Blocking {self._of!r}>"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._of, name)
        if not callable(value) or hasattr(value, "__await__"):
            return _stand_in(self._client, value)

        def call(*arguments: Any, **options: Any) -> Any:
            if name == "run" and arguments:
                arguments = (_in_a_thread(self._client, arguments[0]), *arguments[1:])
            return self._call(lambda: value(*arguments, **options))

        return call

    def __call__(self) -> Any:
        """What awaiting it gives."""
        return self._call(lambda: self._of)

    def _call(self, act: Callable[[], Any]) -> Any:
        async def call(client: coord.Client) -> Any:
            value = act()
            return await value if inspect.isawaitable(value) else value

        return _stand_in(self._client, self._client.run(call))

    # ---- blocks

    def __enter__(self) -> Any:
        block = _Block(self._client, self._of)
        held = block.enter()
        self._block = block
        return self if held is self._of else _stand_in(self._client, held)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        block, self._block = self._block, None
        assert block is not None, "a block that is left was entered"
        return block.leave(error)

    # ---- what there is to look at

    def __iter__(self) -> Iterator[Any]:
        if not hasattr(self._of, "__aiter__"):
            yield from self._of
            return
        following = aiter(self._of)
        try:
            while (value := self._call(lambda: anext(following, _END))) is not _END:
                yield value
        finally:
            if isinstance(following, AsyncGenerator):  # the loop was left: what it watched is watched no more
                with suppress(coord.ClientClosedError, RuntimeError):  # or it is being ended by a Ctrl-C just now
                    self._call(following.aclose)

    def __getitem__(self, key: Any) -> Any:
        return self._of[key]

    def __contains__(self, key: object) -> bool:
        return key in self._of

    def __len__(self) -> int:
        return len(self._of)


class _Interrupted(Exception):
    """Stands for a KeyboardInterrupt or a SystemExit, which would end the client's thread."""


class _Block:
    """One `async with`, held open by a thread of its own that waits for it in the client's."""

    def __init__(self, client: coord.BlockingClient, of: Any) -> None:
        self._client = client
        self._of = of
        self._opened: Future[Any] = Future()
        self._outcome: BaseException | None = None
        self._error: Exception | None = None  # of the body
        self._leaving: anyio.Event | None = None
        self._scope: anyio.CancelScope | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="coord-recipe", daemon=True)

    def enter(self) -> Any:
        self._thread.start()
        try:
            return self._opened.result()
        except BaseException:
            with suppress(coord.ClientClosedError):  # then its end has come already
                self._client.run(self._give_up)
            self._thread.join()
            raise

    def leave(self, error: BaseException | None) -> bool:
        """Whether the block has dealt with the error. Raises what it ends with, if that is another."""
        self._error = error if error is None or isinstance(error, Exception) else _Interrupted()
        try:
            self._client.run(self._go_on)
        except coord.ClientClosedError:
            pass  # then its end has come already
        except BaseException:  # a Ctrl-C, of all moments now
            with suppress(coord.ClientClosedError):
                self._client.run(self._give_up)
            raise
        self._thread.join()
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return isinstance(error, Exception)
        if outcome is self._error:
            return False
        try:
            raise outcome
        finally:
            del outcome

    def _run(self) -> None:
        try:
            self._client.run(self._hold)
        except BaseException as error:
            self._outcome = error
        if not self._opened.done():
            self._opened.set_exception(self._outcome or coord.ClientClosedError("the block was given up"))

    async def _hold(self, client: coord.Client) -> None:
        with anyio.CancelScope() as self._scope:
            if self._given_up:
                self._scope.cancel()
            self._leaving = anyio.Event()
            async with self._of as held:
                self._opened.set_result(held)
                await self._leaving.wait()
                if self._error is not None:
                    raise self._error

    async def _go_on(self, client: coord.Client) -> None:
        assert self._leaving is not None, "a block that is left was entered"
        self._leaving.set()

    async def _give_up(self, client: coord.Client) -> None:
        self._given_up = True
        if self._scope is not None:
            self._scope.cancel()


def _stand_in(client: coord.BlockingClient, value: Any) -> Any:
    """For what has something to wait for; other values are as they are."""
    kind = type(value)
    waits = any(hasattr(kind, each) for each in ("__aenter__", "__aiter__", "__await__"))
    if waits or (kind.__module__.startswith("recipes.") and any(map(inspect.iscoroutinefunction, _members(kind)))):
        return Blocking(client, value)
    return value


def _members(kind: type) -> list[object]:
    return [each for base in kind.__mro__ for each in vars(base).values()]


def _in_a_thread(client: coord.BlockingClient, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """A plain function as one that can be awaited. There is no limit on how many of them run."""
    limiter = anyio.CapacityLimiter(math.inf)

    async def run(*arguments: Any) -> Any:
        stand_ins = [_stand_in(client, each) for each in arguments]
        return await anyio.to_thread.run_sync(function, *stand_ins, limiter=limiter)

    return run
