"""Many calls by one task: all are on their way before the first is waited for."""

from collections.abc import Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar

from coord.client.calls import Call
from coord.client.operations import PAGE_MAX, Operation, Page
from coord.client.runtime import Runtime, result
from coord.model.acl import AclEntry
from coord.model.errors import CoordError
from coord.model.stat import Stat

T = TypeVar("T")


class Outcome(Generic[T]):
    """What has become of one call of a pipeline."""

    __slots__ = ("_call", "_operation")

    def __init__(self, call: Call, operation: Operation[T]) -> None:
        self._call = call
        self._operation = operation

    def __repr__(self) -> str:
        return f"<Outcome of {self._call}>"

    @property
    def done(self) -> bool:
        return self._call.done

    @property
    def error(self) -> CoordError | None:
        """Why it failed; None if it did not, or is not done."""
        return self._call.error

    def result(self) -> T:
        """What the call gives. Raises its error, and RuntimeError while it is not done."""
        if not self._call.done:
            raise RuntimeError("this call is not answered yet; leave the pipeline's block, or await pipeline.wait()")
        return result(self._call, self._operation)


class Pipeline:
    """`async with client.pipeline() as pipe: first = pipe.set(...); second = pipe.get(...)`, then `first.result()`.

    The calls are sent in their order and answered in it; each succeeds or fails by itself (a transaction is something
    else). Leaving the block waits for all. Then the first error there was is raised, unless `keep_errors`: then each
    outcome has its own. If the block is cancelled or left with an error, calls that were not sent are not sent; the
    others are done, once.
    """

    def __init__(self, runtime: Runtime, *, keep_errors: bool = False) -> None:
        runtime.check_thread()
        self._runtime = runtime
        self._keep_errors = keep_errors
        self._calls: list[Call] = []

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self._calls)} calls>"

    # ---- calls, as those of Client

    def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequential: bool = False,
        container: bool = False, ttl: float | None = None, acl: Iterable[AclEntry] | None = None, parents: bool = False,
    ) -> Outcome[str]:  # fmt: skip
        made = self._runtime.operations.create(path, value, ephemeral, sequential, container, ttl, acl, parents)
        return self._submit(made)

    def set(self, path: str, value: bytes, version: int = -1) -> Outcome[Stat]:
        return self._submit(self._runtime.operations.set(path, value, version))

    def delete(self, path: str, version: int = -1, *, recursive: bool = False) -> Outcome[None]:
        return self._submit(self._runtime.operations.delete(path, version, recursive))

    def get(self, path: str) -> Outcome[tuple[bytes, Stat]]:
        return self._submit(self._runtime.operations.get(path))

    def stat(self, path: str) -> Outcome[Stat]:
        """As `Client.exists`, but a znode that does not exist is a NoNodeError."""
        return self._submit(self._runtime.operations.exists(path))

    def children(self, path: str) -> Outcome[list[str]]:
        return self._submit(self._runtime.operations.children(path))

    def children_page(self, path: str, after: str = "", limit: int = PAGE_MAX, *, data: bool = False) -> Outcome[Page]:
        return self._submit(self._runtime.operations.children_page(path, after, limit, data))

    def _submit(self, operation: Operation[T]) -> Outcome[T]:
        runtime = self._runtime
        call = runtime.session.submit(operation.request, operation.writes, runtime.clock())
        self._calls.append(call)
        if len(self._calls) == 2:  # two leave in one frame; the others follow as answers come
            runtime.kick()
        return Outcome(call, operation)

    # ---- waiting

    async def wait(self) -> None:
        """Until everything asked for so far is answered. Raises the first error, unless errors are kept."""
        waiting, calls = self._runtime.waiting, self._calls
        self._runtime.kick()
        try:
            for call in reversed(calls):  # answers come in order: after the last the others are there
                while not call.done:
                    await waiting.wait(call)
        except BaseException:
            self._forget()
            raise
        first = next((call.error for call in calls if call.error is not None), None)
        calls.clear()
        if first is not None and not self._keep_errors:
            raise first

    def _forget(self) -> None:
        for call in self._calls:
            call.give_up()
        self._calls.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.wait()
        else:
            self._forget()
