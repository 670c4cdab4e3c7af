"""A run's ensemble with all that is between its servers and their clients: where faults find what they break.

Between any two servers, and between each client and each server, stands a link of `proxies.py`: a server knows the
others by the ports of its own links. The four-letter words go to the servers directly, so that who looks is no victim.
"""

import resource
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coord.cli.exit_codes import ExitCode, meaning
from tools.chaos.proxies import Link, Proxies, Way
from tools.ensembles import Ensemble, EnsembleError, Member, words
from tools.ensembles.coord import CoordSoftware
from tools.ensembles.ports import HOST

LOOK_WITHIN_S = 0.5
"""So long a server has to say whether it leads; one that does not is not asked again for this fault."""
SERVING_WITHIN_S = 90.0
"""When all faults are over: a server starts, reads its disk, and is brought up, on a machine that is busy."""
ROOM_LEFT_BYTES = 16_384
"""A full disk takes so much more than the server's output has already got, and then nothing."""
OUT_OF_ROOM_WITHIN_S = 15.0
"""So long a server on a full small disk is waited for; without clients or a leader it needs no room."""
POLL_S = 0.05
BALLAST_CHUNK = bytes(1 << 16)
SMALL_DISK_BYTES = 64 << 20


class Broken(Exception):
    """Something that must not happen has happened; the text is one sentence."""


@dataclass(slots=True)
class ProxiedCoord:
    """coord whose servers know each other by the ports of the links between them."""

    options: tuple[str, ...] = ()
    entry: tuple[str, ...] = ("-m", "coord")  # what Python runs, before `serve`
    peers: dict[tuple[int, int], Link] = field(default_factory=dict)  # by (who dials, whom)
    name: str = "coord"

    def missing(self) -> str | None:
        return None

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        (member.folder / "disk").mkdir()

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]:
        plain = CoordSoftware(self.options).command(member, members)
        at = plain.index("-m")
        command = [*plain[:at], *self.entry, *plain[at + 2 :]]
        command[command.index("--data") + 1] = str(member.folder / "disk" / "data")
        command[command.index("--ensemble") + 1] = ",".join(
            f"{other.id}={HOST}:{other.peer_port if other is member else self.peers[member.id, other.id].port}"
            for other in members
        )
        return command


class Stage:
    """Servers, links, and what is wrong with them just now. Used by one thread, the main one."""

    def __init__(
        self, ensemble: Ensemble, software: ProxiedCoord, proxies: Proxies, say: Callable[[str], None]
    ) -> None:
        self.ensemble = ensemble
        self.proxies = proxies
        self.clients: dict[tuple[str, int], Link] = {}  # by (client, server)
        self.say = say
        self.frozen: dict[int, int] = {}  # server: by how many faults
        self.killed: set[int] = set()
        self.without_room: dict[int, float] = {}  # server: since when
        self.small_disks = False
        self._members = ensemble.members
        for here in self._members.values():
            for other in self._members.values():
                if here is not other:
                    link = proxies.open(f"server {here.id} to server {other.id}", other.peer_port)
                    software.peers[here.id, other.id] = link
        self.peers = software.peers

    @property
    def servers(self) -> list[int]:
        return list(self._members)

    def link_client(self, name: str) -> list[int]:
        """Links of a new client to all servers; their ports, in the order of the servers."""
        for member in self._members.values():
            link = self.proxies.open(f"{name} to server {member.id}", member.client_port)
            self.clients[name, member.id] = link
        return [self.clients[name, id].port for id in self._members]

    # ---- finding a victim

    def up(self) -> list[int]:
        """Servers that run and are awake."""
        return [id for id in self._members if self.ensemble.is_running(id) and not self.frozen.get(id)]

    def leader(self) -> int | None:
        for id in self.up():
            if words.mode(self._members[id].client_port, LOOK_WITHIN_S) == "leader":
                return id
        return None

    def peer_ways(self, ones: Iterable[int], others: Iterable[int]) -> list[Way]:
        """What `ones` say to `others`, whoever dialled. Of two servers only one dials; both links are meant."""
        beyond = list(others)
        ways = []
        for one in ones:
            for other in beyond:
                if one != other:
                    ways += [self.peers[one, other].there, self.peers[other, one].back]
        return ways

    # ---- servers

    def kill(self, ids: Sequence[int]) -> None:
        for id in ids:  # all signals before the first is waited for
            self.killed.add(id)
        for id in ids:
            self.ensemble.kill9(id)

    def start(self, id: int) -> None:
        """Start a server that was stopped or killed; nothing, if another fault's end has done that."""
        if not self.ensemble.is_running(id):
            self._check_end(id)
            self.killed.discard(id)
            self.frozen.pop(id, None)
            if not self._ballast(id).exists():
                self.without_room.pop(id, None)
            self.ensemble.start(id)

    def stop(self, id: int) -> None:
        """As an operator does; one that has no room may end of that first."""
        try:
            status = self.ensemble.stop(id, SERVING_WITHIN_S)
        except EnsembleError as error:
            raise Broken(str(error)) from None
        if status != ExitCode.STOPPED and not (status == ExitCode.DISK_FAILED and id in self.without_room):
            raise Broken(f"server {id} was asked to stop, and ended otherwise: {meaning(status)}")
        self.killed.add(id)

    def freeze(self, id: int) -> int:
        """The process id, which `thaw` needs: the server may be killed and started again meanwhile."""
        self.frozen[id] = self.frozen.get(id, 0) + 1
        self.ensemble.sigstop(id)
        return self.ensemble.pid(id)

    def thaw(self, id: int, process: int) -> None:
        if not self.ensemble.is_running(id) or self.ensemble.pid(id) != process:
            return
        self.frozen[id] -= 1
        if not self.frozen[id]:
            del self.frozen[id]
            self.ensemble.sigcont(id)

    def rest(self, seconds: float) -> None:
        """For a fault of several strokes. Others have to wait meanwhile, so let it be short."""
        time.sleep(seconds)

    def look_after(self) -> None:
        """No server ends by itself, unless its disk is full, and then it says so by its exit status."""
        for id in self._members:
            if not self.ensemble.is_running(id):
                self._check_end(id)

    def _check_end(self, id: int) -> None:
        status = self.ensemble.exit_status(id)
        if status is None or id in self.killed:
            return
        if not (status == ExitCode.DISK_FAILED and id in self.without_room):
            raise Broken(f"server {id} ended by itself: {meaning(status)}.{self.ensemble.tail(id)}")

    # ---- disks

    def fill_disk(self, id: int) -> None:
        self.without_room[id] = time.monotonic()
        if self.small_disks:
            _fill(self._ballast(id))
        else:
            # The kernel refuses every write of this one process behind that place of any file, with EFBIG.
            limit = self._members[id].log_file.stat().st_size + ROOM_LEFT_BYTES
            hard = resource.prlimit(self.ensemble.pid(id), resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.ensemble.pid(id), resource.RLIMIT_FSIZE, (limit, hard))

    def make_room(self, id: int) -> bool:
        """Whether the server had run out of it, and so had ended."""
        if id not in self.without_room:
            return False
        if self.small_disks:  # a segment has all its room from the start: it takes a while to need more
            self._wait_ended(id)
        self._ballast(id).unlink(missing_ok=True)
        if not self.ensemble.is_running(id):
            self.start(id)
            return True
        if not self.small_disks:
            hard = resource.prlimit(self.ensemble.pid(id), resource.RLIMIT_FSIZE)[1]
            resource.prlimit(self.ensemble.pid(id), resource.RLIMIT_FSIZE, (hard, hard))
        return False  # it may still end of what it tried before: it stays in `without_room` until it starts anew

    def _wait_ended(self, id: int) -> None:
        ends_s = time.monotonic() + OUT_OF_ROOM_WITHIN_S
        while self.ensemble.is_running(id) and time.monotonic() < ends_s:
            time.sleep(POLL_S)

    def mount_small_disks(self) -> None:
        """Give each server a tmpfs of its own; only root may do that."""
        for id in self._members:
            command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES},mode=0700", "none", str(self._disk(id))]
            subprocess.run(command, check=True)
        self.small_disks = True

    def unmount_small_disks(self) -> None:
        for id in self._members:
            subprocess.run(["umount", str(self._disk(id))], check=True)
        self.small_disks = False

    def _disk(self, id: int) -> Path:
        return self._members[id].folder / "disk"

    def _ballast(self, id: int) -> Path:
        """What takes the room on a small disk."""
        return self._disk(id) / "ballast"

    # ---- afterwards

    def wait_serving(self) -> None:
        """All servers run and serve. Those that are down are started."""
        for id in self._members:
            self.start(id)

        def serving() -> bool:
            for id in self._members:
                self.start(id)  # one whose disk was full may have ended only now
            modes = [words.mode(member.client_port, LOOK_WITHIN_S) for member in self._members.values()]
            return None not in modes and modes.count("leader") == 1

        self.ensemble.wait_until(serving, "all servers to serve after the faults", SERVING_WITHIN_S)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast:
        while True:
            try:
                if ballast.write(BALLAST_CHUNK) < len(BALLAST_CHUNK):
                    return
            except OSError:
                return
