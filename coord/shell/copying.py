"""Commands for whole subtrees: cp, mv, diff, export, import. They keep values and ACLs.

What clients are not told cannot be kept: whether a znode is a container or has a time to live. Ephemeral znodes belong
to their session and are left out, and counted.

The file of `export` is JSON, a line each: a head, a znode each, parents first, and a foot with their number, so that a
file that was cut off is refused before anything is written.
"""

import base64
import binascii
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Any

import trio

from coord.client.client import Client
from coord.client.groups import unwrapped
from coord.model.acl import Acl
from coord.model.errors import NodeExistsError, NoNodeError, RequestTooLargeError
from coord.model.message import message
from coord.shell.acls import parse_acl, shown_acl
from coord.shell.errors import ShellError, UsageError
from coord.shell.files import read_file, write_file
from coord.shell.grammar import File, Path, command
from coord.shell.state import Shell, under
from coord.shell.values import Difference, Done
from coord.shell.walk import walk

PART_BYTES = 400_000
PART_ZNODES = 500
"""So much of a subtree is written in one step: a request has its limit, and others want their turn."""

FORMAT = 1

OWN = "/zookeeper"
"""The servers' own znodes: they are no part of what users keep in the tree."""


@message
class Copied:
    """A znode on its way from one place to another."""

    below: str  # its path below the top, "" for the top
    value: bytes
    acl: Acl
    version: int


async def gather(client: Client, top: str) -> tuple[list[Copied], int]:
    """The subtree's znodes, parents first, and the number of ephemeral ones, which are left out."""
    found: list[Copied] = []
    ephemeral = 0
    async with aclosing(walk(client, top, data=True)) as walked:
        async for some in walked:
            acls = await acls_of(client, [each.path for each in some if each.stat and not each.stat.ephemeral_owner])
            for each in some:
                if top == "/" and under(each.path, OWN):
                    continue
                if each.stat is None or each.data is None:
                    raise ShellError(f"{each.path} may not be read by this client; authenticate first")
                if each.stat.ephemeral_owner:
                    ephemeral += 1
                    continue
                if each.path not in acls:
                    continue
                below = each.path[len(top) :] if top != "/" else each.path if each.path != "/" else ""
                found.append(Copied(below, each.data, acls[each.path], each.stat.version))
    return found, ephemeral


async def acls_of(client: Client, paths: Sequence[str]) -> dict[str, Acl]:
    """The ACLs of all of them, asked for together. What has been deleted meanwhile is left out."""
    found: dict[str, Acl] = {}

    async def one(path: str) -> None:
        with suppress(NoNodeError):
            found[path], _ = await client.get_acl(path)

    with unwrapped():
        async with trio.open_nursery() as nursery:
            for path in paths:
                nursery.start_soon(one, path)
    return found


def parts(znodes: Sequence[Copied]) -> Iterator[list[Copied]]:
    """Cut into what is written in one step."""
    part: list[Copied] = []
    filled = 0
    for each in znodes:
        weight = len(each.value) + len(each.below) + 100
        if part and (filled + weight > PART_BYTES or len(part) == PART_ZNODES):
            yield part
            part, filled = [], 0
        part.append(each)
        filled += weight
    if part:
        yield part


async def write(client: Client, top: str, znodes: Sequence[Copied]) -> None:
    prefix = "" if top == "/" else top
    for part in parts(znodes):
        async with client.transaction() as txn:
            for each in part:
                txn.create(prefix + each.below, each.value, acl=each.acl)


@command(changes=True)
async def cp(shell: Shell, source: Path, target: Path) -> Done:
    """Copy a subtree to a path that is not there yet. A large one is copied part after part.

    Options:
        source: the top of the subtree
        target: the path that its copy gets; its parent has to be there

    Examples:
        cp /app/config /app/config-before
    """
    start, end = shell.path(source), shell.path(target)
    _refuse_inside("cp", start, end)
    await _refuse_existing(shell, end)
    znodes, ephemeral = await gather(shell.client, start)
    if not znodes:
        raise ShellError(f"{start} is ephemeral: it belongs to its session and cannot be copied")
    await write(shell.client, end, znodes)
    return Done(f"copied {_counted(znodes, ephemeral)} to {end}", end, znodes=len(znodes))


@command(changes=True)
async def mv(shell: Shell, source: Path, target: Path) -> Done:
    """Move a subtree, in one step: nobody sees half of it, and nothing that changes meanwhile is lost.

    Options:
        source: the top of the subtree
        target: the path that it gets; its parent has to be there

    Examples:
        mv /app/config /app/config-old
    """
    start, end = shell.path(source), shell.path(target)
    _refuse_inside("mv", start, end)
    await _refuse_existing(shell, end)
    znodes, ephemeral = await gather(shell.client, start)
    if ephemeral:
        raise ShellError(
            f"{start} has {ephemeral} ephemeral znodes, which belong to their sessions: it cannot be moved"
        )
    transaction = shell.client.transaction()
    for each in znodes:
        transaction.create(end + each.below, each.value, acl=each.acl)
    for each in reversed(znodes):
        transaction.delete(start + each.below, each.version)
    try:
        await transaction.commit()
    except RequestTooLargeError:
        raise ShellError(f"{start} is too large to be moved in one step; use cp, then rm -r") from None
    return Done(f"moved {_counted(znodes, 0)} to {end}", end, znodes=len(znodes))


ONLY_FIRST, ONLY_SECOND, OTHER_VALUE, OTHER_ACL = "only first", "only second", "other value", "other acl"


@command()
async def diff(shell: Shell, first: Path, second: Path) -> list[Difference]:
    """Where two subtrees differ: what only one of them has, other values, other ACLs. Ephemeral znodes are left out.

    Options:
        first: the top of one subtree
        second: the top of the other

    Examples:
        diff /app /app-before
    """
    one, _ = await gather(shell.client, shell.path(first))
    other, _ = await gather(shell.client, shell.path(second))
    ours, theirs = ({each.below: each for each in znodes} for znodes in (one, other))
    rows = []
    for below in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(below), theirs.get(below)
        if here is None or there is None:
            what = ONLY_FIRST if here else ONLY_SECOND
            rows.append(Difference(below, what, here.value if here else None, there.value if there else None))
        elif here.value != there.value:
            rows.append(Difference(below, OTHER_VALUE, here.value, there.value))
        elif here.acl != there.acl:
            rows.append(Difference(below, OTHER_ACL, shown_acl(here.acl).encode(), shown_acl(there.acl).encode()))
    return rows


@command()
async def export(shell: Shell, path: Path, file: File) -> Done:
    """Write a subtree to a file of JSON, with values and ACLs. Ephemeral znodes are left out.

    It is read while others write: what changes meanwhile may be in it as it was or as it is.

    Options:
        path: the top of the subtree
        file: on this machine

    Examples:
        export /app app.json
    """
    top = shell.path(path)
    znodes, ephemeral = await gather(shell.client, top)
    lines = [{"coord_export": FORMAT, "path": top}, *map(_as_json, znodes), {"znodes": len(znodes)}]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    await write_file(file, text.encode())
    return Done(f"exported {_counted(znodes, ephemeral)} to {file}", top, znodes=len(znodes))


@command(name="import", changes=True)
async def import_(
    shell: Shell, file: File, path: Path | None = None, *, overwrite: Annotated[bool, "f"] = False
) -> AsyncIterator[list[Done]]:
    """Make the subtree that a file of `export` holds.

    Options:
        file: on this machine; - is standard input
        path: where its top shall be; where it was, if not given
        overwrite: give znodes that are there the values and ACLs of the file

    Examples:
        import app.json
        import app.json /app-copy
    """
    head, znodes = read_export(file, await read_file(file))
    top = head if path is None else shell.path(path)
    if not overwrite:
        if top != "/":
            await _refuse_existing(shell, top, "; say --overwrite to give what is there the values of the file")
        await write(shell.client, top, znodes[top == "/" :])
    else:
        for each in znodes:
            where = (("" if top == "/" else top) + each.below) or "/"
            try:
                await shell.client.create(where, each.value, acl=each.acl)
            except NodeExistsError:
                async with shell.client.transaction() as txn:
                    txn.set(where, each.value)
                    txn.set_acl(where, each.acl)
    yield [Done(f"imported {_counted(znodes, 0)} to {top}", top, znodes=len(znodes))]


def _as_json(each: Copied) -> dict[str, Any]:
    try:
        value = {"value": each.value.decode()}
    except UnicodeDecodeError:
        value = {"base64": base64.b64encode(each.value).decode()}
    return {"below": each.below, **value, "acl": shown_acl(each.acl)}


def read_export(name: str, data: bytes) -> tuple[str, list[Copied]]:
    """The path and the znodes in a file of `export`. Raises ShellError if it is none, or not all of one."""
    try:
        lines = [json.loads(line) for line in data.decode().splitlines()]
        head, foot = lines[0], lines[-1]
        if head["coord_export"] != FORMAT:
            raise ShellError(f"{name} has format {head['coord_export']}, and this coord reads format {FORMAT}")
        znodes = [_from_json(line) for line in lines[1:-1]]
        whole = foot.get("znodes") == len(znodes) and str(head["path"]).startswith("/")
    except (ValueError, LookupError, TypeError, AttributeError, UsageError, binascii.Error):
        raise ShellError(f"{name} is not a file that export has written; nothing was done") from None
    if not whole:
        raise ShellError(f"{name} is not whole: its end does not fit its beginning; nothing was done")
    return str(head["path"]), znodes


def _from_json(line: dict[str, Any]) -> Copied:
    value = base64.b64decode(line["base64"], validate=True) if "base64" in line else str(line["value"]).encode()
    return Copied(str(line["below"]), value, parse_acl(line["acl"]), -1)


def _refuse_inside(name: str, start: str, end: str) -> None:
    if start == "/":
        raise UsageError(f"{name}: the root holds everything; name what is below it")
    if under(end, start):
        raise UsageError(f"{name}: {end} is inside of {start}")


async def _refuse_existing(shell: Shell, path: str, hint: str = "") -> None:
    if await shell.client.exists(path) is not None:
        raise ShellError(f"there is a znode {path} already{hint}")


def _counted(znodes: Sequence[Copied], ephemeral: int) -> str:
    count = f"{len(znodes)} znode{'s' * (len(znodes) != 1)}"
    return f"{count}, without {ephemeral} ephemeral" if ephemeral else count
