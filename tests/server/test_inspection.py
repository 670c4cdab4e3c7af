"""Asking a running server for its past, over its client port."""

import base64
import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from memory_ensemble import CLIENT_PORT, MemoryEnsemble, memory_ensemble

from coord.codec import inspection
from coord.codec.batch import decode_batch, encode_batch
from coord.codec.pieces import PieceReader, PieceWriter
from coord.model.entries import Batch, counter_of, zxid_of
from coord.model.inspection import AskBatches, AskOverview, Inspection
from coord.past.errors import PastError
from coord.past.remote import ServerSource
from coord.past.replay import Replay
from coord.server.config import Config
from coord.server.inspection import Inspections
from coord.server.log_lines import EventLog
from coord.state.machine import Machine
from coord.state.snapshot import Restoring
from coord.storage.writer import Writer
from tools.wire import jute
from tools.wire.jute import Op

ROOT = ("digest", b"root:secret")
SUPER_DIGEST = f"root:{base64.b64encode(hashlib.sha1(b'root:secret').digest()).decode()}"
SMALL = {"segment_bytes": 4096, "snapshot_after_bytes": 20_000, "past_bytes_max": 0}
"""Segments and snapshots come and go after a few dozen writes."""


def source(servers: MemoryEnsemble, server: int, *auth: tuple[str, bytes]) -> ServerSource:
    return ServerSource(servers.network.host("asker"), f"s{server}", CLIENT_PORT, f"s{server}:{CLIENT_PORT}", auth)


async def all_of(stream: Any) -> list[Any]:
    return [each async for each in stream]


def digest(servers: MemoryEnsemble, server: int) -> tuple[int, int]:
    machine = servers.replicas[server].machine
    return machine.zxid, machine.digest


async def restored(past: ServerSource, snapshot: int) -> Machine:
    """The state that the past of a server ends with."""
    machine = Machine()
    if snapshot:
        restoring = Restoring()
        for chunk in await all_of(past.snapshot(snapshot)):
            restoring.add(chunk)
        machine = restoring.finish()
    replay = Replay(machine)
    for batch in await all_of(past.batches(machine.zxid)):
        replay.apply(batch)
    return machine


async def test_each_server_tells_what_it_has_and_that_gives_its_state(autojump_clock: Any) -> None:
    async with memory_ensemble(3, inspect="anyone", **SMALL) as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for number in range(300):
            await client.set("/a", b"%d" % number * 30)
        await trio.sleep(2)
        for server in servers.servers:
            past = source(servers, server)
            told = await past.overview()
            assert (told.server, told.last) == (server, digest(servers, server)[0])
            assert told.cluster
            assert told.log_bytes
            assert told.snapshots
            for snapshot in told.snapshots:
                if snapshot.zxid >= told.log_start:
                    machine = await restored(past, snapshot.zxid)
                    assert (machine.zxid, machine.digest) == digest(servers, server)


async def test_a_log_from_the_beginning_needs_no_snapshot(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        client = await servers.client(1)
        await client.create("/a", b"here")
        past = source(servers, 1)
        told = await past.overview()
        assert (told.snapshots, told.log_start) == ((), 0)
        machine = await restored(past, 0)
        assert (machine.zxid, machine.digest) == digest(servers, 1)


async def test_an_entry_in_the_middle_of_a_batch_is_told_with_its_batch(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        client = await servers.client(1)
        for number in range(5):
            await client.send(Op.CREATE, jute.create(f"/{number}", b""))
        for _ in range(5):
            await client.receive()
        past = source(servers, 1)
        batches: list[Batch] = await all_of(past.batches(0))
        assert any(batch.count > 1 for batch in batches)
        for batch in batches:
            for zxid in range(batch.first, batch.last):
                assert (await all_of(past.batches(zxid)))[0] == batch
            assert [each.first for each in await all_of(past.batches(batch.last))] == [
                each.first for each in batches if each.first > batch.last
            ]


async def test_a_server_without_a_leader_tells_its_past(autojump_clock: Any) -> None:
    async with memory_ensemble(3, inspect="anyone") as servers:
        client = await servers.client(1)
        await client.create("/a", b"here")
        await servers.wait_converged()
        expected = digest(servers, 1)
        servers.crash(2)
        servers.crash(3)
        await trio.sleep(5)
        assert not servers.replicas[1].participant.serving
        machine = await restored(source(servers, 1), 0)
        assert (machine.zxid, machine.digest) == expected


async def test_what_is_not_committed_is_not_told(autojump_clock: Any) -> None:
    """A leader that is cut off keeps what it proposes on its disk, and a new leader makes it void."""
    async with memory_ensemble(3, inspect="anyone") as servers:
        leader = servers.leader()
        client = await servers.client(leader)
        await client.create("/a", b"committed")
        last = servers.replicas[leader].participant.log.commit
        servers.cut_off(leader)
        await client.send(Op.SET_DATA, jute.set_data("/a", b"never committed"))
        await trio.sleep(0.5)
        assert servers.replicas[leader].participant.log.last > last
        past = source(servers, leader)
        assert (await past.overview()).last == last
        assert (await all_of(past.batches(0)))[-1].last == last


# ---- who may


async def test_only_the_superuser_is_told_unless_the_setting_says_otherwise(autojump_clock: Any) -> None:
    async with memory_ensemble(1, super_digest=SUPER_DIGEST) as servers:
        assert (await source(servers, 1, ROOT).overview()).server == 1
        assert (await source(servers, 1, ("digest", b"ann:x"), ROOT).overview()).server == 1
        for auth in ((), (("digest", b"root:wrong"),), (("nothing", b""),), (("digest", b"\xff"),)):
            with pytest.raises(PastError, match=r"only to its superuser.*give --auth digest:USER:PASSWORD"):
                await source(servers, 1, *auth).overview()


async def test_nobody_means_nobody(autojump_clock: Any) -> None:
    async with memory_ensemble(1, super_digest=SUPER_DIGEST, inspect="nobody") as servers:
        with pytest.raises(PastError, match="to nobody"):
            await source(servers, 1, ROOT).overview()


# ---- bad input


async def test_what_is_not_there_is_refused_with_what_there_is(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone", snapshots_kept=1, **SMALL) as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for _ in range(300):
            await client.set("/a", bytes(100))
        await trio.sleep(2)
        past = source(servers, 1)
        told = await past.overview()
        assert told.log_start
        with pytest.raises(PastError, match=rf"no snapshot at 0x7 \(any more\); it has {told.snapshots[0].zxid:#x}"):
            await all_of(past.snapshot(7))
        with pytest.raises(PastError, match=f"begins at {told.log_start:#x}"):
            await all_of(past.batches(told.log_start - 1))
        assert await all_of(past.batches(1 << 62)) == []


@pytest.mark.parametrize(
    "sent",
    [
        inspection.PREAMBLE + bytes(9),
        inspection.PREAMBLE + b"\xff" * 9,
        inspection.PREAMBLE + b"".join(PieceWriter().add(0, b"\xff")),
        inspection.PREAMBLE + b"".join(PieceWriter().add(4, b"\x83\x01\x80\x00")),
        inspection.PREAMBLE + b"".join(PieceWriter().add(0, b"\x83\x02\x80\x00")),
        inspection.PREAMBLE + b"".join(PieceWriter().add(0, b"\x83\x01\x80\x09")),
        inspection.PREAMBLE + b"".join(PieceWriter().add(0, b"\x84\x01\x80\x01\x20")),
        inspection.encode_inspection(Inspection(AskOverview(), ()))[:-1] + b"?",
    ],
)
async def test_nonsense_is_refused_in_a_sentence_and_hurts_nobody(autojump_clock: Any, sent: bytes) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        other = await servers.client(1)
        stream = await servers.network.host("asker").connect("s1", CLIENT_PORT)
        await stream.send_all(sent)
        assert "cannot be read" in inspection.decode_refused(await _refusal(stream))
        await other.create("/a", b"")
        assert not servers.failures


async def _refusal(stream: Any) -> bytes:
    reader = PieceReader()
    pieces: list[Any] = []
    while data := await stream.receive():
        pieces += reader.feed(data)
    assert [piece.kind for piece in pieces] == [inspection.REFUSED]
    return pieces[0].body


async def test_a_request_that_stays_half_sent_is_hung_up_on(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        stream = await servers.network.host("asker").connect("s1", CLIENT_PORT)
        await stream.send_all(inspection.encode_inspection(Inspection(AskOverview(), ()))[:9])
        began = trio.current_time()
        assert await stream.receive() == b""
        assert 10 <= trio.current_time() - began < 11


# ---- many at a time, and those who stand still


async def test_a_reader_that_stands_still_is_hung_up_on_and_no_other_client_waits_for_it(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone", inspections_max=1) as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for _ in range(20):
            await client.set("/a", bytes(100_000))
        stream = await servers.network.host("still").connect("s1", CLIENT_PORT)
        await stream.send_all(inspection.encode_inspection(Inspection(AskBatches(0), ())))
        await trio.sleep(1)
        began = trio.current_time()
        await client.set("/a", b"meanwhile")
        assert trio.current_time() - began < 0.1
        with pytest.raises(PastError, match=r"tells its past to 1 clients already \(inspections_max\)"):
            await source(servers, 1).overview()
        await trio.sleep(31)
        assert (await source(servers, 1).overview()).server == 1
        while await stream.receive():
            pass
        assert not servers.failures


async def test_several_are_told_at_a_time_while_writes_go_on(autojump_clock: Any) -> None:
    """Each gets a state that was: the one at the zxid up to which it was told."""
    async with memory_ensemble(3, inspect="anyone", **SMALL) as servers:
        client = await servers.client(servers.leader())
        await client.create("/a", b"")
        digests: dict[int, int] = {}
        found: list[Machine] = []

        async def write() -> None:
            for number in range(400):
                await client.set("/a", b"%d" % number * 30)
                for server in servers.servers:
                    zxid, value = digest(servers, server)
                    assert digests.setdefault(zxid, value) == value

        async def read(server: int) -> None:
            past = source(servers, server)
            for _ in range(3):
                told = await past.overview()
                found.append(await restored(past, told.snapshots[-1].zxid if told.snapshots else 0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            for server in servers.servers:
                nursery.start_soon(read, server)
        assert len(found) > 3
        for machine in found:
            assert digests.get(machine.zxid, machine.digest) == machine.digest
        assert any(machine.zxid in digests for machine in found)
        assert not servers.failures


async def test_a_server_that_goes_away_in_the_middle_is_one_sentence(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for _ in range(20):
            await client.set("/a", bytes(100_000))
        batches = source(servers, 1).batches(0)
        await anext(batches)
        servers.crash(1)
        with pytest.raises(PastError, match="went away in the middle of its answer"):
            await all_of(batches)
        with pytest.raises(PastError, match=r"no server answers at s1:2181"):
            await source(servers, 1).overview()


async def test_a_snapshot_that_is_removed_while_it_is_told_is_told_to_its_end(autojump_clock: Any) -> None:
    async with memory_ensemble(
        1, inspect="anyone", snapshots_kept=1, past_bytes_max=0, snapshot_after_bytes=1_500_000
    ) as servers:
        client = await servers.client(1)
        for number in range(8):
            await client.create(f"/{number}", bytes(200_000))
        await trio.sleep(2)
        past = source(servers, 1)
        (taken,) = (await past.overview()).snapshots
        chunks = past.snapshot(taken.zxid)
        told = [await anext(chunks)]
        for _ in range(8):
            await client.set("/0", bytes(200_000))
        await trio.sleep(2)
        assert taken not in (await past.overview()).snapshots
        restoring = Restoring()
        for chunk in [*told, *await all_of(chunks)]:
            restoring.add(chunk)
        assert restoring.finish().zxid == taken.zxid


async def test_a_log_that_is_removed_while_it_is_told_ends_in_a_sentence(autojump_clock: Any) -> None:
    async with memory_ensemble(
        1, inspect="anyone", snapshots_kept=1, past_bytes_max=0, snapshot_after_bytes=3_000_000, segment_bytes=1 << 20
    ) as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for _ in range(25):
            await client.set("/a", bytes(100_000))
        batches = source(servers, 1).batches(0)
        await anext(batches)
        for _ in range(60):
            await client.set("/a", bytes(100_000))
        await trio.sleep(2)
        with pytest.raises(PastError, match=r"has removed its log after 0x[0-9a-f]+ while it was told; begin anew"):
            await all_of(batches)


async def test_a_snapshot_that_rotted_is_refused_and_the_server_goes_on(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone", **SMALL) as servers:
        client = await servers.client(1)
        await client.create("/a", b"")
        for _ in range(300):
            await client.set("/a", bytes(100))
        await trio.sleep(2)
        past = source(servers, 1)
        zxid = (await past.overview()).snapshots[-1].zxid
        file = servers.disks[1].open(f"snapshots/{zxid:016x}")
        file.write(60, [b"rot"])
        file.close()
        with pytest.raises(PastError, match=r"cannot read this any more.*was damaged since the start"):
            await all_of(past.snapshot(zxid))
        await client.set("/a", b"")
        assert not servers.failures


async def test_where_there_is_no_snapshot_that_is_said(autojump_clock: Any) -> None:
    async with memory_ensemble(1, inspect="anyone") as servers:
        with pytest.raises(PastError, match="it has none"):
            await all_of(source(servers, 1).snapshot(0))


# ---- what the disk still holds and must not be told


class Recorded:
    """A stream that keeps what is sent."""

    remote = "10.0.0.1", 1

    def __init__(self) -> None:
        self.sent = b""

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += data


class Desk:
    """A server's parts as an inspection sees them, set as it would hardly meet them."""

    def __init__(self, *, commit: int, durable: int, start: int) -> None:
        self.log = SimpleNamespace(commit=commit, durable=durable, start=start)
        self.pumps = 0
        self.batches = [_batch(zxid) for zxid in range(1, 6)]  # on the disk
        participant = SimpleNamespace(log=self.log, ballot=SimpleNamespace(cluster=7))
        driver = SimpleNamespace(replica=SimpleNamespace(participant=participant), wait_pumped=self._pumped)
        store: Any = SimpleNamespace(
            instant=True, end_before=lambda zxid: zxid_of(1, 0) + zxid, read_batches=self._read, log_start=0
        )
        self.inspections = Inspections(Config(inspect="anyone"), cast(Any, driver), store, Writer(store), EventLog(1))

    async def _pumped(self) -> None:
        await trio.sleep(1)
        self.pumps += 1
        self.log.durable += 1

    def _read(self, after: int, bytes_max: int) -> list[Batch]:
        return [batch for batch in self.batches if batch.previous >= after]

    async def told(self, after: int) -> tuple[list[int], str]:
        """The counters of the batches that were told, and the refusal."""
        stream = Recorded()
        await self.inspections.answer(cast(Any, stream), Inspection(AskBatches(after), ()))
        pieces = PieceReader().feed(stream.sent)
        refused = "".join(inspection.decode_refused(each.body) for each in pieces if each.kind == inspection.REFUSED)
        batches = [decode_batch(each.body) for each in pieces if each.kind == inspection.BATCH]
        return [counter_of(each.last) for each in batches], refused


def _batch(counter: int) -> Batch:
    batch = Batch(1, zxid_of(1, counter), 1, zxid_of(1, counter - 1) if counter > 1 else zxid_of(1, 0), 0, 0, 0, b"")
    encode_batch(batch)
    return batch


async def test_what_a_cut_is_on_its_way_to_is_not_told(autojump_clock: Any) -> None:
    """The replica has cut its log at 3: whatever follows there on the disk counts only when the replica says so."""
    desk = Desk(commit=zxid_of(1, 5), durable=zxid_of(1, 3), start=0)
    assert await desk.told(0) == ([1, 2, 3, 4, 5], "")
    assert desk.pumps == 2  # each of the last two only when the replica knew that it was on the disk


async def test_a_disk_that_stays_late_is_said_to_be(autojump_clock: Any) -> None:
    desk = Desk(commit=zxid_of(1, 5), durable=zxid_of(1, 3), start=0)

    async def never() -> None:
        await trio.sleep_forever()

    desk.inspections._driver.wait_pumped = never  # type: ignore[method-assign]
    counters, refused = await desk.told(0)
    assert counters == [1, 2, 3]
    assert "is 10 s late" in refused


async def test_a_log_that_a_leaders_snapshot_is_about_to_replace_is_not_told(autojump_clock: Any) -> None:
    desk = Desk(commit=zxid_of(2, 9), durable=zxid_of(1, 5), start=zxid_of(2, 9))
    counters, refused = await desk.told(0)
    assert counters == []
    assert "has removed its log" in refused
