"""Commands of the shell itself, and what holds for all commands: help, shapes of JSON, terminals, read-only."""

import json
import re
from pathlib import Path

import pytest

import coord
import coord.shell
from coord.shell.errors import ShellError, UsageError
from coord.shell.grammar import split
from coord.shell.output import Output
from coord.shell.run import run_line
from coord.shell.table import COMMANDS, FIRST_STEPS
from coord.testing.fixture import ensemble as ensemble
from coord.testing.fixture import virtual_clock as virtual_clock
from tests.shell.desk import app, open_desk
from tests.shell.shapes import COMMANDS_AND_SHAPES, SILENT, fits

README = Path(coord.shell.__file__).with_name("README.md").read_text(encoding="utf-8")


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
