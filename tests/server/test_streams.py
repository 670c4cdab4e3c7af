"""What a server gives back to one whose log was damaged, and when it does not."""

from types import SimpleNamespace
from typing import Any, cast

import trio

from coord.codec.batch import encode_batch
from coord.codec.peer import encode
from coord.model.entries import Batch, zxid_of
from coord.paxos.durable import FetchRequest
from coord.paxos.messages import Fetched
from coord.server.streams import Streams


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
