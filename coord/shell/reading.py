"""Commands that look: ls, get, stat, tree, find, du, count."""

import fnmatch
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Annotated

import trio

from coord.client.events import EventKind
from coord.client.groups import unwrapped
from coord.model.errors import NoNodeError
from coord.model.paths import name_of
from coord.model.stat import Stat
from coord.shell.errors import UsageError
from coord.shell.files import STANDARD, write_file
from coord.shell.grammar import HERE, Count, File, Path, command
from coord.shell.kinds import EPHEMERAL, KINDS, kind_of
from coord.shell.state import Shell, join
from coord.shell.units import age_s, size_bytes, wall_ms
from coord.shell.values import (
    Branch,
    Bytes,
    Child,
    Counted,
    Done,
    Found,
    ListedPath,
    LongChild,
    Size,
    Told,
    Value,
    ZnodeStat,
)
from coord.shell.walk import Visited, existing, pages, walk
from coord.shell.watching import next_change


@command(aliases=("ls2",))
async def ls(
    shell: Shell,
    path: Path = HERE,
    *,
    long: Annotated[bool, "l"] = False,
    recursive: Annotated[bool, "R"] = False,
    stat: Annotated[bool, "s"] = False,
    watch: Annotated[bool, "w"] = False,
) -> AsyncIterator[list[Child | LongChild | ListedPath | ZnodeStat | Told]]:
    """The children of a znode, in the order of their names.

    Options:
        long: with kind (e ephemeral, c container, t TTL), version, bytes, number of children and time
        recursive: all paths of the subtree
        stat: then the stat of the znode itself
        watch: then wait for the next change of the children, and tell it

    Examples:
        ls /app
        ls -l
        ls -R /app
    """
    top = shell.path(path)
    async with next_change(shell, top, (EventKind.CHILDREN, EventKind.DELETED), watch) as changed:
        if recursive:
            async with aclosing(walk(shell.client, top)) as found:
                async for some in found:
                    yield [ListedPath(each.path, each.stat) for each in some]
        else:
            row = LongChild if long else Child
            async with aclosing(pages(shell.client, top)) as read:
                async for page in read:
                    yield [row(join(top, each.name), each.name, each.stat) for each in page.children]
        if stat:
            yield [ZnodeStat(top, await existing(shell.client, top))]
        if changed is not None:
            yield [await changed()]


@command(aliases=("cat",))
async def get(
    shell: Shell,
    path: Path = HERE,
    *,
    stat: Annotated[bool, "s"] = False,
    watch: Annotated[bool, "w"] = False,
    raw: Annotated[bool, "r"] = False,
    out: Annotated[File | None, "o"] = None,
    linearizable: Annotated[bool, "L"] = False,
) -> AsyncIterator[list[Value | Bytes | ZnodeStat | Told | Done]]:
    """The value of a znode: JSON and other text as such, all else in hexadecimal.

    Options:
        stat: then the stat
        watch: then wait for the next change, and tell it
        raw: exactly the bytes, and nothing else
        out: write exactly the bytes to this file; - is standard output
        linearizable: not older than anything anyone was told

    Examples:
        get /app/config
        get --out config.json /app/config
    """
    where = shell.path(path)
    async with next_change(shell, where, (EventKind.CHANGED, EventKind.DELETED), watch) as changed:
        value, found = await shell.client.get(where, linearizable=linearizable)
        if out == STANDARD:
            yield [Bytes(value)]
        elif out is not None:
            await write_file(out, value)
            yield [Done(f"wrote {len(value)} bytes to {out}", where)]
        else:
            yield [Value(where, value, found, raw)]
        if stat:
            yield [ZnodeStat(where, found)]
        if changed is not None:
            yield [await changed()]


@command()
async def stat(
    shell: Shell, path: Path = HERE, *, watch: Annotated[bool, "w"] = False
) -> AsyncIterator[list[ZnodeStat | Told]]:
    """What is known of a znode beside its value: versions, times, zxids, owner, kind.

    Options:
        watch: then wait for the next change, and tell it

    Examples:
        stat /app/config
    """
    where = shell.path(path)
    async with next_change(shell, where, (EventKind.CHANGED, EventKind.DELETED), watch) as changed:
        yield [ZnodeStat(where, await existing(shell.client, where))]
        if changed is not None:
            yield [await changed()]


@command()
async def tree(
    shell: Shell, path: Path = HERE, *, depth: Annotated[Count | None, "d"] = None
) -> AsyncIterator[list[Branch]]:
    """The subtree as a tree, with the number of children of each znode.

    Options:
        depth: so many levels; what is cut off is counted

    Examples:
        tree -d 2 /app
    """
    async with aclosing(walk(shell.client, shell.path(path), depth=depth)) as found:
        async for some in found:
            cut = [each.path for each in some if each.depth == depth and each.stat and each.stat.children_count]
            below = await _counts(shell, cut)
            yield [_branch(each, below.get(each.path)) for each in some]


def _branch(each: Visited, below: int | None) -> Branch:
    children = each.stat.children_count if each.stat else 0
    ephemeral = bool(each.stat and each.stat.ephemeral_owner)
    return Branch(each.path, name_of(each.path) or "/", each.depth, children, below, ephemeral)


async def _counts(shell: Shell, paths: list[str]) -> dict[str, int]:
    """How many znodes are below each, asked for together. What has been deleted meanwhile is left out."""
    counts: dict[str, int] = {}

    async def one(path: str) -> None:
        with suppress(NoNodeError):
            counts[path] = await shell.client.count_descendants(path)

    with unwrapped():
        async with trio.open_nursery() as nursery:
            for path in paths:
                nursery.start_soon(one, path)
    return counts


@command()
async def find(
    shell: Shell,
    path: Path = HERE,
    *,
    name: Annotated[str | None, "n"] = None,
    value: Annotated[str | None, "v"] = None,
    owner: Annotated[str | None, "o"] = None,
    newer: str | None = None,
    older: str | None = None,
    larger: str | None = None,
    smaller: str | None = None,
    ephemeral: Annotated[bool, "e"] = False,
    kind: Annotated[str | None, "k"] = None,
    depth: Annotated[Count | None, "d"] = None,
) -> AsyncIterator[list[Found]]:
    """The znodes of a subtree that fit all that is asked for.

    Options:
        name: a pattern for the last part of the path, such as 'lock-*'
        value: a regular expression that occurs in the value
        owner: the session of an ephemeral znode, such as 0x1000000001
        newer: changed less than so long ago: 90s, 15m, 2h, 3d
        older: not changed for so long
        larger: a value of more than so many bytes: 500, 64k, 1m
        smaller: a value of less than so many bytes
        ephemeral: only ephemeral ones
        kind: only persistent, ephemeral, container or ttl ones
        depth: so many levels down

    Examples:
        find /app --name 'worker-*' --newer 10m
        find --owner 0x1000000001
        find --value 'db[0-9]+' /config
    """
    pattern = _pattern(value)
    tests = list(_tests(name, owner, newer, older, larger, smaller, EPHEMERAL if ephemeral else kind))
    async with aclosing(walk(shell.client, shell.path(path), depth=depth, data=pattern is not None)) as found:
        async for some in found:
            fit = [each for each in some if all(test(each) for test in tests)]
            if pattern is not None:
                fit = [each for each in fit if each.data is not None and pattern.search(each.data)]
            if fit:
                yield [Found(each.path, each.stat) for each in fit]


Test = Callable[[Visited], bool]


def _tests(
    name: str | None, owner: str | None, newer: str | None, older: str | None, larger: str | None, smaller: str | None,
    kind: str | None,
) -> list[Test]:  # fmt: skip
    tests: list[Test] = []
    if name is not None:
        tests.append(lambda each: fnmatch.fnmatchcase(name_of(each.path), name))
    if owner is not None:
        session = session_number(owner)
        tests.append(_of_stat(lambda stat: stat.ephemeral_owner == session))
    now_ms = wall_ms()
    if newer is not None:
        since_ms = now_ms - age_s(newer) * 1000
        tests.append(_of_stat(lambda stat: stat.mtime >= since_ms))
    if older is not None:
        before_ms = now_ms - age_s(older) * 1000
        tests.append(_of_stat(lambda stat: stat.mtime < before_ms))
    if larger is not None:
        least = size_bytes(larger)
        tests.append(_of_stat(lambda stat: stat.data_length > least))
    if smaller is not None:
        most = size_bytes(smaller)
        tests.append(_of_stat(lambda stat: stat.data_length < most))
    if kind is not None:
        if kind not in KINDS:
            raise UsageError(f"find: {kind!r} is no kind of znode; there are {', '.join(KINDS)}")
        tests.append(_of_stat(lambda stat: kind_of(stat) == kind))
    return tests


def _of_stat(test: Callable[[Stat], bool]) -> Test:
    return lambda each: each.stat is not None and test(each.stat)


def _pattern(value: str | None) -> re.Pattern[bytes] | None:
    try:
        return None if value is None else re.compile(value.encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise UsageError(f"find: {value!r} is no regular expression: {error}") from None


ONE_LEVEL = Count(1)


@command()
async def du(shell: Shell, path: Path = HERE, *, depth: Annotated[Count, "d"] = ONE_LEVEL) -> AsyncIterator[list[Size]]:
    """How many znodes and bytes of values each subtree has, and at the end the whole.

    A subtree is told as soon as all of it was seen: behind those in it.

    Options:
        depth: subtrees down to so many levels

    Examples:
        du /app
        du -d 0
    """
    opened: list[Size] = []  # the subtrees that are being walked through, one in the other
    async with aclosing(walk(shell.client, shell.path(path))) as found:
        async for some in found:
            done = []
            for each in some:
                while len(opened) > each.depth:
                    done.append(_closed(opened))
                opened.append(Size(each.path, 1, each.stat.data_length if each.stat else 0))
            yield [size for level, size in done if level <= depth]
    yield [size for level, size in [_closed(opened) for _ in range(len(opened))] if level <= depth]


def _closed(opened: list[Size]) -> tuple[int, Size]:
    """All of the last subtree has been seen: it counts in the one that it is in. Its depth, and it."""
    size = opened.pop()
    if opened:
        opened[-1].znodes += size.znodes
        opened[-1].bytes += size.bytes
    return len(opened), size


@command(aliases=("getAllChildrenNumber",))
async def count(shell: Shell, path: Path = HERE) -> Counted:
    """How many znodes are below a znode, at any depth. The servers count; nothing is fetched.

    Examples:
        count /app
    """
    where = shell.path(path)
    return Counted(where, await shell.client.count_descendants(where))


# ---- helpers


def session_number(text: str) -> int:
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text) is None:
        raise UsageError(f"{text!r} is no session; sessions are written as 0x1000000001")
    return int(text, 16)
