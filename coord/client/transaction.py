"""Several writes and checks at once: all of them in one place in the log, or none."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from coord.client.calls import Call
from coord.client.operations import Operation
from coord.client.pipeline import Outcome
from coord.client.runtime import Runtime
from coord.model.acl import AclEntry
from coord.model.errors import BadArgumentsError, CoordError
from coord.model.requests import CheckCreated, CheckData, CheckExists, CheckVersion, Write
from coord.model.stat import Stat

Results = list[str | Stat | None]
"""One a step: a path for `create`, a Stat for `set` and `set_acl`, None for the others."""


class Guard(Protocol):
    """Who holds a lock: the path of the lock's znode, and the zxid that created it."""

    @property
    def path(self) -> str: ...

    @property
    def token(self) -> int: ...


class SentTransaction(Outcome[Results]):
    """A transaction on its way: `done`, `error` and `result()` tell what has become of it, `await wait()` waits."""

    __slots__ = ("_guards", "_runtime")

    def __init__(self, runtime: Runtime, call: Call, operation: Operation[Results], guards: int) -> None:
        super().__init__(call, operation)
        self._runtime = runtime
        self._guards = guards

    @property
    def error(self) -> CoordError | None:
        """Why it failed; None if it did not, or is not done. `step` is counted as that of a commit."""
        error = self._call.error
        if error is None or error.step is None:
            return error
        own = type(error)(*error.args)
        own.step = error.step - self._guards if error.step >= self._guards else None
        return own

    def result(self) -> Results:
        """One a step, as `Transaction.results`. Raises its error, and RuntimeError while it is not done."""
        error = self.error
        if error is not None:
            raise error
        return super().result()[self._guards :]

    async def wait(self) -> Results:
        """Until the servers have answered, or the session has ended; what `result()` gives. It can be cancelled."""
        if self._call.waiter is not None:
            raise anyio.BusyResourceError("waiting for")
        await self._runtime.waiting.start()
        while not self._call.done:
            await self._runtime.waiting.wait(self._call)
        return self.result()


class Transaction:
    """Made by `client.transaction()`. Gather steps, then `await commit()`; or leave the `async with` block without an
    error.

    If a step fails nothing is done, and its error is raised: of the same class as outside a transaction, with `step`
    telling which it was, counted from 0 in the order in which they were added (a guard is none of them).
    """

    def __init__(self, runtime: Runtime, guard: Guard | None = None) -> None:
        self.results: Results = []
        """One a step, after the commit: a path for `create`, a Stat for `set` and `set_acl`, None for the others."""
        self._runtime = runtime
        self._steps: list[Write] = []
        self._reads: list[Callable[[Any], Any]] = []
        self._guards = 0
        self.committed = False  # or tried to be
        if guard is not None:
            self._steps.append(CheckCreated(runtime.operations.full(guard.path), guard.token))
            self._reads.append(_nothing)
            self._guards = 1

    def __repr__(self) -> str:
        return f"<Transaction of {len(self._steps) - self._guards} steps{', committed' if self.committed else ''}>"

    def __len__(self) -> int:
        return len(self._steps) - self._guards

    # ---- steps

    def create(
        self, path: str, value: bytes = b"", *, ephemeral: bool = False, sequential: bool = False,
        container: bool = False, ttl: float | None = None, acl: Iterable[AclEntry] | None = None, parents: bool = False,
    ) -> None:  # fmt: skip
        """As `Client.create`."""
        made = self._runtime.operations.create(path, value, ephemeral, sequential, container, ttl, acl, parents)
        self._add(made.request, made.read)

    def set(self, path: str, value: bytes, version: int = -1) -> None:
        """As `Client.set`."""
        made = self._runtime.operations.set(path, value, version)
        self._add(made.request, made.read)

    def delete(self, path: str, version: int = -1, *, recursive: bool = False) -> None:
        """As `Client.delete`."""
        made = self._runtime.operations.delete(path, version, recursive)
        self._add(made.request, made.read)

    def set_acl(self, path: str, acl: Iterable[AclEntry], version: int = -1) -> None:
        """As `Client.set_acl`."""
        made = self._runtime.operations.set_acl(path, acl, version)
        self._add(made.request, made.read)

    def check(
        self, path: str, *, version: int | None = None, exists: bool | None = None, created: int | None = None,
        value: bytes | None = None,
    ) -> None:  # fmt: skip
        """Go on only if the znode has this version, exists or does not, was created at this zxid, has this value.

        Name one of them: a check is one step. BadVersionError, NoNodeError or NodeExistsError if not.
        """
        full = self._runtime.operations.full(path)
        checks: list[Write] = []
        if version is not None:
            checks.append(CheckVersion(full, version))
        if exists is not None:
            checks.append(CheckExists(full, exists))
        if created is not None:
            checks.append(CheckCreated(full, created))
        if value is not None:
            checks.append(CheckData(full, value))
        if len(checks) != 1:
            raise BadArgumentsError(
                f"check {path}: name one of version, exists, created and value; a check is one step"
            )
        self._add(checks[0], _nothing)

    def _add(self, step: Any, read: Callable[[Any], Any]) -> None:
        if self.committed:
            raise BadArgumentsError("this transaction was committed before; make another with client.transaction()")
        self._steps.append(step)
        self._reads.append(read)

    # ---- the end

    async def commit(self) -> Results:
        """Do all steps, or none. Gives `results`."""
        operation = self._end()
        if len(self):
            try:
                done = await self._runtime.run(operation)
            except Exception as error:
                step = getattr(error, "step", None)
                if step is not None:
                    error.step = step - self._guards if step >= self._guards else None  # type: ignore[attr-defined]
                raise
            self.results = done[self._guards :]
        return self.results

    def send(self) -> SentTransaction:
        """Do all steps, or none, without waiting for the servers' answer. Not to be cancelled.

        They are done once and in the order of this client's calls, on whatever connection, as long as its session
        lives; there is no `call_timeout`. Leaving the client's block waits for them. An error is only told by what is
        given here. Raises SessionLostError if the session has ended before.
        """
        if not self._steps:
            raise BadArgumentsError("this transaction has no steps to send")
        operation = self._end()
        return SentTransaction(self._runtime, self._runtime.send(operation), operation, self._guards)

    def _end(self) -> Operation[Results]:
        if self.committed:
            raise BadArgumentsError("this transaction was committed before; make another with client.transaction()")
        self.committed = True
        return self._runtime.operations.multi(self._steps, self._reads)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and not self.committed:
            await self.commit()


def _nothing(reply: Any) -> None:
    return None
