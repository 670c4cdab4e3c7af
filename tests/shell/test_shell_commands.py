"""Each command against an ensemble in memory: what it does, what it shows, and what it refuses."""

import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

import coord
import coord.shell
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import split
from coord.shell.output import Output
from coord.shell.run import run_line
from coord.shell.table import COMMANDS, FIRST_STEPS
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.shell.desk import Desk, open_desk
from tests.shell.shapes import COMMANDS_AND_SHAPES, SILENT, fits

README = Path(coord.shell.__file__).with_name("README.md").read_text(encoding="utf-8")


@asynccontextmanager
async def app(ensemble):
    """A desk, and a small tree below /app."""
    async with open_desk(ensemble) as desk:
        for path, value in (("/app", b""), ("/app/a", b"one"), ("/app/b", b'{"x": 1}'), ("/app/b/c", b"\x00\xff")):
            await desk.shell.client.create(path, value)
        yield desk


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


# ---- change


async def test_create_makes_every_kind(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        client = desk.shell.client
        assert await desk.text("create /a 'a value with spaces'") == "Created /a"
        assert await desk.text("create -s /a/s-") == "Created /a/s-0000000000"
        assert await desk.text("create -e -s /a/e-") == "Created /a/e-0000000001"
        assert await desk.text("create -c /a/c") == "Created /a/c"
        assert await desk.text("create -t 100000 /a/t") == "Created /a/t"
        assert await desk.text("create --ttl 2h /a/u") == "Created /a/u"
        assert await desk.text("create -p /x/y/z deep world:anyone:r") == "Created /x/y/z"
        assert (await client.get("/a"))[0] == b"a value with spaces"
        assert (await client.exists("/a/e-0000000001")).ephemeral_owner == client.session.id
        assert (await client.get_acl("/x/y/z"))[0] == ((1, "world", "anyone"),)


async def test_paths_with_spaces_and_letters_of_any_script(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.text("create '/ü b' 'ключ'")
        assert await desk.text("get '/ü b'") == "ключ"
        assert "ü b" in await desk.lines("ls /")
        await desk.text(r"rm /ü\ b")
        with pytest.raises(coord.BadArgumentsError, match="which a path may not hold"):
            await desk.text("create '/a\x01'")


async def test_a_sequential_child_may_have_a_number_as_its_whole_name(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.text("create /q")
        assert await desk.text("create -s /q/") == "Created /q/0000000000"
        assert (await desk.json("txn 'create -s /q/'"))[0]["path"] == "/q/0000000001"
        assert await desk.text("create /q/plain/") == "Created /q/plain"


async def test_a_value_may_begin_with_a_dash(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.text("create /d -5")
        assert await desk.text("get /d") == "-5"
        await desk.text("set -v 0 /d -- -x")
        await desk.text("set -- /d --value")
        assert await desk.text("get /d") == "--value"
        with pytest.raises(UsageError, match="unrecognized arguments: -x; put -- before a value"):
            await desk.text("set /d -x")


@pytest.mark.parametrize(
    ("editor", "value", "after"),
    [
        ("printf two >", b"one", b"two"),
        ("printf 'two\n' >", b"one", b"two"),
        ("printf 'two\n' >", b"one\n", b"two\n"),
        ("true", b"one", b"one"),
        ("false; printf no >", b"one", b"no"),
        ("exit 1;", b"one", b"one"),
    ],
)
async def test_a_value_is_edited_and_a_line_break_of_the_editor_left_out(
    ensemble, virtual_clock, monkeypatch, tmp_path, editor, value, after
):
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\n{editor} "$1"\n')
    script.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(script))
    async with open_desk(ensemble) as desk:
        desk.says(True)
        await desk.shell.client.create("/e", value)
        shown = await desk.text("edit /e")
        assert (await desk.shell.client.get("/e"))[0] == after
        assert shown == ("nothing was changed" if after == value else "/e has version 1")


async def test_what_cannot_be_edited_is_said_in_a_sentence(ensemble, virtual_clock, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where what could not be saved is kept
    async with app(ensemble) as desk:
        with pytest.raises(ShellError, match="edit needs a terminal"):
            await desk.text("edit /app/a")
        desk.says(True)
        with pytest.raises(ShellError, match="2 bytes that are no text"):
            await desk.text("edit /app/b/c")
        monkeypatch.setenv("VISUAL", "rm")
        with pytest.raises(ShellError, match="the editor has left no file"):
            await desk.text("edit /app/a")
        monkeypatch.setenv("VISUAL", str(tmp_path / "none"))
        with pytest.raises(ShellError, match=r"cannot be started: No such file or directory; set .EDITOR"):
            await desk.text("edit /app/a")


async def test_set_takes_a_version_and_never_empties_by_a_slip(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.text("set /app/a two") == "/app/a has version 1"
        with pytest.raises(coord.BadVersionError):
            await desk.text("set -v 0 /app/a three")
        with pytest.raises(UsageError, match="give the value"):
            await desk.text("set /app/a")
        await desk.text("set /app/a ''")
        assert (await desk.shell.client.get("/app/a"))[0] == b""


async def test_rm_of_a_subtree_says_how_many_and_asks(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(ShellError, match=r"Delete /app and all below it, 4 znodes\? .* -f"):
            await desk.text("rm -r /app")
        asked = desk.says(False)
        with pytest.raises(ShellError, match="nothing was done"):
            await desk.text("deleteall /app")
        assert asked == ["Delete /app and all below it, 4 znodes?"]
        assert await desk.shell.client.exists("/app/b/c")
        desk.says(True)
        assert await desk.text("rm -r /app") == "deleted /app, 4 znodes"
        assert await desk.shell.client.exists("/app") is None


async def test_rm_needs_no_question_for_one_znode_and_refuses_one_with_children(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(coord.NotEmptyError):
            await desk.text("rm /app/b")
        assert await desk.text("delete /app/a") == "deleted /app/a"
        with pytest.raises(ShellError, match="the root cannot be deleted"):
            await desk.text("rm -r -f /")
        with pytest.raises(coord.NoNodeError, match="/none does not exist"):
            await desk.text("rm -r -f /none")
        assert await desk.text("rm -r /app/b/c") == "deleted /app/b/c"


async def test_a_subtree_too_large_for_one_step_is_deleted_in_parts(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr("coord.state.znode_writes.TREE_DELETE_MAX", 20)
    async with open_desk(ensemble) as desk:
        async with desk.shell.client.pipeline() as pipe:
            pipe.create("/big")
            for number in range(9):
                pipe.create(f"/big/{number}")
                for below in range(30):
                    pipe.create(f"/big/{number}/{below}")
        assert await desk.text("rm -rf /big") == "deleted /big, 280 znodes"
        assert await desk.shell.client.exists("/big") is None


async def test_a_large_subtree_that_may_not_be_deleted_is_an_error_and_no_endless_work(
    ensemble, virtual_clock, monkeypatch
):
    monkeypatch.setattr("coord.state.znode_writes.TREE_DELETE_MAX", 5)
    async with open_desk(ensemble) as desk:
        await desk.shell.client.create("/big", acl=[(7, "world", "anyone")])
        for number in range(9):
            await desk.shell.client.create(f"/big/{number}")
        with pytest.raises(coord.NoAuthError):
            await desk.text("rm -rf /big")
        assert await desk.text("count /big") == "9"


async def test_txn_does_all_or_nothing_and_says_which_step_failed(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        rows = await desk.json("txn 'check /app/a --value one' 'set /app/a two' 'create /app/new x' 'rm /app/b/c'")
        assert [(row["step"], row["path"], row["version"]) for row in rows] == [
            (1, "/app/a", None), (2, "/app/a", 1), (3, "/app/new", None), (4, "/app/b/c", None),
        ]  # fmt: skip
        with pytest.raises(ShellError, match="nothing was done: step 2, check /app/a -v 7"):
            await desk.text("txn 'set /app/b x' 'check /app/a -v 7'")
        assert (await desk.shell.client.get("/app/b"))[0] == b'{"x": 1}'
        with pytest.raises(UsageError, match="'ls' is no step; steps are create, set, rm and check"):
            await desk.text("txn 'ls /'")
        with pytest.raises(UsageError, match="one step"):
            await desk.text("txn 'check /app/a -v 7 --absent'")


# ---- subtrees


async def test_cp_and_mv_keep_values_and_acls_and_refuse_what_is_there(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        client = desk.shell.client
        await client.set_acl("/app/a", [(17, "world", "anyone")])
        await client.create("/app/e", ephemeral=True)
        assert await desk.text("cp /app /copy") == "copied 4 znodes, without 1 ephemeral to /copy"
        assert (await client.get("/copy/b/c"))[0] == b"\x00\xff"
        assert (await client.get_acl("/copy/a"))[0] == ((17, "world", "anyone"),)
        with pytest.raises(ShellError, match="there is a znode /copy already"):
            await desk.text("cp /app /copy")
        with pytest.raises(ShellError, match="1 ephemeral"):
            await desk.text("mv /app /moved")
        assert await desk.text("mv /copy /moved") == "moved 4 znodes to /moved"
        assert await client.exists("/copy") is None
        assert await desk.lines("ls -R /moved") == ["/moved", "/moved/a", "/moved/b", "/moved/b/c"]
        with pytest.raises(UsageError, match="inside"):
            await desk.text("mv /moved /moved/b/x")


async def test_a_subtree_that_needs_several_steps_is_copied_whole(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setattr("coord.shell.copying.PART_ZNODES", 3)
    async with app(ensemble) as desk:
        for number in range(10):
            await desk.shell.client.create(f"/app/n{number}", b"x")
        await desk.text("cp /app /copy")
        assert await desk.text("count /copy") == "13"


async def test_diff_tells_what_one_subtree_has_and_the_other_has_not(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("cp /app /copy")
        assert await desk.text("diff /app /copy") == ""
        for line in ("set /copy/a two", "rm /copy/b/c", "create /copy/new", "acl set /copy/b world:anyone:r"):
            await desk.text(line)
        assert await desk.lines("diff /app /copy") == [
            "other value  /a  'one' and 'two'",
            "other acl    /b  'world:anyone:cdrwa' and 'world:anyone:r'",
            "only first   /b/c",
            "only second  /new",
        ]


# ---- access and limits


async def test_acl_set_and_get_and_who_i_am(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        assert await desk.text("acl get /app") == "'world,'anyone\n: cdrwa"
        await desk.text("addauth digest ann:secret")
        assert ["digest", "ann"] in (await desk.json("whoami"))[0]["identities"]
        await desk.text("setAcl /app/a auth::cdrwa,world:anyone:r")
        assert (await desk.json("getAcl /app/a"))[0]["acl"] == [
            {"scheme": "digest", "id": "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=", "permissions": "cdrwa"},
            {"scheme": "world", "id": "anyone", "permissions": "r"},
        ]
        async with ensemble.client() as other:
            with pytest.raises(coord.NoAuthError):
                await Desk(other).text("set /app/a x")
        done = await desk.json("acl set -R /app/b world:anyone:ra")
        assert done[0]["znodes"] == 2
        assert (await desk.shell.client.get_acl("/app/b/c"))[0] == ((17, "world", "anyone"),)
        with pytest.raises(UsageError, match="no entry of an ACL"):
            await desk.text("acl set /app/a world:anyone")


async def test_quotas_are_set_one_by_one_and_taken_away(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(ShellError, match="/app has no quota"):
            await desk.text("listquota /app")
        await desk.text("setquota -n 10 /app")
        await desk.text("setquota -N 4 /app")
        assert await desk.json("quota get /app") == [
            {"path": "/app", "znodes": 4, "bytes": 13, "znodes_soft": 10, "bytes_soft": None, "znodes_hard": 4,
             "bytes_hard": None}
        ]  # fmt: skip
        with pytest.raises(coord.QuotaExceededError):
            await desk.text("create /app/more")
        await desk.text("delquota -N /app")
        await desk.text("create /app/more")
        assert await desk.text("delquota /app") == "the quota of /app was taken away"


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


async def test_containers_and_ttls_are_shown_found_copied_moved_and_compared(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        client = desk.shell.client
        await desk.text("create /k")
        await desk.text("create -c /k/c")
        await desk.text("create --ttl 2h /k/t x")
        await desk.text("create -e /k/e")
        await desk.text("create /k/p")
        assert [line[0] + line[-1] for line in await desk.lines("ls -l /k")] == ["cc", "ee", "-p", "tt"]
        assert (await desk.lines("stat /k/t"))[-1] == "kind = ttl, 7200000 ms"
        assert (await desk.lines("stat /k/c"))[-1] == "kind = container"
        (shown,) = await desk.json("stat /k/t")
        assert (shown["stat"]["kind"], shown["stat"]["ttl_ms"]) == ("ttl", 7_200_000)
        for kind, names in (("ttl", ["/k/t"]), ("container", ["/k/c"]), ("persistent", ["/k", "/k/p"])):
            assert await desk.lines(f"find /k --kind {kind}") == names
        with pytest.raises(UsageError, match="'lock' is no kind of znode; there are persistent, ephemeral"):
            await desk.text("find --kind lock")
        await desk.text("cp /k /copy")
        await desk.text("mv /copy /moved")
        assert ((await client.exists("/moved/c")).container, (await client.exists("/moved/t")).ttl) == (True, 7200)
        assert await desk.text("diff /k /moved") == ""
        await desk.text("rm /moved/t")
        await desk.text("create /moved/t x")
        assert await desk.lines("diff /k /moved") == ["other kind   /t  'TTL 7200000 ms' and 'persistent'"]


async def test_an_export_keeps_values_kinds_and_acls(ensemble, virtual_clock, tmp_path):
    async with open_desk(ensemble) as desk:
        await desk.text("create /k 'a\u2028b'")
        await desk.text("create -c /k/c")
        await desk.text("create -t 5000 /k/t x world:anyone:rw")
        await desk.text(f"export /k {tmp_path}/k.json")
        await desk.text(f"import {tmp_path}/k.json /again")
        assert await desk.text("diff /k /again") == ""
        assert (await desk.shell.client.exists("/again/t")).ttl == 5
        assert await desk.bytes("export /k -") == (tmp_path / "k.json").read_bytes()
        before = (tmp_path / "k.json").stat()
        await desk.text(f"export /k {tmp_path}/k.json")
        assert (tmp_path / "k.json").stat().st_mode == before.st_mode
        assert [each.name for each in tmp_path.iterdir()] == ["k.json"]


async def test_an_import_that_ends_in_the_middle_says_how_far_it_came(ensemble, virtual_clock, tmp_path, monkeypatch):
    monkeypatch.setattr("coord.shell.copying.PART_ZNODES", 2)
    async with app(ensemble) as desk:
        await desk.text(f"export /app {tmp_path}/app.json")
        file = tmp_path / "app.json"
        file.write_text(file.read_text().replace('"below": "/b/c"', '"below": "/none/c"'))
        with pytest.raises(ShellError, match=r"does not exist; .*; 2 of 4 znodes were made before that at /new"):
            await desk.text(f"import {file} /new")


async def test_what_may_be_read_and_whose_acl_is_not_told_whole_is_not_copied(ensemble, virtual_clock, tmp_path):
    async with open_desk(ensemble) as desk, ensemble.client(auth=[("digest", "ann:secret")]) as ann:
        await ann.create("/anns", acl=[(31, "auth", ""), (1, "world", "anyone")])
        for line in ("cp /anns /other", "mv /anns /other", f"export /anns {tmp_path}/x"):
            with pytest.raises(ShellError, match="the ACL of /anns is told only to who may change it"):
                await desk.text(line)
        assert await desk.text("diff /anns /anns") == ""
        await desk.text("auth digest ann:secret")
        assert await desk.text("cp /anns /other") == "copied 1 znode to /other"
        assert (await ann.get_acl("/other"))[0] == (await ann.get_acl("/anns"))[0]


# ---- access


async def test_acls_of_a_subtree_are_shown_a_line_a_znode(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("acl set /app/a world:anyone:r")
        assert await desk.lines("getAcl -R /app") == [
            "/app  world:anyone:cdrwa", "/app/a  world:anyone:r", "/app/b  world:anyone:cdrwa",
            "/app/b/c  world:anyone:cdrwa",
        ]  # fmt: skip
        await desk.text("acl set /app/b ip:10.9.9.9:cdrwa")
        assert (await desk.lines("acl get -R /app"))[2:] == ["/app/b  may not be read"]
        rows = await desk.json("acl get -R /app")
        assert [row["acl"] for row in rows[1:]] == [
            [{"scheme": "world", "id": "anyone", "permissions": "r"}], None,
        ]  # fmt: skip


async def test_an_acl_that_shuts_the_shell_out_is_set_everywhere_below_all_the_same(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        for number in range(3):
            await desk.text(f"create /app/b/{number}")
        done = await desk.text("acl set -R /app ip:10.9.9.9:cdrwa")
        assert done == "the ACL of /app and of 6 znodes below it was set"
        for path in ("/app", "/app/a", "/app/b", "/app/b/c", "/app/b/2"):
            with pytest.raises(coord.NoAuthError):
                await desk.shell.client.get(path)


async def test_at_the_prompt_it_is_asked_before_the_shell_shuts_itself_out(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        asked = desk.says(False)
        with pytest.raises(ShellError, match="nothing was done"):
            await desk.text("acl set /app world:anyone:r")
        assert asked == ["world:anyone:r lets nobody that this shell is change the ACL again. Set it?"]
        await desk.text("auth digest ann:secret")
        for line in ("/app/a auth::cdrwa", "/app/a digest:ann:hash=:cdrwa", "-f /app world:anyone:r"):
            await desk.text(f"acl set {line}")
        assert len(asked) == 1


async def test_an_acl_is_not_set_below_a_znode_whose_acl_has_another_version(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        with pytest.raises(coord.BadVersionError):
            await desk.text("acl set -R -v 7 /app world:anyone:r")
        assert (await desk.shell.client.exists("/app/a")).aversion == 0


async def test_an_acl_that_may_not_be_set_everywhere_says_how_far_it_came(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("acl set /app/a world:anyone:cdrw")
        with pytest.raises(ShellError, match="the ACLs of 2 of 3 znodes below /app were set"):
            await desk.text("acl set -R /app world:anyone:cdrwa")


# ---- waiting


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


# ---- the ensemble


async def test_who_finds_the_session_that_holds_a_lock_and_where_it_is(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk, ensemble.client() as other:
        await desk.shell.client.create("/lock")
        with pytest.raises(ShellError, match="no session holds it"):
            await desk.text("who /lock")
        first = await other.create("/lock/x-", b"worker 7", ephemeral=True, sequential=True)
        await desk.text("create -e -s /lock/a-")
        (found,) = await desk.json("who /lock")
        assert (found["path"], found["session"], found["server"], found["value"]) == (
            first, f"{other.session.id:#x}", other.server.address, "worker 7",
        )  # fmt: skip
        rows = await desk.json(f"sessions {other.session.id:#x}")
        assert [(row["server"], row["own"]) for row in rows] == [(other.server.address, False)]
        assert {row["session"] for row in await desk.json("sessions")} == {
            f"{each.session.id:#x}" for each in (other, desk.shell.client)
        }
        with pytest.raises(ShellError, match="connected to none"):
            await desk.text("sessions 0x77")


async def test_ephemerals_of_this_session_of_one_and_of_all(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk, ensemble.client() as other:
        await other.create("/theirs", ephemeral=True)
        await desk.text("create -e /mine")
        assert [row["path"] for row in await desk.json("getEphemerals")] == ["/mine"]
        assert [row["path"] for row in await desk.json("ephemerals --all")] == ["/mine", "/theirs"]
        assert [row["path"] for row in await desk.json(f"ephemerals -s {other.session.id:#x}")] == ["/theirs"]


async def test_status_and_digest_of_three_servers_one_of_them_dead(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await desk.text("create /a")
        await ensemble.wait_converged()
        (status,) = await desk.json("status")
        assert (status["healthy"], status["problems"]) == (True, [])
        assert sorted(each["role"] for each in status["servers"]) == ["follower", "follower", "leader"]
        assert len({row["digest"] for row in await desk.json("digest")}) == 1
        ensemble.crash(ensemble.followers()[0])
        (status,) = await desk.json("status")
        assert any("does not answer: connection refused" in each for each in status["problems"])
        assert any("2 of 3 voters serve" in each for each in status["problems"])
        assert "! " in await desk.text("status")


async def test_members_and_the_leader(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        await ensemble.wait_converged()
        rows = await desk.json("members")
        assert [row["server"] for row in rows] == [1, 2, 3]
        assert sorted(row["role"] for row in rows) == ["follower", "follower", "leader"]
        (leader,) = await desk.json("leader")
        assert leader in rows
        assert leader["client_address"] in desk.shell.addresses
        assert await desk.json("config") == rows
        desk.shell.addresses = next(row["client_address"] for row in rows if row["role"] == "follower")
        assert [row["role"] for row in await desk.json("members")].count(None) == 2
        with pytest.raises(ShellError, match=r"none of the servers .* leads; status tells why"):
            await desk.text("leader")


# ---- the shell


async def test_history_numbers_the_commands_and_redo_does_one_again(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.text("count /app")
        await desk.text("auth digest ann:secret")
        with pytest.raises(coord.NoNodeError):
            await desk.text("get /none")
        assert await desk.lines("history") == ["0 - count /app", "1 - get /none", "2 - history"]
        assert await desk.lines("history 2") == ["2 - history", "3 - history 2"]
        assert await desk.lines("redo 0") == ["count /app", "3"]
        assert await desk.json("redo 0") == [{"path": "/app", "descendants": 3}]
        with pytest.raises(UsageError, match="there is no command 77 in the history"):
            await desk.text("redo 77")


async def test_connect_is_for_the_prompt_and_checks_the_addresses(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        with pytest.raises(ShellError, match="connect is for the prompt"):
            await desk.text("connect h:1")
        wanted = []
        desk.shell.connect = wanted.append
        with pytest.raises(UsageError, match="connect: "):
            await desk.text("connect h:x")
        await desk.text("connect h:1,i:2")
        assert wanted == ["h:1,i:2"]


async def test_version_names_shell_and_server(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        (shown,) = await desk.json("version")
        assert shown["shell"] == coord.__version__
        assert coord.__version__ in shown["server"]


async def test_leaving_has_three_names_in_any_case(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        for line, stays in (("quit", False), ("EXIT", False), ("close", False), ("# quit", True), ("", True)):
            assert await run_line(desk.shell, line, Output(desk._write, terminal=False)) == stays


async def test_help_of_a_first_word_tells_of_all_that_begin_with_it(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        both = await desk.text("help acl")
        assert both.startswith("acl get [PATH]")
        assert "\nacl set PATH ACL" in both
        assert "leave the shell" in await desk.text("help quit")
        with pytest.raises(UsageError, match="there is no reconfig here: which servers there are stands in"):
            await desk.text("help reconfig")


async def test_on_a_terminal_nothing_moves_the_cursor_and_ls_fits(ensemble, virtual_clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    async with app(ensemble) as desk:
        await desk.text("create '/app/x\u202ey'")
        shown = (await desk.bytes("ls -l /app", terminal=True)).decode()
        assert "\u202e" not in shown
        assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 40
        await desk.shell.client.create("/app/acl", acl=[(31, "world", "anyone"), (1, "digest", "\x1b[2J:x=")])
        assert b"\x1b[2J" not in await desk.bytes("acl get /app/acl", terminal=True)


async def test_a_value_is_written_to_no_terminal_as_it_is(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        await desk.shell.client.set("/app/a", b"a\r\nb\tc\r\n")
        assert await desk.bytes("get /app/a") == b"a\r\nb\tc\r\n"
        assert await desk.bytes("get --out - /app/b/c") == b"\x00\xff"
        assert await desk.bytes("get --out - /app/b/c", json=True) == b"\x00\xff"
        shown = await desk.bytes("txn \"set /app/a '\udcff'\"", json=True)
        assert json.loads(shown.decode())["command"] == "set /app/a '\udcff'"


async def test_cd_goes_up_and_back_and_only_to_what_is_there(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        for line, place in (("cd /app/b", "/app/b"), ("cd ..", "/app"), ("cd ./b/../a", "/app/a"), ("cd -", "/app")):
            await desk.text(line)
            assert await desk.text("pwd") == place
        with pytest.raises(coord.NoNodeError, match="/app/none does not exist"):
            await desk.text("cd none")
        await desk.text("cd")
        assert await desk.text("pwd") == "/"


async def test_sync_and_leaving(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        assert await desk.text("sync") == "Sync is OK"
        assert await desk.text("# a comment") == ""
        assert await desk.text("") == ""


async def test_read_only_refuses_all_that_changes_and_lets_the_rest_be(ensemble, virtual_clock):
    async with app(ensemble) as desk:
        desk.shell.read_only = True
        for line in (
            "create /x", "set /app/a x", "rm /app/a", "rm -rf /app", "deleteall -f /app", "cp /app /y", "mv /app /y",
            "txn 'create /x'", "acl set /app world:anyone:r", "setquota -n 1 /app", "delquota /app", "edit /app/a",
            "import nothing",
        ):  # fmt: skip
            with pytest.raises(ShellError, match="--read-only"):
                await desk.text(line)
        assert await desk.lines("ls -R /app") == ["/app", "/app/a", "/app/b", "/app/b/c"]


def test_every_command_that_writes_is_marked_as_one():
    changing = {each.name for family in COMMANDS.families.values() for each in family if each.changes}
    assert changing == {
        "create", "set", "edit", "rm", "deleteall", "txn", "cp", "mv", "import", "acl set", "quota set", "quota rm",
    }  # fmt: skip


async def test_json_of_every_command_has_the_shape_that_scripts_depend_on(
    ensemble, virtual_clock, tmp_path, monkeypatch
):
    monkeypatch.setenv("VISUAL", "true")
    async with app(ensemble) as desk:
        await ensemble.wait_converged()
        desk.says(True)
        desk.shell.connect = [].append
        for line, shape in COMMANDS_AND_SHAPES:
            rows = await desk.json(line.format(tmp=tmp_path))
            assert rows, line
            for row in rows:
                assert fits(row, shape), (line, row)
            assert "\x1b" not in desk.written.decode()


def test_the_shapes_are_those_of_all_commands():
    shown = {COMMANDS.find(split(line))[0].name for line, _ in COMMANDS_AND_SHAPES}
    assert shown | SILENT == {each.name for family in COMMANDS.families.values() for each in family}
    assert not shown & SILENT


def test_a_value_of_another_shape_does_not_fit():
    (_, stat), *_ = [each for each in COMMANDS_AND_SHAPES if each[0] == "stat /app"]
    good = {"path": "/a", "stat": None}
    assert not fits(good, stat)
    assert fits(good | {"name": "a"}, COMMANDS_AND_SHAPES[0][1])
    assert not fits(good | {"name": 1}, COMMANDS_AND_SHAPES[0][1])
    assert not fits(good | {"name": "a", "more": 1}, COMMANDS_AND_SHAPES[0][1])


async def test_every_command_has_help_with_an_example_that_it_understands(ensemble, virtual_clock):
    async with open_desk(ensemble) as desk:
        everything = await desk.text("help")
        for family in COMMANDS.families.values():
            for each in family:
                assert f"  {each.name} " in everything
                assert each.summary.endswith((".", ":")), each.name
                assert each.examples, f"{each.name} has no example"
                for example in each.examples:
                    found, rest = COMMANDS.find(split(example))
                    assert found is each
                    found.parse(rest)
                assert set(each.options) <= {parameter.name for parameter in each.parameters}, each.name


async def test_what_a_newcomer_is_shown_happens_as_it_stands(ensemble, virtual_clock):
    """The first example of README.md, typed line by line, and the first steps of help."""
    example = re.search(r"```\n\$ coord shell .*?\n(.*?)```", README, re.DOTALL)[1]
    parts = re.split(r"^\S+ leader \S+> ", example, flags=re.MULTILINE)[1:]
    steps = [part.partition("\n")[::2] for part in parts]
    assert [line.split()[0] for line, _ in steps] == ["create", "cd", "ls", "get", "set", "stat", "watch", "rm"]
    async with open_desk(ensemble) as desk:
        asked = desk.says(True)
        for line, told in steps:
            if not line.startswith("watch"):
                shown = await desk.lines(line)
                for wanted in told.splitlines():
                    answer = wanted.removesuffix(" [y/N] y")
                    pattern = re.sub(r"0x[0-9a-f]+|\d{4}-[0-9T:.-]+Z", ".+", answer.replace("{", "[{]"))
                    assert answer in asked or wanted == "..." or re.fullmatch(pattern, shown.pop(0)), (line, wanted)
        await desk.text("create -p /locks")
        await desk.text("create -e /locks/db")
        for line, _ in FIRST_STEPS:
            if not line.startswith("watch"):
                await desk.text(line)
