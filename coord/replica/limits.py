"""What one connection may make its server, and by its writes every server, keep or carry along."""

RUN_BYTES_MAX = 1 << 20
"""Writes of one client that take more than this together are forwarded in several runs."""
IDENTITIES_MAX = 64
IDENTITIES_BYTES_MAX = 16 << 10
"""Identities go with every run, and each is held against each entry of an ACL, on every server."""
WATCHES_BYTES_MAX = 32 << 20
"""Of one connection's watches: their paths, and WATCH_COSTS_BYTES for each."""
WATCH_COSTS_BYTES = 200
