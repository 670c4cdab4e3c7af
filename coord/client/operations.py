"""What can be asked of the servers, as requests and back: paths with and without the namespace, ACLs, kinds of znodes.

One function an operation, for the client, a pipeline, a transaction and the tests alike. Nothing is sent here.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from coord.model.acl import OPEN_ACL, Acl, AclEntry
from coord.model.errors import BadArgumentsError
from coord.model.message import message
from coord.model.requests import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT,
    PERSISTENT_SEQUENTIAL,
    TTL,
    TTL_SEQUENTIAL,
    Authenticate,
    ChildrenPage,
    CountDescendants,
    Create,
    Delete,
    DeleteTree,
    Exists,
    GetAcl,
    GetChildren,
    GetData,
    GetEphemerals,
    Multi,
    Request,
    SetAcl,
    SetData,
    Sync,
    WhoAmI,
    Write,
)
from coord.model.stat import Stat

T = TypeVar("T")

PAGE_MAX = 1000
PAGE_OF_ALL = 10_000
"""For who wants all children: a server looks at all of them for each page, so few pages are fewer looks."""


@message
class Operation(Generic[T]):
    """A request, whether it is a write, and what becomes of its reply."""

    request: Request
    writes: bool
    read: Callable[[Any], T]


@message
class Child:
    """One of a page of children. `stat` and `data` are None if this client may not read the child."""

    name: str
    stat: Stat | None
    data: bytes | None


@message
class Page:
    """Children in the order of their names; with `more` there are others behind the last of these."""

    children: list[Child]
    more: bool
    stat: Stat  # of the parent


class Operations:
    """All operations in one namespace ("": the whole tree)."""

    def __init__(self, namespace: str) -> None:
        self._prefix = namespace

    # ---- paths

    def full(self, path: str) -> str:
        """The path as the servers know it."""
        prefix = self._prefix
        if not prefix:
            return path
        if not path.startswith("/"):
            raise BadArgumentsError(f"the path {path!r} does not start with '/'")
        return prefix + path if path != "/" else prefix

    def stripped(self, path: str) -> str:
        """The path as this client's caller knows it."""
        return (path[len(self._prefix) :] or "/") if self._prefix else path

    # ---- writes

    def create(
        self, path: str, value: bytes, ephemeral: bool, sequential: bool, container: bool, ttl_s: float | None,
        acl: Iterable[AclEntry] | None, parents: bool,
    ) -> Operation[str]:  # fmt: skip
        kind = _KINDS.get((ephemeral, sequential, container, ttl_s is not None))
        if kind is None:
            raise BadArgumentsError(f"create {path}: {_WRONG_KIND}")
        ttl_ms = -1 if ttl_s is None else _ttl_ms(path, ttl_s)
        full = self.full(path) + "/" * bool(
            sequential and path == "/" and self._prefix
        )  # a child of the root, here too
        request = Create(full, _bytes(value), _acl(acl), kind, ttl_ms, bool(parents))
        return Operation(request, True, self._created)

    def _created(self, reply: Any) -> str:
        return self.stripped(reply.path)

    def set(self, path: str, value: bytes, version: int) -> Operation[Stat]:
        return Operation(SetData(self.full(path), _bytes(value), version), True, _stat)

    def delete(self, path: str, version: int, recursive: bool) -> Operation[None]:
        kind = DeleteTree if recursive else Delete
        return Operation(kind(self.full(path), version), True, _nothing)

    def set_acl(self, path: str, acl: Iterable[AclEntry], version: int) -> Operation[Stat]:
        return Operation(SetAcl(self.full(path), _acl(acl), version), True, _stat)

    def multi(self, steps: Iterable[Write], reads: list[Callable[[Any], Any]]) -> Operation[list[Any]]:
        def results(reply: Any) -> list[Any]:
            return [read(each) for read, each in zip(reads, reply.replies, strict=True)]

        return Operation(Multi(tuple(steps)), True, results)

    # ---- reads

    def get(self, path: str) -> Operation[tuple[bytes, Stat]]:
        return Operation(GetData(self.full(path)), False, _data)

    def exists(self, path: str) -> Operation[Stat]:
        return Operation(Exists(self.full(path)), False, _stat)

    def children(self, path: str) -> Operation[list[str]]:
        return Operation(GetChildren(self.full(path)), False, _names)

    def children_page(self, path: str, after: str, limit: int, with_data: bool) -> Operation[Page]:
        return Operation(ChildrenPage(self.full(path), after, limit, with_data), False, _page)

    def get_acl(self, path: str) -> Operation[tuple[Acl, Stat]]:
        return Operation(GetAcl(self.full(path)), False, _acl_and_stat)

    def ephemerals(self, prefix: str) -> Operation[list[str]]:
        full = self.full(prefix) if prefix != "/" else self._prefix + "/"  # else those of /app2 would be those of /app
        return Operation(GetEphemerals(full), False, self._stripped_all)

    def _stripped_all(self, reply: Any) -> list[str]:
        return [self.stripped(path) for path in reply.paths]

    def count_descendants(self, path: str) -> Operation[int]:
        return Operation(CountDescendants(self.full(path)), False, lambda reply: int(reply.count))

    def sync(self, path: str) -> Operation[None]:
        return Operation(Sync(self.full(path)), False, _nothing)

    def whoami(self) -> Operation[list[tuple[str, str]]]:
        return Operation(WhoAmI(), False, lambda reply: list(reply.identities))

    def authenticate(self, scheme: str, credentials: bytes) -> Operation[None]:
        return Operation(Authenticate(scheme, credentials), False, _nothing)


def _bytes(value: bytes) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise BadArgumentsError(f"a value is bytes, and {value!r:.60} is {type(value).__name__}; encode it first")


def _acl(acl: Iterable[AclEntry] | None) -> Acl:
    if acl is None:
        return OPEN_ACL
    try:
        entries = tuple([(int(permissions), str(scheme), str(id)) for permissions, scheme, id in acl])
    except (TypeError, ValueError):
        raise BadArgumentsError(
            f"an ACL is a list of entries such as (coord.Permission.READ, 'world', 'anyone'), and {acl!r:.200} is not"
        ) from None
    for permissions, _, _ in entries:
        if not 0 <= permissions < 1 << 31:
            raise BadArgumentsError(f"{permissions} is no set of permissions; coord.Permission has them all")
    return entries


def _ttl_ms(path: str, ttl_s: float) -> int:
    if isinstance(ttl_s, int | float) and 0.001 <= ttl_s < math.inf:
        return round(ttl_s * 1000)
    raise BadArgumentsError(f"create {path}: a ttl is at least 0.001 seconds, not {ttl_s!r}")


def _nothing(reply: Any) -> None:
    return None


def _stat(reply: Any) -> Stat:
    return reply.stat  # type: ignore[no-any-return]


def _data(reply: Any) -> tuple[bytes, Stat]:
    return reply.data or b"", reply.stat


def _names(reply: Any) -> list[str]:
    return list(reply.names)


def _page(reply: Any) -> Page:
    return Page([Child(*each) for each in reply.children], reply.more, reply.stat)


def _acl_and_stat(reply: Any) -> tuple[Acl, Stat]:
    return reply.acl, reply.stat


_KINDS = {  # (ephemeral, sequential, container, with a time to live)
    (False, False, False, False): PERSISTENT,
    (True, False, False, False): EPHEMERAL,
    (False, True, False, False): PERSISTENT_SEQUENTIAL,
    (True, True, False, False): EPHEMERAL_SEQUENTIAL,
    (False, False, True, False): CONTAINER,
    (False, False, False, True): TTL,
    (False, True, False, True): TTL_SEQUENTIAL,
}
_WRONG_KIND = "a znode is ephemeral, or a container, or has a ttl, only one of these; a container is not sequential"
