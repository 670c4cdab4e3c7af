"""How an etcd server is started. All settings are its defaults (each entry is synced), but for where it listens."""

import json
import shutil
import urllib.request
from dataclasses import dataclass

from tools.ensembles.ports import HOST
from tools.ensembles.processes import Member

_LEADS = "etcd_server_is_leader 1"


@dataclass(slots=True, frozen=True)
class EtcdSoftware:
    """etcd 3.4 or later; its version 3 API."""

    name: str = "etcd"

    def missing(self) -> str | None:
        if shutil.which("etcd") is None:
            return "etcd is not installed: there is no etcd on the PATH; apt install etcd-server"
        return None

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        pass  # all settings are on the command line

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]:
        peer, client = f"http://{HOST}:{member.peer_port}", f"http://{HOST}:{member.client_port}"
        return [
            *("etcd", "--name", f"s{member.id}", "--data-dir", str(member.folder / "data"), "--logger", "zap"),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--initial-cluster", ",".join(f"s{each.id}=http://{HOST}:{each.peer_port}" for each in members)),
            *("--initial-cluster-state", "new", "--log-level", "error"),
        ]

    def mode(self, member: Member, timeout_s: float = 2.0) -> str | None:
        """As its metrics tell it."""
        try:
            if json.loads(_page(member, "health", timeout_s)).get("health") != "true":
                return None
            return "leader" if _LEADS in _page(member, "metrics", timeout_s).splitlines() else "follower"
        except (OSError, ValueError):
            return None


def _page(member: Member, name: str, timeout_s: float) -> str:
    with urllib.request.urlopen(f"http://{member.client_address}/{name}", timeout=timeout_s) as answer:
        text: str = answer.read().decode()
        return text
