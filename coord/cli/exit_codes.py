"""How a process of coord ends: one number a reason, so that whoever supervises it can tell them apart."""

import signal
from enum import IntEnum


class ExitCode(IntEnum):
    STOPPED = 0
    DEFECT = 1
    WRONG_SETTINGS = 2
    DATA_REFUSED = 3
    DISK_FAILED = 4
    ADDRESS_UNAVAILABLE = 5
    REFUSED_BY_ENSEMBLE = 6
    STATE_DIVERGED = 7
    COMMAND_FAILED = 8
    NO_SERVER = 9
    UNWELL = 10


MEANINGS = {
    ExitCode.STOPPED: "stopped as asked, by SIGTERM or SIGINT",
    ExitCode.DEFECT: "an unexpected error: a defect of coord, please report it",
    ExitCode.WRONG_SETTINGS: "a setting is wrong; nothing was started",
    ExitCode.DATA_REFUSED: "the data folder cannot be used; nothing in it was changed",
    ExitCode.DISK_FAILED: "the disk failed or is full; what was acknowledged is kept",
    ExitCode.ADDRESS_UNAVAILABLE: "an address to listen on is in use or not of this machine",
    ExitCode.REFUSED_BY_ENSEMBLE: "the ensemble refused this server, for example as a second one with its id",
    ExitCode.STATE_DIVERGED: "its state differs from its leader's; the log says what to do before it runs again",
    ExitCode.COMMAND_FAILED: "a command of `coord shell`, or one about the past, failed; those behind it were not done",
    ExitCode.NO_SERVER: "`coord shell` found no server, or lost its session",
    ExitCode.UNWELL: "`coord status` found something wrong",
}


def meaning(status: int) -> str:
    """In words, how a process ended; a negative status is the signal that ended it, as subprocess has it."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    known = MEANINGS.get(ExitCode(status)) if status in set(ExitCode) else None
    return f"exit status {status}: {known}" if known else f"exit status {status}"
