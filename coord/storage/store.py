"""All that one server keeps on its disk, and the one order in which it is kept.

`perform` does the protocol's steps strictly one after the other. Appends that stand together are one write and one
sync; before any other step all appends before it are durable, and that step is durable before the next begins. So at
every instant the disk holds the effect of a prefix of the steps (of the last one perhaps a part), and all of those
whose `perform` has returned.

After a StorageFailure nothing is done any more: what the disk holds is known only when a new start has read it.

Threads: `perform` is called by one thread at a time. Meanwhile another may write one snapshot (`begin_snapshot`), and
any may read batches, snapshots and figures.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from threading import Lock

from coord.model.entries import Batch
from coord.model.histogram import Histogram
from coord.model.message import message
from coord.paxos.effects import Append, Ballot, InstallSnapshot, MendLog, SaveBallot, SnapshotPart, Step, TruncateLog
from coord.storage import log, look, snapshots
from coord.storage.ballot import BallotFile
from coord.storage.disk import Disk
from coord.storage.errors import Damaged, StorageFailure, StorageRefused
from coord.storage.look import Found
from coord.storage.snapshots import Origin, PartialSnapshot
from coord.storage.survey import Damage
from coord.storage.timing import SyncStatistics, SyncTimes


@message
class StoreSettings:
    """How much is kept, in what pieces. A segment is as long as that, or as its first record needs.

    What recovery needs are the newest `snapshots_kept` good snapshots and the log above the oldest of them. Older ones
    stay to be looked back at, with the log between them, as long as all of it together takes no more than
    `past_bytes_max`, and only if something in it is no more than `past_age_max_s` older than the newest entry (0: of
    whatever age).
    """

    segment_bytes: int = 64 << 20
    snapshots_kept: int = 3
    past_bytes_max: int = 0
    past_age_max_s: float = 0


@message
class Recovered:
    """What a start found: the state at `snapshot_zxid` (0: the empty state) and the batches after it, in order.

    Every batch after `log_start` is on the disk. `ends` are (epoch, last zxid in it) of that log, ascending,
    `log_start` included unless it is 0. Who has taken over the batches may clear the list: it can be large.
    `damage`: what stood behind all that and cannot be read as a whole; the ballot says so too, as `suspect`.
    """

    snapshot_zxid: int
    batches: list[Batch]
    log_start: int
    ends: list[tuple[int, int]]
    damage: Damage | None = None


@message
class StorageStatistics:
    """Figures for the operator. Snapshots are those that are known to be good, oldest first."""

    log_bytes: int
    snapshot_bytes: int
    bytes_since_snapshot: int
    snapshots: tuple[int, ...]
    syncs: SyncStatistics


class Store:
    """The durable data of one server."""

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        server: int,
        identity_if_new: int,
        settings: StoreSettings | None = None,
        has_peers: bool = False,
    ) -> "Store":
        """Lock the folder, read and verify everything, then repair what a power cut may leave.

        With `has_peers` a damaged log or snapshot is no reason to refuse: what is lost is on other servers' disks, and
        `recovered.damage` says so. Raises StorageRefused if the folder is not fit for use; then nothing in it was
        changed.
        """
        settings = settings or StoreSettings()
        disk.lock()
        try:
            try:
                found = look.look(disk, server)
            except StorageFailure as failure:
                raise StorageRefused(f"the data folder cannot be read: {failure}") from failure
            if found.log.damage is not None and found.rebuild is None and not has_peers:
                raise StorageRefused(f"{found.log.damage.what}; {look.ADVICE}")
            return cls(disk, found, Ballot(server, identity_if_new), settings)
        except BaseException:
            disk.close()
            raise

    def __init__(self, disk: Disk, found: Found, ballot_if_new: Ballot, settings: StoreSettings) -> None:
        """Use `open`. Here the first changes are made."""
        self._disk = disk
        self._settings = settings
        self._times = SyncTimes()
        self._fail_stop = _FailStop()
        # Long: held over the disk's work where the set of snapshots changes, by the snapshot's thread or by perform.
        self._housekeeping = Lock()
        # Short: a finished snapshot is handed from its thread to perform, if the log is not yet durable up to it.
        self._handover = Lock()
        self._waiting: PartialSnapshot | None = None
        self._taken: PartialSnapshot | None = None
        self._received: PartialSnapshot | None = None

        if found.ballot is None:
            self._ballot = BallotFile(disk, ballot_if_new, 1)
            self._ballot.make(("ballot.a", "ballot.b"))
        else:
            self._ballot = BallotFile(disk, found.ballot.ballot, found.ballot.generation)
            self._ballot.settle(found.ballot.repair)
            # Before anything else is changed: that this log once held more must not be forgotten with its traces.
            suspect = look.suspect_after(found)
            if suspect and suspect != self.ballot.suspect:
                self._ballot.save(replace(self.ballot, suspect=suspect))
        self._lineage = found.log.lineage
        kept = [zxid for zxid in snapshots.zxids(disk) if zxid not in found.old_snapshots]
        self._snapshots = {zxid: snapshots.size_of(disk, zxid) for zxid in kept}  # bytes by zxid, ascending
        # Read to their end by this process, or written by it.
        self._verified = {found.snapshot_zxid} - {0}
        self._last_snapshot = found.snapshot_zxid
        parts = [f"{snapshots.FOLDER}/{name}" for name in snapshots.PARTS]
        self._remove(
            [snapshots.name_of(zxid) for zxid in found.old_snapshots]
            + [part for part in parts if part.rpartition("/")[2] in disk.names(snapshots.FOLDER)]
        )
        # What a killed process has renamed can be read, but would not survive a power cut; the log goes by it.
        disk.sync_folder(snapshots.FOLDER)
        self._log = log.Log(
            disk,
            found.log,
            identity=self.ballot.identity,
            lineage=found.log.lineage,
            segment_bytes=settings.segment_bytes,
            times=self._times,
        )
        damage = found.log.damage
        if found.rebuild is not None:
            self._log.mend(found.snapshot_zxid, found.rebuild)
            damage = None
        if damage is None and self.ballot.suspect:
            # Only now: what was read may not have been durable, and a power cut would have taken it again.
            self._ballot.save(replace(self.ballot, suspect=0))
        self.recovered = Recovered(found.snapshot_zxid, found.batches, self._log.base, self._log.epoch_ends(), damage)

    def __repr__(self) -> str:
        return f"<Store of server {self.ballot.server}, {self._log}, snapshots {[hex(z) for z in self._snapshots]}>"

    # ---- figures

    @property
    def instant(self) -> bool:
        """The disk is memory: no operation is worth a thread."""
        return self._disk.instant

    @property
    def ballot(self) -> Ballot:
        """The durable one."""
        return self._ballot.ballot

    @property
    def last(self) -> int:
        """The zxid of the last durable entry."""
        return self._log.last

    @property
    def log_start(self) -> int:
        """Every batch after this zxid is on the disk."""
        return self._log.base

    @property
    def log_bytes(self) -> int:
        return self._log.size_bytes

    @property
    def snapshot_bytes(self) -> int:
        """Of all snapshots in the folder. From any thread; the disk is not asked."""
        return sum(list(self._snapshots.values()))

    @property
    def syncs(self) -> Histogram:
        """How long each sync that a write waited for took. From any thread."""
        return self._times.all

    @property
    def bytes_since_snapshot(self) -> int:
        """What a restart would have to read and apply after the newest snapshot."""
        return self._log.bytes_after(self._last_snapshot)

    @property
    def last_snapshot_zxid(self) -> int:
        """Of the newest good snapshot, 0 if there is none."""
        return self._last_snapshot

    @property
    def snapshot_zxids(self) -> list[int]:
        """Of all snapshots in the folder, ascending, those found damaged included."""
        return list(self._snapshots)

    def snapshot_size(self, zxid: int) -> int:
        """Bytes of the snapshot at `zxid`, 0 if there is none (any more)."""
        return self._snapshots.get(zxid, 0)

    @property
    def snapshot_sizes(self) -> list[tuple[int, int]]:
        """(zxid, bytes) of all of them."""
        return list(self._snapshots.items())

    @property
    def taking_snapshot(self) -> bool:
        """One was begun, and is neither abandoned nor, with its name and durable, the newest one."""
        return self._taken is not None

    def statistics(self) -> StorageStatistics:
        return StorageStatistics(
            self.log_bytes,
            self.snapshot_bytes,
            self.bytes_since_snapshot,
            tuple(sorted(self._verified)),
            self._times.statistics(),
        )

    # ---- reading

    def read_batches(self, after: int, bytes_max: int) -> list[Batch] | None:
        """The batches that follow `after`: at least one if there is one, else at most `bytes_max` of them.

        Empty if `after` is where the log ends, None if no batch that is on the disk ends there. From any thread.
        """
        return self._log.read(after, bytes_max)

    def end_before(self, zxid: int) -> int | None:
        """Where the last batch ends that ends at or before `zxid`, or the log's base; None if that is after `zxid`.

        From any thread.
        """
        return self._log.end_before(zxid)

    def read_back(self, upto: int, above: int, bytes_max: int) -> list[Batch]:
        """The batches up to the one that ends with `upto`, back to `above` at most: for a server that lost them.

        Empty if that one is not here, or cannot be read. From any thread.
        """
        return self._log.read_back(upto, above, bytes_max)

    def worth_streaming(self, position: int) -> bool:
        """Whether the log after `position` is what a server that stands there is to be sent, and not a snapshot.

        It is as long as it is not longer than the state and the log after that: a byte of log takes its receiver twice
        the time of one of a snapshot. And what is kept only to be looked back at may be far longer.
        """
        if not self._settings.past_bytes_max or not self._last_snapshot:
            return True
        state = self._snapshots.get(self._last_snapshot, 0) + self._log.bytes_after(self._last_snapshot)
        return self._log.bytes_after(position) <= state

    def snapshot_chunks(self, zxid: int | None = None) -> Iterator[bytes]:
        """The chunks of the snapshot at `zxid` (by default the newest), verified as they are read. From any thread."""
        if zxid is None:
            zxid = self._last_snapshot
        assert zxid, "there is no snapshot to read: the state began empty"
        try:
            yield from snapshots.read_chunks(self._disk, zxid)
        except Damaged as damaged:
            raise StorageFailure(f"{snapshots.name_of(zxid)} was damaged since the start: {damaged}") from damaged

    # ---- the protocol's steps

    def perform(self, steps: Sequence[Step]) -> None:
        """Do the steps in their order. When it returns, all of them are durable."""
        with self._fail_stop:
            for step in steps:
                if step.__class__ is Append:
                    self._log.add(step.batch)
                else:
                    self._log.sync()
                    self._do(step)
            self._log.sync()
            if self._waiting is not None:
                self._publish_waiting()

    def _do(self, step: Step) -> None:
        match step:
            case SaveBallot(ballot):
                if self.ballot.suspect and not ballot.suspect:
                    self._log.settle()  # or the next start would claim anew what it finds there
                self._ballot.save(ballot)
            case TruncateLog(to):
                assert to >= self._last_snapshot, (
                    f"the log cannot be cut at {to:#x}: the state up to {self._last_snapshot:#x} is in a snapshot"
                )
                self._log.truncate(to)
            case SnapshotPart(zxid, index, data):
                self._receive(zxid, index, data)
            case InstallSnapshot(zxid):
                self._install(zxid)
            case MendLog(after, batches):
                self._log.mend(after, batches)
            case _:
                raise AssertionError(f"{step!r} is no step that a disk knows")

    def _receive(self, zxid: int, index: int, data: bytes) -> None:
        if index == 0:
            if self._received is not None:
                self._received.discard()
            origin = Origin(self.ballot.identity, self._lineage + 1, zxid, True)
            self._received = PartialSnapshot(self._disk, snapshots.RECEIVED_PART, origin)
        received = self._received
        assert received is not None, f"part {index} of the snapshot at {zxid:#x} came without a part 0"
        assert (received.origin.zxid, received.count) == (zxid, index), (
            f"part {index} of the snapshot at {zxid:#x} does not follow {received}"
        )
        received.write(data)

    def _install(self, zxid: int) -> None:
        """Make the received snapshot the state. The one moment in which old becomes new is when it gets its name."""
        received = self._received
        assert received is not None, f"the snapshot at {zxid:#x} cannot be installed: nothing was received"
        assert received.origin.zxid == zxid, f"the snapshot at {zxid:#x} cannot be installed, {received} was received"
        self._received = None
        received.seal()
        with self._housekeeping:
            self._drop_waiting()  # it was taken of a state that is no longer ours
            with self._handover:
                self._lineage = received.origin.lineage
            received.publish()
            old = [snapshots.name_of(other) for other in self._snapshots if other != zxid]
            self._snapshots = {zxid: received.size_bytes}
            self._verified = {zxid}
            self._last_snapshot = zxid
            self._log.start_over(self._lineage, zxid)
            self._remove(old)

    # ---- taking snapshots

    def begin_snapshot(self, zxid: int) -> "SnapshotWriter":
        """Start to write the snapshot of the state at `zxid`. Its methods may run in another thread than perform.

        One at a time; but one that is finished and waits for the log gives way to this newer one.
        """
        with self._fail_stop:
            with self._housekeeping:
                self._drop_waiting()
            assert self._taken is None, f"a snapshot at {zxid:#x} is begun while {self._taken} is being written"
            origin = Origin(self.ballot.identity, self._lineage, zxid, False)
            taken = self._taken = PartialSnapshot(self._disk, snapshots.LOCAL_PART, origin)
        return SnapshotWriter(
            zxid,
            partial(self._write_snapshot, taken),
            partial(self._finish_snapshot, taken),
            partial(self._abandon_snapshot, taken),
        )

    def _write_snapshot(self, taken: PartialSnapshot, chunk: bytes) -> None:
        with self._fail_stop:
            taken.write(chunk)

    def _abandon_snapshot(self, taken: PartialSnapshot) -> None:
        self._taken = None
        if self._fail_stop.failed is None:
            taken.discard()
        else:
            taken.close()

    def _finish_snapshot(self, taken: PartialSnapshot) -> None:
        """Publish it, now or as soon as the log is durable up to it.

        A log that ends before the newest snapshot can therefore only be one that was damaged.
        """
        with self._fail_stop:
            taken.seal()
            self._verify_kept()
            with self._housekeeping:
                with self._handover:
                    if taken.origin.lineage == self._lineage and taken.origin.zxid > self._log.last:
                        self._waiting = taken
                        return
                self._publish(taken)

    def _publish_waiting(self) -> None:
        with self._housekeeping:
            with self._handover:
                taken = self._waiting
                if taken is None or taken.origin.zxid > self._log.last:
                    return
                self._waiting = None
            self._publish(taken)

    def _drop_waiting(self) -> None:
        """Called with the housekeeping lock held."""
        with self._handover:
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.discard()
            self._taken = None

    def _publish(self, taken: PartialSnapshot) -> None:
        """Called with the housekeeping lock held. One that was overtaken by an install is dropped instead."""
        zxid = taken.origin.zxid
        self._taken = None
        if taken.origin.lineage != self._lineage or zxid < self._last_snapshot:
            taken.discard()
            return
        taken.publish()
        self._snapshots[zxid] = taken.size_bytes
        self._verified.add(zxid)
        self._last_snapshot = zxid
        self._retain()

    def _retain(self) -> None:
        """Remove what nobody needs: snapshots older than the newest few good ones, and the log before those.

        As long as the log goes back to the very beginning, the empty state counts as a good snapshot.
        """
        good = self._good(self._verified)
        if len(good) < self._settings.snapshots_kept:
            return
        oldest = self._past_start(good)
        old = [zxid for zxid in self._snapshots if zxid < oldest or zxid not in self._verified]
        self._snapshots = {zxid: size for zxid, size in self._snapshots.items() if zxid not in old}
        self._verified -= set(old)
        self._remove([snapshots.name_of(zxid) for zxid in old])
        self._log.drop_before(oldest)

    def _good(self, zxids: Iterable[int]) -> list[int]:
        """Places where there is a state, ascending: these snapshots, and the beginning if the log goes back to it."""
        return sorted({*zxids, *((0,) if self._log.base == 0 else ())})

    def _past_start(self, good: list[int]) -> int:
        """The oldest of the good states that is to be kept: one that recovery needs, or as many before it as fit."""
        settings, kept = self._settings, self._settings.snapshots_kept
        start, older = good[-kept], good[:-kept]
        size = sum(self._snapshots.get(zxid, 0) for zxid in good[-kept:])
        newest_ms = self._time_after(self._log.last)
        for zxid in reversed(older):
            size += self._snapshots.get(zxid, 0)
            ended_ms = self._time_after(start)  # what lies between the two is no younger
            too_old = bool(
                settings.past_age_max_s
                and ended_ms is not None
                and newest_ms is not None
                and newest_ms - ended_ms > settings.past_age_max_s * 1000
            )
            if zxid < self._log.base or too_old or size + self._log.bytes_after(zxid) > settings.past_bytes_max:
                break
            start = zxid
        return start

    def _time_after(self, zxid: int) -> int | None:
        """The time of the batch that follows a batch's end, or of the last one there is; None if it cannot be read."""
        try:
            batches = self._log.read(zxid, 1) or self._log.read_back(zxid, 0, 1)
        except StorageFailure:
            return None  # it rots where nothing is needed of it: no reason to end the server
        return batches[-1].time_ms if batches else None

    def _verify_kept(self) -> None:
        """Read the snapshots that retention is about to rely on, if this process has not done so yet (T19)."""
        kept = len(self._snapshots) if self._settings.past_bytes_max else self._settings.snapshots_kept
        for zxid in list(self._snapshots)[-kept:]:
            if zxid not in self._verified:
                try:
                    snapshots.verify(self._disk, zxid)
                except Damaged:
                    continue
                self._verified.add(zxid)

    # ---- helpers

    def close(self) -> None:
        """Give the folder back, leaving no file open. Everything performed is durable already."""
        for partial_snapshot in (self._received, self._taken):
            if partial_snapshot is not None:
                partial_snapshot.close()
        self._log.close()
        self._disk.close()

    def _remove(self, names: list[str]) -> None:
        """Remove snapshots or parts of them, durably."""
        for name in names:
            self._disk.remove(name)
        if names:
            self._disk.sync_folder(snapshots.FOLDER)


class _FailStop:
    """Whatever goes wrong within it, nothing more is done after it: the disk may hold half of it.

    Entered once a write: a context manager made of a generator would cost it 3 us.
    """

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed: str | None = None

    def __enter__(self) -> None:
        if self.failed is not None:
            raise StorageFailure(f"the disk is not used any more until a new start, because of: {self.failed}")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.failed = str(error) or repr(error)


class SnapshotWriter:
    """A snapshot that this server takes while it serves. Ends with `finish` or `abandon`."""

    __slots__ = ("_abandon", "_finish", "_write", "zxid")

    def __init__(
        self, zxid: int, write: Callable[[bytes], None], finish: Callable[[], None], abandon: Callable[[], None]
    ) -> None:
        self.zxid = zxid
        self._write = write
        self._finish = finish
        self._abandon = abandon

    def __repr__(self) -> str:
        return f"<SnapshotWriter at {self.zxid:#x}>"

    def write(self, chunk: bytes) -> None:
        self._write(chunk)

    def finish(self) -> None:
        """Make it durable, give it its name, and remove what is no longer needed.

        Should a snapshot have been installed since it was begun, it is dropped instead. Should the log not yet be
        durable up to it (a leader applies what its followers have written), perform does the rest when it is.
        """
        self._finish()

    def abandon(self) -> None:
        """Leave nothing of it. After a failure of the disk that is the next start's work."""
        self._abandon()
