"""An ensemble of real processes on the loopback address: start, kill, freeze, look, clean up.

Promises: a child never outlives this process, however it ends; children are ended by their process id, never
by name; everything they print is kept in a file; waiting means waiting for a condition, with a limit and a
sentence that tells what was missing.

Start servers from the main thread: the kernel takes a child's parent to be the thread that started it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from tools.ensembles import words
from tools.ensembles.ports import HOST, free_ports

_POLL_INTERVAL_S = 0.02
_LOG_TAIL_LINES = 25


class EnsembleError(Exception):
    """An ensemble did not do what was waited for; the text ends with what its servers logged last."""


@dataclass(slots=True, frozen=True)
class Member:
    """One server's place in the world. `folder` holds its data, its log and what its software needs."""

    id: int
    client_port: int
    peer_port: int
    election_port: int  # ZooKeeper elects on a port of its own
    folder: Path

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def client_address(self) -> str:
        return f"{HOST}:{self.client_port}"


class Software(Protocol):
    """What is run: coord or ZooKeeper."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str | None:
        """What is not installed, as one sentence; None if it can be started."""

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        """Write what the server reads at its start into `member.folder`."""

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]: ...


def mode_by_word(member: Member, timeout_s: float) -> str | None:
    """How coord and ZooKeeper are asked what they are."""
    return words.mode(member.client_port, timeout_s)


class Ensemble:
    """Servers 1 .. n of one software. A context manager: leaving it kills them; the folder is the caller's."""

    def __init__(
        self,
        software: Software,
        folder: Path,
        servers: int = 3,
        ask_mode: Callable[[Member, float], str | None] = mode_by_word,
    ) -> None:
        """`ask_mode` tells what a server is: see `mode`."""
        if (sentence := software.missing()) is not None:
            raise EnsembleError(sentence)
        ports = iter(free_ports(3 * servers))
        self.software = software
        self._ask_mode = ask_mode
        self.members = {
            id: Member(id, next(ports), next(ports), next(ports), folder / f"server-{id}")
            for id in range(1, servers + 1)
        }
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        for member in self.members.values():
            member.folder.mkdir(parents=True)
            software.prepare(member, tuple(self.members.values()))

    def __repr__(self) -> str:
        running = [id for id in self.members if self.is_running(id)]
        return f"<Ensemble of {len(self.members)} {self.software.name} servers, running {running}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # ---- what can be done to servers

    def start(self, id: int, prefix: Sequence[str] = ()) -> None:
        """Start one server, its command behind `prefix`; returns at once (see wait_serving)."""
        assert not self.is_running(id), f"server {id} is running already"
        member = self.members[id]
        command = [*prefix, *self.software.command(member, tuple(self.members.values()))]
        with member.log_file.open("ab") as log:
            log.write(b"--- start: " + " ".join(command).encode() + b"\n")
            log.flush()
            self._children[id] = subprocess.Popen(
                [*_dying_with_parent(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we then end the children ourselves
            )

    def start_all(self) -> None:
        for id in self.members:
            if not self.is_running(id):
                self.start(id)

    def stop(self, id: int, timeout_s: float = 15.0) -> int:
        """Ask one server to end (SIGTERM) and return its exit status; kill it if it does not."""
        child = self._children[id]
        child.terminate()
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill9(id)
            sentence = f"server {id} did not end within {timeout_s} s of SIGTERM, so it was killed.{self.tail(id)}"
            raise EnsembleError(sentence) from None

    def kill9(self, id: int) -> None:
        """Kill one server as a power cut would (but the disk's cache survives); works on a frozen one, too."""
        child = self._children[id]
        child.kill()
        child.wait()

    def kill9_all(self) -> None:
        """All running servers at once: every signal is sent before the first is waited for."""
        running = [self._children[id] for id in self.members if self.is_running(id)]
        for child in running:
            child.kill()
        for child in running:
            child.wait()

    def sigstop(self, id: int) -> None:
        """Freeze: the process keeps its connections and does nothing."""
        self._children[id].send_signal(signal.SIGSTOP)

    def sigcont(self, id: int) -> None:
        self._children[id].send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill9_all()

    # ---- what can be seen of them

    def is_running(self, id: int) -> bool:
        child = self._children.get(id)
        return child is not None and child.poll() is None

    def exit_status(self, id: int) -> int | None:
        return self._children[id].poll()

    def pid(self, id: int) -> int:
        return self._children[id].pid

    def mode(self, id: int, timeout_s: float = 2.0) -> str | None:
        """leader, follower, standalone ...; None while the server does not serve."""
        return self._ask_mode(self.members[id], timeout_s)

    def leader(self) -> int | None:
        """The server that says that it leads, if one does."""
        for id in self.members:
            if self.is_running(id) and self.mode(id) in ("leader", "standalone"):
                return id
        return None

    def _leaders(self) -> int:
        modes = [self.mode(id) for id in self.members if self.is_running(id)]
        return sum(mode in ("leader", "standalone") for mode in modes)

    def followers(self) -> list[int]:
        return [id for id in self.members if self.is_running(id) and self.mode(id) == "follower"]

    def log_text(self, id: int) -> str:
        return self.members[id].log_file.read_text(errors="replace")

    def hosts(self, ids: Iterable[int] | None = None) -> str:
        """The connection string of these servers (all), as clients take it."""
        return ",".join(self.members[id].client_address for id in (self.members if ids is None else ids))

    # ---- waiting

    def wait_serving(self, ids: Iterable[int] | None = None, timeout_s: float = 60.0) -> None:
        """Until each of these servers (all) serves, and exactly one running server leads.

        One that was frozen may believe for a moment after its thawing that it leads still.
        """
        wanted = list(self.members if ids is None else ids)
        modes: dict[int, str | None] = {}

        def serving() -> bool:
            for id in wanted:
                if not self.is_running(id):
                    raise EnsembleError(f"server {id} ended with status {self.exit_status(id)}.{self.tail(id)}")
                modes[id] = self.mode(id)
                if modes[id] is None:
                    return False
            return self._leaders() == 1

        self.wait_until(serving, f"servers {wanted} to serve under a leader", timeout_s, lambda: f"modes: {modes}")

    def wait_leader(self, timeout_s: float = 60.0) -> int:
        """Until one of the running servers leads; its id."""
        self.wait_until(lambda: self.leader() is not None, "a leader", timeout_s)
        leader = self.leader()
        return self.wait_leader(timeout_s) if leader is None else leader

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_s: float, state: Callable[[], str] = str
    ) -> None:
        """Poll `condition` until it holds; `what` and `state()` go into the error if it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                tails = "".join(self.tail(id) for id in self._children)
                raise EnsembleError(f"waited {timeout_s} s in vain for {what}; {state()}{tails}")
            time.sleep(_POLL_INTERVAL_S)

    def tail(self, id: int) -> str:
        """What a server logged last, as the end of a message."""
        lines = self.log_text(id).splitlines()[-_LOG_TAIL_LINES:]
        return f"\n--- the last lines of server {id}'s log:\n" + "\n".join(lines)


def _dying_with_parent() -> list[str]:
    """A prefix for commands that makes the kernel kill the child when this process dies, even of kill -9."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv is not None and os.name == "posix" else []
