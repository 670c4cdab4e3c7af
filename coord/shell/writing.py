"""Commands that change znodes: create, set, edit, rm, txn. rm -r says how much it is, and asks."""

import os
import shlex
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path as LocalPath
from typing import Annotated

import trio

from coord.client.transaction import Transaction
from coord.model.errors import CoordError, NoNodeError, TooLargeError
from coord.model.stat import Stat
from coord.shell.acls import parse_acl
from coord.shell.errors import ShellError, UsageError
from coord.shell.files import read_file
from coord.shell.grammar import Commands, Count, File, Path, command, split
from coord.shell.state import Shell, join
from coord.shell.units import age_s
from coord.shell.values import Done, Hex, StepDone, ZnodeStat
from coord.shell.walk import existing


@command(changes=True)
async def create(
    shell: Shell,
    path: Path,
    value: str = "",
    acl: str | None = None,
    *,
    ephemeral: Annotated[bool, "e"] = False,
    sequential: Annotated[bool, "s"] = False,
    container: Annotated[bool, "c"] = False,
    ttl_ms: Annotated[int | None, "t"] = None,
    ttl: str | None = None,
    parents: Annotated[bool, "p"] = False,
    file: Annotated[File | None, "i"] = None,
) -> Done:
    """Make a znode; says the path it got.

    Options:
        value: text; quote it if it has spaces, '{"like": "this"}'
        acl: who may do what, such as world:anyone:r,auth::cdrwa; anyone all, if not given
        ephemeral: it ends with this shell's session
        sequential: a number is put behind its name
        container: it is deleted some time after its last child
        ttl_ms: milliseconds unchanged and without children after which it is deleted
        ttl: the same as 90s, 15m, 2h, 3d
        parents: make what is missing above it too
        file: the value is what this file holds; - is standard input

    Examples:
        create /app
        create -p /app/config/db '{"host": "10.0.0.5"}'
        create -e -s /locks/db/lock-
        create /app/logo --file logo.png
    """
    where = _new_path(shell, path, sequential)
    made = await shell.client.create(
        where, await given_value(shell, value, file), ephemeral=ephemeral, sequential=sequential, container=container,
        ttl=_ttl_s(ttl_ms, ttl), parents=parents, acl=None if acl is None else parse_acl(acl),
    )  # fmt: skip
    return Done(f"Created {made}", made)


def _new_path(shell: Shell, path: Path, sequential: bool) -> str:
    """Of a znode to be made. /a/ and sequential, as in ZooKeeper: a child of /a whose name is a number."""
    where = shell.path(path)
    return f"{where}/" if sequential and path.endswith("/") and where != "/" else where


def _ttl_s(ttl_ms: int | None, ttl: str | None) -> float | None:
    if ttl_ms is not None and ttl is not None:
        raise UsageError("create: give --ttl or --ttl-ms, not both")
    return age_s(ttl) if ttl is not None else None if ttl_ms is None else ttl_ms / 1000


@command(name="set", changes=True)
async def set_(
    shell: Shell,
    path: Path,
    value: str | None = None,
    *,
    version: Annotated[int, "v"] = -1,
    stat: Annotated[bool, "s"] = False,
    file: Annotated[File | None, "i"] = None,
) -> AsyncIterator[list[Done | ZnodeStat]]:
    """Give a znode another value.

    Options:
        value: text; quote it if it has spaces; '' empties it
        version: only if it still has this version
        stat: show the stat it has now
        file: the value is what this file holds; - is standard input

    Examples:
        set /app/config on
        set -v 3 /app/config off
        set /app/config --file config.json
    """
    where = shell.path(path)
    if value is None and file is None:
        raise UsageError("set: give the value, or --file; '' empties the znode")
    now = await shell.client.set(where, await given_value(shell, value, file), version)
    yield [_was_set(where, now)]
    if stat:
        yield [ZnodeStat(where, now)]


def _was_set(path: str, now: Stat) -> Done:
    return Done(f"{path} has version {now.version}", path, now.version, Hex(now.mzxid))


@command(changes=True)
async def edit(shell: Shell, path: Path) -> Done:
    """Edit a value in $EDITOR. If somebody else changed it meanwhile nothing is overwritten, and your text is kept.

    A line break that the editor puts behind the last line is not kept if there was none before.

    Examples:
        edit /app/config
    """
    where = shell.path(path)
    if shell.ask is None:
        raise ShellError("edit needs a terminal; use set --file")
    before, stat = await shell.client.get(where)
    try:
        before.decode()
    except UnicodeDecodeError:
        raise ShellError(
            f"{where} holds {len(before)} bytes that are no text, which editors spoil; use get --out and set --file"
        ) from None
    folder = LocalPath(tempfile.mkdtemp(prefix="coord-edit-"))
    copy = folder / (where.rpartition("/")[2] or "root")
    copy.write_bytes(before)
    editor = [*shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"), str(copy)]
    try:
        ended = await trio.run_process(editor, stdin=None, check=False)
    except OSError as error:
        raise ShellError(f"the editor {editor[0]!r} cannot be started: {error.strerror}; set $EDITOR") from None
    try:
        after = copy.read_bytes()
    except OSError:
        raise ShellError(f"the editor has left no file {copy}; nothing was changed") from None
    if not before.endswith(b"\n"):
        after = after.removesuffix(b"\n")
    if ended.returncode or after == before:
        _forget(copy)
        return Done("nothing was changed", where, stat.version)
    try:
        now = await shell.client.set(where, after, stat.version)
    except CoordError as error:
        raise ShellError(f"{error}; what you wrote is kept in {copy}") from None
    _forget(copy)
    return _was_set(where, now)


def _forget(copy: LocalPath) -> None:
    copy.unlink()
    copy.parent.rmdir()


@command(aliases=("delete",), changes=True)
async def rm(
    shell: Shell,
    path: Path,
    *,
    recursive: Annotated[bool, "r", "R"] = False,
    force: Annotated[bool, "f"] = False,
    version: Annotated[int, "v"] = -1,
) -> Done:
    """Delete a znode; with -r all that is below it too, after saying how many znodes that is and asking.

    A subtree is deleted at once, or, if it is too large for that, in parts.

    Options:
        recursive: with all that is below it
        force: do not ask; needed in scripts
        version: only if it still has this version

    Examples:
        rm /app/old
        rm -r /app
    """
    where = shell.path(path)
    if not recursive:
        await shell.client.delete(where, version)
        return Done(f"deleted {where}", where, znodes=1)
    if where == "/":
        raise ShellError("the root cannot be deleted; name what is below it")
    await existing(shell.client, where)
    count = 1 + await shell.client.count_descendants(where)
    if count == 1:
        await shell.client.delete(where, version)
        return Done(f"deleted {where}", where, znodes=1)
    await shell.confirm(f"Delete {where} and all below it, {count} znodes?", force)
    await _delete_tree(shell, where, version)
    return Done(f"deleted {where}, {count} znodes", where, znodes=count)


NONE = Count(0)


@command(aliases=("rmr",), changes=True)
async def deleteall(
    shell: Shell, path: Path, *, force: Annotated[bool, "f"] = False, batch: Annotated[Count, "b"] = NONE
) -> Done:
    """As rm -r, under the name that zkCli has for it.

    Options:
        force: do not ask; needed in scripts
        batch: taken and not needed: a subtree is deleted at once

    Examples:
        deleteall /app
    """
    return await rm(shell, path, recursive=True, force=force)


async def _delete_tree(shell: Shell, top: str, version: int) -> None:
    """At once if the servers take it, else its parts first: a stack of subtrees, so that no depth is too much."""
    stack = [top]
    while stack:
        path = stack[-1]
        try:
            await shell.client.delete(path, version if path == top else -1, recursive=True)
            stack.pop()
        except NoNodeError:
            if path == top:
                raise
            stack.pop()
        except TooLargeError:
            page = await shell.client.children_page(path)
            large = [child.name for child in page.children if child.stat is not None and child.stat.children_count]
            leaves = {child.name for child in page.children}.difference(large)
            await _delete_all(shell, [join(path, name) for name in sorted(leaves)])
            stack += [join(path, name) for name in large]


async def _delete_all(shell: Shell, paths: list[str]) -> None:
    """In one step; or, if that is refused, one by one. Raises the first error if none of them could be deleted."""
    try:
        async with shell.client.transaction() as txn:
            for each in paths:
                txn.delete(each)
    except CoordError:
        async with shell.client.pipeline(keep_errors=True) as pipe:
            outcomes = [pipe.delete(each) for each in paths]
        errors = [each.error for each in outcomes if not isinstance(each.error, NoNodeError | None)]
        if errors and len(errors) == len(outcomes):
            raise errors[0] from None


# ---- transactions


@command(changes=True)
async def txn(shell: Shell, steps: list[str]) -> list[StepDone]:
    """Several steps at once, all or none. Each is a command in quotes: create, set, rm, check.

    check PATH [-v VERSION] [--value TEXT] [--absent]: go on only if it is so.

    Options:
        steps: each with its own quotes around it

    Examples:
        txn 'check /from --value 10' 'set /from 3' 'set /to 7'
        txn 'create /app' 'create /app/config on' 'rm /old -v 4'
    """
    transaction = shell.client.transaction()
    told: list[tuple[str, str]] = []
    for text in steps:
        words = split(text)
        if not words:
            raise UsageError("txn: a step is empty; it is a command such as 'set /a on'")
        if words[0].lower() not in STEPS.by_name:
            raise UsageError(f"txn: {words[0]!r:.60} is no step; steps are create, set, rm and check")
        step, rest = STEPS.find(words)
        arguments = step.parse(rest)
        arguments["path"] = _new_path(shell, arguments["path"], arguments.get("sequential", False))
        step.function(transaction, **arguments)
        told.append((text, arguments["path"]))
    try:
        results = await transaction.commit()
    except CoordError as error:
        if error.step is None:
            raise
        raise ShellError(f"nothing was done: step {error.step + 1}, {told[error.step][0]}: {error}") from None
    rows = []
    for number, ((text, path), result) in enumerate(zip(told, results, strict=True), 1):
        version = result.version if isinstance(result, Stat) else None
        rows.append(StepDone(number, text, result if isinstance(result, str) else path, version))
    return rows


@command(name="create")
def create_step(
    transaction: Transaction,
    path: Path,
    value: str = "",
    acl: str | None = None,
    *,
    ephemeral: Annotated[bool, "e"] = False,
    sequential: Annotated[bool, "s"] = False,
    container: Annotated[bool, "c"] = False,
    ttl_ms: Annotated[int | None, "t"] = None,
    ttl: str | None = None,
    parents: Annotated[bool, "p"] = False,
) -> None:
    """Make a znode."""
    transaction.create(
        path, value.encode("utf-8", "surrogateescape"), ephemeral=ephemeral, sequential=sequential, container=container,
        ttl=_ttl_s(ttl_ms, ttl), parents=parents, acl=None if acl is None else parse_acl(acl),
    )  # fmt: skip


@command(name="set")
def set_step(transaction: Transaction, path: Path, value: str, *, version: Annotated[int, "v"] = -1) -> None:
    """Give a znode another value."""
    transaction.set(path, value.encode("utf-8", "surrogateescape"), version)


@command(name="rm", aliases=("delete",))
def rm_step(
    transaction: Transaction,
    path: Path,
    *,
    version: Annotated[int, "v"] = -1,
    recursive: Annotated[bool, "r", "R"] = False,
) -> None:
    """Delete a znode."""
    transaction.delete(path, version, recursive=recursive)


@command(name="check")
def check_step(
    transaction: Transaction,
    path: Path,
    *,
    version: Annotated[int | None, "v"] = None,
    value: str | None = None,
    absent: bool = False,
) -> None:
    """Go on only if it is so."""
    if (version is not None) + (value is not None) + absent > 1:
        raise UsageError("check: give one of --version, --value and --absent; a check is one step")
    if version is not None:
        transaction.check(path, version=version)
    elif value is not None:
        transaction.check(path, value=value.encode("utf-8", "surrogateescape"))
    else:
        transaction.check(path, exists=not absent)


STEPS = Commands({"steps": (create_step, set_step, rm_step, check_step)})


# ---- helpers


async def given_value(shell: Shell, text: str | None, file: str | None) -> bytes:
    """The value as it was typed, or what the file holds."""
    if file is None:
        return (text or "").encode("utf-8", "surrogateescape")  # bytes that are no text come as they are
    if text:
        raise UsageError("give the value or --file, not both")
    return await read_file(shell, file)
