"""What `coord`, its help and its refusals say."""

import subprocess
import sys
from pathlib import Path

import pytest

from coord import __version__
from coord.cli import exit_codes, up
from coord.cli.exit_codes import ExitCode, meaning
from coord.cli.main import COMMANDS, listed, main
from coord.cli.options import add_settings, parsed, parser
from coord.server.config import SETTINGS
from tools.readme import README, filled


def coord(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "coord", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def refused(run, capsys):
    """The status and the words with which a command line is refused."""
    with pytest.raises(SystemExit) as caught:
        run()
    return caught.value.code, capsys.readouterr().err


def test_the_version_is_told_by_the_process():
    ended = coord("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"coord {__version__}\n", "")


def test_the_version_is_told_without_importing_what_a_server_needs():
    program = (
        "import sys; from coord.cli.main import main\n"
        "try: main(['--version'])\n"
        "finally: assert not {'trio', 'cbor2', 'logging', 'coord.server'} & set(sys.modules), sorted(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False).returncode == 0


def test_the_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and purpose in shown for name, purpose in COMMANDS.items())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], f"give a command: {listed('or')}"),
        (["swerve"], "'swerve' is not a command, is serve meant"),
        (["bogus", "--id", "1"], f"'bogus' is not a command, there are {listed('and')}"),
        (["--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_who_names_no_command_is_told_in_one_sentence_with_status_2(arguments, sentence, capsys):
    told = refused(lambda: main(arguments), capsys)
    assert told == (ExitCode.WRONG_SETTINGS, f"coord: {sentence}; coord --help tells more\n")


def test_the_help_of_a_server_names_every_setting_with_its_default():
    made = parser("serve", "")
    add_settings(made)
    shown = " ".join(made.format_help().split())
    for row in SETTINGS.values():
        assert row.option in shown
        assert row.help in shown
    assert "(default 127.0.0.1:2181)" in shown


def test_the_help_of_up_leaves_out_what_it_sets_itself():
    shown = up.make_parser().format_help()
    assert all(f"  {row.option} " in shown for row in SETTINGS.values() if row.name not in up.PER_SERVER)
    assert "--ensemble" not in shown


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--cleint", "coord serve: '--cleint' is not an option; is --client meant?\n"),
        (
            "--frame_bytes_max=5000",
            "coord serve: '--frame_bytes_max=5000' is not an option; is --frame-bytes-max meant?\n",
        ),
        ("--xyzzy", "coord serve: '--xyzzy' is not an option; coord serve --help lists all\n"),
        ("--clien", "coord serve: '--clien' is not an option; is --client meant?\n"),
    ],
)
def test_an_unknown_option_is_refused_with_the_likely_one(argument, sentence, capsys):
    made = parser("serve", "")
    add_settings(made)
    assert refused(lambda: parsed(made, [argument]), capsys) == (ExitCode.WRONG_SETTINGS, sentence)


def test_every_exit_status_has_a_meaning():
    assert set(exit_codes.MEANINGS) == set(ExitCode)
    assert meaning(5).startswith("exit status 5: an address")
    assert meaning(99) == "exit status 99"
    assert meaning(-9) == "ended by SIGKILL"


def test_readme_has_the_tables_as_the_code_has_them():
    text = README.read_text(encoding="utf-8")
    assert text == filled(text), "README.md is behind the code: run `make readme`"


def test_the_repository_keeps_the_versions_that_were_tested():
    lines = (Path(README).parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
