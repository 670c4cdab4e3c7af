"""`coord up`: an ensemble on this machine, to try coord out.

Each server is a process of its own, `python -m coord serve ...`, so that killing one shows what an ensemble
does about it. Their log lines come out on standard error behind the server's number; what `coord up` itself
has to say comes out on standard output. None of the servers outlives it, unless it is itself killed with -9.
"""

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from coord.cli.admin import admin_of
from coord.cli.exit_codes import ExitCode, meaning
from coord.cli.options import Parser, add_settings, fail, given_settings, parsed, parser
from coord.cli.signals import until_stopped
from coord.server.config import ANYONE, SETTINGS
from coord.server.loading import SettingError, is_given, load_config
from coord.server.parsers import Address, Unacceptable, folder, whole

T = TypeVar("T")

SERVE = (sys.executable, "-m", "coord", "serve")
HOST = "127.0.0.1"
PEER_OFFSET = 1000
"""The peer ports are this far above the client ports, or twice, three times ... as far if those are taken."""
PER_SERVER = ("id", "data", "client", "peer", "ensemble")
"""The settings that `coord up` gives each server itself."""
SET_HERE = frozenset(SETTINGS[name].variable for name in PER_SERVER)
SERVERS_MAX = 9
POLL_S = 0.05
PATIENCE_S = 10.0  # then it says for whom it still waits
STOP_S = 10.0  # a server that was asked to stop gets so long, then it is killed
LINE_BYTES_MAX = 1 << 16


class UpError(Exception):
    """The ensemble cannot be started; the text is one sentence, the code says why."""

    def __init__(self, problem: str, code: ExitCode) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(slots=True)
class Child:
    """One server as a process."""

    id: int
    client: Address
    command: list[str]
    admin: Address | None = None  # where it answers over HTTP
    status: int | None = None  # once it has ended, as subprocess has it
    mode: str = ""  # once it serves: leader, follower, standalone


def main(arguments: Sequence[str]) -> int:
    """Run the servers until SIGTERM or SIGINT."""
    options = parsed(make_parser(), arguments)
    environment = {name: value for name, value in os.environ.items() if name not in SET_HERE}
    extra = {name: value for name, value in given_settings(options).items() if name not in PER_SERVER}
    try:
        if not is_given("inspect", extra, environment, options.config):
            extra["inspect"] = ANYONE  # of this machine, since nobody else can connect
        count = checked("--servers", options.servers, whole(1, SERVERS_MAX))
        base_port = checked("--base-port", options.base_port, whole(1, 65535 - PEER_OFFSET - SERVERS_MAX))
        data = checked("--data", options.data, folder)
        clients = [Address(HOST, base_port + index) for index in range(count)]
        peers = free_peer_ports(clients)
        own = [own_settings(server, data, clients, peers) for server in range(1, count + 1)]
        first = load_config(extra | own[0], environment, options.config)
        admin_of(first)  # raises if it could not be started
        admins = admin_addresses(first.admin, count)
        for each, where in zip(own, admins, strict=False):
            each["admin"] = str(where)
        for each in own:
            load_config(extra | each, environment, options.config)
        claim(data, count)
    except SettingError as error:
        return fail("up", error, ExitCode.WRONG_SETTINGS)
    except UpError as error:
        return fail("up", error, error.code)
    passed_on = ["--config", str(options.config)] if options.config else []
    children = [
        Child(
            server,
            clients[server - 1],
            [*SERVE, *passed_on, *as_options(extra | each)],
            admins[server - 1] if admins else None,
        )
        for server, each in enumerate(own, 1)
    ]
    ensemble = Ensemble(children, environment, data)
    trio.run(until_stopped, ensemble.run, lambda name: say(f"{name}: stopping the servers"))
    return ensemble.exit_status()


def make_parser() -> Parser:
    made = parser(
        "up",
        f"Run an ensemble on {HOST}, to try it out, until Ctrl-C. Server n takes clients on port BASE+n-1, and its\n"
        f"peers {PEER_OFFSET} ports above that (or {2 * PEER_OFFSET}, {3 * PEER_OFFSET} ..., if one is taken).\n"
        "--admin HOST:PORT is the HTTP admin of server 1; that of server n has port PORT+n-1.\n"
        "Whoever can connect from this machine may read the past too, all values included: --inspect is anyone here,\n"
        "if it is not given.",
    )
    made.add_argument("--servers", metavar="N", default="3", help=f"how many, 1-{SERVERS_MAX} (default 3)")
    made.add_argument("--base-port", metavar="PORT", default="2181", help="client port of server 1 (default 2181)")
    made.add_argument(
        "--data", metavar="DIR", default="coord-data", help="has a folder for each server (default coord-data)"
    )
    add_settings(made, without=PER_SERVER)
    return made


# ---- what each server is told


def own_settings(server: int, data: Path, clients: list[Address], peers: list[Address]) -> dict[str, str]:
    """What differs between the servers, and the ensemble; one server alone has neither peer nor ensemble."""
    settings = {"id": str(server), "data": str(data / f"server-{server}"), "client": str(clients[server - 1])}
    if len(peers) > 1:
        settings["peer"] = str(peers[server - 1])
        settings["ensemble"] = ",".join(f"{id}={where}" for id, where in enumerate(peers, 1))
    return settings


def admin_addresses(first: Address | None, count: int) -> list[Address]:
    """That of each server: the one that was given is the first one's, the others have the ports above it."""
    return [] if first is None else [Address(first.host, first.port + index) for index in range(count)]


def as_options(settings: Mapping[str, str]) -> list[str]:
    return [f"{SETTINGS[name].option}={value}" for name, value in settings.items()]


def checked(option: str, value: object, parse: Callable[[object], T]) -> T:
    """The option's value, or SettingError in the form that load_config gives it."""
    try:
        return parse(value)
    except Unacceptable as error:
        raise SettingError(f"option {option}: {value!r} is wrong: it {error}") from None


def free_peer_ports(clients: Sequence[Address]) -> list[Address]:
    """A peer address for each server, beside its client address; UpError if a port that is needed is taken."""
    for where in clients:
        if not is_free(where):
            problem = f"{where} is in use; stop what listens there, or give another --base-port"
            raise UpError(problem, ExitCode.ADDRESS_UNAVAILABLE)
    for offset in range(PEER_OFFSET, 65536 - clients[-1].port, PEER_OFFSET):
        peers = [Address(HOST, client.port + offset) for client in clients]
        if all(map(is_free, peers)):
            return peers
    problem = f"no ports for the servers to talk on are free above {clients[0]}; give another --base-port"
    raise UpError(problem, ExitCode.ADDRESS_UNAVAILABLE)


def is_free(where: Address) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError:
            return False
    return True


def claim(data: Path, count: int) -> None:
    """Note in `data` that it holds an ensemble of `count` servers; UpError if it holds one of another size.

    Of an ensemble that grew by servers that know nothing, a majority could agree on nothing of what was written.
    """
    note = data / "servers"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if note.exists():
            held = note.read_text(encoding="utf-8").strip()
            if held != str(count):
                problem = f"{data} holds an ensemble of {held} servers; give --servers {held}, or another --data"
                raise UpError(problem, ExitCode.DATA_REFUSED)
        else:
            note.write_text(f"{count}\n", encoding="utf-8")
    except OSError as error:
        raise UpError(f"{data} cannot be used as data folder: {error.strerror}", ExitCode.DATA_REFUSED) from None


# ---- the running ensemble


class Ensemble:
    """The servers as child processes: started together, looked after, stopped together."""

    def __init__(self, children: Sequence[Child], environment: Mapping[str, str], data: Path) -> None:
        self.children = children
        self.environment = environment
        self.data = data
        self.ended: list[Child] = []  # without having been asked to, in this order

    async def run(self) -> None:
        """Run until cancelled, or until every server has ended by itself."""
        async with trio.open_nursery() as nursery:
            for child in self.children:
                nursery.start_soon(self.look_after, child)
            await self.wait_serving()

    def exit_status(self) -> int:
        """0 if the servers were stopped; if they all ended by themselves, what the first of them ended with."""
        if len(self.ended) < len(self.children):
            return ExitCode.STOPPED
        status = self.ended[0].status
        assert status is not None, "a server that ended has a status"
        return status if status >= 0 else ExitCode.DEFECT

    async def look_after(self, child: Child) -> None:
        """Start the server, pass its log on, and report its end; when cancelled, stop it."""
        process = await trio.lowlevel.open_process(
            child.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )
        assert process.stdout is not None, "its output was asked for"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay, process.stdout, f"{child.id} | ")
            try:
                child.status = await process.wait()
            finally:
                await end(process, child.id)
        self.ended.append(child)
        rest = "the others go on" if len(self.ended) < len(self.children) else "none is left"
        say(f"server {child.id}: {meaning(child.status)}; {rest}. To start it again: {shlex.join(child.command)}")

    async def wait_serving(self) -> None:
        """Wait until every server that has not ended serves, then say how to connect."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.complain_later)
            async with trio.open_nursery() as asking:
                for child in self.children:
                    asking.start_soon(wait_mode, child)
            nursery.cancel_scope.cancel()
        serving = [child for child in self.children if child.mode and child.status is None]
        if serving:
            say(welcome(serving, self.data))

    async def complain_later(self) -> None:
        await trio.sleep(PATIENCE_S)
        late = [str(child.id) for child in self.children if not child.mode and child.status is None]
        say(f"still waiting for {'server' if len(late) == 1 else 'servers'} {', '.join(late)} to serve")


async def wait_mode(child: Child) -> None:
    """Ask the server until it serves, or has ended."""
    while child.status is None:
        child.mode = await ask_mode(child.client)
        if child.mode:
            break
        await trio.sleep(POLL_S)


async def ask_mode(where: Address) -> str:
    """What the server at `where` says it is (leader, follower, standalone); empty if it does not serve."""
    answer = bytearray()
    with trio.move_on_after(1.0):
        try:
            async with await trio.open_tcp_stream(*where) as stream:
                await stream.send_all(b"srvr")
                async for chunk in stream:
                    answer += chunk
        except (OSError, trio.BrokenResourceError):
            return ""
    modes = [line.removeprefix(b"Mode: ") for line in answer.splitlines() if line.startswith(b"Mode: ")]
    return modes[0].decode("ascii", "replace") if modes else ""


async def relay(output: trio.abc.ReceiveStream, prefix: str) -> None:
    """Copy the server's log, line by line, to standard error, until the server has ended: also while it is stopped."""
    rest = b""
    with trio.CancelScope(shield=True):
        async for chunk in output:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                print(prefix + line.decode("utf-8", "replace"), file=sys.stderr, flush=True)
    if rest:
        print(prefix + rest.decode("utf-8", "replace"), file=sys.stderr, flush=True)


async def end(process: trio.Process, server: int) -> None:
    """Ask the process to stop, if it still runs, and see to it that it does."""
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.terminate()
            with trio.move_on_after(STOP_S):
                await process.wait()
        if process.poll() is None:
            say(f"server {server} did not stop within {STOP_S:g} s and is killed")
            process.kill()
        await process.wait()


def welcome(serving: Sequence[Child], data: Path) -> str:
    """How to connect, and how to stop."""
    hosts = ",".join(str(child.client) for child in serving)
    http = "".join(f"    curl http://{child.admin}/metrics\n" for child in serving if child.admin is not None)
    if http:
        http = f"\nTheir figures, over HTTP (coord/admin/README.md):\n\n{http}"
    modes = ", ".join(f"{child.id} {child.mode}" for child in serving)
    coord = shlex.quote(called())
    return f"""\

coord serves at {hosts}  ({modes})

With coord's own client, in a script (README.md has it for Trio and asyncio):

    import coord
    with coord.connect_blocking("{hosts}") as client:
        client.create("/hello", b"world", ephemeral=True)
        print(client.get("/hello"))

With kazoo (pip install kazoo):

    from kazoo.client import KazooClient
    client = KazooClient(hosts="{hosts}")
    client.start()
    client.create("/hello", b"world", ephemeral=True)
    print(client.get("/hello"))

To look at the tree and at the servers:

    {coord} shell {hosts}
    {coord} status {hosts}

To keep a copy of it all, which coord restore makes an ensemble of:

    {coord} backup today.backup {hosts}
{http}
Ctrl-C stops the servers; their data stays in {data}.
"""


def called() -> str:
    """What to call this command by: its path where a shell would not find it, as in `make up`'s virtual environment."""
    here = Path(sys.executable).with_name("coord")
    if shutil.which("coord") is not None or not here.exists():
        return "coord"
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def say(sentence: str) -> None:
    print(sentence, flush=True)
