"""Where services are: each instance is a member with an address, its health and what else others should know of it.

An instance is an ephemeral znode `<path>/<service>/<instance>` whose data are JSON: {"address", "health", "data"}. It
goes with the session of whoever has registered it.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import coord
from recipes.group import Group, Member, Members, Membership
from recipes.inside import Block, check_name, check_path

HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance of a service, as it was read."""

    name: str
    address: str
    health: str
    data: dict[str, Any]
    token: int
    """The zxid of its registration: smaller is older."""


class Registration:
    """What `registry.register()` gives. `update` tells others how the instance is."""

    def __init__(self, membership: Membership, address: str, health: str, data: dict[str, Any]) -> None:
        self.membership = membership
        """The guard for transactions, with `path` and `token`."""
        self.address = address
        self.health = health
        self.data = data

    def __repr__(self) -> str:
        return f"<Registration of {self.membership.path}, {self.address}, {self.health}>"

    async def update(self, *, health: str | None = None, data: dict[str, Any] | None = None) -> None:
        """Tell others another health, or other data. What others take for fit is HEALTHY, "healthy"."""
        health = self.health if health is None else health
        data = self.data if data is None else data
        await self.membership.set(_write(self.address, health, data))
        self.health, self.data = health, data


class ServiceRegistry:
    """`async with registry.register("db", "10.0.0.1:5432"): ...`, and elsewhere `async with registry.resolve("db")`.

    An instance is there as long as its block, or its session: the body is cancelled and LockLost raised when it is not.
    """

    def __init__(self, client: coord.Client, path: str) -> None:
        self.client = client
        self.path = check_path(path)

    def __repr__(self) -> str:
        return f"<ServiceRegistry {self.path}>"

    @asynccontextmanager
    async def register(
        self,
        service: str,
        address: str,
        *,
        health: str = HEALTHY,
        data: dict[str, Any] | None = None,
        name: str | None = None,
        wait: bool = False,
    ) -> AsyncIterator[Registration]:
        """Be an instance of a service within the block. `name` and `wait` as with `Group.join`."""
        content = {} if data is None else data
        group = self._group(service)
        async with group.join(_write(address, health, content), name=name, wait=wait) as membership:
            yield Registration(membership, address, health, content)

    def resolve(self, service: str) -> "Resolver":
        """The instances of a service at any moment: `async with registry.resolve("db") as db: db.endpoints`."""
        return Resolver(self._group(service))

    async def services(self) -> list[str]:
        """The names of the services that have, or had a moment ago, an instance."""
        try:
            return sorted(await self.client.children(self.path))
        except coord.NoNodeError:
            return []

    def _group(self, service: str) -> Group:
        return Group(self.client, f"{self.path}/{check_name(service, 'the name of a service')}")


class Resolver(Block):
    """The instances of one service, kept up to date. Iterating gives those that are fit, now and after each change.

    While no server can be reached the last ones that were known stay, so that a program can go on.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._members: Members = group.watch()

    def __repr__(self) -> str:
        return f"<Resolver of {self._group.path}>"

    @property
    def all(self) -> list[Endpoint]:
        """Every instance that can be read, the oldest first, whatever its health."""
        found = (_read(each) for each in self._members.members)
        return [each for each in found if each is not None]

    @property
    def endpoints(self) -> list[Endpoint]:
        """The healthy ones, the oldest first."""
        return [each for each in self.all if each.health == HEALTHY]

    async def sync(self) -> list[Endpoint]:
        """The healthy ones as of now, and not a moment before."""
        await self._members.sync()
        return self.endpoints

    async def wait(self) -> list[Endpoint]:
        """Until there is a healthy instance; all of them."""
        self._need_open()
        while True:
            zxid = self._members.zxid
            found = self.endpoints
            if found:
                return found
            await self._members.wait_change(zxid)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Endpoint]:
        await anext(self._members)
        return self.endpoints

    @asynccontextmanager
    async def _inside(self) -> AsyncIterator[None]:
        async with self._members:
            yield


def _write(address: str, health: str, data: dict[str, Any]) -> bytes:
    if not isinstance(address, str) or not address:
        raise ValueError(f"the address of an instance is a text that is not empty, not {address!r}")
    if not isinstance(health, str):
        raise ValueError(f"the health of an instance is a text such as 'healthy', not {health!r}")
    try:
        return json.dumps({"address": address, "health": health, "data": data}).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(f"the data of {address} cannot be written as JSON: {error}") from None


def _read(member: Member) -> Endpoint | None:
    """None for what somebody else has put there."""
    try:
        found = json.loads(member.value)
        address, health, data = found["address"], found["health"], found["data"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(address, str) or not isinstance(health, str) or not isinstance(data, dict):
        return None
    return Endpoint(member.name, address, health, data, member.token)
