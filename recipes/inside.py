"""What recipes with a block of their own share: tasks beside the body, and errors that come out as they are.

Nothing runs outside a block. What ends a task beside the body with an error ends the body, and comes out of the block.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import anyio

from recipes.errors import MisuseError

T = TypeVar("T")


class Block(ABC):
    """Entered once, by one task. `_inside` is the block, written as one generator: before `yield`, and after it."""

    _opened: AbstractAsyncContextManager[None] | None = None
    _open = False

    @abstractmethod
    def _inside(self) -> AbstractAsyncContextManager[None]: ...

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError(f"{self!r} was entered before: a block is entered once, make another object")
        self._opened = self._inside()
        await self._opened.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._open = False
        assert self._opened is not None
        return await self._opened.__aexit__(kind, error, traceback)

    def _need_open(self) -> None:
        if not self._open:
            when = "has been left" if self._opened is not None else "was not entered"
            raise RuntimeError(f"the block of {self!r} {when}: use it inside `async with`")


class Reusable(ABC, Generic[T]):
    """Entered again and again, by one task at a time. `_hold` is the block, written as one generator."""

    USE: ClassVar[tuple[str, str]]
    """What it is, and for whom there is another one: the words of the error."""

    path: str
    _block: AbstractAsyncContextManager[T] | None = None

    @abstractmethod
    def _hold(self) -> AbstractAsyncContextManager[T]: ...

    async def __aenter__(self) -> T:
        if self._block is not None:
            what, whom = self.USE
            raise MisuseError(f"this {what} object of {self.path} is in use: make another one for each {whom}")
        block = self._block = self._hold()
        try:
            return await block.__aenter__()
        except BaseException:
            self._block = None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        block, self._block = self._block, None
        assert block is not None, "a block that is left was entered"
        return await block.__aexit__(kind, error, traceback)


class OneTask:
    """Around what one task at a time may do."""

    def __init__(self) -> None:
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise anyio.BusyResourceError("iterating over")
        self._busy = True

    def __exit__(self, *error: object) -> None:
        self._busy = False


class Signal:
    """Wakes all who wait, each time it is given."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def give(self) -> None:
        event, self._event = self._event, anyio.Event()
        event.set()

    async def wait(self) -> None:
        await self._event.wait()


@asynccontextmanager
async def beside(*keepers: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let these run while the block does. The first that raises ends the block, with its error.

    An error of the block's own comes out as it is, whatever the others come to.
    """
    failure: Exception | None = None
    try:
        with unwrapped():
            async with anyio.create_task_group() as tasks:
                for keeper in keepers:
                    tasks.start_soon(keeper)
                try:
                    yield
                except Exception as error:
                    failure = error
                tasks.cancel_scope.cancel()
    except Exception:
        if failure is None:
            raise
    if failure is not None:
        try:
            raise failure
        finally:
            del failure


@contextmanager
def unwrapped() -> Iterator[None]:
    """Around a task group: one error comes out as it is, and so does the first of several of one class.

    A cancellation beside an error is not told: the error ends what was cancelled as well.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        errors = group.split(anyio.get_cancelled_exc_class())[1]
        if errors is None or len({type(each) for each in errors.exceptions}) > 1:
            raise
        only = errors.exceptions[0]
    else:
        return
    context = only.__context__
    try:
        raise only
    finally:
        only.__context__ = context
        del only, errors, context


def check_path(path: str) -> str:
    """The path of a recipe, with its mistakes told at once instead of at the first call."""
    if not isinstance(path, str) or not path.startswith("/") or path == "/" or path.endswith("/"):
        raise ValueError(
            f"the path of a recipe is absolute and not the root, such as '/jobs/nightly'; not {path!r:.90}"
        )
    for part in path[1:].split("/"):
        if not _is_part(part):
            raise ValueError(f"the path of a recipe is made of names, and {part!r:.60} in {path!r:.90} cannot be one")
    return path


def check_name(name: str, what: str) -> str:
    """A name that becomes one part of a path."""
    if not isinstance(name, str) or not _is_part(name):
        raise ValueError(f"{what} is a text that is not empty, has no '/' and is not '.' or '..'; not {name!r:.99}")
    return name


def _is_part(name: str) -> bool:
    """Of a path, as far as it can be told without the servers' rules for single characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def check_contender(path: str, name: str) -> str:
    """The name that others see. In the data of a znode other lines stand behind it."""
    try:
        name.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"{path}: the name of a contender is a text, not {name!r:.60}") from None
    if "\n" in name:
        raise ValueError(f"{path}: the name of a contender is one line of text, not {name!r:.60}")
    return name


def check_timeout(path: str, timeout: float | None) -> float | None:
    if timeout is None or (isinstance(timeout, int | float) and timeout >= 0):
        return timeout
    raise ValueError(f"{path}: a timeout is a number of seconds from 0, or None to wait for ever; not {timeout!r}")


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    return path.rpartition("/")[2]
