"""`coord serve`: one server, from its settings to its exit status.

Makes the four things that `coord.server.serve` is given (settings, disk, network, chance), runs it until a
signal comes, and turns what ended it into a sentence and a status of coord.cli.exit_codes.
"""

import dataclasses
import os
import random
import resource
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import trio

from coord.cli.admin import admin_of
from coord.cli.exit_codes import ExitCode
from coord.cli.options import Parser, add_settings, fail, given_settings, parsed, parser
from coord.cli.signals import until_stopped
from coord.net.network import TcpNetwork
from coord.replica.replica import StateDiverged
from coord.server.config import Config
from coord.server.errors import AddressUnavailable, RefusedByEnsemble
from coord.server.loading import SettingError, load_config, misspelt_variables
from coord.server.log_lines import EventLog, configure
from coord.server.serve import Beside, serve
from coord.storage.disk import FolderDisk
from coord.storage.errors import StorageFailure, StorageRefused
from coord.version import __version__

FILES_RESERVED = 256
"""Open files that are not for clients: log, snapshots, other servers, and what Python needs itself."""


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = parsed(make_parser(), arguments)
    try:
        config = load_config(given_settings(options), os.environ, options.config)
        beside = admin_of(config)
    except SettingError as error:
        return fail("serve", error, ExitCode.WRONG_SETTINGS)
    configure(config.log_level, config.log_format)
    log = EventLog(config.id)
    for sentence in misspelt_variables(os.environ):
        log.warning(sentence)
    return run(within_files(config, log), log, beside)


def make_parser() -> Parser:
    made = parser(
        "serve",
        "Run one server. Without settings: a single server on 127.0.0.1:2181 with its data in ./coord-data.",
    )
    add_settings(made)
    return made


def run(config: Config, log: EventLog, beside: Beside | None = None) -> ExitCode:
    """Serve until a signal comes or something ends the server; log which, and return the status for it."""

    async def work() -> None:
        served = serve if beside is None else partial(serve, beside=beside)
        await served(config, FolderDisk(config.data), TcpNetwork(), random.SystemRandom())

    log.info("starting", version=__version__, data=config.data, client=config.client, ensemble=len(config.servers))
    try:
        trio.run(until_stopped, work, lambda name: log.info("asked to stop", signal=name))
    except Exception as error:
        return explain(error, log)
    log.info("stopped")
    return ExitCode.STOPPED


def within_files(config: Config, log: EventLog) -> Config:
    """The same settings with no more clients than this process may open files for.

    A server that runs out of files cannot open the next file of its log, and must end: no crowd of clients may
    bring that about.
    """
    may, at_most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.connections_max + FILES_RESERVED
    if may == resource.RLIM_INFINITY or may >= wanted:
        return config
    may = wanted if at_most == resource.RLIM_INFINITY else min(wanted, at_most)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (may, at_most))
    except (OSError, ValueError):  # some systems name a higher limit than they grant
        may = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = max(1, may - FILES_RESERVED)
    if room >= config.connections_max:
        return config
    log.warning(
        f"connections_max = {config.connections_max} is more than this process may open files for; "
        f"it is lowered to {room}; raise the limit of open files (ulimit -n) above {wanted}, or lower the setting"
    )
    return dataclasses.replace(config, connections_max=room)


def explain(error: Exception, log: EventLog) -> ExitCode:
    """Log what ended the server, one line a cause, and return the status that says so.

    When several tasks failed at once the status is that of a known cause: the others are mostly its echo.
    """
    codes = []
    for cause in causes(error):
        code = next((code for kind, code in EXITS if isinstance(cause, kind)), ExitCode.DEFECT)
        codes.append(code)
        if code is ExitCode.DEFECT:
            log.error(
                "an unexpected error ended this server", error=repr(cause), at=place(cause), exit_status=code.value
            )
            log.debug("where it came from", traceback="".join(traceback.format_exception(cause)))
        else:
            log.error(str(cause), exit_status=code.value)
    return next((code for _, code in EXITS if code in codes), ExitCode.DEFECT)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error itself, or those that a group of them holds, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from causes(part)
    else:
        yield error


def place(error: BaseException) -> str:
    """File and line where the error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


EXITS: tuple[tuple[type[Exception], ExitCode], ...] = (
    (StateDiverged, ExitCode.STATE_DIVERGED),
    (StorageFailure, ExitCode.DISK_FAILED),
    (StorageRefused, ExitCode.DATA_REFUSED),
    (AddressUnavailable, ExitCode.ADDRESS_UNAVAILABLE),
    (RefusedByEnsemble, ExitCode.REFUSED_BY_ENSEMBLE),
)
"""The errors that a server is known to end with; the first one that was raised gives the status."""
