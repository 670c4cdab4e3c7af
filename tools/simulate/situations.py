"""What must be met by many seeds together, so that the simulation is known to test what it is said to test."""

from collections import Counter

SEEDS_ENOUGH = 60
"""Fewer seeds need not meet everything."""

HAS_TO_OCCUR = (
    "a container or TTL znode was reaped",
    "a crash took steps that were not durable",
    "a leader was given up for its silence",
    "a leader was superseded",
    "a leader stepped down",
    "a log was truncated",
    "a promise was refused",
    "a session expired",
    "a session was closed",
    "a session was refused",
    "a session went on at another connection",
    "a snapshot was installed",
    "a snapshot was taken",
    "a state was replaced by a snapshot",
    "a sync was answered",
    "a watch fired",
    "a write was acknowledged",
    "history was sent from memory",
    "history was streamed from disk",
    "hung up: no leader was found",
    "hung up: the client is ahead of the server",
    "requests were forwarded again",
    "the counter rolled over",
)


def missing(situations: Counter[str], seeds: int) -> list[str]:
    """What should have occurred in so many seeds, and did not."""
    if seeds < SEEDS_ENOUGH:
        return []
    return [situation for situation in HAS_TO_OCCUR if not situations[situation]]
