"""Through a subtree, page by page: of each znode that is being looked into no more than a page of children is kept."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from coord.client.client import Client, page_of_all
from coord.client.operations import PAGE_MAX, PAGE_OF_ALL, Child, Page
from coord.model.errors import NoAuthError, NoNodeError
from coord.model.message import message
from coord.model.stat import Stat
from coord.shell.state import join

VALUES_PART = 5
"""With their values so many times fewer children are asked for at once, for the first to be there soon."""


@message
class Visited:
    path: str
    depth: int  # below the top, which has 0
    stat: Stat | None  # None: this client may not read it
    data: bytes | None  # if it was asked for


async def pages(client: Client, path: str, *, data: bool = False) -> AsyncGenerator[Page, None]:
    """A znode's children."""
    after, more = "", True
    while more:
        page = await next_page(client, path, after, data)
        if page.children:
            after = page.children[-1].name
        more = page.more
        yield page


async def next_page(client: Client, path: str, after: str, data: bool) -> Page:
    """The first one is short, to be there soon; the next ones are long, for a server looks at all children for each."""
    limit = PAGE_OF_ALL if after else PAGE_MAX
    return await page_of_all(client, path, after, limit // VALUES_PART if data else limit, data)


@dataclass(slots=True)
class _Level:
    """A znode whose children are being visited."""

    path: str
    children: Iterator[Child]
    last: str  # name
    more: bool  # pages behind these children


async def walk(
    client: Client, top: str, *, depth: int | None = None, data: bool = False
) -> AsyncGenerator[list[Visited], None]:
    """The subtree, each znode before what is below it, in the order of names; lists of what is known by now.

    Raises NoNodeError if the top is not there. What is deleted meanwhile is left out; what may not be read is told
    without its stat, and not entered. One generator with a stack of its own: whoever stops iterating closes all.
    """
    value, stat = await client.get(top) if data else (None, await existing(client, top))
    gathered = [Visited(top, 0, stat, value)]
    levels: list[_Level] = []
    if stat.children_count and depth != 0:
        levels.append(_Level(top, iter(()), "", True))
    while levels:
        level = levels[-1]
        child = next(level.children, None)
        if child is not None:
            visited = Visited(join(level.path, child.name), len(levels), child.stat, child.data)
            gathered.append(visited)
            if child.stat is not None and child.stat.children_count and depth != len(levels):
                levels.append(_Level(visited.path, iter(()), "", True))
        elif not level.more:
            levels.pop()
        else:
            yield gathered
            gathered = []
            try:
                page = await next_page(client, level.path, level.last, data)
            except (NoNodeError, NoAuthError):
                if len(levels) == 1:
                    raise
                levels.pop()
                continue
            level.children, level.more = iter(page.children), page.more
            if page.children:
                level.last = page.children[-1].name
    if gathered:
        yield gathered


async def existing(client: Client, path: str) -> Stat:
    """The stat of a znode that has to be there. Raises NoNodeError."""
    stat = await client.exists(path)
    if stat is None:
        raise NoNodeError(f"{path} does not exist")
    return stat
