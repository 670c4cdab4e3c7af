"""The stat of a znode as a value of its own, which stays what it was when the znode goes on."""

from typing import Final, TypeAlias

from coord.model.message import message

CONTAINER_LIFETIME: Final = -1
"""In `lifetime_ms`."""


Shown: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""A stat's fields but the lifetime, in their order, which is that of both protocols."""


@message
class Stat:
    """What is known of a znode beside its data. A zxid is a log position; times are Unix milliseconds."""

    czxid: int  # of the write that made it: with its path it names this znode and no later one
    mzxid: int  # of the last write of its data
    ctime: int
    mtime: int
    version: int  # writes of its data
    cversion: int  # creations and deletions of children
    aversion: int  # writes of its ACL
    ephemeral_owner: int  # the owning session, 0 unless it is ephemeral
    data_length: int  # bytes
    children_count: int
    pzxid: int  # of the last creation or deletion of a child
    lifetime_ms: int = 0  # 0, CONTAINER_LIFETIME, or a TTL; ZooKeeper's protocol has no room for it

    def shown(self) -> Shown:
        return (
            self.czxid, self.mzxid, self.ctime, self.mtime, self.version, self.cversion, self.aversion,
            self.ephemeral_owner, self.data_length, self.children_count, self.pzxid,
        )  # fmt: skip

    @property
    def container(self) -> bool:
        """Whether it is deleted some time after its last child."""
        return self.lifetime_ms == CONTAINER_LIFETIME

    @property
    def ttl(self) -> float | None:
        """Seconds after which, unchanged and without children, it is deleted; None: it has no time to live."""
        return self.lifetime_ms / 1000 if self.lifetime_ms > 0 else None
