"""How a snapshot is sent; what a server gives back to one whose log was damaged, and when it does not."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from coord.codec.batch import encode_batch
from coord.codec.peer import encode
from coord.model.entries import Batch, zxid_of
from coord.paxos.durable import FetchRequest, StreamRequest
from coord.paxos.messages import Fetched, SnapshotChunk
from coord.server import streams
from coord.server.streams import Streams


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
async def test_a_snapshot_is_sent_in_order_and_its_last_chunk_alone_is_the_final_one(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "READ_BYTES_MAX", 12)  # three chunks of five bytes
    chunks = [b"%05d" % number for number in range(count)]
    sent: list[bytes] = []

    async def drained() -> None:
        await trio.lowlevel.checkpoint()

    async def aside(read: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return read()

    parts: dict[str, Any] = {
        "driver": SimpleNamespace(replica=SimpleNamespace(participant=SimpleNamespace(epoch=4))),
        "peers": None,
        "store": SimpleNamespace(last_snapshot_zxid=77, log_start=0, snapshot_chunks=lambda zxid: iter(chunks)),
        "writer": SimpleNamespace(aside=aside),
        "taker": None,
        "log": SimpleNamespace(info=lambda sentence: None),
    }
    link: Any = SimpleNamespace(outbox=SimpleNamespace(closed=False, wait_drained=drained), send=sent.append)
    async with trio.open_nursery() as nursery:
        assert await Streams(nursery, **parts)._send_snapshot(StreamRequest(2, 4, 0, True), link) == 77
    last = count - 1
    assert sent == [encode(SnapshotChunk(4, 77, index, index == last, chunk)) for index, chunk in enumerate(chunks)]


async def test_who_has_yet_to_get_the_last_answer_gets_no_further_one() -> None:
    """It asks again and again; over a slow link the answers would pile up until the connection is given up."""
    batch = Batch(1, zxid_of(1, 1), 1, 0, 0, 0, 0, b"lost")
    encode_batch(batch)
    sent: list[bytes] = []
    outbox = SimpleNamespace(bytes_waiting=0)
    link = SimpleNamespace(outbox=outbox, send=sent.append)

    async def aside(read: Any) -> list[Batch]:
        return cast(list[Batch], read())

    parts: dict[str, Any] = {
        "driver": None,
        "peers": SimpleNamespace(link=lambda peer: link),
        "store": SimpleNamespace(read_back=lambda upto, above, bytes_max: [batch]),
        "writer": SimpleNamespace(aside=aside),
        "taker": None,
        "log": None,
    }
    for waiting, answers in ((0, 1), (100, 1), (0, 2)):
        outbox.bytes_waiting = waiting
        async with trio.open_nursery() as nursery:
            Streams(nursery, **parts).fetch(FetchRequest(2, batch.last, 0))
        assert sent == [encode(Fetched(batch))] * answers
