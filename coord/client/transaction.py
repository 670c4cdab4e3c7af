"""Several writes and checks at once: all of them in one place in the log, or none."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self

from coord.client.runtime import Runtime
from coord.model.acl import AclEntry
from coord.model.errors import BadArgumentsError
from coord.model.requests import CheckCreated, CheckData, CheckExists, CheckVersion, Write
from coord.model.stat import Stat


class Guard(Protocol):
    """Who holds a lock: the path of the lock's znode, and the zxid that created it."""

    @property
    def path(self) -> str: ...

    @property
    def token(self) -> int: ...


class Transaction:
    """Made by `client.transaction()`. Gather steps, then `await commit()`; or leave the `async with` block without an
    error.

    If a step fails nothing is done, and its error is raised: of the same class as outside a transaction, with `step`
    telling which it was, counted from 0 in the order in which they were added (a guard is none of them).
    """

    def __init__(self, runtime: Runtime, guard: Guard | None = None) -> None:
        self.results: list[str | Stat | None] = []
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

    async def commit(self) -> list[str | Stat | None]:
        """Do all steps, or none. Gives `results`."""
        if self.committed:
            raise BadArgumentsError("this transaction was committed before; make another with client.transaction()")
        self.committed = True
        if len(self):
            try:
                done = await self._runtime.run(self._runtime.operations.multi(self._steps, self._reads))
            except Exception as error:
                step = getattr(error, "step", None)
                if step is not None:
                    error.step = step - self._guards if step >= self._guards else None  # type: ignore[attr-defined]
                raise
            self.results = done[self._guards :]
        return self.results

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and not self.committed:
            await self.commit()


def _nothing(reply: Any) -> None:
    return None
