"""Items shared out among members: each item has at most one owner at any time, and few move when members come and go.

    <path>/members/<member>   ephemeral
    <path>/owners/<item>      ephemeral, of the member that has the item, with its name

Who should have what is computed by every member for itself, from one state of both: a `TreeCache` shows them as they
were at one place in the log, so all come to the same plan. Nobody goes by the plan alone: who has an item holds its
znode, and gives it back when its work has ended; only then can the next make it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import anyio

import coord
from recipes.claim import claim, ensure_container, release
from recipes.group import Group
from recipes.holding import Held, body, check_margin
from recipes.inside import check_name, check_path, unwrapped
from recipes.place import unique_id
from recipes.tree_cache import TreeCache


def plan(items: Iterable[str], members: Iterable[str], owners: Mapping[str, str]) -> dict[str, str]:
    """Who should have which item. Everyone gets as many as the others, or one more; as few as possible change hands.

    Owners that are no members count as none. The same for all who compute it from the same.
    """
    members, items = sorted(members), sorted(items)
    if not members:
        return {}
    had: dict[str, list[str]] = {member: [] for member in members}
    free = []
    for item in items:
        owner = owners.get(item)
        if owner in had:
            had[owner].append(item)
        else:
            free.append(item)
    share, more = divmod(len(items), len(members))
    wanted = {}
    for place, member in enumerate(sorted(members, key=lambda each: (-len(had[each]), each))):
        wanted[member] = share + (place < more)  # one more for those who have the most already
    for member in members:
        free += had[member][wanted[member] :]
        del had[member][wanted[member] :]
    free.sort()
    given = iter(free)
    for member in members:
        while len(had[member]) < wanted[member]:
            had[member].append(next(given))
    return {item: member for member in members for item in had[member]}


class Partitioner:
    """`await Partitioner(client, "/work", items).run(serve)`, in each of many processes.

    `serve(owned)` runs for each item that this member has: `owned.item`, and `owned` is a guard for transactions. When
    another should have the item it is cancelled; when it has ended the other gets it. All members must name the same
    items. The end of the session, or of its proof, cancels all and raises LockLost. An error of `serve` ends `run`.
    """

    def __init__(
        self,
        client: coord.Client,
        path: str,
        items: Iterable[str],
        *,
        name: str | None = None,
        margin: float | None = None,
    ) -> None:
        self.client = client
        self.path = check_path(path)
        self.items = sorted({check_name(each, "an item") for each in items})
        self.name = unique_id(client) if name is None else check_name(name, "the name of a member")
        self.owned: dict[str, Owned] = {}
        """What this member has now."""
        self._margin = check_margin(client, path, margin)
        self._running = False

    def __repr__(self) -> str:
        return f"<Partitioner {self.path}, {self.name} has {len(self.owned)} of {len(self.items)} items>"

    async def run(self, serve: Callable[["Owned"], Awaitable[None]]) -> None:
        """Be a member, and serve what is given to it, until cancelled."""
        if self._running:
            raise RuntimeError(f"{self!r} runs already: a member that is there twice needs a second Partitioner")
        self._running = True
        try:
            await ensure_container(self.client, f"{self.path}/owners")
            async with (
                TreeCache(self.client, self.path, depth=2) as cache,
                Group(self.client, f"{self.path}/members").join(name=self.name, wait=True, margin=self._margin),
            ):
                await self._share(cache, serve)
        finally:
            self._running = False

    async def _share(self, cache: TreeCache, serve: Callable[["Owned"], Awaitable[None]]) -> None:
        with unwrapped():
            async with anyio.create_task_group() as tasks:
                while True:
                    zxid = cache.zxid
                    wanted = self._wanted(cache)
                    for item, owned in list(self.owned.items()):
                        if item not in wanted:
                            owned.give_up()
                    for item in wanted:
                        if item not in self.owned and f"{self.path}/owners/{item}" not in cache:
                            token = await self._claim(item)
                            if token:
                                owned = Owned(self, item, token, self._margin)
                                self.owned[item] = owned
                                tasks.start_soon(self._serve, owned, serve)
                    await cache.wait_change(zxid)

    def _wanted(self, cache: TreeCache) -> list[str]:
        """The items that are this member's by the plan."""
        owners = {each: cache[f"{self.path}/owners/{each}"].value.decode() for each in self._owners(cache)}
        planned = plan(self.items, cache.children(f"{self.path}/members"), owners)
        return [item for item, member in planned.items() if member == self.name]

    def _owners(self, cache: TreeCache) -> list[str]:
        return cache.children(f"{self.path}/owners")

    async def _claim(self, item: str) -> int:
        """Its token, 0 if it is another's."""
        path = f"{self.path}/owners/{item}"
        try:
            return await claim(self.client, path, self.name.encode())
        except coord.NodeExistsError:
            return 0

    async def _serve(self, owned: "Owned", serve: Callable[["Owned"], Awaitable[None]]) -> None:
        try:
            with owned.scope:
                owned.check()
                async with body(owned):
                    await serve(owned)
                    await anyio.sleep_forever()  # it stays this member's, though there is nothing more to do
        finally:
            del self.owned[owned.item]  # first: the event of the release may come before its answer
            await release(self.client, owned.path, owned.token)


class Owned(Held):
    """An item that this member has."""

    def __init__(self, partitioner: Partitioner, item: str, token: int, margin: float | None) -> None:
        super().__init__(partitioner.client, f"{partitioner.path}/owners/{item}", token, partitioner.name, margin)
        self.item = item
        self.scope = anyio.CancelScope()

    def give_up(self) -> None:
        """Cancel the work on it; when that has ended the item is given back."""
        self.scope.cancel()
