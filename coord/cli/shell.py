"""`coord shell`: the prompt, or a script of -c or of standard input."""

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence

import trio

from coord.cli.exit_codes import ExitCode
from coord.cli.options import Parser, fail, parsed
from coord.cli.signals import until_stopped
from coord.client.addresses import parse_addresses
from coord.client.connecting import connect
from coord.model.errors import AddressError, AuthFailedError, ConnectError, CoordError, SessionLostError
from coord.shell.errors import ShellError, UsageError
from coord.shell.output import ReaderGone, is_terminal, let_go, standard_output
from coord.shell.run import given_commands, run_script, standard_input, tell
from coord.shell.state import Shell
from coord.shell.table import COMMANDS, FIRST_STEPS, STEP_LETTERS

ADDRESSES = "127.0.0.1:2181"
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""As a shell tells of a process that these have ended."""

DESCRIPTION = """\
Look at and change the tree that an ensemble keeps: a prompt at a terminal, else a script.

  coord shell 10.0.0.1:2181,10.0.0.2:2181            a prompt; `help` lists the commands
  coord shell ADDRESSES -c "ls -l /app" -c "get /x"  these commands; ends at the first that fails
  coord shell ADDRESSES --json -c "find /app"        a line of JSON for each value
  coord shell ADDRESSES < script                     a command a line

At the prompt, in -c and in a script:

{steps}

The commands, of which `help COMMAND` tells all:

{commands}

Who changed a znode yesterday tells coord history, what it was like then coord at; coord backup and coord restore copy
all of it. What is wrong with the servers tells coord status.
"""
EPILOG = """\
exit status: 0 all was done; 2 a command was not understood; 8 a command failed; 9 no server was found, or the session
was lost; 130 Ctrl-C.
"""


def main(arguments: Sequence[str]) -> int:
    options = parsed(make_parser(), arguments)
    try:
        parse_addresses(options.addresses)
    except AddressError as error:
        return fail("shell", error, ExitCode.WRONG_SETTINGS)
    auth = [tuple(each.split(":", 1)) for each in options.auth]
    if any(len(each) != 2 for each in auth):
        return fail("shell", "--auth is SCHEME:CREDENTIALS, such as digest:ann:secret", ExitCode.WRONG_SETTINGS)
    if not 0 < options.timeout < math.inf:
        problem = f"--timeout is a number of seconds above 0, not {options.timeout:g}"
        return fail("shell", problem, ExitCode.WRONG_SETTINGS)
    if not options.commands and is_terminal(sys.stdin) and is_terminal(sys.stdout):
        from coord.shell.prompt import Prompt  # only here: it takes a fifth of a second to load

        prompt = Prompt(options.addresses, auth, options.timeout, options.json, options.read_only)
        ended = trio.run(prompt.run)
        return INTERRUPTED if prompt.interrupted else status_of(ended)
    script = Script(options, auth)
    trio.run(until_stopped, script.run, script.heard)
    let_go()
    return script.status


def make_parser() -> Parser:
    made = Parser(
        prog="coord shell",
        usage="coord shell [ADDRESSES] [-c COMMAND]... [--json] [--read-only]",
        description=description(),
        epilog=EPILOG,
    )
    add = made.add_argument
    add("addresses", metavar="ADDRESSES", nargs="?", default=ADDRESSES, help=f"host:port,... (default {ADDRESSES})")
    add("-c", dest="commands", metavar="COMMAND", action="append", default=[], help="do this; may be given again")
    add("--json", action="store_true", help="a line of JSON for each value, and for errors")
    add("--read-only", action="store_true", help="refuse what changes anything")
    add("--auth", metavar="SCHEME:CREDENTIALS", action="append", default=[], help="be somebody: digest:ann:secret")
    add("--timeout", metavar="S", type=float, default=5.0, help="seconds to find a server (default 5)")
    return made


def description() -> str:
    steps = "\n".join(f"  {line:<{STEP_LETTERS}}  {meaning}" for line, meaning in FIRST_STEPS)
    families = {title: ", ".join(each.name for each in family) for title, family in COMMANDS.families.items()}
    width = max(map(len, families))
    commands = "\n".join(f"  {title:<{width}}  {names}" for title, names in families.items())
    return DESCRIPTION.format(steps=steps, commands=commands)


class Script:
    """Commands without a prompt. `status` is how the process ends."""

    def __init__(self, options: argparse.Namespace, auth: list[tuple[str, str]]) -> None:
        self._options = options
        self._auth = auth
        self.status: int = ExitCode.STOPPED
        self.output = standard_output(options.json)

    def heard(self, name: str) -> None:
        self.status = INTERRUPTED if name == "SIGINT" else TERMINATED

    async def run(self) -> None:
        options = self._options
        commands = [os.fsencode(each).decode("utf-8", "surrogateescape") for each in options.commands]
        lines = given_commands(commands) if commands else standard_input()
        try:
            async with connect(
                options.addresses, auth=self._auth, connect_timeout=options.timeout, name="coord shell"
            ) as client:
                shell = Shell(client, options.addresses, options.read_only, input_taken=not commands)
                if commands and is_terminal(sys.stdin) and is_terminal(sys.stderr):
                    from coord.shell.prompt import ask

                    shell.ask = ask
                error = await run_script(shell, lines, self.output, options.json)
                self.status = status_of(error)
        except ReaderGone:
            pass
        except (ConnectError, SessionLostError, AuthFailedError) as error:
            tell(error, "", options.json)
            self.status = status_of(error)


def status_of(error: Exception | None) -> int:
    if error is None:
        return ExitCode.STOPPED
    if isinstance(error, UsageError):
        return ExitCode.WRONG_SETTINGS
    if isinstance(error, ConnectError | SessionLostError):
        return ExitCode.NO_SERVER
    assert isinstance(error, ShellError | CoordError)
    return ExitCode.COMMAND_FAILED
