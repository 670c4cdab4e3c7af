"""Commands that change the tree, or whole subtrees of it: what they do, and what they refuse."""

import pytest

import coord
import coord.shell
from coord.shell.errors import ShellError, UsageError
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.shell.desk import app, open_desk

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
        await desk.text("create -t 7200000 /k/t x world:anyone:rw")  # hours: the clock jumps on while files are written
        await desk.text(f"export /k {tmp_path}/k.json")
        await desk.text(f"import {tmp_path}/k.json /again")
        assert await desk.text("diff /k /again") == ""
        assert (await desk.shell.client.exists("/again/t")).ttl == 7200
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
