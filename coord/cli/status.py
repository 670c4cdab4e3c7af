"""`coord status`: the servers of an ensemble in one table, and what is wrong with them in words."""

import argparse
import math
import sys
from collections.abc import Sequence

import trio

from coord.cli.exit_codes import ExitCode
from coord.cli.options import Parser, fail, parsed
from coord.cli.signals import until_stopped
from coord.client.addresses import Address, parse_addresses
from coord.model.errors import AddressError
from coord.shell.health import EnsembleStatus
from coord.shell.looking import LIMIT_S, look
from coord.shell.output import Output, ReaderGone, let_go, standard_output

ADDRESSES = "127.0.0.1:2181"
CLEAR = b"\x1b[H\x1b[2J"
EVERY_S = 2.0
DESCRIPTION = """\
The servers of an ensemble: role, zxids, sessions, sizes, delays, and what is wrong, in words. Name all of them: a
server that is not named is not asked.

  coord status 10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181
  coord status --watch 10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181
  coord status --json 10.0.0.1:2181 | jq .problems
"""
EPILOG = "exit status: 0 if all is well, 10 if anything is wrong, 2 if the command line is.\n"


def main(arguments: Sequence[str]) -> int:
    options = parsed(make_parser(), arguments)
    try:
        addresses, _ = parse_addresses(options.addresses)
    except AddressError as error:
        return fail("status", error, ExitCode.WRONG_SETTINGS)
    for option, seconds in (("--timeout", options.timeout), ("--every", options.every)):
        if not 0 < seconds < math.inf:
            return fail("status", f"{option} is a number of seconds above 0, not {seconds:g}", ExitCode.WRONG_SETTINGS)
    asking = Asking(addresses, options, standard_output(options.json))
    trio.run(until_stopped, asking.run, lambda name: None)
    let_go()
    return asking.status


def make_parser() -> Parser:
    made = Parser(
        prog="coord status",
        usage="coord status [ADDRESSES] [--json] [--watch]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = made.add_argument
    add("addresses", metavar="ADDRESSES", nargs="?", default=ADDRESSES, help=f"host:port,... (default {ADDRESSES})")
    add("--json", action="store_true", help="one JSON object a look")
    add("--watch", action="store_true", help="look again and again, until Ctrl-C")
    add("--every", metavar="S", type=float, default=EVERY_S, help=f"seconds between two looks (default {EVERY_S:g})")
    add("--timeout", metavar="S", type=float, default=LIMIT_S, help=f"for each server (default {LIMIT_S:g})")
    return made


class Asking:
    def __init__(self, addresses: list[Address], options: argparse.Namespace, output: Output) -> None:
        self.output = output
        self.status: int = ExitCode.STOPPED
        self._addresses = addresses
        self._options = options

    async def run(self) -> None:
        options = self._options
        clear = options.watch and not options.json and sys.stdout.isatty()
        try:
            while True:
                seen: EnsembleStatus = await look(self._addresses, options.timeout)
                self.status = ExitCode.STOPPED if seen.healthy else ExitCode.UNWELL
                await self.output.show([seen], before=CLEAR if clear else b"")
                if not options.watch:
                    return
                await trio.sleep(options.every)
        except ReaderGone:
            pass
