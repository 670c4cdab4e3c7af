"""What a data folder holds as a whole, looked at before anything in it is changed: ballot, snapshots and log together.

What this server cannot be without is its ballot: who lost its promises must never vote again under its id. All else
can be lost and found again, from an older snapshot and the log, or from the other servers; then `Found.log.damage` says
what is missing.
"""

from dataclasses import replace

from coord.model.entries import Batch, zxid_of
from coord.model.message import message
from coord.storage import snapshots
from coord.storage.ballot import FoundBallot, find_ballot
from coord.storage.disk import Disk
from coord.storage.errors import Damaged, OtherVersion, StorageRefused
from coord.storage.records import FOLDER, is_zxid_name
from coord.storage.snapshots import Origin
from coord.storage.survey import Damage, Survey, joined, read_survey, survey

ADVICE = (
    "this server cannot know what it has acknowledged and has nobody to ask, so it must not start; restore its data "
    "folder from a backup"
)


@message
class Found:
    """What a look at the folder found. `rebuild`: the log is to begin anew at the snapshot, with these batches."""

    ballot: FoundBallot | None
    snapshot_zxid: int
    old_snapshots: list[int]  # of older lineages: void
    batches: list[Batch]
    log: Survey
    rebuild: list[Batch] | None = None


def suspect_after(found: Found) -> int:
    """What the ballot is to say of entries that may have been acknowledged and cannot be shown."""
    assert found.ballot is not None, "a folder without a ballot holds nothing that could be damaged"
    ballot, damage = found.ballot.ballot, found.log.damage
    if damage is None or found.rebuild is not None:
        return 0
    if damage.upto is not None:
        return max(ballot.suspect, damage.upto)
    # Nothing names the last of them; it was of an epoch promised by then.
    return ballot.suspect or zxid_of(ballot.promised + 1, 0) - 1


def look(disk: Disk, server: int) -> Found:
    """Read and verify everything, changing nothing. Raises StorageRefused."""
    ballot = find_ballot(disk, server)
    taken = snapshots.zxids(disk)
    if ballot is None:
        if taken or any(map(is_zxid_name, disk.names(FOLDER))):
            raise StorageRefused(
                "the ballot is missing (ballot.a and ballot.b), but there are snapshots or a log: the server's "
                f"promises are lost, and it must not vote under id {server} again; put the ballot back, or move the "
                "folder away and let the server join under a new id"
            )
        return Found(None, 0, [], [], Survey([], 0, 0, 0, [], False, [], None))
    identity = ballot.ballot.identity
    origins, trouble = _read_origins(disk, taken, identity)
    best = _best(disk, origins, trouble)
    zxid, lineage = (best.zxid, best.lineage) if best is not None else (0, 0)
    log = survey(disk, identity, lineage, zxid)
    old = [other for other, origin in origins.items() if origin.lineage < log.lineage]
    if log.lineage > lineage:
        best, zxid = None, 0  # a newer state was installed, and its snapshot is lost: what is older is void
    log, rebuild = _together(disk, best, log, trouble, ballot.ballot.suspect)
    batches = list(rebuild) if rebuild is not None else read_survey(disk, log, zxid)
    return Found(ballot, zxid, old, batches, log, rebuild)


def _read_origins(disk: Disk, taken: list[int], identity: int) -> tuple[dict[int, Origin], dict[int, str]]:
    """The snapshots whose header can be read, and what is wrong with the others."""
    origins: dict[int, Origin] = {}
    trouble: dict[int, str] = {}
    for zxid in taken:
        try:
            origins[zxid] = snapshots.read_origin(disk, zxid)
        except OtherVersion as other:
            raise StorageRefused(
                f"{snapshots.name_of(zxid)} was written by another version of coord: {other}; use that version"
            ) from other
        except Damaged as damaged:
            trouble[zxid] = str(damaged)
            continue
        if origins[zxid].identity != identity:
            raise StorageRefused(
                f"{snapshots.name_of(zxid)} belongs to the identity {origins[zxid].identity:#x}, the ballot here to "
                f"{identity:#x}: files of two servers were mixed; put back the whole folder of one"
            )
    return origins, trouble


def _best(disk: Disk, origins: dict[int, Origin], trouble: dict[int, str]) -> Origin | None:
    """The newest snapshot that can be read to its end: of the highest lineage, and in it the highest zxid."""
    for origin in sorted(origins.values(), key=lambda origin: (origin.lineage, origin.zxid), reverse=True):
        try:
            snapshots.verify(disk, origin.zxid)
        except Damaged as damaged:
            trouble[origin.zxid] = str(damaged)
        else:
            return origin
    return None


def _together(
    disk: Disk, best: Origin | None, log: Survey, trouble: dict[int, str], suspect: int
) -> tuple[Survey, list[Batch] | None]:
    """Whether the log goes on where the snapshot ends, and reaches as far as it must.

    The log as it is to be used, with what is wrong; and, should the gap lie below the snapshot, what it is to begin
    anew with.
    """
    zxid = best.zxid if best is not None else 0
    bad = "; ".join(f"{snapshots.name_of(other)} is damaged ({why})" for other, why in trouble.items())
    newest = f"the newest good snapshot is at {zxid:#x}" if best is not None else "there is no good snapshot"
    damage = log.damage
    reached = max([zxid, *trouble])
    if log.base > zxid:
        # There is a log, but no state that it could be applied to.
        later = read_survey(disk, log, log.base) + (damage.later if damage is not None else [])
        upto = max(log.last, reached, (damage.upto or 0) if damage is not None else 0)
        what = f"{newest}, but the log begins only after {log.base:#x}" + (f": {bad}" if bad else "")
        files = [segment.name for segment in log.segments] + (damage.files if damage is not None else [])
        nameless = damage is not None and damage.upto is None
        log = replace(log, segments=[], base=zxid, torn=False, cut_short=[])
        damage = Damage(what, zxid, None if nameless else upto, later, files)
    elif damage is not None:
        if damage.upto is not None:
            damage = replace(damage, upto=max(damage.upto, reached))
    elif log.last < reached or (not log.segments and best is not None and not best.installed and log.noted != zxid):
        tail = log.segments[-1] if log.segments else None
        ends = f"{tail.name} ends with {log.last:#x} at offset {tail.end}" if tail is not None else "the log is empty"
        what = (
            f"{newest} and {ends}, but a snapshot was taken at {reached:#x}, when the log was durable up to there: the "
            "log, or the part of it after that, is missing or damaged" + (f"; {bad}" if bad else "")
        )
        files = [] if log.last >= zxid else [segment.name for segment in log.segments]
        # A note from before the snapshot is an old one: the log may have gone on beyond both.
        named = log.noted is not None and log.noted >= reached
        damage = Damage(what, log.last, log.noted if named else None, [], files)
    elif suspect > log.last:
        damage = Damage(f"the log was damaged before, and is not whole up to {suspect:#x}", log.last, suspect, [], [])
    if damage is not None and damage.upto is not None:
        damage = replace(damage, upto=max(damage.upto, suspect))
    if damage is not None and damage.after < zxid:
        return _from_snapshot(zxid, replace(log, damage=damage))
    return replace(log, damage=damage), None


def _from_snapshot(zxid: int, log: Survey) -> tuple[Survey, list[Batch] | None]:
    """What is missing begins below the snapshot: nothing before that is needed any more."""
    damage = log.damage
    assert damage is not None
    later = [batch for batch in damage.later if batch.last > zxid]
    chain = joined(zxid, later)
    end = chain[-1].last if chain else zxid
    files = list(dict.fromkeys([*(segment.name for segment in log.segments), *damage.files]))
    upto = max(damage.upto, zxid) if damage.upto is not None else None
    damage = Damage(damage.what, zxid, upto, later, files)
    log = replace(log, segments=[], base=zxid, torn=False, cut_short=[], damage=damage)
    return log, chain if upto is not None and upto <= end else None
