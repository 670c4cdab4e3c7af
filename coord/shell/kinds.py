"""What kind of znode one is, in a word. A sequential one is none of its own: only its name tells."""

from coord.model.stat import Stat

PERSISTENT, EPHEMERAL, CONTAINER, TTL = "persistent", "ephemeral", "container", "ttl"
KINDS = (PERSISTENT, EPHEMERAL, CONTAINER, TTL)

LETTERS = {PERSISTENT: "-", EPHEMERAL: "e", CONTAINER: "c", TTL: "t"}
"""In a list."""


def kind_of(stat: Stat) -> str:
    if stat.ephemeral_owner:
        return EPHEMERAL
    return CONTAINER if stat.container else TTL if stat.lifetime_ms else PERSISTENT
