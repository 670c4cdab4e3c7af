"""What one connection may make its server, and by its writes every server, keep or carry along."""

OUT_BYTES_MAX = 1 << 20
"""With so much on its way to a client its further reads are held back until it has taken that."""
RUN_BYTES_MAX = 1 << 20
"""Writes of one client that take more than this together are forwarded in several runs."""
IDENTITIES_MAX = 64
IDENTITIES_BYTES_MAX = 16 << 10
"""Identities go with every run, and each is held against each entry of an ACL, on every server."""
WATCHES_BYTES_MAX = 32 << 20
"""Of one connection's watches: their paths, and WATCH_COSTS_BYTES for each."""
WATCH_COSTS_BYTES = 200
EVENTS_BYTES_MAX = 16 << 20
"""Of events that one turn makes for a connection of coord's own protocol: one that watches so much in so many ways is
hung up on, and may ask for what it missed."""
