"""Quotas: how many znodes and bytes a subtree may hold, and holds.

A quota on /app is made of two znodes below /zookeeper/quota/app: `zookeeper_limits`, written by the administrator
(zkCli's setquota), and `zookeeper_stats`, in which the machine shows the real numbers. The znode /app itself counts.
The numbers are part of the replicated state: every write below a quota rewrites the data of its `zookeeper_stats`
(not its version, and no watch fires), on every server alike. What a client writes there is replaced at once.

Limits: the quota nearest above a path decides, as in ZooKeeper. A hard limit refuses the write; a soft one is told to
the operator when it is first exceeded. There is no quota on the root, nor on /zookeeper and what is below it.
"""

from dataclasses import dataclass
from typing import Final

from coord.model.errors import QuotaExceededError

QUOTA_ROOT: Final = "/zookeeper/quota"
LIMITS_NAME: Final = "zookeeper_limits"
STATS_NAME: Final = "zookeeper_stats"


NOTICES_MAX: Final = 100  # sentences that wait for the operator; more are dropped


@dataclass(slots=True)
class Limits:
    """-1: no such limit."""

    count: int = -1
    size: int = -1
    count_hard: int = -1
    size_hard: int = -1


@dataclass(slots=True)
class Quota:
    """One quota, and what the subtree holds now: `count` znodes with `size` bytes of data."""

    prefix: str
    limits: Limits
    count: int = 0
    size: int = 0

    def shown(self) -> bytes:
        """The data of the quota's zookeeper_stats."""
        return b"count=%d,bytes=%d" % (self.count, self.size)

    def check(self, count: int, size: int) -> None:
        """Raise QuotaExceededError if so much more would exceed a hard limit.

        What does not grow is not checked: a subtree that is over its limit can still be made smaller.
        """
        if count > 0 and -1 < self.limits.count_hard < self.count + count:
            raise self._exceeded(f"{self.count + count} znodes", self.limits.count_hard)
        if size > 0 and -1 < self.limits.size_hard < self.size + size:
            raise self._exceeded(f"{self.size + size} bytes", self.limits.size_hard)

    def add(self, count: int, size: int, notices: list[str]) -> None:
        """Count so much more (or less), and note a soft limit that is exceeded from now on."""
        for what, now, more, soft in (
            ("znodes", self.count, count, self.limits.count),
            ("bytes", self.size, size, self.limits.size),
        ):
            if -1 < soft < now + more and now <= soft and len(notices) < NOTICES_MAX:
                notices.append(f"{self.prefix} now holds {now + more} {what}, its soft quota is {soft}")
        self.count += count
        self.size += size

    def _exceeded(self, amount: str, limit: int) -> QuotaExceededError:
        return QuotaExceededError(f"{self.prefix} would hold {amount}, its quota allows {limit}; free some first")


def stats_path(prefix: str) -> str:
    return f"{QUOTA_ROOT}{prefix}/{STATS_NAME}"


def quota_node(path: str) -> tuple[str, str] | None:
    """(prefix, name) if `path` is the limits or stats znode of a quota that can exist."""
    prefix, _, name = path[len(QUOTA_ROOT) :].rpartition("/")
    if name not in (LIMITS_NAME, STATS_NAME) or not prefix or f"{prefix}/".startswith("/zookeeper/"):
        return None
    return prefix, name


def parse_limits(data: bytes | None) -> Limits:
    """Read ZooKeeper's text, such as count=10,bytes=-1=;byteHardLimit=5000. What cannot be read sets no limit."""
    found: dict[str, int] = {}
    for pair in (data or b"").decode("utf-8", "replace").replace(";", ",").split(","):
        key, _, value = pair.partition("=")
        value = value.removesuffix("=")  # ZooKeeper ends the second pair so, for the sake of its old readers
        if value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20:
            found[key] = int(value)
    return Limits(
        found.get("count", -1),
        found.get("bytes", -1),
        found.get("countHardLimit", -1),
        found.get("byteHardLimit", -1),
    )


def covering(quotas: dict[str, Quota], path: str) -> list[Quota]:
    """The quotas on `path` and its ancestors, nearest first."""
    found = []
    while path:
        quota = quotas.get(path)
        if quota is not None:
            found.append(quota)
        path = path[: path.rfind("/")]
    return found
