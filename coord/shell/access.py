"""Commands about who may do what, and how much: whoami, auth, acl, quota."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

import trio

from coord.client.quotas import Quota, Usage
from coord.model.acl import Acl, Permission
from coord.model.errors import BadVersionError, CoordError, NoNodeError, SessionLostError
from coord.shell.acls import parse_acl
from coord.shell.copying import acls_of
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import HERE, Count, Path, command
from coord.shell.state import Shell
from coord.shell.values import AccessList, Done, Hex, Identities, ListedAccess, QuotaShown
from coord.shell.walk import existing, walk
from coord.state.acl import allowed

AT_ONCE = 500
"""ACLs that are set at the same time."""


@command()
async def whoami(shell: Shell) -> Identities:
    """Who this shell is to the servers, its session, and the server it is connected to.

    Examples:
        whoami
    """
    identities = await shell.client.whoami()
    server = shell.client.server
    return Identities(Hex(shell.client.session.id), server.address if server else "", identities)


@command(aliases=("addauth",))
async def auth(shell: Shell, scheme: str, credentials: str = "") -> Done:
    """Be somebody more, for as long as this shell runs.

    Options:
        scheme: such as digest
        credentials: for digest a name and a password, ann:secret

    Examples:
        auth digest ann:secret
    """
    await shell.client.authenticate(scheme, credentials)
    return Done(f"authenticated with scheme {scheme}")


@command(name="acl get", aliases=("getAcl",))
async def acl_get(
    shell: Shell,
    path: Path = HERE,
    *,
    recursive: Annotated[bool, "R"] = False,
    stat: Annotated[bool, "s"] = False,
) -> AsyncIterator[list[AccessList | ListedAccess]]:
    """Who may do what with a znode.

    Who may not change an ACL is told digest identities without their hash, as ann:x.

    Options:
        recursive: of all that is below it too, a line a znode
        stat: with the stat

    Examples:
        acl get /app
        acl get -R /app
    """
    where = shell.path(path)
    if not recursive:
        acl, found = await shell.client.get_acl(where)
        yield [AccessList(where, acl, found if stat else None)]
        return
    async with aclosing(walk(shell.client, where)) as walked:
        async for some in walked:
            acls = await acls_of(shell.client, [each.path for each in some if each.stat])
            yield [ListedAccess(each.path, acls.get(each.path)) for each in some if not each.stat or each.path in acls]


@command(name="acl set", aliases=("setAcl",), changes=True)
async def acl_set(
    shell: Shell,
    path: Path,
    acl: str,
    *,
    recursive: Annotated[bool, "R"] = False,
    force: Annotated[bool, "f"] = False,
    version: Annotated[int, "v"] = -1,
    stat: Annotated[bool, "s"] = False,
) -> AsyncIterator[list[Done | AccessList]]:
    """Say who may do what with a znode. Letters: c create, d delete children, r read, w write, a change the ACL.

    At the prompt it asks if nobody that this shell is could change the ACL again. With -R the lowest come first and the
    znode itself last, so that whatever it is set to, all is reached.

    Options:
        acl: scheme:id:permissions, with commas between several
        recursive: for all that is below it too
        force: do not ask
        version: only if its ACL still has this version
        stat: show the stat it has now

    Examples:
        acl set /app world:anyone:r,auth::cdrwa
        acl set -R /app digest:ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=:cdrwa
    """
    where, entries = shell.path(path), parse_acl(acl)
    if shell.ask is not None and not force and await _loses(shell, entries):
        await shell.confirm(f"{acl} lets nobody that this shell is change the ACL again. Set it?", False)
    below = await _set_below(shell, where, entries, version) if recursive else 0
    await shell.client.set_acl(where, entries, version)
    also = f" and of {below} znode{'s' * (below != 1)} below it" if recursive else ""
    yield [Done(f"the ACL of {where}{also} was set", where, znodes=below + 1)]
    if stat:
        now, found_stat = await shell.client.get_acl(where)
        yield [AccessList(where, now, found_stat)]


async def _loses(shell: Shell, acl: Acl) -> bool:
    """Whether this shell could not change such an ACL again. Of digest identities only the names are known to it."""
    if any(scheme == "auth" and bits & Permission.ADMIN for bits, scheme, _ in acl):
        return False
    known = await shell.client.whoami()
    plain = tuple([(bits, scheme, id.partition(":")[0] if scheme == "digest" else id) for bits, scheme, id in acl])
    return not allowed(plain, Permission.ADMIN, tuple(known))


async def _set_below(shell: Shell, top: str, acl: Acl, version: int) -> int:
    """Set the ACL of all that is below; how many that is. Raises ShellError, which tells how many had been set."""
    if version != -1 and (await existing(shell.client, top)).aversion != version:
        raise BadVersionError(f"the ACL of {top} does not have version {version}; read it again")
    paths = []
    async with aclosing(walk(shell.client, top)) as found:
        async for some in found:
            paths += [each.path for each in some if each.depth]
    paths.reverse()
    done = 0
    for start in range(0, len(paths), AT_ONCE):
        some_done, error = await _set_each(shell, paths[start : start + AT_ONCE], acl)
        done += some_done
        if isinstance(error, SessionLostError):
            raise error
        if error is not None:
            raise ShellError(f"{error}; the ACLs of {done} of {len(paths)} znodes below {top} were set")
    return done


async def _set_each(shell: Shell, paths: list[str], acl: Acl) -> tuple[int, CoordError | None]:
    """All at the same time; what has been deleted meanwhile is left out. How many were set, and the first error."""
    done = 0
    errors: list[CoordError] = []

    async def one(path: str) -> None:
        nonlocal done
        try:
            await shell.client.set_acl(path, acl)
            done += 1
        except NoNodeError:
            pass
        except CoordError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(one, path)
    return done, errors[0] if errors else None


# ---- quotas


@command(name="quota get", aliases=("listquota",))
async def quota_get(shell: Shell, path: Path = HERE) -> QuotaShown:
    """The limits of a subtree, and what it holds.

    Examples:
        quota get /app
    """
    where = shell.path(path)
    found = await shell.client.get_quota(where)
    if found is None:
        raise ShellError(f"{where} has no quota")
    return _shown(where, found)


def _shown(path: str, found: Usage) -> QuotaShown:
    quota = found.quota
    return QuotaShown(path, found.znodes, found.bytes, quota.znodes, quota.bytes, quota.znodes_hard, quota.bytes_hard)


@command(name="quota set", aliases=("setquota",), changes=True)
async def quota_set(
    shell: Shell,
    path: Path,
    *,
    znodes: Annotated[Count | None, "n"] = None,
    bytes: Annotated[Count | None, "b"] = None,
    znodes_hard: Annotated[Count | None, "N"] = None,
    bytes_hard: Annotated[Count | None, "B"] = None,
) -> Done:
    """Limit a subtree. What is over a soft limit is told to the operator, what would be over a hard one is refused.

    Limits that are not named stay as they are.

    Options:
        znodes: soft limit of znodes, the top included
        bytes: soft limit of bytes of values
        znodes_hard: hard limit of znodes
        bytes_hard: hard limit of bytes

    Examples:
        quota set --znodes-hard 1000 /app
    """
    where = shell.path(path)
    wanted = Quota(znodes, bytes, znodes_hard, bytes_hard)
    if wanted == Quota():
        raise UsageError("quota set: name at least one limit: -n, -b, -N or -B")
    await existing(shell.client, where)
    found = await shell.client.get_quota(where)
    now = found.quota if found else Quota()
    for name in ("znodes", "bytes", "znodes_hard", "bytes_hard"):
        if getattr(wanted, name) is None:
            setattr(wanted, name, getattr(now, name))
    await shell.client.set_quota(where, wanted)
    return Done(f"the quota of {where} was set", where)


@command(name="quota rm", aliases=("delquota",), changes=True)
async def quota_rm(
    shell: Shell,
    path: Path,
    *,
    znodes: Annotated[bool, "n"] = False,
    bytes: Annotated[bool, "b"] = False,
    znodes_hard: Annotated[bool, "N"] = False,
    bytes_hard: Annotated[bool, "B"] = False,
) -> Done:
    """Take limits of a subtree away: those that are named, or all.

    Options:
        znodes: the soft limit of znodes
        bytes: the soft limit of bytes
        znodes_hard: the hard limit of znodes
        bytes_hard: the hard limit of bytes

    Examples:
        quota rm /app
    """
    where = shell.path(path)
    found = await shell.client.get_quota(where)
    if found is None:
        raise ShellError(f"{where} has no quota")
    named = {"znodes": znodes, "bytes": bytes, "znodes_hard": znodes_hard, "bytes_hard": bytes_hard}
    for name, gone in named.items():
        if gone or not any(named.values()):
            setattr(found.quota, name, None)
    await shell.client.set_quota(where, None if found.quota == Quota() else found.quota)
    return Done(
        f"the quota of {where} was taken away" if found.quota == Quota() else f"the quota of {where} was changed", where
    )
