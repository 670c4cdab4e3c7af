"""Commands for whole subtrees: cp, mv, diff, export, import. They keep values, kinds and ACLs.

Ephemeral znodes belong to their session and are left out, and counted. Whoever may read a znode and not change its
ACL is not told whole ACLs; such a subtree is refused, for its copy would be nobody's.

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
from coord.client.transaction import Transaction
from coord.model.acl import Acl
from coord.model.errors import CoordError, NodeExistsError, NoNodeError, RequestTooLargeError, SessionLostError
from coord.model.message import message
from coord.model.stat import CONTAINER_LIFETIME
from coord.shell.acls import parse_acl, shown_acl
from coord.shell.errors import ShellError, UsageError
from coord.shell.files import STANDARD, read_file, write_file
from coord.shell.grammar import File, Path, command
from coord.shell.kinds import CONTAINER, PERSISTENT
from coord.shell.state import Shell, under
from coord.shell.values import Bytes, Difference, Done
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
    lifetime_ms: int = 0  # as in Stat

    def kind(self) -> str:
        """In words."""
        return f"TTL {self.lifetime_ms} ms" if self.lifetime_ms > 0 else CONTAINER if self.lifetime_ms else PERSISTENT

    def create(self, txn: Transaction, path: str) -> None:
        ttl = self.lifetime_ms / 1000 if self.lifetime_ms > 0 else None
        txn.create(path, self.value, acl=self.acl, container=self.lifetime_ms == CONTAINER_LIFETIME, ttl=ttl)


async def gather(client: Client, top: str, *, to_be_made: bool = True) -> tuple[list[Copied], int]:
    """The subtree's znodes, parents first, and the number of ephemeral ones, which are left out.

    `to_be_made`: the same znodes will be made elsewhere, so that nothing may be missing. Raises ShellError.
    """
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
                if to_be_made:
                    _refuse_masked(each.path, acls[each.path])
                below = each.path[len(top) :] if top != "/" else each.path if each.path != "/" else ""
                found.append(Copied(below, each.data, acls[each.path], each.stat.version, each.stat.lifetime_ms))
    return found, ephemeral


def _refuse_masked(path: str, acl: Acl) -> None:
    for _, scheme, identifier in acl:
        if scheme == "digest" and identifier.endswith(":x"):  # no hash is so short: it was left out
            raise ShellError(
                f"the ACL of {path} is told only to who may change it; authenticate as such first, with auth"
            )


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
    """Part by part. Raises ShellError, which says so if a part of it was done."""
    prefix = "" if top == "/" else top
    done = 0
    for part in parts(znodes):
        try:
            async with client.transaction() as txn:
                for each in part:
                    each.create(txn, prefix + each.below)
        except CoordError as error:
            if not done or isinstance(error, SessionLostError):
                raise
            raise ShellError(f"{error}; {done} of {len(znodes)} znodes were made before that at {top}") from None
        done += len(part)


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
        each.create(transaction, end + each.below)
    for each in reversed(znodes):
        transaction.delete(start + each.below, each.version)
    try:
        await transaction.commit()
    except RequestTooLargeError:
        raise ShellError(f"{start} is too large to be moved in one step; use cp, then rm -r") from None
    return Done(f"moved {_counted(znodes, 0)} to {end}", end, znodes=len(znodes))


ONLY_FIRST, ONLY_SECOND = "only first", "only second"
OTHER_VALUE, OTHER_KIND, OTHER_ACL = "other value", "other kind", "other acl"


@command()
async def diff(shell: Shell, first: Path, second: Path) -> list[Difference]:
    """Where two subtrees differ: what only one has, other values, kinds, ACLs. Ephemeral znodes are left out.

    Options:
        first: the top of one subtree
        second: the top of the other

    Examples:
        diff /app /app-before
    """
    one, _ = await gather(shell.client, shell.path(first), to_be_made=False)
    other, _ = await gather(shell.client, shell.path(second), to_be_made=False)
    ours, theirs = ({each.below: each for each in znodes} for znodes in (one, other))
    rows = []
    for below in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(below), theirs.get(below)
        if here is None or there is None:
            what = ONLY_FIRST if here else ONLY_SECOND
            rows.append(Difference(below, what, here.value if here else None, there.value if there else None))
        elif here.value != there.value:
            rows.append(Difference(below, OTHER_VALUE, here.value, there.value))
        elif here.lifetime_ms != there.lifetime_ms:
            rows.append(Difference(below, OTHER_KIND, here.kind().encode(), there.kind().encode()))
        elif here.acl != there.acl:
            rows.append(Difference(below, OTHER_ACL, shown_acl(here.acl).encode(), shown_acl(there.acl).encode()))
    return rows


@command()
async def export(shell: Shell, path: Path, file: File) -> Done | Bytes:
    """Write a subtree to a file of JSON, with values, kinds and ACLs. Ephemeral znodes are left out.

    It is read while others write: what changes meanwhile may be in it as it was or as it is.

    Options:
        path: the top of the subtree
        file: on this machine; - is standard output

    Examples:
        export /app app.json
    """
    top = shell.path(path)
    znodes, ephemeral = await gather(shell.client, top)
    lines = [{"coord_export": FORMAT, "path": top}, *map(_as_json, znodes), {"znodes": len(znodes)}]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if file == STANDARD:
        return Bytes(text.encode())
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
        overwrite: give znodes that are there the values and ACLs of the file; they keep their kinds

    Examples:
        import app.json
        import app.json /app-copy
    """
    head, znodes = read_export(file, await read_file(shell, file))
    top = head if path is None else shell.path(path)
    if not overwrite:
        if top != "/":
            await _refuse_existing(shell, top, "; say --overwrite to give what is there the values of the file")
        await write(shell.client, top, znodes[top == "/" :])
    else:
        for each in znodes:
            where = (("" if top == "/" else top) + each.below) or "/"
            try:
                async with shell.client.transaction() as txn:
                    each.create(txn, where)
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
    ttl = {"ttl_ms": each.lifetime_ms} if each.lifetime_ms > 0 else {}
    container = {"container": True} if each.lifetime_ms == CONTAINER_LIFETIME else {}
    return {"below": each.below, **value, "acl": _acl_as_json(each.acl), **ttl, **container}


def _acl_as_json(acl: Acl) -> str | Acl:
    """As people write it; entry by entry where that would not be read again, as with a comma in a name."""
    text = shown_acl(acl)
    with suppress(UsageError):
        if parse_acl(text) == acl:
            return text
    return acl


def _acl_from_json(value: Any) -> Acl:
    if isinstance(value, str):
        return parse_acl(value)
    return tuple([(int(permissions), str(scheme), str(identifier)) for permissions, scheme, identifier in value])


def read_export(name: str, data: bytes) -> tuple[str, list[Copied]]:
    """The path and the znodes in a file of `export`. Raises ShellError if it is none, or not all of one."""
    try:
        lines = [json.loads(line) for line in data.decode().split("\n") if line]
        head, foot = lines[0], lines[-1]
        if head["coord_export"] != FORMAT:
            raise ShellError(f"{name} has format {head['coord_export']}, and this coord reads format {FORMAT}")
        znodes = [_from_json(line) for line in lines[1:-1]]
        whole = foot.get("znodes") == len(znodes) and str(head["path"]).startswith("/")
    except (ValueError, LookupError, TypeError, AttributeError, UsageError, RecursionError, binascii.Error):
        raise ShellError(f"{name} is not a file that export has written; nothing was done") from None
    if not whole:
        raise ShellError(f"{name} is not whole: its end does not fit its beginning; nothing was done")
    return str(head["path"]), znodes


def _from_json(line: dict[str, Any]) -> Copied:
    value = base64.b64decode(line["base64"], validate=True) if "base64" in line else str(line["value"]).encode()
    ttl_ms = line.get("ttl_ms", 0)
    if type(ttl_ms) is not int or ttl_ms < 0:
        raise ValueError("a TTL is a number of milliseconds")
    lifetime_ms = CONTAINER_LIFETIME if line.get("container") else ttl_ms
    return Copied(str(line["below"]), value, _acl_from_json(line["acl"]), -1, lifetime_ms)


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
