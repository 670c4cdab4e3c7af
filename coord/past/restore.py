"""Making data folders of a backup, for the servers of a new ensemble.

Promises:
- The whole file is read and checked, and the state that was asked for is there, before anything is written.
- A folder that holds anything is left alone. A folder becomes a server's in one moment, when its ballot gets its name:
  one that was only half made is refused by `coord serve`.
- The same file, place and name give the same ensemble on every machine: the folders need not be made in one go.

What is restored is the tree. Sessions are ended as if they had expired, their ephemerals with them: nobody can go on
with them, and they would stand in the way until their timeout. The new history begins `EPOCHS_AHEAD` epochs above the
old one, so that no zxid is given twice: a fencing token of the new ensemble is higher than any that the old one gave
before or after the backup, and a client of the old one does not take the new one for a server that is behind.
"""

import hashlib
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import trio

from coord.codec.shapes import EPOCH_MAX
from coord.model.entries import Run, epoch_of, zxid_of
from coord.model.message import message
from coord.model.requests import CloseSession
from coord.past.backup_file import BackupSource
from coord.past.errors import PastError
from coord.past.looking import SILENCE, Place, Progress, forward, load
from coord.paxos.effects import Ballot
from coord.state.machine import Machine
from coord.storage import snapshots
from coord.storage.ballot import COPIES, BallotFile
from coord.storage.disk import FolderDisk
from coord.storage.errors import Damaged, StorageFailure, StorageRefused
from coord.storage.snapshots import Origin, PartialSnapshot

EPOCHS_AHEAD = 1000
"""The old ensemble has not had so many elections between its backup and the restoring."""

IDENTITY_BITS = 63

OF_THE_FILE_SYSTEM = "lost+found"
"""Is in a folder that is a disk of its own, and in nobody's way."""


@message
class Target:
    """A server of the new ensemble, and the folder to make for it."""

    server: int
    folder: Path


@message
class Restored:
    """What was restored. `place` is where the old history ends, `zxid` and `digest` are the new ensemble's state."""

    place: int
    time_ms: int
    zxid: int
    digest: int
    cluster: int
    znodes: int
    sessions_ended: int
    ephemerals_removed: int


async def restore(
    source: BackupSource,
    targets: Sequence[Target],
    rng: random.Random,
    *,
    place: Place | None = None,
    name: str = "",
    progress: Progress = SILENCE,
) -> Restored:
    """Make a folder for each target. PastError if anything is in the way; then nothing was written but what it says.

    `place`: None for the end of the backup. `name` tells apart ensembles that are made of one backup.
    """
    for target in targets:
        check_empty(target.folder)
    await source.verify(progress)
    overview = await source.overview()
    replay = await load(source, overview, place, progress)
    async with aclosing(forward(replay, source, overview, place, progress)) as pending:
        async for entry in pending:
            replay.do(entry)
    machine = replay.machine
    if place is not None and place.zxid not in (None, machine.zxid):  # a digit too few would restore next to nothing
        raise PastError(f"zxid {place.zxid:#x} is not in {source.name}; the last one before it is {machine.zxid:#x}")
    cluster = _cluster(source, machine, name)
    restored = begin_anew(machine, cluster)
    for number, target in enumerate(targets):
        try:
            await _make(target, machine, cluster, rng.getrandbits(IDENTITY_BITS) | 1, progress)
        except PastError as error:
            whole = ", ".join(str(each.folder) for each in targets[:number])
            if not whole:
                raise
            raise PastError(
                f"{error}; {whole} was made before and is whole: only the rest is to be restored"
            ) from error
    return restored


def check_empty(folder: Path) -> None:
    """Raise PastError unless a data folder can be made here."""
    try:
        names = sorted(each.name for each in folder.iterdir() if each.name != OF_THE_FILE_SYSTEM)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PastError(f"{folder} cannot be used as a data folder: {error.strerror}; name another") from error
    if names:
        more = " and more" if len(names) > 3 else ""
        raise PastError(
            f"{folder} is not empty: it holds {', '.join(names[:3])}{more}; name a folder that is empty, or does not "
            "exist yet"
        )


def begin_anew(machine: Machine, cluster: int = 0) -> Restored:
    """Make of an old ensemble's state the first one of a new ensemble, at a zxid that the old one never reaches."""
    place, time_ms, sessions, ephemerals = machine.zxid, machine.time_ms, len(machine.sessions), machine.tree.ephemerals
    epoch = epoch_of(place) + EPOCHS_AHEAD
    if epoch > EPOCH_MAX:
        raise PastError(
            f"the epochs are used up: the backup ends in epoch {epoch_of(place)}, and they go to {EPOCH_MAX}"
        )
    # Those of the old servers' processes: none of them will forward anything here, nor vote.
    machine.origins.clear()
    machine.servers.clear()
    machine.skip(zxid_of(epoch, 1), time_ms)
    for session in sorted(machine.sessions):
        request = CloseSession(session, expired=True)
        run = Run(0, 0, 0, 0, 0, (), (request,))
        machine.apply(machine.zxid + 1, time_ms, run, request, [])
    assert not machine.sessions, "every session was ended"
    return Restored(
        place, time_ms, machine.zxid, machine.digest, cluster, len(machine.tree.nodes), sessions, ephemerals
    )


def _cluster(source: BackupSource, machine: Machine, name: str) -> int:
    """The new ensemble's identity. The same wherever the same is restored, so that its servers know each other."""
    seen = b"%s %d %d %s" % (source.header.name, machine.zxid, machine.digest, name.encode())
    return int.from_bytes(hashlib.sha256(b"coord restore " + seen).digest()[:8], "big") >> 1 | 1


async def _make(target: Target, machine: Machine, cluster: int, identity: int, progress: Progress) -> None:
    """The folder of one server. Whatever keeps it from being made, nothing is left of it."""
    folder = target.folder
    check_empty(folder)
    disk = FolderDisk(folder)
    with _translated(folder):
        disk.lock()
    made = False
    try:
        with _translated(folder):
            progress.begin(f"writing {folder}", machine.tree.size_bytes)
            await _write_snapshot(disk, machine, identity, progress)
            epoch = epoch_of(machine.zxid)
            ballot = Ballot(target.server, identity, cluster, promised=epoch, accepted=epoch)
            BallotFile(disk, ballot, 1).make(COPIES)
        made = True
    finally:
        disk.close()
        if not made:
            _clear(folder)


async def _write_snapshot(disk: FolderDisk, machine: Machine, identity: int, progress: Progress) -> None:
    """Under its name from the beginning: a folder with a snapshot and without a ballot is no server's, nor a new one's.

    It says of itself that it was installed: no log is missing before it.
    """
    zxid = machine.zxid
    part = PartialSnapshot(disk, snapshots.name_of(zxid), Origin(identity, 1, zxid, True))
    try:
        disk.sync_folder(snapshots.FOLDER)
        walk = machine.begin_walk()
        try:
            while (chunk := walk.next_chunk()) is not None:
                part.write(chunk)
                progress.advance(len(chunk))
                await trio.lowlevel.checkpoint()
        finally:
            walk.cancel()
        part.seal()
    finally:
        part.close()
    snapshots.verify(disk, zxid)


def _clear(folder: Path) -> None:
    """Remove what was made in a folder that had been empty."""
    for made in folder.iterdir():
        with suppress(OSError):
            if made.name == snapshots.FOLDER:
                shutil.rmtree(made)
            elif made.name != OF_THE_FILE_SYSTEM:
                made.unlink()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except StorageRefused as refused:
        raise PastError(f"{folder} cannot be used as a data folder: {refused}") from refused
    except (StorageFailure, Damaged, OSError) as failure:
        raise PastError(f"restoring into {folder} failed, and nothing is left there: {failure}") from failure
