"""What kind of znode one is, in a word. A sequential one is none of its own: only its name tells."""

from coord.model.stat import CONTAINER_LIFETIME, Stat

PERSISTENT, EPHEMERAL, CONTAINER, TTL = "persistent", "ephemeral", "container", "ttl"
KINDS = (PERSISTENT, EPHEMERAL, CONTAINER, TTL)

LETTERS = {PERSISTENT: "-", EPHEMERAL: "e", CONTAINER: "c", TTL: "t"}
"""In a list."""


def kind_of(stat: Stat) -> str:
    return kind_named(stat.ephemeral_owner, stat.lifetime_ms)


def kind_named(owner: int, lifetime_ms: int) -> str:
    """By the fields of a Stat that make it."""
    if owner:
        return EPHEMERAL
    return CONTAINER if lifetime_ms == CONTAINER_LIFETIME else TTL if lifetime_ms else PERSISTENT
