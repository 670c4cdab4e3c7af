"""Commands about the servers and their clients: status, members, leader, digest, sessions, ephemerals, who, sync."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from coord.client.addresses import parse_addresses
from coord.model.paths import name_of
from coord.shell.errors import ShellError
from coord.shell.grammar import ROOT, Path, command
from coord.shell.health import EnsembleStatus
from coord.shell.looking import Connection, connections, look
from coord.shell.reading import session_number
from coord.shell.state import Shell, join
from coord.shell.values import DigestShown, Done, Hex, Holder, Member, Moment, Owned, SessionShown
from coord.shell.walk import existing, pages, walk


@command()
async def status(shell: Shell) -> EnsembleStatus:
    """The servers of this shell's addresses: role, zxids, sessions, sizes, and what is wrong. As `coord status`.

    Examples:
        status
    """
    return await look(parse_addresses(shell.addresses)[0], ask_word=shell.ask_word)


@command(aliases=("config",))
async def members(shell: Shell) -> list[Member]:
    """The servers of the ensemble: number, address for the other servers, address for clients, role.

    Which these are stands in the settings of each server (--ensemble), and changes there.

    Examples:
        members
    """
    seen = (await look(parse_addresses(shell.addresses)[0], ask_word=shell.ask_word)).servers
    named = next((each.members for each in seen if each.members), [])
    if not named:
        raise ShellError("no server tells its members; they are in the answer to the word conf, see --words")
    by_id = {each.id: each for each in seen if each.id is not None}
    rows = []
    for each in named:
        number, _, address = each.removeprefix("server.").partition("=")
        told = by_id.get(int(number))
        rows.append(Member(int(number), address, told.address if told else None, told.role if told else None))
    return rows


@command()
async def leader(shell: Shell) -> Member:
    """The server that leads: all writes go through it.

    Examples:
        leader
    """
    leading = [each for each in await members(shell) if each.role in ("leader", "standalone")]
    if not leading:
        raise ShellError(f"none of the servers {shell.addresses} leads; status tells why")
    return leading[0]


@command()
async def digest(shell: Shell) -> list[DigestShown]:
    """The digests of the servers' states at the newest zxid that all of them know: equal, or something is very wrong.

    Examples:
        digest
    """
    seen = (await look(parse_addresses(shell.addresses)[0], ask_word=shell.ask_word)).servers
    telling = [each for each in seen if each.digests]
    if not telling:
        raise ShellError("no server tells digests yet; they do so after some writes")
    common = set.intersection(*(set(each.digests) for each in telling))
    if not common:
        raise ShellError("the servers tell no digest at the same zxid; ask again, or see status for one that is behind")
    newest = max(common)
    return [DigestShown(each.address, Hex(newest), Hex(each.digests[newest])) for each in telling]


@command()
async def sessions(shell: Shell, session: str | None = None) -> list[SessionShown]:
    """The sessions that are connected to this shell's servers: from where, to which server, and what they did last.

    Options:
        session: only this one, such as 0x1000000001

    Examples:
        sessions
        sessions 0x1000000001
    """
    wanted = None if session is None else session_number(session)
    rows = [
        SessionShown(
            Hex(each.session),
            each.client,
            each.server,
            each.timeout_ms,
            each.last_operation,
            each.session == shell.client.session.id,
        )
        for each in await _connections(shell)
        if wanted is None or each.session == wanted
    ]
    if wanted is not None and not rows:
        raise ShellError(f"session {wanted:#x} is connected to none of the servers {shell.addresses}")
    return rows


async def _connections(shell: Shell) -> list[Connection]:
    return await connections(parse_addresses(shell.addresses)[0], ask_word=shell.ask_word)


@command(aliases=("getEphemerals",))
async def ephemerals(
    shell: Shell,
    path: Path = ROOT,
    *,
    all: Annotated[bool, "a"] = False,
    session: Annotated[str | None, "s"] = None,
) -> AsyncIterator[list[Owned]]:
    """The ephemeral znodes of this shell's session, of another one, or of all.

    Options:
        path: only at this path and below it
        all: of all sessions, with their session
        session: of this session, such as 0x1000000001

    Examples:
        ephemerals --all /locks
        ephemerals --session 0x1000000001
    """
    top = shell.path(path)
    own = shell.client.session.id
    if not all and session is None:
        yield [Owned(Hex(own), each) for each in sorted(await shell.client.ephemerals(top))]
        return
    wanted = None if session is None else session_number(session)
    async with aclosing(walk(shell.client, top)) as found:
        async for some in found:
            rows = [Owned(Hex(each.stat.ephemeral_owner), each.path) for each in some if each.stat]
            yield [row for row in rows if row.session and wanted in (None, row.session)]


@command()
async def who(shell: Shell, path: Path) -> Holder:
    """Which session holds a lock, and from where: the owner of an ephemeral znode, or of the first in a queue below it.

    The first is the ephemeral child with the lowest sequence number, as locks and elections have it.

    Examples:
        who /locks/db
    """
    where = shell.path(path)
    stat = await existing(shell.client, where)
    if not stat.ephemeral_owner:
        first = None
        async with aclosing(pages(shell.client, where)) as read:
            async for page in read:
                queued = [
                    (_place(each.name), each.name) for each in page.children if each.stat and each.stat.ephemeral_owner
                ]
                first = min([*queued, *([first] if first else [])], default=None)
        if first is None:
            raise ShellError(f"{where} is not ephemeral and has no ephemeral children: no session holds it")
        where = join(where, first[1])
    value, stat = await shell.client.get(where)
    session = Hex(stat.ephemeral_owner)
    at = next((each for each in await _connections(shell) if each.session == session), None)
    return Holder(where, session, at.client if at else None, at.server if at else None, Moment(stat.ctime), value)


def _place(name: str) -> tuple[int, str]:
    """By the sequence number at the end; what has none comes last."""
    found = re.search(r"[0-9]{10}$", name_of(name))
    return (int(found.group()), name) if found else (1 << 62, name)


@command()
async def sync(shell: Shell, path: Path = ROOT) -> Done:
    """What is read after this is not older than anything anyone was told before it.

    Options:
        path: without meaning, as in ZooKeeper

    Examples:
        sync
    """
    await shell.client.sync(shell.path(path))
    return Done("Sync is OK", zxid=Hex(shell.client.session.seen_zxid))
