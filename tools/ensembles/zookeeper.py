"""How a ZooKeeper 3.8 server is started, from the jars that Debian's packages install.

The settings are ZooKeeper's own defaults where they cost or buy speed (each transaction is synced); what is
not default makes it comparable and testable: no limit on connections per address, every four-letter word,
TTL znodes, hard quotas, no admin web server on a fixed port.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.ensembles.ports import HOST
from tools.ensembles.processes import Member

JARS = Path("/usr/share/java")
_JAR = JARS / "zookeeper.jar"
# Debian's slf4j prints warnings to standard error through this one; without it all messages are lost.
_LOGGING_JAR = JARS / "slf4j-simple.jar"


@dataclass(slots=True, frozen=True)
class ZooKeeperSoftware:
    """ZooKeeper; `properties` are -D settings (without the -D), `jvm` are other options of the virtual machine."""

    tick_ms: int = 2000
    properties: tuple[str, ...] = ()
    jvm: tuple[str, ...] = ("-Xmx1g",)
    name: str = "zookeeper"

    def missing(self) -> str | None:
        if shutil.which("java") is None:
            return "ZooKeeper needs Java, and there is no java on the PATH; apt install default-jre-headless"
        if not _JAR.exists():
            return f"ZooKeeper is not installed: there is no {_JAR}; apt install libzookeeper-java"
        return None

    def prepare(self, member: Member, members: tuple[Member, ...]) -> None:
        data = member.folder / "data"
        data.mkdir()
        (data / "myid").write_text(f"{member.id}\n")
        settings = {
            "tickTime": self.tick_ms,
            "initLimit": 10,
            "syncLimit": 5,
            "dataDir": data,
            "clientPort": member.client_port,
            "clientPortAddress": HOST,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "extendedTypesEnabled": "true",
            "enforceQuota": "true",
        }
        if len(members) > 1:
            for other in members:
                settings[f"server.{other.id}"] = f"{HOST}:{other.peer_port}:{other.election_port}"
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        (member.folder / "zoo.cfg").write_text("".join(lines))

    def command(self, member: Member, members: tuple[Member, ...]) -> list[str]:
        return [
            *("java", *self.jvm, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dzookeeper.jmx.log4j.disable=true"),
            *(f"-D{each}" for each in self.properties),
            *("-cp", class_path(), "org.apache.zookeeper.server.quorum.QuorumPeerMain"),
            str(member.folder / "zoo.cfg"),
        ]


def class_path() -> str:
    """What ZooKeeper's classes need; its own jar names the rest in its manifest."""
    return f"{_JAR}:{_LOGGING_JAR}"
