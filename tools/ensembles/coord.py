"""How a coord server is started: `python -m coord serve`, from the checkout these tools lie in."""

import sys
from dataclasses import dataclass

from tools.ensembles.ports import HOST
from tools.ensembles.processes import Member


@dataclass(slots=True, frozen=True)
class CoordSoftware:
    """coord with its default settings, plus `options` for every server's command line."""

    options: tuple[str, ...] = ()
    name: str = "coord"

    def missing(self) -> str | None:
        return None

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        pass  # all settings are on the command line

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]:
        command = [
            *(sys.executable, "-m", "coord", "serve"),
            *("--id", str(member.id)),
            *("--data", str(member.folder / "data")),
            *("--client", member.client_address),
        ]
        if len(members) > 1:
            command += ["--peer", f"{HOST}:{member.peer_port}"]
            command += ["--ensemble", ",".join(f"{other.id}={HOST}:{other.peer_port}" for other in members)]
        return command + list(self.options)
