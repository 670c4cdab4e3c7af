"""The table of settings as options of a command, and as the table in README.md."""

import argparse
import difflib
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from coord.cli.exit_codes import MEANINGS, ExitCode
from coord.server.config import SETTINGS, Setting


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, without a page of usage before it.

    It takes options in full only, and shows descriptions with their lines as they are.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.WRONG_SETTINGS, f"{self.prog}: {message}\n")


def parser(command: str, description: str) -> Parser:
    made = Parser(
        prog=f"coord {command}",
        usage=f"coord {command} [--help] [OPTION VALUE ...]",
        description=description,
    )
    made.set_defaults(config=None)
    return made


def add_settings(to: Parser, without: Collection[str] = ()) -> None:
    """Add --config and an option for each setting."""
    group = to.add_argument_group(
        "settings",
        "Each can also be a key of the TOML file (--frame-bytes-max: frame_bytes_max) or an environment variable\n"
        "(COORD_FRAME_BYTES_MAX). The option goes before the variable, the variable before the file.",
    )
    group.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with settings")
    for row in SETTINGS.values():
        if row.name not in without:
            described = described_default(row).replace("%", "%%")
            form = row.unit.replace(" ", "").upper()
            group.add_argument(row.option, metavar=form, default=argparse.SUPPRESS, help=described, dest=row.name)


def described_default(row: Setting) -> str:
    default = row.shown_default()
    return f"{row.help} (default {default})" if default else row.help


def parsed(by: Parser, arguments: Sequence[str], *, intermixed: bool = False) -> argparse.Namespace:
    """The arguments as a namespace; an unknown one ends the process with a sentence and, if it can, the right name.

    `intermixed`: an option may stand between several arguments of which some can be left out.
    """
    parse = by.parse_known_intermixed_args if intermixed else by.parse_known_args
    namespace, unknown = parse(arguments)
    if unknown:
        known = re.findall(r"--[a-z][a-z-]*", by.format_help())
        near = difflib.get_close_matches(unknown[0].partition("=")[0].replace("_", "-"), known, n=1)
        by.error(
            f"{unknown[0]!r} is not an option; " + (f"is {near[0]} meant?" if near else f"{by.prog} --help lists all")
        )
    return namespace


def given_settings(namespace: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as options, by name, as they were written."""
    given: Mapping[str, str] = vars(namespace)
    return {name: value for name, value in given.items() if name in SETTINGS}


def fail(command: str, problem: object, code: ExitCode) -> ExitCode:
    """Say in one sentence why a command did not do its work."""
    print(f"coord {command}: {problem}", file=sys.stderr)
    return code


# ---- for README.md


def settings_table() -> str:
    """Every setting as a row of a Markdown table."""
    rows = ["| option | in | default | what it is |", "|---|---|---|---|"]
    for row in SETTINGS.values():
        default = f"`{row.shown_default()}`" if row.shown_default() else ""
        rows.append(f"| `{row.option}` | {row.unit} | {default} | {row.help} |")
    return "\n".join(rows)


def exit_codes_table() -> str:
    """Every exit status as a row of a Markdown table."""
    return "\n".join(
        ["| status | meaning |", "|---|---|", *(f"| {code.value} | {MEANINGS[code]} |" for code in ExitCode)]
    )
