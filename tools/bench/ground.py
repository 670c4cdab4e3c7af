"""What the numbers stand on: the machine, the disk, versions and settings. And whether the disk is one."""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path

from coord.version import __version__
from tools.ensembles import Ensemble
from tools.ensembles.words import ask

IN_MEMORY = ("tmpfs", "ramfs")
_CANDIDATES = (tempfile.gettempdir(), "/var/tmp")
_SYNCS = 100
_APPEND_BYTES = 4096


def data_folder(wanted: Path | None) -> Path:
    """A new folder for all data, below `wanted` or wherever temporary files may lie that is on a disk."""
    for candidate in (wanted,) if wanted is not None else map(Path, _CANDIDATES):
        if file_system(candidate) not in IN_MEMORY:
            return Path(tempfile.mkdtemp(prefix="coord-bench-", dir=candidate))
    where = wanted if wanted is not None else " and ".join(_CANDIDATES)
    raise OSError(f"{where} lies in memory, where a sync costs nothing; give a folder on a disk with --data DIR")


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, "unknown" where the system does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text()
    except OSError:
        return "unknown"
    return file_system_of(folder.resolve(), mounts)


def file_system_of(folder: Path, mounts: str) -> str:
    """By the longest mount point that the folder is below; of those mounted on one another the last counts."""
    found, longest = "unknown", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        place = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal.group(1), 8)), point))
        if (folder == place or place in folder.parents) and len(place.parts) >= longest:
            found, longest = kind, len(place.parts)
    return found


def facts(folder: Path) -> dict[str, str]:
    """A line each at the head of the report."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return {
        "machine": f"{os.cpu_count()} processors shared by servers and generator ({_processor()}), {memory:.0f} GB, "
        f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f} at the start",
        "disk": f"{file_system(folder)} at {folder}, an append of {_APPEND_BYTES} bytes and fdatasync: "
        f"{sync_ms(folder):.2f} ms (median of {_SYNCS})",
        "coord": f"{__version__}{_commit()} on Python {platform.python_version()} of {sys.base_prefix} "
        f"(a million additions: {additions_ms():.0f} ms), default settings; one fdatasync a batch on every server "
        "before it is acknowledged",
    }


def version(ensemble: Ensemble) -> str:
    """What a running server says that it is; coord and ZooKeeper."""
    first = ask(next(iter(ensemble.members.values())).client_port, "srvr").partition("\n")[0]
    return first.partition(": ")[2].partition("-")[0]


def zookeeper_facts(found_version: str) -> str:
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.partition("\n")[0]
    return (
        f"{found_version} on {java}; forceSync (the default): one fsync a group of transactions on every server "
        "before it is acknowledged"
    )


def etcd_facts() -> str:
    text = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False).stdout
    return f"{text.partition(chr(10))[0].rpartition(': ')[2]}; default settings, one fdatasync a batch"


def sync_ms(folder: Path) -> float:
    """How long the disk takes to make an append durable: what each write is bound to cost at least."""
    taken_s = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            os.write(file.fileno(), bytes(_APPEND_BYTES))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            taken_s.append(time.perf_counter() - begin)
    return statistics.median(taken_s) * 1000


def additions_ms() -> float:
    """What tells a Python that was built with profiles from one that was not, on the same machine: least of five."""
    return min(timeit.repeat("for each in range(1_000_000): total += each", "total = 0", repeat=5, number=1)) * 1000


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1) if found else platform.machine()


def _commit() -> str:
    """Of the checkout these tools lie in, if it is one and git is there."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
    return f" ({text})" if text else ""
