"""How `coord serve` ends: its exit status and the line that says why."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

import coord.cli.serve as command
from coord.cli.exit_codes import ExitCode
from coord.replica.replica import StateDiverged
from coord.server.errors import AddressUnavailable, RefusedByEnsemble
from coord.storage.errors import StorageFailure, StorageRefused

ROOT = Path(command.__file__).parents[2]


@pytest.fixture(autouse=True)
def logging_as_it_was():
    root, coord = logging.getLogger(), logging.getLogger("coord")
    before = root.handlers[:], root.level, coord.level
    yield
    root.handlers[:], root.level, coord.level = before
    logging.captureWarnings(False)


@pytest.fixture
def run_with(monkeypatch, tmp_path, capsys):
    """Run `coord serve` with another way to serve; gives its status and its log."""

    def run(serve, *arguments):
        monkeypatch.setattr(command, "serve", serve)
        status = command.main(["--data", str(tmp_path), *arguments])
        return status, capsys.readouterr().err.splitlines()

    return run


def errors_of(log):
    return [line for line in log if line.split()[1] == "error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_with_status_0(run_with, number):
    async def serve(*given):
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    status, log = run_with(serve)
    assert status == ExitCode.STOPPED
    assert any(f"asked to stop signal={number.name}" in line for line in log)
    assert log[-1].endswith(" stopped")


def test_a_second_signal_does_not_disturb_a_server_that_is_stopping(run_with):
    finished = []

    async def serve(*given):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                os.kill(os.getpid(), signal.SIGTERM)
                await trio.testing.wait_all_tasks_blocked(0.01)
                finished.append(True)

    assert run_with(serve)[0] == ExitCode.STOPPED
    assert finished == [True]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageRefused("the folder x is in use by the process 7"), ExitCode.DATA_REFUSED),
        (StorageFailure("cannot write x: no space left on device"), ExitCode.DISK_FAILED),
        (AddressUnavailable("127.0.0.1:2181 is in use"), ExitCode.ADDRESS_UNAVAILABLE),
        (RefusedByEnsemble("another server has the id 1"), ExitCode.REFUSED_BY_ENSEMBLE),
        (StateDiverged("at zxid 0x10000000005 the digest differs"), ExitCode.STATE_DIVERGED),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_what_a_server_is_known_to_end_with_is_one_line_and_a_status_of_its_own(run_with, error, code, grouped):
    async def serve(*given):
        raise ExceptionGroup("tasks", [error]) if grouped else error

    status, log = run_with(serve)
    assert status == code
    (line,) = errors_of(log)
    assert f"{error} exit_status={code.value}" in line
    assert not any("Traceback" in line for line in log)


def test_a_known_cause_gives_the_status_when_others_fail_with_it(run_with):
    async def serve(*given):
        raise ExceptionGroup("tasks", [KeyError("echo"), ExceptionGroup("more", [StorageFailure("disk full")])])

    status, log = run_with(serve)
    assert status == ExitCode.DISK_FAILED
    assert len(errors_of(log)) == 2


@pytest.mark.parametrize(("level", "tracebacks"), [("info", 0), ("debug", 1)])
def test_a_defect_is_one_line_and_its_traceback_shows_at_debug(run_with, level, tracebacks):
    async def serve(*given):
        raise KeyError("lost")

    status, log = run_with(serve, "--log-level", level)
    assert status == ExitCode.DEFECT
    (line,) = errors_of(log)
    assert "KeyError('lost')" in line
    assert "at=test_serve_command.py:" in line
    assert sum("Traceback" in line for line in log) == tracebacks


def test_json_lines_on_request(run_with):
    async def serve(*given):
        raise StorageFailure("disk full")

    assert all(line.startswith("{") for line in run_with(serve, "--log-format", "json")[1])


def test_a_misspelt_variable_is_warned_of(run_with, monkeypatch):
    async def serve(*given):
        raise StorageFailure("disk full")

    monkeypatch.setenv("COORD_CLEINT", "x")
    assert any("is COORD_CLIENT meant?" in line for line in run_with(serve)[1])


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--id", "0"], {}, "coord serve: option --id: '0' is wrong: it must be a whole number from 1 to 255\n"),
        (
            [],
            {"COORD_CLIENT": "here"},
            "coord serve: environment variable COORD_CLIENT: 'here' is wrong: it must be HOST:PORT",
        ),
        (
            ["--config", "/nowhere/coord.toml"],
            {},
            "coord serve: the settings file /nowhere/coord.toml cannot be read: ",
        ),
    ],
)
def test_wrong_settings_end_the_process_with_one_sentence_and_status_2(arguments, environment, sentence, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "coord", "serve", *arguments],
        env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == ExitCode.WRONG_SETTINGS
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
