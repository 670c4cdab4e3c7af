"""Writes a past to look back at: batches, with snapshots where they are wanted, in memory or in a folder."""

from dataclasses import replace

from coord.codec.batch import encode_batch
from coord.codec.entries import encode_run
from coord.model.entries import Batch, Run, zxid_of
from coord.past.errors import PastError
from coord.past.source import Overview, StoredSnapshot
from coord.paxos.effects import Append
from coord.state.machine import Machine
from coord.storage.disk import FolderDisk
from coord.storage.store import Store, StoreSettings
from tests.storage.storage_model import take_snapshot

ADDRESS = ("ip", "10.1.2.3")
START_MS = 1_700_000_000_000


def run_of(*requests, session=0, origin=1, number=0, acked=0, identities=None) -> Run:
    known = identities if identities is not None else ((ADDRESS,) if session else ())
    return Run(origin, 0, 0, session, number, known, requests, acked)


class Scribe:
    """One server's history. `batches` and `snapshots` (chunks by zxid) are what it has written so far."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.batches: list[Batch] = []
        self.snapshots: dict[int, list[bytes]] = {}
        self.time_ms = START_MS
        self.epoch = 1
        self._sequences: dict[int, int] = {}

    @property
    def last(self) -> int:
        return self.batches[-1].last if self.batches else 0

    def write(self, *runs: Run, later_ms: int = 1000) -> Batch:
        """The runs as the next batch, applied."""
        return self.write_as_it_is(*[self._numbered(run) for run in runs], later_ms=later_ms)

    def write_as_it_is(self, *runs: Run, later_ms: int = 1000) -> Batch:
        """Also a run that has come before."""
        self.time_ms += later_ms
        body = b"".join(map(encode_run, runs))
        first = max(self.last + 1, zxid_of(self.epoch, 1))
        count = sum(len(run.requests) for run in runs)
        machine = self.machine
        batch = Batch(first >> 40, first, count, self.last, self.time_ms, machine.zxid, machine.digest, body)
        encode_batch(batch)
        self.batches.append(batch)
        zxid = first
        for run in runs:
            new = machine.admit(run)
            for index, request in enumerate(run.requests):
                if new:
                    machine.apply(zxid, self.time_ms, run, request, [], run.number and run.number + index)
                else:
                    machine.skip(zxid, self.time_ms)
                zxid += 1
        return batch

    def _numbered(self, run: Run) -> Run:
        """As the process that took it would number it among all that it forwards."""
        self._sequences[run.origin] = first = self._sequences.get(run.origin, 1)
        self._sequences[run.origin] += len(run.requests)
        return replace(run, sequence=first, incarnation=1) if run.origin else run

    def take_snapshot(self) -> int:
        walk = self.machine.begin_walk()
        chunks = []
        while (chunk := walk.next_chunk(1000)) is not None:
            chunks.append(chunk)
        self.snapshots[self.machine.zxid] = chunks
        return self.machine.zxid

    def save(self, folder, *, segment_bytes=4096, snapshots_kept=100, close=True) -> Store:
        """All of it as the folder of server 1."""
        settings = StoreSettings(segment_bytes=segment_bytes, snapshots_kept=snapshots_kept)
        store = Store.open(FolderDisk(folder), server=1, identity_if_new=0x1DE, settings=settings)
        for batch in self.batches:
            store.perform([Append(batch)])
            if batch.last in self.snapshots:
                take_snapshot(store, batch.last, tuple(self.snapshots[batch.last]))
        if close:
            store.close()
        return store


class MemorySource:
    """What a scribe has written, from the batch after `log_start` on."""

    name = "memory"

    def __init__(self, scribe: Scribe, log_start: int = 0) -> None:
        self._scribe = scribe
        self._log_start = log_start

    async def overview(self) -> Overview:
        scribe = self._scribe
        stored = tuple([StoredSnapshot(zxid, sum(map(len, each))) for zxid, each in sorted(scribe.snapshots.items())])
        return Overview(1, 7, stored, self._log_start, scribe.last, sum(len(each.encoded) for each in scribe.batches))

    async def snapshot(self, zxid):
        for chunk in self._scribe.snapshots[zxid]:
            yield chunk

    async def batches(self, after):
        if after < self._log_start:
            raise PastError(f"the log goes back to {self._log_start:#x}")
        for batch in self._scribe.batches:
            if batch.last > max(after, self._log_start):
                yield batch
