"""Short requests that could cost a server much: each is answered in bounded time and memory."""

import tracemalloc

import trio
from memory_ensemble import memory_ensemble

from tools.wire import jute
from tools.wire.jute import Op, Reader


async def test_a_multi_read_of_one_large_znode_ten_thousand_times_is_cut_short(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        await client.create("/n", bytes(1_000_000))
        part = (int(Op.GET_DATA), jute.path_and_watch("/n"))
        tracemalloc.start()
        try:
            reply = await client.call(Op.MULTI_READ, jute.multi(*[part] * 10_000))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert reply.error == 0
        assert len(reply.body) < 11_000_000
        assert peak_bytes < 100_000_000
        reader = Reader(reply.body)
        kinds = []
        while not ((kind := reader.int32()) == -1 and reader.boolean()):
            if kind == Op.GET_DATA:
                reader.boolean(), reader.int32(), reader.buffer(), reader.stat()
                kinds.append("data")
            else:  # an error
                reader.int32()
                assert reader.int32() == -5
                kinds.append("refused")
        assert kinds[:9] == ["data"] * 9
        assert kinds[9:] == ["refused"] * 9_991


async def test_missed_watches_on_a_path_of_half_a_million_slashes_are_told_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        path = "/a" * 500_000
        reply = await client.call(Op.SET_WATCHES, jute.set_watches(0, [path, "no path"], [], []), xid=-8)
        assert reply.error == 0
        assert [event.path for event in client.events] == [path, "no path"]


async def test_missed_events_below_a_closed_znode_are_not_told(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        owner = await ensemble.client(1)
        await owner.call(Op.AUTH, jute.auth("digest", b"ann:secret"), xid=-4)
        await owner.create("/open")
        await owner.call(Op.CREATE, jute.create("/open/closed", b"", [(31, "auth", "")]))
        stranger = await ensemble.client(1)
        asked = ["/open/closed", "/open/closed/child/deep", "/open/gone"]
        await stranger.call(Op.SET_WATCHES, jute.set_watches(0, asked, [], []), xid=-8)
        assert [event.path for event in stranger.events] == ["/open/gone"]


async def test_a_long_request_in_tiny_pieces_is_gathered_and_done(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        request = jute.request(1, Op.CREATE, jute.create("/n", bytes(100_000)))
        behind = jute.request(2, Op.EXISTS, jute.path_and_watch("/n"))
        stream = request + behind
        for start in range(0, len(stream), 997):
            await client.stream.send_all(stream[start : start + 997])
            await trio.lowlevel.checkpoint()
        assert (await client.receive()).error == 0
        assert (await client.receive()).error == 0
        for byte in jute.request(3, Op.EXISTS, jute.path_and_watch("/n")):
            await client.stream.send_all(bytes([byte]))
            await trio.sleep(0.001)
        assert (await client.receive()).error == 0


async def test_clients_that_give_up_while_there_is_no_leader_do_not_become_sessions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble() as ensemble:
        server = ensemble.followers()[0]
        others = [other for other in ensemble.servers if other != server]
        for other in others:
            ensemble.crash(other)
        await ensemble.wait(lambda: not ensemble.replicas[server].participant.serving)
        for _ in range(50):
            client = await ensemble.dial(server)
            await client.stream.send_all(jute.connect_request(60_000))
            await trio.sleep(0.01)
            client.stream.close()
        patient = await ensemble.dial(server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(patient.open, 60_000)
            for other in others:
                await ensemble.start(other)
        assert list(ensemble.replicas[server].machine.sessions) == [patient.session]
        await ensemble.wait_converged()


async def test_who_has_a_large_tree_counted_again_and_again_lets_others_have_their_turn() -> None:
    async with memory_ensemble(1, real_time=True) as ensemble:  # on the real clock: it is about the loop's own time
        client, other = await ensemble.client(1), await ensemble.client(1)
        count = Op.GET_ALL_CHILDREN_NUMBER
        await client.create("/tree")
        for start in range(0, 6_000, 2_000):
            parts = [(int(Op.CREATE), jute.create(f"/tree/n{start + number}")) for number in range(2_000)]
            assert (await client.call(Op.MULTI, jute.multi(*parts))).error == 0
        await client.stream.send_all(b"".join(jute.request(xid, count, jute.string("/tree")) for xid in range(200)))
        await other.ping()
        (greedy,) = [each for each in ensemble.replicas[1].clients.pipelines.values() if each.session == client.session]
        assert greedy.waiting  # the ping was not behind all of them
        for xid in range(200):
            reply = await client.receive()
            assert (reply.xid, reply.as_only(Reader.int32)) == (xid, 6_000)
