"""`coord snapshot`: what is in stored snapshots, and whether they are what was written."""

from collections.abc import Sequence

from coord.cli.arguments import argument
from coord.cli.looking_back import Look, add_source, at_or_below, make_parser, place, run_look, znode_path
from coord.cli.options import parsed
from coord.past.differences import compare
from coord.past.errors import PastDamaged, PastError
from coord.past.looking import Place, restored, state_before
from coord.past.source import Overview, Source, StoredSnapshot
from coord.shell.acls import told_acl
from coord.shell.errors import UsageError
from coord.shell.kinds import kind_named
from coord.shell.past_values import (
    SessionKept,
    SnapshotShown,
    ZnodeShown,
    difference_shown,
)
from coord.shell.values import Done, Hex, Moment
from coord.state.machine import Machine

DESCRIPTION = """\
Stored snapshots: the state at one zxid each.

  coord snapshot verify                         all that are there, read to their ends
  coord snapshot dump                           the newest: its znodes and sessions
  coord snapshot compare 0x100 0x200            what differs in two of them
  coord snapshot compare 0x200                  one with the state that an older one and the log lead to
"""
ROWS = 1000
"""Of a dump so many are made together."""


def main(arguments: Sequence[str]) -> int:
    made = make_parser("snapshot", "dump|verify|compare [ZXID ...] [--data DIR] [--json]", DESCRIPTION)
    commands = made.add_subparsers(dest="command", metavar="dump|verify|compare", required=True)
    dump = commands.add_parser("dump", help="what one holds")
    dump.add_argument(
        "zxid", metavar="ZXID", type=argument(place), nargs="?", help="of the snapshot (default: the newest)"
    )
    dump.add_argument(
        "path", metavar="PATH", type=argument(znode_path), nargs="?", default="/", help="only this and what is below it"
    )
    dump.add_argument("-v", "--values", action="store_true", help="with the values")
    verify = commands.add_parser("verify", help="read it to its end")
    verify.add_argument("zxid", metavar="ZXID", type=argument(place), nargs="?", help="of the snapshot (default: all)")
    both = commands.add_parser("compare", help="two of them, or one with the log")
    both.add_argument("zxid", metavar="ZXID", type=argument(place), help="of the older one, or of the only one")
    both.add_argument("other", metavar="ZXID", type=argument(place), nargs="?", help="of the newer one")
    both.add_argument("-v", "--values", action="store_true", help="with the values")
    for each in (dump, verify, both):
        add_source(each)
    options = parsed(made, arguments)
    work = {"dump": show, "verify": check, "compare": show_differences}[options.command]
    return run_look(f"snapshot {options.command}", options, work)


async def show(look: Look, source: Source) -> None:
    options = look.options
    wanted = at_or_below(options.path)
    overview = await source.overview()
    stored = _stored(source, overview, options.zxid)
    machine = await restored(source, stored.zxid, look.progress, stored.size_bytes)
    await look.show([_head(stored, machine)])
    await look.show(
        [
            SessionKept(Hex(each.id), each.timeout_ms, each.owner, len(each.ephemerals))
            for each in machine.sessions.values()
        ]
    )
    paths = sorted(filter(wanted, machine.tree.nodes))
    for start in range(0, len(paths), ROWS):
        await look.show([_znode(machine, path, options.values) for path in paths[start : start + ROWS]])


async def check(look: Look, source: Source) -> None:
    overview = await source.overview()
    chosen = overview.snapshots if look.options.zxid is None else [_stored(source, overview, look.options.zxid)]
    if not chosen:
        raise PastError(f"{source.name} has no snapshot yet")
    bad = 0
    for each in chosen:
        try:
            machine = await restored(source, each.zxid, look.progress, each.size_bytes)
        except PastDamaged as damaged:
            bad += 1
            await look.show([SnapshotShown(Hex(each.zxid), None, None, None, each.size_bytes, None, str(damaged))])
        else:
            await look.show([_head(each, machine)])
    if bad:
        look.failed(PastDamaged(f"{bad} of {len(chosen)} snapshots cannot be used"))


async def show_differences(look: Look, source: Source) -> None:
    options = look.options
    overview = await source.overview()
    stored = _stored(source, overview, options.zxid)
    one = await restored(source, stored.zxid, look.progress, stored.size_bytes)
    if options.other is not None:
        second = _stored(source, overview, options.other)
        other = await restored(source, second.zxid, look.progress, second.size_bytes)
    else:
        one, other = await state_before(source, overview, stored.zxid, look.progress), one
    found = compare(one, other, at_or_below("/"))
    await look.show([difference_shown(each, options.values) for each in found])
    if options.other is None and not found and one.digest == other.digest:
        await look.show([Done(f"the snapshot at {stored.zxid:#x} is what the log leads to", zxid=Hex(stored.zxid))])
    elif options.other is None:
        look.failed(
            PastDamaged(
                f"the snapshot at {stored.zxid:#x} has the digest {other.digest:016x}, and the log leads to a state "
                f"with {one.digest:016x} there"
            )
        )


def _stored(source: Source, overview: Overview, where: Place | None) -> StoredSnapshot:
    if not overview.snapshots:
        raise PastError(f"{source.name} has no snapshot yet")
    if where is None:
        return overview.snapshots[-1]
    zxid = where.zxid
    if zxid is None:
        raise UsageError("a snapshot is named by its zxid; coord snapshot verify lists them")
    for each in overview.snapshots:
        if each.zxid == zxid:
            return each
    there = ", ".join(f"{each.zxid:#x}" for each in overview.snapshots)
    raise PastError(f"{source.name} has no snapshot at {zxid:#x}; it has those at {there}")


def _head(stored: StoredSnapshot, machine: Machine) -> SnapshotShown:
    return SnapshotShown(
        Hex(stored.zxid), Moment(machine.time_ms), len(machine.tree.nodes), len(machine.sessions), stored.size_bytes,
        Hex(machine.digest), None,
    )  # fmt: skip


def _znode(machine: Machine, path: str, values: bool) -> ZnodeShown:
    znode = machine.tree.nodes[path]
    return ZnodeShown(
        path,
        kind_named(znode.ephemeral_owner, znode.lifetime_ms),
        Hex(znode.ephemeral_owner) if znode.ephemeral_owner else None,
        znode.version,
        znode.aversion,
        znode.data_length,
        znode.children_count,
        Hex(znode.czxid),
        Hex(znode.mzxid),
        Hex(znode.pzxid),
        Moment(znode.ctime),
        Moment(znode.mtime),
        told_acl(znode.acl),
        (znode.data or b"") if values else None,
    )
