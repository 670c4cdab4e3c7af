"""Who may see and do what, where it is easily forgotten: inside a multi, through a watch, between two requests."""

import pytest
import trio
from memory_ensemble import MemoryClient, MemoryEnsemble, memory_ensemble

from tools.wire import jute
from tools.wire.jute import Op

ANN = b"ann:secret"
ONLY_CREATOR: jute.Acl = [(31, "auth", "")]
NO_AUTH = -102
PERSISTENT, RECURSIVE = 0, 1


async def ann_of(ensemble: MemoryEnsemble) -> MemoryClient:
    client = await ensemble.client(1)
    assert (await client.call(Op.AUTH, jute.auth("digest", ANN), xid=jute.AUTH_XID)).error == 0
    return client


async def test_each_part_of_a_multi_needs_its_own_right_and_one_without_it_undoes_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        ann, stranger = await ann_of(ensemble), await ensemble.client(1)
        await ann.call(Op.CREATE, jute.create("/closed", b"secret", ONLY_CREATOR))
        await ann.call(Op.CREATE, jute.create("/closed/child", b"", ONLY_CREATOR))
        forbidden = [
            (Op.CREATE, jute.create("/closed/new")),
            (Op.CREATE2, jute.create("/closed/new")),
            (Op.CREATE_CONTAINER, jute.create("/closed/new", flags=4)),
            (Op.CREATE_TTL, jute.create_ttl("/closed/new", b"", 1000)),
            (Op.SET_DATA, jute.set_data("/closed", b"")),
            (Op.DELETE, jute.path_and_version("/closed/child")),
            (Op.CHECK, jute.path_and_version("/closed")),  # would tell the version
        ]
        for op, body in forbidden:
            parts = [(int(Op.CREATE), jute.create("/mine")), (int(op), body)]
            reader = (await stranger.call(Op.MULTI, jute.multi(*parts))).reader()
            codes = []
            while (kind := reader.int32()) == -1 and not reader.boolean():
                codes.append((reader.int32(), reader.int32())[0])
            assert kind == -1
            assert codes == [0, NO_AUTH], (op, codes)
            assert not await stranger.exists("/mine")


async def test_each_part_of_a_multi_read_needs_its_own_right(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        ann, stranger = await ann_of(ensemble), await ensemble.client(1)
        await ann.call(Op.CREATE, jute.create("/closed", b"secret", ONLY_CREATOR))
        parts = [
            (int(Op.GET_DATA), jute.path_and_watch("/closed")),
            (int(Op.GET_CHILDREN), jute.path_and_watch("/closed")),
        ]
        reply = await stranger.call(Op.MULTI_READ, jute.multi(*parts))
        assert b"secret" not in reply.body
        assert reply.body.count(NO_AUTH.to_bytes(4, "big", signed=True)) == 4  # in each part's header and body


@pytest.mark.parametrize("server", [1, 2])
@pytest.mark.parametrize("watch", ["data", "exists", "children", "persistent", "recursive"])
async def test_no_kind_of_watch_tells_of_what_one_may_not_read(
    watch: str, server: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with memory_ensemble(2) as ensemble:
        ann, spy = await ann_of(ensemble), await ensemble.client(server)
        await ann.create("/open")
        await ann.create("/open/turned")
        await spy.sync()
        if watch == "data":
            await spy.call(Op.GET_DATA, jute.path_and_watch("/open/turned", True))
        elif watch == "exists":
            for path in ("/open/turned", "/open/closed"):
                await spy.call(Op.EXISTS, jute.path_and_watch(path, True))
        elif watch == "children":
            await spy.call(Op.GET_CHILDREN, jute.path_and_watch("/open/turned", True))
        else:
            mode = RECURSIVE if watch == "recursive" else PERSISTENT
            for path in ("/open/turned", "/open/closed"):
                await spy.call(Op.ADD_WATCH, jute.path_and_version(path, mode))
        # From here on nothing of these two may be read by others.
        await ann.call(Op.SET_ACL, jute.set_acl("/open/turned", ONLY_CREATOR))
        await ann.set("/open/turned", b"1")
        await ann.call(Op.CREATE, jute.create("/open/turned/child", b"", ONLY_CREATOR))
        await ann.call(Op.DELETE, jute.path_and_version("/open/turned/child"))
        await ann.call(Op.DELETE, jute.path_and_version("/open/turned"))
        await ann.call(Op.CREATE, jute.create("/open/closed", b"", ONLY_CREATOR))
        await ann.set("/open/closed", b"1")
        await ann.call(Op.CREATE, jute.create("/open/closed/child", b"", ONLY_CREATOR))
        await ann.call(Op.DELETE, jute.path_and_version("/open/closed/child"))
        await ann.call(Op.DELETE, jute.path_and_version("/open/closed"))
        await spy.sync()
        assert spy.events == []


async def test_a_recursive_watch_on_the_root_tells_of_open_znodes_only(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        ann, spy = await ann_of(ensemble), await ensemble.client(1)
        await spy.call(Op.ADD_WATCH, jute.path_and_version("/", RECURSIVE))
        await ann.create("/open")
        await ann.call(Op.CREATE, jute.create("/closed", b"", ONLY_CREATOR))
        await ann.call(Op.CREATE, jute.create("/closed/open-inside"))
        await spy.sync()
        assert [event.path for event in spy.events] == ["/open", "/closed/open-inside"]


async def test_what_was_sent_before_an_identity_was_proved_is_judged_without_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        ann = await ann_of(ensemble)
        await ann.call(Op.CREATE, jute.create("/closed", b"secret", ONLY_CREATOR))
        client = await ensemble.client(1)
        write = jute.set_data("/closed", b"changed")
        await client.stream.send_all(
            jute.request(1, Op.SET_DATA, write)
            + jute.request(jute.AUTH_XID, Op.AUTH, jute.auth("digest", ANN))
            + jute.request(2, Op.SET_DATA, write)
        )
        answers = {(reply := await client.receive()).xid: reply.error for _ in range(3)}
        assert answers == {1: NO_AUTH, jute.AUTH_XID: 0, 2: 0}


async def test_a_failed_proof_ends_the_connection_before_anything_after_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with memory_ensemble(1) as ensemble:
        client = await ensemble.client(1)
        await client.stream.send_all(
            jute.request(jute.AUTH_XID, Op.AUTH, jute.auth("no-such-scheme", b"x"))
            + jute.request(1, Op.CREATE, jute.create("/after"))
        )
        assert (await client.receive()).error == -115
        await client.wait_hung_up()
        assert not await (await ensemble.client(1)).exists("/after")


async def test_an_identity_does_not_move_with_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(2) as ensemble:
        ann = await ann_of(ensemble)
        await ann.call(Op.CREATE, jute.create("/closed", b"secret", ONLY_CREATOR))
        again = await ensemble.dial(2)
        await again.open(session=ann.session, password=ann.password)
        await again.sync()
        assert (await again.call(Op.GET_DATA, jute.path_and_watch("/closed"))).error == NO_AUTH


async def test_a_session_is_not_given_to_who_guesses_its_password(autojump_clock: trio.testing.MockClock) -> None:
    async with memory_ensemble(1) as ensemble:
        owner = await ensemble.client(1)
        await owner.create("/e", flags=1)
        for password in (b"", bytes(16), owner.password[:-1], owner.password + b"x", owner.password[::-1]):
            thief = await ensemble.dial(1)
            with pytest.raises(Exception, match="not known"):
                await thief.open(session=owner.session, password=password)
        await owner.ping()  # a wrong guess costs the owner nothing
        assert await owner.exists("/e")
