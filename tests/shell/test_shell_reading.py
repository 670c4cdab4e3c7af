"""Commands that look, and those that wait for something to see: what they show, and what they refuse."""

import pytest
import trio

from coord.shell.errors import UsageError
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.shell.desk import app, open_desk

# ---- look


async def test_ls_lists_names_in_their_order_and_relative_to_where_the_shell_is(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.lines("ls /app") == ["a", "b"]
        await desk.text("cd /app")
        assert await desk.lines("ls") == ["a", "b"]
        assert await desk.lines("ls b") == ["c"]
        assert await desk.lines("ls -R") == ["/app", "/app/a", "/app/b", "/app/b/c"]
        assert await desk.text("ls b/c") == ""


async def test_ls_long_shows_kind_version_size_children_and_time(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.shell.client.set("/app/a", b"three")
        await desk.shell.client.create("/app/e", ephemeral=True)
        rows = [line.split() for line in await desk.lines("ls -l /app")]
        assert [(row[0], row[1], row[2], row[3], row[-1]) for row in rows] == [
            ("-", "1", "5", "0", "a"),
            ("-", "0", "8", "1", "b"),
            ("e", "0", "0", "0", "e"),
        ]


async def test_ls_of_more_children_than_a_page_shows_them_all(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.shell.client.create("/many")
        async with desk.shell.client.pipeline() as pipe:
            for number in range(2300):
                pipe.create(f"/many/{number:05d}")
        assert await desk.lines("ls /many") == [f"{number:05d}" for number in range(2300)]
        assert (await desk.json("du /many"))[-1] == {"path": "/many", "znodes": 2301, "bytes": 0}


async def test_get_shows_text_as_text_and_all_else_in_hexadecimal(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.text("get /app/b") == '{"x": 1}'
        assert (await desk.text("cat /app/b/c")).split() == ["00000000", "00", "ff", ".."]
        assert await desk.bytes("get --raw /app/b/c") == b"\x00\xff"
        await desk.shell.client.set("/app/a", b"\x1b[2Jclears the terminal")
        assert "\x1b" not in await desk.text("get /app/a")


async def test_a_value_of_a_megabyte_and_one_of_many_bytes_in_hexadecimal(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.shell.client.set("/app/a", b"x" * 1_000_000)
        assert len(await desk.text("get /app/a")) == 1_000_000
        await desk.shell.client.set("/app/a", b"\xff" * 1_000_000)
        assert (await desk.lines("get /app/a"))[-1].startswith("... 995904 bytes more")


async def test_stat_has_the_names_of_zkcli(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        lines = await desk.lines("stat /app/b")
        assert [line.partition(" = ")[0] for line in lines] == [
            "cZxid", "ctime", "mZxid", "mtime", "pZxid", "cversion", "dataVersion", "aclVersion", "ephemeralOwner",
            "dataLength", "numChildren",
        ]  # fmt: skip
        assert (await desk.lines("get -s /app/a"))[1:] == await desk.lines("stat /app/a")


async def test_tree_shows_what_it_cuts_off(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.lines("tree /app") == ["app  (2)", "  a", "  b  (1)", "    c"]
        assert await desk.lines("tree -d 1 /app") == ["app  (2)", "  a", "  b  (1, 1 below)"]


async def test_find_by_name_value_owner_size_and_age(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.shell.client.create("/app/lock-7", b"held", ephemeral=True)
        session = f"{desk.shell.client.session.id:#x}"
        assert await desk.lines("find /app --name '[ab]'") == ["/app/a", "/app/b"]
        assert await desk.lines("find /app --value 'on.$'") == ["/app/a"]
        assert await desk.lines(f"find --owner {session}") == ["/app/lock-7"]
        assert await desk.lines("find -e /app") == ["/app/lock-7"]
        assert await desk.lines("find /app --larger 4") == ["/app/b"]
        assert await desk.lines("find /app --smaller 4 --depth 1") == ["/app", "/app/a"]
        assert await desk.text("find /app --name nothing") == ""


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("find --value '['", "no regular expression"),
        ("find --newer soon", "'soon' is no age; write it as 90s, 15m, 2h or 3d"),
        ("find --larger big", "'big' is no size"),
        ("find --owner me", "'me' is no session"),
        ("sessions -- -1", "'-1' is no session"),
        ("tree -d -1", "-1 is below 0"),
        ("watch -n -1", "-1 is below 0"),
        ("watch --since 0xfffffffffffffffff", "is no zxid"),
        ("set -v 99999999999999999999 / x", "is no whole number, or too large a one"),
    ],
)
async def test_find_says_what_it_does_not_understand(ensemble, virtual_clock, line, sentence):
    async with open_desk(ensemble) as desk:
        with pytest.raises(UsageError, match=sentence.replace("[", r"\[")):
            await desk.text(line)


async def test_du_and_count(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert [(row["path"], row["znodes"], row["bytes"]) for row in await desk.json("du /app")] == [
            ("/app/a", 1, 3), ("/app/b", 2, 10), ("/app", 4, 13),
        ]  # fmt: skip
        assert len(await desk.json("du -d 0 /app")) == 1
        assert [row["path"] for row in await desk.json("du -d 9 /app")] == ["/app/a", "/app/b/c", "/app/b", "/app"]
        with pytest.raises(UsageError, match="-1 is below 0"):
            await desk.text("du -d -1 /app")
        assert await desk.text("getAllChildrenNumber /app") == "3"


# ---- wait


async def test_watch_tells_one_line_an_event_until_it_has_told_enough(ensemble, virtual_clock):
    async with app(ensemble) as desk, trio.open_nursery() as nursery:

        async def change():
            await trio.sleep(1)
            await desk.shell.client.create("/app/new")
            await desk.shell.client.set("/app/new", b"x")
            await desk.shell.client.delete("/app/new")

        nursery.start_soon(change)
        rows = await desk.json("watch -R -n 3 /app")
        assert [(row["kind"], row["path"], row["cause"]) for row in rows] == [
            ("CREATED", "/app/new", "EXPLICIT"),
            ("CHANGED", "/app/new", "EXPLICIT"),
            ("DELETED", "/app/new", "EXPLICIT"),
        ]
        since = int(rows[0]["zxid"], 16)
        assert len(await desk.lines(f"watch -R -n 2 --since {since:#x} /app")) == 2


async def test_get_w_shows_the_value_then_waits_for_the_next_change(ensemble, virtual_clock):
    async with app(ensemble) as desk, trio.open_nursery() as nursery:

        async def change():
            await trio.sleep(1)
            await desk.shell.client.set("/app/a", b"x")

        nursery.start_soon(change)
        shown = await desk.json("get -w /app/a")
        assert [row.get("value", row.get("kind")) for row in shown] == ["one", "CHANGED"]


async def test_watch_says_why_an_ephemeral_znode_went(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk, trio.open_nursery() as nursery:

        async def come_and_go():
            async with ensemble.client() as other:
                await other.create("/e", ephemeral=True)

        nursery.start_soon(come_and_go)
        assert (await desk.lines("watch -n 2 /e"))[1].endswith("/e  session closed")


async def test_add_watch_is_recursive_unless_told_otherwise(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(UsageError, match="the mode 'ONCE' is not known; there are PERSISTENT_RECURSIVE and"):
            await desk.text("addWatch -m ONCE /app")
        for mode, seen in (("", b"/app/a\n"), ("-m PERSISTENT", b"/app\n")):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(desk.bytes, f"addWatch {mode} /app")
                    await trio.sleep(1)
                    await desk.shell.client.set("/app/a", b"x")
                    await desk.shell.client.set("/app", b"x")
                    await trio.sleep(1)
                    scope.cancel()
            assert seen in desk.written
            assert (b"/app/a\n" in desk.written) == (not mode)
