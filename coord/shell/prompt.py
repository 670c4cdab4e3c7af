"""The prompt: where you are, completion from the live tree, history, and Ctrl-C that ends a command and not the shell.

prompt_toolkit reads the line in a thread; the client, and with it the session, lives on in Trio meanwhile. If the
session is lost the shell says so and gets another.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from coord.client.addresses import parse_addresses
from coord.client.calls import SessionState
from coord.client.connecting import connect
from coord.client.groups import unwrapped
from coord.model.errors import AuthFailedError, ConnectError, CoordError, SessionLostError
from coord.shell.completion import TreeCompleter
from coord.shell.errors import ShellError
from coord.shell.grammar import commands_of
from coord.shell.output import Output, ReaderGone, standard_output
from coord.shell.run import INTERRUPTED, changes, is_secret, run_line, say, tell
from coord.shell.state import Shell
from coord.shell.words import Unreachable

ROLE_LIMIT_S = 0.3
NOTICE_S = 2.0
"""After so long without a connection the user is told what the shell waits for."""


class Prompt:
    def __init__(
        self, addresses: str, auth: Sequence[tuple[str, str]], timeout_s: float, json: bool, read_only: bool
    ) -> None:
        self._addresses = addresses
        self._auth = list(auth)
        self._timeout_s = timeout_s
        self._json = json
        self._read_only = read_only
        self._command: trio.CancelScope | None = None  # what Ctrl-C ends
        self._here = "/"
        self._lines: list[str] = []  # of all sessions, for history and redo
        self._next: str | None = None  # other addresses, as connect wants them
        self._served: str | None = None  # the addresses that served last
        self._failed = False  # the last command
        self.interrupted = False  # while a server was looked for

    async def run(self) -> Exception | None:
        """Until the user leaves, or no server is found; what ended it otherwise than by leaving, after it was told."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._listen)
            ended = await self._run()
            nursery.cancel_scope.cancel()
        return ended

    async def _listen(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                if self._command is not None:
                    self._command.cancel()

    async def _run(self) -> Exception | None:
        history = open_history()
        while True:
            try:
                with trio.CancelScope() as self._command:
                    async with connect(
                        self._addresses, auth=self._auth, connect_timeout=self._timeout_s, name="coord shell"
                    ) as client:
                        self._served = self._addresses
                        shell = Shell(
                            client, self._addresses, self._read_only, ask, self._here, connect=self._connect,
                            lines=self._lines,
                        )  # fmt: skip
                        await self._session(shell, history)
                    if self._next is None:
                        return None
                    self._addresses, self._next, self._here = self._next, None, "/"
            except (ConnectError, AuthFailedError) as error:
                tell(error, "", self._json)
                if self._served is not None and self._served != self._addresses:
                    self._addresses = self._served
                    say(f"coord shell: going back to {self._addresses}")
                elif self._served is None or isinstance(error, AuthFailedError):
                    return error
                else:
                    say("coord shell: looking for a server again; Ctrl-C ends the shell")
            except SessionLostError as error:
                tell(error, "", self._json)
            if self._command is not None and self._command.cancelled_caught:
                self.interrupted = True
                return None

    def _connect(self, addresses: str) -> None:
        self._next = addresses

    async def _session(self, shell: Shell, history: History) -> None:
        """Line after line. Raises SessionLostError."""
        output = standard_output(self._json, go_on)
        completer = TreeCompleter(shell, trio.lowlevel.current_trio_token())
        reader: PromptSession[str] = PromptSession(
            history=history, completer=completer, complete_in_thread=True, complete_while_typing=False,
            auto_suggest=AutoSuggestFromHistory(), enable_open_in_editor=False,
        )  # fmt: skip
        self._command = None
        while True:
            message = await prompt_text(shell)
            try:
                line = await in_thread(reader, message)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            for each in commands_of(line):  # several, if they were pasted
                if not await self._do(shell, each, output):
                    return
                self._here = shell.here
                if self._failed:
                    break

    async def _do(self, shell: Shell, line: str, output: Output) -> bool:
        """One command; False if this session is to be left."""
        self._failed = True
        try:
            with trio.CancelScope() as self._command, unwrapped():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(tell_waiting, shell)
                    stays = await run_line(shell, line, output)
                    nursery.cancel_scope.cancel()
                self._failed = False
                return stays and self._next is None
            if self._command.cancelled_caught and changes(line):
                tell(ShellError(INTERRUPTED), "", self._json)
        except SessionLostError:
            raise
        except (ShellError, CoordError) as error:
            tell(error, "", self._json)
        except (KeyboardInterrupt, EOFError):  # instead of an answer to a question
            tell(ShellError("nothing was done"), "", self._json)
        except ReaderGone:
            return False
        finally:
            self._command = None
        return True


async def in_thread(reader: "PromptSession[str]", message: FormattedText) -> str:
    """A line from the terminal. Raises KeyboardInterrupt and EOFError."""
    read = partial(reader.prompt, message, handle_sigint=False)
    return await trio.to_thread.run_sync(read, abandon_on_cancel=True)


async def tell_waiting(shell: Shell) -> None:
    """Say so when there is no connection for a while: a command that waits looks like one that hangs."""
    session = shell.client.session
    with suppress(SessionLostError):  # the command itself says so
        while True:
            await session.wait_state(SessionState.SUSPENDED)
            with trio.move_on_after(NOTICE_S):
                await session.wait_state(SessionState.CONNECTED)
                continue
            left = f"the session lives for {session.remaining:.0f} s more"
            say(f"no server serves this shell now; {left}; Ctrl-C gives up")
            await session.wait_state(SessionState.CONNECTED)


async def ask(question: str) -> bool:
    """Yes or no, at the terminal."""
    reader: PromptSession[str] = PromptSession()
    answer = await in_thread(reader, FormattedText([("bold", f"{question} [y/N] ")]))
    return answer.strip().lower() in ("y", "yes")


async def go_on() -> bool:
    """After a screenful: more?"""
    reader: PromptSession[str] = PromptSession(erase_when_done=True)
    try:
        answer = await in_thread(reader, FormattedText([("reverse", "-- more: Enter, or q to end --"), ("", " ")]))
    except (KeyboardInterrupt, EOFError):
        return False
    return not answer.strip().lower().startswith("q")


async def prompt_text(shell: Shell) -> FormattedText:
    """The server, what it is in the ensemble, and the path."""
    server = shell.client.server
    where, role = "no server", ""
    if server is not None:
        where, role = server.address, await role_of(shell, server.address)
    read_only = [("ansiyellow", " read-only")] if shell.read_only else []
    shown = [("ansigreen", where), ("", f" {role}" if role else ""), *read_only]
    return FormattedText([*shown, ("bold ansiblue", f" {shell.here}"), ("", "> ")])


async def role_of(shell: Shell, address: str) -> str:
    try:
        answer = await shell.ask_word(parse_addresses(address)[0][0], "srvr", ROLE_LIMIT_S)
    except Unreachable:
        return ""
    modes = [line.removeprefix("Mode: ") for line in answer.splitlines() if line.startswith("Mode: ")]
    return modes[0] if modes else ""


# ---- history


class DiscreetHistory(FileHistory):
    """A file of lines, without those that hold a password."""

    def store_string(self, string: str) -> None:
        if not any(is_secret(each) for each in commands_of(string)):
            super().store_string(string)


def open_history() -> History:
    """In the user's state folder, for that user only; in memory if there is no such place."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    file = Path(base) / "coord" / "shell-history"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return DiscreetHistory(str(file))
