"""How many znodes and bytes a subtree may hold, as ZooKeeper's clients write it below /zookeeper/quota."""

from coord.model.message import message

LIMITS, STATS = "zookeeper_limits", "zookeeper_stats"
_ROOT = "/zookeeper/quota"


@message
class Quota:
    """Limits of a subtree, the znode at its top included; None: no such limit.

    A soft limit that is exceeded is told to the operator; what would exceed a hard one fails with QuotaExceededError.
    """

    znodes: int | None = None
    bytes: int | None = None  # of data
    znodes_hard: int | None = None
    bytes_hard: int | None = None


@message
class Usage:
    """What a subtree with a quota holds now."""

    quota: Quota
    znodes: int
    bytes: int


def limits_path(path: str) -> str:
    """Of the znode with the limits of the subtree at `path` (with its namespace)."""
    return f"{_ROOT}{path}/{LIMITS}"


def stats_path(path: str) -> str:
    return f"{_ROOT}{path}/{STATS}"


def write_limits(quota: Quota) -> bytes:
    """In ZooKeeper's text."""
    fields = (quota.znodes, quota.bytes, quota.bytes_hard, quota.znodes_hard)
    numbers = [-1 if each is None else each for each in fields]
    return "count={},bytes={}=;byteHardLimit={};countHardLimit={}".format(*numbers).encode()


def read_pairs(data: bytes) -> dict[str, int | None]:
    """The numbers in ZooKeeper's text by their names; -1 there stands for none."""
    found: dict[str, int | None] = {}
    for pair in data.decode("utf-8", "replace").replace(";", ",").split(","):
        name, _, number = pair.partition("=")
        number = number.removesuffix("=")
        if number.isascii() and number.removeprefix("-").isdecimal():
            found[name] = int(number) if int(number) >= 0 else None
    return found


def read_usage(limits: bytes, stats: bytes) -> Usage:
    """Both znodes' data together."""
    limit, now = read_pairs(limits), read_pairs(stats)
    quota = Quota(limit.get("count"), limit.get("bytes"), limit.get("countHardLimit"), limit.get("byteHardLimit"))
    return Usage(quota, now.get("count") or 0, now.get("bytes") or 0)
