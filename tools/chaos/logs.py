"""The servers' log, from the first batch to the last, though each server keeps only the end of it.

While the servers run, every segment they make is given a second name elsewhere, so that it stays when they drop it. In
the end the batches are taken out of all of them by their own magic and checksums (whatever the segments' format), and
the log is found from its end backwards: each batch names the one before it. What was never committed is not met so.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from coord.codec.batch import HEADER, HEADER_BYTES, MAGIC, decode_batch
from coord.codec.errors import CodecError
from coord.model.entries import Batch
from tools.check.replay import BODY_LENGTH_FIELD

LOOK_EVERY_S = 0.1


class LogError(Exception):
    """The disks of the servers contradict each other, or lack something; the text is one sentence."""


class Keeper:
    """A thread that gives each segment in the folders of `where` another name in the folder beside it."""

    def __init__(self, where: Mapping[Path, Path]) -> None:
        self._where = dict(where)  # a server's folder of segments: where they are kept
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper of logs", daemon=True)
        for kept in self._where.values():
            kept.mkdir(parents=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopping.set()
        self._thread.join()

    def batches(self) -> dict[int, Batch]:
        """All batches ever seen on any disk, by their last zxid. Raises LogError if two of them differ."""
        self._look()
        found: dict[int, Batch] = {}
        for kept in self._where.values():
            for segment in sorted(kept.iterdir()):
                for batch in batches_in(segment.read_bytes()):
                    other = found.setdefault(batch.last, batch)
                    if other.encoded != batch.encoded:
                        raise LogError(
                            f"two servers have written different batches that end at zxid {batch.last:#x}; one of them "
                            f"is in {segment}"
                        )
        return found

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        for log, kept in self._where.items():
            try:
                segments = list(os.scandir(log))
            except FileNotFoundError:
                continue
            for segment in segments:
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    # A name may come again, for other bytes, after a cut: the inode tells.
                    os.link(segment.path, kept / f"{segment.name}-{segment.inode()}")


def batches_in(data: bytes) -> Iterator[Batch]:
    """Every whole batch that stands in `data`, which may have anything before, between and behind them."""
    at = data.find(MAGIC)
    while at >= 0:
        end = at + 1
        if at + HEADER_BYTES <= len(data):
            length = HEADER_BYTES + HEADER.unpack_from(data, at)[BODY_LENGTH_FIELD]
            try:
                yield decode_batch(data[at : at + length])
                end = at + length
            except CodecError:
                pass  # a torn one, or these four bytes stood there by chance
        at = data.find(MAGIC, end)


def committed(batches: Mapping[int, Batch], zxid: int) -> list[Batch]:
    """The log up to the batch that holds `zxid`, which is known to be committed. Raises LogError if it has a hole."""
    found: list[Batch] = []
    last = next((batch.last for batch in batches.values() if batch.first <= zxid <= batch.last), zxid)
    while last:
        batch = batches.get(last)
        if batch is None:
            raise LogError(f"zxid {zxid:#x} is committed, but the batch before it that ends at {last:#x} is on no disk")
        found.append(batch)
        last = batch.previous
    return found[::-1]


def joined(batches: Iterable[Batch]) -> bytes:
    """As `python -m tools.check --log` reads it."""
    return b"".join(batch.encoded for batch in batches)
