"""A running server as a source of the past: asked over its client port (coord/codec/inspection.py).

A server tells what is committed, and of that what was committed when it was asked; it does not wait for a leader.
What it sends is checked piece by piece, and counts only if the end comes: a server that goes away in the middle is a
PastError, never a shorter past.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import trio

from coord.codec import inspection
from coord.codec.batch import decode_batch
from coord.codec.errors import CodecError
from coord.codec.pieces import PIECE_BYTES_MAX, Piece, PieceReader
from coord.model.entries import Batch
from coord.model.inspection import AskBatches, AskOverview, AskSnapshot, Auth, Inspection, Told, Wanted
from coord.net.network import Network, Stream
from coord.past.errors import NobodyThere, PastDamaged, PastError
from coord.past.source import Overview, StoredSnapshot

T = TypeVar("T")

OVERVIEW_BYTES_MAX = 1 << 20
"""It lists the snapshots, of which there are some dozens."""

DIAL_S = 5.0
"""A server that does not answer the dialing within so long is not there."""

OVERVIEW_S = 5.0
"""Nor is one whose overview takes longer, which needs no disk: who is frozen keeps nobody from asking the others."""

SILENT_S = 60.0
"""A server that sends nothing for so long has stopped; one whose disk is late says so much sooner."""


class ServerSource:
    """The server at one address. `auth` is whom to be: (scheme, credentials) pairs."""

    def __init__(self, network: Network, host: str, port: int, name: str, auth: Auth = ()) -> None:
        self._network = network
        self._where = host, port
        self._name = name
        self._auth = auth

    def __repr__(self) -> str:
        return f"<ServerSource {self._name}>"

    @property
    def name(self) -> str:
        return self._name

    async def overview(self) -> Overview:
        told: Told | None = None
        async with aclosing(self._ask(AskOverview(), inspection.OVERVIEW)) as answer:
            async for piece in answer:
                if piece.kind == inspection.OVERVIEW:
                    told = self._understood(inspection.decode_told, piece.body)
        if told is None:
            raise PastError(f"the server at {self._name} has answered with nothing; ask again, or another")
        snapshots = tuple([StoredSnapshot(zxid, size_bytes) for zxid, size_bytes in told.snapshots])
        return Overview(told.server, told.cluster, snapshots, told.log_start, told.last, told.log_bytes, committed=True)

    async def snapshot(self, zxid: int) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._ask(AskSnapshot(zxid), inspection.SNAPSHOT)) as answer:
            async for piece in answer:
                if piece.kind == inspection.SNAPSHOT:
                    yield piece.body

    async def batches(self, after: int) -> AsyncGenerator[Batch, None]:
        last: int | None = None
        async with aclosing(self._ask(AskBatches(after), inspection.BATCH)) as answer:
            async for piece in answer:
                if piece.kind == inspection.END:
                    end = self._understood(inspection.decode_end, piece.body)
                    if last is not None and last != end:
                        raise PastDamaged(f"the server at {self._name} has told up to {last:#x}, and says {end:#x}")
                    continue
                batch = self._understood(decode_batch, piece.body)
                if batch.previous > after if last is None else batch.previous != last:
                    raise PastDamaged(f"the server at {self._name} has left out what stands before {batch.first:#x}")
                last = batch.last
                yield batch

    # ---- one request, one answer

    async def _ask(self, wanted: Wanted, kind: int) -> AsyncGenerator[Piece, None]:
        """The answer's pieces, all of which are of one kind, and the one that ends it."""
        bytes_max, silent_s = PIECE_BYTES_MAX, SILENT_S
        if kind == inspection.OVERVIEW:
            bytes_max, silent_s = OVERVIEW_BYTES_MAX, OVERVIEW_S
        reader = PieceReader(bytes_max)
        stream = await self._dial()
        try:
            await stream.send_all(inspection.encode_inspection(Inspection(wanted, self._auth)))
            while True:
                for piece in self._understood(reader.feed, await self._receive(stream, reader, silent_s)):
                    if piece.kind == inspection.REFUSED:
                        raise PastError(self._understood(inspection.decode_refused, piece.body))
                    if piece.kind not in (kind, inspection.END):
                        raise PastDamaged(f"the server at {self._name} answers with what was not asked for")
                    yield piece
                    if piece.kind == inspection.END:
                        return
        except OSError as error:
            raise PastError(self._gone(reader, str(error))) from error
        finally:
            stream.close()

    async def _dial(self) -> Stream:
        host, port = self._where
        with trio.move_on_after(DIAL_S):
            try:
                return await self._network.connect(host, port)
            except OSError as error:
                raise NobodyThere(
                    f"no server answers at {self._name}: {_why(error)}; start it, or name another"
                ) from error
        raise NobodyThere(f"no server answers at {self._name} within {DIAL_S:g} s; start it, or name another")

    async def _receive(self, stream: Stream, reader: PieceReader, silent_s: float) -> bytes:
        with trio.move_on_after(silent_s):
            data = await stream.receive()
            if not data:
                raise PastError(self._gone(reader, "it hung up"))
            return data
        raise PastError(self._gone(reader, f"nothing came for {silent_s:g} s"))

    def _gone(self, reader: PieceReader, how: str) -> str:
        if reader.begun:
            return f"the server at {self._name} went away in the middle of its answer ({how}); ask again, or another"
        return (
            f"the server at {self._name} gave no answer ({how}): it is busy or no server of coord that tells its past; "
            "try again, or name another"
        )

    def _understood(self, read: Callable[[bytes], T], data: bytes) -> T:
        try:
            return read(data)
        except CodecError as error:
            raise PastDamaged(
                f"what the server at {self._name} sends was damaged on its way, or is no server's of coord: {error}"
            ) from error


def _why(error: OSError) -> str:
    """Trio says only that all attempts have failed; what it says of the last one tells more."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    known = cause if isinstance(cause, OSError) else error
    number = known.errno
    return os.strerror(number) if number is not None and number > 0 else known.strerror or str(known)
