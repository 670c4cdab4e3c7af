"""Commands about who may do what, and how much: whoami, auth, acl, quota."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from coord.client.quotas import Quota, Usage
from coord.shell.acls import parse_acl
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import HERE, Path, command
from coord.shell.state import Shell
from coord.shell.values import AccessList, Done, Hex, Identities, QuotaShown
from coord.shell.walk import existing, walk


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
async def acl_get(shell: Shell, path: Path = HERE, *, stat: Annotated[bool, "s"] = False) -> AccessList:
    """Who may do what with a znode.

    Options:
        stat: with the stat

    Examples:
        acl get /app
    """
    where = shell.path(path)
    acl, found = await shell.client.get_acl(where)
    return AccessList(where, acl, found if stat else None)


@command(name="acl set", aliases=("setAcl",), changes=True)
async def acl_set(
    shell: Shell,
    path: Path,
    acl: str,
    *,
    recursive: Annotated[bool, "R"] = False,
    version: Annotated[int, "v"] = -1,
    stat: Annotated[bool, "s"] = False,
) -> AsyncIterator[list[Done | AccessList]]:
    """Say who may do what with a znode. Letters: c create, d delete children, r read, w write, a change the ACL.

    Options:
        acl: scheme:id:permissions, with commas between several
        recursive: for all that is below it too
        version: only if its ACL still has this version
        stat: show the stat it has now

    Examples:
        acl set /app world:anyone:r,auth::cdrwa
        acl set -R /app digest:ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=:cdrwa
    """
    where, entries, changed = shell.path(path), parse_acl(acl), 0
    if not recursive:
        await shell.client.set_acl(where, entries, version)
        yield [Done(f"the ACL of {where} was set", where, znodes=1)]
    else:
        async with aclosing(walk(shell.client, where)) as found:
            async for some in found:
                for each in some:
                    await shell.client.set_acl(each.path, entries, version if each.path == where else -1)
                    changed += 1
        yield [Done(f"the ACL of {where} and of {changed - 1} znodes below it was set", where, znodes=changed)]
    if stat:
        now, found_stat = await shell.client.get_acl(where)
        yield [AccessList(where, now, found_stat)]


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
    znodes: Annotated[int | None, "n"] = None,
    bytes: Annotated[int | None, "b"] = None,
    znodes_hard: Annotated[int | None, "N"] = None,
    bytes_hard: Annotated[int | None, "B"] = None,
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
    if min(each for each in (znodes, bytes, znodes_hard, bytes_hard) if each is not None) < 0:
        raise UsageError("quota set: a limit is a number from 0; quota rm takes one away")
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
