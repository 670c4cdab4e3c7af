"""Everything a client can ask, against a real server in the process, on Trio and on asyncio."""

import functools

import anyio
import pytest

import coord
from coord.client import connecting
from coord.replica.replica import Replica
from coord.storage.errors import StorageRefused
from tests.client.both import on_both


def with_client(test):
    """The test gets a client of an embedded server."""

    @functools.wraps(test)
    async def run():
        async with coord.embedded() as client:
            await test(client)

    del run.__wrapped__
    return on_both(run)


@with_client
async def test_create_get_set_exists_delete(client):
    assert await client.create("/a", b"1") == "/a"
    value, stat = await client.get("/a")
    assert (value, stat.version, stat.data_length, stat.ephemeral_owner) == (b"1", 0, 1, 0)
    changed = await client.set("/a", b"22", version=0)
    assert (changed.version, changed.czxid) == (1, stat.czxid)
    assert await client.exists("/a") == changed
    await client.delete("/a", version=1)
    assert await client.exists("/a") is None


@with_client
async def test_errors_say_what_was_refused(client):
    with pytest.raises(coord.NoNodeError, match="/nowhere"):
        await client.get("/nowhere")
    await client.create("/a")
    with pytest.raises(coord.NodeExistsError, match="/a"):
        await client.create("/a")
    with pytest.raises(coord.BadVersionError, match=r"/a.*0.*7|/a.*7.*0"):
        await client.set("/a", b"", version=7)
    await client.create("/a/b")
    with pytest.raises(coord.NotEmptyError, match="/a"):
        await client.delete("/a")
    await client.create("/e", ephemeral=True)
    with pytest.raises(coord.NoChildrenForEphemeralsError):
        await client.create("/e/child")
    with pytest.raises(coord.InvalidAclError):
        await client.create("/b", acl=[])


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda client: client.create("/a", "text"), "encode it first"),
        (lambda client: client.create("/a", ephemeral=True, container=True), "only one of these"),
        (lambda client: client.create("/a", ttl=0), "at least 0.001 seconds"),
        (lambda client: client.create("no-slash"), "no-slash"),
        (lambda client: client.create("/zookeeper//b", parents=True), "//"),
        (lambda client: client.set("/a", b"", version="1"), "cannot be written"),
        (lambda client: client.get(b"/a"), "cannot be written"),
        (lambda client: client.get("/", at_least="x"), "AtLeast"),
        (lambda client: client.get("/", at_least=1 << 70), "AtLeast"),
        (lambda client: client.children_page("/", after=None), "should be text"),
        (lambda client: client.children_page("/", data=1), "true or false"),
        (lambda client: client.watch(None).__aenter__(), "should be text"),
        (lambda client: client.authenticate(5, "x"), "should be text"),
        (lambda client: client.create("/a", acl=[(31, "world")]), "list of entries"),
        (lambda client: client.create("/a", acl=[(1 << 70, "world", "anyone")]), "no set of permissions"),
        (lambda client: client.create("/a", ttl=float("inf")), "at least 0.001"),
        (lambda client: client.create("/a", ttl="soon"), "at least 0.001"),
        (lambda client: coord.connect("h1", session_timeout=float("inf")).__aenter__(), "finite"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_in_a_sentence(call, part):
    async def main():
        async with coord.embedded() as client:
            with pytest.raises(coord.BadArgumentsError) as caught:
                await call(client)
            assert part in str(caught.value)
            await client.create("/a")  # and the client goes on

    anyio.run(main, backend="trio")


@with_client
async def test_every_kind_of_znode(client):
    assert await client.create("/s-", sequential=True) == "/s-0000000000"
    assert await client.create("/s-", sequential=True, ephemeral=True) == "/s-0000000001"
    assert await client.create("/t-", sequential=True, ttl=60) == "/t-0000000002"
    await client.create("/c", container=True)
    await client.create("/t", ttl=0.5)
    await client.create("/e", ephemeral=True)
    stat = await client.exists("/e")
    assert stat.ephemeral_owner == client.session.id
    assert sorted(await client.ephemerals()) == ["/e", "/s-0000000001"]
    assert await client.ephemerals("/e") == ["/e"]
    kinds = {path: await client.exists(path) for path in ("/s-0000000000", "/t-0000000002", "/c", "/t", "/e")}
    assert [(stat.container, stat.ttl) for stat in kinds.values()] == [
        (False, None), (False, 60), (True, None), (False, 0.5), (False, None),
    ]  # fmt: skip
    assert (await client.get("/t"))[1] == kinds["/t"] == (await client.get_acl("/t"))[1]
    page = await client.children_page("/")
    listed = {"/" + child.name: child.stat for child in page.children}
    assert kinds == {path: listed[path] for path in kinds}
    async with client.transaction() as txn:
        txn.set("/t", b"x")
    assert (txn.results[0].ttl, (await client.set("/t", b"y")).ttl) == (0.5, 0.5)


@with_client
async def test_parents_are_made_in_the_same_step_and_a_tree_deleted_in_one(client):
    await client.create("/a/b/c", b"deep", parents=True)
    stat = await client.exists("/a")
    assert stat.czxid == (await client.exists("/a/b/c")).czxid
    assert await client.count_descendants("/a") == 2
    with pytest.raises(coord.BadVersionError):
        await client.delete("/a", version=5, recursive=True)
    await client.delete("/a", recursive=True)
    assert await client.exists("/a") is None


@with_client
async def test_children_come_whole_or_in_pages_with_data(client):
    await client.create("/p")
    async with client.pipeline() as pipe:
        for number in range(25):
            pipe.create(f"/p/{number:02d}", b"%d" % number)
    assert sorted(await client.children("/p")) == [f"{number:02d}" for number in range(25)]
    page = await client.children_page("/p", after="04", limit=3, data=True)
    assert [(each.name, each.data) for each in page.children] == [("05", b"5"), ("06", b"6"), ("07", b"7")]
    assert page.more
    assert page.stat.children_count == 25
    found = [child async for child in client.each_child("/p", page=10)]
    assert [each.name for each in found] == [f"{number:02d}" for number in range(25)]
    assert found[3].stat.data_length == 1
    assert found[3].data is None
    assert [child async for child in client.each_child("/p/01")] == []


@with_client
async def test_reads_can_be_linearizable_or_at_least_at_a_zxid(client):
    stat = await client.set("/", b"root")
    assert (await client.get("/", linearizable=True))[1] == stat
    assert (await client.get("/", at_least=stat.mzxid))[1] == stat
    assert await client.exists("/", at_least=stat.mzxid) == stat
    assert "zookeeper" in await client.children("/", linearizable=True)
    await client.sync()
    assert client.session.seen_zxid >= stat.mzxid


@with_client
async def test_a_namespace_is_put_before_paths_and_taken_from_what_comes_back(client):
    address = client.server.address
    async with coord.connect(address, namespace="/app/one") as inside:
        with pytest.raises(coord.NoNodeError):
            await inside.create("/a")
        assert await inside.create("/a/b-", sequential=True, ephemeral=True, parents=True) == "/a/b-0000000000"
        assert await client.exists("/app/one/a/b-0000000000")
        assert await inside.ephemerals() == ["/a/b-0000000000"]
        assert await inside.children("/") == ["a"]
        async with inside.watch("/", recursive=True) as events:
            await client.set("/app/one/a", b"x")
            await client.set("/app/one", b"x")
            assert [(await anext(events)).path for _ in range(2)] == ["/a", "/"]
        with pytest.raises(coord.BadArgumentsError):
            await inside.get("a")
        assert await inside.create("/", sequential=True) == "/0000000001", "a child of the namespace, not beside it"
        await client.create("/app/one-more", parents=True)
        assert await inside.ephemerals("/") == ["/a/b-0000000000"]
        async with coord.connect(address, namespace="/app/on") as beside:
            assert await beside.ephemerals() == []


@on_both
async def test_a_write_that_cannot_be_written_behind_others_fails_alone():
    async with coord.embedded() as client, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(client.create, f"/{number}")
        with pytest.raises(coord.BadArgumentsError):
            await client.set(None, b"")


@on_both
async def test_an_answer_that_is_too_long_for_the_server_is_an_error_and_no_end_of_the_connection():
    async with coord.embedded(settings={"frame_bytes_max": 200_000, "reply_bytes_max": 1 << 20}) as client:
        await client.create("/p")
        for first in range(0, 3000, 500):
            async with client.pipeline() as pipe:
                for number in range(first, first + 500):
                    pipe.create(f"/p/{number:0200}")
        with pytest.raises(coord.TooLargeError, match=r"GetChildren /p takes .* read children in pages"):
            await client.children("/p")
        assert client.session.state == "CONNECTED"
        assert len([child async for child in client.each_child("/p")]) == 3000


@with_client
async def test_a_transaction_is_all_or_nothing(client):
    async with client.transaction() as txn:
        txn.create("/a", b"1")
        txn.create("/a/s-", sequential=True)
        txn.set("/a", b"2", version=0)
        txn.check("/a", version=1)
        txn.check("/b", exists=False)
        txn.check("/a", value=b"2")
        txn.delete("/a/s-0000000000")
    assert txn.results[:2] == ["/a", "/a/s-0000000000"]
    assert txn.results[2].version == 1
    assert txn.results[3:] == [None] * 4
    created = (await client.exists("/a")).czxid
    with pytest.raises(coord.BadVersionError) as caught:  # noqa: PT012
        async with client.transaction() as txn:
            txn.check("/a", created=created)
            txn.set("/a", b"3", version=0)
            txn.create("/never")
    assert caught.value.step == 1
    assert txn.results == []
    assert await client.exists("/never") is None
    for check in ({"created": 1}, {"exists": False}, {"value": b"other"}, {"version": 9}):
        with pytest.raises(coord.CoordError) as caught:  # noqa: PT012
            async with client.transaction() as txn:
                txn.set("/a", b"4")
                txn.check("/a", **check)
        assert caught.value.step == 1
    assert (await client.get("/a"))[0] == b"2"
    async with client.transaction():
        pass  # nothing to do, and nothing is asked
    with pytest.raises(coord.BadArgumentsError, match="name one"):
        client.transaction().check("/a")
    with pytest.raises(KeyError):  # noqa: PT012
        async with client.transaction() as txn:
            txn.create("/never")
            raise KeyError
    assert await client.exists("/never") is None


@with_client
async def test_a_guard_has_the_servers_look_whether_a_lock_is_still_held(client):
    class Held:
        path, token = "/lock", 0

    await client.create("/lock")
    held = Held()
    held.token = (await client.exists("/lock")).czxid
    async with client.transaction(guard=held) as txn:
        txn.create("/a")
    assert txn.results == ["/a"]
    await client.delete("/lock")
    await client.create("/lock")
    with pytest.raises(coord.CoordError) as caught:
        async with client.transaction(guard=held) as txn:
            txn.create("/b")
    assert caught.value.step is None
    assert await client.exists("/b") is None


@with_client
async def test_access_lists_identities_and_authentication(client):
    secret = [(coord.Permission.ALL, "auth", "")]
    with pytest.raises(coord.InvalidAclError):
        await client.create("/mine", b"", acl=secret)
    await client.authenticate("digest", "ann:secret")
    assert "digest" in [scheme for scheme, _ in await client.whoami()]
    await client.create("/mine", b"secret", acl=secret)
    acl, stat = await client.get_acl("/mine")
    assert acl[0][:2] == (31, "digest")
    async with coord.connect(client.server.address) as other:
        with pytest.raises(coord.NoAuthError):
            await other.get("/mine")
        with pytest.raises(coord.AuthFailedError):
            await other.authenticate("magic", b"wand")
    async with coord.connect(client.server.address, auth=[("digest", b"ann:secret")]) as other:
        assert (await other.get("/mine"))[0] == b"secret"
    changed = await client.set_acl("/mine", coord.READ_ONLY_ACL, version=stat.aversion)
    assert changed.aversion == stat.aversion + 1


@with_client
async def test_quotas(client):
    await client.create("/q")
    assert await client.get_quota("/q") is None
    await client.set_quota("/q", coord.Quota(znodes_hard=2, bytes=100))
    usage = await client.get_quota("/q")
    assert usage == coord.Usage(coord.Quota(znodes_hard=2, bytes=100), 1, 0)
    await client.create("/q/a", b"123")
    assert (await client.get_quota("/q")).bytes == 3
    with pytest.raises(coord.QuotaExceededError):
        await client.create("/q/b")
    await client.set_quota("/q", coord.Quota(znodes_hard=3))
    await client.create("/q/b")
    await client.set_quota("/q", None)
    assert await client.get_quota("/q") is None


@with_client
async def test_watches_tell_kind_path_zxid_and_cause(client):
    async with (
        client.watch("/w", recursive=True) as deep,
        client.watch("/w") as flat,
        client.watch("/w", recursive=True, depth=0, kinds=[coord.EventKind.CHANGED]) as narrow,
    ):
        await client.create("/w/a", parents=True)
        changed = await client.set("/w", b"x")
        async with coord.connect(client.server.address) as other:
            await other.create("/w/e", ephemeral=True)
        await client.delete("/w", recursive=True)
        kinds = coord.EventKind
        found = [await anext(deep) for _ in range(7)]
        assert [(each.kind, each.path) for each in found] == [
            (kinds.CREATED, "/w"),
            (kinds.CREATED, "/w/a"),
            (kinds.CHANGED, "/w"),
            (kinds.CREATED, "/w/e"),
            (kinds.DELETED, "/w/e"),
            (kinds.DELETED, "/w/a"),
            (kinds.DELETED, "/w"),
        ]
        assert found[0].zxid == found[1].zxid > deep.zxid
        assert found[2].zxid == changed.mzxid
        assert found[4].cause is coord.Cause.SESSION_CLOSED
        assert found[6].cause is coord.Cause.EXPLICIT
        assert [(await anext(flat)).kind for _ in range(7)] == [
            kinds.CREATED, kinds.CHILDREN, kinds.CHANGED, kinds.CHILDREN, kinds.CHILDREN, kinds.CHILDREN, kinds.DELETED,
        ]  # fmt: skip
        only = await anext(narrow)
        assert (only.kind, only.path) == (kinds.CHANGED, "/w")


@with_client
async def test_a_watch_from_the_past_tells_what_was_missed(client):
    created = (await client.exists(await client.create("/p"))).czxid
    missed = [(await client.set("/p", value)).mzxid for value in (b"1", b"2")]
    async with client.watch("/p", since=created) as events:
        assert [(await anext(events)).zxid for _ in range(2)] == missed
        with anyio.move_on_after(0.05) as scope:
            await anext(events)
        assert scope.cancelled_caught
        changed = await client.set("/p", b"3")
        assert (await anext(events)).zxid == changed.mzxid


@with_client
async def test_what_a_watch_has_told_so_far_is_taken_at_once_with_the_place_up_to_which_it_is_all(client):
    events = client.watch("/t", recursive=True)
    with pytest.raises(RuntimeError, match="by entering it"):
        events.take()
    async with events:
        assert events.take() == ([], client.session.seen_zxid)
        await client.create("/t/a", parents=True)
        stat = await client.set("/t/a", b"x")
        taken, zxid = events.take()
        assert [(each.kind.name, each.path) for each in taken] == [
            ("CREATED", "/t"), ("CREATED", "/t/a"), ("CHANGED", "/t/a"),
        ]  # fmt: skip
        assert taken[-1].zxid == stat.mzxid <= zxid
        assert events.take() == ([], client.session.seen_zxid)


@with_client
async def test_a_watch_is_used_once_by_one_task(client):
    events = client.watch("/p")
    with pytest.raises(RuntimeError, match="by entering it"):
        await anext(events)
    async with events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, events)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await anext(events)
            tasks.cancel_scope.cancel()
        with pytest.raises(RuntimeError, match="entered before"):
            await events.__aenter__()
    with pytest.raises(coord.BadArgumentsError, match="depth"):
        client.watch("/p", depth=2)


@with_client
async def test_a_pipeline_gives_each_call_its_own_outcome(client):
    async with client.pipeline(keep_errors=True) as pipe:
        made, wrong, again = pipe.create("/a", b"1"), pipe.get("/nowhere"), pipe.create("/a")
        stat, names, value = pipe.stat("/a"), pipe.children("/a"), pipe.get("/a")
        page = pipe.children_page("/", limit=1)
        pipe.delete("/a")
    assert made.result() == "/a"
    assert isinstance(wrong.error, coord.NoNodeError)
    with pytest.raises(coord.NodeExistsError):
        again.result()
    assert stat.result().version == 0
    assert names.result() == []
    assert [each.name for each in page.result().children] == ["a"]
    assert value.result()[0] == b"1"
    with pytest.raises(coord.NoNodeError, match="/nowhere"):  # noqa: PT012
        async with client.pipeline() as pipe:
            pipe.create("/a")
            pipe.get("/nowhere")
    assert await client.exists("/a")


@with_client
async def test_a_session_can_be_handed_over(client):
    async with coord.connect(client.server.address, session_timeout=5) as first:
        await first.create("/mine", ephemeral=True)
        saved = first.session.hand_over()
    assert await client.exists("/mine")
    async with coord.connect(client.server.address, session=saved) as second:
        assert second.session.id == saved.id
        await second.set("/mine", b"still")
        assert await second.ephemerals() == ["/mine"]
    assert await client.exists("/mine") is None
    with pytest.raises(coord.SessionLostError):
        async with coord.connect(client.server.address, session=saved):
            pass


@with_client
async def test_a_value_as_long_as_a_server_takes_passes_and_a_longer_one_is_refused_here(client):
    value = b"v" * ((1 << 20) - 200)
    await client.create("/long", value)
    assert (await client.get("/long"))[0] == value
    with pytest.raises(coord.RequestTooLargeError, match="/long takes"):
        await client.set("/long", value + b"v" * 200)


@on_both
async def test_an_embedded_server_keeps_a_folder(tmp_path):
    async with coord.embedded(tmp_path / "data") as client:
        await client.create("/kept", b"1")
        await client.create("/gone", ephemeral=True)
    async with coord.embedded(tmp_path / "data") as client:
        assert (await client.get("/kept"))[0] == b"1"
        assert await client.exists("/gone") is None
        with pytest.raises(StorageRefused):
            async with coord.embedded(tmp_path / "data"):
                pass


@on_both
async def test_an_embedded_server_lets_errors_of_the_body_out_as_they_are():
    with pytest.raises(KeyError):
        async with coord.embedded():
            raise KeyError("mine")


@on_both
async def test_who_is_cancelled_from_outside_closes_the_session_and_does_not_wait_for_nothing():
    async with coord.embedded() as client:
        with anyio.CancelScope() as scope:
            async with coord.connect(client.server.address) as other:
                await other.create("/mine", ephemeral=True)
                scope.cancel()
                await anyio.sleep_forever()
        assert await client.exists("/mine") is None


@on_both
async def test_who_is_cancelled_with_his_embedded_server_leaves_it_at_once(monkeypatch):
    monkeypatch.setattr(connecting, "CLOSE_S", 40.0)  # far more than a busy machine takes, less than the limit here
    with anyio.fail_after(60):
        begun = anyio.current_time()
        for _ in range(3):
            with anyio.CancelScope() as scope:
                async with coord.embedded() as client:
                    await client.create("/a")
                    scope.cancel()
                    await anyio.sleep_forever()
        assert anyio.current_time() - begun < connecting.CLOSE_S, "nobody was there any more to close the session"


@on_both
async def test_a_server_that_takes_less_than_usual_says_so_and_gets_no_more():
    async with coord.embedded(settings={"frame_bytes_max": 20_000}) as client:
        with pytest.raises(coord.RequestTooLargeError, match="frame_bytes_max"):
            await client.create("/large", b"x" * 20_000)
        async with client.pipeline() as pipe:
            for number in range(500):
                pipe.create(f"/{number}", b"x" * 200)
        assert len(await client.children("/")) == 501


@on_both
async def test_an_embedded_server_that_fails_ends_the_block_with_its_own_error(monkeypatch):
    def fail(self, now, wall_ms):
        raise RuntimeError("the server is broken")

    async def main() -> None:
        async with coord.embedded() as client:
            monkeypatch.setattr(Replica, "take", fail)
            await client.create("/a")

    with anyio.fail_after(60), pytest.raises(RuntimeError, match="the server is broken"):
        await main()
    monkeypatch.undo()
