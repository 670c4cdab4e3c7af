"""The stat of a znode as a value of its own, which stays what it was when the znode goes on."""

from coord.model.message import message


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
