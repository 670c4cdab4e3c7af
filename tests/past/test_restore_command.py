"""`coord restore`, and `coord backup` of a folder, as commands: what they say, and how they end."""

import json

import pytest

from coord.cli.main import main
from coord.past.backup_file import BackupSource
from tests.past.story import Story


@pytest.fixture
def here(tmp_path, monkeypatch, capfdbinary):
    """A folder with a server's data and a backup of it, which the commands run in."""
    Story().save(tmp_path / "coord-data")
    monkeypatch.chdir(tmp_path)
    assert main(["backup", "file", "--data", "coord-data"]) == 0
    capfdbinary.readouterr()
    return tmp_path


def ended(capfdbinary, *arguments: str) -> tuple[int, str, str]:
    """Status, output and complaint of a command."""
    try:
        status = main(arguments)
    except SystemExit as leaving:
        status = leaving.code
    out, complaint = capfdbinary.readouterr()
    return status, out.decode(), complaint.decode()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["file"], 2, "the following arguments are required: --data"),
        (["file", "--data", "new", "--id", "0"], 2, "'0' is wrong: it must be server ids from 1 to 255"),
        (["file", "--data", "new", "--id", ","], 2, "it names no server"),
        (["file", "--data", "new", "--at", "some day"], 2, "'some day' is no place in the past"),
        (
            ["file", "--data", "new", "--at", "0x100000004"],
            8,
            "zxid 0x100000004 is not in file; the last one before it is 0x0",
        ),
        (["file", "--data", "new", "--at", "0x90000000001"], 8, "is not there: the log of file ends with"),
        (["file", "--data", "coord-data"], 8, "coord-data is not empty: it holds ballot.a, ballot.b, lock and more"),
        (["file", "--data", "coord-data", "--id", "1,2"], 8, "coord-data is not empty"),
        (["none", "--data", "new"], 8, "none cannot be read: No such file or directory"),
        (["coord-data", "--data", "new"], 8, "coord-data cannot be read: Is a directory"),
        (["coord-data/ballot.a", "--data", "new"], 8, "is no backup of coord: it begins with b'coordblt'"),
        (["half", "--data", "new"], 8, "half is damaged: it is cut off"),
        (["file", "--data", "file"], 8, "file cannot be used as a data folder: Not a directory"),
    ],
)
def test_what_keeps_a_restore_from_being_made_is_one_sentence(here, capfdbinary, arguments, status, sentence):
    (here / "half").write_bytes((here / "file").read_bytes()[:1000])
    found, out, complaint = ended(capfdbinary, "restore", *arguments)
    assert (found, out) == (status, "")
    assert complaint.startswith("coord restore: ")
    assert sentence in complaint
    assert complaint.count("\n") == 1
    assert not (here / "new").exists()


def test_several_folders_are_ready_for_coord_up(here, capfdbinary):
    status, out, _ = ended(capfdbinary, "restore", "file", "--data", "new", "--id", "2,1,3", "--json")
    assert status == 0
    told = json.loads(out)
    assert told["folders"] == ["new/server-1", "new/server-2", "new/server-3"]
    assert told["then"] == ["coord up --servers 3 --data new"]
    assert (here / "new" / "servers").read_text() == "3\n"
    status, out, _ = ended(capfdbinary, "restore", "file", "--data", "two", "--id", "3,5", "--json")
    assert json.loads(out)["then"] == [
        "coord serve --id 3 --data two/server-3", "coord serve --id 5 --data two/server-5"
    ]  # fmt: skip
    assert not (here / "two" / "servers").exists()


def test_an_option_may_stand_between_the_file_and_the_addresses(here, capfdbinary):
    status, _, complaint = ended(capfdbinary, "backup", "more", "--newest", "a b")
    assert status == 2
    assert "names no host" in complaint


def test_the_newest_state_alone_is_less(here, capfdbinary):
    assert ended(capfdbinary, "backup", "newest", "--newest", "--data", "coord-data")[0] == 0
    whole, newest = BackupSource("file"), BackupSource("newest")
    assert newest.header.start > whole.header.start == 0
    assert newest.end.last == whole.end.last
    assert ended(capfdbinary, "backup", "newest", "--data", "coord-data")[2] == (
        "coord backup: newest exists already; name another file, or move that one away\n"
    )


def test_two_places_to_look_at_are_one_too_many(here, capfdbinary):
    status, _, complaint = ended(capfdbinary, "history", "--data", "coord-data", "--backup", "file", "/app/config")
    assert status == 2
    assert "--data and --backup name two places to look; give one of them" in complaint
