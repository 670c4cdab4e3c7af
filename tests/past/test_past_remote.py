"""A server as a source: an answer counts only as it was sent, whole and in order."""

import errno
import random
from typing import Any, cast

import pytest
import trio

from coord.codec import inspection
from coord.codec.pieces import PieceReader, PieceWriter
from coord.model.acl import OPEN_ACL
from coord.model.inspection import AskBatches, AskOverview, AskSnapshot, Told
from coord.model.requests import Create, CreateSession
from coord.past.errors import PastDamaged, PastError
from coord.past.remote import ServerSource
from tests.past.scribe import Scribe, run_of
from tests.state.world import PASSWORD


class Answering:
    """A network on which everybody answers with these bytes, some at a time, and hangs up."""

    def __init__(self, answer: bytes, step: int = 1000, error: OSError | None = None) -> None:
        self.answer = answer
        self.step = step
        self.error = error
        self.asked: list[Any] = []
        self.open = 0

    async def connect(self, host: str, port: int) -> Any:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        self.open += 1
        return _Stream(self)


class _Stream:
    def __init__(self, network: Answering) -> None:
        self._network = network
        self._rest = network.answer

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        (piece,) = PieceReader().feed(data[len(inspection.PREAMBLE) :])
        self._network.asked.append(inspection.decode_inspection(piece.body))

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self._rest = self._rest[: self._network.step], self._rest[self._network.step :]
        return data

    def close(self) -> None:
        self._network.open -= 1


def answer(*pieces: tuple[int, bytes]) -> bytes:
    writer = PieceWriter()
    return b"".join(data for kind, body in pieces for data in writer.add(kind, body))


def source(network: Answering) -> ServerSource:
    return ServerSource(cast(Any, network), "h", 1, "h:1", (("digest", b"root:secret"),))


async def all_of(stream: Any) -> list[Any]:
    return [each async for each in stream]


@pytest.fixture
def scribe() -> Scribe:
    made = Scribe()
    made.write(run_of(CreateSession(1, PASSWORD, 1000)))
    for name in "abcd":
        made.write(run_of(Create(f"/{name}", b"value", OPEN_ACL), session=1))
    return made


def batches_told(scribe: Scribe) -> bytes:
    pieces = [(inspection.BATCH, batch.encoded) for batch in scribe.batches]
    return answer(*pieces, (inspection.END, inspection.encode_end(scribe.last)))


async def test_what_is_told_comes_back_in_whatever_steps_and_the_connection_is_closed(scribe: Scribe) -> None:
    for step in (1, 7, 1000):
        network = Answering(batches_told(scribe), step)
        assert await all_of(source(network).batches(5)) == scribe.batches
        chunks = Answering(answer((inspection.SNAPSHOT, b"one"), (inspection.SNAPSHOT, b"two"), (4, b"\x07")), step)
        assert await all_of(source(chunks).snapshot(7)) == [b"one", b"two"]
        told = Told(3, 4, ((5, 6),), 1, 9, 8)
        overview = Answering(answer((inspection.OVERVIEW, inspection.encode_told(told)), (4, b"\x09")), step)
        found = await source(overview).overview()
        assert (found.server, found.cluster, found.log_start, found.last, found.log_bytes) == (3, 4, 1, 9, 8)
        assert [(each.zxid, each.size_bytes) for each in found.snapshots] == [(5, 6)]
        asked = [each.wanted for each in network.asked + chunks.asked + overview.asked]
        assert asked == [AskBatches(5), AskSnapshot(7), AskOverview()]
        assert all(each.auth == (("digest", b"root:secret"),) for each in network.asked)
        assert network.open == chunks.open == overview.open == 0


async def test_any_byte_that_changes_on_the_way_is_found(scribe: Scribe) -> None:
    good = batches_told(scribe)
    chance = random.Random(1)
    for offset in range(len(good)):
        changed = bytearray(good)
        changed[offset] ^= 1 << chance.randrange(8)
        network = Answering(bytes(changed))
        with pytest.raises(PastError, match=r"was damaged on its way|went away in the middle|gave no answer"):
            await all_of(source(network).batches(0))
        assert network.open == 0


async def test_an_answer_that_ends_anywhere_before_its_end_is_none(scribe: Scribe) -> None:
    good = batches_told(scribe)
    for length in range(len(good)):
        with pytest.raises(PastError, match=r"went away in the middle of its answer|gave no answer \(it hung up\)"):
            await all_of(source(Answering(good[:length])).batches(0))


async def test_batches_that_were_left_out_are_missed(scribe: Scribe) -> None:
    bodies = [(inspection.BATCH, batch.encoded) for batch in scribe.batches]
    end = (inspection.END, inspection.encode_end(scribe.last))
    with pytest.raises(PastDamaged, match="has left out what stands before"):
        await all_of(source(Answering(answer(bodies[0], *bodies[2:], end))).batches(0))
    with pytest.raises(PastDamaged, match="has left out what stands before"):
        await all_of(source(Answering(answer(*bodies[1:], end))).batches(0))
    with pytest.raises(PastDamaged, match=rf"has told up to {scribe.batches[-2].last:#x}, and says {scribe.last:#x}"):
        await all_of(source(Answering(answer(*bodies[:-1], end))).batches(0))
    with pytest.raises(PastDamaged, match="answers with what was not asked for"):
        await all_of(source(Answering(answer((inspection.SNAPSHOT, b"x"), end))).batches(0))
    with pytest.raises(PastError, match="answered with nothing"):
        await source(Answering(answer(end))).overview()


async def test_a_refusal_is_told_as_it_was_said_also_in_the_middle(scribe: Scribe) -> None:
    refused = (inspection.REFUSED, inspection.encode_refused("begin anew"))
    for pieces in ([refused], [(inspection.BATCH, scribe.batches[0].encoded), refused]):
        with pytest.raises(PastError, match=r"^begin anew$"):
            await all_of(source(Answering(answer(*pieces))).batches(0))


async def test_an_overview_that_announces_more_than_any_server_has_is_refused_at_once() -> None:
    told = answer((inspection.OVERVIEW, bytes(2 << 20)))
    with pytest.raises(PastDamaged, match="a piece of 2097152 bytes was announced"):
        await source(Answering(told)).overview()


async def test_nobody_there_is_one_sentence(autojump_clock: Any) -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    grouped = OSError("all attempts to connect to h:1 failed")
    grouped.__cause__ = ExceptionGroup("attempts", [refused])
    for error in (refused, grouped):
        with pytest.raises(PastError, match=r"^no server answers at h:1: Connection refused; start it"):
            await source(Answering(b"", error=error)).overview()

    class Mute(_Stream):
        async def receive(self) -> bytes:
            await trio.sleep_forever()
            raise AssertionError

    class Silent(Answering):
        async def connect(self, host: str, port: int) -> Any:
            await trio.lowlevel.checkpoint()
            return Mute(self)

    with pytest.raises(PastError, match=r"gave no answer \(nothing came for 60 s\)"):
        await all_of(source(Silent(b"")).batches(0))
    with pytest.raises(PastError, match=r"gave no answer \(nothing came for 5 s\)"):
        await source(Silent(b"")).overview()
