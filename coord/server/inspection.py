"""Telling what the disk holds of the past: snapshots and committed batches, to who may know it.

An inspection is a connection of its own with one request and one answer (coord/codec/inspection.py). It reads the disk
and nothing else; the replica is not asked. So a server without a leader tells its past as well.

Promises: only what is committed is told. The disk is read in bounded pieces beside the event loop, and after each the
reader waits as long as that took, so that clients keep at least half of the server. A receiver that does not read
stops the reading, and after `reply_timeout_s` loses the connection. What retention removes in the middle ends in a
sentence, never in a gap.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from time import perf_counter
from typing import TypeAlias, TypeVar

import trio

from coord.codec import inspection
from coord.codec.errors import CodecError
from coord.codec.pieces import PieceReader, PieceWriter
from coord.model.acl import SUPER_SCHEME, Identity
from coord.model.errors import AuthFailedError
from coord.model.inspection import AskBatches, AskOverview, AskSnapshot, Inspection, Told
from coord.model.requests import Authenticate
from coord.net.network import Stream, is_owner
from coord.replica.auth import authenticate
from coord.server.config import ANYONE, NOBODY_INSPECTS, Config
from coord.server.driver import Driver
from coord.server.log_lines import EventLog
from coord.storage.errors import StorageFailure
from coord.storage.store import Store
from coord.storage.writer import Writer

READ_BYTES_MAX = 256 << 10
"""How much log is read, checked and framed at once: some milliseconds of one thread."""

SEND_BYTES_MAX = 64 << 10
"""What is sent at a time; a receiver that does not take so much within `reply_timeout_s` stands still."""

LATE_S = 10.0
"""So long the own disk may lag behind what the others have made committed, before the teller gives up."""

T = TypeVar("T")
Buffers: TypeAlias = list[bytes]


class _Refused(Exception):
    """There is no answer, or no more of it; the text says why, and what to do."""


class Inspections:
    """Answers who asks for the past, as many at a time as the configuration allows."""

    def __init__(self, config: Config, driver: Driver, store: Store, writer: Writer, log: EventLog) -> None:
        self._config = config
        self._driver = driver
        self._store = store
        self._writer = writer
        self._log = log
        self._open = 0

    async def read_request(self, stream: Stream, begun: bytes) -> Inspection | None:
        """What is asked, of which `begun` has come already; None if it does not come. CodecError if it is nonsense."""
        reader = PieceReader(inspection.REQUEST_BYTES_MAX)
        data = begun
        while True:
            for piece in reader.feed(data, 1):
                if piece.kind != inspection.ASKED:
                    raise CodecError(f"a piece of the kind {piece.kind} asks for nothing")
                return inspection.decode_inspection(piece.body)
            data = await stream.receive()
            if not data:
                return None

    async def answer(self, stream: Stream, asked: Inspection) -> str:
        """Send what is asked, or why not; how that ended, for the log. OSError if the connection breaks."""
        answer = _Answer(stream, self._config.reply_timeout_s)
        try:
            self._check_allowed(stream, asked)
            self._note(stream, asked)
            self._open += 1
            try:
                await self._tell(answer, asked)
            finally:
                self._open -= 1
        except _Refused as refusal:
            await answer.send(inspection.REFUSED, inspection.encode_refused(str(refusal)))
            return str(refusal)
        except StorageFailure as failure:
            sentence = f"server {self._config.id} cannot read this any more: {failure}"
            self._log.error(sentence)
            await answer.send(inspection.REFUSED, inspection.encode_refused(sentence))
            return sentence
        return "it was told what it asked for"

    async def refuse(self, stream: Stream, sentence: str) -> None:
        """Answer what could not even be read."""
        answer = _Answer(stream, self._config.reply_timeout_s)
        await answer.send(inspection.REFUSED, inspection.encode_refused(sentence))

    def _note(self, stream: Stream, asked: Inspection) -> None:
        """Who reads what has to be found out afterwards, too: it is all there is, whatever the ACLs say."""
        wanted = asked.wanted
        if isinstance(wanted, AskSnapshot):
            self._log.info(f"telling the snapshot at {wanted.zxid:#x}", client=stream.remote[0])
        elif isinstance(wanted, AskBatches):
            self._log.info(f"telling the log after {wanted.after:#x}", client=stream.remote[0])

    # ---- who may

    def _check_allowed(self, stream: Stream, asked: Inspection) -> None:
        config = self._config
        if config.inspect == NOBODY_INSPECTS:
            raise _Refused(f"server {config.id} tells its past to nobody: it runs with --inspect nobody")
        if config.inspect != ANYONE and not is_owner(stream) and not self._is_super(stream, asked):
            raise _Refused(
                f"server {config.id} tells its past only to its superuser, as whom this client did not authenticate; "
                "give --auth digest:USER:PASSWORD for the server's --super-digest, connect to a unix: address as the "
                "user who runs the server, or run the server with --inspect anyone"
            )
        if self._open >= config.inspections_max:
            raise _Refused(
                f"server {config.id} tells its past to {self._open} clients already (inspections_max); try again when "
                "one of them is done, or ask another server"
            )

    def _is_super(self, stream: Stream, asked: Inspection) -> bool:
        held: tuple[Identity, ...] = (("ip", stream.remote[0]),)
        for scheme, credentials in asked.auth:
            try:
                proved = authenticate(Authenticate(scheme, credentials), held, self._config.super_digest)
            except AuthFailedError:
                continue
            if (SUPER_SCHEME, "") in proved:
                return True
        return False

    # ---- what is told

    async def _tell(self, answer: "_Answer", asked: Inspection) -> None:
        wanted = asked.wanted
        last = self._committed()
        if isinstance(wanted, AskOverview):
            await answer.send(inspection.OVERVIEW, inspection.encode_told(self._overview(last)))
        elif isinstance(wanted, AskSnapshot):
            last = wanted.zxid
            await self._tell_snapshot(answer, wanted)
        else:
            last = await self._tell_batches(answer, wanted, last)
        await answer.end(last)

    def _committed(self) -> int:
        return self._driver.replica.participant.log.commit

    def _overview(self, last: int) -> Told:
        store = self._store
        cluster = self._driver.replica.participant.ballot.cluster
        snapshots = tuple(store.snapshot_sizes)
        return Told(self._config.id, cluster, snapshots, store.log_start, last, store.log_bytes)

    async def _tell_snapshot(self, answer: "_Answer", wanted: AskSnapshot) -> None:
        zxid = wanted.zxid
        there = self._store.snapshot_zxids
        if zxid not in there:
            known = ", ".join(map(hex, there)) or "none"
            raise _Refused(f"server {self._config.id} has no snapshot at {zxid:#x} (any more); it has {known}")
        with closing(self._framed_chunks(answer, zxid)) as pieces:
            while True:
                try:
                    buffers = await self._read(lambda: next(pieces, None))
                except StorageFailure:
                    if zxid in self._store.snapshot_zxids:
                        raise
                    raise _Refused(
                        f"server {self._config.id} has just removed its snapshot at {zxid:#x}; begin anew"
                    ) from None
                if buffers is None:
                    break
                await answer.put(buffers)

    def _framed_chunks(self, answer: "_Answer", zxid: int) -> Generator[Buffers, None, None]:
        """Runs in a thread, a step at a time."""
        for chunk in self._store.snapshot_chunks(zxid):
            yield [*answer.writer.add(inspection.SNAPSHOT, chunk)]

    async def _tell_batches(self, answer: "_Answer", wanted: AskBatches, upto: int) -> int:
        """Up to `upto`, which was committed when this was asked; where that ended."""
        position = self._store.end_before(wanted.after)
        if position is None:
            raise _Refused(
                f"server {self._config.id} has no log after {wanted.after:#x} any more: it begins at "
                f"{self._store.log_start:#x}"
            )
        log = self._driver.replica.participant.log
        while position < upto:
            # Behind what is durable, or before where the replica's own log begins, the disk may still hold entries that
            # were never committed: a cut, or a leader's snapshot, is on its way to it.
            found = None
            if position >= log.start:
                limit = min(upto, log.durable)
                if limit <= position:
                    await self._wait_for_disk(position)
                    continue
                found = await self._read(partial(self._framed_batches, answer, position, limit))
            if found is None:
                raise _Refused(
                    f"server {self._config.id} has removed its log after {position:#x} while it was told; begin anew"
                )
            buffers, ended = found
            if ended == position:
                break  # the limit is in the middle of a batch: the rest of it is not known to be committed
            position = ended
            await answer.put(buffers)
        return position

    def _framed_batches(self, answer: "_Answer", after: int, upto: int) -> tuple[Buffers, int] | None:
        """Some of the batches after `after`, and where they end; None if the log does not go on there. In a thread."""
        batches = self._store.read_batches(after, READ_BYTES_MAX)
        if batches is None:
            return None
        buffers: Buffers = []
        for batch in batches:
            if batch.last > upto:
                break
            buffers += answer.writer.add(inspection.BATCH, batch.encoded)
            after = batch.last
        return buffers, after

    async def _wait_for_disk(self, position: int) -> None:
        """The other servers have made something committed that is not yet on this disk."""
        with trio.move_on_after(LATE_S) as waiting:
            while self._driver.replica.participant.log.durable <= position:
                await self._driver.wait_pumped()
        if waiting.cancelled_caught:
            raise _Refused(
                f"the disk of server {self._config.id} is {LATE_S:g} s late: it does not hold what is committed after "
                f"{position:#x}; ask another server"
            )

    async def _read(self, read: Callable[[], T]) -> T:
        """Read a piece beside the event loop, and then leave the processor to the clients for as long."""
        began = perf_counter()
        found = await self._writer.aside(read)
        if not self._store.instant:
            await trio.sleep(perf_counter() - began)
        return found


class _Answer:
    """The answer on its way. `writer` makes its pieces, in the thread that reads them."""

    def __init__(self, stream: Stream, timeout_s: float) -> None:
        self.writer = PieceWriter()
        self._stream = stream
        self._timeout_s = timeout_s

    async def send(self, kind: int, body: bytes) -> None:
        await self.put(self.writer.add(kind, body))

    async def end(self, last: int) -> None:
        await self.send(inspection.END, inspection.encode_end(last))

    async def put(self, buffers: Sequence[bytes]) -> None:
        """Send what the writer made. OSError if the receiver stands still or is gone."""
        data = memoryview(b"".join(buffers))
        for start in range(0, len(data), SEND_BYTES_MAX):
            with trio.move_on_after(self._timeout_s) as sending:
                await self._stream.send_all(data[start : start + SEND_BYTES_MAX])
            if sending.cancelled_caught:
                raise TimeoutError(f"it has not taken what it asked for within {self._timeout_s:g} s")
